"""A driving video through a trained run or a retriever, to a film."""

from motion_jax.verbs import callable_package

callable_package(__name__)
