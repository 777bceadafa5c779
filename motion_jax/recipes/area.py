"""The area around the person: a part of the frame of one size, at another place in every moment.

Its size is found once, from the training poses, so that every program has one size of picture. Its
place follows from the joints that are seen: their middle is that of the area, as near as the frame
allows and the steps in which it moves, which are whole pixels in every stage.
"""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int32, Shaped

from motion_jax.devices import layout
from motion_jax.errors import UserError, setting
from motion_jax.pose.draw import HAND_CONFIDENCE
from motion_jax.pose.skeleton import BODY, COUNT, FACE, LEFT_HAND, RIGHT_HAND
from motion_jax.recipes.crops import crop, paste

# What reaches beyond the joints on each side (the crown, fingers, hems), as a share of the
# person's height: the crown is so far above the ears.
MARGIN = 0.08
# The joints that count must be surer than this. Those of the face do not: the head is in the body.
_LEAST = np.zeros(COUNT, np.float32)
_LEAST[FACE] = np.inf
_LEAST[RIGHT_HAND] = _LEAST[LEFT_HAND] = HAND_CONFIDENCE

# Arrays of a batch or of a moment, by name, that are pictures as large as the frame, and those that
# are points in it, x before y, and boxes.
_PICTURES, _POINTS, _BOXES = ("frames", "plates"), ("keypoints", "poses"), ("face_boxes",)


def size_found(
    keypoints: Float[np.ndarray, "n 137 3"],
    runs: Sequence[tuple[int, int]],
    length: int,
    frame: tuple[int, int],
    *,
    step: int,
    multiple: int,
    least: int,
) -> tuple[int, int]:
    """(height, width) of an area that holds the person at any time; at most the frame's.

    Args:
      keypoints: in pixels of the frame.
      runs: (first, number) of the consecutive poses to go by.
      length: of how many consecutive poses an area must hold all.
      frame: (height, width), multiples of `multiple`.
      step: pixels in which the area moves.
      multiple: of which both sides must be multiples; least: what they must be at least.
    """
    seen = keypoints[..., 2] > _LEAST
    limit = np.array(frame[::-1], np.float32)
    points = np.clip(keypoints[..., :2], 0, limit)
    low = np.where(seen[..., None], points, limit).min(1)
    high = np.where(seen[..., None], points, 0).max(1)
    rows = np.concatenate([np.arange(first, first + count) for first, count in runs])
    body = seen[rows, BODY]
    tall = np.where(body, points[rows, BODY, 1], 0).max(1)
    tall = tall - np.where(body, points[rows, BODY, 1], limit[1]).min(1)
    tall = tall[body.sum(1) > 1]
    if not len(tall):
        return frame
    largest = np.zeros(2, np.float32)
    for first, count in runs:
        for start in range(first, first + max(count - length, 0) + 1):
            part = slice(start, min(start + length, first + count))
            largest = np.maximum(largest, high[part].max(0) - low[part].min(0))
    wanted = largest + 2 * MARGIN * np.median(tall) + step
    sides = [max(-(-int(np.ceil(side)) // multiple) * multiple, least) for side in wanted[::-1]]
    return min(sides[0], frame[0]), min(sides[1], frame[1])


def corners(
    keypoints: Float[Array, "*n t 137 3"], size: tuple[int, int], frame: tuple[int, int], step: int
) -> Int32[Array, "*n 2"]:
    """(top, left) of the area of T moments: around the middle of all joints that are seen in them
    within the frame; in the middle of the frame where none is.

    Args:
      keypoints: in pixels of the frame.
      size, frame: (height, width) of the area and of the frame.
      step: both corners are multiples of so many pixels, as is the frame's size less the area's.
    """
    limit = jnp.array(frame[::-1], jnp.float32)
    seen = (keypoints[..., 2] > _LEAST)[..., None]
    points = jnp.clip(keypoints[..., :2], 0, limit)
    low = jnp.where(seen, points, limit).min((-3, -2))
    high = jnp.where(seen, points, 0).max((-3, -2))
    begin = ((low + high) / 2)[..., ::-1] - jnp.array(size) / 2
    nearest = (jnp.round(begin / step) * step).astype(jnp.int32)
    return jnp.clip(nearest, 0, jnp.array(frame) - jnp.array(size))


def within(
    arrays: Mapping[str, Array], place: Int32[Array, "*n 2"], size: tuple[int, int]
) -> dict[str, Array]:
    """The arrays of a batch, or what is seen of a moment, as if the area were the whole frame.

    Args:
      arrays: by name, each with the axes of `place` before its own; pictures, points and boxes are
        cut and moved, others stay. Ready pose pictures are not among them.
      place: as `corners` gives it.
      size: (height, width).
    """
    found = dict(arrays)
    for name in _PICTURES:
        if name in found:
            found[name] = crop(found[name], place, size)
    shift = place.astype(jnp.float32)
    for name in _POINTS:
        if name in found:
            moved = found[name][..., :2] - shift[..., None, ::-1]
            found[name] = jnp.concatenate([moved, found[name][..., 2:]], axis=-1)
    for name in _BOXES:
        if name in found:
            # An empty box stays empty.
            found[name] = found[name] - jnp.concatenate([shift, shift], axis=-1)
    return found


def laid_back(
    part: Shaped[Array, "h w c"],
    place: Int32[Array, "2"],
    frame: tuple[int, int],
    ground: Shaped[Array, "H W c"] | None,
) -> Shaped[Array, "H W c"]:
    """The frame of which `part` is the area. ground: what is around it; None: nothing, pictures of
    four channels with an alpha of 0, which is -1 in the last."""
    if ground is None:
        ground = jnp.zeros((*frame, 4), part.dtype).at[..., 3].set(-1.0)
    return paste(ground, part, place)


def beyond(
    keypoints: Float[np.ndarray, "n 137 3"],
    size: tuple[int, int],
    frame: tuple[int, int],
    step: int,
) -> Bool[np.ndarray, " n"]:
    """Of which poses a joint that the frame shows is outside of the area of that moment."""
    place = np.asarray(corners(jnp.asarray(keypoints)[:, None], size, frame, step))
    points = keypoints[..., 1::-1]
    shown = (keypoints[..., 2] > _LEAST) & ((points >= 0) & (points <= frame)).all(-1)
    low = place[:, None]
    outside = (points < low) | (points > low + np.array(size))
    return (shown & outside.any(-1)).any(-1)


def check_rows() -> None:
    """Raises UserError where devices share the rows of pictures: an area lies on some of them."""
    if layout.row_shares() > 1:
        raise UserError(
            f"{setting('recipe.area')} = 'person' takes areas at other places out of every frame, "
            "whose rows cannot be shared among devices; set "
            f"{setting('devices.space')} = 1, or {setting('recipe.area')} = 'frame'."
        )
