"""`motion-jax one-style`: a generator of StyleGAN2 is taught the style of one picture (Chong &
Forsyth 2022, "JoJoGAN: One Shot Face Stylization").

The picture's latents are found; faces that share their coarse layers and have the others from
random latents are all to look like the picture, by the features of the generator's own
discriminator. So the fine layers learn its line and colour for every face. The published program
finds the latents with an encoder; here they are searched (latents/project.py), and the features are
those of all of the discriminator's convolutions.
"""

import shlex
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jaxtyping import Float

from motion_jax.data.records import encode_picture
from motion_jax.errors import UserError, option
from motion_jax.files import check_outputs, is_empty, write_bytes
from motion_jax.latents.model import Model, load_model
from motion_jax.latents.options import OneStyleOptions
from motion_jax.latents.project import Found, Projector, Search, square
from motion_jax.nets import stylegan2 as nets
from motion_jax.nets.stylegan2_discriminator import Discriminator, EqualConv
from motion_jax.port.contents import look_into
from motion_jax.port.import_run import write_import
from motion_jax.port.import_stylegan2 import plan
from motion_jax.port.stylegan2 import Published, Style
from motion_jax.progress import Meter, say
from motion_jax.provenance import xmp
from motion_jax.recipes.network import applied
from motion_jax.report import montage
from motion_jax.video.image_files import read_picture
from motion_jax.weights import stylegan2 as keys

# Entries of w that change line and not colour, of a generator of 1024 pixels as the paper has it.
LINES = (9, 11, 15, 16, 17)


def mixed_entries(options: OneStyleOptions, count: int) -> np.ndarray:
    """Which of the count entries of w come from other latents, bool [count]. Raises UserError for
    none, and for all."""
    entries = np.arange(count)
    chosen = np.isin(entries, LINES) if options.keep_colour else entries >= options.first
    if not chosen.any() or chosen.all():
        raise UserError(
            f"{option('first')} {options.first} mixes {'all' if chosen.all() else 'none'} of the "
            f"generator's {count} entries of w; give 1 to {count - 1}"
            f"{', without ' + option('keep_colour') if options.keep_colour else ''}."
        )
    return chosen


def features(judge: Discriminator, variables: Any, images: Float[Array, "n h w c"]) -> Any:
    """What each of the discriminator's convolutions makes of pictures, each by itself: a pytree of
    arrays, without the last one, which compares the pictures of a batch."""
    _, seen = judge.apply(
        variables,
        images,
        capture_intermediates=lambda module, _: isinstance(module, EqualConv),
        mutable=["intermediates"],
    )
    return {name: of for name, of in seen["intermediates"].items() if name != "level_4_conv"}


def unlike(
    judge: Discriminator, variables: Any, images: Float[Array, "n h w c"], wanted: Any
) -> Float[Array, ""]:
    """The mean absolute difference of the features of pictures from those of one, mean over the
    convolutions. wanted: the one's features."""
    apart = jax.tree.map(
        lambda a, b: jnp.abs(a - b).mean(), features(judge, variables, images), wanted
    )
    return jnp.stack(jax.tree.leaves(apart)).mean()


def taught(
    options: OneStyleOptions,
    model: Model,
    judge: tuple[Discriminator, Any],
    style: Float[Array, "1 h w c"],
    found: Float[Array, "1 count s"],
) -> tuple[Any, list[float]]:
    """(the generator's variables after all steps, the loss at each). style: in [-1, 1]; found: its
    latents."""
    module, chosen = model.module, jnp.asarray(mixed_entries(options, model.count))[:, None]
    adam = optax.adam(options.learning_rate, b1=0.0, b2=0.99)
    network, weights = judge
    wanted = jax.jit(lambda weights: features(network, weights, style))(weights)

    def step(
        variables: Any, moments: Any, judged: Any, wanted: Any, z: Array
    ) -> tuple[Any, Any, Array]:
        w = applied(module, variables, z, method="map")
        others = options.alpha * found + (1 - options.alpha) * nets.repeated(w, model.count)
        ws = jax.lax.stop_gradient(jnp.where(chosen, others, found))

        def loss(params: Any) -> Array:
            images = applied(module, {**variables, "params": params}, ws, method="draw")
            return unlike(network, judged, images, wanted)

        value, gradient = jax.value_and_grad(loss)(variables["params"])
        change, moments = adam.update(gradient, moments)
        params = optax.apply_updates(variables["params"], change)
        return {**variables, "params": params}, moments, value

    run = jax.jit(step)
    variables, moments = model.variables, adam.init(model.variables["params"])
    told: list[Array] = []
    with Meter("Learning the style", options.steps) as meter:
        for number in range(options.steps):
            z = jnp.asarray(model.latents((options.seed, 1, number), options.batch))
            variables, moments, value = run(variables, moments, weights, wanted, z)
            told.append(value)
            meter.advance()
    return variables, [float(value) for value in jax.device_get(told)]


