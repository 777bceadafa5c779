"""Datasets of pose-frame pairs: preparing, reading, batching."""
