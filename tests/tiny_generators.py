"""Files of random generators, small enough to compile in seconds."""

import jax
import numpy as np

from motion_jax.nets import stylegan2 as nets
from motion_jax.weights import stylegan2 as keys
from motion_jax.weights.torch import write_nested

MODULE = nets.Generator((6, 4, 4), latent=6, style=6, mapping_layers=1)


def written(path, module=MODULE, seed=0):
    """A file of a random generator."""
    z = jax.numpy.zeros((1, module.latent))
    variables = jax.jit(module.init)(jax.random.key(seed), z)
    state = keys.state_dict(variables, keys.described(module), "rosinality")
    write_nested(path, {"g_ema": state, "latent_avg": np.full(module.style, 0.1, np.float32)})
    return path
