"""The keys of the First Order Motion Model's networks, and what the keys and shapes of a file say
about how a network was built.

Not in keys and shapes: the detector's temperature and padding, the variance of bumps, and what
align_corners was. Widths that no layer reaches are given as the least that none exceeds.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from motion_jax.errors import UserError
from motion_jax.nets import first_order
from motion_jax.nets.first_order_discriminator import MultiScaleDiscriminator, scale_name
from motion_jax.nets.sampling import anti_alias_kernel, anti_alias_taps
from motion_jax.weights.names import Entry, from_torch

Weights = Mapping[str, np.ndarray]
# Kernels that the original stores and computes anew: only their size is needed.
SHRINKING = "down.weight"


def _normed(path: tuple[str, ...], prefix: str) -> Iterator[Entry]:
    yield (*path, "conv"), f"{prefix}.conv", "conv"
    yield (*path, "norm"), f"{prefix}.norm", "batch_norm"


def _hourglass(path: tuple[str, ...], prefix: str, halvings: int) -> Iterator[Entry]:
    for i in range(halvings):
        yield from _normed((*path, f"down_{i}"), f"{prefix}.encoder.down_blocks.{i}")
        yield from _normed((*path, f"up_{i}"), f"{prefix}.decoder.up_blocks.{i}")


def detector(module: first_order.KeypointDetector) -> Iterator[Entry]:
    """Of a KPDetector's state_dict."""
    yield from _hourglass(("hourglass",), "predictor", module.halvings)
    yield ("kp",), "kp", "conv"
    if module.jacobian:
        yield ("jacobian_map",), "jacobian", "conv"


def dense_motion(
    module: first_order.DenseMotion, path: tuple[str, ...] = (), prefix: str = ""
) -> Iterator[Entry]:
    """Of a DenseMotionNetwork's; within a generator's with its path and prefix ("name.")."""
    yield from _hourglass((*path, "hourglass"), f"{prefix}hourglass", module.halvings)
    yield (*path, "mask"), f"{prefix}mask", "conv"
    if module.occlusion:
        yield (*path, "occlusion_map"), f"{prefix}occlusion", "conv"


def generator(module: first_order.OcclusionAwareGenerator) -> Iterator[Entry]:
    """Of an OcclusionAwareGenerator's."""
    if module.motion is not None:
        yield from dense_motion(module.motion, ("motion",), "dense_motion_network.")
    yield from _normed(("first",), "first")
    for i in range(module.halvings):
        yield from _normed((f"down_{i}",), f"down_blocks.{i}")
        yield from _normed((f"up_{i}",), f"up_blocks.{i}")
    for i in range(module.residuals):
        for part in ("conv1", "conv2"):
            yield (f"residual_{i}", part), f"bottleneck.r{i}.{part}", "conv"
        for part in ("norm1", "norm2"):
            yield (f"residual_{i}", part), f"bottleneck.r{i}.{part}", "batch_norm"
    yield ("last",), "final", "conv"


def discriminator(module: MultiScaleDiscriminator) -> Iterator[Entry]:
    """Of a MultiScaleDiscriminator's."""
    kind = "spectral" if module.spectral else "conv"
    for scale in module.scales:
        path, prefix = f"scale_{scale_name(scale)}", f"discs.{scale_name(scale)}"
        for i in range(module.blocks):
            yield (path, f"down_{i}_conv"), f"{prefix}.down_blocks.{i}.conv", kind
            if i:
                yield (path, f"down_{i}_norm"), f"{prefix}.down_blocks.{i}.norm", "affine"
        yield (path, "last"), f"{prefix}.conv", kind


def entries(module: Any) -> Iterator[Entry]:
    """Of any of these networks. TypeError for another one."""
    table: dict[type, Callable[[Any], Iterator[Entry]]] = {
        first_order.KeypointDetector: detector,
        first_order.DenseMotion: dense_motion,
        first_order.OcclusionAwareGenerator: generator,
        MultiScaleDiscriminator: discriminator,
    }
    if type(module) not in table:
        raise TypeError(f"{type(module).__name__} is no network of the First Order Motion Model")
    return table[type(module)](module)


def variables(weights: Weights, module: Any, where: str) -> dict[str, Any]:
    """A network's variables from its state_dict. Raises UserError where they do not belong
    together."""
    shown = {key: value for key, value in weights.items() if not _is_shrinking(key)}
    return from_torch(shown, entries(module), where)


def shrinking_kernels(module: Any, channels: int) -> dict[str, np.ndarray]:
    """The fixed kernels that the original's state_dict holds besides, by their keys."""
    found = {}
    for prefix, part in (("", module), ("dense_motion_network.", getattr(module, "motion", None))):
        scale = getattr(part, "scale", 1.0)
        if scale != 1:
            row = anti_alias_kernel(scale)
            kernel = np.broadcast_to(np.outer(row, row), (channels, 1, len(row), len(row)))
            found[prefix + SHRINKING] = np.ascontiguousarray(kernel)
    return found


