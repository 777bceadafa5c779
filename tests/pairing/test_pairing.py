"""Pairs of two people's frames: found rightly, written rightly, reported truly."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from motion_jax.cli.train import parse
from motion_jax.config import flatten, load_config, to_json
from motion_jax.data.pairs import stretches
from motion_jax.data.records import decode_picture, open_dataset
from motion_jax.errors import UserError
from motion_jax.pairing.match import (
    KEPT,
    NOT_MUTUAL,
    NOTHING_COMMON,
    TOO_FAR,
    fitted,
    match,
    runs,
    torso_length,
)
from motion_jax.pairing.options import PairOptions
from motion_jax.pairing.pair import find_pairs, pair, settings_for
from motion_jax.pairing.report import flattering, summary
from motion_jax.plan.methods import changed
from motion_jax.train.dataset import check_data


def _poses(xs) -> np.ndarray:
    """Poses of 25 joints in a column at x, 10 pixels apart."""
    poses = np.zeros((len(xs), 137, 3), np.float32)
    poses[:, :25, 0] = np.asarray(xs)[:, None]
    poses[:, :25, 1] = np.arange(25) * 10
    poses[:, :25, 2] = 1
    return poses


def test_match_says_why_a_pair_is_dropped():
    left, right = _poses([0, 10, 90, 11]), _poses([1, 12, 300])
    left[2, 5:, 2] = 0  # 5 joints left: of its own, all are common
    hidden = _poses([0])
    hidden[0, :25, 2] = 0
    left = np.concatenate([left, hidden])
    a, b = np.arange(10, 15), np.array([3, 7, 8])
    found = match(a, b, left, right, k=1, torso=10.0, max_distance=1.0, mutual=True)
    assert found.b[:, 0].tolist()[:4] == [3, 7, 7, 7]
    np.testing.assert_allclose(found.distance[:4, 0], [0.1, 0.2, 7.8, 0.1], rtol=1e-6)
    # 12 is nearest to 11, and so 10 is not its nearest.
    reasons = found.reason[:, 0].tolist()
    assert reasons == [KEPT, NOT_MUTUAL, TOO_FAR, KEPT, NOTHING_COMMON]
    plain = match(a, b, left, right, k=2, torso=10.0, max_distance=1.2)
    assert plain.kept.tolist() == [[True, True], [True, True], [False] * 2, [True, True],
                                   [False] * 2]  # fmt: skip
    assert (np.diff(plain.distance[:4], axis=1) >= 0).all()


def test_runs_are_cut_at_missing_frames_and_at_clips():
    poses = _poses([0, 1, 500, 3, 4])
    a = np.array([4, 5, 6, 7, 8])
    found = match(a, a, poses, _poses([0, 1, 2, 3, 4]), k=1, torso=1.0, max_distance=0.5)
    parts = runs(found, np.array([0, 0, 0, 0, 1]), held_out=False)
    assert [run.a.tolist() for run in parts] == [[4, 5], [7], [8]]
    assert [run.b.tolist() for run in parts] == [[4, 5], [7], [8]]


def test_the_torso_measures_distances():
    assert torso_length(_poses([0, 5])) == pytest.approx(70)  # neck 1, mid-hip 8
    only_legs = _poses([0, 5])
    only_legs[:, :9, 2] = 0
    assert torso_length(only_legs) == pytest.approx(150 / 3)


def test_pose2pics_holds_fitted_poses_of_a_and_pictures_of_b(dancers, tmp_path):
    page = pair(PairOptions(*dancers, out=tmp_path / "pairs", max_distance=0.4, normalize="global"))
    a, b = map(open_dataset, dancers)
    made = open_dataset(tmp_path / "pairs")
    poses = fitted(a.keypoints(), b.keypoints(), (1.0, 1.0), "global")
    assert made.info.options["kind"] == "pose2pics" and not made.info.pose_pictures
    rows = [row for row in _csv(page) if row["fate"] == "kept"]
    assert len(rows) == len(made) > 20
    for record, row in enumerate(rows):
        mine, theirs = int(row["a_record"]), int(row["b_record"])
        np.testing.assert_array_equal(made.keypoints()[record], poses[mine])
        np.testing.assert_array_equal(made.encoded(record)["frame"], b.encoded(theirs)["frame"])
        np.testing.assert_array_equal(made.face_boxes()[record], b.face_boxes()[theirs])


def test_held_out_frames_are_paired_with_held_out_frames(dancers, tmp_path):
    page = pair(PairOptions(*dancers, out=tmp_path / "pairs", max_distance=9.0, holdout=0.25, k=2))
    made = open_dataset(tmp_path / "pairs")
    # Held-out frames have one partner, others two.
    assert len(made) == 2 * 30 + 10
    for part, held in (("train", False), ("heldout", True)):
        chosen = {int(r["a_record"]) for r in _csv(page) if r["part"] == part}
        partners = {int(r["b_record"]) for r in _csv(page) if r["part"] == part}
        assert all((record >= 30) == held for record in chosen)
        assert all((record >= 60) == held for record in partners)
        # The marks count, whatever a config holds out.
        assert sum(n for _, n in stretches(made, 0.9, part)) == (10 if held else 60)


def test_pics2pics_shows_pictures_of_both(dancers, tmp_path, write_dancer):
    _, ben = dancers
    ada = write_dancer(tmp_path / "wide", "ada", 3, 0, 32, 64)
    options = PairOptions(ada, ben, tmp_path / "pairs", kind="pics2pics", max_distance=9.0)
    page = pair(options)
    a, b, made = open_dataset(ada), open_dataset(ben), open_dataset(tmp_path / "pairs")
    assert made.info.pose_pictures and made.info.pose_style is None
    for record, row in enumerate(r for r in _csv(page) if r["fate"] == "kept"):
        mine, theirs = int(row["a_record"]), int(row["b_record"])
        pose = decode_picture(made.encoded(record)["pose_picture"])
        # 64x32 in 64x64: bars above and below.
        np.testing.assert_array_equal(pose[16:48], a[mine]["frame"])
        assert not pose[:16].any() and not pose[48:].any()
        np.testing.assert_array_equal(made[record]["frame"], b[theirs]["frame"])
        np.testing.assert_array_equal(made.keypoints()[record], b.keypoints()[theirs])


def test_pics2pics_refuses_a_dataset_of_poses(dancers, tmp_path):
    pair(PairOptions(*dancers, out=tmp_path / "pairs", kind="pics2pics", max_distance=9.0))
    small = {
        "recipe.main_stage.height": 64,
        "recipe.main_stage.width": 64,
        "recipe.generator.n_downsampling": 6,
    }
    config = changed(load_config("pics2pics"), small)
    with pytest.raises(UserError, match=r"ada has poses.*motion-jax pair --kind pics2pics"):
        check_data(open_dataset(dancers[0]), config, "main")
    check_data(open_dataset(tmp_path / "pairs"), config, "main")
    # The others take both.
    config = changed(load_config("pix2pix"), small)
    for folder in (dancers[0], tmp_path / "pairs"):
        check_data(open_dataset(folder), config, "main")


def test_the_report_says_what_was_paired_and_dropped(dancers, tmp_path):
    options = PairOptions(
        *dancers, out=tmp_path / "pairs", max_distance=0.12, mutual=True, normalize="global"
    )
    page = pair(options)
    found = json.loads((page.parent / "pairing.json").read_text())
    part, rows = found["parts"]["train"], [r for r in _csv(page) if r["part"] == "train"]
    kept = [r for r in rows if r["fate"] == "kept"]
    assert part["pairs"] == len(kept) and part["frames_a"] == len(rows) == 32
    assert part["share_b_used"] == len({r["b_record"] for r in kept}) / part["frames_b"]
    for reason, count in part["dropped"].items():
        assert count == sum(r["fate"] == reason for r in rows)
    assert part["dropped"]["too far"] and part["dropped"]["not mutual"]
    assert sum(part["histogram"]["counts"]) == 32
    text = page.read_text()
    for title in ("Best pairs", "Worst pairs that are kept", "Nearest pairs that are dropped"):
        assert title in text
    assert text.count("data:image/jpeg") == 3


def test_nothing_held_out_is_said_where_it_is_read(dancers, tmp_path, capsys):
    options = PairOptions(*dancers, out=tmp_path / "pairs", max_distance=9.0, holdout=0.0)
    page = pair(options)
    warning = flattering(0.0)
    assert warning.endswith("flatter; pair again with --holdout 0.2.")
    assert capsys.readouterr().err.splitlines()[-1] == f"Warning: {warning}"
    pair(options)
    assert capsys.readouterr().err.splitlines()[-1] == f"Warning: {warning}"
    assert warning in page.read_text()
    pair(replace(options, out=tmp_path / "held", holdout=0.2))
    assert "No pair is held out" not in capsys.readouterr().err
    assert "longer clips" in flattering(0.2)


def test_the_summary_counts_all_that_was_dropped(dancers, tmp_path):
    options = PairOptions(*dancers, out=tmp_path / "pairs", max_distance=0.12, normalize="global")
    paired = find_pairs(options, *map(open_dataset, dancers))
    text = summary(paired)
    reasons = {name: (found.reason == TOO_FAR).sum() for name, found in paired.matches.items()}
    assert reasons["train"] and reasons["heldout"]
    assert f" Dropped: too far: {reasons['train']}." in text
    assert f" Dropped of the held-out frames: too far: {reasons['heldout']}." in text
    train = paired.matches["train"]
    kept, near = np.median(train.distance[train.kept]), np.median(train.distance[:, 0])
    assert (
        f"kept {kept:.3f} torso lengths, of all frames of A from their nearest {near:.3f}." in text
    )
    assert f"{kept:.3f}" != f"{near:.3f}"


@pytest.mark.parametrize(
    "size, settings",
    [
        ((256, 256), {}),
        ((512, 512), {}),  # made smaller to 256x256
        ((128, 128), {"height": 128, "width": 128, "n_downsampling": 7}),
        ((192, 96), {"height": 192, "width": 96, "n_downsampling": 5}),
        ((512, 256), {"height": 512, "width": 256}),
        ((272, 80), {"height": 272, "width": 80, "kind": "resnet"}),
    ],
)
def test_what_is_told_to_train_with_works_at_every_size(size, settings):
    words = " ".join(settings_for("pics2pics", *size)).split()
    default = load_config("pics2pics")
    arguments = ["--data", "d", "--run", "r", *words]
    _, config = parse(default, "pics2pics", arguments)
    config.validate()
    now = flatten(to_json(config))
    changes = {
        name: now[name] for name, was in flatten(to_json(default)).items() if now[name] != was
    }
    assert {name.split(".")[-1]: value for name, value in changes.items()} == {
        name: value for name, value in settings.items() if value != 256
    }


def test_the_last_lines_tell_what_to_train_with(dancers, tmp_path, capsys):
    pair(PairOptions(*dancers, out=tmp_path / "pairs", max_distance=9.0))
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"Train with: motion-jax train pose2pics --data {tmp_path / 'pairs'} --run runs/pairs "
        "--recipe.main-stage.height 64 --recipe.main-stage.width 64 "
        "--recipe.generator.n-downsampling 6"
    )
    with pytest.raises(UserError, match="divisible by 4"):
        settings_for("pose2pics", 90, 90)


def test_the_same_command_again_does_nothing_and_another_is_refused(dancers, tmp_path, capsys):
    options = PairOptions(*dancers, out=tmp_path / "pairs", max_distance=0.4)
    pair(options)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    pair(options)
    assert "up to date" in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(UserError, match=r"other options \(max-distance 0.4, not 0.5\)"):
        pair(PairOptions(*dancers, out=tmp_path / "pairs", max_distance=0.5))


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"k": 65}, "k 65 is more than the 64 training frames"),
        ({"k": 0}, "k 0 is less than 1"),
        ({"max_distance": 0.0001}, "the most similar poses are 0.* torso lengths apart"),
        ({"max_distance": 0.0}, "keeps no pair"),
        ({"holdout": 0.95}, "not a share between 0 and 0.9"),
    ],
)
def test_bad_options_are_one_sentence_and_leave_nothing(dancers, tmp_path, change, sentence):
    with pytest.raises(UserError, match=sentence):
        pair(PairOptions(*dancers, out=tmp_path / "pairs", **change))
    assert not list(tmp_path.iterdir())


def test_datasets_that_cannot_be_paired(dancers, tmp_path):
    ada, _ = dancers
    with pytest.raises(UserError, match="the same dataset .* motion-jax train pose2pics"):
        pair(PairOptions(ada, ada, tmp_path / "pairs"))
    with pytest.raises(UserError, match="no dataset folder"):
        pair(PairOptions(ada, tmp_path / "none", tmp_path / "pairs"))


def _csv(page) -> list[dict[str, str]]:
    """The rows of pairs.csv, in the order of the dataset: by part and rank, then by time."""
    rows = list(csv.DictReader((page.parent / "pairs.csv").read_text().splitlines()))
    return sorted(rows, key=lambda r: (r["part"] != "train", int(r["rank"]), int(r["a_record"])))
