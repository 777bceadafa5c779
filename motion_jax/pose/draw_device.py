"""Pose pictures on the device: the drawing of `draw.draw_host` in pure JAX, batched and
differentiable by the keypoints' positions.

Everything drawn is an ellipse (a disc is one with equal axes) with a colour and an opacity; a scan
lays them over the picture one after the other. How much of a pixel an ellipse covers is computed
analytically, so edges are smooth, gradients exist, and nothing is drawn larger first. Each ellipse
is laid over a patch around it: small for joints, a half or a quarter of the picture for limbs and
for hands, and the whole picture where a limb or a hand is larger than that.

Where the pictures of a batch are shared among devices (layout.py), each draws its own rows of its
own pictures, from the same keypoints: there is nothing to exchange.
"""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from motion_jax.devices import layout
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

# The backward pass keeps one picture per so many ellipses and draws the others again.
_GROUP = 12

# Share of the picture's height and width that a patch for a limb, and one for a hand's bone, has.
_LIMB_PATCH = 1 / 2
_BONE_PATCH = 1 / 4

# Pictures of so many pixels are not worth the patches: one program the fewer to compile.
_TINY = 32 * 32

# (x, y, direction [2], half length, half width, opacity, colour [3]), each with a leading axis.
Ellipses = tuple[jax.Array, ...]


@functools.lru_cache(maxsize=16)
def _program(style: PoseStyle) -> tuple[dict[str, np.ndarray], tuple[slice, slice, slice]]:
    """What is drawn, in order, and which part of it are the body's joints, the limbs, and the face
    with the hands. Each part is a whole number of groups.

    What is drawn: per ellipse the two keypoints that span it (the same one twice: a
    disc), its half width on a canvas 1080 high, colour (RGB, 0...1), opacity, and the confidence
    that both keypoints must exceed; `face` marks those that need a face."""
    layout = LAYOUTS[style.body]
    rows, ends = [], []

    def add(first, second, half_width, colour, opacity, least, face=False):
        # Canvas order reversed is RGB; colours are whole grey levels in OpenCV.
        rgb = np.rint(np.array(colour[::-1])) / 255
        rows.append((first, second, half_width, *rgb, opacity, least, face))

    def end_part():
        # Filled up with ellipses of no opacity.
        rows.extend([(0, 0, 1, 0, 0, 0, 0, 2, False)] * (-len(rows) % _GROUP))
        ends.append(len(rows))

    for joint, colour in zip(layout.body25, layout.colours, strict=True):
        add(joint, joint, JOINT_RADIUS, colour, 1, 0)
    end_part()
    for first, second in layout.limbs:
        pair = layout.body25[first], layout.body25[second]
        add(*pair, LIMB_HALF_WIDTH, layout.colours[first], BLEND, 0)
    end_part()
    for point in FACE_POINTS[style.face_points]:
        add(FACE.start + point, FACE.start + point, FACE_RADIUS, (0, 0, 0), 1, 0, True)
    if style.hands:
        for hand in (RIGHT_HAND.start, LEFT_HAND.start):
            for joint, colour in enumerate(HAND_COLOURS):
                add(hand + joint, hand + joint, HAND_RADIUS, colour, 1, HAND_CONFIDENCE)
            for first, second, index in HAND_BONES:
                pair = hand + first, hand + second
                add(*pair, BONE_HALF_WIDTH, HAND_COLOURS[index], BLEND, HAND_CONFIDENCE)
    end_part()
    table = np.array(rows, np.float32)
    columns = {
        "first": table[:, 0].astype(np.int32),
        "second": table[:, 1].astype(np.int32),
        "half_width": table[:, 2],
        "colour": table[:, 3:6],
        "opacity": table[:, 6],
        "least": table[:, 7],
        "face": table[:, 8] > 0,
    }
    return columns, (slice(0, ends[0]), slice(ends[0], ends[1]), slice(ends[1], ends[2]))


