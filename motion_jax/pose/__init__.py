"""Keypoints: estimation, files, conversion, drawing, normalisation, smoothing."""
