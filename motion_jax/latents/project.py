"""`motion-jax project`: the latent with which a generator makes a given picture, by gradient
descent on the latent and the noise maps (Karras et al. 2020, appendix D, as rosinality's program
has it).

Two things are other than in UI2I's program, whose inversions come out near black: the start is the
mean of w, or an encoder's answer, and what is kept is the last step.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax import Array
from jaxtyping import Float, UInt8

from motion_jax.data.records import encode_picture
from motion_jax.errors import UserError, option
from motion_jax.files import check_outputs, check_writable, write_bytes, writing
from motion_jax.latents.encoder import load_encoder
from motion_jax.latents.factors import directions
from motion_jax.latents.model import Model, check_alike, load_model
from motion_jax.latents.options import EncoderOptions, ProjectOptions
from motion_jax.nets import stylegan2 as nets
from motion_jax.progress import say
from motion_jax.provenance import xmp
from motion_jax.recipes.network import applied
from motion_jax.recipes.picture_losses import PERCEPTUAL, feature_distance
from motion_jax.recipes.pixels import to_uint8
from motion_jax.report import montage
from motion_jax.video.image_files import is_picture, picture_files, read_picture
from motion_jax.video.reader import read_frames


@dataclass(frozen=True)
class Search:
    """How a latent is looked for; the defaults are the published ones.

    Attributes:
      steps, learning_rate: of Adam; the rate rises over the first `rampup` of the steps, and falls
        as a cosine over the last `rampdown`.
      noise: of what is added to the code, times its deviation, falling to 0 at `noise_ramp`.
      noise_weight: of the noise maps' correlation with themselves; mse: of the squared difference.
      perceptual: whose features are compared, too ("none": nobody's), and its weight.
    """

    steps: int = 1000
    learning_rate: float = 0.1
    rampup: float = 0.05
    rampdown: float = 0.25
    noise: float = 0.05
    noise_ramp: float = 0.75
    noise_weight: float = 1e5
    mse: float = 1.0
    perceptual: str = "none"
    perceptual_weight: float = 1.0

    def rate(self, step: int) -> float:
        """Of a step, counted from 0, whose rate is 0."""
        t = step / self.steps
        fall = min(1.0, (1.0 - t) / self.rampdown)
        return (
            self.learning_rate * (0.5 - 0.5 * math.cos(math.pi * fall)) * min(1.0, t / self.rampup)
        )

    def strength(self, step: int, deviation: float) -> float:
        """Of the code's noise."""
        return deviation * self.noise * max(0.0, 1.0 - step / self.steps / self.noise_ramp) ** 2


@struct.dataclass
class Found:
    """code: [1, ...] in its space; noise: maps [1, r, r]; moments: Adam's."""

    code: Array
    noise: list[Array]
    moments: Any

    @classmethod
    def begun(cls, code: Array, noise: Sequence[Array]) -> "Found":
        """Before the first step."""
        adam = optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8)
        return cls(code, list(noise), adam.init((code, list(noise))))


def correlation(maps: Sequence[Array]) -> Float[Array, ""]:
    """How much noise maps [n, r, r] resemble themselves one pixel further, at every size down to
    8x8: what keeps pictures out of them."""
    total: Any = 0.0
    for each in maps:
        while True:
            for axis in (1, 2):
                total = total + jnp.square(jnp.mean(each * jnp.roll(each, 1, axis)))
            size = each.shape[1]
            if size <= 8:
                break
            each = each.reshape(-1, size // 2, 2, size // 2, 2).mean((2, 4))
    return total


def settled(maps: Sequence[Array]) -> list[Array]:
    """Each map [n, r, r] with mean 0 and deviation 1."""
    return [(m - m.mean()) / m.std(ddof=1) for m in maps]


def search_step(
    module: nets.Generator,
    search: Search,
    variables: Any,
    basis: Array | None,
    space: str,
    found: Found,
    target: Float[Array, "1 h w c"],
    shift: Array,
    rate: Array,
    weights: Any = None,
) -> tuple[Found, dict[str, Array]]:
    """One step of Adam: (what is found then, the losses before it).

    basis: of the space "factors", what a row of coefficients is multiplied by. shift: what is added
    to the code. weights: of the network of search.perceptual.
    """

    def loss(parts: tuple[Array, list[Array]]) -> tuple[Array, dict[str, Array]]:
        code, noise = parts
        images = drawn(module, variables, basis, space, code + shift, noise)
        parts_ = {"mse": jnp.square(images - target).mean(), "noise": correlation(noise)}
        total = search.mse * parts_["mse"] + search.noise_weight * parts_["noise"]
        if search.perceptual != "none":
            apart = feature_distance(search.perceptual, "float32", weights, images, target)
            parts_["perceptual"] = apart
            total = total + search.perceptual_weight * apart
        return total, {"loss": total, **parts_}

    now = (found.code, found.noise)
    gradient, losses = jax.grad(loss, has_aux=True)(now)
    adam = optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8)
    change, moments = adam.update(gradient, found.moments)
    code, noise = jax.tree.map(lambda x, d: x - rate * d, now, change)
    return Found(code, settled(noise), moments), losses


