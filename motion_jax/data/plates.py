"""Plates: the background of each clip without the person, as a run keeps them and as they lie in
each frame. data/find_plates.py finds them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from motion_jax.errors import UserError
from motion_jax.files import write_bytes, write_json

FOLDER = "plates"


@dataclass(frozen=True)
class Plates:
    """The plates of a dataset's clips.

    Attributes:
      pictures: uint8 RGB, at the dataset's size, the plate of the longest clip first.
      of_record: of each record the number of its plate.
      motion: of each record the homography from the plate to the frame, in pixels; None: the camera
        stands still.
      light: of each record factors of red, green and blue; None: the light does not change.
    """

    pictures: UInt8[np.ndarray, "k h w 3"]
    of_record: Int[np.ndarray, " n"]
    motion: Float32[np.ndarray, "n 3 3"] | None = None
    light: Float32[np.ndarray, "n 3"] | None = None

    @property
    def follows(self) -> bool:
        """Whether plates lie differently in different frames."""
        return self.motion is not None or self.light is not None

    def of(self, record: int, followed: bool) -> UInt8[np.ndarray, "h w 3"]:
        """The plate of a record; followed: as the camera saw it in that frame."""
        plate = self.pictures[self.of_record[record]]
        if not followed:
            return plate
        if self.motion is not None:
            plate = moved(plate, self.motion[record])
        if self.light is not None:
            lit = plate * self.light[record]
            plate = np.clip(np.rint(lit), 0, 255).astype(np.uint8)
        return plate

    def resized(self, height: int, width: int) -> "Plates":
        """Plates of pictures of another size."""
        rows, columns = self.pictures.shape[1:3]
        if (rows, columns) == (height, width):
            return self
        size = width, height
        pictures = [cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in self.pictures]
        motion = self.motion
        if motion is not None:
            scale = np.diag([width / columns, height / rows, 1.0])
            motion = (scale @ motion @ np.linalg.inv(scale)).astype(np.float32)
        return replace(self, pictures=np.stack(pictures), motion=motion)


def write_plates(folder: Path, plates: Plates, clips: Sequence[tuple[int, int]]) -> None:
    """Into RUN/plates: a PNG for each plate, and which of them each clip has.

    clips: (first record, number of records).
    """
    for number, picture in enumerate(plates.pictures):
        _, data = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))
        write_bytes(folder / FOLDER / f"{number}.png", data.tobytes())
    of_clip = [int(plates.of_record[first]) for first, _ in clips]
    write_json(
        folder / FOLDER / "plates.json", {"plates": len(plates.pictures), "of_clip": of_clip}
    )


def read_plates(folder: Path, clips: Sequence[tuple[int, int]] = ()) -> Plates:
    """The plates that write_plates wrote into a run, for these clips; for others than those of its
    dataset the plate of its longest clip. Raises UserError where they are not there."""
    path = Path(folder) / FOLDER / "plates.json"
    try:
        about = json.loads(path.read_text())
        files = [path.parent / f"{number}.png" for number in range(int(about["plates"]))]
        encoded = [np.frombuffer(file.read_bytes(), np.uint8) for file in files]
        decoded = [cv2.imdecode(data, cv2.IMREAD_COLOR) for data in encoded]
        pictures = [picture[..., ::-1] for picture in decoded if picture is not None]
        of_clip = [int(number) for number in about["of_clip"]]
        if len(of_clip) != len(clips):
            of_clip = [0] * len(clips)
        lengths = [length for _, length in clips]
        if len(pictures) < len(files):
            raise ValueError("no picture in one of its files")
        return Plates(np.stack(pictures), np.repeat(np.array(of_clip, int), lengths))
    except (OSError, ValueError, KeyError, TypeError, cv2.error) as error:
        raise UserError(
            f"The plates of the run {folder} are missing or damaged ({error}); the same motion-jax "
            "train command writes them again."
        ) from error


def moved(picture: np.ndarray, matrix: Float[np.ndarray, "3 3"]) -> np.ndarray:
    """A picture under a homography; edges are repeated."""
    size = picture.shape[1], picture.shape[0]
    return cv2.warpPerspective(
        picture, matrix.astype(np.float64), size, borderMode=cv2.BORDER_REPLICATE
    )
