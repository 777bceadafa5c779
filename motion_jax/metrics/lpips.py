"""LPIPS v0.1: the learned perceptual distance of Zhang, Isola, Efros, Shechtman & Wang (2018).

d(x, y) = sum over layers l of the mean over positions of sum over channels c of
w_lc (f_lc(x) - f_lc(y))², where f are the features of a network trained on ImageNet (VGG-16 after
relu1_2, 2_2, 3_3, 4_3, 5_3, or AlexNet after each of its five ReLUs) divided by their length over
the channels, and w >= 0 are the published linear heads. Smaller is more alike.

The weights are not part of this project. They are read where they are present:
  lpips/vgg.pth or lpips/alex.pth (7 and 6 kB, the heads), and
  vgg16-397923af.pth or alexnet-owt-7be5be79.pth (torchvision's ImageNet weights)
in the folder given with --lpips, in $MOTION_JAX_MODELS, or in the cache's models folder. Where they
are not, the metric is absent and says why.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jaxtyping import Float, Float32, Real, Shaped

from motion_jax import files
from motion_jax.errors import UserError, option
from motion_jax.weights.torch import read_pth

# Of the published implementation's scaling layer, for pictures in [-1, 1].
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
EPSILON = 1e-10


@dataclass(frozen=True)
class Convolution:
    """One convolution and what surrounds it: a pooling before it, a tap after its ReLU.

    index: torchvision's index in `features`; pool: side of the max-pooling before it (stride 2), 0
    for none.
    """

    index: int
    channels: int
    side: int = 3
    stride: int = 1
    padding: int = 1
    pool: int = 0
    tap: bool = False


@dataclass(frozen=True)
class Backbone:
    name: str
    file: str
    heads: str
    least: int
    layers: tuple[Convolution, ...]

    @property
    def taps(self) -> tuple[int, ...]:
        """Channels of the layers that are compared."""
        return tuple(layer.channels for layer in self.layers if layer.tap)


C = Convolution
BACKBONES = {
    "vgg": Backbone(
        "vgg",
        "vgg16-397923af.pth",
        "vgg.pth",
        16,
        (
            C(0, 64), C(2, 64, tap=True),
            C(5, 128, pool=2), C(7, 128, tap=True),
            C(10, 256, pool=2), C(12, 256), C(14, 256, tap=True),
            C(17, 512, pool=2), C(19, 512), C(21, 512, tap=True),
            C(24, 512, pool=2), C(26, 512), C(28, 512, tap=True),
        ),
    ),
    "alex": Backbone(
        "alex",
        "alexnet-owt-7be5be79.pth",
        "alex.pth",
        31,
        (
            C(0, 64, side=11, stride=4, padding=2, tap=True),
            C(3, 192, side=5, padding=2, pool=3, tap=True),
            C(6, 384, pool=3, tap=True),
            C(8, 256, tap=True),
            C(10, 256, tap=True),
        ),
    ),
}  # fmt: skip


class Features(nn.Module):
    """Pictures in [-1, 1] → the feature maps that are compared, in order."""

    backbone: Backbone

    @nn.compact
    def __call__(self, x: Float[Array, "n h w 3"]) -> list[Float[Array, "n _ _ _"]]:
        outputs = []
        x = (x - jnp.array(SHIFT)) / jnp.array(SCALE)
        for layer in self.backbone.layers:
            if layer.pool:
                x = nn.max_pool(x, (layer.pool,) * 2, (2, 2))
            x = nn.relu(
                nn.Conv(
                    layer.channels,
                    (layer.side,) * 2,
                    (layer.stride,) * 2,
                    padding=layer.padding,
                    name=f"conv_{layer.index}",
                )(x)
            )
            if layer.tap:
                outputs.append(x)
        return outputs


def _cover(boxes: Array, size: tuple[int, int], cells: tuple[int, int]) -> Array:
    """[N, 4] boxes in pixels of a `size` frame → [N, h, w] share of each cell that a box covers."""

    def along(low: Array, high: Array, length: int, count: int) -> Array:
        edges = jnp.arange(count + 1) * (length / count)
        overlap = jnp.minimum(edges[1:], high[:, None]) - jnp.maximum(edges[:-1], low[:, None])
        return jnp.clip(overlap * (count / length), 0, 1)

    rows = along(boxes[:, 0], boxes[:, 2], size[0], cells[0])
    columns = along(boxes[:, 1], boxes[:, 3], size[1], cells[1])
    return rows[:, :, None] * columns[:, None, :]


@partial(jax.jit, static_argnames="network")
def boxed_distances(
    network: nn.Module,
    params: dict,
    heads: list[Float32[Array, " _"]],
    real: Shaped[Array, "n h w 3"],
    fake: Shaped[Array, "n h w 3"],
    boxes: Real[Array, "n k 4"],
) -> Float32[Array, "n k+1"]:
    """The weighted distance of a network's features, of whole frames, then inside each box; NaN for
    a box of no area.

    Args:
      network: pictures in [-1, 1] → feature maps; params: its parameters.
      heads: the weights of each map's channels.
      real, fake: in 0...255.
      boxes: in pixels. Inside a box each layer's mean is taken over the part of its
        positions that the box covers.
    """
    count, height, width, _ = real.shape
    size = (height, width)
    both = jnp.concatenate([real, fake]).astype(jnp.float32) / 127.5 - 1
    whole = jnp.broadcast_to(jnp.array([0.0, 0.0, *size]), (count, 1, 4))
    boxes = jnp.concatenate([whole, boxes.astype(jnp.float32)], axis=1)
    total = jnp.zeros(boxes.shape[:2])
    for features, head in zip(network.apply({"params": params}, both), heads, strict=True):
        length = jnp.sqrt(jnp.sum(features**2, axis=-1, keepdims=True))
        unit = features / (length + EPSILON)
        error = (unit[:count] - unit[count:]) ** 2 @ head
        for k in range(boxes.shape[1]):
            cover = _cover(boxes[:, k], size, (error.shape[1], error.shape[2]))
            area = cover.sum((1, 2))
            share = (error * cover).sum((1, 2)) / jnp.where(area > 0, area, 1)
            total = total.at[:, k].add(jnp.where(area > 0, share, jnp.nan))
    return total


class Lpips:
    """The metric with its weights: `metric(real, fake, boxes)`, see `boxed_distances`."""

    def __init__(self, network: str, params: dict, heads: list[Float32[np.ndarray, " _"]]):
        self.backbone, self.params, self.heads = BACKBONES[network], params, heads

    @property
    def name(self) -> str:
        return f"LPIPS v0.1 ({self.backbone.name})"

    def __call__(
        self,
        real: Shaped[np.ndarray, "n h w 3"],
        fake: Shaped[np.ndarray, "n h w 3"],
        boxes: Real[np.ndarray, "n k 4"],
    ) -> Float32[Array, "n k+1"]:
        """Raises ValueError where the frames are too small for the network."""
        if min(real.shape[1:3]) < self.backbone.least:
            raise ValueError(
                f"frames of {real.shape[2]}x{real.shape[1]} pixels are too small for "
                f"{self.backbone.name} (at least {self.backbone.least})"
            )
        network = Features(self.backbone)
        return boxed_distances(network, self.params, self.heads, real, fake, boxes)


def from_state(
    network: str, backbone: Mapping[str, np.ndarray], heads: Mapping[str, np.ndarray]
) -> Lpips:
    """From the published tensors: `features.<index>.weight` [out, in, h, w] and `.bias`, and
    `lin<k>.model.1.weight` [1, C, 1, 1]. Raises KeyError or ValueError where they do not fit."""
    kind = BACKBONES[network]
    params, inputs = {}, 3
    for layer in kind.layers:
        weight = np.asarray(backbone[f"features.{layer.index}.weight"], np.float32)
        bias = np.asarray(backbone[f"features.{layer.index}.bias"], np.float32)
        expected = (layer.channels, inputs, layer.side, layer.side)
        if weight.shape != expected:
            raise ValueError(f"features.{layer.index}.weight is {weight.shape} and not {expected}")
        params[f"conv_{layer.index}"] = {"kernel": weight.transpose(2, 3, 1, 0), "bias": bias}
        inputs = layer.channels
    vectors = []
    for k, channels in enumerate(kind.taps):
        weight = np.asarray(heads[f"lin{k}.model.1.weight"], np.float32)
        if weight.shape != (1, channels, 1, 1):
            raise ValueError(
                f"lin{k}.model.1.weight is {weight.shape} and not {(1, channels, 1, 1)}"
            )
        vectors.append(weight.ravel())
    return Lpips(network, params, vectors)


def load(network: str = "vgg", folder: Path | None = None) -> tuple[Lpips | None, str]:
    """(metric, ""), or (None, what is missing and where it was looked for).

    Args:
      network: "vgg" or "alex".
      folder: --lpips; None looks in $MOTION_JAX_MODELS and the cache's models folder.
    Raises UserError where `folder` is given and lacks a file, or where a file is damaged.
    """
    kind, models = BACKBONES[network], os.environ.get("MOTION_JAX_MODELS")
    places = [Path(folder)] if folder else [files.cache_folder() / "models"]
    if models and not folder:
        places.insert(0, Path(models))
    heads = _first([place / sub / kind.heads for place in places for sub in ("lpips", "")])
    backbone = _first([place / sub / kind.file for place in places for sub in ("", "lpips")])
    if heads is None or backbone is None:
        missing = [] if heads else [f"lpips/{kind.heads} (the LPIPS v0.1 heads)"]
        missing += [] if backbone else [f"{kind.file} (torchvision's ImageNet weights)"]
        where = " or ".join(str(place) for place in places)
        lacking = f"the weights {' and '.join(missing)}"
        if folder:
            raise UserError(
                f"{option('lpips')} {folder} lacks {lacking}; put them there or leave "
                f"{option('lpips')} out."
            )
        there = "are" if len(missing) > 1 else "is"
        return None, (
            f"{' and '.join(missing)} {there} not in {where}; download "
            f"{'them' if len(missing) > 1 else 'it'} there, or name a folder with --lpips"
        )
    try:
        return from_state(network, read_pth(backbone), read_pth(heads)), ""
    except (KeyError, ValueError) as error:
        raise UserError(
            f"The LPIPS weights {backbone} and {heads} do not fit the {network} network ({error}); "
            "download them again from their publishers."
        ) from error


def _first(paths: list[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)
