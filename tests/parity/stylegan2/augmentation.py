"""The augmentation, and the controller of how often."""

import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parity.stylegan2.reading import Arrays, close, nchw, nhwc, tolerance

from motion_jax.recipes import adaptive


def check_ada(path: Path, description: dict, arrays: Arrays) -> None:
    augment = adaptive.Augment(
        "adaptive",
        target=description["target"],
        length=description["length"],
        every=description["update_every_calls"],
    )
    state = adaptive.begun(augment)
    step = jax.jit(lambda state, scores: adaptive.adapted(augment, state, scores))
    allowed = tolerance(description, "absolute")
    for i, scores in enumerate(arrays["real_scores"]):
        state = step(state, jnp.asarray(scores[:, 0]))
        close(state.p, arrays["p"][i], allowed, f"p {i}", relative=False)
        close(state.signs, arrays["r_t"][i], allowed, f"r {i}", relative=False)


class Percentile:
    """Every quantity at one percentile of its distribution, as the fixtures have them."""

    def __init__(self, share: float, batch: int):
        self.batch, self._share = batch, share

    def uniform(self, name, width=1):
        return jnp.full((self.batch, width), self._share)

    def normal(self, name, width=1):
        value = 0.0 if name in ("grain", "noise") else jax.scipy.special.erfinv(2 * self._share - 1)
        return jnp.full((self.batch, width), value)

    def chosen(self, name, values, otherwise, share=1.0):
        return values * (name != "rotate_after")


def check_augment(path: Path, description: dict, arrays: Arrays) -> None:
    allowed = tolerance(description, "absolute")
    images = nhwc(arrays["image"])
    if description["recipe"] == "rosinality":
        warp, colour = jax.jit(adaptive.warped), jax.jit(adaptive.coloured)

        @jax.jit
        def slope(images, affine, color):
            both = lambda x: adaptive.coloured(adaptive.warped(x, affine), color)  # noqa: E731
            return jax.grad(lambda x: jnp.mean(jnp.square(both(x))))(images)

        for case in description["cases"]:
            affine, color = (jnp.asarray(arrays[f"{case}.{k}"]) for k in ("affine", "color"))
            moved = warp(images, affine)
            for name, ours in (
                ("image_affine", moved),
                ("image_color", colour(images, color)),
                ("image_both", colour(moved, color)),
                ("grad_image", slope(images, affine, color)),
            ):
                close(nchw(ours), arrays[f"{case}.{name}"], allowed, f"{case} {name}", False)
        return
    batch, (height, width) = images.shape[0], images.shape[1:3]
    for case, said in description["cases"].items():
        kinds = tuple(said["switched_on"])
        augment = adaptive.Augment("fixed", "of the fixture")
        draws = Percentile(said["debug_percentile"], batch)

        def varied(x, augment=augment, draws=draws):
            return adaptive.varied(x, augment, draws)

        both = jax.jit(lambda x, f=varied: (f(x), jax.grad(lambda x: jnp.mean(f(x) ** 2))(x)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(adaptive.PIPES, augment.pipe, kinds)
            output, gradient = both(images)
        close(nchw(output), arrays[f"{case}.output"], allowed, f"{case} output", False)
        close(nchw(gradient), arrays[f"{case}.grad_image"], allowed, f"{case} grad", False)
        if f"{case}.theta" in arrays:
            inverse = adaptive.geometry(kinds, augment.strengths, draws, height, width)
            expected = arrays[f"{case}.theta"]
            thetas = normalised_matrices(np.asarray(inverse, np.float64), height, width)
            nearest = min(thetas, key=lambda theta: np.abs(theta - expected).max())
            close(nearest, expected, allowed, f"{case} theta", False)


def normalised_matrices(inverse: np.ndarray, height: int, width: int) -> list[np.ndarray]:
    """What StyleGAN2-ADA hands to its sampling grid: it pads as far as the batch's corners reach;
    several where they reach a whole pixel, which rounding makes this one or the next."""
    cx, cy, rest = (width - 1) / 2, (height - 1) / 2, len(adaptive.SYM6) // 4
    corners = np.array([[-cx, -cy, 1], [cx, -cy, 1], [cx, cy, 1], [-cx, cy, 1]])
    seen = (inverse @ corners.T)[:, :2].transpose(1, 0, 2).reshape(2, -1)
    reach = np.concatenate([-seen, seen]).max(1) + np.array([2 * rest - cx, 2 * rest - cy] * 2)
    reach = np.clip(reach, 0, np.array([width - 1, height - 1] * 2))
    sides = [sorted({np.ceil(r - 1e-4), np.ceil(r + 1e-4)}) for r in reach]

    def scale(x: float, y: float) -> np.ndarray:
        return np.diag([x, y, 1.0])

    def move(x: float, y: float) -> np.ndarray:
        return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])

    found = []
    for left, top, right, bottom in itertools.product(*sides):
        matrix = move((left - right) / 2, (top - bottom) / 2) @ inverse
        matrix = scale(2, 2) @ matrix @ scale(0.5, 0.5)
        matrix = move(-0.5, -0.5) @ matrix @ move(0.5, 0.5)
        padded = width + left + right, height + top + bottom
        sampled = scale(width + 2 * rest, height + 2 * rest)
        matrix = scale(1 / padded[0], 1 / padded[1]) @ matrix @ sampled
        found.append(matrix[:, :2])
    return found