def entries(
    module: nets.Generator, variables: Any, basis: Array | None, space: str, code: Array
) -> Float[Array, "n count s"]:
    """w of every layer, of a code in a space."""
    if space == "w_plus":
        return code
    if space == "z":
        code = applied(module, variables, code, method="map")
    elif space == "factors":
        assert basis is not None, "coefficients are of directions"
        code = code @ basis
    return nets.repeated(code, nets.style_count(module.size))


def drawn(
    module: nets.Generator,
    variables: Any,
    basis: Array | None,
    space: str,
    code: Array,
    noise: Sequence[Array],
) -> Float[Array, "n h w c"]:
    """The picture of a code."""
    ws = entries(module, variables, basis, space, code)
    return applied(module, variables, ws, list(noise), method="draw")


class Projector:
    """Looks for codes of one generator in one space; compiled once. weights: see search_step."""

    def __init__(self, model: Model, space: str, weights: Any = None):
        self.model, self.space, self.weights = model, space, weights
        self.basis = None
        if space == "factors":
            # A row is a direction. UI2I's program multiplies by the matrix whose columns are.
            self.basis = jnp.asarray(directions(model)[0].T)
        self._steps: dict[Search, Any] = {}
        self.centre, self.deviation = model.spread()
        self._entries = jax.jit(
            lambda variables, basis, code: entries(model.module, variables, basis, space, code)
        )
        self._picture = jax.jit(
            lambda variables, ws, noise: to_uint8(
                applied(model.module, variables, ws, noise, method="draw")
            )
        )

    def start(self, ws: Float[Array, "1 count s"] | None = None) -> Array:
        """The code nearest to w of every layer; None: to the mean of w (of z, zeros are no
        picture's: a random one)."""
        if self.space == "z":
            assert ws is None, "z of w is not known"
            return jnp.asarray(self.model.latents(0, 1))
        if self.space == "w_plus":
            return nets.repeated(self.centre[None], self.model.count) if ws is None else ws
        w = self.centre[None] if ws is None else ws.mean(1)
        if self.space == "factors":
            assert self.basis is not None, "see __init__"
            return w @ self.basis.T
        return w

    def noise(self, seed: int) -> list[Array]:
        """Maps to begin with."""
        random = np.random.default_rng((seed, 1))
        sizes = nets.noise_sizes(self.model.module.size)
        return [jnp.asarray(random.standard_normal((1, r, r)), jnp.float32) for r in sizes]

    def look(
        self, found: Found, target: UInt8[np.ndarray, "h w c"], search: Search, seed: int
    ) -> tuple[Found, list[float]]:
        """(what is found after all steps, the squared difference before each)."""
        if search not in self._steps:
            step = partial(search_step, self.model.module, search)
            self._steps[search] = jax.jit(step, static_argnames="space", donate_argnames="found")
        wanted = jnp.asarray(target, jnp.float32)[None] / 127.5 - 1.0
        random = np.random.default_rng((seed, 2))
        errors: list[Array] = []
        deviation = self.deviation if self.space in ("w", "w_plus") else 0.0
        for i in range(search.steps):
            shift = random.standard_normal(found.code.shape) * search.strength(i, deviation)
            found, losses = self._steps[search](
                self.model.variables,
                self.basis,
                space=self.space,
                found=found,
                target=wanted,
                shift=jnp.asarray(shift, jnp.float32),
                rate=jnp.float32(search.rate(i)),
                weights=self.weights,
            )
            errors.append(losses["mse"])
        return found, [float(e) for e in jax.device_get(errors)]

    def entries(self, found: Found) -> np.ndarray:
        """w of every layer, [count, s]."""
        return np.asarray(self._entries(self.model.variables, self.basis, found.code))[0]

    def picture(self, found: Found, variables: Any | None = None) -> UInt8[np.ndarray, "h w c"]:
        """Of what was found, by this generator or by another's variables."""
        given = self.model.variables if variables is None else variables
        ws = jnp.asarray(self.entries(found))[None]
        return np.asarray(self._picture(given, ws, found.noise))[0]


# --- the verb -------------------------------------------------------------------------------------


