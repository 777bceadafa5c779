"""Pose files as other tools write them and as people keep them."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from field_films import HEIGHT, WIDTH, film, people, pictures, poses

from motion_jax.data.making import make, poses_folder
from motion_jax.data.prepare_options import PrepareOptions
from motion_jax.data.records import open_dataset
from motion_jax.errors import UserError
from motion_jax.files import is_clutter
from motion_jax.pose.files import read_openpose, read_poses, write_openpose
from motion_jax.pose.ready import ReadyPoses
from motion_jax.pose.skeleton import COCO_18
from motion_jax.video.image_files import in_order
from motion_jax.video.numbers import SeveralOrders, SeveralSequences, frame_numbers

COUNT = 12
SIZE = (HEIGHT, WIDTH)


def body(number: int) -> np.ndarray:
    return people(COUNT)[number, COCO_18.body25].astype(float)


def write(folder: Path, names: list[str], **changes) -> Path:
    """A JSON file of 18 points for each frame, under the names."""
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        person = {"pose_keypoints_2d": body(number).round(3).ravel().tolist()} | changes
        (folder / name).write_text(json.dumps({"people": [person]}))
    return folder


def in_their_order(folder: Path) -> None:
    track = read_poses(folder, np.arange(COUNT) / 25, SIZE)
    np.testing.assert_allclose(track.keypoints[:, 0], people(COUNT)[:, 0], atol=1e-2)


NAMES = {
    "in the middle": "frame{0}_out_keypoints.json",
    "at the front": "{0}-rendered_keypoints.json",
    "of a constant": "take2_frame{0}_v10_keypoints.json",
    "two that agree": "frame{0}_{1}ms_keypoints.json",
    "a time": "clip_{2}_keypoints.json",
    "a coarser one before": "minute{3}_frame{0}_keypoints.json",
    "no more than .json": "{0}.json",
    "at the end": "clip_{0}_keypoints.json",
}


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("first", [0, 8, 95])
def test_the_number_that_varies(tmp_path, kind, first):
    names = [
        NAMES[kind].format(n, n * 1001 // 25, f"00.{n // 60:02}.{n % 60:02}.5", n // 10)
        for n in range(first, first + COUNT)
    ]
    in_their_order(write(tmp_path / "p", names))


@pytest.mark.parametrize(
    "names",
    [
        [f"a{n}_b{COUNT - n}_keypoints.json" for n in range(COUNT)],
        [f"f{n}_score{(n * 5) % COUNT}_keypoints.json" for n in range(COUNT)],
        [f"f{n}_keypoints.json" for n in range(COUNT - 1)] + ["f00_keypoints.json"],
    ],
)
def test_two_orders_are_one_sentence(tmp_path, names):
    folder = write(tmp_path / "p", names)
    with pytest.raises(UserError, match="in two ways") as error:
        read_openpose(folder)
    assert "\n" not in str(error.value) and str(folder) in str(error.value)


def test_several_sequences_and_holes_are_still_found(tmp_path):
    folder = write(tmp_path / "a", [f"cam{n % 2}_{n // 2}_keypoints.json" for n in range(COUNT)])
    with pytest.raises(UserError, match="more than one sequence.*cam0_.*cam1_"):
        read_openpose(folder)
    folder = write(tmp_path / "b", [f"f{n + (n > 3)}_x_keypoints.json" for n in range(COUNT)])
    with pytest.raises(UserError, match="hole: between f3_x.* number 4 is missing"):
        read_openpose(folder)
    # Milliseconds are no steps of one length.
    names = [f"f_{n * 1000 // 30}_keypoints.json" for n in range(COUNT)]
    in_their_order(write(tmp_path / "c", names))


def test_numbers_of_names():
    assert frame_numbers(["b", "a"]) is None and frame_numbers(["only5"]) is None
    assert frame_numbers(["x10", "x9"]) == [(10,), (9,)]
    with pytest.raises(SeveralSequences):
        frame_numbers(["x1", "y2"])
    with pytest.raises(SeveralOrders):
        frame_numbers(["x1", "x01"])


def test_pictures_have_the_same_order(tmp_path):
    from PIL import Image

    files = [tmp_path / f"frame{n}_out.png" for n in range(COUNT)]
    for number, file in enumerate(files):
        Image.new("RGB", (16, 16), (20 * number,) * 3).save(file)
    (tmp_path / "._frame3_out.png").write_bytes(b"\0\5\26\7")
    (tmp_path / "Thumbs.db").write_bytes(b"\0")
    assert in_order(sorted(files)) == files
    shown = ReadyPoses(tmp_path, 16, 16)
    assert [int(picture[0, 0, 0]) for picture in shown] == [20 * n for n in range(COUNT)]
    for number, file in enumerate(files):
        file.rename(tmp_path / f"frame{number}_{COUNT - number}.png")
    with pytest.raises(UserError, match="ordered in two ways"):
        ReadyPoses(tmp_path, 16, 16)


CLUTTER = ("._{}", ".DS_Store", "Thumbs.db", "desktop.ini", ".{}.swp")


def test_what_systems_leave_is_passed_over(tmp_path):
    names = [f"clip_{n:06}_keypoints.json" for n in range(COUNT)]
    folder = write(tmp_path / "p", names)
    for pattern, name in itertools.product(CLUTTER, names):
        (folder / pattern.format(name)).write_bytes(b"\0\5\26\7\0\2")
    in_their_order(folder)
    for name in ("._a.png", ".DS_Store", "Thumbs.db", "THUMBS.DB", "desktop.ini", "__MACOSX"):
        assert is_clutter(name)
    assert not is_clutter("a.png") and not is_clutter("thumbs.png")


# --- what tools write ---------------------------------------------------------


def tool(number: int, way: str) -> object:
    points = body(number)
    nobody = {"face_keypoints_2d": None, "hand_left_keypoints_2d": None,
              "hand_right_keypoints_2d": None}  # fmt: skip
    canvas = {"canvas_width": WIDTH, "canvas_height": HEIGHT}
    flat = points.round(3).ravel().tolist()
    if way == "null parts":
        return {"people": [{"pose_keypoints_2d": flat} | nobody]} | canvas
    if way == "text":
        return {"people": [{"pose_keypoints_2d": [f"{v:.3f}" for v in flat]}]}
    if way == "a list around it":
        return [{"people": [{"pose_keypoints_2d": flat} | nobody], "animals": []} | canvas]
    if way == "shares of the canvas":
        shares = (points / [WIDTH, HEIGHT, 1]).round(6).ravel().tolist()
        return {"people": [{"pose_keypoints_2d": shares} | nobody]} | canvas
    if way == "a larger canvas":
        larger = (points * [2, 4, 1]).round(3).ravel().tolist()
        return {"people": [{"pose_keypoints_2d": larger}], "canvas_width": 2 * WIDTH,
                "canvas_height": 4 * HEIGHT}  # fmt: skip
    if way == "threes":
        threes = points.round(3).tolist()
        return {"people": [{"pose_keypoints_2d": threes}]}
    if way == "a face of 68":
        face = [[30.0, 10.0, 0.8]] * 68
        return {"people": [{"pose_keypoints_2d": flat, "face_keypoints_2d": sum(face, [])}]}
    if way == "null people":
        return {"people": [None, {"pose_keypoints_2d": flat}, {"pose_keypoints_2d": None}]}
    raise ValueError(way)


TOOLS = ["null parts", "text", "a list around it", "shares of the canvas", "a larger canvas",
         "threes", "a face of 68", "null people"]  # fmt: skip


@pytest.mark.parametrize("way", TOOLS)
def test_files_of_other_tools(tmp_path, way):
    for number in range(COUNT):
        text = json.dumps(tool(number, way))
        # Editors of Windows begin a file with a mark.
        (tmp_path / f"clip_{number:06}_keypoints.json").write_text(text, encoding="utf-8-sig")
    track = read_poses(tmp_path, np.arange(COUNT) / 25, SIZE)
    assert track.found.all()
    np.testing.assert_allclose(track.keypoints[:, :8], people(COUNT)[:, :8], atol=1e-2)
    assert (track.keypoints[:, 25:, 2] > 0).any() == (way == "a face of 68")


def test_null_points_were_not_observed(tmp_path):
    flat = body(0).round(3).ravel().tolist()
    flat[9:12] = [None, None, None]
    flat[12] = None
    (tmp_path / "a_0_keypoints.json").write_text(
        json.dumps({"people": [{"pose_keypoints_2d": flat}]})
    )
    found = read_openpose(tmp_path).keypoints[0]
    assert (found[3:5] == 0).all() and found[5, 2] > 0
    for name, value in {"nobody": {"people": None}, "empty": {"people": []}}.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "a_0_keypoints.json").write_text(json.dumps(value))
        assert read_openpose(folder).reasons == ("no person",)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"people": [{"pose_keypoints_2d": [1e400, 2, 3]}]}', "finite"),
        ('{"people": [{"pose_keypoints_2d": [1e30, 2, 3]}]}', "in no picture"),
        (f'{{"people": [{{"pose_keypoints_2d": [{"9" * 500}, 2, 3]}}]}}', "no list of numbers"),
        (f'{{"people": [{{"pose_keypoints_2d": [{"9" * 5000}, 2, 3]}}]}}', "no readable JSON"),
        ('{"people": [{"pose_keypoints_2d": ["1,5", 2, 3]}]}', "no list of numbers"),
        ('{"people": [{"pose_keypoints_2d": {"0": 1}}]}', "no list of numbers"),
        ('{"people": [[]]}', "no list .people. of objects"),
    ],
)
def test_hostile_files_are_one_sentence(tmp_path, text, sentence):
    (tmp_path / "a_0_keypoints.json").write_text(text)
    with pytest.raises(UserError, match=sentence) as error:
        read_openpose(tmp_path)
    assert "a_0_keypoints.json" in str(error.value) and "\n" not in str(error.value)


# --- poses and their videos -----------------------------------------------------


def test_poses_of_a_film_of_half_the_size_are_noticed(tmp_path, capsys):
    half = tmp_path / "half"
    write_openpose(half, people(COUNT) * np.array([0.5, 0.5, 1]))
    read_poses(half, np.arange(COUNT), SIZE)
    assert "Warning: all poses in" in capsys.readouterr().err
    read_poses(poses(tmp_path / "whole", COUNT), np.arange(COUNT), SIZE)
    assert capsys.readouterr().err == ""


def test_videos_of_one_name_have_poses_of_their_own(tmp_path):
    videos = tuple(tmp_path / place / "clip.mp4" for place in ("a", "b"))
    where = tmp_path / "poses"
    options = PrepareOptions((*videos, tmp_path / "other.mp4"), tmp_path / "data", poses=where)
    places = [poses_folder(options, video) for video in options.videos]
    assert places == [where / "a/clip", where / "b/clip", where / "other"]
    same = PrepareOptions((tmp_path / "a/x.mp4", tmp_path / "a/x.mov"), tmp_path / "d", poses=where)
    with pytest.raises(UserError, match="x.mp4 and .*x.mov.*rename one"):
        poses_folder(same, same.videos[0])
    deep = PrepareOptions(
        (tmp_path / "1/in/x.mp4", tmp_path / "2/in/x.mp4"), tmp_path / "d", poses=where
    )
    assert poses_folder(deep, deep.videos[1]) == where / "2/in/x"
    with pytest.raises(UserError, match=r"There is no folder .*poses/a/clip"):
        make(options)


def test_a_dataset_of_two_videos_of_one_name(tmp_path):
    videos = []
    for place, shift in (("a", 0), ("b", 10)):
        (tmp_path / place).mkdir()
        videos.append(film(tmp_path / place / "clip.mp4", pictures(COUNT)))
        moved = people(COUNT) + np.array([0, shift, 0]) * (people(COUNT)[..., 2:] > 0)
        write_openpose(tmp_path / "poses" / place / "clip", moved)
    make(PrepareOptions(tuple(videos), tmp_path / "data", size="48x48", fit="squash", workers=1,
                        smooth=False, poses=tmp_path / "poses"))  # fmt: skip
    found = open_dataset(tmp_path / "data").keypoints()
    assert len(found) == 2 * COUNT
    np.testing.assert_allclose(found[COUNT:, 0, 1] - found[:COUNT, 0, 1], 10, atol=0.1)


# --- the ten cases --------------------------------------------------------------


@pytest.mark.parametrize("folder", ["poses-null", "poses-names", "poses-apple"])
def test_field_poses(shared, folder):
    if not (shared / "field").is_dir():
        pytest.skip("no folder of field cases")
    times = np.arange(48) / 24
    right = read_poses(shared / "field" / "poses", times, (96, 160))
    found = read_poses(shared / "field" / folder, times, (96, 160))
    joints = COCO_18.body25
    np.testing.assert_allclose(found.keypoints[:, joints], right.keypoints[:, joints], atol=1e-3)
    assert found.found.all()
