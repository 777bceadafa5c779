"""Who was found, for people to choose from: a picture with a row for each person, and a report."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from motion_jax.files import atomic_path, write_json
from motion_jax.pose.people.choice import letter
from motion_jax.pose.people.colours import unit
from motion_jax.pose.people.everybody import Everybody
from motion_jax.pose.people.link import touching
from motion_jax.report.montage import label_bar
from motion_jax.video.reader import Frame

PICTURE, REPORT = "people.png", "people.json"
# Pictures of a person, and the size of one; the height of the line that shows when they are seen.
COLUMNS, HEIGHT, WIDTH, LINE = 6, 200, 150, 14
_SHADES = ((236, 112, 99), (93, 173, 226), (130, 200, 110), (245, 176, 65), (175, 122, 197),
           (72, 201, 176), (220, 118, 160), (170, 170, 90))  # fmt: skip


def chosen_frames(people: Everybody) -> dict[int, list[tuple[str, np.ndarray]]]:
    """For each frame that the sheet shows: whose picture it gives, and the pose."""
    wanted: dict[int, list[tuple[str, np.ndarray]]] = {}
    records = people.seen.records
    for number, name in enumerate(people.names):
        mine = np.flatnonzero(people.found.of_record == number)
        worth = records["worth"][mine].sum(1)
        # Of each part of the time the best seen.
        for part in np.array_split(np.arange(len(mine)), min(COLUMNS, len(mine))):
            best = mine[part[int(np.argmax(worth[part]))]]
            frame = int(records["frame"][best])
            wanted.setdefault(frame, []).append((name, np.array(records["pose"][best])))
    return wanted


def sheet(people: Everybody, frames: Iterable[Frame]) -> UInt8[np.ndarray, "h w 3"]:
    """A row for each person: letter, when they are seen, and pictures of them.

    frames: all of the video's chosen frames, in order.
    """
    wanted = chosen_frames(people)
    cuts: dict[str, list[np.ndarray]] = {name: [] for name in people.names}
    for frame in frames:
        for name, pose in wanted.get(frame.index, ()):
            cuts[name].append(_cut(frame.image, pose, f"{frame.time:.1f} s"))
    width = COLUMNS * WIDTH
    rows = []
    for number, name in enumerate(people.names):
        there = np.zeros(len(people.seen), bool)
        there[people.seen.records["frame"][people.found.of_record == number]] = True
        text = f"{name}    seen {_seconds(people, there)} of {_seconds(people, None)} s"
        pictures = [*cuts[name], *[np.full((HEIGHT, WIDTH, 3), 24, np.uint8)] * COLUMNS]
        row = np.concatenate(pictures[:COLUMNS], axis=1)
        line = _line(people, there, number, width)
        rows += [label_bar(text, width, size=20), line, row]
    return np.concatenate(rows)


def write_sheet(people: Everybody, frames: Iterable[Frame], folder: Path) -> tuple[Path, Path]:
    """Writes FOLDER/people.png and FOLDER/people.json; returns their paths."""
    picture = Path(folder) / PICTURE
    made = Image.fromarray(sheet(people, frames))
    with atomic_path(picture) as temporary:
        made.save(temporary)
    report = Path(folder) / REPORT
    write_json(report, report_of(people))
    return picture, report


def report_of(people: Everybody) -> dict:
    """Who is seen when, and where it is not certain who is who."""
    times = people.seen.times
    found = []
    for number, name in enumerate(people.names):
        there = np.zeros(len(times), bool)
        there[people.seen.records["frame"][people.found.of_record == number]] = True
        spans = [
            [round(float(times[a]), 3), round(float(times[b - 1]), 3)] for a, b in touching(there)
        ]
        found.append({"name": name, "frames": int(there.sum()), "seen_seconds": spans})
    return {
        "video": people.path.name,
        "frames": len(times),
        "people": found,
        "unsure": [doubt.to_json() for doubt in people.found.doubts],
    }


def _seconds(people: Everybody, there: np.ndarray | None) -> str:
    count = len(people.seen) if there is None else int(there.sum())
    return f"{count * people.seen.interval:.1f}"


def _line(people: Everybody, there: np.ndarray, number: int, width: int) -> np.ndarray:
    """When a person is seen, from left to right; doubts are white."""
    shade = _SHADES[number % len(_SHADES)]
    at = np.minimum((np.arange(width) * len(there)) // width, len(there) - 1)
    line = np.where(there[at][:, None], shade, (50, 50, 50)).astype(np.uint8)
    line = np.repeat(line[None], LINE, axis=0)
    times = people.seen.times
    span = max(float(times[-1] - times[0]), 1e-6)
    for doubt in people.found.doubts:
        if letter(number) in doubt.people:
            x = int((doubt.time - times[0]) / span * (width - 1))
            line[:, max(0, x - 1) : x + 2] = 255
    return line


def _cut(image: np.ndarray, pose: np.ndarray, text: str) -> np.ndarray:
    """The part of a frame around a person, in the sheet's size, with the time."""
    points = pose[pose[:, 2] > 0, :2]
    margin = 0.35 * unit(pose)
    low, high = points.min(0) - margin, points.max(0) + margin
    middle, extent = (low + high) / 2, high - low
    high_side = max(extent[1], extent[0] * HEIGHT / WIDTH)
    scale = HEIGHT / max(high_side, 1.0)
    matrix = np.array([
        [scale, 0, WIDTH / 2 - scale * middle[0]], [0, scale, HEIGHT / 2 - scale * middle[1]],
    ])  # fmt: skip
    if scale < 0.75:
        # Fine patterns would become other ones.
        blur = 0.5 / scale
        image = cv2.GaussianBlur(image, (0, 0), 0.6 * blur)
    cut = cv2.warpAffine(image, matrix, (WIDTH, HEIGHT), borderValue=(24, 24, 24))
    place = (4, HEIGHT - 8)
    for colour, thick in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(cut, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, thick, cv2.LINE_AA)
    return cut
