"""One network's variables in training: applied with its running statistics, updated, averaged.

A network's variables are {"params": ...} and, where it has batch norm, "batch_stats": its running
statistics, which no optimiser touches.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from motion_jax.devices import layout
from motion_jax.recipes.adam import adam, updated
from motion_jax.recipes.state import Params


def trained_apply(
    module: nn.Module, variables: Params, x: Array, key: Array | None = None
) -> tuple[Any, Params]:
    """What the module makes of x, and its variables with the running statistics brought up to date.

    key: of dropout; None: no dropout.
    """
    rngs = None if key is None else {"dropout": key}
    output, changed = module.apply(variables, x, rngs=rngs, mutable=["batch_stats"])
    return output, {**variables, **changed}


def optimizer(variables: Params) -> Any:
    """Adam's moments of a network's parameters, empty."""
    return adam().init(variables["params"])


def stepped(
    name: str, variables: Params, gradient: Params, moments: Any, rate: Array
) -> tuple[Params, Any]:
    """Variables and moments after one step of Adam; gradient: of variables["params"]."""
    gradient = layout.batch_mean(gradient)
    with jax.named_scope("adam"), jax.named_scope(name):
        params, moments = updated(variables["params"], gradient, moments, rate)
    return {**variables, "params": params}, moments


def averaged(old: Params, new: Params, step: Array, decay: float) -> Params:
    """The exponential average after a step. That of few steps is of those few (Tensorflow's
    warm-up), not of the initial noise."""
    count = step.astype(jnp.float32)
    decay = jnp.minimum(decay, (1.0 + count) / (10.0 + count))

    def mixed(old: Array, new: Array) -> Array:
        if not jnp.issubdtype(old.dtype, jnp.floating):
            return new  # the number of batches that running statistics have seen
        return decay * old + (1.0 - decay) * new

    with jax.named_scope("averaging"):
        return jax.tree.map(mixed, old, new)
