"""Transfer without training: real frames of the target, found by their poses and put in order."""
