"""Examples whose pictures lie on the devices already: of each, which pictures it has and how they
change. train/resident.py makes of them what pairs.Load makes, where the pictures lie.

The order, the windows and the randomness are Load's, and so are keypoints and face boxes, to the
bit. Pictures that are scaled or shifted may differ from OpenCV's by one grey level before their
colours change, and the few pixels that its vectors leave over by one after that.
"""

from functools import cached_property

import numpy as np
from jaxtyping import Float32, Float64, Int, Int32, Int64

from motion_jax.data.augment import Change, changed_points, colour_matrix, draw
from motion_jax.data.pairs import Load

# OpenCV reckons colours of bytes in whole numbers of this fraction.
COLOUR_UNITS = 1 << 10


class Numbered(Load):
    """Grain's map from (global indices [B], numbers of examples [B]) to a batch without pictures:

    - numbers int32 [B, T]: of each picture its place among those that are `kept`;
      plate_numbers int32 [B, T]: of its plate, for a dataset whose plates stand still;
    - keypoints, face_boxes and identities as in pairs.Frames.batch;
    - where pictures move: rows int32 [B, 2, H] and columns int32 [B, 2, W], the two rows
      (columns) of the kept picture that each of the new one lies between, and rows_share float32
      [B, H] and columns_share float32 [B, W], how far it is from the first to the second;
    - where colours change: colours int32 [B, 3, 4], the affine map of RGB in units of
      1 / COLOUR_UNITS.
    """

    @cached_property
    def kept(self) -> Int64[np.ndarray, " k"]:
        """The records that training can see, in their order."""
        return np.unique(self.starts[:, None] + np.arange(self.length))

    @property
    def plates_stand(self) -> bool:
        """Whether there are plates, one for all frames of a clip."""
        plates = self.frames.dataset.plates
        return plates is not None and not plates.follows

    def __call__(self, examples: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
        indices, numbers = examples
        records, dataset = self.records(indices, numbers), self.frames.dataset
        batch = {"numbers": np.searchsorted(self.kept, records).astype(np.int32)}
        if self.plates_stand:
            assert dataset.plates is not None
            batch["plate_numbers"] = dataset.plates.of_record[records].astype(np.int32)
        if dataset.identities is not None:
            batch["identities"] = dataset.identities[records]
        keypoints, boxes = self.frames.points(records)
        if self.config.active:
            have, size = self.frames.whole, (self.frames.height, self.frames.width)
            changes = []
            for i, index in enumerate(indices.tolist()):
                random = np.random.default_rng((self.seed, index))
                changes.append(draw(self.config, random, have, size))
                points = changed_points(keypoints[i], boxes[i], changes[i], *size)
                keypoints[i], boxes[i] = points
            batch |= _stacked([_places(change, *size) for change in changes])
            coloured = [colour_matrix(*each.colour) for each in changes if each.colour is not None]
            if coloured:
                batch["colours"] = np.rint(np.stack(coloured) * COLOUR_UNITS).astype(np.int32)
        return batch | {"keypoints": keypoints, "face_boxes": boxes}


def _places(change: Change, height: int, width: int) -> dict[str, np.ndarray]:
    """Of a changed picture's rows and columns, between which of the kept picture's they lie."""
    top, left = change.corner or (0, 0)
    rows, rows_share = _axis(change.scale, change.down, height)
    columns, columns_share = _axis(change.scale, change.right, width)
    if change.mirrored:
        columns, columns_share = columns[:, ::-1], columns_share[::-1]
    return {
        "rows": rows + np.int32(top),
        "rows_share": rows_share,
        "columns": columns + np.int32(left),
        "columns_share": columns_share,
    }


def _axis(
    scale: float, shift: float, length: int
) -> tuple[Int32[np.ndarray, "2 n"], Float32[np.ndarray, " n"]]:
    """(the pixels before and behind each one's place, how far it is from the one to the other) on
    an axis of `length` pixels that augment.move_frames scales and shifts; edges are repeated."""
    middle = length / 2 - 0.5
    places: Float64[np.ndarray, " n"] = (np.arange(length) - middle - shift) / scale + middle
    before = np.floor(places)
    both: Int[np.ndarray, "2 n"] = np.stack([before, before + 1]).astype(np.int32)
    return np.clip(both, 0, length - 1), (places - before).astype(np.float32)


def _stacked(each: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.stack([one[name] for one in each]) for name in each[0]}
