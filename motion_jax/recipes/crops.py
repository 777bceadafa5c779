"""Crops at another place in each sample, and back.

Of pictures whose rows are shared among devices (layout.py) each device has a part of the crop:
those are put together, so that every device of "space" has the whole of the small crop.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float32, Int32, Shaped

from motion_jax.devices import layout


def crop_corners(
    boxes: Shaped[Array, "*n 4"], size: int, height: int, width: int
) -> tuple[Int32[Array, "*n 2"], Float32[Array, "*n"]]:
    """(top, left, bottom, right) -> top left corners of a square of `size` pixels around each box's
    centre, inside the picture; and 1 where there is a face, 0 where the box is empty.
    """
    centre = jnp.stack([boxes[..., 0] + boxes[..., 2], boxes[..., 1] + boxes[..., 3]], axis=-1) / 2
    limit = jnp.array([height - size, width - size])
    corners = jnp.clip(jnp.floor(centre - size / 2 + 0.5).astype(jnp.int32), 0, limit)
    return corners, (boxes[..., 2] > boxes[..., 0]).astype(jnp.float32)


def crop(
    image: Shaped[Array, "*n h w c"], corners: Int32[Array, "*n 2"], size: int | tuple[int, int]
) -> Shaped[Array, "*n rows columns c"]:
    """The part of each sample at its own corner. size: (height, width), or the side of a square."""
    rows, columns = (size, size) if isinstance(size, int) else size

    def one(picture: Array, corner: Array) -> Array:
        height, width, channels = picture.shape
        number, count = layout.place()
        if count == 1:
            return jax.lax.dynamic_slice(picture, (*corner, 0), (rows, columns, channels))
        strip = jax.lax.dynamic_slice(picture, (0, corner[1], 0), (height, columns, channels))
        here = corner[0] + jnp.arange(rows) - number * height
        inside = (here >= 0) & (here < height)
        found = strip[jnp.clip(here, 0, height - 1)]
        return jnp.where(inside[:, None, None], found, jnp.zeros((), found.dtype))

    def cut(image: Array, corners: Array) -> Array:
        return layout.over_space(_each(one, image, corners))

    return layout.shared(cut, (layout.rows(image.ndim), layout.BATCH), layout.BATCH)(image, corners)


def paste(
    image: Shaped[Array, "*n h w c"],
    patch: Shaped[Array, "*n rows columns c"],
    corners: Int32[Array, "*n 2"],
) -> Shaped[Array, "*n h w c"]:
    """The inverse of crop: image with that part of each sample replaced."""

    def one(picture: Array, corner: Array, part: Array) -> Array:
        number, count = layout.place()
        if count == 1:
            return jax.lax.dynamic_update_slice(picture, part, (*corner, 0))
        height, (rows, columns, channels) = picture.shape[0], part.shape
        old = jax.lax.dynamic_slice(picture, (0, corner[1], 0), (height, columns, channels))
        there = jnp.arange(height) + number * height - corner[0]
        inside = (there >= 0) & (there < rows)
        new = jnp.where(inside[:, None, None], part[jnp.clip(there, 0, rows - 1)], old)
        return jax.lax.dynamic_update_slice(picture, new, (0, corner[1], 0))

    def pasted(image: Array, patch: Array, corners: Array) -> Array:
        return _each(one, image, corners, patch)

    lies = layout.rows(image.ndim)
    return layout.shared(pasted, (lies, layout.BATCH, layout.BATCH), lies)(image, patch, corners)


def _each(function, image: Array, *others: Array) -> Array:
    """The function, applied to every picture and what belongs to it."""
    for _ in image.shape[:-3]:
        function = jax.vmap(function)
    return function(image, *others)
