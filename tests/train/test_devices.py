"""The batch shared among several devices (simulated) trains as on one."""

import os
import subprocess
import sys

PROGRAM = """
import dataclasses
import sys

import jax
import numpy as np
from jax.sharding import AxisType

sys.path.insert(0, sys.argv[1])
from conftest import CONFIG
from motion_jax import mesh as meshes
from motion_jax.train.loop import compiled_step

jax.config.update("jax_disable_most_optimizations", True)
assert jax.device_count() == 4
assert [meshes.data_mesh(n).size for n in (1, 2, 3, 4, 6, 8)] == [1, 2, 3, 4, 3, 4]
recipe = CONFIG.recipe
config = dataclasses.replace(
    CONFIG,
    recipe=dataclasses.replace(
        recipe,
        global_stage=dataclasses.replace(recipe.global_stage, batch_size=4, learning_rate=1e-3),
        local_stage=dataclasses.replace(recipe.local_stage, steps=0),
    ),
)
random = np.random.default_rng(0)
keypoints = np.zeros((4, 2, 137, 3), np.float32)
keypoints[:, :, [0, 1, 8], :2] = random.uniform(0, 16, (4, 2, 3, 2))
keypoints[:, :, [0, 1, 8], 2] = 1
batch = {
    "frames": random.integers(0, 255, (4, 2, 16, 16, 3)).astype(np.uint8),
    "keypoints": keypoints,
    "face_boxes": np.zeros((4, 2, 4), np.float32),
}
results = []
for mesh in (
    meshes.data_mesh(4),
    jax.make_mesh((1,), ("data",), (AxisType.Auto,), devices=jax.devices()[:1]),
):
    state = jax.jit(lambda key: config.recipe.init(key, "global"))(jax.random.key(0))
    state = jax.device_put(state, meshes.replicated(mesh))
    step = compiled_step(config, "global", mesh)
    placed = meshes.place(batch, mesh)
    assert len(placed["frames"].sharding.device_set) == mesh.size
    assert placed["frames"].addressable_shards[0].data.shape[0] == 4 // mesh.size
    state, metrics = step(state, placed, {})
    assert len(jax.tree.leaves(state.params)[0].sharding.device_set) == mesh.size
    gradients = {name: optimizer.mu for name, optimizer in state.optimizer.items()}
    results.append((jax.device_get(metrics), jax.device_get(gradients)))
    shards = jax.tree.leaves(state.params)[0].addressable_shards
    copies = {np.asarray(shard.data).tobytes() for shard in shards}
    assert len(copies) == 1, "the devices' parameters differ"
(four, four_gradients), (one, one_gradients) = results
assert set(four) == set(one)
for name in one:
    np.testing.assert_allclose(four[name], one[name], rtol=1e-5, err_msg=name)
scale = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(one_gradients))
for a, b in zip(jax.tree.leaves(four_gradients), jax.tree.leaves(one_gradients), strict=True):
    # Sums in another order, behind norms of pictures that are nearly grey at the beginning.
    np.testing.assert_allclose(a / scale, b / scale, atol=1e-4)
print("same")
"""


def test_four_devices_train_as_one(tmp_path):
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        "JAX_PLATFORMS": "cpu",
    }
    here = os.path.dirname(__file__)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, here],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "same"
