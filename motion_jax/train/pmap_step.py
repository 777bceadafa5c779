"""The train step with jax.pmap: one program a device, each for its own share of the batch.

For those who ask for it; jax recommends the way of train/step.py. Since jax 0.8 pmap is only kept
alive, as a wrapper of jit and shard_map, and since 0.10 its own runtime is gone. Here the mapped
step is compiled within one jitted program. Parameters and optimiser are on every device; gradients
and batch statistics are averaged over all of them (motion_jax/devices/layout.py). The result is
that of the jitted step.
"""

from typing import Any

import jax
from jax.sharding import Mesh

from motion_jax.config import Config
from motion_jax.devices import layout
from motion_jax.devices import mesh as meshes
from motion_jax.recipes import schedule
from motion_jax.recipes.state import Kind, State


def pmapped_step(config: Config, name: str, mesh: Mesh, kind: Kind = ()) -> jax.stages.Wrapped:
    """A stage's train step of a kind, as train.step.compiled_step: (state, batch, frozen) ->
    (state, metrics); state is donated, and on every device before and after."""
    count = mesh.shape["data"]

    def share(state: State, batch: Any, frozen: Any) -> tuple[State, Any]:
        with layout.mapped("data", count), schedule.by_clock(frozen) as rest:
            state, metrics = config.recipe.train_step(state, batch, name, rest, kind)
            return state, layout.batch_mean(metrics)

    mapped = jax.pmap(
        share,
        axis_name="data",
        in_axes=(None, 0, None),
        out_axes=None,
        devices=list(mesh.devices.flat),
    )

    def step(state: State, batch: Any, frozen: Any) -> tuple[State, Any]:
        shares = jax.tree.map(lambda x: x.reshape(count, -1, *x.shape[1:]), batch)
        return mapped(state, shares, frozen)

    everywhere, batches = meshes.replicated(mesh), meshes.over_data(mesh)
    return jax.jit(
        step,
        in_shardings=(everywhere, batches, everywhere),
        out_shardings=(everywhere, everywhere),
        donate_argnums=0,
    )
