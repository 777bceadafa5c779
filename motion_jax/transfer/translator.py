"""A trained network that makes another face of each face it is given."""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from motion_jax.errors import UserError
from motion_jax.nets.conv import on_cpu
from motion_jax.train.run import Run

# Faces in one call of the compiled program; XLA's CPU backend gains nothing from more than one.
CHUNK = 8

Around = Callable[[], AbstractContextManager[None]]


class Translator:
    """Translates aligned faces with a run.

    Args:
      around: a context in which its program is made and run (live.graphs.Elsewhere).

    Attributes:
      size: of its pictures, which are square, in pixels.
    Raises UserError for a run that does not make a picture of a picture.
    """

    def __init__(self, run: Run, around: Around = contextlib.nullcontext):
        self._name, self._around = shown_as(run), around
        height, width = run.size
        if height != width:
            raise UserError(
                f"The run {run.folder} makes pictures of {width}x{height}; faces are square."
            )
        self.size, self._chunk = height, 1 if on_cpu() else CHUNK
        self._run, self._params = run, run.params
        recipe, stage = run.config.recipe, run.stage

        def made(params: Any, seen: Any) -> jax.Array:
            layers = recipe.layers(params, seen, stage)
            whole = jnp.concatenate([(layers[..., :3] + 1) / 2, layers[..., 3:]], axis=-1)
            return jnp.clip(jnp.round(whole * 255), 0, 255).astype(jnp.uint8)

        self._made: Callable[[Any, Any], jax.Array] = jax.jit(made)

    def __call__(self, faces: UInt8[np.ndarray, "n s s 3"]) -> UInt8[np.ndarray, "n s s 4"]:
        """RGBA of each: what is drawn, and how far it covers the face."""
        results = []
        for first in range(0, len(faces), self._chunk):
            part = faces[first : first + self._chunk]
            full = np.concatenate([part, np.repeat(part[-1:], self._chunk - len(part), axis=0)])
            seen = self._run.seen({self._name: full})
            with self._around():
                made = self._made(self._params, seen)
            results.append(np.asarray(made)[: len(part)])
        return np.concatenate(results)


def shown_as(run: Run) -> str:
    """By which name of a moment the run's generator is shown pictures. Raises UserError where it is
    shown no mere picture."""
    recipe = run.config.recipe
    info = run.dataset.get("info", {})
    if set(recipe.shows) == {"frames"} and not recipe.wants_photo and not recipe.recurrent:
        return "frames"
    ready = bool(info.get("pose_pictures")) and not info.get("densepose")
    whole = recipe.background == "drawn" and not recipe.recurrent
    if set(recipe.shows) == {"poses"} and ready and whole:
        return "pose_pictures"
    if set(recipe.shows) == {"noise"} and recipe.takes_dataset:
        raise UserError(
            f"The run {run.folder} is a generator of StyleGAN2, which makes faces of latents and "
            "takes none of a film: make pairs with it (motion-jax pair-faces), train face_style on "
            "them, and give that run."
        )
    raise UserError(
        f"The run {run.folder} (recipe {recipe.name}) does not make a picture of a face; give one "
        "of face_style (motion-jax train face_style), of cyclegan, or of pix2pix on pairs of "
        "pictures."
    )
