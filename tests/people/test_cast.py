"""People replaced, kept and taken out, in drawn films whose true answer is known."""

import dataclasses
import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from company_film import SIZE, walkers

from benchmarks.drawn_people import drawn_run, poses_of, straight, write_film, write_poses
from motion_jax.errors import UserError
from motion_jax.pose.options import PoseOptions
from motion_jax.pose.people.everybody import everybody
from motion_jax.puppet import company
from motion_jax.puppet.crowd import character
from motion_jax.transfer.command import transfer
from motion_jax.transfer.lingering import lingering, nearest_found
from motion_jax.transfer.options import TransferOptions
from motion_jax.transfer.roles import parsed
from motion_jax.video.reader import read_frames

FRAMES = 24


@pytest.fixture(scope="module")
def film():
    """Two who cross, the second in front, and a third who goes out at the side, in front."""
    return walkers([(-0.45, 0.1), (0.1, -0.45), (0.4, 0.75)], FRAMES, floors=(0.83, 0.89, 0.94))


@pytest.fixture(scope="module")
def files(film, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cast")
    return write_film(film, folder / "film.mp4", SIZE), write_poses(
        poses_of(film, SIZE), folder / "poses"
    )


@pytest.fixture
def runs(film, monkeypatch):
    """Runs by the names of their folders."""
    made = {}
    for module in ("several", "command"):
        monkeypatch.setattr(
            f"motion_jax.transfer.{module}.load_person", lambda folder, *_: made[folder.name]
        )
    return made


def letters(film, files):
    """The letter of each dancer."""
    people = everybody(files[0], PoseOptions(poses=files[1], person="all"))
    truth = poses_of(film, SIZE)
    found = {}
    for name in people.names:
        keypoints = people.keypoints(name)
        away = [np.abs(keypoints[:, 8] - truth[i, :, 8]).mean() for i in range(len(truth))]
        found[int(np.argmin(away))] = name
    return [found[i] for i in range(len(truth))]


def options(files, out, **more):
    given = {"normalize": "none", "smooth": False, "audio": "drop", **more}
    return TransferOptions(files[0], out, poses=files[1], **given)


def psnr(one, other):
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    return 10 * np.log10(255**2 / error)


def pictures(path):
    return [frame.image for frame in read_frames(path)]


def test_one_is_replaced_behind_another_and_one_taken_out(film, files, runs, tmp_path):
    first, second, third = letters(film, files)
    somebody = character(99)
    runs["anna"] = drawn_run(film, 0, somebody, SIZE)
    cast = f"{first}=runs/anna,{second}=keep,{third}=remove"
    out = tmp_path / "out.mp4"
    transfer(options(files, out, cast=cast, background="source"))
    answer = dataclasses.replace(
        film,
        dancers=(
            dataclasses.replace(film.dancers[0], puppet=somebody),
            *film.dancers[1:],
        ),
    )
    before = [frame.image for frame in read_frames(files[0])]
    for number, made in enumerate(pictures(out)):
        true = company.draw_frame(answer, number, *SIZE, without={2}, shadows=False)
        untouched = before[number]
        assert psnr(made, true) > 25, number
        assert psnr(made, true) > psnr(untouched, true) + 6, number
    # Who walks through the film stays in the middle of the run's pictures.
    walked = np.ptp(poses_of(film, runs["anna"].size)[0, :, 8, 0])
    assert np.ptp(runs["anna"].across) < 0.4 * walked
    with av.open(str(out)) as container:
        assert container.metadata["motion_jax_cast"] == f"{first}=anna,{second}=keep,{third}=remove"
        assert "compositeCapture" in container.metadata["digital_source_type"]


def test_who_is_found_late_is_gone_before(film, files, tmp_path):
    _, _, third = letters(film, files)
    late, true = tmp_path / "late", poses_of(film, SIZE)
    late.mkdir()
    for number, file in enumerate(sorted(files[1].iterdir())):
        content = json.loads(file.read_text())
        if number < 6:
            away = [
                abs(person["pose_keypoints_2d"][24] - true[2, number, 8, 0])
                for person in content["people"]
            ]
            del content["people"][int(np.argmin(away))]
        (late / file.name).write_text(json.dumps(content))
    out = tmp_path / "out.mp4"
    transfer(options((files[0], late), out, cast=f"{third}=remove", background="source"))
    x, y = true[2, :, 8, 0], true[2, :, 8, 1]
    both = zip(pictures(files[0])[:8], pictures(out)[:8], strict=True)
    for number, (before, made) in enumerate(both):
        part = np.s_[
            int(y[number]) - 20 : int(y[number]) + 20, int(x[number]) - 8 : int(x[number]) + 8
        ]
        empty = company.draw_frame(film, number, *SIZE, without={2}, shadows=False)[part]
        assert psnr(made[part], empty) > psnr(before[part], empty) + 6, number


def test_where_people_linger():
    times = np.arange(10) / 10
    found = np.zeros(10, bool)
    found[4:6] = True
    nearest = nearest_found(found, times, 0.2)
    assert nearest.tolist() == [-1, -1, 4, 4, 4, 5, 5, 5, -1, -1]
    assert nearest_found(found, times, 0.0).tolist() == [-1] * 4 + [4, 5] + [-1] * 4
    keypoints = np.zeros((10, 137, 3), np.float32)
    keypoints[4:6, :3] = [[[10, 5, 1]], [[12, 5, 1]]]
    assert lingering(keypoints, nearest, times, 2)[0].round(3).tolist() == [6, 5, 1]
    assert lingering(keypoints, nearest, times, 7)[0].round(3).tolist() == [16, 5, 1]


def test_all_become_one_and_the_place_is_empty(film, files, runs, tmp_path):
    runs["anna"] = drawn_run(film, 0, character(99), SIZE, times=1)
    out = tmp_path / "all.mp4"
    names = letters(film, files)
    transfer(options(files, out, run=Path("runs/anna"), person="all", background="plate"))
    empty = company.draw_frame(film, 0, *SIZE, without={0, 1, 2}, shadows=False)
    corner = np.s_[:30, :40]
    made = pictures(out)
    assert len(made) == FRAMES and psnr(made[5][corner], empty[corner]) > 27
    with av.open(str(out)) as container:
        said = container.metadata["motion_jax_cast"]
    assert sorted(said.split(",")) == sorted(f"{name}=anna" for name in names)


def test_transparency_in_three_kinds_of_files(film, files, runs, tmp_path):
    first, second, _ = letters(film, files)
    somebody = character(99)
    runs["anna"] = drawn_run(film, 0, somebody, SIZE)
    given = {"cast": f"{first}=runs/anna", "background": "alpha", "end": 0.2}
    for name in ("folder", "film.mov", "film.webm"):
        transfer(options(files, tmp_path / name, **given))
    dancer = dataclasses.replace(film.dancers[0], puppet=somebody)
    true = straight(company.layer(dancer, 2, *SIZE))
    png = cv2.imread(str(tmp_path / "folder" / "frame_000002.png"), cv2.IMREAD_UNCHANGED)
    assert png.shape == (*SIZE, 4)
    assert np.abs(png[..., 3].astype(int) - true[..., 3]).mean() < 2
    covered = true[..., 3] > 250
    assert np.abs(png[covered][:, 2::-1].astype(int) - true[covered][:, :3]).mean() < 8
    with av.open(str(tmp_path / "film.mov")) as container:
        assert "a" in next(container.decode(video=0)).format.name
    with av.open(str(tmp_path / "film.webm")) as container:
        assert container.streams.video[0].metadata.get("alpha_mode") == "1"
    with pytest.raises(UserError, match="is there already|is a folder"):
        transfer(options(files, tmp_path / "folder", **given))


def test_target_places_and_runs_of_other_sizes(film, files, runs, tmp_path):
    first, second, _ = letters(film, files)
    runs["anna"] = drawn_run(film, 0, character(99), SIZE, times=1)
    runs["ben"] = drawn_run(film, 1, character(98), SIZE, times=1)
    cast = f"{first}=runs/anna,{second}=runs/ben"
    out = tmp_path / "target.mp4"
    transfer(options(files, out, cast=cast, place="target", background="green", end=0.2))
    picture = pictures(out)[0]
    assert picture.shape[:2] == runs["anna"].size
    green = (np.abs(picture.astype(int) - (0, 255, 0)).max(-1) < 40).mean()
    assert 0.5 < green < 0.97
    runs["ben"] = drawn_run(film, 1, character(98), (64, 64), times=1)
    with pytest.raises(UserError, match=r"not of one size \(runs/anna 160x120, runs/ben 64x64\)"):
        transfer(options(files, out, cast=cast, place="target", background="green"))


@pytest.mark.parametrize(
    ("cast", "message"),
    [
        ("A", "is not LETTER=RUN"),
        ("A=runs/x,A=keep", "names A twice"),
        ("A=keep,B=keep", "keeps everybody, so there is nothing to do"),
        ("all=runs/x", "is not LETTER=RUN"),
    ],
)
def test_casts_that_are_none(cast, message):
    with pytest.raises(UserError, match=message):
        parsed(cast)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cast": "Q=runs/anna"}, "names Q, whom the video does not show: it shows 3 people"),
        ({"cast": "A=runs/whole"}, "without a matte"),
        ({"cast": "A=runs/anna", "run": Path("runs/anna")}, "does not go with it"),
        ({"person": "all"}, "names several people: say who is to take their places"),
        ({"cast": "A=runs/anna", "place": "target", "background": "source"}, "use place source"),
        ({"cast": "A=runs/anna,B=keep", "place": "target"}, "keeps B, who stand where"),
        ({"cast": "A=runs/anna", "method": "nearest"}, "method does not go with several people"),
        ({"cast": "A=runs/anna", "background": "green", "match_colours": True}, "has none"),
        ({"cast": "A=runs/anna", "at": ("1s,2,3",)}, "without a letter"),
        ({"run": Path("runs/anna"), "background": "source"}, "give cast"),
        ({"run": Path("runs/anna"), "shadows": True}, "shadows works only with cast"),
    ],
)
def test_casts_that_cannot_be_played(film, files, runs, tmp_path, given, message):
    runs["anna"] = drawn_run(film, 0, character(99), SIZE, times=1)
    runs["whole"] = drawn_run(film, 0, character(99), SIZE, background="drawn")
    out = tmp_path / "out.mp4"
    with pytest.raises(UserError, match=message):
        transfer(options(files, out, **given))
    assert not list(tmp_path.iterdir())
