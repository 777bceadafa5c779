"""Which part of a photo or a film a model is shown: the face, the person, or the middle."""

import tempfile
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from motion_jax.data.crop import Region, choose_region
from motion_jax.errors import UserError, option
from motion_jax.pose.bundles import find_bundle
from motion_jax.pose.estimate import estimate_cached, estimate_video
from motion_jax.pose.skeleton import FACE
from motion_jax.pose.track import PoseTrack

Kind = Literal["face", "person", "none"]
# The face's points reach from the brows to the chin; a model of faces sees the whole head and a
# little of the shoulders: this many times as much.
HEAD = 2.2
# "auto" takes the face from this share of a photo's height on.
FACE_SHARE = 1 / 6
# Cuts narrower than this have too little to show.
LEAST_PIXELS = 16


def middle(height: int, width: int, size: tuple[int, int]) -> Region:
    """The largest part in the middle of a picture that has the proportions of size (height,
    width)."""
    rows = min(height, int(width * size[0] / size[1]))
    columns = min(width, int(height * size[1] / size[0]))
    rows, columns = max(rows, 1), max(columns, 1)
    return Region((width - columns) // 2, (height - rows) // 2, columns, rows)


def face_extents(track: PoseTrack) -> Float[np.ndarray, "n 4"]:
    """(left, top, right, bottom) of the points of the face, of each frame that shows some; none:
    []."""
    points = track.keypoints[track.found][:, FACE]
    seen = points[..., 2] > 0
    points, seen = points[seen.any(axis=1)], seen[seen.any(axis=1)][..., None]
    low = np.where(seen, points[..., :2], np.inf).min(axis=1, initial=np.inf)
    high = np.where(seen, points[..., :2], -np.inf).max(axis=1, initial=-np.inf)
    return np.concatenate([low, high], axis=1)


def around_face(extents: Float[np.ndarray, "n 4"], size: tuple[int, int]) -> Region:
    """One cut around the faces of all frames, of the proportions of size (height, width).

    Like the tubes that the published datasets were cut with: around the union of all boxes, so that
    the cut does not move with the face (the model is to see it move). It may reach beyond the
    picture.
    """
    left, top = np.quantile(extents[:, :2], 0.01, axis=0)
    right, bottom = np.quantile(extents[:, 2:], 0.99, axis=0)
    face = np.median(np.maximum(extents[:, 2] - extents[:, 0], extents[:, 3] - extents[:, 1]))
    rows = (bottom - top) + (HEAD - 1) * face
    columns = (right - left) + (HEAD - 1) * face
    rows = max(rows, columns * size[0] / size[1])
    columns = rows * size[1] / size[0]
    # There is more head above the brows than neck below the chin.
    x, y = (left + right) / 2, (top + bottom) / 2 - 0.1 * face
    return Region(
        round(x - columns / 2), round(y - rows / 2), max(round(columns), 1), max(round(rows), 1)
    )


class Cut(NamedTuple):
    """Which part of a photo or film is shown, and what it is around.

    Attributes:
      track: the poses that were found for it; None with kind "none", which looks for nobody.
    """

    region: Region
    kind: Kind
    track: PoseTrack | None


def framing(
    path: Path,
    kind: Literal["auto", "face", "person", "none"],
    picture: tuple[int, int],
    size: tuple[int, int],
    *,
    still: UInt8[np.ndarray, "h w 3"] | None = None,
    model: Path | None = None,
    span: tuple[float | None, float | None, float | None] = (None, None, None),
) -> Cut:
    """The cut of a photo or film.

    Args:
      picture: (height, width) of its pictures; size: (height, width) of what the model sees.
      still: the photo; None for a film, which is read.
      model: of MediaPipe; span: start, end and frame rate of a film.
    Raises:
      UserError: no face, or no person, is found, or one too small to see.
    """
    if kind == "none":
        return Cut(_large_enough(path, middle(*picture, size)), "none", None)
    if still is None:
        start, end, fps = span
        track = estimate_cached(path, model=model, start=start, end=end, fps=fps)
    else:
        track = _track_of_photo(path, still, model)
    faces = face_extents(track)
    if kind == "auto":
        shown = len(faces) and np.median(faces[:, 3] - faces[:, 1]) >= FACE_SHARE * picture[0]
        kind = "face" if shown else "person"
    if kind == "face":
        if not len(faces):
            raise UserError(
                f"No face was found in {path}; choose another, {option('crop')} person, or "
                f"{option('crop')} none to cut nothing."
            )
        return Cut(_large_enough(path, around_face(faces, size)), "face", track)
    return Cut(_large_enough(path, choose_region(track, *size)), "person", track)


def _track_of_photo(path: Path, photo: UInt8[np.ndarray, "h w 3"], model: Path | None) -> PoseTrack:
    """The pose in a photo, as a film of one frame. Raises UserError where nobody is found."""
    find_bundle("holistic", model)  # says what is wrong with the models by itself
    with tempfile.TemporaryDirectory() as folder:
        Image.fromarray(photo).save(Path(folder) / "0.png")
        try:
            return estimate_video(Path(folder), model=model, fps=1.0, workers=1)
        except UserError as error:
            raise UserError(
                f"Neither a face nor a person was found in {path}; choose another photo, or "
                f"{option('crop')} none to cut the middle out of photo and film."
            ) from error


def _large_enough(path: Path, region: Region) -> Region:
    if min(region.width, region.height) < LEAST_PIXELS:
        raise UserError(
            f"What would be cut out of {path} is {region.width}x{region.height} pixels, too little "
            f"to see anything in (at least {LEAST_PIXELS} are needed); use a larger picture."
        )
    return region


def pasted(
    photo: UInt8[np.ndarray, "h w 3"], region: Region, part: UInt8[np.ndarray, "_ _ 3"]
) -> UInt8[np.ndarray, "h w 3"]:
    """The photo with a part in the place of a region, fading over a tenth of it at its edges (not
    where the region ends at the photo's own edge)."""
    height, width = photo.shape[:2]
    top, left = max(region.top, 0), max(region.left, 0)
    bottom = min(region.top + region.height, height)
    right = min(region.left + region.width, width)
    size = (region.width, region.height)
    grown = cv2.resize(part, size, interpolation=cv2.INTER_CUBIC)
    inside = grown[top - region.top : bottom - region.top, left - region.left : right - region.left]
    rows = _fading(bottom - top, region.height, top > 0, bottom < height)
    columns = _fading(right - left, region.width, left > 0, right < width)
    mask = np.minimum(rows[:, None], columns)[..., None]
    result = photo.copy()
    behind = photo[top:bottom, left:right].astype(np.float32)
    mixed = behind + mask * (inside.astype(np.float32) - behind)
    result[top:bottom, left:right] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return result


def _fading(count: int, length: int, at_start: bool, at_end: bool) -> Float[np.ndarray, " count"]:
    """1, falling smoothly to 0 towards those of the ends that are asked for."""
    reach = max(length / 10, 1)
    near = (np.arange(count) + 0.5) / reach
    values = np.ones(count)
    for wanted, distance in ((at_start, near), (at_end, near[::-1])):
        if wanted:
            x = np.clip(distance, 0, 1)
            values = np.minimum(values, x * x * (3 - 2 * x))
    return values.astype(np.float32)
