"""Device drawing against the host's. Tolerance, in shares of full scale, over the pixels that
either of them draws: mean 0.015, 95 % below 0.1; the rest are where edges of several limbs meet."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_jax.pose import draw_device
from motion_jax.pose.draw import PoseStyle, draw_host
from motion_jax.pose.draw_device import rasterize
from motion_jax.pose.skeleton import COUNT, FACE, LEFT_HAND, RIGHT_HAND

MEAN, NEARLY_ALL = 0.015, 0.1


def figure(height, width, seed=0, spread=1.0):
    """A standing figure with face and hands, joints moved at random; [137, 3]."""
    rng = np.random.default_rng(seed)
    body = [
        (50, 15), (50, 25), (40, 25), (33, 38), (30, 50), (60, 25), (67, 38), (72, 50), (50, 52),
        (45, 52), (43, 72), (42, 90), (55, 52), (57, 72), (58, 90), (48, 13), (52, 13), (46, 14),
        (54, 14), (60, 94), (62, 93), (57, 92), (40, 94), (38, 93), (43, 92),
    ]  # fmt: skip
    keypoints = np.zeros((COUNT, 3), np.float32)
    keypoints[:25, :2] = body
    turn = np.linspace(0, 2 * np.pi, 70)
    keypoints[FACE, :2] = np.stack([50 + 4 * np.cos(turn), 15 + 5 * np.sin(turn)], -1)
    for hand, wrist in ((LEFT_HAND, 7), (RIGHT_HAND, 4)):
        keypoints[hand, :2] = keypoints[wrist, :2] + spread * rng.uniform(-5, 5, (21, 2))
    keypoints[:25, :2] += spread * rng.normal(0, 2, (25, 2))
    keypoints[..., :2] *= np.array([width, height]) / 100
    keypoints[:, 2] = 0.9
    return keypoints


@pytest.mark.parametrize(
    ("height", "width", "style"),
    [
        (128, 96, PoseStyle()),
        (270, 300, PoseStyle(stroke=2, face_points=22)),
    ],
)
def test_agrees_with_the_host(height, width, style):
    poses = np.stack([figure(height, width, seed) for seed in range(3)])
    # Unobserved joints; a pose outside the frame in part; one that fills it, hands and all.
    poses[0, [3, 10, 30, 100]] = 0
    poses[1, :, 0] -= width / 2
    poses[2, :, :2] = poses[2, :, :2] * 3 - np.array([width, height / 2])
    pictures = np.asarray(rasterize(poses, height, width, style))
    assert pictures.shape == (3, height, width, 3) and pictures.dtype == np.float32
    for pose, picture in zip(poses, pictures, strict=True):
        expected = draw_host(pose, height, width, style) / 255
        drawn = ((picture < 1) | (expected < 1)).any(-1)
        difference = np.abs(picture - expected)[drawn]
        assert drawn.mean() > 0.01
        assert difference.mean() < MEAN and np.quantile(difference, 0.95) < NEARLY_ALL
        # No bias: as much ink.
        assert abs((picture - expected)[drawn].mean()) < 0.005


def test_accelerators_way_is_the_same(monkeypatch):
    """What runs on GPU and TPU, run here: small limbs in patches, and a pose too large for them."""
    style = PoseStyle(face_points=0, hands=False)
    poses = np.stack([figure(72, 64), figure(72, 64) * np.array([3, 3, 1])])
    expected = rasterize(poses, 72, 64, style)
    monkeypatch.setattr(draw_device, "_one_by_one", draw_device._at_once)
    draw_device._rasterize.clear_cache()
    np.testing.assert_allclose(rasterize(poses, 72, 64, style), expected, atol=1e-5)
    draw_device._rasterize.clear_cache()


def test_what_a_pose_lacks_is_left_out_and_changes_nothing(monkeypatch):
    """A CPU does not draw the hands and the face of a pose that has none: bit for bit the same, and
    the loop's body is not run for them."""
    style, whole = PoseStyle(), figure(72, 64)
    body = whole.copy()
    body[25:] = 0
    one_hand = whole.copy()
    one_hand[[*range(FACE.start, FACE.stop), *range(LEFT_HAND.start, LEFT_HAND.stop)]] = 0
    poses = np.stack([whole, body, one_hand, np.zeros_like(whole)])
    laid, coverage = draw_device._lay, draw_device._coverage
    found, counts, drawn = [], [], []

    def counted(*given):
        # Told by the loop's body for each ellipse that is laid.
        jax.debug.callback(lambda: drawn.append(1))
        return coverage(*given)

    monkeypatch.setattr(draw_device, "_coverage", counted)
    for way in ({}, {"alone": False}):
        lay = functools.partial(
            lambda *given, way, **settings: laid(*given, **settings | way), way=way
        )
        monkeypatch.setattr(draw_device, "_lay", lay)
        draw_device._rasterize.clear_cache()
        drawn.clear()
        found.append(np.asarray(rasterize(poses, 72, 64, style)))
        jax.effects_barrier()
        counts.append(len(drawn))
    draw_device._rasterize.clear_cache()
    np.testing.assert_array_equal(*found)
    assert (found[0][:3] < 1).any((1, 2, 3)).all() and (found[0][3] == 1).all()
    assert counts[0] < 0.7 * counts[1]


