"""animate for drawn characters without a network: films, backgrounds, what is refused."""

import cv2
import numpy as np
import pytest

from motion_jax import puppet
from motion_jax.cli import main
from motion_jax.errors import UserError
from motion_jax.puppet.stances import rest
from motion_jax.transfer.character_options import CharacterOptions
from motion_jax.transfer.characters import laid, perform
from motion_jax.transfer.performers import DollPerformer, stood
from motion_jax.video.reader import read_frames


@pytest.fixture(scope="module")
def dancer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dancer")
    return puppet.make_video(folder, puppet.CHARACTERS["ada"], puppet.dance(5), 64, 96)


def options_of(dancer, **changes):
    film, poses = dancer
    return CharacterOptions(
        **{"method": "rig", "source": film, "poses": poses, "smooth": False} | changes
    )


def test_a_doll_dances_from_the_command_line(dancer, tmp_path, capsys):
    film, poses = dancer
    out = tmp_path / "doll.mp4"
    words = ["animate", "--method", "rig", "--character", "7", "--source", str(film)]
    main([*words, "--poses", str(poses), "--out", str(out), "--height", "80"])
    frames = [frame.image for frame in read_frames(out)]
    assert len(frames) == 5 and frames[0].shape == (80, 120, 3)
    # Somebody stands on plain paper, where the dancer stood.
    paper = np.abs(frames[0].astype(int) - (236, 240, 246)).sum(-1) < 40
    assert 0.03 < (~paper).mean() < 0.6
    assert "5 synthetic frames of paper doll 7" in capsys.readouterr().err


def test_backgrounds(dancer, tmp_path):
    green = tmp_path / "green.mp4"
    perform(options_of(dancer, out=green, background="green", shadow=False))
    corner = next(read_frames(green)).image[2, 2].astype(int)
    assert corner[1] > 200 and max(corner[0], corner[2]) < 60
    clear = tmp_path / "clear.mov"
    perform(options_of(dancer, out=clear, background="alpha"))
    assert clear.stat().st_size > 0
    picture = tmp_path / "room.png"
    cv2.imwrite(str(picture), np.full((30, 30, 3), (10, 20, 200), np.uint8))
    room = tmp_path / "room.mp4"
    perform(options_of(dancer, out=room, background=picture, side_by_side=True))
    assert next(read_frames(room)).image.shape[1] > 2 * 96
    own = tmp_path / "own.mp4"
    perform(options_of(dancer, out=own, background="source", pin=False))
    behind = next(read_frames(dancer[0])).image
    assert np.abs(next(read_frames(own)).image[2, 2].astype(int) - behind[2, 2]).max() < 30


def test_a_picture_is_laid_where_it_stands():
    doll = DollPerformer(1, 64)
    picture = doll.picture(stood(doll, rest()), 0)
    onto = np.zeros((100, 100, 3), np.float32)
    laid(picture, onto, 50.0, 90.0, 60.0)
    rows = np.flatnonzero(onto.max((1, 2)) > 60)
    assert abs(rows[-1] - 89) <= 2 and abs(rows[0] - 30) <= 4
    columns = np.flatnonzero(onto.max((0, 2)) > 60)
    assert abs((columns[0] + columns[-1]) / 2 - 50) < 2
    # Outside the frame nothing happens.
    before = onto.copy()
    laid(picture, onto, 500.0, 90.0, 60.0)
    np.testing.assert_array_equal(onto, before)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": None}, "Say who draws"),
        ({"background": "alpha"}, r"FILE\.mov"),
        ({"background": "nowhere.png"}, "neither a picture nor a video"),
        ({"character": ("1", "2")}, "moves one drawing"),
        ({"character": ("nobody",)}, "neither a number nor the folder"),
        ({"height": 4}, "between 16 and 4096"),
        ({"tall": 0.0}, "between 0.05 and 5"),
    ],
)
def test_what_cannot_be_is_refused(dancer, tmp_path, changes, words):
    with pytest.raises(UserError, match=words):
        perform(options_of(dancer, out=tmp_path / "x.mp4", **changes))
    assert not (tmp_path / "x.mp4").exists()
