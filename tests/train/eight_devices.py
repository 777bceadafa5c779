"""Run by test_devices.py in a process with eight simulated devices: every recipe's stages with
several layouts, each against one device.

Arguments: which of CASES, or "refused" or "resident". Prints "same" at the end.
"""

import gc
import sys
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
warnings.simplefilter("error")
# Half-written by another process, it is compiled again.
warnings.filterwarnings("ignore", "Error reading persistent compilation cache")

from conftest import CONFIG  # noqa: E402
from tiny_first_order import RECIPE  # noqa: E402

from motion_jax.config import Config, Devices  # noqa: E402
from motion_jax.devices import mesh as meshes  # noqa: E402
from motion_jax.errors import UserError  # noqa: E402
from motion_jax.nets.conv import target_platform  # noqa: E402
from motion_jax.pose.draw import PoseStyle  # noqa: E402
from motion_jax.profiling.measure import synthetic_batch  # noqa: E402
from motion_jax.recipes import cyclegan, pix2pix, stylegan2  # noqa: E402
from motion_jax.recipes.state import State  # noqa: E402
from motion_jax.train.resident import batch_of, program  # noqa: E402
from motion_jax.train.step import (  # noqa: E402
    check_layout,
    compile_ahead,
    compiled_step,
    place_state,
)

BATCH, STEPS = 8, 5
ONE = Devices(data=1)
STAGE = pix2pix.Stage(steps=9, height=32, width=32, batch_size=BATCH)


def dancing() -> Config:
    recipe = CONFIG.recipe
    stages = {
        f"{name}_stage": replace(getattr(recipe, f"{name}_stage"), batch_size=BATCH)
        for name in ("global", "local", "face")
    }
    # Four devices can share a crop of 16 rows.
    recipe = replace(recipe, **stages, face=replace(recipe.face, size=16), previous_noise=0.1)
    return replace(CONFIG, recipe=recipe)


def before_a_plate() -> Config:
    config = dancing()
    recipe = replace(
        config.recipe,
        background="plate",
        generator=replace(config.recipe.generator, up="resize"),
        losses=replace(config.recipe.losses, structure=5.0),
    )
    return replace(config, recipe=recipe)


def around_the_person() -> Config:
    config = before_a_plate()
    changes = {"previous": "none", "previous_noise": 0.0, "area": "person"}
    sizes = {"area_height": 24, "area_width": 16}
    return replace(config, recipe=replace(config.recipe, **changes, **sizes))


PIX2PIX = pix2pix.Pix2Pix(
    generator=pix2pix.Generator(ngf=2, n_downsampling=5),
    discriminator=pix2pix.Discriminator(ndf=2, n_layers=1),
    main_stage=STAGE,
    pose_style=PoseStyle(face_points=0, hands=False, stroke=2.0),
    averaging=0.9,
)
CYCLEGAN = cyclegan.CycleGAN(
    generator=pix2pix.Generator("resnet", 2, n_blocks=0, norm="instance", dropout=False),
    discriminator=pix2pix.Discriminator("pixel", 2, norm="instance"),
    losses=cyclegan.Losses(identity=0.0),
    main_stage=STAGE,
    pool_size=12,
)
STYLEGAN2 = stylegan2.StyleGAN2(
    generator=stylegan2.Generator(latent=4, style=4, mapping_layers=1, widths=(4, 2)),
    losses=stylegan2.Losses(r1_every=1, path_every=1, path_shrink=1),
    augment=stylegan2.Augment("adaptive", "color", p=0.5, every=2, length=100),
    main_stage=stylegan2.Stage(9, height=8, width=8, batch_size=BATCH, learning_rate=2e-5),
)
# What is trained, its stage, and on which layouts besides one device. Each layout is a program to
# compile, so each way of sharing is tried with two recipes or three, not with all.
CASES = {
    "global": (
        dancing(),
        "global",
        [Devices(shard_optimizer=True)],
    ),
    "local": (dancing(), "local", [Devices()]),
    "plate": (before_a_plate(), "global", [Devices(data=4, space=2)]),
    "area": (around_the_person(), "global", [Devices()]),
    "face": (
        dancing(),
        "face",
        [Devices(data=2, space=4), Devices(strategy="pmap")],
    ),
    "pix2pix": (Config(recipe=PIX2PIX), "main", [Devices(strategy="pmap")]),
    "first_order": (
        Config(recipe=replace(RECIPE, main_stage=replace(RECIPE.main_stage, batch_size=BATCH))),
        "main",
        [Devices()],
    ),
    "cyclegan": (Config(recipe=CYCLEGAN), "main", [Devices()]),
    "stylegan2": (
        Config(recipe=STYLEGAN2),
        "main",
        [Devices(data=4, space=2), Devices(strategy="pmap")],
    ),
}


