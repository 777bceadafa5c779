"""What to train on this machine and how long it takes: suggestions, methods."""
