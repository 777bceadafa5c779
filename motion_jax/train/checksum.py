"""How a checkpoint is judged: whether its parameters are finite, and a checksum of all of it.

The checksum is a weighted sum of all 32-bit words modulo 2^32. It is the same however the state
lies over devices and processes, and one flipped bit changes it.
"""

import jax
import jax.numpy as jnp

from motion_jax.recipes.state import State

# Odd, so that a change of one bit of one element always changes the sum (Knuth's multiplier).
MULTIPLIER = 2654435761


def examined(state: State) -> tuple[dict[str, bool], int]:
    """For each network whether all its parameters are finite; the checksum of the whole state.
    Waits for the state."""
    finite, checksum = jax.device_get(_examine(state))
    return {name: bool(value) for name, value in finite.items()}, int(checksum)


@jax.jit
def _examine(state: State) -> tuple[dict[str, jax.Array], jax.Array]:
    finite = {
        network: jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]))
        for network, tree in state.params.items()
    }
    total = jnp.uint32(0)
    for number, leaf in enumerate(jax.tree.leaves(state)):
        total += jnp.uint32(2 * number + 1) * _sum(leaf)
    return finite, total


def _sum(leaf: jax.Array) -> jax.Array:
    """Each 32-bit word times an odd number that depends on its place."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    if leaf.dtype == jnp.bool_:
        leaf = leaf.astype(jnp.uint8)
    width = leaf.dtype.itemsize
    kind = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32, 8: jnp.uint32}[width]
    words = jax.lax.bitcast_convert_type(leaf, kind).astype(jnp.uint32)
    place, stride = jnp.zeros(words.shape, jnp.uint32), 1
    for axis in reversed(range(words.ndim)):
        along = jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis)
        place += along * jnp.uint32(stride % 2**32)
        stride *= words.shape[axis]
    weight = (place * jnp.uint32(MULTIPLIER)) | jnp.uint32(1)
    return jnp.sum(words * weight, dtype=jnp.uint32)
