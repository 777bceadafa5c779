"""`motion-jax compare`: several ways to move a person, on the same videos, in one table."""
