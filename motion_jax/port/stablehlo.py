"""Our generators as StableHLO (`jax.export`): one file for CPU, CUDA and TPU, any batch.

What is exported takes its weights as an argument, so that the program is small and the weights lie
beside it as an .npz that numpy reads. Each platform gets its own form of the convolutions
(nets.conv), chosen when the program is compiled there. The networks are traced for one picture and
mapped over the batch: the forms depend on the sizes, and the batch has none yet; and a batch norm
then takes the statistics of each picture, as the original programs do when they test.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util
from jax import Array, export

from motion_jax.files import atomic_path, write_bytes
from motion_jax.nets.conv import target_platform

# jax's names of the platforms, and whose form of nets.conv they get. A TPU gets the plain form: its
# own one constrains the layout of some pictures, by a custom call that jax.export does not let into
# files, because its meaning may change.
PLATFORMS = {"cpu": "cpu", "cuda": "gpu", "tpu": "gpu"}


def flat(params: Mapping) -> dict[str, np.ndarray]:
    """{"params": {"first": {"bias": …}}} -> {"params.first.bias": …}."""
    leaves = traverse_util.flatten_dict(dict(params), sep=".")
    return {name: np.asarray(value) for name, value in leaves.items()}


def build(
    module: nn.Module, params: Mapping, inputs: Mapping[str, int], height: int, width: int
) -> export.Exported:
    """The program (weights, *inputs) -> output.

    weights: `flat(params)`; inputs and output float32 [batch, height, width, channels]; inputs:
    names and channels, which side by side are the network's input.
    """
    pictures = [
        jax.ShapeDtypeStruct((height, width, channels), jnp.float32) for channels in inputs.values()
    ]
    return _exported(module, params, pictures, lambda *x: (jnp.concatenate(x, axis=-1),))


def build_any(module: nn.Module, params: Mapping, inputs: tuple[Any, ...]) -> export.Exported:
    """The program (weights, *arrays) -> list of arrays, of a network that is called with any
    pytrees, each array of them with a batch.

    inputs: examples, of one each.
    """
    leaves, structure = jax.tree.flatten(inputs)
    shown = [jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype) for leaf in leaves]
    return _exported(module, params, shown, lambda *x: jax.tree.unflatten(structure, x), list)


def _exported(
    module: nn.Module,
    params: Mapping,
    shown: list[jax.ShapeDtypeStruct],
    arranged: Callable[..., tuple[Any, ...]],
    wrapped: Callable[[list[Array]], Any] = lambda outputs: outputs[0],
) -> export.Exported:
    """shown: of one example, without a batch; arranged: such arrays as the module's arguments;
    wrapped: its arrays as the program's result."""

    def form(platform: str) -> Callable[..., Any]:
        def one(weights: Mapping[str, Array], *arrays: Array) -> Any:
            tree = traverse_util.unflatten_dict(weights, sep=".")
            arguments = jax.tree.map(lambda x: x[None], arranged(*arrays))
            outputs = jax.tree.leaves(module.apply(tree, *arguments))
            return wrapped([output[0] for output in outputs])

        def batch(weights: Mapping[str, Array], *arrays: Array) -> Any:
            with target_platform(platform):
                return jax.vmap(one, in_axes=(None, *[0] * len(arrays)))(weights, *arrays)

        return batch

    forms = {name: form(ours) for name, ours in PLATFORMS.items()}

    def generate(weights: Mapping[str, Array], *arrays: Array) -> Any:
        return jax.lax.platform_dependent(weights, *arrays, **forms)

    (size,) = export.symbolic_shape("batch")
    arrays = [jax.ShapeDtypeStruct((size, *leaf.shape), leaf.dtype) for leaf in shown]
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), flat(params))
    return export.export(jax.jit(generate), platforms=list(PLATFORMS))(shapes, *arrays)


def write(path: Path, exported: export.Exported) -> None:
    """Writes the program, without its weights."""
    write_bytes(path, bytes(exported.serialize()))


def write_weights(path: Path, params: Mapping) -> None:
    """Writes the program's weights as an .npz."""
    with atomic_path(path) as temporary:
        arrays: dict[str, Any] = flat(params)  # no parameter has the name of np.savez's option
        np.savez(temporary, **arrays)
