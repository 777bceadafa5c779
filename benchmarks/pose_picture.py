"""The picture in docs/poses.md: the poses of a real clip before and after mending.

    python -m benchmarks.pose_picture VIDEO --first 188 --last 197 --joint ankle

The upper half shows the skeletons of those frames, without the photographs: right limbs orange,
left ones blue. The lower half shows where the joint of both sides is over a longer stretch. In each
half the poses before mending are above those after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from benchmarks.reporting import ROOT, parse, sentences
from motion_jax.errors import UserError
from motion_jax.pose.mend import mend
from motion_jax.pose.skeleton import BODY, BODY_LIMBS, BODY_NAMES, INDEX
from motion_jax.progress import say

RIGHT, LEFT, MIDDLE = (255, 150, 50), (80, 170, 255), (190, 190, 190)
HEIGHT = 230
# Seconds shown before and after the frames, below.
AROUND = 0.3


@dataclass(frozen=True)
class Options:
    """Draw the poses of a clip before and after mending."""

    video: Annotated[Path, tyro.conf.Positional]
    """A clip of a person."""
    first: int
    """First frame shown."""
    last: int
    """Last frame shown."""
    joint: str = "ankle"
    """Joint whose place is drawn over time."""
    filter: str = "one-euro"
    """Filter after mending."""
    out: Path = ROOT / "docs" / "poses.png"
    """The PNG to write."""


def picture(options: Options) -> np.ndarray:
    """uint8 [H, W, 3]. Raises UserError for frames or a joint that the clip does not have."""
    from motion_jax.pose.estimate import estimate_cached
    from motion_jax.report.montage import BACKGROUND, grid, labelled

    track = estimate_cached(options.video)
    if not 0 <= options.first <= options.last < len(track):
        raise UserError(f"{options.video} has no frames {options.first} to {options.last}.")
    if f"left_{options.joint}" not in INDEX:
        raise UserError(f"{options.joint} is no joint of both sides, such as ankle or wrist.")
    mended, repairs = mend(track, filter=options.filter)
    say(f"Mended: {repairs.in_words() or 'nothing'}.")
    shown = range(options.first, options.last + 1)
    box = _box([t.keypoints[options.first : options.last + 1, BODY] for t in (track, mended)])
    rows = []
    for name, poses in (("as estimated", track), ("mended", mended)):
        figures = [labelled(_figure(poses.keypoints[n], box), f"frame {n}") for n in shown]
        strip = grid(figures, columns=len(figures))
        rows.append(labelled(strip, f"{options.video.name}, {name}"))
    width = rows[0].shape[1]
    for name, poses in (("as estimated", track), ("mended", mended)):
        rows.append(
            labelled(
                _curves(poses, options, width),
                f"{options.joint}s over time, {name} (right orange, left blue; "
                "the frames above in grey)",
            )
        )
    gap = np.full((12, width, 3), BACKGROUND, np.uint8)
    return np.concatenate([part for row in rows for part in (row, gap)][:-1])


def _box(keypoints: list[np.ndarray]) -> tuple[float, float, float]:
    """Left, top and side of the square around all points."""
    points = np.concatenate([k[k[..., 2] > 0][:, :2] for k in keypoints])
    low, high = points.min(0), points.max(0)
    side = 1.08 * float((high - low).max())
    left, top = (low + high) / 2 - side / 2
    return float(left), float(top), side


def _figure(keypoints: np.ndarray, box: tuple[float, float, float]) -> np.ndarray:
    import cv2

    left, top, side = box
    canvas = np.full((HEIGHT, HEIGHT // 2, 3), 16, np.uint8)
    centre = np.array([left + side / 2, top + side / 2])

    def place(joint):
        moved = (keypoints[joint, :2] - centre) * HEIGHT / side
        return tuple(np.round((moved + np.array([HEIGHT / 4, HEIGHT / 2])) * 16).astype(int))

    for a, b in BODY_LIMBS:
        if keypoints[a, 2] > 0 and keypoints[b, 2] > 0:
            cv2.line(canvas, place(a), place(b), _colour(BODY_NAMES[b]), 2, cv2.LINE_AA, 4)
    return canvas


def _colour(name: str) -> tuple[int, int, int]:
    if name.startswith("right"):
        return RIGHT
    return LEFT if name.startswith("left") else MIDDLE


def _curves(poses, options: Options, width: int) -> np.ndarray:
    """How far the joint is to the picture's right of the hips (up) over the frames and AROUND."""
    import cv2

    times = np.asarray(poses.times)
    begin, end = times[options.first] - AROUND, times[options.last] + AROUND
    canvas = np.full((HEIGHT // 2, width, 3), 16, np.uint8)
    hip = poses.keypoints[:, INDEX["mid_hip"]]
    joints = {
        side: poses.keypoints[:, INDEX[f"{side}_{options.joint}"]] for side in ("right", "left")
    }
    inside = (times >= begin) & (times <= end) & poses.found & (hip[:, 2] > 0)
    reach = 1.1 * max(
        np.abs(k[:, 0] - hip[:, 0])[inside & (k[:, 2] > 0)].max(initial=1.0)
        for k in joints.values()
    )
    shade = [int((times[n] - begin) / (end - begin) * width) for n in (options.first, options.last)]
    canvas[:, shade[0] : shade[1] + 1] = 44
    for side, points in joints.items():
        seen = inside & (points[:, 2] > 0)
        x = (times - begin) / (end - begin) * width
        y = (1 - (points[:, 0] - hip[:, 0]) / reach) / 2 * canvas.shape[0]
        line = np.round(np.stack([x, y], -1) * 16).astype(int)
        for n in np.flatnonzero(seen[:-1] & seen[1:]):
            cv2.line(canvas, tuple(line[n]), tuple(line[n + 1]), _colour(side), 2, cv2.LINE_AA, 4)
    return canvas


def main(arguments: Sequence[str] | None = None) -> None:
    with sentences("pose_picture"):
        from PIL import Image

        from motion_jax import files

        options = parse(Options, "pose_picture", arguments)
        drawn = picture(options)
        files.check_writable(options.out.parent)
        with files.atomic_path(options.out) as temporary:
            # There are few colours, so a palette makes the file much smaller.
            Image.fromarray(drawn).quantize(64).save(temporary, "PNG", optimize=True)
        say(f"Wrote {options.out}")


if __name__ == "__main__":
    main()
