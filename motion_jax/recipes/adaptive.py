"""Adaptive discriminator augmentation (Karras et al. 2020, "Training Generative Adversarial
Networks with Limited Data"): how pictures are varied before the discriminator sees them, and how
often.

Every sample draws for each kind of change whether it has it (with probability p) and how strongly.
The geometric ones are one matrix a sample; the picture is enlarged, sampled and reduced by an
orthogonal wavelet filter (appendix B of the paper). Shapes are static: the border is always
reflected by size - 1 pixels, the most that any program pads, where the published ones pad as much
as the batch at hand needs.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array
from jaxtyping import Float

from motion_jax.devices import layout
from motion_jax.errors import UserError, setting
from motion_jax.nets.resample import filtered, normalised

# Daubechies' least asymmetric wavelet of six vanishing moments, and of two.
SYM6 = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633,
    0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252,
    -0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip
SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)

_BLIT = ("xflip", "rotate90", "xint")
_GEOM = ("scale", "rotate", "aniso", "xfrac")
_COLOR = ("brightness", "contrast", "lumaflip", "hue", "saturation")
# The changes of each pipe, named as StyleGAN2-ADA names them.
PIPES: dict[str, tuple[str, ...]] = {
    "blit": _BLIT,
    "geom": _GEOM,
    "color": _COLOR,
    "filter": ("imgfilter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
    "bg": _BLIT + _GEOM,
    "bgc": _BLIT + _GEOM + _COLOR,
    "bgcf": (*_BLIT, *_GEOM, *_COLOR, "imgfilter"),
    "bgcfn": (*_BLIT, *_GEOM, *_COLOR, "imgfilter", "noise"),
    "bgcfnc": (*_BLIT, *_GEOM, *_COLOR, "imgfilter", "noise", "cutout"),
}


@dataclass(frozen=True)
class Strengths:
    """How far each change goes; the published values."""

    xint: float = 0.125
    """Largest shift by whole pixels, of the size."""
    scale: float = 0.2
    """Deviation of the logarithm (base 2) of the scale."""
    rotate: float = 1.0
    """Largest rotation, in half turns."""
    aniso: float = 0.2
    """Deviation of the logarithm of the scale in one direction."""
    xfrac: float = 0.125
    """Deviation of the shift, of the size."""
    brightness: float = 0.2
    """Deviation of what is added."""
    contrast: float = 0.5
    """Deviation of the logarithm of the contrast."""
    hue: float = 1.0
    """Largest turn of the hue, in half turns."""
    saturation: float = 1.0
    """Deviation of the logarithm of the saturation."""
    imgfilter: float = 1.0
    """Deviation of the logarithm of each frequency band's amplitude."""
    noise: float = 0.1
    """Deviation of the noise's deviation."""
    cutout: float = 0.5
    """Side of what is cut out, of the size."""


@dataclass(frozen=True)
class Augment:
    """Settings of the augmentation, and of how its probability follows the discriminator."""

    mode: Literal["none", "adaptive", "fixed"] = "none"
    """Off; with a probability that is adapted; or with the probability p."""
    pipe: str = "bgc"
    """Which changes: see PIPES."""
    p: float = 0.0
    """The probability; of "adaptive" that of the first step."""
    target: float = 0.6
    """The mean sign of the discriminator's scores of real pictures that is aimed at."""
    length: int = 500_000
    """Real pictures in which p can go from 0 to 1."""
    every: int = 8
    """Steps between two changes of p."""
    strengths: Strengths = field(default_factory=Strengths)

    def check(self) -> None:
        """Raises UserError for what cannot be."""
        if self.pipe not in PIPES:
            raise UserError(
                f"{setting('recipe.augment.pipe')} = {self.pipe!r} is none of {', '.join(PIPES)}."
            )
        if not 0.0 <= self.p <= 1.0:
            raise UserError(
                f"{setting('recipe.augment.p')} = {self.p} is no probability; use 0 to 1."
            )
        for name in ("length", "every"):
            if getattr(self, name) < 1:
                raise UserError(f"{setting(f'recipe.augment.{name}')} must be at least 1.")


