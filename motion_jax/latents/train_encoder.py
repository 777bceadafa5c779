"""`motion-jax encoder`: an encoder is trained on the pictures of its own generator, whose latents
are known; no dataset is needed.

Latents are drawn with style mixing (Karras et al. 2019, section 3.1), so that the layers' w differ.
The encoder is shown the picture, and what it answers is compared with the latents, and the picture
that the generator makes of the answer with the picture. Of a real picture only the second is known.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax import Array
from jaxtyping import Float, UInt8

from motion_jax.errors import UserError, option
from motion_jax.files import check_outputs, results_in
from motion_jax.latents.encoder import Encoder
from motion_jax.latents.model import Model, load_model
from motion_jax.latents.options import EncoderOptions
from motion_jax.latents.project import perceptual_weights, square
from motion_jax.nets import stylegan2 as nets
from motion_jax.progress import Meter, say
from motion_jax.recipes.network import applied
from motion_jax.recipes.picture_losses import feature_distance
from motion_jax.recipes.pixels import to_float
from motion_jax.video.image_files import picture_files, read_picture

# Of the pictures this share has two latents, as in training.
MIXED = 0.9
# Batches of fresh latents on which the result is measured.
FRESH = 8
# Steps from one look at the loss to the next.
LOOK = 100


@struct.dataclass
class Lesson:
    """Pictures as the generator makes them [n, h, w, c], their w [n, count, s], and the noise
    maps [n, r, r] that they were made with."""

    images: Array
    ws: Array
    noise: list[Array]


def lesson(module: nets.Generator, variables: Any, key: Array, count: int) -> Lesson:
    """Random ones. The first entries of w are those of one latent, the others another's, or all of
    one; each picture has noise of its own, since that of a real one is not known."""
    entries = nets.style_count(module.size)
    of_z, of_place, of_coin, of_noise = jax.random.split(key, 4)
    z = jax.random.normal(of_z, (2 * count, module.latent))
    w = applied(module, variables, z, method="map").reshape(2, count, 1, module.style)
    place = jax.random.randint(of_place, (count, 1, 1), 1, entries)
    mixed = jax.random.uniform(of_coin, (count, 1, 1)) < MIXED
    other = mixed & (jnp.arange(entries)[:, None] >= place)
    ws = jnp.where(other, w[1], w[0])
    noise = [
        jax.random.normal(jax.random.fold_in(of_noise, i), (count, r, r))
        for i, r in enumerate(nets.noise_sizes(module.size))
    ]
    return Lesson(applied(module, variables, ws, noise, method="draw"), ws, noise)


def distances(
    encoder: Encoder,
    model: Model,
    options: EncoderOptions,
    learned: Any,
    given: tuple[Any, Any],
    known: Lesson,
    real: Float[Array, "n h w c"] | None,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """(the loss, its parts without their weights). learned: the encoder's variables; given: the
    generator's, and those of the network of options.perceptual."""
    variables, features = given

    def apart(images: Array, ws: Array, noise: Any, name: str) -> dict[str, Array]:
        made = applied(model.module, variables, ws, noise, method="draw")
        parts = {name: jnp.abs(made - images).mean()}
        if options.perceptual != "none":
            kind = options.perceptual
            parts[f"{name}_features"] = feature_distance(kind, "float32", features, made, images)
        return parts

    # What is shown is within the range of a picture file, as it will be.
    ws = encoder.ws(learned, jnp.clip(known.images, -1.0, 1.0))
    parts = {"latents": jnp.square((ws - known.ws) / encoder.spread).mean()}
    parts |= apart(known.images, ws, known.noise, "pictures")
    if real is not None:
        parts |= apart(real, encoder.ws(learned, real), "constant", "real")
    loss = parts["latents"]
    for name in ("pictures", "real"):
        if name in parts:
            loss = loss + options.picture_weight * parts[name]
        if f"{name}_features" in parts:
            loss = loss + options.perceptual_weight * parts[f"{name}_features"]
    return loss, parts


