"""A person who does not tremble in the result.

"face" is the published way (Chao, Li, Swamy: Generative Models for Pose Transfer): each finished
picture is shifted so that the face stays where the first picture has it, and the gap is filled by
repeating the edge. It moves the room with the person and cuts off a person who walks away.

"pose" shifts the poses before anything is drawn: the path of the trunk is smoothed, and where limbs
would leave the picture the person is moved back into it. The room stands still and nothing is cut.
"""

import functools
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Shaped
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from scipy.signal import savgol_filter

from motion_jax.errors import UserError, option
from motion_jax.pose import long_arrays
from motion_jax.pose.face import face_centre
from motion_jax.pose.skeleton import BODY, INDEX
from motion_jax.transfer.options import TransferOptions
from motion_jax.transfer.player import Shot

# Seconds of the window in which the trunk's path is a parabola, as that of a jump is.
WINDOW = 0.36
# Seconds over which a person is moved back into the picture, before and after.
RETURN = 0.5
# Room around the joints that are to stay in the picture, as a share of its height: hands and hair
# reach further than joints.
MARGIN = 0.03
_TRUNK = [
    INDEX[name]
    for name in ("neck", "mid_hip", "right_shoulder", "left_shoulder", "right_hip", "left_hip")
]


def which_way(options: TransferOptions, single_frames: bool, has_poses: bool) -> str:
    """ "none", "face" or "pose", for a transfer.

    single_frames: whether each frame is made without the one before; has_poses: whether the poses
    are known as keypoints. Raises UserError where poses are needed and not known.
    """
    if options.stabilise in ("face", "pose") and not has_poses:
        raise UserError(
            f"{option('stabilise')} {options.stabilise} needs to know where the person is, which "
            "drawn poses and frames that are translated do not show; leave it out."
        )
    if options.stabilise != "auto":
        return options.stabilise
    return "pose" if has_poses and options.smooth and single_frames else "none"


def face_aligned(shots: Iterable[Shot]) -> Iterator[Shot]:
    """Each picture shifted by whole pixels so that the face is where it is in the first one with a
    face; one without a face is shifted as the one before it."""
    anchor, shift = None, np.zeros(2, int)
    for moment, picture in shots:
        centre = face_centre(moment.keypoints)
        if centre[2] > 0:
            anchor = centre[:2] if anchor is None else anchor
            shift = np.rint(anchor - centre[:2]).astype(int)
        yield moment, shifted(picture, int(shift[1]), int(shift[0]))


def shifted(
    picture: Shaped[np.ndarray, "h w ..."], down: int, right: int
) -> Shaped[np.ndarray, "h w ..."]:
    """The picture moved by whole pixels; its first and last rows and columns fill the gap."""
    height, width = picture.shape[:2]
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return picture[rows[:, None], columns[None, :]]


def steadied(
    keypoints: Float[np.ndarray, "n 137 3"],
    times: Float[np.ndarray, " n"],
    lost: Bool[np.ndarray, " n"],
    height: int,
    width: int,
) -> Float32[np.ndarray, "n 137 3"]:
    """Poses in pixels of height x width, each shifted as a whole: see above.

    times: seconds; lost: frames without a pose, which stay as they are. The stretches between them
    are steadied one by one.
    """
    result = long_arrays.copied(keypoints)
    lost = np.asarray(lost, bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[True], lost, [True]]).astype(np.int8)))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        part = result[start:stop]
        step = float(np.median(np.diff(times[start:stop]))) if stop - start > 1 else 1.0
        for shift_of in (_smoothing, functools.partial(_returning, height=height, width=width)):
            shift = shift_of(part, step)
            for window in long_arrays.windows(part):
                part[window, :, :2] += shift[window, None]
        for window in long_arrays.windows(part):
            part[window][part[window, :, 2] <= 0] = 0
    return result


def jitter(keypoints: Float[np.ndarray, "n 137 3"]) -> float:
    """Root mean square of the trunk's second differences, pixels a frame squared; NaN for fewer
    than three frames with a trunk in a row."""
    path, known = trunk(keypoints)
    every = known[:-2] & known[1:-1] & known[2:]
    bend = np.diff(path, 2, axis=0)[every]
    return float(np.sqrt((bend**2).sum(-1).mean())) if len(bend) else float("nan")


def trunk(
    keypoints: Float[np.ndarray, "n 137 3"],
) -> tuple[Float64[np.ndarray, "n 2"], Bool[np.ndarray, " n"]]:
    """The middle of shoulders, neck and hips, and whether all of them are seen: a mean over some of
    them would jump."""

    def path(keypoints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points = np.asarray(keypoints[:, _TRUNK], np.float64)
        return points[..., :2].mean(1), np.asarray((points[..., 2] > 0).all(1))

    middle, known = long_arrays.gathered(path, np.asarray(keypoints))
    return middle, known


def _smoothing(keypoints: np.ndarray, step: float) -> np.ndarray:
    """[n, 2]: what brings the trunk onto its smoothed path; 0 where it is not seen."""
    path, known = trunk(keypoints)
    shift = np.zeros_like(path)
    window = max(5, 2 * round(WINDOW / step / 2) + 1)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], known.astype(np.int8), [0]])))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if stop - start >= window:
            part = path[start:stop]
            shift[start:stop] = savgol_filter(part, window, 2, axis=0, mode="interp") - part
    return shift


def _returning(keypoints: np.ndarray, step: float, height: int, width: int) -> np.ndarray:
    """[n, 2]: what brings the body's joints into the picture, slowly; where they do not fit, they
    are centred."""

    def extents(keypoints: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        body = np.asarray(keypoints[:, BODY], np.float64)
        seen = (body[..., 2] > 0)[..., None]
        any_seen = np.asarray(seen.any((1, 2)))[:, None]
        low = np.where(any_seen, np.where(seen, body[..., :2], np.inf).min(1), 0)
        return any_seen, low, np.where(any_seen, np.where(seen, body[..., :2], -np.inf).max(1), 0)

    any_seen, low, high = long_arrays.gathered(extents, keypoints)
    size, margin = np.array([width, height]), MARGIN * height
    before = np.where(any_seen, np.maximum(margin - low, 0), 0)
    beyond = np.where(any_seen, np.maximum(high + margin - size, 0), 0)
    reach = 2 * max(1, round(RETURN / step)) + 1
    # The mean of the largest needs around is never less than what is needed.
    grown = [
        uniform_filter1d(
            maximum_filter1d(need, reach, axis=0, mode="nearest"), reach, axis=0, mode="nearest"
        )
        for need in (before, beyond)
    ]
    both = (before > 0) & (beyond > 0)
    return np.where(both, (before - beyond) / 2, grown[0] - grown[1])
