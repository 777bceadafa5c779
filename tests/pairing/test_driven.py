"""Driving a run of paired pictures, and frames that are moved as their poses are."""

import cv2
import numpy as np
import pytest

from motion_jax import puppet
from motion_jax.config import Config, Data, Record
from motion_jax.data.crop import Region, cut_out
from motion_jax.errors import UserError
from motion_jax.pairing.options import PairOptions
from motion_jax.pairing.pair import letterboxed, pair
from motion_jax.recipes import pix2pix
from motion_jax.train.loop import train
from motion_jax.train.run import load_run
from motion_jax.transfer.command import prepared, transfer
from motion_jax.transfer.fit import moved, placements
from motion_jax.transfer.options import TransferOptions
from motion_jax.transfer.pictures import driver_of
from motion_jax.video.reader import read_frames
from motion_jax.video.writer import VideoWriter


@pytest.fixture(scope="module")
def run(tmp_path_factory, dancers, write_dancer):
    """A pics2pics run: pictures of 96x48 that were cut out of a video of 160x120, to 64x64."""
    folder = tmp_path_factory.mktemp("pics2pics")
    crop = {"left": 20, "top": 30, "width": 120, "height": 60}
    ada = write_dancer(folder / "ada", "ada", 3, 0, 48, 96, width=160, height=120, crop=crop)
    pair(PairOptions(ada, dancers[1], folder / "pairs", kind="pics2pics", max_distance=9.0))
    recipe = pix2pix.Pix2Pix(
        generator=pix2pix.Generator("resnet", 2, n_blocks=0, norm="instance", dropout=False),
        discriminator=pix2pix.Discriminator("pixel", 2, norm="instance"),
        main_stage=pix2pix.Stage(steps=1, height=64, width=64),
    )
    record = Record(sample_seconds=0.1, trace=False)
    train(Config(recipe=recipe, data=Data(), record=record), folder / "pairs", folder / "run")
    return folder / "run"


@pytest.mark.parametrize("size", [(120, 160), (60, 200)])
def test_a_run_of_pictures_is_shown_frames_cut_as_its_driver_was(run, size, tmp_path, capsys):
    made = load_run(run)
    assert driver_of(made) is not None
    with VideoWriter(tmp_path / "source.mp4", *size) as writer:
        for i in range(3):
            picture = np.random.default_rng(i).integers(0, 256, (size[0] // 10, 4, 3), np.uint8)
            writer.write(cv2.resize(picture, size[::-1]), i / 25)
    driven = prepared(TransferOptions(tmp_path / "source.mp4", tmp_path / "out.mp4", run))
    shown = [picture for _, picture in driven.player.play(driven.moments)]
    frames = [frame.image for frame in read_frames(tmp_path / "source.mp4")]
    region = Region(20, 30, 120, 60) if size == (120, 160) else Region(0, -20, 200, 100)
    cut = np.stack([letterboxed(cut_out(f, region, 48, 96), 64, 64) for f in frames])
    wanted = made.synthesizer().feed(cut)
    np.testing.assert_array_equal(np.stack(shown), wanted)
    assert ("its frames are shown whole" in capsys.readouterr().err) == (size != (120, 160))
    with pytest.raises(UserError, match="stabilise pose needs to know"):
        transfer(
            TransferOptions(tmp_path / "source.mp4", tmp_path / "out.mp4", run, stabilise="pose")
        )


def test_frames_go_where_their_poses_go():
    poses = puppet.pose(puppet.CHARACTERS["ada"], puppet.dance(3, 10), 60, 80)
    after = poses.copy()
    after[..., :2] = poses[..., :2] * (0.5, 0.75) + (7, -3)
    after[poses[..., 2] <= 0] = 0
    after[1] = 0  # lost: as its neighbour
    places = placements(poses, after)
    np.testing.assert_allclose(places, np.tile([[0.5, 0, 7], [0, 0.75, -3]], (3, 1, 1)), atol=1e-4)
    with pytest.raises(UserError, match="show too little to place its frames"):
        placements(poses, np.zeros_like(poses))


def test_moving_a_frame():
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    np.testing.assert_array_equal(
        moved(picture, np.float32([[1, 0, 0], [0, 1, 0]]), 60, 80), picture
    )
    # Whole pixels to the right, the edge repeated.
    right = moved(picture, np.float32([[1, 0, 5], [0, 1, 0]]), 60, 80)
    np.testing.assert_array_equal(right[:, 5:], picture[:, :-5])
    assert (right[:, :5] == picture[:, :1]).all()
    # Half the size is the area average.
    half = moved(picture, np.float32([[0.5, 0, 0], [0, 0.5, 0]]), 30, 40)
    np.testing.assert_array_equal(half, cv2.resize(picture, (40, 30), interpolation=3))
    # A point lies where its keypoint goes.
    dot = np.zeros((60, 80), np.uint8)
    dot[20, 30] = 255
    place = np.float32([[2, 0, -10], [0, 2, 4]])
    y, x = np.argwhere(moved(np.repeat(dot[..., None], 3, 2), place, 80, 100)[..., 0] > 100).mean(0)
    assert (x + 0.5, y + 0.5) == pytest.approx((2 * 30.5 - 10, 2 * 20.5 + 4), abs=0.01)
