"""Runs that draw an area around the person: found, trained, gone on with, put to use."""

import json
import shutil
from dataclasses import replace

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_jax.config import to_json
from motion_jax.data import records
from motion_jax.devices import layout
from motion_jax.errors import UserError
from motion_jax.evaluate import measure
from motion_jax.evaluate.evaluate import evaluate
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.port.export_run import export
from motion_jax.port.options import ExportOptions
from motion_jax.profiling.size import stage_size
from motion_jax.train.adapt import adapted_config
from motion_jax.train.adapt_options import AdaptOptions
from motion_jax.train.checkpoint import Checkpoints, parameter_hash
from motion_jax.train.dataset import fitted
from motion_jax.train.loop import train
from motion_jax.train.run import load_run, read_config
from motion_jax.train.step import step_inputs
from motion_jax.transfer.command import prepared
from motion_jax.transfer.options import TransferOptions
from motion_jax.transfer.pose_pictures import write_pose_pictures
from motion_jax.video.writer import VideoWriter

SIZE = 32


@pytest.fixture(scope="module")
def config(config):
    """One stage of four steps."""
    recipe = replace(config.recipe, background="plate", previous="none", area="person")
    for name in ("global", "local", "face"):
        changed = replace(recipe.local_stage, steps=4 if name == "global" else 0, decay_steps=0)
        recipe = replace(recipe, **{f"{name}_stage": changed})
    return replace(config, recipe=recipe, record=replace(config.record, checkpoint_every=1))