def one_style(options: OneStyleOptions) -> Path:
    """Makes the run; returns its folder. Raises UserError."""
    check_outputs(options, "out")
    _check(options)
    model = load_model(options.run)
    mixed_entries(options, model.count)
    settings, judge = _discriminator(options.run)
    group = judge[0].stddev_group or 1
    if judge[0].stddev_channels and options.batch > group and options.batch % group:
        raise UserError(
            f"{option('batch')} {options.batch} must be at most {group} or a multiple of it, as "
            "the discriminator compares pictures."
        )
    if not options.style.is_file():
        raise UserError(f"There is no picture {options.style}; check the path.")
    picture = square(np.asarray(read_picture(options.style).convert("RGB")), model.module.size)
    projector = Projector(model, "w_plus")
    begun = Found.begun(projector.start(), projector.noise(options.seed))
    found, errors = projector.look(begun, picture, Search(options.search), options.seed)
    ws = jnp.asarray(projector.entries(found))[None]
    say(
        f"{options.style}: squared difference {errors[0]:.4f} at the start, {errors[-1]:.4f} found."
    )
    style = jnp.asarray(picture, jnp.float32)[None] / 127.5 - 1.0
    variables, losses = taught(options, model, judge, style, ws)
    say(
        f"Features differ from the picture's by {losses[0]:.4f} at the start, {losses[-1]:.4f} now."
    )
    made = Model(options.out, model.settings, model.module, variables)
    _write(options, made, settings, judge[1])
    _sheet(options, picture, projector.picture(found), model, made)
    return options.out


def _check(options: OneStyleOptions) -> None:
    if options.out.exists() and (not options.out.is_dir() or not is_empty(options.out)):
        raise UserError(f"{option('out')} {options.out} is there already; name another folder.")
    for name in ("steps", "search", "batch", "count"):
        if getattr(options, name) < 1:
            raise UserError(f"{option(name)} {getattr(options, name)} must be 1 or more.")
    if not 0.0 <= options.alpha < 1.0:
        raise UserError(f"{option('alpha')} {options.alpha:g} is not from 0 to less than 1.")
    if options.learning_rate <= 0:
        raise UserError(f"{option('learning_rate')} {options.learning_rate:g} must be above 0.")


def _discriminator(path: Path) -> tuple[dict[str, Any], tuple[Discriminator, Any]]:
    """(its settings, (module, variables)). Raises UserError where there is none."""
    contents = look_into(path)
    found = contents.networks.get("discriminator")
    settings = dict((found.config if found is not None else None) or {})
    if found is None or settings.get("class") != keys.DISCRIMINATOR:
        raise UserError(
            f"{path} holds no discriminator of StyleGAN2 ({', '.join(contents.networks)}), by "
            "whose features a style is learned; give a run, or a checkpoint of training."
        )
    module = keys.module_of(settings)
    assert isinstance(module, Discriminator), "its class says so"
    return settings, (module, jax.tree.map(jnp.asarray, found.params))


def _write(options: OneStyleOptions, made: Model, judge: dict[str, Any], weights: Any) -> None:
    networks = {
        name: Style(settings | {"layout": "nvlabs"}, keys.state_dict(tree, settings, "nvlabs"))
        for name, settings, tree in (
            ("generator", dict(made.settings), made.variables),
            ("discriminator", judge, weights),
        )
    }
    about = {
        "from": f"{options.run} and {options.style}",
        "one_style": {"steps": options.steps, "first": options.first, "alpha": options.alpha},
    }
    found = plan(Published(options.out, networks))
    write_import(options.out, found, None, about, shlex.join(sys.argv))


def _sheet(
    options: OneStyleOptions, style: np.ndarray, found: np.ndarray, before: Model, after: Model
) -> None:
    """Writes style.png: the picture and what was found of it; random faces before and after."""
    ws = before.mapped(before.latents(options.seed, options.count), options.truncation)
    rows = {
        "picture, found": [style, found],
        "before": list(before.drawn(ws)),
        "after": list(after.drawn(ws)),
    }
    columns, paper = max(options.count, 2), np.full_like(style, 255)
    parts = []
    for label, row in rows.items():
        full = [*row, *[paper] * (columns - len(row))]
        parts.append(
            montage.labelled(montage.grid([montage.enlarge(p) for p in full], columns), label)
        )
    picture = np.concatenate(parts)
    write_bytes(options.out / "style.png", xmp.declared(encode_picture(picture, "png")))
    say(f"Wrote {options.out} and {options.out / 'style.png'}.")
