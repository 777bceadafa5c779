"""Square crops at another place in each sample, and back."""

import jax
import jax.numpy as jnp
from jax import Array


def crop_corners(boxes: Array, size: int, height: int, width: int) -> tuple[Array, Array]:
    """[B, 4] (top, left, bottom, right) -> int32 [B, 2] corners of a square of `size` around each
    box's centre, inside the picture, and float32 [B]: 1 where there is a face (box not empty).
    """
    centre = jnp.stack([boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3]], axis=-1) / 2
    limit = jnp.array([height - size, width - size])
    corners = jnp.clip(jnp.floor(centre - size / 2 + 0.5).astype(jnp.int32), 0, limit)
    return corners, (boxes[:, 2] > boxes[:, 0]).astype(jnp.float32)


def crop(image: Array, corners: Array, size: int) -> Array:
    """[B, H, W, C], corners [B, 2] -> [B, size, size, C], each sample at its own place."""

    def one(picture: Array, corner: Array) -> Array:
        return jax.lax.dynamic_slice(
            picture, (corner[0], corner[1], 0), (size, size, picture.shape[-1])
        )

    return jax.vmap(one)(image, corners)


def paste(image: Array, patch: Array, corners: Array) -> Array:
    """The inverse of crop: image with each sample's square replaced."""

    def one(picture: Array, square: Array, corner: Array) -> Array:
        return jax.lax.dynamic_update_slice(picture, square, (corner[0], corner[1], 0))

    return jax.vmap(one)(image, patch, corners)
