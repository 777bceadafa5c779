"""Everybody who was seen in each frame of a film, before it is known who is who."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Float64, Shaped

from motion_jax import files
from motion_jax.pose import long_arrays
from motion_jax.pose.people import colours

# One person in one frame: the frame's number among those considered, the pose in pixels, the
# colours and what they are worth (colours.look), whether a second look confirmed it (-1 not looked
# again, 0 no, 1 yes), and who it is by somebody else's account (-1: nobody said).
RECORD = np.dtype(
    [
        ("frame", "i4"),
        ("pose", "f4", (137, 3)),
        ("colours", "u1", (len(colours.PARTS), colours.BINS)),
        ("worth", "f4", (len(colours.PARTS),)),
        ("confirmed", "i1"),
        ("named", "i4"),
    ],
    align=True,
)


@dataclass(frozen=True)
class Observations:
    """What was seen in a film.

    Attributes:
      records: RECORD, by frame.
      times: seconds of all frames considered; size: (height, width) of them in pixels.
      estimator: with what they were found.
    """

    records: Shaped[np.ndarray, " m"]
    times: Float64[np.ndarray, " n"]
    size: tuple[int, int]
    estimator: dict = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.times)

    @property
    def interval(self) -> float:
        """Seconds from one frame to the next, on average."""
        count = len(self.times)
        return float(self.times[-1] - self.times[0]) / (count - 1) if count > 1 else 0.04

    def frames(self) -> Iterator[range]:
        """The numbers of the records of each frame."""
        bounds = np.searchsorted(self.records["frame"], np.arange(len(self.times) + 1))
        for first, last in zip(bounds, bounds[1:], strict=False):
            yield range(int(first), int(last))
            if first // long_arrays.WINDOW != last // long_arrays.WINDOW:
                long_arrays.release(self.records)


def records_of(
    frame: int,
    image: np.ndarray | None,
    poses: Sequence[Float[np.ndarray, "137 3"]],
    confirmed: Sequence[int] | None = None,
    named: Sequence[int] | None = None,
) -> Shaped[np.ndarray, " k"]:
    """The records of one frame; image: the frame in RGB, None where colours are not to be seen."""
    made = np.zeros(len(poses), RECORD)
    made["frame"], made["named"], made["confirmed"] = frame, -1, -1
    lab = None if image is None or not len(poses) else colours.to_lab(image)
    bodies = [colours.Body.of(pose) for pose in poses]
    for number, pose in enumerate(poses):
        record = made[number]
        record["pose"] = pose
        if lab is not None:
            mine = bodies[number]
            others = [b for i, b in enumerate(bodies) if i != number and b.hides(mine)]
            record["colours"], record["worth"] = colours.look(lab, pose, others)
    if confirmed is not None:
        made["confirmed"] = confirmed
    if named is not None:
        made["named"] = named
    return made


def together(parts: Iterable[Shaped[np.ndarray, " _"]]) -> Shaped[np.ndarray, " m"]:
    """The records of frames one after another, in memory that does not grow with their number.
    Raises UserError where there is no room for their file."""
    with tempfile.TemporaryDirectory(prefix="motion_jax-people-") as folder:
        path, count = Path(folder) / "records", 0
        with files.writing(path), open(path, "wb") as file:
            for part in parts:
                file.write(np.ascontiguousarray(part).tobytes())
                count += len(part)
        # The file's name goes, its pages stay as long as the array.
        return long_arrays.opened(path, RECORD, count) if count else np.zeros(0, RECORD)


def body_distance(one: Float32[np.ndarray, "137 3"], other: Float32[np.ndarray, "137 3"]) -> float:
    """Mean distance of the body joints that both poses show, in sizes of the larger (the larger
    side of the box around its joints), and a quarter of the logarithm of the sizes' ratio."""
    a, b = one[:25], other[:25]
    both = (a[:, 2] > 0) & (b[:, 2] > 0)
    size, its = extent(one), extent(other)
    large = max(size, its)
    if both.sum() < 3:
        here, there = (p[p[:, 2] > 0, :2] for p in (one, other))
        return float(np.linalg.norm(np.median(here, 0) - np.median(there, 0)) / large)
    apart = float(np.linalg.norm(a[both, :2] - b[both, :2], axis=1).mean()) / large
    # Of the joints that both show, or somebody half hidden would seem to shrink.
    spans = [float(np.ptp(p[both, :2], axis=0).max()) + 1e-3 for p in (a, b)]
    return apart + abs(float(np.log(spans[0] / spans[1]))) / 4


def extent(pose: Float[np.ndarray, "137 3"]) -> float:
    """The larger side of the box around the body joints that are seen (or all points), in pixels;
    at least 1."""
    body = pose[:25]
    points = body[body[:, 2] > 0, :2] if (body[:, 2] > 0).any() else pose[pose[:, 2] > 0, :2]
    return max(float(np.ptp(points, axis=0).max()), 1.0) if len(points) else 1.0


def middle(pose: Float[np.ndarray, "137 3"]) -> Float[np.ndarray, "2"]:
    """Of the shoulders and hips that are seen, else of all points, in pixels."""
    trunk = pose[[2, 5, 9, 12]]
    points = trunk[trunk[:, 2] > 0, :2]
    if not len(points):
        points = pose[pose[:, 2] > 0, :2]
    return points.mean(0) if len(points) else np.zeros(2)
