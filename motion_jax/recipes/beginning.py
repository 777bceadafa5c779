"""The state in which a stage of any recipe begins, from the description of its networks."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jax import Array

from motion_jax.nets.initial import initialise
from motion_jax.recipes.network import Network
from motion_jax.recipes.state import Params, State


def begun(
    networks: Mapping[str, Network], key: Array, carried: Callable[[Params], Params] | None = None
) -> State:
    """Parameters, fresh optimisers and averages of the networks of a stage.

    carried: what becomes of fresh parameters, by network name, where another stage came before;
    averages begin with what it gives. Pure; works under jax.eval_shape.
    """
    key, *keys = jax.random.split(key, 1 + len(networks))
    params = {
        name: initialise(network.module, each, *network.inputs)
        for each, (name, network) in zip(keys, networks.items(), strict=True)
    }
    if carried is not None:
        params = carried(params)
    return State(
        step=jnp.zeros((), jnp.int32),
        params=params,
        optimizer={
            name: network.begun(params[name])
            for name, network in networks.items()
            if network.optimizer is not None
        },
        averaged={
            name: jax.tree.map(jnp.copy, params[name])
            for name, network in networks.items()
            if network.averaged
        },
        key=key,
    )


def kept(params: Params, previous: State) -> Params:
    """Fresh parameters, or those of the stage before where it had a network of the same name and
    shapes."""

    def shapes(tree: Params) -> tuple:
        return jax.tree.structure(tree), [leaf.shape for leaf in jax.tree.leaves(tree)]

    def one(name: str, fresh: Params) -> Params:
        before = previous.params.get(name)
        return fresh if before is None or shapes(before) != shapes(fresh) else before

    return {name: one(name, fresh) for name, fresh in params.items()}