@pytest.fixture(scope="module")
def run(config, dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("areas") / "run"
    train(config, dataset, folder)
    return folder


@pytest.fixture(scope="module")
def source(dataset, tmp_path_factory):
    """(a film of the held-out poses, the folder of these); in its last the arms are far out."""
    folder, data = tmp_path_factory.mktemp("source"), records.open_dataset(dataset)
    (folder / "poses").mkdir()
    poses = data.keypoints()[18:].copy()
    poses[-1, [4, 7]] = [(1, 12, 1), (31, 12, 1)]
    with VideoWriter(folder / "film.mp4", SIZE, SIZE) as writer:
        for i, pose in enumerate(poses):
            writer.write(np.full((SIZE, SIZE, 3), 99, np.uint8), i / 25)
            person = {"pose_keypoints_2d": pose[:25].astype(float).ravel().tolist()}
            text = json.dumps({"people": [person]})
            (folder / "poses" / f"{i:012d}_keypoints.json").write_text(text)
    return folder / "film.mp4", folder / "poses"


def performance(run, source, out, **options):
    video, poses = source
    return prepared(
        TransferOptions(
            source=video, poses=poses, run=run, out=out, normalize="none", smooth=False,
            swaps=False, bones=False, **options,
        )
    )  # fmt: skip


def pictures(run, source, out, **options):
    shots = performance(run, source, out, **options)
    return np.stack([picture for _, picture in shots.player.play(shots.moments)])


def test_the_size_is_found_once_and_kept(run, config, dataset):
    found = read_config(run).recipe
    # The dancer's joints are 4 pixels wide, move by half a pixel, and are 20 high.
    assert found.drawn_size("global") == (found.area_height, found.area_width) == (26, 10)
    sentence = "an area of 10x26 around the person, 25 % of each frame of 32x32"
    assert sentence in found.found_out()
    # It is said before the run begins, and what is estimated is the work that there is.
    again = fitted(config, records.open_dataset(dataset))
    assert to_json(again)["recipe"] == to_json(read_config(run))["recipe"]
    whole, part = (stage_size(each.recipe, "global").flops for each in (config, again))
    assert part < 0.3 * whole
    assert fitted(again, None) == again


def test_gone_on_with_it_is_the_same_run(run, config, dataset):
    folder = run.parent / "again"
    shutil.copytree(run, folder)
    with Checkpoints(folder / "checkpoints") as checkpoints:
        for step in checkpoints.steps():
            if step > 3:
                checkpoints.delete(step)
        assert checkpoints.latest() == 3
    train(config, dataset, folder)
    one, other = (parameter_hash(load_run(each).params) for each in (run, folder))
    assert one == other
    wide = replace(config, recipe=replace(config.recipe, area_height=26, area_width=16))
    with pytest.raises(UserError, match="recipe.area_width: 10 -> 16"):
        train(wide, dataset, folder)


def test_transfer_draws_what_evaluation_measures(run, dataset, source, tmp_path, monkeypatch):
    measured, compare = [], measure.compare

    def watched(stream, **settings):
        def seen():
            for piece in stream:
                measured.extend(piece.fakes["trained"])
                yield piece

        return compare(seen(), **settings)

    monkeypatch.setattr(measure, "compare", watched)
    evaluate(EvaluateOptions(run=run, out=tmp_path / "e", reestimate="no"))
    made = pictures(run, source, tmp_path / "film.mp4")
    np.testing.assert_array_equal(made[:-1], np.stack(measured)[: len(made) - 1])
    plate = load_run(run).plates[0]
    # The dancer is at 17, from 8 to 28.
    outside = np.ones((SIZE, SIZE), bool)
    outside[5:31, 12:22] = False
    np.testing.assert_array_equal(made[0][outside], plate[outside])
    assert np.abs(made[0][~outside].astype(int) - plate[~outside]).max() > 3
    rgba = pictures(run, source, tmp_path / "film.mov", background="alpha")
    assert rgba.shape[-1] == 4 and (rgba[0][outside][..., 3] == 0).all()
    assert rgba[0][~outside][..., 3].max() > 0


def test_arms_that_do_not_fit_are_said(run, source, tmp_path, capsys):
    performance(run, source, tmp_path / "film.mp4")
    said = capsys.readouterr()
    assert "17 % of the source's poses reach farther than the run draws" in said.err + said.out
    with pytest.raises(UserError, match="do not say where the person is"):
        prepared(
            TransferOptions(source=source[0], run=run, out=tmp_path / "a.mp4", ready_poses=True)
        )


def test_an_exported_generator_says_what_it_is_shown(run, tmp_path):
    export(ExportOptions(run=run, format="stablehlo", out=tmp_path / "program"))
    about = json.loads((tmp_path / "program" / "generator.stablehlo.json").read_text())
    assert about["inputs"][0]["shape"] == ["batch", 26, 10, 3]
    assert (about["from"]["height"], about["from"]["width"]) == (SIZE, SIZE)
    assert (about["area"]["height"], about["area"]["width"]) == (26, 10)
    assert about["area"]["frame"] == {"height": SIZE, "width": SIZE}


def test_other_programs_know_where_the_area_is(run, dataset, tmp_path):
    model, data = load_run(run), records.open_dataset(dataset)
    poses, lost = data.keypoints()[[0, 20, 23]], np.array([False, True, False])
    nowhere = np.zeros((3, 4), np.float32)
    write_pose_pictures(tmp_path / "poses", model, poses, nowhere, lost, np.arange(3) / 25)
    about = json.loads((tmp_path / "poses" / "poses.json").read_text())
    assert about["area_size"] == [26, 10] and about["areas"][1] is None
    ours = model.synthesizer().feed(model.seen({"keypoints": poses}))
    network = model.config.recipe.main_generator("global")
    for number in (0, 2):
        top, left = about["areas"][number]
        here = slice(top, top + 26), slice(left, left + 10)
        pose = cv2.imread(str(tmp_path / "poses" / f"{number:06d}.png"))[here][..., ::-1] / 255
        shown = jnp.concatenate([pose, jnp.zeros_like(pose)], -1)[None]
        made = np.asarray(network.apply(model.params["generator"], shown)[0])
        frame, alpha = model.plates[0].astype(float), (made[..., 3:] + 1) / 2
        colour = (made[..., :3] + 1) * 127.5
        frame[here] = alpha * colour + (1 - alpha) * frame[here]
        assert np.abs(frame - ours[number]).max() < 2.5


def test_another_person_has_an_area_of_their_own(run, dataset):
    options = AdaptOptions(base=run, data=dataset, run=run.parent / "adapted")
    base = load_run(run)
    wide = replace(base.config.recipe, area_height=32, area_width=32)
    base = replace(base, config=replace(base.config, recipe=wide))
    config, _ = adapted_config(base, options)
    found = fitted(config, records.open_dataset(dataset), anew=True).recipe
    assert (found.area_height, found.area_width) == (26, 10)


def test_rows_of_frames_are_not_shared_among_devices(config, dataset, monkeypatch):
    monkeypatch.setattr(layout, "row_shares", lambda: 2)
    found = fitted(config, records.open_dataset(dataset))
    with pytest.raises(UserError, match="devices.space = 1"):
        jax.eval_shape(
            lambda s, b, f: found.recipe.train_step(s, b, "global", f),
            *step_inputs(found, "global"),
        )