@struct.dataclass
class Adapted:
    """What the controller carries: float32 scalars. signs: the mean sign at its last look."""

    p: Array
    total: Array
    count: Array
    calls: Array
    signs: Array


def begun(augment: Augment) -> Adapted:
    """Before the first step."""
    zero = jnp.zeros((), jnp.float32)
    return Adapted(jnp.full((), augment.p, jnp.float32), zero, zero, zero, zero)


def adapted(augment: Augment, state: Adapted, scores: Float[Array, " n"]) -> Adapted:
    """After a step with these scores of real pictures: every `every` steps p moves by the number of
    scores since over `length`, up where their mean sign is above the target."""
    count = scores.shape[0] * layout.shares()
    total = state.total + layout.batch_mean(jnp.sign(scores).mean()) * count
    seen, calls = state.count + count, state.calls + 1
    due = calls >= augment.every
    signs = jnp.where(due, total / seen, state.signs)
    step = jnp.where(signs > augment.target, 1.0, -1.0) * seen / augment.length
    p = jnp.where(due, jnp.clip(state.p + step, 0.0, 1.0), state.p)
    kept = 1.0 - due
    return Adapted(p, total * kept, seen * kept, calls * kept, signs)


# --- what is drawn --------------------------------------------------------------------------------


class Draws(Protocol):
    """Where random numbers come from. Each name is drawn once."""

    batch: int

    def uniform(self, name: str, width: int = 1) -> Array:
        """In [0, 1), [batch, width]."""
        ...

    def normal(self, name: str, width: int = 1) -> Array:
        """[batch, width]."""
        ...

    def chosen(self, name: str, values: Array, otherwise: float, share: float = 1.0) -> Array:
        """The values [batch, width] where a coin of probability `share` of p says so."""
        ...


class Random:
    """Numbers of a key; p: the probability of each change."""

    def __init__(self, key: Array, p: Array | float, batch: int):
        self._key, self._p, self.batch, self._count = key, p, batch, 0

    def _next(self) -> Array:
        self._count += 1
        return jax.random.fold_in(self._key, self._count)

    def uniform(self, name: str, width: int = 1) -> Array:
        key = self._next()
        return layout.drawn(lambda shape: jax.random.uniform(key, shape), (self.batch, width))

    def normal(self, name: str, width: int = 1) -> Array:
        key = self._next()
        return layout.drawn(lambda shape: jax.random.normal(key, shape), (self.batch, width))

    def chosen(self, name: str, values: Array, otherwise: float, share: float = 1.0) -> Array:
        p = jnp.clip(self._p * share, 0.0, 1.0)
        if name.startswith("rotate_"):  # one of the two turns happens with probability p
            p = 1.0 - jnp.sqrt(1.0 - p)
        return jnp.where(self.uniform(name) < p, values, otherwise)


# --- the pipe -------------------------------------------------------------------------------------


def varied(
    images: Float[Array, "n h w c"], augment: Augment, draws: Draws
) -> Float[Array, "n h w c"]:
    """The pictures after the pipe's changes."""
    kinds, strengths = PIPES[augment.pipe], augment.strengths
    height, width = images.shape[1:3]
    if set(kinds) & set(_BLIT + _GEOM):
        images = warped(images, geometry(kinds, strengths, draws, height, width))
    if set(kinds) & set(_COLOR) and images.shape[-1] >= 3:
        images = coloured(images, colours(kinds, strengths, draws))
    if "imgfilter" in kinds:
        images = banded(images, _amplitudes(strengths, draws))
    if "noise" in kinds:
        sigma = jnp.abs(draws.normal("noise")) * strengths.noise
        sigma = draws.chosen("noise?", sigma, 0.0)[:, :, None, None]
        flat = draws.normal("grain", math.prod(images.shape[1:]))
        images = images + sigma * flat.reshape(images.shape)
    if "cutout" in kinds:
        images = _cut(images, strengths, draws)
    return images