def project(options: ProjectOptions) -> None:
    """Writes latents.npz ("names", "ws" [n, count, s], "noise_i" [n, r, r] and "errors"), and
    NAME.png for each picture: given, found, and through the blend. Without a search all pictures
    have the same noise, and "noise_i" is [1, r, r]. Raises UserError."""
    check_outputs(options, "out")
    _check(options)
    model = load_model(options.run)
    answer = None
    if options.encoder is not None:
        answer = load_encoder(options.encoder, model).answering()
    other = None
    if options.blend is not None:
        other = load_model(options.blend)
        check_alike(model, other)
    check_writable(options.out)
    projector = Projector(model, options.space, perceptual_weights(options, model.module.size))
    first = Search(
        options.steps,
        options.learning_rate,
        noise_weight=options.noise_weight,
        perceptual=options.perceptual,
        perceptual_weight=options.perceptual_weight,
    )
    # What is near already is not shaken.
    near = replace(first, learning_rate=options.learning_rate / 2, noise=0.0)
    found: Found | None = None
    results: list[tuple[str, np.ndarray, float]] = []
    maps: list[list[np.ndarray]] = []
    for name, picture, follows in _targets(options, model.module.size):
        if follows and found is not None and options.steps > 0:
            search, code, noise = replace(near, steps=options.steps_next), found.code, found.noise
        else:
            search, ws = (first, None) if answer is None else (near, answer(picture[None]))
            code, noise = projector.start(ws), projector.noise(options.seed)
        # Copies: what a step is given it may overwrite.
        begun = Found.begun(jnp.copy(code), [jnp.copy(m) for m in noise])
        found, errors = projector.look(begun, picture, search, options.seed)
        made = projector.picture(found)
        last = float(np.square(made / 127.5 - picture / 127.5).mean())
        row = {"given": picture, "found": made}
        if other is not None:
            row["blend"] = projector.picture(found, other.variables)
        sheet = montage.side_by_side(list(row.values()), list(row))
        write_bytes(options.out / f"{name}.png", xmp.declared(encode_picture(sheet, "png")))
        if errors or not maps:
            maps.append([np.asarray(m)[0] for m in found.noise])
        results.append((name, projector.entries(found), last))
        begun_at = f"{errors[0]:.4f} at the start, " if errors else ""
        end = "at the end" if errors else "by the encoder alone"
        say(f"{name}: squared difference {begun_at}{last:.4f} {end}.")
    if not results:
        raise UserError(
            f"{options.source} holds no pictures; give a picture, a folder of them, or a video."
        )
    path = options.out / "latents.npz"
    arrays: dict[str, Any] = {
        "names": np.array([name for name, *_ in results]),
        "ws": np.stack([ws for _, ws, *_ in results]),
        "errors": np.array([error for *_, error in results]),
    }
    for i, each in enumerate(zip(*maps, strict=True)):
        arrays[f"noise_{i}"] = np.stack(each)
    with writing(path):
        np.savez(path, **arrays)
    say(f"Wrote {path} and {len(results)} pictures.")


def _check(options: ProjectOptions) -> None:
    for name, least in (("steps", 1 if options.encoder is None else 0), ("steps_next", 1)):
        if getattr(options, name) < least:
            raise UserError(f"{option(name)} {getattr(options, name)} must be {least} or more.")
    if options.encoder is not None and options.space == "z":
        raise UserError(
            f"{option('encoder')} {options.encoder} answers with w, of which no z is known; choose "
            f"another {option('space')} than z."
        )


def perceptual_weights(options: ProjectOptions | EncoderOptions, size: int) -> Any:
    """The weights of the network whose features are compared; None: of none. Raises UserError."""
    if options.perceptual == "none":
        return None
    network = PERCEPTUAL[options.perceptual]
    if size < network.least:
        raise UserError(
            f"{option('perceptual')} {options.perceptual} needs pictures of {network.least} pixels "
            f"or more; the generator makes {size}x{size}. Leave it out."
        )
    if options.perceptual_weight <= 0:
        raise UserError(
            f"{option('perceptual_weight')} {options.perceptual_weight:g} must be more than 0."
        )
    return network.weights.load()


def _targets(options: ProjectOptions, size: int) -> Iterator[tuple[str, np.ndarray, bool]]:
    """(name, the middle square of a picture at the generator's size, whether it follows the one
    before in a film)."""
    source = options.source
    if not source.exists():
        raise UserError(f"There is no {source}; give a picture, a folder of them, or a video.")
    if source.is_dir() or is_picture(source.name):
        for file in picture_files(source) if source.is_dir() else [source]:
            yield file.stem, square(np.asarray(read_picture(file).convert("RGB")), size), False
        return
    for i, frame in enumerate(read_frames(source)):
        if options.max_frames is not None and i >= options.max_frames:
            return
        yield f"frame-{i:06d}", square(frame.image, size), i > 0


def square(image: np.ndarray, size: int) -> np.ndarray:
    """The middle square of a picture, at a size."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    cut = np.ascontiguousarray(image[top : top + side, left : left + side, :3])
    how = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    return cv2.resize(cut, (size, size), interpolation=how)