def trained(
    options: EncoderOptions,
    model: Model,
    features: Any,
    real: UInt8[np.ndarray, "n h w c"] | None,
) -> tuple[Encoder, dict[str, float], dict[str, float]]:
    """(the encoder, the parts of its loss on fresh latents before, and after). features: see
    distances. Raises UserError where the loss is no number."""
    encoder, module = Encoder.begun(model, options.width, options.seed), model.module
    adam = optax.adam(
        optax.cosine_decay_schedule(options.learning_rate, options.steps), b1=0.9, b2=0.99
    )
    of_training, of_fresh = jax.random.split(jax.random.fold_in(jax.random.key(options.seed), 1))

    def losses(learned: Any, given: tuple[Any, Any], key: Array, shown: Any) -> Any:
        known = lesson(module, given[0], key, options.batch)
        wanted = None if shown is None else to_float(shown)
        return distances(encoder, model, options, learned, given, known, wanted)

    def step(learned: Any, moments: Any, given: tuple[Any, Any], key: Array, shown: Any) -> Any:
        gradient, parts = jax.grad(losses, has_aux=True)(learned, given, key, shown)
        change, moments = adam.update(gradient, moments)
        return optax.apply_updates(learned, change), moments, parts

    def shown(*numbers: int) -> Any:
        if real is None:
            return None
        random = np.random.default_rng((options.seed, *numbers))
        return jnp.asarray(real[random.integers(len(real), size=options.batch)])

    measure = jax.jit(lambda *inputs: losses(*inputs)[1])
    given = (model.variables, features)

    def measured(learned: Any) -> dict[str, float]:
        keys = jax.random.split(of_fresh, FRESH)
        each = [measure(learned, given, keys[i], shown(1, i)) for i in range(FRESH)]
        return {name: float(np.mean([one[name] for one in each])) for name in each[0]}

    run = jax.jit(step, donate_argnums=(0, 1))
    before = measured(encoder.variables)
    learned = jax.tree.map(jnp.copy, encoder.variables)
    moments = adam.init(learned)
    with Meter("Learning the latents", options.steps) as meter:
        for number in range(options.steps):
            key = jax.random.fold_in(of_training, number)
            learned, moments, parts = run(learned, moments, given, key, shown(0, number))
            looked = (number + 1) % LOOK == 0 or number + 1 == options.steps
            if looked and not all(map(np.isfinite, jax.device_get(parts).values())):
                raise UserError(
                    f"By step {number + 1} the loss is no number any more; try a lower "
                    f"{option('learning_rate')} than {options.learning_rate:g}."
                )
            meter.advance()
    return replace(encoder, variables=learned), before, measured(learned)


def encoder(options: EncoderOptions) -> Path:
    """Trains and writes the file; returns its path. Raises UserError; whatever ends it early, no
    file is left."""
    check_outputs(options, "out", own=("run",))
    _check(options)
    model = load_model(options.run)
    if model.module.channels != 3:
        raise UserError(
            f"{options.run} makes pictures of {model.module.channels} channels; a generator of RGB "
            "pictures is due."
        )
    features = perceptual_weights(options, model.module.size)
    real = None if options.pictures is None else _pictures(options.pictures, model.module.size)
    with results_in(options.out.parent):
        made, before, after = trained(options, model, features, real)
        about = {
            "steps": options.steps,
            "batch": options.batch,
            "seed": options.seed,
            "pictures": 0 if real is None else len(real),
            "fresh": after,
        }
        made.save(options.out, about)
    count = FRESH * options.batch
    say(f"{count} fresh latents, of the mean of w and of the encoder:")
    words = {
        "latents": "squared distance of the latents, in units of their spread",
        "pictures": "mean absolute difference of the pictures in [-1, 1]",
        "pictures_features": f"distance of their features by {options.perceptual}",
        "real": "mean absolute difference from real pictures, which it has learned",
        "real_features": f"distance from their features by {options.perceptual}",
    }
    for name, value in after.items():
        say(f"  {words[name]}: {before[name]:.4f}, {value:.4f}.")
    say(f"Wrote {options.out}.")
    return options.out


def _check(options: EncoderOptions) -> None:
    if options.out.suffix != ".npz":
        raise UserError(f"{option('out')} {options.out} must be a file name that ends in .npz.")
    if options.out.exists():
        raise UserError(f"{option('out')} {options.out} is there already; name another file.")
    for name in ("steps", "batch", "width"):
        if getattr(options, name) < 1:
            raise UserError(f"{option(name)} {getattr(options, name)} must be 1 or more.")
    if options.seed < 0:
        raise UserError(f"{option('seed')} {options.seed} must be 0 or more.")
    if not options.learning_rate > 0:
        raise UserError(f"{option('learning_rate')} {options.learning_rate:g} must be above 0.")
    if not options.picture_weight >= 0:
        raise UserError(f"{option('picture_weight')} {options.picture_weight:g} must be 0 or more.")
    compared = options.picture_weight > 0 or options.perceptual != "none"
    if options.pictures is not None and not compared:
        raise UserError(
            f"{option('picture_weight')} 0 leaves nothing to learn of {option('pictures')} "
            f"{options.pictures}; give one above 0, or leave the pictures out."
        )


def _pictures(folder: Path, size: int) -> UInt8[np.ndarray, "n h w 3"]:
    """The middle squares of a folder's pictures."""
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}; {option('pictures')} takes one of pictures.")
    files = picture_files(folder)
    if not files:
        raise UserError(f"The folder {folder} holds no pictures; {option('pictures')} takes some.")
    return np.stack([square(np.asarray(read_picture(f).convert("RGB")), size) for f in files])