def geometry(
    kinds: tuple[str, ...], strengths: Strengths, draws: Draws, height: int, width: int
) -> Float[Array, "n 3 3"]:
    """Of each sample the matrix from a pixel of the result to the place of the picture that it
    shows, both about the picture's middle."""
    matrix = jnp.broadcast_to(jnp.eye(3), (draws.batch, 3, 3))

    def turned(angle: Array) -> Array:
        sin, cos, zero = jnp.sin(angle), jnp.cos(angle), jnp.zeros_like(angle)
        return _matrix([[cos, -sin, zero], [sin, cos, zero], [zero, zero, zero + 1]])

    def stretched(x: Array, y: Array) -> Array:
        zero = jnp.zeros_like(x)
        return _matrix([[1 / x, zero, zero], [zero, 1 / y, zero], [zero, zero, zero + 1]])

    def moved(x: Array, y: Array) -> Array:
        zero = jnp.zeros_like(x)
        return _matrix([[zero + 1, zero, -x], [zero, zero + 1, -y], [zero, zero, zero + 1]])

    size = jnp.array([width, height], jnp.float32)
    if "xflip" in kinds:
        flip = draws.chosen("xflip?", jnp.floor(2 * draws.uniform("xflip")), 0.0)[:, 0]
        matrix = matrix @ stretched(1 - 2 * flip, jnp.ones_like(flip))
    if "rotate90" in kinds:
        turns = draws.chosen("rotate90?", jnp.floor(4 * draws.uniform("rotate90")), 0.0)[:, 0]
        matrix = matrix @ turned(math.pi / 2 * turns)
    if "xint" in kinds:
        shift = (2 * draws.uniform("xint", 2) - 1) * strengths.xint
        shift = jnp.round(draws.chosen("xint?", shift, 0.0) * size)
        matrix = matrix @ moved(shift[:, 0], shift[:, 1])
    if "scale" in kinds:
        factor = jnp.exp2(draws.normal("scale") * strengths.scale)
        factor = draws.chosen("scale?", factor, 1.0)[:, 0]
        matrix = matrix @ stretched(factor, factor)

    def turn(name: str) -> Array:
        angle = (2 * draws.uniform(name) - 1) * (math.pi * strengths.rotate)
        return turned(draws.chosen(name, angle, 0.0)[:, 0])

    if "rotate" in kinds:
        matrix = matrix @ turn("rotate_before")
    if "aniso" in kinds:
        factor = jnp.exp2(draws.normal("aniso") * strengths.aniso)
        factor = draws.chosen("aniso?", factor, 1.0)[:, 0]
        matrix = matrix @ stretched(factor, 1 / factor)
    if "rotate" in kinds:
        matrix = matrix @ turn("rotate_after")
    if "xfrac" in kinds:
        shift = draws.chosen("xfrac?", draws.normal("xfrac", 2) * strengths.xfrac, 0.0) * size
        matrix = matrix @ moved(shift[:, 0], shift[:, 1])
    return matrix


def _matrix(rows: list[list[Array]]) -> Array:
    """[n, k, k] of entries [n]."""
    return jnp.stack([jnp.stack(row, -1) for row in rows], -2)


