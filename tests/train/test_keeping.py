"""Which checkpoints stay; what the guard sees; what a state's checksum is of."""

import errno
import shutil
import sys
import tempfile
import threading
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_jax.config import Config, Guard
from motion_jax.recipes.metric import DISCRIMINATOR, GENERATOR, named
from motion_jax.recipes.state import State
from motion_jax.train import checkpoint
from motion_jax.train.checksum import examined
from motion_jax.train.guard import Collapsed, Watch, lowered
from motion_jax.train.retention import Keep


def records(**changes):
    """A checkpoint every ten minutes: steps 10, 20, ... 120; two stages."""
    return {
        step: {"seconds": 60.0 * step, "stage": "global" if step <= 60 else "local"}
        | {name: values[step] for name, values in changes.items() if step in values}
        for step in range(10, 130, 10)
    }


def test_the_newest_and_the_last_of_each_stage_stay():
    keep = Keep(3, always=(60, 120, 200))
    assert keep.kept(records()) == {60, 100, 110, 120}
    assert Keep(1).kept(records()) == {120}
    assert Keep(3).kept({}) == set()


def test_one_for_every_so_many_hours_of_training():
    assert Keep(1, hours=0.5).kept(records()) == {10, 40, 70, 100, 120}
    # As it was while they came one by one, each time deleting the rest.
    there = {}
    for step, record in records().items():
        there[step] = record
        there = {s: there[s] for s in Keep(1, hours=0.5).kept(there)}
    assert set(there) == {10, 40, 70, 100, 120}


def test_the_best_of_each_stage():
    scores = {20: 0.5, 30: 0.4, 40: 0.9, 70: 0.3, 80: 0.1, 90: 0.1}
    assert Keep(1, best=True).kept(records(score=scores)) == {30, 90, 120}
    assert Keep(1).kept(records(score=scores)) == {120}


def test_the_one_before_something_went_wrong():
    assert Keep(1).kept(records(), before=55) == {50, 120}
    assert Keep(1).kept(records(), before=5) == {120}


def test_what_stands_in_the_way_of_a_save_is_known_before_it_begins(tmp_path, monkeypatch):
    from motion_jax.train import checkpoint

    state = {"w": jnp.zeros((1024, 1024))}
    with checkpoint.Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.obstacle(state) == ""
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=4 * 2**20))
        assert "The disk is full: a checkpoint in" in checkpoints.obstacle(state)
        assert "needs 4.0 MB and 4.0 are left" in checkpoints.obstacle(state)

        def read_only(**_):
            raise OSError(errno.EROFS, "Read-only file system")

        monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
        assert "Cannot write" in checkpoints.obstacle(state)
        assert "Read-only file system" in checkpoints.obstacle(state)


def test_what_fails_at_closing_is_noted_on_what_ended_the_training(tmp_path, monkeypatch):
    def opened(name):
        checkpoints = checkpoint.Checkpoints(tmp_path / name)
        close = checkpoints._manager.close

        def failing():
            close()
            raise OSError("no room")

        monkeypatch.setattr(checkpoints._manager, "close", failing)
        return checkpoints

    with pytest.raises(KeyboardInterrupt) as ended, opened("a"):
        raise KeyboardInterrupt
    assert ended.value.__notes__ == ["Closing the checkpoints failed, too: OSError('no room')"]
    with pytest.raises(OSError, match="no room"), opened("b"):
        pass


# What is watched is what the recipe says is a discriminator's, however it is called.
WATCHED = named(DISCRIMINATOR, "D_real", "critic") | named(GENERATOR, "G_L1", "D_like")


def losses(value):
    return {"D_real": jnp.float32(value / 2), "critic": jnp.float32(value / 2)} | {
        "G_L1": 9.0,
        "D_like": 9.0,
        "unheard of": 9.0,
    }


