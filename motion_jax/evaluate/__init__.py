"""How good a result is: metrics and reports."""

from motion_jax.verbs import callable_package

callable_package(__name__)