@pytest.mark.parametrize("style", [PoseStyle(face_points=0, hands=False, body="body23")])
def test_options(style):
    pose = figure(96, 96)
    picture = rasterize(pose, 96, 96, style)
    expected = draw_host(pose, 96, 96, style) / 255
    assert np.abs(picture - expected).mean() < MEAN / 5
    assert picture.min() >= 0 and picture.max() <= 1
    assert (rasterize(np.zeros_like(pose), 96, 96, style) == 1).all()
    assert rasterize(np.zeros((2, 0, 137, 3)), 96, 96, style).shape == (2, 0, 96, 96, 3)


def test_gradients_are_finite_and_right():
    size, style = 32, PoseStyle(stroke=4, face_points=0, hands=False)
    poses = np.stack([figure(size, size), figure(size, size, 1)])
    # Absent joints, a limb of no length, a joint far outside.
    poses[0, [4, 11]] = 0
    poses[0, 7] = poses[0, 6]
    poses[1, 4, :2] = 1000, -500
    target = rasterize(poses + np.array([1.5, 0.7, 0], np.float32), size, size, style)

    @jax.jit
    def loss_and_gradient(xy, confidence):
        def loss(xy):
            keypoints = jnp.concatenate([xy, confidence], -1)
            return jnp.square(rasterize(keypoints, size, size, style) - target).sum()

        return jax.value_and_grad(loss)(xy)

    xy, confidence = poses[..., :2], poses[..., 2:]
    _, gradient = loss_and_gradient(xy, confidence)
    gradient = np.asarray(gradient)
    assert np.isfinite(gradient).all()
    assert (gradient[0, [4, 11]] == 0).all() and (gradient[:, 25:] == 0).all()
    assert (gradient[0, [1, 2, 5, 8]] != 0).all()
    # Against finite differences (the drawing has corners, so not to the last digit).
    rng = np.random.default_rng(0)
    slopes = []
    for _ in range(12):
        direction = rng.normal(size=xy.shape).astype(np.float32)
        direction[0, [6, 7]] = 0
        ahead, _ = loss_and_gradient(xy + 0.01 * direction, confidence)
        behind, _ = loss_and_gradient(xy - 0.01 * direction, confidence)
        slopes.append([(ahead - behind) / 0.02, (gradient * direction).sum()])
    measured, computed = np.array(slopes).T
    assert np.abs(measured - computed).max() < 0.05 * np.abs(measured).max()

    # Walking downhill brings the pose closer to the one in the picture.
    start, moved = float(loss_and_gradient(xy, confidence)[0]), xy
    for _ in range(10):
        moved = moved - 0.02 * np.asarray(loss_and_gradient(moved, confidence)[1])
    assert float(loss_and_gradient(moved, confidence)[0]) < 0.8 * start