def test_a_discriminator_whose_losses_vanish_for_long_has_collapsed():
    watch = Watch(Guard(collapsed_below=0.01, collapsed_steps=40, every=10), "global", WATCHED)
    for step in range(1, 31):
        watch.step(step, losses(0.001 if step > 15 else 1.0))
    # Each look is at what was put by at the one before.
    assert watch.since == 20
    memory = watch.since
    watch = Watch(
        Guard(collapsed_below=0.01, collapsed_steps=40, every=10), "global", WATCHED, memory
    )
    for step in range(31, 61):
        watch.step(step, losses(0.001))
    with pytest.raises(Collapsed, match="below 0.01 from step 20 to 60 of the global stage") as e:
        watch.look()
    assert (e.value.since, e.value.stage, e.value.together) == (20, "global", True)


def test_one_normal_look_is_enough_and_nan_is_none_of_its_business():
    watch = Watch(Guard(collapsed_below=0.01, collapsed_steps=20, every=10), "global", WATCHED)
    for step in range(1, 101):
        watch.step(step, losses(0.5 if step % 20 == 0 else 0.0))
    watch.step(110, losses(float("nan")))
    watch.look()
    assert watch.since is None
    off = Watch(Guard(collapsed_below=0.0, every=1, collapsed_steps=1), "global", WATCHED)
    for step in range(1, 10):
        off.step(step, losses(0.0))
    assert off.since is None


def test_lowering_changes_one_stage_alone():
    config = Config()
    changed = lowered(config, {"stage": "local", "factor": 0.5})
    before, after = config.recipe, changed.recipe
    assert after.local_stage.learning_rate == 0.5 * before.local_stage.learning_rate
    assert after.global_stage == before.global_stage and lowered(config, None) is config
    assert replace(changed, recipe=before) == config


def state_of(random):
    return State(
        step=jnp.int32(3),
        params={"generator": {"w": jnp.asarray(random.normal(size=(3, 5, 7)), jnp.float32)}},
        optimizer={"generator": (jnp.arange(4, dtype=jnp.bfloat16), jnp.array([True, False]))},
        averaged={},
        key=jax.random.key(7),
    )


def test_a_checksum_notices_every_bit_and_every_place():
    state = state_of(np.random.default_rng(0))
    finite, checksum = examined(state)
    assert finite == {"generator": True} and 0 <= checksum < 2**32
    assert examined(state_of(np.random.default_rng(0)))[1] == checksum
    w = np.array(state.params["generator"]["w"])
    seen = {checksum}
    for place, bit in ((0, 0), (0, 31), (50, 13), (104, 22)):
        bits = w.copy().reshape(-1).view(np.uint32)
        bits[place] ^= np.uint32(1) << np.uint32(bit)
        other = bits.view(np.float32).reshape(w.shape)
        seen.add(examined(state.replace(params={"generator": {"w": jnp.asarray(other)}}))[1])
    swapped = w[::-1].copy()
    seen.add(examined(state.replace(params={"generator": {"w": jnp.asarray(swapped)}}))[1])
    seen.add(examined(state.replace(key=jax.random.key(8)))[1])
    seen.add(examined(state.replace(step=jnp.int32(4)))[1])
    assert len(seen) == 8
    w[1, 1, 1] = np.inf
    finite, _ = examined(state.replace(params={"generator": {"w": jnp.asarray(w)}}))
    assert finite == {"generator": False}


def test_reads_that_nobody_waits_for_any_more_are_not_told(monkeypatch):
    """Only those: what else Python cannot raise is told as before."""
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    checkpoint._hush_abandoned_reads.__wrapped__()
    late = SimpleNamespace(object=None, exc_value=RuntimeError("Event loop is closed"))
    other = SimpleNamespace(object=None, exc_value=RuntimeError("lost"))
    owned = SimpleNamespace(object=told, exc_value=RuntimeError("Event loop is closed"))
    for unraisable in (late, other, owned):
        sys.unraisablehook(unraisable)
    assert told == [other, owned]


def test_savers_in_several_threads(tmp_path):
    """Orbax keeps a number for all savers of a process: each waits for its own files all the
    same."""
    failed = []

    def go(folder):
        try:
            with checkpoint.Checkpoints(folder) as checkpoints:
                for step in range(1, 9):
                    checkpoints.save(step, {"a": np.full((8, 8), step, np.float32)}, {})
                checkpoints.wait()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=go, args=(tmp_path / name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