# StyleGAN2's losses that a step computes after it has moved the discriminator: Adam's first steps
# are of one length whatever the gradient, so that rounding of one that is nearly 0 shows.
AFTER = ("G", "r1", "path", "path_length")


def batches(config: Config, name: str) -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(0)
    made = []
    for _ in range(STEPS):
        batch = dict(synthetic_batch(config, name))
        for key, array in batch.items():
            if array.dtype == np.uint8:
                batch[key] = random.integers(0, 256, array.shape).astype(np.uint8)
        if batch.get("keypoints", np.zeros(0)).ndim == 4:
            # Somewhere, across the shards' borders too; every third window has no face.
            corner = random.uniform(0, 20, (*batch["face_boxes"].shape[:2], 2))
            batch["face_boxes"] = np.concatenate([corner, corner + 12], -1).astype(np.float32)
            batch["face_boxes"][::3] = 0
            batch["keypoints"][..., :2] += random.uniform(-3, 3, (BATCH, 1, 1, 2))
        made.append(batch)
    return made


def check_shares(state, mesh, shared: bool) -> None:
    """Whether every device of "data" has a share of the large tensors of the optimiser and of the
    averages, and all of everything else."""
    cut = 0
    for part in ("params", "optimizer", "averaged"):
        for leaf in jax.tree.leaves(getattr(state, part)):
            shapes = {shard.data.shape for shard in leaf.addressable_shards}
            assert len(leaf.addressable_shards) == mesh.size
            (shape,) = shapes
            large = leaf.size >= meshes.WORTH_SHARING and any(n % 8 == 0 for n in leaf.shape)
            if shared and part != "params" and large:
                assert np.prod(shape) * mesh.shape["data"] == leaf.size, (part, leaf.shape, shape)
                cut += 1
            else:
                assert shape == leaf.shape
                copies = {np.asarray(shard.data).tobytes() for shard in leaf.addressable_shards}
                assert len(copies) == 1, f"the devices' {part} differ"
    assert (cut > 0) == shared


def run(config: Config, name: str, start: State) -> list[dict[str, float]]:
    """The losses of STEPS steps."""
    mesh = meshes.of_stage(config.devices, config.recipe.stages()[name], name)
    # A copy: what lies right already is not copied by being placed, and is donated then.
    state = place_state(jax.tree.map(jnp.copy, start), config, mesh)
    step, metrics, kind = None, [], config.recipe.usual_kind(name)
    for batch in batches(config, name):
        placed = meshes.place(batch, mesh)
        for key, array in placed.items():
            here = array.addressable_shards[0].data
            assert here.shape[0] == BATCH // mesh.shape["data"]
            if array.dtype == np.uint8:
                assert here.shape[-3] == array.shape[-3] // mesh.shape["space"], key
        step = step or compile_ahead(compiled_step(config, name, mesh, kind), state, placed, {})
        before = state
        state, losses = step(state, placed, {})
        metrics.append(jax.device_get(losses))
        # A donated buffer is gone. Spectral norm's v is made anew from u, so that nobody reads it.
        given = jax.tree_util.tree_leaves_with_path((before.params, before.optimizer))
        assert all(leaf.is_deleted() for path, leaf in given if str(path[-1]) != "['v']")
    check_shares(state, mesh, config.devices.shard_optimizer)
    return metrics


