"""CycleGAN's image pool (Shrivastava et al. 2017): the discriminator also sees older pictures.

Pure: the pool lies in the training state, so that it is exact under jit and in checkpoints.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from motion_jax.devices import layout
from motion_jax.recipes.state import Params


def empty(size: int, height: int, width: int) -> Params:
    """A pool for `size` pictures, with none in it; size 0 hands every picture on."""
    return {
        "images": jnp.zeros((size, height, width, 3), jnp.float32),
        "count": jnp.zeros((), jnp.int32),
    }


def exchange(
    pool: Params, images: Float[Array, "n h w 3"], key: Array
) -> tuple[Params, Float[Array, "n h w 3"]]:
    """The pool after new pictures, and what the discriminator is shown, one for each.

    One after the other: while the pool is not full, a picture is kept and shown; after that, with
    probability 1/2, it replaces a random one, which is shown, else it is shown and not kept.
    """
    size = pool["images"].shape[0]
    if not size:
        return pool, images

    def one(pool: Params, new: tuple[Array, Array]) -> tuple[Params, Array]:
        image, key = new
        kept, count = pool["images"], pool["count"]
        choice, place = jax.random.split(key)
        filling = count < size
        swapped = ~filling & jax.random.bernoulli(choice, 0.5)
        slot = jnp.where(filling, count, jax.random.randint(place, (), 0, size))
        old = jax.lax.dynamic_index_in_dim(kept, slot, keepdims=False)
        put = jnp.where(filling | swapped, image, old)
        kept = jax.lax.dynamic_update_index_in_dim(kept, put, slot, 0)
        shown = jnp.where(swapped, old, image)
        return {"images": kept, "count": jnp.minimum(count + 1, size)}, shown

    with jax.named_scope("pool"):
        images = layout.whole_batch(images)
        pool, shown = jax.lax.scan(one, pool, (images, jax.random.split(key, images.shape[0])))
        return pool, layout.own_share(shown)
