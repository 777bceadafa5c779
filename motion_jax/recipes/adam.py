"""Adam (Kingma & Ba 2015) with pix2pixHD's betas, applied to one network."""

import jax
import jax.numpy as jnp
import optax
from jax import Array

from motion_jax.nets.conv import on_cpu
from motion_jax.recipes.state import Params


def adam() -> optax.GradientTransformation:
    """Adam without its learning rate."""
    return optax.scale_by_adam(b1=0.5, b2=0.999, eps=1e-8)


def updated(
    params: Params, gradient: Params, moments: optax.ScaleByAdamState, rate: Array
) -> tuple[Params, optax.ScaleByAdamState]:
    """New parameters and moments after one step of length `rate`."""
    change, new = adam().update(gradient, moments)
    params = optax.apply_updates(params, jax.tree.map(lambda x: -rate * x, change))
    if on_cpu():
        mean, square = (jax.tree.map(_after, tree, params) for tree in (new.mu, new.nu))
        new = new._replace(mu=mean, nu=square)
    return params, new


def _after(moment: Array, parameter: Array) -> Array:
    """The moment, computed after the new parameter.

    XLA's CPU backend computes new moments twice, for themselves and within the new parameters.
    Unless it knows that the parameters come first, it keeps a copy of the old moments from the
    beginning of the step on. This is how to tell it: a zero, for nothing is above infinity, that
    only the new parameter can tell.
    """
    zero = (parameter.reshape(-1)[0] > jnp.inf).astype(moment.dtype)
    return moment + zero
