"""Pose pictures on the device: the drawing of `draw.draw_host` in pure JAX, batched and
differentiable by the keypoints' positions.

Everything drawn is an ellipse (a disc is one with equal axes) with a colour and an opacity; a scan
lays them over the picture one after the other. How much of a pixel an ellipse covers is computed
analytically, so edges are smooth, gradients exist, and nothing is drawn larger first.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from motion_jax.pose.draw import (
    BLEND,
    BONE_HALF_WIDTH,
    CANVAS_HEIGHT,
    FACE_MEAN_CONFIDENCE,
    FACE_RADIUS,
    HAND_CONFIDENCE,
    HAND_RADIUS,
    JOINT_RADIUS,
    LIMB_HALF_WIDTH,
    PoseStyle,
    supersampling,
)
from motion_jax.pose.skeleton import (
    FACE,
    FACE_POINTS,
    HAND_BONES,
    HAND_COLOURS,
    LAYOUTS,
    LEFT_HAND,
    RIGHT_HAND,
)

# The scan's inner loop; the backward pass keeps one picture per so many ellipses and draws the
# others again.
_GROUP = 12


@functools.lru_cache(maxsize=16)
def _program(style: PoseStyle) -> dict[str, np.ndarray]:
    """What is drawn, in order: per ellipse the two keypoints that span it (the same one twice: a
    disc), its half width on a canvas 1080 high, colour (RGB, 0...1), opacity, and the confidence
    that both keypoints must exceed; `face` marks those that need a face."""
    layout = LAYOUTS[style.body]
    rows = []

    def add(first, second, half_width, colour, opacity, least, face=False):
        # Canvas order reversed is RGB; colours are whole grey levels in OpenCV.
        rgb = np.rint(np.array(colour[::-1])) / 255
        rows.append((first, second, half_width, *rgb, opacity, least, face))

    for joint, colour in zip(layout.body25, layout.colours, strict=True):
        add(joint, joint, JOINT_RADIUS, colour, 1, 0)
    for first, second in layout.limbs:
        ends = layout.body25[first], layout.body25[second]
        add(*ends, LIMB_HALF_WIDTH, layout.colours[first], BLEND, 0)
    for point in FACE_POINTS[style.face_points]:
        add(FACE.start + point, FACE.start + point, FACE_RADIUS, (0, 0, 0), 1, 0, True)
    if style.hands:
        for hand in (RIGHT_HAND.start, LEFT_HAND.start):
            for joint, colour in enumerate(HAND_COLOURS):
                add(hand + joint, hand + joint, HAND_RADIUS, colour, 1, HAND_CONFIDENCE)
            for first, second, index in HAND_BONES:
                ends = hand + first, hand + second
                add(*ends, BONE_HALF_WIDTH, HAND_COLOURS[index], BLEND, HAND_CONFIDENCE)
    # Whole groups: the last one is filled up with ellipses of no opacity.
    rows += [(0, 0, 1, 0, 0, 0, 0, 2, False)] * (-len(rows) % _GROUP)
    table = np.array(rows, np.float32)
    return {
        "first": table[:, 0].astype(np.int32),
        "second": table[:, 1].astype(np.int32),
        "half_width": table[:, 2],
        "colour": table[:, 3:6],
        "opacity": table[:, 6],
        "least": table[:, 7],
        "face": table[:, 8] > 0,
    }


def _ellipses(keypoints: jax.Array, height: int, style: PoseStyle) -> tuple[jax.Array, ...]:
    """[137, 3] keypoints -> per ellipse: centre x and y, unit vector along its axis, half length,
    half width (pixels), opacity (0 where it is not drawn)."""
    program = _program(style)
    first, second = keypoints[program["first"]], keypoints[program["second"]]
    face_known = keypoints[FACE, 2].mean() >= FACE_MEAN_CONFIDENCE
    drawn = (first[:, 2] > program["least"]) & (second[:, 2] > program["least"])
    drawn &= face_known | ~program["face"]
    # Positions of what is not drawn do not matter; zeroed, they cannot carry a NaN anywhere.
    a = jnp.where(drawn[:, None], first[:, :2], 0)
    b = jnp.where(drawn[:, None], second[:, :2], 0)
    # OpenCV fills the pixels that an outline passes through as well: half a pixel of the host's
    # canvas on every side.
    rim = 0.5 / supersampling(height)
    half_width = program["half_width"] * (style.stroke * height / CANVAS_HEIGHT) + rim
    centre, along = (a + b) / 2, (a - b) / 2
    disc = program["first"] == program["second"]
    # The norm's gradient is not finite at 0: a limb of no length gets a direction instead.
    square = jnp.sum(along**2, -1)
    pointlike = disc | (square < 1e-6)
    length = jnp.sqrt(jnp.where(pointlike, 1.0, square))
    direction = jnp.where(pointlike[:, None], jnp.array([1.0, 0.0]), along / length[:, None])
    half_length = jnp.where(disc, half_width, jnp.where(pointlike, 0.0, length) + rim)
    opacity = jnp.where(drawn, program["opacity"], 0.0)
    return centre[:, 0], centre[:, 1], direction, half_length, half_width, opacity


def _coverage(px, py, x, y, direction, half_length, half_width):
    """How much of the pixels with centres (px, py) an ellipse covers, 0...1.

    In the ellipse's own axes (u along, v across) a pixel is taken as the unit square. Along u the
    overlap of [u - 1/2, u + 1/2] with the ellipse is exact; across, so is the overlap with a strip
    as wide as the ellipse is there: b sqrt(1 - <u^2> / a^2), <u^2> the mean over the overlap.
    """
    u = (px - x) * direction[0] + (py - y) * direction[1]
    v = (py - y) * direction[0] - (px - x) * direction[1]
    low = jnp.maximum(u - 0.5, -half_length)
    high = jnp.minimum(u + 0.5, half_length)
    overlap = jnp.maximum(high - low, 0)
    mean_square = ((low + high) / 2) ** 2 + overlap**2 / 12
    # Below the floor lies only the very tip; the floor keeps the root's gradient bounded.
    root = jnp.sqrt(jnp.maximum(1 - mean_square * (1 / half_length**2), 1e-3))
    reach = half_width * root
    across = jnp.minimum(v + reach, 0.5) - jnp.maximum(v - reach, -0.5)
    return overlap * jnp.maximum(across, 0)


def _rasterize_one(keypoints: jax.Array, height: int, width: int, style: PoseStyle) -> jax.Array:
    program = _program(style)
    px = (jnp.arange(width, dtype=jnp.float32) + 0.5)[None, :]
    py = (jnp.arange(height, dtype=jnp.float32) + 0.5)[:, None]

    def one(picture, ellipse):
        *shape, opacity, colour = ellipse
        cover = opacity * _coverage(px, py, *shape)
        # Three separate channels: a trailing axis of 3 vectorises badly.
        return tuple(c + cover * (colour[i] - c) for i, c in enumerate(picture)), None

    @jax.checkpoint
    def group(picture, ellipses):
        return jax.lax.scan(one, picture, ellipses, unroll=4)

    ellipses = (*_ellipses(keypoints, height, style), jnp.asarray(program["colour"]))
    ellipses = jax.tree.map(lambda x: x.reshape(-1, _GROUP, *x.shape[1:]), ellipses)
    white = (jnp.ones((height, width), jnp.float32),) * 3
    picture, _ = jax.lax.scan(group, white, ellipses)
    return jnp.stack(picture, -1)


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _rasterize(keypoints: jax.Array, height: int, width: int, style: PoseStyle) -> jax.Array:
    keypoints = keypoints.astype(jnp.float32)
    flat = keypoints.reshape(-1, *keypoints.shape[-2:])
    one = functools.partial(_rasterize_one, height=height, width=width, style=style)
    return jax.vmap(one)(flat).reshape(*keypoints.shape[:-2], height, width, 3)


def rasterize(
    keypoints: jax.Array, height: int, width: int, style: PoseStyle | None = None
) -> jax.Array:
    """Pose pictures of any number of poses.

    Args:
      keypoints: [..., 137, 3] in pixels of a height x width frame.
      height, width: of the pictures.
      style: see `PoseStyle`.

    Returns:
      float32 [..., height, width, 3], RGB in 0...1, white ground. Differentiable by x and y with
      finite gradients, zero for keypoints that are not drawn; confidence only switches on and off.
    """
    return _rasterize(jnp.asarray(keypoints), height, width, style or PoseStyle())
