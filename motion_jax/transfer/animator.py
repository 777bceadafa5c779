"""A photo and a trained model that moves it: keypoints in, pictures out."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from motion_jax.errors import UserError
from motion_jax.nets.conv import on_cpu
from motion_jax.nets.keypoints import Keypoints
from motion_jax.pose.smooth import OneEuro
from motion_jax.recipes.first_order import FirstOrder, to_unit
from motion_jax.train.run import Run

# Of the 1 euro filter, for coordinates that go from -1 to 1.
MIN_CUTOFF, BETA = 2.0, 5.0
# Pictures in one call of a compiled program; XLA's CPU backend gains nothing from more than one.
CHUNK = 8


class Animator:
    """Animates one photo.

    Args:
      run: of the First Order Motion Model.
      photo: of the run's size, uint8 [H, W, 3].
      mode, adapt_scale: see recipes.first_order_settings.Test.
      chunk: pictures in one call; None: what is fastest for a whole film.
    Raises UserError for a run of another recipe.
    """

    def __init__(
        self,
        run: Run,
        photo: UInt8[np.ndarray, "h w 3"],
        mode: Literal["relative", "absolute"],
        adapt_scale: bool,
        chunk: int | None = None,
    ):
        recipe = animating(run)
        test = dataclasses.replace(recipe.test, mode=mode, adapt_scale=adapt_scale)
        self._recipe = dataclasses.replace(recipe, test=test)
        self._params, self._chunk = run.params, chunk or (1 if on_cpu() else CHUNK)
        start = jax.jit(lambda params, photo: self._recipe.start(params, photo, run.stage))
        self._photo = start(self._params, photo[None])
        self._points = jax.jit(
            lambda params, photo, x: self._recipe.driving(params, photo, to_unit(x))
        )
        self._pictures = jax.jit(self._made)

    def _made(self, params: Any, photo: Any, points: Keypoints) -> jax.Array:
        pictures = self._recipe.animated(params, photo, self._recipe.moved(photo, points))
        return jnp.clip(jnp.round(pictures * 255), 0, 255).astype(jnp.uint8)

    @property
    def photo_points(self) -> Keypoints:
        """Of the photo, [1, K, ...]."""
        return jax.tree.map(np.asarray, self._photo.source)

    def points(self, frames: Iterable[UInt8[np.ndarray, "h w 3"]]) -> Keypoints:
        """Of all frames, [n, K, ...]: a few numbers for each (see FirstOrder.driving). Frames are
        taken as they come."""
        found = []
        for chunk, count in self._chunks(frames):
            points = self._points(self._params, self._photo, np.stack(chunk))
            found.append(jax.tree.map(lambda x, n=count: np.asarray(x)[:n], points))
        if not found:
            raise UserError("The film has no frames.")
        return jax.tree.map(lambda *each: np.concatenate(each), *found)

    def begin(self, first: Keypoints) -> None:
        """The keypoints [1, K, ...] that count as those of the photo's pose."""
        self._photo = dataclasses.replace(self._photo, first=first, begun=jnp.ones((), bool))

    def pictures(self, points: Keypoints) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """The photo with each of these keypoints, one after another."""
        numbers = iter(range(len(points.value)))
        for chunk, count in self._chunks(numbers):
            made = self._pictures(self._params, self._photo, points[np.array(chunk)])
            yield from np.asarray(made)[:count]

    def _chunks(self, items: Iterable[Any]) -> Iterator[tuple[list[Any], int]]:
        """Of one length, the last filled up with its own last item; and how many count."""
        chunk: list[Any] = []
        for item in items:
            chunk.append(item)
            if len(chunk) == self._chunk:
                yield chunk, len(chunk)
                chunk = []
        if chunk:
            yield chunk + [chunk[-1]] * (self._chunk - len(chunk)), len(chunk)


def animating(run: Run) -> FirstOrder:
    """The recipe of a run that animates photos. Raises UserError for another one."""
    recipe = run.config.recipe
    if not isinstance(recipe, FirstOrder):
        raise UserError(
            f"The run {run.folder} is of the recipe {recipe.name}, which knows one person and no "
            "photo; motion-jax transfer uses it. motion-jax animate takes runs of first_order."
        )
    return recipe


class Smoothing:
    """Keypoints of successive frames, as they come, through the 1 euro filter: coordinates and
    jacobians alike."""

    def __init__(self) -> None:
        self._filters: list[OneEuro] = []

    def next(self, points: Keypoints, time: float) -> Keypoints:
        """Those of the next frame, [1, K, ...], smoothed; time: seconds, increasing."""
        leaves, structure = jax.tree.flatten(points)
        self._filters = self._filters or [OneEuro(MIN_CUTOFF, BETA) for _ in leaves]
        made = [
            running.step(leaf.astype(np.float64), time, np.ones(leaf.shape, bool))
            for leaf, running in zip(leaves, self._filters, strict=True)
        ]
        made = [new.astype(leaf.dtype) for new, leaf in zip(made, leaves, strict=True)]
        return jax.tree.unflatten(structure, made)


def smoothed(points: Keypoints, times: np.ndarray) -> Keypoints:
    """Keypoints of successive frames through the same; times: seconds, increasing."""
    smoothing = Smoothing()
    made = [smoothing.next(points[i : i + 1], float(time)) for i, time in enumerate(times)]
    return jax.tree.map(lambda *each: np.concatenate(each), *made)


def drawn(
    picture: UInt8[np.ndarray, "h w 3"], points: np.ndarray, scale: int = 1
) -> UInt8[np.ndarray, "_ _ 3"]:
    """A picture, `scale` times as large, with keypoints [K, 2] as coloured dots."""
    height, width = (scale * side for side in picture.shape[:2])
    canvas = cv2.resize(picture, (width, height), interpolation=cv2.INTER_NEAREST)
    hues = np.arange(len(points)) * 180 // max(len(points), 1)
    colours = cv2.cvtColor(
        np.stack([hues, np.full_like(hues, 255), np.full_like(hues, 255)], -1)[None].astype(
            np.uint8
        ),
        cv2.COLOR_HSV2RGB,
    )[0]
    radius = max(round(height / 60), 2)
    for (x, y), colour in zip(points, colours, strict=True):
        place = round((x + 1) / 2 * (width - 1)), round((y + 1) / 2 * (height - 1))
        cv2.circle(canvas, place, radius + 1, (0, 0, 0), -1, cv2.LINE_AA)
        cv2.circle(canvas, place, radius, tuple(map(int, colour)), -1, cv2.LINE_AA)
    return canvas