def _is_shrinking(key: str) -> bool:
    return key == SHRINKING or key.endswith(f".{SHRINKING}")


# --- from keys and shapes -------------------------------------------------------------------------


def _count(weights: Weights, pattern: str) -> int:
    """How many numbers there are in place of the group in keys that match."""
    found = {m.group(1) for key in weights if (m := re.match(pattern, key))}
    return len(found)


def _most(widths: list[int], expansion: int, halvings: int) -> int:
    """The largest number of channels, from those of the layers that double them."""
    free = [expansion * 2 ** (i + 1) for i in range(halvings)]
    limited = [width for width, wanted in zip(widths, free, strict=True) if width != wanted]
    return limited[-1] if limited else max([*free, expansion])


def _scale(weights: Weights, key: str) -> float:
    """Of the picture that a network sees, from the size of the stored kernel."""
    if key not in weights:
        return 1.0
    taps = weights[key].shape[-1]
    for step in range(2, 65):
        if anti_alias_taps(1 / step) == taps:
            return 1 / step
    raise UserError(
        f"{key} has {taps} taps, which no whole reduction of a picture needs; check that the file "
        "is one of the First Order Motion Model."
    )


def hourglass_settings(weights: Weights, prefix: str) -> dict[str, Any]:
    """expansion, most and halvings."""
    down = f"{prefix}.encoder.down_blocks"
    halvings = _count(weights, re.escape(down) + r"\.(\d+)\.conv\.weight$")
    last = weights[f"{prefix}.decoder.up_blocks.{halvings - 1}.conv.weight"]
    expansion = int(last.shape[0])
    widths = [int(weights[f"{down}.{i}.conv.weight"].shape[0]) for i in range(halvings)]
    return {
        "expansion": expansion,
        "most": _most(widths, expansion, halvings),
        "halvings": halvings,
    }


def detector_settings(weights: Weights) -> dict[str, Any]:
    """Fields of a KeypointDetector that a state_dict shows."""
    count = int(weights["kp.weight"].shape[0])
    jacobian = weights.get("jacobian.weight")
    maps = 0 if jacobian is None else jacobian.shape[0] // 4
    return hourglass_settings(weights, "predictor") | {
        "count": count,
        "jacobian": jacobian is not None,
        "single_map": maps == 1 and count != 1,
        "scale": _scale(weights, SHRINKING),
    }


def generator_settings(weights: Weights) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Fields of an OcclusionAwareGenerator, and those of its DenseMotion or None, that a state_dict
    shows."""
    halvings = _count(weights, r"down_blocks\.(\d+)\.conv\.weight$")
    expansion = int(weights["first.conv.weight"].shape[0])
    widths = [int(weights[f"down_blocks.{i}.conv.weight"].shape[0]) for i in range(halvings)]
    fields = {
        "channels": int(weights["first.conv.weight"].shape[1]),
        "expansion": expansion,
        "most": _most(widths, expansion, halvings),
        "halvings": halvings,
        "residuals": _count(weights, r"bottleneck\.r(\d+)\.conv1\.weight$"),
    }
    inner = "dense_motion_network."
    motion = {k.removeprefix(inner): v for k, v in weights.items() if k.startswith(inner)}
    if not motion:
        return fields, None
    count = int(motion["mask.weight"].shape[0]) - 1
    return fields, hourglass_settings(motion, "hourglass") | {
        "count": count,
        "occlusion": "occlusion.weight" in motion,
        "scale": _scale(motion, SHRINKING),
    }


def discriminator_settings(weights: Weights) -> dict[str, Any]:
    """Fields of a MultiScaleDiscriminator that a state_dict shows."""
    names = list(dict.fromkeys(key.split(".")[1] for key in weights if key.startswith("discs.")))
    prefix = f"discs.{names[0]}.down_blocks"
    spectral = f"{prefix}.0.conv.weight_orig" in weights
    end = "weight_orig" if spectral else "weight"
    blocks = _count(weights, re.escape(prefix) + rf"\.(\d+)\.conv\.{end}$")
    shapes = [weights[f"{prefix}.{i}.conv.{end}"].shape for i in range(blocks)]
    expansion = int(shapes[0][0]) // 2
    widths = [int(shape[0]) for shape in shapes]
    return {
        "scales": tuple(float(name.replace("-", ".")) for name in names),
        "expansion": expansion,
        "most": _most(widths, expansion, blocks),
        "blocks": blocks,
        "spectral": spectral,
        "points": int(shapes[0][1]) > 3,
    }