def warped(
    images: Float[Array, "n h w c"], inverse: Float[Array, "n 3 3"]
) -> Float[Array, "n h w c"]:
    """The pictures seen through the matrices of `geometry`, without aliasing: reflected at the
    border, enlarged twice, sampled, reduced."""
    height, width = images.shape[1:3]
    taps = normalised(SYM6)
    rest = len(taps) // 4  # pixels that the filter reaches beyond the border
    far_y, far_x = height - 1, width - 1
    padded = jnp.pad(images, ((0, 0), (far_y, far_y), (far_x, far_x), (0, 0)), mode="reflect")
    half = len(taps) // 2
    large = filtered(padded, taps, (half, half - 1), up=2, gain=4.0)
    # Places in the enlarged picture: the middle of pixel i of the result lies at (i + 1/2) / 2 of
    # the original's pixels, counted from the edge.
    rows, columns = 2 * (height + 2 * rest), 2 * (width + 2 * rest)
    y = (jnp.arange(rows) + 0.5 - rows / 2)[:, None] / 2
    x = (jnp.arange(columns) + 0.5 - columns / 2)[None, :] / 2
    # In the published order of matrices the middle of the large picture is half of its pixel off.
    y, x = y + 0.25, x + 0.25
    a = inverse[:, :2, :, None, None]
    from_x = a[:, 0, 0] * x + a[:, 0, 1] * y + a[:, 0, 2]
    from_y = a[:, 1, 0] * x + a[:, 1, 1] * y + a[:, 1, 2]
    at_x = 2 * (from_x - 0.25) + large.shape[2] / 2 - 0.5
    at_y = 2 * (from_y - 0.25) + large.shape[1] / 2 - 0.5
    seen = jax.vmap(_bilinear)(large, at_y, at_x)
    edge = half - 1 - 2 * rest
    return filtered(seen, taps[::-1], (edge, edge), down=2)


def _bilinear(picture: Array, y: Array, x: Array) -> Array:
    """[H, W, C] at places [...] in pixels; zero outside."""
    height, width = picture.shape[:2]
    flat = picture.reshape(height * width, -1)
    top, left = jnp.floor(y), jnp.floor(x)
    total: Any = 0.0
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        i, j = top + row, left + column
        weight = (1 - jnp.abs(y - i)) * (1 - jnp.abs(x - j))
        inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
        place = jnp.clip(i, 0, height - 1) * width + jnp.clip(j, 0, width - 1)
        total += jnp.where(inside, weight, 0.0)[..., None] * flat[place.astype(jnp.int32)]
    return total


def colours(kinds: tuple[str, ...], strengths: Strengths, draws: Draws) -> Float[Array, "n 4 4"]:
    """Of each sample the affine map of its colours."""
    matrix = jnp.broadcast_to(jnp.eye(4), (draws.batch, 4, 4))
    grey = np.array([1, 1, 1, 0]) / math.sqrt(3)
    luma = jnp.asarray(np.outer(grey, grey), jnp.float32)
    if "brightness" in kinds:
        b = draws.chosen("brightness?", draws.normal("brightness") * strengths.brightness, 0.0)
        shift = jnp.zeros((draws.batch, 4, 4)).at[:, :3, 3].set(b)
        matrix = (jnp.eye(4) + shift) @ matrix
    if "contrast" in kinds:
        c = jnp.exp2(draws.normal("contrast") * strengths.contrast)
        c = draws.chosen("contrast?", c, 1.0)
        scale = jnp.concatenate([c, c, c, jnp.ones_like(c)], -1)
        matrix = scale[:, :, None] * matrix
    if "lumaflip" in kinds:
        flip = draws.chosen("lumaflip?", jnp.floor(2 * draws.uniform("lumaflip")), 0.0)
        matrix = (jnp.eye(4) - 2 * luma * flip[:, :, None]) @ matrix
    if "hue" in kinds:
        angle = (2 * draws.uniform("hue") - 1) * (math.pi * strengths.hue)
        matrix = _about_grey(draws.chosen("hue?", angle, 0.0)[:, 0]) @ matrix
    if "saturation" in kinds:
        s = jnp.exp2(draws.normal("saturation") * strengths.saturation)
        s = draws.chosen("saturation?", s, 1.0)[:, :, None]
        matrix = (luma + (jnp.eye(4) - luma) * s) @ matrix
    return matrix


