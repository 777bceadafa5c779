"""Training watched by another observer than the terminal, stopped by its token, and twice in one
process."""

import threading
from dataclasses import replace

import jax
import numpy as np
import pytest

from motion_jax import events
from motion_jax.events import Interrupted, StopToken
from motion_jax.train.checkpoint import Checkpoints, parameter_hash
from motion_jax.train.loop import train
from motion_jax.train.record import read_metrics
from motion_jax.train.step import abstract_state


def what_was_trained(config, folder):
    """Hash of the last checkpoint's parameters, and the losses of all steps."""
    with Checkpoints(folder / "checkpoints", read_only=True) as checkpoints:
        step = checkpoints.latest()
        sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        stage = checkpoints.record(step)["stage"]
        state = checkpoints.restore(step, abstract_state(config, stage, sharding))
    varying = ("seconds", "images_per_second", "input_wait")
    rows = [
        {name: value for name, value in row.items() if name not in varying}
        for row in read_metrics(folder)
    ]
    return parameter_hash(state.params), rows


def test_another_observer_sees_it_and_its_token_stops_it(tmp_path, trained, config, dataset, capfd):
    folder, stop, seen = tmp_path / "run", StopToken(), []

    def watch(event):
        seen.append(event)
        if isinstance(event, events.Step) and (event.stage, event.step) == ("local", 2):
            stop.stop("the page")

    with pytest.raises(Interrupted, match="by the page after step [34] of the local stage; saved"):
        train(config, dataset, folder, observer=watch, stop=stop)
    begun = [event.name for event in seen if isinstance(event, events.StageBegun)]
    assert begun == ["global", "local"]
    shares = [event.share for event in seen]
    assert shares == sorted(shares) and 6 / 12 <= shares[-1] < 9 / 12
    steps = [event for event in seen if isinstance(event, events.Step)]
    assert [event.step for event in steps[:5]] == [1, 2, 3, 4, 1]
    assert [event.share for event in steps[:5]] == pytest.approx([n / 12 for n in range(1, 6)])
    assert all(np.isfinite(list(event.metrics.values())).all() for event in steps)
    stoppable = [event.processes for event in seen if isinstance(event, events.Stoppable)]
    assert stoppable == [1, 0]

    seen.clear()
    train(config, dataset, folder, observer=seen.append)
    assert seen[-1] == events.Done("train", folder, share=1.0)
    assert any("Going on from step" in e.message for e in seen if isinstance(e, events.Said))
    pictures = [event for event in seen if isinstance(event, events.PictureMade)]
    assert [event.what for event in pictures] == ["sample"] * len(pictures) and pictures
    assert pictures[-1].number == 12 and pictures[-1].picture().dtype == np.uint8
    written = {event.path for event in seen if isinstance(event, events.FileWritten)}
    assert folder / "samples" / "step-0000012.png" in written
    assert folder / "samples" / "step-0000012.mp4" in written
    assert all(path.is_file() for path in written)
    assert what_was_trained(config, folder) == what_was_trained(config, trained)
    # Nothing of it was shown to anyone else.
    assert capfd.readouterr() == ("", "")


def test_two_trainings_in_two_threads_are_what_each_is_alone(tmp_path, trained, config, dataset):
    # The other one has another seed and the first stage alone.
    recipe = config.recipe
    nothing = {
        name: replace(getattr(recipe, name), steps=0, decay_steps=0)
        for name in ("local_stage", "face_stage")
    }
    other = replace(config, seed=config.seed + 1, recipe=replace(recipe, **nothing))
    train(other, dataset, tmp_path / "alone")
    heard, failed = {"a": [], "b": []}, []
    meet = threading.Barrier(2)

    def go(name, config):
        try:
            meet.wait()
            train(config, dataset, tmp_path / name, observer=heard[name].append)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=go, args=two) for two in (("a", config), ("b", other))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert what_was_trained(config, tmp_path / "a") == what_was_trained(config, trained)
    assert what_was_trained(other, tmp_path / "b") == what_was_trained(other, tmp_path / "alone")
    for name, said in heard.items():
        assert said[-1] == events.Done("train", tmp_path / name, share=1.0)
        paths = [event.path for event in said if isinstance(event, events.FileWritten)]
        assert paths and all(path.is_relative_to(tmp_path / name) for path in paths)
        assert [e.share for e in said] == sorted(e.share for e in said)
