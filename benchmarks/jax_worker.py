"""Our side of train_step and synthesis: a process that answers requests (workers.py)."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.workers import memory, serve


def build(setup: Mapping[str, Any]) -> dict[str, Callable[..., dict[str, Any]]]:
    """setup: {"work": "train_step" or "synthesis", "filters", "downsamplings", "blocks", "stage",
    "height", "width", "batch", "scales", "dtype"}."""
    import jax

    # What every training run imports.
    import motion_jax.train.loop  # noqa: F401

    after_imports = memory()
    config = config_of(setup)
    device = jax.devices()[0]
    work = {"train_step": _train, "synthesis": _synthesise}[setup["work"]]
    run, flops = work(config, setup)

    def describe() -> dict[str, Any]:
        from motion_jax.profiling.chips import chip_of

        known = chip_of(device)
        return {
            "device": device.device_kind,
            "chip": known.name if known else None,
            "gflop": flops() / 1e9,
            "after_imports_gb": after_imports.get("resident_gb"),
        }

    def device_memory() -> dict[str, float]:
        found = device.memory_stats() or {}
        peak = found.get("peak_bytes_in_use")
        return {} if peak is None else {"peak_gb": peak / 1e9}

    return {"run": run, "describe": describe, "device_memory": device_memory}


def config_of(setup: Mapping[str, Any]) -> Any:
    """The Config of a setup: one stage of Everybody Dance Now, with the reference's losses."""
    from motion_jax.config import Config
    from motion_jax.recipes import everybody_dance_now as edn

    # With so many steps the learning rate does not change.
    stage = edn.Stage(
        steps=10**6,
        height=setup["height"],
        width=setup["width"],
        batch_size=setup["batch"],
        num_D=setup["scales"],
    )
    config = Config(
        recipe=edn.EverybodyDanceNow(
            generator=edn.Generator(
                ngf=setup["filters"],
                n_downsampling=setup["downsamplings"],
                n_blocks=setup["blocks"],
            ),
            discriminator=edn.Discriminator(ndf=setup["filters"]),
            dtype=setup["dtype"],
            **{f"{setup['stage']}_stage": stage},
        )
    )
    config.validate()
    return config


def batch_of(setup: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What the loader hands to the step: seeded frames, and the drawn dancer's keypoints, since the
    length of limbs decides how long a pose picture takes."""
    from motion_jax import puppet

    lead, (height, width) = (setup["batch"], 2), (setup["height"], setup["width"])
    dancer, motion = puppet.CHARACTERS["ada"], puppet.dance(frames=2 * setup["batch"])
    keypoints = puppet.pose(dancer, motion, height, width)
    return {
        "frames": np.random.default_rng(0).integers(0, 256, (*lead, height, width, 3), np.uint8),
        "keypoints": keypoints.reshape(*lead, *keypoints.shape[1:]),
        "face_boxes": np.zeros((*lead, 4), np.float32),
    }


def seeded_vgg() -> dict[str, Any]:
    """VGG-19 with the weights of the parity fixtures, which torch_networks draws too."""
    from motion_jax.nets.vgg import LAYERS

    generator, params, channels, index = np.random.default_rng(19), {}, 3, 0
    for features in LAYERS:
        if features == "M":
            continue
        weight = generator.standard_normal((features, channels, 3, 3))
        weight = (weight * np.sqrt(2 / (channels * 9))).astype(np.float32)
        kernel = np.ascontiguousarray(weight.transpose(2, 3, 1, 0))
        params[f"conv_{index}"] = {"kernel": kernel, "bias": np.zeros(features, np.float32)}
        channels, index = features, index + 1
    return {"params": params}


def _train(config: Any, setup: Mapping[str, Any]) -> tuple[Callable, Callable[[], int]]:
    import jax

    from motion_jax.config import Devices
    from motion_jax.devices import mesh as meshes
    from motion_jax.nets.conv import target_platform
    from motion_jax.profiling.arithmetic import flops
    from motion_jax.train.loop import compile_ahead, compiled_step

    name, mesh = setup["stage"], meshes.make_mesh(Devices(), setup["batch"])
    state = jax.jit(lambda key: config.recipe.init(key, name))(jax.random.key(0))
    everywhere = meshes.replicated(mesh)
    held = {"state": jax.device_put(state, everywhere)}
    del state
    frozen = jax.device_put({"vgg19": seeded_vgg()}, everywhere)
    batch, held["step"] = batch_of(setup), None

    def run(count: int, repeats: int = 1) -> dict[str, Any]:
        """Seconds of `count` steps without waiting in between, `repeats` times."""
        seconds = []
        for _ in range(repeats):
            started = time.perf_counter()
            for _ in range(count):
                inputs = held["state"], meshes.place(batch, mesh), frozen
                if held["step"] is None:
                    held["step"] = compile_ahead(compiled_step(config, name, mesh), *inputs)
                held["state"], metrics = held["step"](*inputs)
            jax.block_until_ready((held["state"], metrics))
            seconds.append(time.perf_counter() - started)
        return {"seconds": seconds}

    def count_flops() -> int:
        # As written for accelerators: the model's own arithmetic.
        with target_platform("plain"):
            jaxpr = jax.make_jaxpr(lambda *a: config.recipe.train_step(*a[:2], name, a[2]))(
                held["state"], batch, frozen
            )
        return flops(jaxpr.jaxpr)

    return run, count_flops


def _synthesise(config: Any, setup: Mapping[str, Any]) -> tuple[Callable, Callable[[], int]]:
    import jax

    from motion_jax.nets.conv import on_cpu, target_platform
    from motion_jax.profiling.arithmetic import flops
    from motion_jax.train.synthesis import Synthesizer

    name, recipe = setup["stage"], config.recipe
    # Drawn one by one on the host: recipe.init would also make the discriminator and the moments
    # of Adam, more memory than synthesis ever needs.
    shapes = jax.eval_shape(
        lambda key: recipe.synthesis_params(recipe.init(key, name)), jax.random.key(0)
    )
    random = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: jax.device_put(0.02 * random.standard_normal(leaf.shape, np.float32)), shapes
    )
    keypoints = batch_of({**setup, "batch": 1})["keypoints"][:, 0]
    live = Synthesizer(recipe, name, params, chunk=1)
    # A CPU gets one frame a call in any case: no second program to compile.
    stream = live if on_cpu() else Synthesizer(recipe, name, params)

    def run(count: int, repeats: int = 1) -> dict[str, Any]:
        """Seconds of `count` frames as a video gets them (in chunks on an accelerator), `repeats`
        times; count = 1: one frame, there and back, as in live use."""
        seen = recipe.seen({"keypoints": np.repeat(keypoints, count, 0)})
        seconds = []
        for _ in range(repeats):
            started = time.perf_counter()
            if count == 1:
                live.feed(seen)
            else:
                jax.block_until_ready(stream.dispatch(seen))
            seconds.append(time.perf_counter() - started)
        return {"seconds": seconds}

    def count_flops() -> int:
        seen, carry = recipe.seen({"keypoints": keypoints}), recipe.start(params, None, name)
        with target_platform("plain"):
            jaxpr = jax.make_jaxpr(lambda *a: recipe.synthesize(*a, name))(params, seen, carry)
        return flops(jaxpr.jaxpr)

    return run, count_flops


if __name__ == "__main__":
    serve(build)
