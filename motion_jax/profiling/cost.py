"""What a training step costs: parameters, arithmetic, memory."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from motion_jax import mesh as meshes
from motion_jax.config import Config


def count_parameters(tree: Any) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def flops(jaxpr: Any) -> int:
    """Floating-point operations (two a multiply-add) of a jaxpr's convolutions and matrix products.

    A scan's body counts once for each of its steps. Elementwise work is left out; in these networks
    it is below one percent.
    """
    total = 0
    for equation in jaxpr.eqns:
        total += equation_flops(equation)
        for inner in inner_jaxprs(equation):
            total += times(equation) * flops(inner)
    return total


def equation_flops(equation: Any) -> int:
    """Of one convolution or matrix product; 0 for anything else."""
    params = equation.params
    if equation.primitive.name == "conv_general_dilated":
        spec = params["dimension_numbers"]
        kernel = equation.invars[1].aval.shape
        out = equation.outvars[0].aval
        per_output = math.prod(kernel) // kernel[spec.rhs_spec[0]]
        # Zeros between the pixels of a dilated input are multiplied by no sensible program.
        per_output /= math.prod(params["lhs_dilation"])
        return int(2 * math.prod(out.shape) * per_output)
    if equation.primitive.name == "dot_general":
        (contract, _), _ = params["dimension_numbers"]
        left = equation.invars[0].aval.shape
        shared = math.prod(left[axis] for axis in contract)
        return 2 * math.prod(equation.outvars[0].aval.shape) * shared
    return 0


def times(equation: Any) -> int:
    """How often the inner jaxprs of an equation run; 1 where only the run itself can tell."""
    return equation.params.get("length", 1) if equation.primitive.name == "scan" else 1


def inner_jaxprs(equation: Any) -> list[Any]:
    """The jaxprs inside an equation: of a loop, a condition, a jitted function."""
    found = []
    for value in equation.params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            item = getattr(item, "jaxpr", item)
            if hasattr(item, "eqns"):
                found.append(item)
    return found


def describe_stage(config: Config, name: str) -> dict[str, Any]:
    """Parameters, arithmetic and memory of one stage's train step, without training.

    The arithmetic is of the step as it is written for accelerators; memory is the compiler's own
    account for the devices at hand.
    """
    from motion_jax.nets.conv import target_platform
    from motion_jax.nets.vgg import VGG19
    from motion_jax.train.loop import abstract_state, compiled_step

    recipe, stage = config.recipe, config.recipe.stages()[name]
    mesh = meshes.data_mesh(stage.batch_size)
    state = abstract_state(config, name, meshes.replicated(mesh))
    lead = (stage.batch_size, stage.window)
    batch = {
        "frames": jax.ShapeDtypeStruct((*lead, stage.height, stage.width, 3), jnp.uint8),
        "keypoints": jax.ShapeDtypeStruct((*lead, 137, 3), jnp.float32),
        "face_boxes": jax.ShapeDtypeStruct((*lead, 4), jnp.float32),
    }
    frozen = {}
    if recipe.losses.perceptual == "vgg19":
        picture = jnp.zeros((1, 16, 16, 3))
        frozen["vgg19"] = jax.eval_shape(VGG19().init, jax.random.key(0), picture)
    with target_platform("gpu"):
        jaxpr = jax.make_jaxpr(
            lambda state, batch, frozen: recipe.train_step(state, batch, name, frozen)
        )(state, batch, frozen)
    memory = compiled_step(config, name, mesh).lower(state, batch, frozen).compile()
    memory = memory.memory_analysis()
    return {
        "parameters": {network: count_parameters(p) for network, p in state.params.items()},
        "trained": list(state.optimizer),
        "gflop_per_step": flops(jaxpr.jaxpr) / 1e9,
        "state_mb": sum(
            x.size * x.dtype.itemsize
            for x in jax.tree.leaves(state.replace(key=jnp.zeros((2,), jnp.uint32)))
        )
        / 1e6,
        "temporary_mb": memory.temp_size_in_bytes / 1e6,
        "devices": mesh.size,
    }
