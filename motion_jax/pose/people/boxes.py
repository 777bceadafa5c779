"""Boxes of another program's tracker, in the text of the MOT challenge: a line for each person in
each frame, frame,id,left,top,width,height[,confidence,...], frames from 1, id -1 where it is not
known who that is (Milan et al. 2016)."""

import math
from collections import defaultdict
from pathlib import Path

import numpy as np

from motion_jax.errors import UserError, option

Boxes = dict[int, list[tuple[int, np.ndarray]]]


def read_boxes(path: Path, frames: int, size: tuple[int, int]) -> Boxes:
    """For each frame (from 0) who is there: (number or -1, (left, top, right, bottom) in pixels).

    Args:
      frames: of the whole video; size: (height, width) of it.
    Raises:
      UserError: no such file, lines that are not of this kind, frames that the video does not have,
        boxes outside its pictures.
    """
    what = f"The file of boxes {path}"
    try:
        lines = Path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{what} cannot be read ({error}); give one in the text of the MOT challenge with "
            f"{option('boxes')}."
        ) from error
    found: Boxes = defaultdict(list)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = [float(value) for value in line.replace(";", ",").split(",")[:7]]
            frame, name = int(values[0]), int(values[1])
            left, top, width, height = values[2:6]
            sound = all(map(math.isfinite, values)) and width > 0 and height > 0
        except (ValueError, IndexError, OverflowError):
            sound = False
        if not sound:
            raise UserError(
                f"{what} has in line {number} no frame,id,left,top,width,height; write it in the "
                "text of the MOT challenge."
            )
        if len(values) > 6 and values[6] == 0:
            continue  # the challenge's mark of boxes that do not count
        if not 1 <= frame <= frames:
            raise UserError(
                f"{what} has in line {number} the frame {frame}, and the video has {frames} "
                "(counted from 1); give the boxes of this video."
            )
        box = np.array([left, top, left + width, top + height])
        if left >= size[1] or top >= size[0] or box[2] <= 0 or box[3] <= 0:
            raise UserError(
                f"{what} has in line {number} a box outside the video's {size[1]}x{size[0]} "
                "pixels; give the boxes of this video."
            )
        found[frame - 1].append((max(name, -1), box))
    if not found:
        raise UserError(f"{what} holds no box; give one that holds some.")
    return dict(found)