def _ellipses(keypoints: jax.Array, height: int, style: PoseStyle) -> Ellipses:
    """[137, 3] keypoints -> what to lay over the picture, in pixels; opacity is 0 where nothing is
    to be drawn."""
    program, _ = _program(style)
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
    half_width = jnp.asarray(program["half_width"] * (style.stroke * height / CANVAS_HEIGHT) + rim)
    centre, along = (a + b) / 2, (a - b) / 2
    disc = program["first"] == program["second"]
    # The norm's gradient is not finite at 0: a limb of no length gets a direction instead.
    square = jnp.sum(along**2, -1)
    pointlike = disc | (square < 1e-6)
    length = jnp.sqrt(jnp.where(pointlike, 1.0, square))
    direction = jnp.where(pointlike[:, None], jnp.array([1.0, 0.0]), along / length[:, None])
    half_length = jnp.where(disc, half_width, jnp.where(pointlike, 0.0, length) + rim)
    opacity = jnp.where(drawn, program["opacity"], 0.0)
    colour = jnp.asarray(program["colour"])
    return centre[:, 0], centre[:, 1], direction, half_length, half_width, opacity, colour


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


def _fits(ellipses: Ellipses, patch: tuple[int, int], size: tuple[int, int]) -> jax.Array:
    """Whether all drawn ellipses [...] lie within a patch (height, width) that is centred on them,
    to the pixel, in a picture of `size`."""
    _, _, direction, half_length, half_width, opacity, _ = ellipses
    along, across = half_length + 0.5, half_width + 0.5
    cosine, sine = jnp.abs(direction[..., 0]), jnp.abs(direction[..., 1])
    fits = along * cosine + across * sine <= patch[1] / 2 - 1
    # A patch of all the rows that there are need not be centred.
    fits &= (patch[0] == size[0]) | (along * sine + across * cosine <= patch[0] / 2 - 1)
    return jnp.all(fits | (opacity == 0))


