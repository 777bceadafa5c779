"""A letterboxed target: its bars are not in the result."""

import numpy as np
import pytest

from motion_jax import cli, puppet
from motion_jax.video.reader import probe, read_frames


@pytest.mark.parametrize("more", [[], ["--side-by-side"]])
def test_bars_are_cut_off(write, ada, tmp_path, more):
    ben, motion = puppet.CHARACTERS["ben"], puppet.dance(6, 25, seed=0)
    frames = puppet.draw(ben, motion, 64, 64)
    frames[:, :, :16] = frames[:, :, 48:] = 0
    keypoints = puppet.pose(ben, motion, 64, 64)
    (tmp_path / "ben").mkdir()
    write(tmp_path / "ben", keypoints, frames, content=((6, 0, 16, 64, 48),))
    out = tmp_path / "out.mp4"
    cli.main(
        ["transfer", "--method", "nearest", "--data", str(tmp_path / "ben"), "--source",
         str(ada / "video.mp4"), "--poses", str(ada / "poses"), "--out", str(out), *more]
    )  # fmt: skip
    picture = next(read_frames(out)).image
    if not more:
        assert (probe(out).height, probe(out).width) == (64, 32)
        assert picture[:, 0].mean() > 20 and picture[:, -1].mean() > 20
    else:
        # Source (a square), pose and result of half its width; gaps between them.
        assert abs(picture.shape[1] - 2 * (picture.shape[0] - 22)) < 40
        assert np.ptp(picture[-40:, -8:]) > 30
