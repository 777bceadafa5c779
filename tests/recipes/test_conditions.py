"""Condition pictures of pix2pix: each kind on channels of its own, each to be switched."""

from dataclasses import replace

import cv2
import jax
import numpy as np
import pytest

from motion_jax import puppet
from motion_jax.devices import layout
from motion_jax.errors import UserError
from motion_jax.pose import contours
from motion_jax.pose.contours import LINES, draw_contours, segments
from motion_jax.pose.draw import PoseStyle
from motion_jax.pose.draw_device import rasterize
from motion_jax.recipes import conditions as module
from motion_jax.recipes.conditions import Conditions
from motion_jax.recipes.pix2pix import Discriminator, Generator, Pix2Pix, Stage

SIZE = 32
RECIPE = Pix2Pix(
    generator=Generator("resnet", ngf=2, n_blocks=1, norm="instance", dropout=False),
    discriminator=Discriminator(ndf=2, n_layers=1),
    main_stage=Stage(steps=2, height=SIZE, width=SIZE),
    conditions=Conditions(face_contour=True, canny=True),
)


@pytest.fixture(scope="module")
def batch() -> dict[str, np.ndarray]:
    """Two large heads at 32 x 32, which the frames show."""
    motion = puppet.dance(20, 10)[3:5]
    keypoints = puppet.pose(puppet.CHARACTERS["ada"], motion, SIZE, SIZE)
    frames = puppet.draw(puppet.CHARACTERS["ada"], motion, SIZE, SIZE)
    # The face fills the picture.
    face = keypoints[:, 25:95, :2]
    low, high = face.min((0, 1)), face.max((0, 1))
    keypoints[..., :2] = 4 + 24 * (keypoints[..., :2] - low) / (high - low)
    return {
        "frames": frames[:, None],
        "keypoints": keypoints[:, None],
        "face_boxes": np.zeros((2, 1, 4), np.float32),
    }


def test_every_kind_has_its_channels(batch):
    style = PoseStyle(stroke=2.0)
    seen = RECIPE.conditions.seen(batch)
    shown = np.asarray(RECIPE.conditions.pictures(seen, style, SIZE, SIZE))
    assert shown.shape == (2, 1, SIZE, SIZE, 5)
    skeleton = 2 * rasterize(batch["keypoints"], SIZE, SIZE, style) - 1
    np.testing.assert_array_equal(shown[..., :3], skeleton)
    contours = draw_contours(batch["keypoints"], SIZE, SIZE, 2.0)
    np.testing.assert_array_equal(shown[..., 3:4], 2 * contours - 1)
    for i in range(2):
        level = cv2.cvtColor(batch["frames"][i, 0], cv2.COLOR_RGB2GRAY)
        median = np.median(level)
        edges = cv2.Canny(level, 2 / 3 * median, 4 / 3 * median) > 0
        np.testing.assert_array_equal(shown[i, 0, ..., 4] > 0, edges)
        assert edges.any()


@pytest.mark.parametrize(
    "switches, channels",
    [((True, False, False), 3), ((False, True, False), 1), ((True, False, True), 4),
     ((False, True, True), 2)],
)  # fmt: skip
def test_switches_leave_the_other_channels_as_they_are(batch, switches, channels):
    chosen = Conditions(*switches)
    every = Conditions(True, True, True)
    whole = every.pictures(every.seen(batch), PoseStyle(), SIZE, SIZE)
    shown = chosen.pictures(chosen.seen(batch), PoseStyle(), SIZE, SIZE)
    assert chosen.channels == channels == shown.shape[-1]
    kept = np.array([switches[0]] * 3 + [switches[1], switches[2]])
    np.testing.assert_array_equal(shown, np.asarray(whole)[..., kept])
    recipe = replace(RECIPE, conditions=chosen)
    state = jax.eval_shape(lambda key: recipe.init(key, "main"), jax.random.key(0))
    first = {n: jax.tree.leaves(state.params[n]) for n in ("generator", "discriminator")}
    inputs = {n: [x.shape for x in leaves if x.ndim == 4] for n, leaves in first.items()}
    assert any(shape[2] == channels for shape in inputs["generator"])
    assert any(shape[2] == channels + 3 for shape in inputs["discriminator"])


