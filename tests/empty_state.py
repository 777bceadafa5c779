"""A training state into which a test puts weights of its own."""

import jax
import numpy as np

from motion_jax.recipes.state import State


def zeros(recipe, name: str) -> State:
    """The state in which a stage begins, with zeros for all weights: to draw them would take a
    program of its own, compiled for seconds."""

    def zero(leaf: jax.ShapeDtypeStruct):
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.key(0)
        return np.zeros(leaf.shape, leaf.dtype)

    return jax.tree.map(zero, jax.eval_shape(lambda key: recipe.init(key, name), jax.random.key(0)))
