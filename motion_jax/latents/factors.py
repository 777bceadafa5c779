"""`motion-jax factors`: directions of w without any training (SeFa: Shen & Zhou 2021, "Closed-Form
Factorization of Latent Semantics in GANs")."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from motion_jax.data.records import encode_picture
from motion_jax.errors import UserError, option
from motion_jax.files import check_outputs, check_writable, write_bytes, writing
from motion_jax.latents.model import Model, load_model
from motion_jax.latents.options import FactorsOptions
from motion_jax.nets import stylegan2 as nets
from motion_jax.progress import say
from motion_jax.provenance import xmp
from motion_jax.report import montage


def modulations(model: Model, first: int = 0, last: int | None = None) -> list[np.ndarray]:
    """The stored weights [channels, w] that make styles of w, of the entries first to last.

    As published: those of all convolutions, and of ToRGB only the first one's.
    """
    synthesis = model.variables["params"]["synthesis"]
    sizes = nets.levels(model.module.size)
    found = []
    for i, size in enumerate(sizes):
        layers = [(2 * i - 1, "conv_0")] if i else []
        layers += [(2 * i, "conv_1"), *([(1, "rgb")] if i == 0 else [])]
        for entry, name in layers:
            layer = synthesis.get(f"level_{size}_{name}")
            if layer is not None and first <= entry <= (model.count if last is None else last):
                found.append(np.asarray(layer["affine"]["weight"]).T)
    return found


def directions(
    model: Model, first: int = 0, last: int | None = None
) -> tuple[Float[np.ndarray, "s s"], Float[np.ndarray, " s"]]:
    """(V, singular values) of the stacked modulations: column i of V is direction i, the strongest
    first. Its sign is arbitrary. Raises UserError where no layer is chosen."""
    rows = modulations(model, first, last)
    if not rows:
        raise UserError(
            f"{option('first')} {first} to {option('last')} {last} holds no layer; the generator "
            f"has the entries 0 to {model.count - 1}."
        )
    _, values, turned = np.linalg.svd(np.concatenate(rows), full_matrices=True)
    found = np.zeros(turned.shape[0], np.float32)
    found[: values.size] = values
    return turned.T, found


def moved(
    model: Model, ws: Any, direction: Any, degree: float, first: int = 0, last: int | None = None
) -> Any:
    """ws [n, count, s] by `degree` along a direction, in the entries first to last."""
    entries = np.arange(model.count)
    inside = (entries >= first) & (entries <= (model.count if last is None else last))
    return ws + degree * jnp.asarray(inside[:, None] * np.asarray(direction), jnp.float32)


def factors(options: FactorsOptions) -> None:
    """Writes factors.npz and factors.png. Raises UserError."""
    check_outputs(options, "out")
    model = load_model(options.run)
    if options.count < 1:
        raise UserError(f"{option('count')} {options.count} must be 1 or more.")
    found, values = directions(model, options.first, options.last)
    check_writable(options.out)
    path = options.out / "factors.npz"
    with writing(path):
        np.savez(path, eigvec=found, values=values, first=options.first, last=options.last or -1)
    ws = model.mapped(model.latents(options.seed, 1))
    steps = np.linspace(-options.degree, options.degree, 5)
    rows = []
    for i in range(min(options.count, found.shape[1])):
        codes = jnp.concatenate(
            [moved(model, ws, found[:, i], d, options.first, options.last) for d in steps]
        )
        codes = nets.truncated(codes, model.centre, options.truncation)
        pictures = [montage.enlarge(picture) for picture in model.drawn(codes)]
        label = f"direction {i}: {steps[0]:g} to {steps[-1]:g}"
        rows.append(montage.labelled(montage.grid(pictures, len(steps)), label))
    sheet = encode_picture(np.concatenate(rows), "png")
    write_bytes(options.out / "factors.png", xmp.declared(sheet))
    say(f"Wrote {path} and {options.out / 'factors.png'}")
