"""A camera that turns and zooms: everything in the picture moves as it says."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from motion_jax.puppet import CHARACTERS, crowd, dance
from motion_jax.puppet.camera import Camera, between
from motion_jax.puppet.draw import draw_frame
from motion_jax.puppet.figure import joints
from motion_jax.puppet.scene import WHOLE, View, background

SIZE = 96
SOURCE, DRIVING = View(0.95, -0.06, 0.48), View(1.2, 0.05, 0.53)


def moved(picture, matrix):
    """The picture looked up where the matrix says, and which pixels it shows."""
    y, x = (np.mgrid[0:SIZE, 0:SIZE] + 0.5) / SIZE - 0.5
    places = np.stack([x, y, np.ones_like(x)], -1) @ matrix.T
    pixels = (places * SIZE + SIZE / 2 - 0.5).astype(np.float32)
    shown = (np.abs(places) < 0.5).all(-1)
    return cv2.remap(picture, pixels[..., 0], pixels[..., 1], cv2.INTER_LINEAR), shown


@pytest.mark.parametrize("scene", ["studio", "wall-3"])
def test_the_place_moves_as_the_camera_says(scene):
    one, two = (background(scene, SIZE, SIZE, view) for view in (SOURCE, DRIVING))
    found, shown = moved(np.array(one), between(SOURCE, DRIVING))
    assert shown.mean() > 0.6
    away = np.abs(found - two).mean(-1)[shown].mean()
    assert away < 0.3 * np.abs(np.array(one) - two).mean(-1)[shown].mean()


def test_a_puppet_and_its_joints_move_with_the_place():
    puppet, motion = CHARACTERS["ada"], dance(1, seed=3)
    body = joints(puppet, motion)
    view = View(1.5, 0.02, 0.4)
    one, two = (
        draw_frame(puppet, body, 0, SIZE, SIZE, view, camera) for camera in (SOURCE, DRIVING)
    )
    found, shown = moved(one, between(SOURCE, DRIVING))
    away = np.abs(found.astype(int) - two).mean(-1)[shown].mean()
    assert away < 0.3 * np.abs(one.astype(int) - two).mean(-1)[shown].mean()

    class Seen(Camera):
        def at(self, times):
            return [SOURCE, DRIVING][self.seed : self.seed + 1]

    takes = [crowd.Take(puppet, "dancer", Seen(seed)) for seed in (0, 1)]
    source, driving = (take.keypoints(motion, SIZE)[0] for take in takes)
    both = (source[:, 2] > 0) & (driving[:, 2] > 0)
    places = np.concatenate([driving[both, :2] / SIZE - 0.5, np.ones((both.sum(), 1))], axis=1)
    expected = (places @ between(SOURCE, DRIVING).T + 0.5) * SIZE
    assert both.sum() > 60
    np.testing.assert_allclose(source[both, :2], expected, atol=1e-3)


def test_each_moves_in_its_own_way_and_always_the_same():
    still, moving = crowd.take(5), crowd.take(5, moving=True)
    motion = still.motion(4, 1.5, 5)
    assert still.seen(motion) == [WHOLE] * 4 and moving.seen(motion) == moving.seen(motion)
    assert replace(moving, camera=None) == still
    assert crowd.take(7, moving=True).seen(motion) != moving.seen(motion)
    views = Camera(5).at(np.linspace(0, 20, 400))
    reach = np.array([[np.log(view.zoom), view.x, view.y - 0.5] for view in views])
    assert (np.abs(reach).max(0) <= (0.12, 0.16, 0.06)).all()
    assert (np.ptp(reach, axis=0) >= (0.06, 0.12, 0.03)).all()
    assert moving.frames(motion, 32).shape == (4, 32, 32, 3)
