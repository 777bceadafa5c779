"""One network of a recipe: what it is, and its variables in training.

A network's variables are {"params": ...} and, where it has batch norm, "batch_stats": its running
statistics, which no optimiser touches.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from motion_jax.devices import layout
from motion_jax.recipes.adam import Adam
from motion_jax.recipes.state import Params, State


@dataclass(frozen=True)
class Network:
    """What the rest of the program knows of a network of a stage.

    Attributes:
      module: `module.apply(variables, *inputs)` is the network.
      inputs: examples of what it is called with, pytrees of jax.ShapeDtypeStruct, for one picture.
      role: "generator" where synthesis uses it, "discriminator" where it judges in training only,
        or "other".
      optimizer: settings; None: the stage does not train it.
      averaged: whether the state holds an exponential average of it (recipe.averaging).
      whole: whether optimiser and gradients are of all variables, {"params": ...}, not of what is
        in "params": for networks without running statistics. The checkpoints of pix2pixHD and
        Everybody Dance Now have this form.
      updates: steps of the optimiser with each gradient.
      trained_from: the step of the stage, from 0, before which neither it nor its optimiser moves.
    """

    module: nn.Module
    inputs: tuple[Any, ...]
    role: Literal["generator", "discriminator", "other"] = "other"
    optimizer: Adam | None = None
    averaged: bool = False
    whole: bool = False
    updates: int = 1
    trained_from: int = 0

    def begun(self, variables: Params) -> Any:
        """The optimiser's state before the first step."""
        assert self.optimizer is not None, "only networks that the stage trains have one"
        return self.optimizer.init(variables if self.whole else variables["params"])

    def stepped(
        self,
        name: str,
        variables: Params,
        gradient: Params,
        moments: Any,
        rate: Array,
        step: Array | int,
    ) -> tuple[Params, Any]:
        """Variables and the optimiser's state after a step of the stage.

        gradient: on this device, of the variables or what is in "params": see `whole`; rate: the
        stage's learning rate.
        """
        assert self.optimizer is not None, "only networks that the stage trains are stepped"
        gradient = layout.batch_mean(gradient)
        before = (variables if self.whole else variables["params"]), moments
        new = before
        with jax.named_scope("adam"), jax.named_scope(name):
            for _ in range(self.updates):
                new = self.optimizer.updated(new[0], gradient, new[1], rate)
        if self.trained_from > 0:
            begun = step >= self.trained_from
            new = jax.tree.map(lambda a, b: jnp.where(begun, a, b), new, before)
        params, moments = new
        return (params if self.whole else {**variables, "params": params}), moments


@dataclass(frozen=True)
class Work:
    """What a train step does with a network, as an estimate.

    Attributes:
      network: one of the stage's, or one that a loss needs.
      passes: how often the step runs through it on one example input: a forward pass is one, so is
        a gradient towards the inputs, and one towards the parameters.
      held: example inputs whose activations wait for a backward pass together.
    """

    network: Network
    passes: int
    held: int


def picture(height: int, width: int, channels: int = 3) -> jax.ShapeDtypeStruct:
    """One picture as an example input, float32 [1, height, width, channels]."""
    return jax.ShapeDtypeStruct((1, height, width, channels), jnp.float32)


def applied(module: nn.Module, variables: Params, *inputs: Any, **settings: Any) -> Any:
    """module.apply, whose type allows for a pair: without `mutable` it is the output alone."""
    return module.apply(variables, *inputs, **settings)


def trained_apply(
    module: nn.Module, variables: Params, x: Array, key: Array | None = None
) -> tuple[Any, Params]:
    """What the module makes of x, and its variables with the running statistics brought up to date.

    key: of dropout; None: no dropout.
    """
    rngs = None if key is None else {"dropout": key}
    output, changed = module.apply(variables, x, rngs=rngs, mutable=["batch_stats"])
    return output, {**variables, **changed}


def averages(old: Params, params: Params, step: Array, decay: float) -> Params:
    """The averages of networks, by name, after a step."""
    return {name: averaged(tree, params[name], step, decay) for name, tree in old.items()}


def averaged(old: Params, new: Params, step: Array, decay: float) -> Params:
    """The exponential average after a step. After few steps it is that of these few (TensorFlow's
    warm-up), not of the initial noise."""
    count = step.astype(jnp.float32)
    rate = jnp.minimum(decay, (1.0 + count) / (10.0 + count))

    def mixed(old: Array, new: Array) -> Array:
        if not jnp.issubdtype(old.dtype, jnp.floating):
            return new  # the number of batches that running statistics have seen
        return rate * old + (1.0 - rate) * new

    with jax.named_scope("averaging"):
        return jax.tree.map(mixed, old, new)


def updated(
    networks: Mapping[str, Network],
    state: State,
    gradients: Mapping[str, Params],
    rate: Array,
    decay: float,
) -> State:
    """The state after a step: networks moved along their gradients, averages after them."""
    params, moments = dict(state.params), dict(state.optimizer)
    for name, gradient in gradients.items():
        params[name], moments[name] = networks[name].stepped(
            name, params[name], gradient, moments[name], rate, state.step
        )
    return state.replace(
        step=state.step + 1,
        params=params,
        optimizer=moments,
        averaged=averages(state.averaged, params, state.step, decay),
    )