def test_contours_lie_where_the_face_points_are(batch):
    pose = batch["keypoints"][0, 0]
    picture = np.asarray(draw_contours(pose, SIZE, SIZE))[..., 0]
    wanted = np.zeros((SIZE * 16, SIZE * 16), np.uint8)
    for first, last, closed in LINES:
        points = np.rint(pose[25 + first : 25 + last + 1, :2] * 16).astype(np.int32)
        cv2.polylines(wanted, [points], closed, 255, thickness=16)
    wanted = cv2.resize(wanted, (SIZE, SIZE), interpolation=cv2.INTER_AREA) / 255
    assert np.corrcoef(picture.ravel(), wanted.ravel())[0, 1] > 0.95
    assert len(segments()) == 16 + 4 + 4 + 3 + 4 + 6 + 6 + 12 + 8
    hidden = pose.copy()
    hidden[25:95, 2] = 0.05
    assert not np.asarray(draw_contours(hidden, SIZE, SIZE)).any()
    hidden = pose.copy()
    hidden[25 + 30, 2] = 0  # the tip of the bridge
    assert np.asarray(draw_contours(hidden, SIZE, SIZE)).sum() < picture.sum()


def test_a_step_trains_on_all_of_them(batch):
    key = jax.random.key(1)
    state, metrics = jax.jit(lambda s, b: RECIPE.train_step(s, b, "main", {}))(
        RECIPE.init(key, "main"), batch
    )
    assert all(np.isfinite(float(value)) for value in metrics.values())
    params = RECIPE.synthesis_params(state)
    flat = {name: values[:, 0] for name, values in batch.items()}
    made, _ = RECIPE.synthesize(params, RECIPE.seen(flat), (), "main")
    # The edges matter, or they would not be shown.
    blank = flat | {"frames": np.zeros_like(flat["frames"])}
    other, _ = RECIPE.synthesize(params, RECIPE.seen(blank), (), "main")
    assert np.abs(np.asarray(made) - np.asarray(other)).max() > 1e-3


def test_what_is_not_there_is_said(batch):
    with pytest.raises(UserError, match="shows the generator nothing"):
        replace(RECIPE, conditions=Conditions(False)).validate()
    keypoints = batch["keypoints"]
    with pytest.raises(UserError, match="canny"):
        Conditions(canny=True).pictures(keypoints, PoseStyle(), SIZE, SIZE)
    ready = np.zeros((2, 1, SIZE, SIZE, 3), np.uint8)
    with pytest.raises(UserError, match="face_contour"):
        Conditions(face_contour=True).pictures(ready, PoseStyle(), SIZE, SIZE)
    # With keypoints beside them contours can be drawn.
    both = {"pose_pictures": ready, "keypoints": keypoints}
    chosen = Conditions(face_contour=True)
    assert module.Conditions.pictures(chosen, chosen.seen(both), PoseStyle(), SIZE, SIZE).any()


def test_edges_are_refused_where_devices_share_a_picture(batch):
    chosen = Conditions(canny=True)
    mesh = jax.sharding.AbstractMesh((1, 2), ("data", "space"))
    with (
        layout.over(mesh),
        pytest.raises(UserError, match="use --devices.space 1, or switch canny"),
    ):
        jax.eval_shape(lambda b: chosen.pictures(b, PoseStyle(), SIZE, SIZE), chosen.seen(batch))


def test_contours_drawn_in_parts_are_those_drawn_at_once(batch):
    """As devices do that share a picture."""
    pose, half = batch["keypoints"][0, 0], SIZE // 2
    parts = [contours._draw(pose, first, half, SIZE, SIZE, 1.0) for first in (0, half)]
    whole = np.asarray(draw_contours(pose, SIZE, SIZE))[..., 0]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
