"""The measures of a person before a camera, kept from session to session."""

import json
from dataclasses import dataclass
from pathlib import Path

from motion_jax import events, files
from motion_jax.errors import UserError, option
from motion_jax.pose.normalize import PoseStatistics
from motion_jax.progress import say
from motion_jax.transfer.fit import RunningFit


@dataclass(frozen=True)
class Calibration:
    """statistics: in pixels of frames of `size` (height, width); path: where they were read."""

    path: Path
    statistics: PoseStatistics
    size: tuple[int, int]

    def of(self, size: tuple[int, int]) -> PoseStatistics:
        """For frames of that size. Raises UserError where they were measured in others."""
        if size != self.size:
            raise UserError(
                f"{option('calibration')} {self.path} was measured in frames of {self.size[1]}x"
                f"{self.size[0]}, and this camera gives {size[1]}x{size[0]}; name another file."
            )
        return self.statistics


def read(path: Path | None) -> Calibration | None:
    """What a file holds; None where there is none. Raises UserError for a damaged one."""
    if path is None or not path.exists():
        return None
    try:
        value = json.loads(path.read_text())
        size = int(value["height"]), int(value["width"])
        return Calibration(path, PoseStatistics.from_json(value["statistics"]), size)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{option('calibration')} {path} holds no measures of motion-jax live ({error}); "
            "remove it to measure anew."
        ) from error


def keep(path: Path, fit: RunningFit | None) -> None:
    """Writes what a session measured."""
    if fit is None or fit.source is None or not fit.settled:
        say(f"Nobody was measured long enough, so {path} is not written.")
        return
    height, width = fit.size
    value = {"height": height, "width": width, "statistics": fit.source.to_json()}
    files.write_json(path, value)
    say(f"Wrote {path}.")
    events.emit(events.FileWritten(path))
