"""Our side of benchmarks.first_order: a process that answers requests (workers.py)."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.jax_worker import seeded_vgg
from benchmarks.workers import answers_of_jax, serve


def config_of(setup: Mapping[str, Any]) -> Any:
    """The Config with the setup's networks and losses."""
    from motion_jax.config import Config
    from motion_jax.port import first_order_config as theirs
    from motion_jax.recipes.first_order import FirstOrder, Losses, Stage

    weights = setup["weights"]
    recipe = FirstOrder(
        detector=theirs.detector(setup["detector"]),
        motion=theirs.dense_motion(setup["generator"]["dense_motion_params"]),
        generator=theirs.generator(setup["generator"]),
        losses=Losses(
            perceptual_weights=tuple(map(float, weights["perceptual"])),
            scales=tuple(setup["scales"]),
            equivariance_value=weights["equivariance_value"],
            equivariance_jacobian=weights["equivariance_jacobian"],
        ),
        # With so many steps the learning rate does not change.
        main_stage=Stage(
            steps=10**6, height=setup["size"], width=setup["size"], batch_size=setup["batch"]
        ),
        dtype=setup["dtype"],
    )
    config = Config(recipe=recipe)
    config.validate()
    return config


def build(setup: Mapping[str, Any]) -> dict[str, Callable[..., dict[str, Any]]]:
    """setup: of benchmarks.first_order."""
    config = config_of(setup)
    work = {"step": _step, "animation": _animation}[setup["work"]](config, setup)

    return answers_of_jax(work)


def _pictures(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)


def _step(config: Any, setup: Mapping[str, Any]) -> Callable[[], None]:
    import jax

    from motion_jax.config import Devices
    from motion_jax.devices import mesh as meshes
    from motion_jax.train.loop import compile_ahead, compiled_step

    size, count = setup["size"], setup["batch"]
    mesh = meshes.make_mesh(Devices(), count)
    everywhere = meshes.replicated(mesh)
    state = jax.jit(lambda key: config.recipe.init(key, "main"))(jax.random.key(0))
    held: dict[str, Any] = {"state": jax.device_put(state, everywhere), "step": None}
    frozen = jax.device_put({"vgg19": seeded_vgg()}, everywhere)
    batch = {
        "frames": _pictures(count, 2, size, size),
        "keypoints": np.zeros((count, 2, 137, 3), np.float32),
        "face_boxes": np.zeros((count, 2, 4), np.float32),
    }

    def work() -> None:
        inputs = held["state"], meshes.place(batch, mesh), frozen
        if held["step"] is None:
            held["step"] = compile_ahead(compiled_step(config, "main", mesh), *inputs)
        held["state"], metrics = held["step"](*inputs)
        jax.block_until_ready((held["state"], metrics))

    return work


def _animation(config: Any, setup: Mapping[str, Any]) -> Callable[[], None]:
    import jax

    from motion_jax.train.synthesis import Synthesizer

    recipe, size = config.recipe, setup["size"]
    params = jax.jit(lambda key: recipe.synthesis_params(recipe.init(key, "main")))(
        jax.random.key(0)
    )
    synthesizer = Synthesizer(recipe, "main", params, chunk=1)
    frames = _pictures(2, size, size)
    synthesizer.reset(frames[:1])

    def work() -> None:
        synthesizer.feed(frames[1:])

    return work


if __name__ == "__main__":
    serve(build)