def _about_grey(angle: Float[Array, " n"]) -> Float[Array, "n 4 4"]:
    """Rotation about the axis of greys (Rodrigues)."""
    a = 1 / math.sqrt(3)
    cross = jnp.array([[0, -a, a], [a, 0, -a], [-a, a, 0]], jnp.float32)
    cos, sin = jnp.cos(angle)[:, None, None], jnp.sin(angle)[:, None, None]
    turn = cos * jnp.eye(3) + (1 - cos) * a * a + sin * cross
    return jnp.zeros((angle.shape[0], 4, 4)).at[:, :3, :3].set(turn).at[:, 3, 3].set(1.0)


def coloured(
    images: Float[Array, "n h w c"], matrix: Float[Array, "n 4 4"]
) -> Float[Array, "n h w c"]:
    """The pictures after an affine map of each one's colours; further channels stay."""
    rgb = jnp.einsum("nhwj,nij->nhwi", images[..., :3], matrix[:, :3, :3])
    rgb = rgb + matrix[:, None, None, :3, 3]
    return jnp.concatenate([rgb, images[..., 3:]], axis=-1)


def _bank() -> np.ndarray:
    """[4, taps]: filters of four octaves, which add up to the unit impulse."""
    low = np.asarray(SYM2)
    high = low * (-1.0) ** np.arange(low.size)
    low, high = (np.convolve(h, h[::-1]) / 2 for h in (low, high))
    bank = np.eye(4, 1)
    for i in range(1, 4):
        stuffed = np.zeros((4, 2 * bank.shape[1] - 1))
        stuffed[:, ::2] = bank
        bank = np.stack([np.convolve(row, low) for row in stuffed])
        middle = (bank.shape[1] - high.size) // 2
        bank[i, middle : middle + high.size] += high
    return bank


# The power that natural pictures have in each octave, lowest first, as a share.
_POWER = np.array([10, 1, 1, 1]) / 13


def _amplitudes(strengths: Strengths, draws: Draws) -> Float[Array, "n 4"]:
    """Of each octave, such that the expected power stays."""
    total: Any = jnp.ones((draws.batch, 4))
    for band in range(4):
        factor = jnp.exp2(draws.normal(f"band {band}") * strengths.imgfilter)
        factor = draws.chosen(f"band {band}?", factor, 1.0)
        each = jnp.where(jnp.arange(4) == band, factor, 1.0)
        power = (jnp.asarray(_POWER, jnp.float32) * jnp.square(each)).sum(-1, keepdims=True)
        total = total * each / jnp.sqrt(power)
    return total


def banded(
    images: Float[Array, "n h w c"], amplitudes: Float[Array, "n 4"]
) -> Float[Array, "n h w c"]:
    """The pictures with each octave of each sample times its amplitude."""
    taps = amplitudes @ jnp.asarray(_bank(), jnp.float32)
    half = taps.shape[-1] // 2
    # Small pictures are reflected more than once.
    x = jnp.pad(images, ((0, 0), (half, half), (half, half), (0, 0)), mode="reflect")
    for axis in (1, 2):
        size = images.shape[axis]
        parts = [
            jax.lax.slice_in_dim(x, k, k + size, axis=axis) * taps[:, k, None, None, None]
            for k in range(taps.shape[-1])
        ]
        x = sum(parts[1:], start=parts[0])
    return x


def _cut(images: Array, strengths: Strengths, draws: Draws) -> Array:
    height, width = images.shape[1:3]
    size = draws.chosen("cutout?", jnp.full((draws.batch, 1), strengths.cutout), 0.0)
    centre = draws.uniform("cutout", 2)
    x, y = (jnp.arange(width) + 0.5) / width, (jnp.arange(height) + 0.5) / height
    far_x = jnp.abs(x - centre[:, :1]) >= size / 2
    far_y = jnp.abs(y - centre[:, 1:]) >= size / 2
    return images * (far_x[:, None, :] | far_y[:, :, None])[..., None]


def shown(augment: Augment, state: Mapping[str, Array] | Adapted) -> dict[str, Array]:
    """What is logged of the controller."""
    if augment.mode != "adaptive" or not isinstance(state, Adapted):
        return {}
    return {"augment_p": state.p, "real_signs": state.signs}
