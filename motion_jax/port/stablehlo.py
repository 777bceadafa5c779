"""Our generators as StableHLO (`jax.export`): one file for CPU, CUDA and TPU, any batch.

What is exported takes its weights as an argument, so that the program is small and the weights lie
beside it as an .npz that numpy reads. Each platform gets its own form of the convolutions
(nets.conv), chosen when the program is compiled there. The networks are traced for one picture and
mapped over the batch: the forms depend on the sizes, and the batch has none yet; and a batch norm
then takes the statistics of each picture, as the original programs do when they test.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util
from jax import Array, export

from motion_jax.files import atomic_path, write_bytes
from motion_jax.nets.conv import target_platform

# jax's names of the platforms, and whose form of nets.conv they get. The TPU's own constrains the
# layout of some pictures, by a custom call that jax.export does not let into files, because it may
# mean something else tomorrow; so a TPU gets the plain form.
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

    def form(platform: str) -> Callable[..., Array]:
        def one(weights: Mapping[str, Array], *pictures: Array) -> Array:
            tree = traverse_util.unflatten_dict(weights, sep=".")
            return module.apply(tree, jnp.concatenate(pictures, axis=-1)[None])[0]

        def batch(weights: Mapping[str, Array], *pictures: Array) -> Array:
            with target_platform(platform):
                return jax.vmap(one, in_axes=(None, *[0] * len(pictures)))(weights, *pictures)

        return batch

    forms = {name: form(ours) for name, ours in PLATFORMS.items()}

    def generate(weights: Mapping[str, Array], *pictures: Array) -> Array:
        return jax.lax.platform_dependent(weights, *pictures, **forms)

    (size,) = export.symbolic_shape("batch")
    pictures = [
        jax.ShapeDtypeStruct((size, height, width, channels), jnp.float32)
        for channels in inputs.values()
    ]
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), flat(params))
    return export.export(jax.jit(generate), platforms=list(PLATFORMS))(shapes, *pictures)


def write(path: Path, exported: export.Exported) -> None:
    """Writes the program, without its weights."""
    write_bytes(path, bytes(exported.serialize()))


def write_weights(path: Path, params: Mapping) -> None:
    """Writes the program's weights as an .npz."""
    with atomic_path(path) as temporary:
        np.savez(temporary, **flat(params))
