"""The face's contours as a picture: lines along chin, brows, nose, eyes and lips.

The groups of the 68 iBUG points are those of dlib's users, see `LINES`.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int

from motion_jax.devices import layout
from motion_jax.pose.draw import CANVAS_HEIGHT, FACE_MEAN_CONFIDENCE
from motion_jax.pose.skeleton import FACE

# (first point, last point, whether the line comes back to the first).
LINES = (
    (0, 16, False),  # chin
    (17, 21, False),  # right brow
    (22, 26, False),  # left brow
    (27, 30, False),  # bridge of the nose
    (31, 35, False),  # tip of the nose
    (36, 41, True),  # right eye
    (42, 47, True),  # left eye
    (48, 59, True),  # outer lips
    (60, 67, True),  # inner lips
)
# Half the width of a line in pixels of a canvas 1080 high, as the skeleton's limbs have it.
HALF_WIDTH = 2.0


def segments() -> Int[np.ndarray, "segments 2"]:
    """Pairs of face points that are joined."""
    pairs = []
    for first, last, closed in LINES:
        pairs += [(i, i + 1) for i in range(first, last)]
        pairs += [(last, first)] if closed else []
    return np.array(pairs)


def draw_contours(
    keypoints: Float[Array | np.ndarray, "*n 137 3"], height: int, width: int, stroke: float = 1.0
) -> Float32[Array, "*n {height} {width} 1"]:
    """Face contours of any number of poses, white on black.

    Args:
      keypoints: in pixels of a height x width frame.
      height, width: of the pictures.
      stroke: width of the lines, as PoseStyle's.

    Returns:
      In 0...1: the share of a pixel that lines cover, one pixel's ramp at their edges. Black where
      the face's mean confidence is below FACE_MEAN_CONFIDENCE; a line to a point that was not
      observed is left out.
    """

    def part(keypoints: jax.Array) -> jax.Array:
        number, count = layout.place()
        rows = height // count
        flat = keypoints.reshape(-1, *keypoints.shape[-2:])
        pictures = jax.lax.map(
            lambda one: _draw(one, number * rows, rows, height, width, stroke), flat
        )
        return pictures.reshape(*keypoints.shape[:-2], rows, width, 1)

    keypoints = jnp.asarray(keypoints, jnp.float32)
    output = layout.rows(keypoints.ndim + 1)
    return layout.shared(part, (layout.BATCH,), output)(keypoints)


def _draw(
    keypoints: jax.Array,
    first: jax.Array | int,
    rows: int,
    height: int,
    width: int,
    stroke: float,
) -> jax.Array:
    """The `rows` rows from number `first` on, [rows, width]."""
    face, pairs = keypoints[FACE], segments()
    a, b = face[pairs[:, 0]], face[pairs[:, 1]]
    seen = (a[:, 2] > 0) & (b[:, 2] > 0) & (face[:, 2].mean() >= FACE_MEAN_CONFIDENCE)
    half = max(HALF_WIDTH * stroke * height / CANVAS_HEIGHT, 0.5)
    x = (jnp.arange(width) + 0.5)[None, :]
    y = (jnp.arange(rows) + first + 0.5)[:, None]

    def lay(picture: jax.Array, segment: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        start, end, drawn = segment
        along = end - start
        square = jnp.maximum(jnp.sum(along**2), 1e-6)
        share = ((x - start[0]) * along[0] + (y - start[1]) * along[1]) / square
        share = jnp.clip(share, 0, 1)
        away = jnp.hypot(x - start[0] - share * along[0], y - start[1] - share * along[1])
        cover = jnp.clip(half + 0.5 - away, 0, 1)
        return jnp.maximum(picture, jnp.where(drawn, cover, 0)), None

    picture = jnp.zeros((rows, width), jnp.float32)
    ends = jnp.where(seen[:, None], a[:, :2], 0), jnp.where(seen[:, None], b[:, :2], 0)
    return jax.lax.scan(lay, picture, (*ends, seen))[0]
