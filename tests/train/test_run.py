"""A trained run as others use it: what it knows; frames, however it is fed."""

import contextlib
import itertools
import json
import logging
import shutil
from collections import Counter
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_jax.data.records import open_dataset
from motion_jax.errors import UserError
from motion_jax.nets.conv import target_platform
from motion_jax.train.checkpoint import SKIPPED, Checkpoints, has_checkpoint, parameter_hash
from motion_jax.train.run import load_run
from motion_jax.train.step import abstract_state
from motion_jax.train.synthesis import Synthesizer
from motion_jax.transfer.player import Networks, Player
from motion_jax.transfer.source import Clip

# SHA-256 of "['a']" and eight zero bytes.
HASH = "70f27cf86bd85c4298059f43dac910711126592b1bd2ddbd68785017cfb99f21"


@contextlib.contextmanager
def compilations():
    """Counts compilations by the name of the function."""
    count, log = Counter(), logging.getLogger("jax._src.interpreters.pxla")

    class Handler(logging.Handler):
        def emit(self, record):
            message = record.getMessage()
            if message.startswith("Compiling "):
                count[message.split()[1].removeprefix("jit(").rstrip(")")] += 1

    handler = Handler()
    log.addHandler(handler)
    try:
        with jax.log_compiles():
            yield count
    finally:
        log.removeHandler(handler)


@pytest.fixture(scope="module")
def run(trained):
    return load_run(trained)


@pytest.fixture(scope="module")
def poses(dataset):
    data = open_dataset(dataset)
    return data.keypoints()[:7], data.face_boxes()[:7]


def seen(points, boxes, a=None, b=None):
    """What the network sees of those frames."""
    return {"poses": points[a:b], "face_boxes": boxes[a:b]}


@pytest.fixture(scope="module")
def louder(run):
    """The run with larger weights: after twelve steps the pictures are nearly grey."""
    params = jax.tree.map(lambda x: x * (8 if x.ndim == 4 else 1), run.params)
    return replace(run, params=params)


@pytest.fixture(scope="module")
def frames(louder, poses):
    return louder.synthesizer().feed(seen(*poses))


def test_a_run_knows_what_it_was_made_of(run, trained, dataset, config):
    assert run.folder == trained and run.config == config
    assert (run.stage, run.step, run.size) == ("face", 12, (32, 32))
    assert set(run.params) == {"generator", "face_generator"}
    assert run.data_path == dataset
    assert run.dataset["info"]["height"] == 32 and run.dataset["target_statistics"]
    assert run.checkpoint == parameter_hash(run.params) == load_run(trained).checkpoint
    assert len(run.checkpoint) == 64


def test_what_synthesis_does_not_need_is_not_read(run, trained, config):
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    abstract = abstract_state(config, "face", sharding)
    with Checkpoints(trained / "checkpoints", read_only=True) as checkpoints:
        whole = checkpoints.restore(12, abstract)
    with Checkpoints(trained / "checkpoints", read_only=True) as checkpoints:
        part = checkpoints.restore_part(12, abstract.replace(key=SKIPPED))
    jax.tree.map(np.testing.assert_array_equal, config.recipe.synthesis_params(whole), run.params)
    assert part.key is SKIPPED and jax.tree.leaves(whole.optimizer)
    jax.tree.map(np.testing.assert_array_equal, whole.optimizer, part.optimizer)


def test_parameter_hashes_are_of_names_and_values():
    tree = {"a": {"b": np.arange(3.0), "c": np.zeros(2, np.float32)}}
    again = {"a": {"c": jnp.zeros(2), "b": np.arange(3.0)}}
    assert parameter_hash(tree) == parameter_hash(again)
    # So that it never changes with a version.
    assert parameter_hash({"a": np.zeros(2, np.float32)}) == HASH
    for other in (
        {"a": {"b": np.arange(3.0), "d": np.zeros(2, np.float32)}},
        {"a": {"b": np.arange(3.0) + 1e-12, "c": np.zeros(2, np.float32)}},
    ):
        assert parameter_hash(other) != parameter_hash(tree)


def test_frames_do_not_depend_on_how_they_are_fed(louder, poses, frames):
    assert frames.shape == (7, 32, 32, 3) and frames.dtype == np.uint8
    assert frames.std() > 10 and (frames[0] != frames[3]).any()
    points, boxes = poses
    synthesizer = louder.synthesizer()
    cuts = [0, 1, 1, 4, 7]
    parts = [synthesizer.feed(seen(points, boxes, a, b)) for a, b in itertools.pairwise(cuts)]
    assert [len(part) for part in parts] == [1, 0, 3, 3]
    np.testing.assert_array_equal(np.concatenate(parts), frames)
    # After a reset a new clip begins.
    continued = synthesizer.feed(seen(points, boxes, 0, 1))
    assert (continued != frames[:1]).any()
    synthesizer.reset()
    np.testing.assert_array_equal(synthesizer.feed(seen(points, boxes, 0, 1)), frames[:1])


