"""One system a file: its networks, stages and losses."""
