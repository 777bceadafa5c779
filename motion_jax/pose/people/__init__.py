"""Everybody in a film, found in each frame and kept apart through all of it."""
