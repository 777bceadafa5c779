"""Faces of a film: found, aligned as FFHQ aligns them, followed, and laid back."""
