"""A film as numbered PNG files in a folder, for compositing programs: RGB, or RGBA with colours not
multiplied by opacity."""

import os
import shutil
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from jaxtyping import UInt8

from motion_jax.errors import UserError
from motion_jax.files import write_json, writing


class PictureFolder:
    """Writes a folder; a context manager. It appears under its name only when the block ends
    without an exception.

    Args:
      path: the folder; new.
      metadata: strings by name, kept in frames.json with the times of the pictures.

    Raises UserError: the folder is there already, or cannot be written; disk full.
    """

    def __init__(self, path: Path, metadata: dict[str, str] | None = None):
        self.path = Path(path)
        self._metadata = dict(metadata or {})
        self._times: list[float] = []
        self._partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")

    def __enter__(self) -> "PictureFolder":
        if self.path.exists():
            raise UserError(f"{self.path} is there already; name a new folder for the pictures.")
        with writing(self.path):
            self._partial.mkdir(parents=True)
        return self

    def write(self, image: UInt8[np.ndarray, "h w c"], time: float) -> None:
        """The next picture, shown at `time` (seconds)."""
        order = cv2.COLOR_RGBA2BGRA if image.shape[-1] == 4 else cv2.COLOR_RGB2BGR
        _, data = cv2.imencode(".png", cv2.cvtColor(image, order))
        path = self._partial / f"frame_{len(self._times):06d}.png"
        with writing(self.path):
            path.write_bytes(self.finished(data.tobytes()))
        self._times.append(round(time, 6))

    def finished(self, data: bytes) -> bytes:
        """What becomes of a PNG's bytes before they are written."""
        return data

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                about = {"seconds": self._times, "metadata": self._metadata}
                write_json(self._partial / "frames.json", about)
                with writing(self.path):
                    self._partial.rename(self.path)
        finally:
            shutil.rmtree(self._partial, ignore_errors=True)
