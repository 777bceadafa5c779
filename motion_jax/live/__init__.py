"""A camera drives the person."""
