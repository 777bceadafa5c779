"""A system that motion_jax does not know."""
