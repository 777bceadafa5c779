"""A person before a plate: what a generator with four channels makes, three of colour and one of
alpha, laid over a background.

The person is in front with alpha 1: picture = alpha * colour + (1 - alpha) * plate (Porter & Duff
1984, "over"). The generator's last channel is in [-1, 1]; alpha is that from 0 to 1.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

# The distance of frame and plate, in [-1, 1], at which they hardly agree: 8 grey levels.
AGREES = 8 / 127.5


def alpha_of(made: Float[Array, "*n 4"]) -> Float[Array, "*n 1"]:
    """How much of each pixel the person covers, 0...1."""
    return 0.5 * (made[..., 3:] + 1.0)


def cut_out(made: Float[Array, "*n 4"]) -> Float[Array, "*n 3"]:
    """The person before middle grey, which is 0."""
    return alpha_of(made) * made[..., :3]


def over(made: Float[Array, "*n 4"], plate: Float[Array, "*n 3"]) -> Float[Array, "*n 3"]:
    """The person before a plate."""
    with jax.named_scope("matte"):
        alpha = alpha_of(made)
        return alpha * made[..., :3] + (1.0 - alpha) * plate


def with_alpha(made: Float[Array, "*n 4"], plate: Float[Array, "*n 3"]) -> Float[Array, "*n 4"]:
    """The person before a plate, and alpha from 0 to 1 as the last channel: for losses of both."""
    return jnp.concatenate([over(made, plate), alpha_of(made)], axis=-1)


def picture(pictures: Float[Array, "*n c"]) -> Float[Array, "*n 3"]:
    """The colours of pictures, with or without alpha."""
    return pictures if pictures.shape[-1] == 3 else pictures[..., :3]


def needless(
    alpha: Float[Array, "*n 1"], frames: Float[Array, "*n 3"], plates: Float[Array, "*n 3"]
) -> Float[Array, ""]:
    """The mean alpha where the plate already shows what the true frame shows."""
    distance = jnp.square((frames - plates) / AGREES).mean(-1, keepdims=True)
    return jnp.mean(alpha * jnp.exp(-distance))
