"""Adam (Kingma & Ba 2015): the settings of one network's optimiser, and one step of it."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.experimental.layout import Layout, with_layout_constraint

from motion_jax.nets.conv import on_cpu, platform
from motion_jax.recipes.state import Params


@dataclass(frozen=True)
class Adam:
    """Settings; the defaults are pix2pixHD's, and those of pix2pix and CycleGAN.

    Attributes:
      b1, b2: decays of the averages of gradients and of their squares.
      eps: added to the root of the latter.
      rate: times the stage's learning rate.
    """

    b1: float = 0.5
    b2: float = 0.999
    eps: float = 1e-8
    rate: float = 1.0

    def _transformation(self) -> optax.GradientTransformation:
        """Without the learning rate."""
        return optax.scale_by_adam(b1=self.b1, b2=self.b2, eps=self.eps)

    def init(self, params: Params) -> optax.ScaleByAdamState:
        """Moments before the first step."""
        return self._transformation().init(params)

    def updated(
        self, params: Params, gradient: Params, moments: optax.ScaleByAdamState, rate: Array
    ) -> tuple[Params, optax.ScaleByAdamState]:
        """New parameters and moments after one step; rate: the stage's learning rate."""
        rate = rate if self.rate == 1.0 else self.rate * rate
        if platform() == "gpu":
            gradient = jax.tree.map(_laid_out, gradient)
        change, new = self._transformation().update(gradient, moments)
        params = optax.apply_updates(params, jax.tree.map(lambda x: -rate * x, change))
        if on_cpu():
            mean, square = (jax.tree.map(_after, tree, params) for tree in (new.mu, new.nu))
            new = new._replace(mu=mean, nu=square)
        return params, new


def _after(moment: Array, parameter: Array) -> Array:
    """The moment, computed after the new parameter.

    XLA's CPU backend computes new moments twice, for themselves and within the new parameters.
    Unless it knows that the parameters come first, it keeps a copy of the old moments from the
    beginning of the step. The zero that is added here tells it: it is always 0, as nothing is above
    infinity, but only the new parameter can show that.
    """
    zero = (parameter.reshape(-1)[0] > jnp.inf).astype(moment.dtype)
    return moment + zero


def _laid_out(gradient: Array) -> Array:
    """The gradient in the order in which parameters and moments lie.

    cuDNN gives kernels' gradients in another order. Unless that is changed first, XLA computes
    everything in cuDNN's and turns all of the new parameters and moments round, or copies them.
    """
    if gradient.ndim < 2:
        return gradient
    return with_layout_constraint(gradient, Layout(tuple(range(gradient.ndim))))
