"""Pictures between bytes and the networks' [-1, 1]."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Shaped, UInt8


def to_float(frames: Shaped[Array, "*n"]) -> Float[Array, "*n"]:
    """uint8 0...255 -> float32 in [-1, 1]; floats pass through."""
    if frames.dtype != jnp.uint8:
        return frames
    return frames.astype(jnp.float32) / 127.5 - 1.0


def to_uint8(images: Float[Array, "*n"]) -> UInt8[Array, "*n"]:
    """float in [-1, 1] -> uint8, rounded to nearest."""
    return jnp.clip(jnp.round((images + 1.0) * 127.5), 0, 255).astype(jnp.uint8)
