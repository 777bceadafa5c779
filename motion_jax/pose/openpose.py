"""One OpenPose JSON file: of OpenPose itself, and of tools with similar files.

DWPose, ControlNet's annotators and the pose editors of sd-webui write null where a part was not
found, the size of the canvas besides the points, points as shares of that canvas, a list around the
whole, numbers as text, and faces of 68 points. All of that is read.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from motion_jax.errors import UserError

PARTS = ("pose", "face", "hand_left", "hand_right")
# Real files have some thousand bytes a person.
_LARGEST = 64 * 2**20
# No picture has that many pixels a side.
_FARTHEST = 1e6


@dataclass(frozen=True)
class PeopleFile:
    """What a file holds.

    Attributes:
      people: for each person the parts that are given, float32 [n, 3], or None.
      canvas: (height, width) of the picture in whose pixels the points are, where the file says it.
    """

    people: list[dict[str, np.ndarray | None]]
    canvas: tuple[int, int] | None


def read(file: Path) -> PeopleFile:
    """Raises UserError for what cannot be read or is not OpenPose's."""
    try:
        if file.stat().st_size > _LARGEST:
            raise UserError(
                f"The pose file {file} has {file.stat().st_size / 2**20:.0f} MB, far more than the "
                "poses of a frame need; write a file for each frame."
            )
        value = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        nested = isinstance(error, RecursionError)
        problem = "it is nested too deeply" if nested else error
        raise UserError(
            f"The pose file {file} is no readable JSON ({problem}); write it again with OpenPose."
        ) from error
    return parsed(value, f"the pose file {file}")


def parsed(value: object, place: str) -> PeopleFile:
    """The same of JSON that was read; place: what it is called in messages. Raises UserError."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    people = value.get("people", _MISSING) if isinstance(value, dict) else _MISSING
    people = [] if people is None else people
    if not isinstance(people, list) or not all(
        one is None or isinstance(one, dict) for one in people
    ):
        raise UserError(
            f'{place[0].upper()}{place[1:]} is not OpenPose\'s: it has no list "people" of '
            "objects; write it again with OpenPose's --write_json."
        )
    assert isinstance(value, dict), "it has people"
    canvas = _canvas(value)
    found = []
    for number, one in enumerate(people):
        whose = f"person {number} of {place}"
        parts: dict[str, np.ndarray | None] = {}
        for part in PARTS if one else ():
            # The first versions of OpenPose did not say "_2d".
            key = f"{part}_keypoints_2d"
            points = one.get(key, one.get(f"{part}_keypoints"))
            parts[part] = _points(points, f'"{key}" of {whose}')
        if parts:
            found.append(_in_pixels(parts, canvas))
    return PeopleFile(found, canvas)


_MISSING = object()


def _canvas(value: dict) -> tuple[int, int] | None:
    sides = []
    for side in ("height", "width"):
        try:
            sides.append(round(float(value.get(f"canvas_{side}", 0) or 0)))
        except (TypeError, ValueError, OverflowError):
            return None
    return (sides[0], sides[1]) if min(sides) > 0 else None


def _in_pixels(
    parts: dict[str, np.ndarray | None], canvas: tuple[int, int] | None
) -> dict[str, np.ndarray | None]:
    """Shares of the canvas → pixels of it."""
    given = [points for points in parts.values() if points is not None]
    if canvas is None or not given:
        return parts
    shown = np.concatenate(given)
    shown = shown[shown[:, 2] > 0, :2]
    if not len(shown) or np.abs(shown).max() > 1:
        return parts
    scale = np.array([canvas[1], canvas[0], 1], np.float32)
    return {part: None if p is None else p * scale for part, p in parts.items()}


def _points(values: object, place: str) -> np.ndarray | None:
    """A flat list of x, y, confidence (or a list of such triples) → [n, 3]; None for an empty one.
    A point of which a number is null was not observed."""
    if values is None or values == []:
        return None
    if isinstance(values, list) and all(one is None or isinstance(one, list) for one in values):
        flat: list[object] = []
        for one in values:
            flat += one if one is not None else [None, None, None]
        values = flat
    numbers = [_number(value) for value in values] if isinstance(values, list) else [_WRONG]
    if any(number is _WRONG for number in numbers):
        raise UserError(f"The points in {place} are no list of numbers; write the file again.")
    if len(numbers) % 3:
        raise UserError(
            f"The points in {place} are {len(numbers)} numbers, not triples of x, y, confidence; "
            "write the file again."
        )
    absent = np.array([number is None for number in numbers]).reshape(-1, 3).any(1)
    points = np.array([number or 0.0 for number in numbers]).reshape(-1, 3)
    if not np.isfinite(points).all():
        raise UserError(f"The points in {place} are not all finite numbers; write the file again.")
    if np.abs(points).max(initial=0) > _FARTHEST:
        raise UserError(
            f"The points in {place} lie up to {np.abs(points).max():.3g} pixels away, in no "
            "picture; write the file again."
        )
    points[absent] = 0
    return points.astype(np.float32)


_WRONG = object()


def _number(value: object) -> float | None | object:
    """The number; None for null, _WRONG for what is no number."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return _WRONG
    try:
        return float(value)
    except (ValueError, OverflowError):
        return _WRONG
