"""Make a person in one video move like the person in another, trained and run with JAX."""

__version__ = "0.1.0"
