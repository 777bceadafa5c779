"""What `motion-jax demo` does: the whole job on drawn people, from films to a page."""
