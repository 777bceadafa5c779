"""`motion-jax compare`: several ways to move a person, on the same videos, in one table."""

from motion_jax.verbs import callable_package

callable_package(__name__)
