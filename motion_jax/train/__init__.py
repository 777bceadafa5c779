"""The training loop, its state, checkpoints and run directories."""

from motion_jax.verbs import callable_package

callable_package(__name__)
