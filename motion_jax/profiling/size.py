"""Arithmetic, parameters and memory of a recipe's stages without tracing its steps.

For choosing among many sizes of networks: each network is traced once, without being run, in
hundredths of a second; the recipe says how often a step runs through it. profiling.cost traces and
compiles the step itself; tests compare the two.
"""

import functools
from dataclasses import dataclass
from typing import Any

import jax
from flax import linen as nn

from motion_jax.nets.conv import target_platform
from motion_jax.profiling.arithmetic import (
    count_parameters,
    equation_flops,
    inner_jaxprs,
    times,
)
from motion_jax.recipes.base import Recipe
from motion_jax.recipes.network import Network

FLOAT = 4  # bytes


@dataclass(frozen=True)
class Size:
    """Of one run of a network on one picture.

    Attributes:
      macs: multiply-adds of its convolutions and matrix products.
      parameters: numbers in its kernels, biases and norms.
      outputs: numbers that its convolutions and matrix products write.
      calls: how many of these there are.
    """

    macs: int
    parameters: int
    outputs: int
    calls: int


def network_size(network: Network) -> Size:
    """Of a network on its example inputs."""
    leaves, structure = jax.tree.flatten(network.inputs)
    try:
        return _traced(network.module, tuple(leaves), structure)
    except TypeError:  # a module with fields that have no hash
        return _traced.__wrapped__(network.module, tuple(leaves), structure)


@functools.lru_cache(maxsize=1024)
def _traced(module: nn.Module, leaves: tuple[Any, ...], structure: Any) -> Size:
    inputs = jax.tree.unflatten(structure, leaves)
    # The plain form of every convolution.
    with target_platform("plain"):
        jaxpr, (_, variables) = jax.make_jaxpr(module.init_with_output, return_shape=True)(
            jax.random.key(0), *inputs
        )
    macs, outputs, calls = _products(jaxpr.jaxpr)
    return Size(macs, count_parameters(variables.get("params", {})), outputs, calls)


def _products(jaxpr: Any) -> tuple[int, int, int]:
    """Multiply-adds of a jaxpr's convolutions and matrix products, the numbers they write, and how
    many there are."""
    macs = outputs = calls = 0
    for equation in jaxpr.eqns:
        if flops := equation_flops(equation):
            macs += flops // 2
            outputs += equation.outvars[0].aval.size
            calls += 1
        for inner in inner_jaxprs(equation):
            more = _products(inner)
            macs += times(equation) * more[0]
            outputs += times(equation) * more[1]
            calls += times(equation) * more[2]
    return macs, outputs, calls


# What is held for the backward pass, in numbers for each number that a convolution of a trained
# network writes. Measured: the slope of the temporary memory over the batch size of
# everybody_dance_now's global stage compiled for a TPU v5e; two_cores compiled for a CPU (its wider
# stages, as small's, hold 3.2 to 4.5; demo's 6.7).
ACTIVATIONS = {"accelerator": 3.0, "cpu": 4.5}
# Of a frozen network, which needs no gradients of its kernels (two_cores' face stage).
FROZEN = 1 / 3
# The gradient and the update of each trained parameter, float32 (the same compilation, batch 1).
GRADIENTS = 2


# Of a step compiled for an H200 (everybody_dance_now's three stages, bfloat16, as read in the
# programs): how often the kernels beside cuDNN's convolutions read or write a number that a
# convolution makes (2.6 to 3.1 for each pass); bytes that Adam, the average and the kernels'
# conversion move for each trained parameter; kernels for each convolution, itself included (6.0 to
# 6.7).
MOVES, PARAMETER_BYTES, KERNELS = 2.8, 40, 6.5


@dataclass(frozen=True)
class StageSize:
    """Of one training step of a stage.

    Attributes:
      flops: of its convolutions, two a multiply-add.
      state_bytes: parameters, Adam's moments and the average.
      held: numbers that convolutions write and a backward pass needs.
      trained: numbers in the trained parameters.
      itemsize: bytes of a number of those that are held.
      written: numbers that convolutions write in all passes.
      calls: convolutions and matrix products of the step as a program: those of a batch are one.
    """

    flops: float
    state_bytes: int
    held: float
    trained: int
    itemsize: int
    written: float
    calls: float

    @property
    def moved_bytes(self) -> float:
        """An estimate of what a GPU's kernels move beside its convolutions."""
        return MOVES * self.itemsize * self.written + PARAMETER_BYTES * self.trained

    @property
    def kernels(self) -> float:
        """An estimate of how many kernels a GPU runs."""
        return KERNELS * self.calls

    def temporary_bytes(self, accelerator: bool) -> float:
        """An estimate of what the compiler reserves beside the state."""
        times = ACTIVATIONS["accelerator" if accelerator else "cpu"]
        return times * self.itemsize * self.held + GRADIENTS * FLOAT * self.trained


def has_formula(recipe: Recipe) -> bool:
    """Whether stage_size knows the recipe."""
    return all(recipe.work(name) for name in recipe.stages())


def stage_size(recipe: Recipe, name: str) -> StageSize:
    """Of one step of a stage of a recipe that says what its steps do: see Recipe.work."""
    networks, macs, held = recipe.networks(name), 0, 0.0
    written, calls, batch = 0.0, 0.0, recipe.stages()[name].batch_size
    for work in recipe.work(name):
        size, frozen = network_size(work.network), work.network.optimizer is None
        macs += work.passes * size.macs
        written += work.passes * size.outputs
        calls += work.passes / batch * size.calls
        held += (FROZEN if frozen else 1) * work.held * size.outputs
    parameters = {n: network_size(each).parameters for n, each in networks.items()}
    trained = sum(parameters[network] for network in recipe.trained(name))
    average = sum(parameters[network] for network in networks if networks[network].averaged)
    numbers = sum(parameters.values()) + 2 * trained + average
    itemsize = 2 if recipe.dtype == "bfloat16" else FLOAT
    return StageSize(2 * macs, FLOAT * numbers, held, trained, itemsize, written, calls)