def test_videos_of_any_length_are_the_same_and_compile_once(louder, poses, frames):
    """Whatever is begun ahead, and with a gap, after which it begins anew; a second video and those
    after it compile nothing."""
    points, boxes = (np.concatenate([part, part[:2]]) for part in poses)
    lost, networks, again = np.arange(9) == 7, Networks(louder), louder.synthesizer()
    after = again.feed(seen(points, boxes, 8))
    with compilations() as count:
        for length, chunk in ((7, 3), (9, 2), (4, 16)):
            args = points[:length], boxes[:length], lost[:length], np.arange(length) / 25
            player = Player(networks, chunk)
            shown = np.stack([picture for _, picture in player.play(Clip(*args).moments())])
            np.testing.assert_array_equal(shown[:7], frames[:length])
            if length == 9:
                np.testing.assert_array_equal(shown[7], frames[6], "held")
                np.testing.assert_array_equal(shown[8:], after)
            if length == 7:
                assert count.pop("synthesize") == 1
                count.clear()
    assert not count, "everything was compiled for the first video"


def test_live_pictures_are_those_of_a_file(louder, poses, frames):
    player = Player(Networks(louder, chunk=1))
    clip = Clip(*poses, np.zeros(7, bool), np.arange(7) / 25)
    with compilations() as count:
        for _ in range(2):
            player.reset()
            live = np.stack([player.next(moment) for moment in clip.moments()])
            np.testing.assert_array_equal(live, frames)
    assert count["synthesize"] == 1


def test_chunks_as_accelerators_run_them_give_the_same(louder, poses, frames):
    """A chunk is padded at its end; the state comes from its last real frame."""
    points, boxes = poses
    with target_platform("gpu"):
        synthesizer = louder.synthesizer(chunk=3)
        assert synthesizer.chunk == 3
        with compilations() as count:
            parts = [
                synthesizer.feed(seen(points, boxes, a, b)) for a, b in ((0, 4), (4, 6), (6, 7))
            ]
            synthesizer.reset()
            synthesizer.feed(seen(points, boxes, 0, 1))
        assert count.pop("synthesize") == 1, "one compilation for all sizes"
    # Rounded otherwise; with a wrong previous frame most pixels would differ by ten and more.
    difference = np.abs(np.concatenate(parts).astype(int) - frames)
    assert difference.mean() < 0.1 and (difference > 8).mean() < 1e-3


def test_without_the_previous_frame_each_is_by_itself(louder, poses, frames):
    points, boxes = poses
    alone = louder.synthesizer(recurrent=False)
    made = alone.feed(seen(points, boxes))
    np.testing.assert_array_equal(made[0], frames[0])
    assert (made[1:] != frames[1:]).any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(alone.feed(seen(points, boxes, 3, 4))[0], made[3])


def test_without_the_face_only_the_face_differs(louder, poses, frames):
    points, boxes = poses
    bare = louder.synthesizer(face=False)
    first = bare.feed(seen(points, boxes, 0, 1))[0]
    changed = (first != frames[0]).any(axis=-1)
    top, left, bottom, right = boxes[0].astype(int)
    assert changed[top:bottom, left:right].any()
    changed[top:bottom, left:right] = False
    assert not changed.any()
    # Where no face is known the face generator does nothing.
    np.testing.assert_array_equal(
        louder.synthesizer().feed(seen(points[:1], np.zeros((1, 4))))[0], first
    )


def test_folders_that_are_no_trained_run_are_one_sentence(tmp_path, trained, unchecked):
    with pytest.raises(UserError, match=r"is not a run directory \(no config.json in it\)"):
        load_run(tmp_path)
    folder = tmp_path / "run"
    shutil.copytree(trained, folder, ignore=shutil.ignore_patterns("checkpoints"))
    assert not has_checkpoint(folder / "checkpoints") and has_checkpoint(trained / "checkpoints")
    with pytest.raises(UserError, match="has no checkpoint yet; train it first"):
        load_run(folder)
    shutil.copytree(trained / "checkpoints", folder / "checkpoints")
    (folder / "dataset.json").write_text("{")
    with pytest.raises(UserError, match=r"dataset\.json is missing or damaged"):
        load_run(folder)
    (folder / "dataset.json").unlink()
    with pytest.raises(UserError, match=r"dataset\.json is missing or damaged"):
        load_run(folder)
    # A later version's setting, or a hand that slipped.
    value = json.loads((folder / "config.json").read_text())
    value["recipe"]["rematerialize"] = True
    (folder / "config.json").write_text(json.dumps(value))
    with pytest.raises(UserError, match="no field 'rematerialize'; did you mean 'rematerialise'"):
        load_run(folder)


def test_a_run_may_move(tmp_path, trained, dataset, poses, run):
    """The dataset is found relative to the run."""
    shutil.copytree(trained, tmp_path / "a" / "run")
    moved = load_run(tmp_path / "a" / "run")
    assert moved.checkpoint == run.checkpoint
    assert moved.data_path != dataset and moved.data_path.is_absolute()


def test_a_synthesizer_of_nothing(run):
    empty = Synthesizer(run.config.recipe, "face", run.params)
    made = empty.feed(seen(np.zeros((0, 137, 3)), np.zeros((0, 4))))
    assert made.shape == (0, 32, 32, 3)
