"""A drawn dancer with known joints: the embedded example."""