def compare(case: str) -> None:
    """Every layout of a case against one device."""
    config, name, layouts = CASES[case]
    start = jax.jit(lambda key, config=config, name=name: config.recipe.init(key, name))(
        jax.random.key(0)
    )
    one = run(replace(config, devices=ONE), name, start)
    for devices in layouts:
        several = run(replace(config, devices=devices), name, start)
        for number, (a, b) in enumerate(zip(several, one, strict=True), 1):
            assert set(a) == set(b)
            for loss in b:
                np.testing.assert_allclose(
                    a[loss],
                    b[loss],
                    rtol=1e-5 if number == 1 and loss not in AFTER else 1e-3,
                    atol=1e-6,
                    err_msg=f"{case}, {devices}: {loss} of step {number}",
                )


def resident() -> None:
    """A batch that is taken from pictures on all devices lies as one that is handed over, and is
    what one device takes."""
    random = np.random.default_rng(0)
    side, length = 16, 2
    pictures = {
        name: random.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
        for name, count in (("frames", 12), ("plates", 2))
    }
    edges = np.clip(np.arange(side) + np.array([[0], [1]]), 0, side - 1)
    several = (BATCH, 1, 1)
    given = {
        "numbers": random.integers(0, 12, (BATCH, length), dtype=np.int32),
        "plate_numbers": random.integers(0, 2, (BATCH, length), dtype=np.int32),
        "keypoints": random.random((BATCH, length, 137, 3), np.float32),
        "rows": np.tile(edges.astype(np.int32), several),
        "rows_share": random.random((BATCH, side), np.float32),
        "columns": np.tile(edges.astype(np.int32), several),
        "columns_share": random.random((BATCH, side), np.float32),
        "colours": random.integers(0, 500, (BATCH, 3, 4), dtype=np.int32),
    }
    alone = jax.device_get(batch_of(pictures, given))
    mesh = meshes.make_mesh(Devices(data=4, space=2), BATCH)
    everywhere = jax.device_put(pictures, meshes.replicated(mesh))
    shared = program(mesh)(everywhere, meshes.place(given, mesh))
    wanted = meshes.over_batch(mesh, shared)
    for name, array in shared.items():
        assert array.sharding.is_equivalent_to(wanted[name], array.ndim), name
        np.testing.assert_array_equal(np.asarray(array), alone[name], err_msg=name)


def refused() -> None:
    """A face crop that is too low for its shards is refused before the first stage is trained, and
    so are areas of frames whose rows are shared."""
    config = dancing()
    nothing = replace(config.recipe.local_stage, steps=0, decay_steps=0)
    recipe = replace(config.recipe, local_stage=nothing, face=replace(config.recipe.face, size=8))
    recipe = replace(
        recipe, face_stage=replace(recipe.face_stage, height=16, width=16), previous_noise=0.0
    )
    with pytest.raises(UserError, match="Stage face: .* of 8 rows .*devices.space = 4"):
        check_layout(replace(config, recipe=recipe, devices=Devices(data=2, space=4)))
    with pytest.raises(UserError, match="areas at other places .* cannot be shared"):
        check_layout(replace(around_the_person(), devices=Devices(data=4, space=2)))


def main() -> None:
    assert jax.device_count() == 8
    gc.set_threshold(50_000, 20, 100)  # as tests/conftest.py, and why
    # The networks here are tiny.
    meshes.WORTH_SHARING = 64
    # Accelerators' forms of convolutions make smaller programs, which are compiled in half the
    # time; nets/ has tests of the others.
    with target_platform("gpu"):
        for case in sys.argv[1:]:
            {"refused": refused, "resident": resident}.get(case, partial(compare, case))()
    print("same")


if __name__ == "__main__":
    main()
