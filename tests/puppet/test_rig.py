"""Drawings on bones: at rest they stay as they are, bones carry what is theirs; and folders."""

import shutil

import cv2
import numpy as np
import pytest
import yaml

from motion_jax.errors import UserError
from motion_jax.puppet import bones, rig
from motion_jax.puppet.bones import BONE, JOINT
from motion_jax.puppet.doll import make_doll
from motion_jax.puppet.doll_draw import draw_doll
from motion_jax.puppet.stances import rest, stances

SIZE = 96


@pytest.fixture(scope="module")
def doll():
    return make_doll(5)


def stood(body, stance):
    return bones.figure(body, stance, 0.74 * SIZE, (SIZE / 2, 0.94 * SIZE))


@pytest.fixture(scope="module")
def drawing(doll):
    found = stood(doll.body, rest(arms=0.9))
    return rig.of_figure("doll", draw_doll(doll, found, SIZE, SIZE), found), found


def over_white(picture):
    alpha = picture[..., 3:] / 255.0
    return picture[..., :3] * alpha + 255 * (1 - alpha)


def test_a_drawing_at_rest_is_itself(drawing):
    picture, found = drawing
    # The figure's scale is that of its own height, from the head's crown to the soles.
    top, bottom = picture.rows
    still = bones.Figure(
        found.joints, found.hips, found.head, found.up, found.yaw, found.pitch,
        np.array([bottom - top]),
    )  # fmt: skip
    made = rig.draw(picture, still, SIZE, SIZE)
    assert np.abs(over_white(made) - over_white(picture.picture)).mean() < 4
    both = (made[..., 3] > 127) & (picture.picture[..., 3] > 127)
    either = (made[..., 3] > 127) | (picture.picture[..., 3] > 127)
    assert both.sum() / either.sum() > 0.93


def test_a_raised_arm_takes_its_pixels_along(drawing, doll):
    picture, _ = drawing
    stance = rest(arms=0.9)
    stance.bones[0, BONE["left_upper_arm"]] = stance.bones[0, BONE["left_forearm"]] = (0.7, -0.7)
    found = stood(doll.body, stance)
    made = rig.draw(picture, found, SIZE, SIZE)
    x, y = found.joints[0, JOINT["left_wrist"], :2].astype(int)
    assert made[y, x, 3] > 200
    # Nothing is left where the arm was, and the other one stays.
    before = stood(doll.body, rest(arms=0.9)).joints[0]
    x, y = before[JOINT["left_wrist"], :2].astype(int)
    assert made[y, x, 3] < 30
    x, y = before[JOINT["right_wrist"], :2].astype(int)
    assert made[y, x, 3] > 200


def folder_of(path, drawing):
    path.mkdir()
    colour = drawing.picture[..., 2::-1]
    cv2.imwrite(str(path / "texture.png"), colour)
    cv2.imwrite(str(path / "mask.png"), drawing.picture[..., 3])
    theirs = [
        {"name": name, "loc": [int(v) for v in drawing.points[ours]], "parent": None}
        for ours, name in rig._THEIRS.items()
    ]
    (path / "char_cfg.yaml").write_text(yaml.safe_dump({"skeleton": theirs, "height": SIZE}))
    return path


def test_folders_of_animated_drawings(tmp_path, drawing):
    picture, _ = drawing
    good = folder_of(tmp_path / "good", picture)
    read = rig.load_drawing(good)
    assert read.name == "good"
    for name, place in read.points.items():
        assert np.abs(place - picture.points[name]).max() < 1
    found = stood(read.body, stances([3]))
    assert rig.draw(read, found, SIZE, SIZE)[..., 3].max() == 255

    def changed(name, change):
        folder = tmp_path / name
        shutil.copytree(good, folder)
        change(folder)
        with pytest.raises(UserError) as error:
            rig.load_drawing(folder)
        return str(error.value)

    assert "lacks mask.png" in changed("a", lambda f: (f / "mask.png").unlink())
    small = np.zeros((20, 20), np.uint8)
    assert "of one size" in changed("b", lambda f: cv2.imwrite(str(f / "mask.png"), small))
    black = np.zeros((SIZE, SIZE), np.uint8)
    assert "black" in changed("c", lambda f: cv2.imwrite(str(f / "mask.png"), black))
    assert "no picture" in changed("d", lambda f: (f / "texture.png").write_bytes(b"GIF"))
    assert "skeleton" in changed("e", lambda f: (f / "char_cfg.yaml").write_text("- 1"))
    assert "no joint" in changed("f", lambda f: (f / "char_cfg.yaml").write_text("skeleton: []"))
    away = "skeleton:\n" + "".join(
        f"- {{name: {name}, loc: [900, 1]}}\n" for name in rig._THEIRS.values()
    )
    assert "lie in the picture" in changed("g", lambda f: (f / "char_cfg.yaml").write_text(away))
