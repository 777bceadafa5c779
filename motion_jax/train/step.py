"""A stage's train step as one compiled program: what goes in, and how it lies on the devices."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, Sharding

from motion_jax.config import Config
from motion_jax.devices import layout
from motion_jax.devices import mesh as meshes
from motion_jax.errors import UserError
from motion_jax.memory import give_back_freed_memory
from motion_jax.nets import spatial
from motion_jax.recipes import schedule
from motion_jax.recipes.state import Kind, State
from motion_jax.train.pmap_step import pmapped_step


def abstract_state(config: Config, name: str, sharding: Any = None) -> State:
    """Shapes, types and shardings of a stage's state, without computing it.

    sharding: one for all leaves, or a pytree of the state's structure; None: left open.
    """
    shapes = jax.eval_shape(lambda key: config.recipe.init(key, name), jax.random.key(0))
    if sharding is None:
        return shapes
    if isinstance(sharding, Sharding):
        sharding = jax.tree.map(lambda _: sharding, shapes)

    def laid_out(leaf: jax.ShapeDtypeStruct, where: Sharding) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)

    return jax.tree.map(laid_out, shapes, sharding)


def laid_out_state(config: Config, name: str, mesh: Mesh) -> State:
    """abstract_state with the shardings that the stage trains with on the mesh."""
    shapes = abstract_state(config, name)
    sharding = meshes.state_sharding(mesh, shapes, config.devices.shard_optimizer)
    return abstract_state(config, name, sharding)


def place_state(state: State, config: Config, mesh: Mesh) -> State:
    """A stage's state onto the mesh, as the stage trains with it."""
    sharding = meshes.state_sharding(mesh, state, config.devices.shard_optimizer)
    return jax.device_put(state, sharding)


def compiled_step(config: Config, name: str, mesh: Mesh, kind: Kind = ()) -> jax.stages.Wrapped:
    """The stage's train step of a kind (Recipe.kinds), jitted: (state, batch, frozen) -> (state,
    metrics); state is donated. With devices.strategy = "pmap" it is train.pmap_step's. What the
    learning rate is follows from the step's number, or from schedule.BY_CLOCK in `frozen`.

    State lies as mesh.state_sharding says before and after, the batch as mesh.over_batch; frozen
    and metrics are on every device.
    """
    if config.devices.strategy == "pmap":
        return pmapped_step(config, name, mesh, kind)
    everywhere = meshes.replicated(mesh)
    states = jax.tree.map(lambda leaf: leaf.sharding, laid_out_state(config, name, mesh))

    def step(state: State, batch: Any, frozen: Any) -> tuple[State, Any]:
        # Which pictures a batch holds depends on the dataset.
        batch = jax.lax.with_sharding_constraint(batch, meshes.over_batch(mesh, batch))
        with _laid_over(mesh, name), schedule.by_clock(frozen) as rest:
            return config.recipe.train_step(state, batch, name, rest, kind)

    return jax.jit(
        step,
        in_shardings=(states, None, everywhere),
        out_shardings=(states, everywhere),
        donate_argnums=0,
    )


def stage_settings(config: Config, stage: str) -> Any:
    """The settings of a stage. Raises UserError where the config has no such stage."""
    stages = config.recipe.stages()
    if stage not in stages:
        raise UserError(f"The config has no stage {stage!r}; it has {', '.join(stages)}.")
    return stages[stage]


def step_inputs(config: Config, stage: str, mesh: Mesh | None = None) -> tuple[Any, Any, Any]:
    """(state, batch, frozen) of a stage's train step as shapes, laid out over the mesh."""
    stage_settings(config, stage)
    recipe = config.recipe
    replicated = None if mesh is None else meshes.replicated(mesh)
    batch = {
        name: jax.ShapeDtypeStruct(shape, jnp.dtype(dtype))
        for name, (shape, dtype) in recipe.reading(stage).shapes().items()
    }
    if mesh is not None:
        shardings = meshes.over_batch(mesh, batch)
        batch = {
            name: jax.ShapeDtypeStruct(each.shape, each.dtype, sharding=shardings[name])
            for name, each in batch.items()
        }
    frozen = {
        name: jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=replicated),
            network.shapes(),
        )
        for name, network in recipe.pretrained().items()
    }
    state = abstract_state(config, stage) if mesh is None else laid_out_state(config, stage, mesh)
    return state, batch, frozen


def check_layout(config: Config) -> None:
    """Raises UserError where a stage cannot be laid over the devices at hand. Otherwise a later
    stage would fail after days."""
    for name, stage in config.recipe.stages().items():
        mesh = meshes.of_stage(config.devices, stage, name)
        if mesh.shape["space"] > 1:
            # Networks find out what they need of neighbouring devices' rows when they are traced.
            for kind in config.recipe.kinds(name):
                step = compiled_step(config, name, mesh, kind)
                jax.eval_shape(step, *step_inputs(config, name, mesh))


@contextlib.contextmanager
def _laid_over(mesh: Mesh, name: str) -> Iterator[None]:
    """Tells the parts of a step that must know it how the batch lies."""
    with contextlib.ExitStack() as stack:
        if mesh.size > 1:
            stack.enter_context(layout.over(mesh))
        if mesh.shape["space"] > 1:
            stack.enter_context(spatial.over(mesh, name))
        yield


def compile_ahead(step: jax.stages.Wrapped, *arguments: Any) -> Callable[..., Any]:
    """A jitted step compiled for these arguments, which are not consumed. The memory of compiling
    is given back, so that it does not add to the step's peak."""
    compiled = step.lower(*arguments).compile()
    give_back_freed_memory()
    return compiled
