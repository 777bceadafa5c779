"""Weights to and from PyTorch files."""
