"""Our side of benchmarks.stylegan2: a process that answers requests (workers.py)."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.workers import answers_of_jax, serve


def config_of(setup: Mapping[str, Any]) -> Any:
    """The Config with the setup's networks and losses."""
    from motion_jax.config import Config
    from motion_jax.recipes.stylegan2 import Generator, Losses, Stage, StyleGAN2

    settings = setup["settings"]
    names = ("r1", "r1_every", "path", "path_every", "path_shrink", "mixing")
    recipe = StyleGAN2(
        generator=Generator(
            latent=setup["style"],
            style=setup["style"],
            mapping_layers=setup["mapping_layers"],
            widths=tuple(setup["widths"]),
        ),
        losses=Losses(**{name: settings[name] for name in names}),
        averaging=settings["averaging"],
        # With so many steps the learning rate does not change.
        main_stage=Stage(
            steps=10**6,
            height=setup["size"],
            width=setup["size"],
            batch_size=setup["batch"],
            learning_rate=settings["rate"],
        ),
        dtype=setup["dtype"],
    )
    config = Config(recipe=recipe)
    config.validate()
    return config


def build(setup: Mapping[str, Any]) -> dict[str, Callable[..., dict[str, Any]]]:
    """setup: of benchmarks.stylegan2."""
    work = {"step": _step, "generator": _generator}[setup["work"]](config_of(setup), setup)

    return answers_of_jax(work)


def _step(config: Any, setup: Mapping[str, Any]) -> Callable[[], None]:
    """Steps in their rhythm. All kinds are compiled by the first call."""
    import jax

    from motion_jax.config import Devices
    from motion_jax.devices import mesh as meshes
    from motion_jax.train.loop import compile_ahead, compiled_step

    size, count, recipe = setup["size"], setup["batch"], config.recipe
    mesh = meshes.make_mesh(Devices(), count)
    everywhere = meshes.replicated(mesh)
    state = jax.jit(lambda key: recipe.init(key, "main"))(jax.random.key(0))
    held: dict[str, Any] = {"state": jax.device_put(state, everywhere), "step": 0}
    steps: dict[Any, Any] = {}
    batch = {
        "frames": np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8),
        "keypoints": np.zeros((count, 137, 3), np.float32),
        "face_boxes": np.zeros((count, 4), np.float32),
    }

    def work() -> None:
        inputs = held["state"], meshes.place(batch, mesh), {}
        if not steps:
            for kind in recipe.kinds("main"):
                steps[kind] = compile_ahead(compiled_step(config, "main", mesh, kind), *inputs)
        held["step"] += 1
        kind = recipe.kind_of("main", held["step"])
        held["state"], metrics = steps[kind](*inputs)
        jax.block_until_ready((held["state"], metrics))

    return work


def _generator(config: Any, setup: Mapping[str, Any]) -> Callable[[], None]:
    import jax

    from motion_jax.recipes.network import applied

    recipe = config.recipe
    module, _ = recipe.modules()
    variables = jax.jit(lambda key: recipe.init(key, "main").params["generator"])(jax.random.key(0))
    z = np.random.default_rng(0).standard_normal((setup["batch"], setup["style"]))
    made = jax.jit(lambda variables, z: applied(module, variables, z))

    def work() -> None:
        np.asarray(made(variables, z.astype(np.float32)))

    return work


if __name__ == "__main__":
    serve(build)
