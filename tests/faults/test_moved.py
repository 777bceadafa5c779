"""A run that moves from eight devices to four and to one; a long run whose memory stays flat."""

import json
import os
import subprocess
import sys

import tiny_run

MOVED = """
import dataclasses, json, shutil, sys
from pathlib import Path

import jax
import numpy as np

from motion_jax.devices import mesh as meshes
from motion_jax.config import load_config
from motion_jax.data import pairs
from motion_jax.train import loop, resume
from motion_jax.train.checkpoint import parameter_hash

folder, data, config = map(Path, sys.argv[1:])
assert jax.device_count() == 8
# Tiny tensors are worth sharing here.
meshes.WORTH_SHARING = 64
config = load_config(str(config))
stage = dataclasses.replace(config.recipe.global_stage, steps=6, batch_size=8)
config = dataclasses.replace(
    config,
    recipe=dataclasses.replace(config.recipe, global_stage=stage),
    record=dataclasses.replace(config.record, checkpoint_every=2),
)
kept, seen, restored = loop.resume, [], []

def noted(*arguments):
    state, name, record = kept(*arguments)
    if state is not None:
        shards = {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(state)}
        whole = jax.tree.map(np.asarray, (state.params, state.optimizer, state.averaged))
        restored.append([parameter_hash(whole), sorted(shards), record["position"]])
    return state, name, record

loop.resume = noted
read = pairs.Load.__call__

def listed(self, examples):
    seen.extend(zip(*(np.asarray(part).tolist() for part in examples)))
    return read(self, examples)

pairs.Load.__call__ = listed

def train(run, devices, sharded):
    seen.clear()
    changed = dataclasses.replace(
        config, devices=dataclasses.replace(config.devices, data=devices, shard_optimizer=sharded)
    )
    loop.train(changed, data, run)
    # In the order of their numbers, whichever thread was first; what was read ahead is left out.
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return rows, sorted(seen)

def moved(run, step, target):
    shutil.copytree(run, target)
    for checkpoint in (target / "checkpoints").iterdir():
        if checkpoint.name.isdigit() and int(checkpoint.name) > step:
            shutil.rmtree(checkpoint)
    return target

eight, order = train(folder / "8", 8, True)
four, order4 = train(moved(folder / "8", 2, folder / "4"), 4, False)
one, order1 = train(moved(folder / "4", 4, folder / "1"), 1, False)
again, _ = train(moved(folder / "4", 4, folder / "4 again"), 4, False)
result = {
    "rows": {"8": eight, "4": four, "1": one, "4 again": again},
    "restored": restored,
    "order": [order[:48], order4[:32], order1[:16]],
}
print(json.dumps(result))
"""
LOSSES = ("D_fake", "D_real", "G_GAN", "G_GAN_Feat", "G_L1")


def child(program, *arguments, devices=1):
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=tiny_run.environment(os.environ["JAX_COMPILATION_CACHE_DIR"], devices),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def close(a, b, bound):
    return all(abs(a[name] - b[name]) <= bound * abs(b[name]) for name in LOSSES)


def test_eight_devices_then_four_then_one(tmp_path):
    data, config = tiny_run.write(tmp_path)
    result, said = child(MOVED, tmp_path, data, config, devices=8)
    assert "cannot be restored" not in said, "each start compares the checksum of the state"
    rows = result["rows"]
    assert [row["step"] for row in rows["1"]] == [1, 2, 3, 4, 5, 6]
    # The first step after the move, and a few later.
    assert close(rows["4"][2], rows["8"][2], 1e-5) and close(rows["4"][4], rows["8"][4], 1e-3)
    assert close(rows["1"][4], rows["4"][4], 1e-5)
    # On four devices, on one, on four again: the same checkpoint is the same state.
    (on_four, layout4, at4), (on_one, layout1, at1), (again, _, _) = result["restored"]
    assert on_one == again != on_four and (at4, at1) == (16, 32)
    assert (layout4, layout1) == ([4], [1])
    order, order4, order1 = result["order"]
    assert [number for number, _ in order] == list(range(48))
    assert order4 == order[16:48] and order1 == order[32:48], "the same examples in the same order"


LONG = """
import gc, json, sys
from pathlib import Path

import jax

from motion_jax.config import load_config
from motion_jax.memory import give_back_freed_memory
from motion_jax.train import loop
from motion_jax.train.record import Recorder

folder, data, config = map(Path, sys.argv[1:])
noted, seen = Recorder.step, []

def step(self, number, metrics, rate):
    noted(self, number, metrics, rate)
    if number % 250 == 0:
        jax.block_until_ready(metrics)
        gc.collect()
        give_back_freed_memory()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        live = [array for array in jax.live_arrays() if not array.is_deleted()]
        seen.append([pages * 4096, sum(array.nbytes for array in live)])

Recorder.step = step
loop.train(load_config(str(config)), data, folder / "run")
print(json.dumps(seen))
"""


def test_memory_stays_flat_over_thousands_of_steps(tmp_path):
    """2,500 steps with checkpoints, samples and logs as ever."""
    data, config = tiny_run.write(tmp_path)
    text = config.read_text()
    for before, after in (
        ("steps=20, decay_steps=5", "steps=2500, decay_steps=0"),
        ("batch_size=4", "batch_size=1"),
        ("log_every=1, sample_every=1000", "log_every=20, sample_every=500"),
        ("checkpoint_every=5, keep=9", "checkpoint_every=250, keep=2"),
    ):
        assert before in text
        text = text.replace(before, after)
    config.write_text(text)
    seen, _ = child(LONG, tmp_path, data, config)
    host, device = zip(*seen, strict=True)
    assert len(seen) == 10
    # The first thousand steps fill caches and pools: decoded frames, thread stacks, arenas.
    assert max(host[4:]) - min(host[3:5]) < 24 * 2**20, [size // 2**20 for size in host]
    # From the first samples on, whose parameters stay. Samples that are being made hold a copy of
    # the generator's parameters, a sixth of all; a copy for each sample would be far more.
    assert max(device[2:]) <= 1.25 * min(device[2:]), device