def _lay(
    picture: jax.Array,
    ellipses: Ellipses,
    first: jax.Array | int,
    patch: tuple[int, int],
    alone: bool = False,
) -> jax.Array:
    """Lays the ellipses [P] over the picture [3, H, W], each within a patch around it.

    first: the number of the picture's uppermost row where it is a part of a picture. alone: the
    picture is not one of several that are drawn in step, so that it pays to leave out a group of
    which nothing is seen, such as a hand of a pose that has none.
    """
    (height, width), (rows, columns) = picture.shape[1:], patch

    def one(picture, ellipse):
        x, y, *shape, opacity, colour = ellipse
        top: jax.Array | int
        left: jax.Array | int
        if (rows, columns) == (height, width):
            top, left, part = 0, 0, picture
        else:
            top = jnp.clip(jnp.floor(y).astype(jnp.int32) - first - rows // 2, 0, height - rows)
            left = jnp.clip(jnp.floor(x).astype(jnp.int32) - columns // 2, 0, width - columns)
            part = jax.lax.dynamic_slice(picture, (0, top, left), (3, rows, columns))
        px = (jnp.arange(columns) + left + 0.5)[None, :]
        py = (jnp.arange(rows) + (top + first) + 0.5)[:, None]
        cover = opacity * _coverage(px, py, x, y, *shape)
        part = part + cover * (colour[:, None, None] - part)
        if part.shape == picture.shape:
            return part, None
        return jax.lax.dynamic_update_slice(picture, part, (0, top, left)), None

    @jax.checkpoint
    def group(picture, ellipses):
        return jax.lax.scan(one, picture, ellipses)

    def seen(picture, ellipses):
        *_, opacity, _ = ellipses
        return jax.lax.cond(
            jnp.any(opacity > 0), group, lambda picture, _: (picture, None), picture, ellipses
        )

    grouped = jax.tree.map(lambda x: x.reshape(-1, _GROUP, *x.shape[1:]), ellipses)
    return jax.lax.scan(seen if alone else group, picture, grouped)[0]


def _draw(
    parts: Sequence[Ellipses],
    small: Sequence[jax.Array],
    first: jax.Array | int,
    patches: Sequence[tuple[int, int]],
    size: tuple[int, int],
    alone: bool = False,
) -> jax.Array:
    """One picture [H, W, 3] from its three parts; `small` says of the latter two whether they fit
    into their patches. alone: see `_lay`."""
    lay = functools.partial(_lay, alone=alone)
    picture = lay(jnp.ones((3, *size), jnp.float32), parts[0], first, patches[0])
    for part, patch, fits in zip(parts[1:], patches[1:], small, strict=True):
        if patch == size:
            picture = lay(picture, part, first, size)
            continue
        picture = jax.lax.cond(
            fits,
            functools.partial(lay, patch=patch),
            functools.partial(lay, patch=size),
            picture,
            part,
            first,
        )
    return jnp.moveaxis(picture, 0, -1)


def _small(
    parts: Sequence[Ellipses], patches: Sequence[tuple[int, int]], size: tuple[int, int]
) -> list[jax.Array]:
    return [_fits(part, patch, size) for part, patch in zip(parts[1:], patches[1:], strict=True)]


def _one_by_one(
    parts: Sequence[Ellipses],
    first: jax.Array | int,
    patches: Sequence[tuple[int, int]],
    size: tuple[int, int],
) -> jax.Array:
    """For a CPU: one picture at a time in its cache, each with patches as it needs them."""
    return jax.lax.map(
        lambda one: _draw(one, _small(one, patches, size), first, patches, size, alone=True), parts
    )


def _at_once(
    parts: Sequence[Ellipses],
    first: jax.Array | int,
    patches: Sequence[tuple[int, int]],
    size: tuple[int, int],
) -> jax.Array:
    """For an accelerator: the whole batch in step, with patches that suit all of it."""
    small = _small(parts, patches, size)
    return jax.vmap(lambda one: _draw(one, small, first, patches, size))(parts)


@functools.partial(jax.jit, static_argnums=(2, 3, 4, 5))
def _rasterize(
    keypoints: jax.Array,
    first: jax.Array | int,
    rows: int,
    height: int,
    width: int,
    style: PoseStyle,
) -> jax.Array:
    """The `rows` rows from the one with number `first` on."""
    size = rows, width
    flat = keypoints.astype(jnp.float32).reshape(-1, *keypoints.shape[-2:])
    ellipses = jax.vmap(lambda one: _ellipses(one, height, style))(flat)
    parts = [jax.tree.map(lambda x, s=s: x[:, s], ellipses) for s in _program(style)[1]]
    radius = JOINT_RADIUS * style.stroke * height / CANVAS_HEIGHT + 0.5 / supersampling(height)
    joint = 2 * math.ceil(radius + 1.5)
    patches = [(min(joint, rows), min(joint, width))] + [
        (min(math.ceil(height * share), rows), math.ceil(width * share))
        for share in (_LIMB_PATCH, _BONE_PATCH)
    ]
    if rows * width <= _TINY:
        patches = [size] * 3

    draw = {
        "cpu": functools.partial(_one_by_one, patches=patches, size=size),
        "default": functools.partial(_at_once, patches=patches, size=size),
    }
    pictures = jax.lax.platform_dependent(parts, first, **draw)
    return pictures.reshape(*keypoints.shape[:-2], rows, width, 3)


def rasterize(
    keypoints: Float[Array | np.ndarray, "*n 137 3"],
    height: int,
    width: int,
    style: PoseStyle | None = None,
    rows: int | None = None,
) -> Float32[Array, "*n rows {width} 3"]:
    """Pose pictures of any number of poses.

    Args:
      keypoints: in pixels of a height x width frame.
      height, width: of the pictures.
      style: see `PoseStyle`.
      rows: how many rows are drawn, from the uppermost on; None: all, `height`.

    Returns:
      RGB in 0...1, white ground. Differentiable by x and y with finite gradients, zero for
      keypoints that are not drawn; confidence only switches on and off.
    """

    def part(keypoints: jax.Array) -> jax.Array:
        number, count = layout.place()
        each = (rows or height) // count
        return _rasterize(keypoints, number * each, each, height, width, style or PoseStyle())

    keypoints = jnp.asarray(keypoints)
    output = layout.rows(keypoints.ndim + 1)
    return layout.shared(part, (layout.BATCH,), output)(keypoints)
