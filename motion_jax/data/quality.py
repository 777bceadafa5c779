"""The quality report of `motion-jax prepare`: DATASET/report/index.html, one offline page.

Reads what prepare measured (DATASET/quality.json) and the dataset itself.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from motion_jax.data import advice as advising
from motion_jax.data.advice import percent
from motion_jax.data.coverage import Coverage, measure
from motion_jax.data.quality_json import PerFrame, Quality, VideoEntry, read_quality
from motion_jax.data.records import PoseFrames, open_dataset
from motion_jax.pose.draw import PoseStyle, draw_host
from motion_jax.pose.mend import Repairs
from motion_jax.report import html, montage

SHEET_COLUMNS, SHEET_PICTURES = 6, 24
# Frames of the contact sheet are shown at this height: poses can be judged, the page stays small.
SHEET_HEIGHT = 192
# The first videos have charts of their own; the others are in the table alone.
DETAILED = 8


@dataclass(frozen=True)
class TrainingAdvice:
    """What to train on a dataset, in words (plan/words.py makes it).

    Attributes:
      text: all of it, for a terminal.
      sentences: of the page, beside the command; command: what is recommended.
      headings, rows: the table of all configs.
    """

    text: str
    sentences: Sequence[str]
    command: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Any]]


# Says what to train on the dataset in a folder.
Adviser = Callable[[Path], TrainingAdvice]


def write_report(folder: Path, suggestion: TrainingAdvice | None = None) -> Path:
    """Writes DATASET/report/index.html and returns its path.

    suggestion: what to train on it; without one the page says nothing of that.
    Raises UserError where the dataset or its quality.json is missing or damaged, or where the
    report cannot be written.
    """
    folder = Path(folder)
    quality = read_quality(folder)
    dataset = open_dataset(folder)
    coverage = measure(dataset.keypoints(), dataset.clips, *dataset.size)
    path = folder / "report" / "index.html"
    html.write(path, report(quality, dataset, coverage, folder.resolve().name, suggestion))
    return path


def advice_on(folder: Path) -> list[advising.Advice]:
    """What the report of a dataset advises, the urgent first. Raises as write_report."""
    dataset = open_dataset(folder)
    coverage = measure(dataset.keypoints(), dataset.clips, *dataset.size)
    return advising.advise(read_quality(folder), coverage)


def report(
    quality: Quality,
    dataset: PoseFrames,
    coverage: Coverage,
    name: str,
    suggestion: TrainingAdvice | None = None,
) -> str:
    """The page as text; arguments as in write_report."""
    height, width = dataset.size
    sections = [
        html.section("Advice", *_advice(quality, coverage)),
        *([html.section("What to train", *_training(suggestion))] if suggestion else []),
        html.section("What is in it", *_overview(quality, dataset)),
        html.section(
            "Frames with their poses",
            html.image(
                contact_sheet(dataset),
                f"{min(SHEET_PICTURES, len(dataset))} frames, evenly spread over the dataset, with "
                "the joints that the network will be given. Limbs must lie on the person's.",
                least=760,
                quality=88,
            ),
        ),
        html.section("Kept and not kept", *_kept(quality)),
        html.section("How much of the space of poses is covered", *_coverage(coverage)),
    ]
    for number, video in enumerate(quality["videos"][:DETAILED], 1):
        title = f"Video {number}: {video['name']}" if len(quality["videos"]) > 1 else video["name"]
        sections.append(html.section(title, *_video(video, quality)))
    options = json.dumps(quality["options"], indent=2, default=str)
    sections.append(
        html.section("How it was made", html.details("All options", html.preformatted(options)))
    )
    return html.page(
        f"Dataset {name}",
        sections,
        f"{quality['records']} frames of {width}x{height} pixels from "
        f"{len(quality['videos'])} video{'s' if len(quality['videos']) > 1 else ''}",
    )


def _advice(quality: Quality, coverage: Coverage) -> list[str]:
    found = advising.advise(quality, coverage)
    if not found:
        return [html.paragraph("Nothing to complain about.")]
    urgent = [html.notice(item.text) for item in found if item.urgent]
    return urgent + [html.bullets(item.text for item in found if not item.urgent)]


def _training(suggestion: TrainingAdvice) -> list[str]:
    first, *others = suggestion.sentences
    return [
        html.paragraph(first),
        *([html.preformatted(suggestion.command)] if suggestion.command else []),
        html.paragraph(" ".join(others)),
        html.table(suggestion.headings, suggestion.rows),
        html.paragraph(
            "Times and memory are estimates for this machine; the same command with --dry-run "
            "measures the real steps."
        ),
    ]


def _overview(quality: Quality, dataset: PoseFrames) -> list[str]:
    videos, lengths = quality["videos"], [clip["length"] for clip in quality["clips"]]
    sharpness = advising.kept_values(videos, "blur")
    faces = advising.kept_values(videos, "face_height")
    estimators = {
        " ".join(str(video["estimator"].get(key, "")) for key in ("name", "version")).strip()
        for video in videos
    } - {""}
    looked_for = quality["detail"] != "body"

    def face_share(of: Sequence[VideoEntry], otherwise: str) -> str:
        return percent(advising.share(of, "face_visible")) if looked_for else otherwise

    return [
        html.facts(
            {
                "frames kept": f"{quality['records']} of {quality['frames']} "
                f"({percent(quality['records'] / max(quality['frames'], 1))})",
                "clips without a gap": f"{len(lengths)}, of {min(lengths, default=0)} to "
                f"{max(lengths, default=0)} frames",
                "face visible": face_share(videos, "not looked for"),
                "face height": _pixels(faces),
                "hands visible": _hands(videos) if looked_for else "not looked for",
                "sharpness, median": _middle(sharpness),
                "poses": ", ".join(sorted(estimators)) or "from files",
                "smoothing": _smoothing(quality["smoothing"]),
                "poses mended": _mended(quality["videos"]),
                "fit": quality["fit"],
                "black bars": percent(max(map(advising.bars, videos), default=0.0)),
            }
        ),
        html.table(
            ["video", "size", "frames/s", "seconds", "frames", "kept", "share", "face visible"],
            [
                [
                    video["name"],
                    f"{video['width']}x{video['height']}",
                    float(video["fps"]),
                    float(video["duration"]),
                    video["frames"],
                    video["kept"],
                    percent(video["kept"] / max(video["frames"], 1)),
                    face_share([video], "–"),
                ]
                for video in videos
            ],
        ),
    ]


def _smoothing(smoothing: dict) -> str:
    if not smoothing["on"]:
        return "off"
    name = "zero-lag"
    if smoothing.get("filter", "one-euro") == "one-euro":
        name = f"one-euro, cutoff {smoothing['min_cutoff']} Hz, beta {smoothing['beta']}"
    return f"{name}, gaps up to {smoothing['max_gap']} frames filled"


def _mended(videos: Sequence[VideoEntry]) -> str:
    """What prepare mended in the estimated poses, over all videos."""
    found = [video["repairs"] for video in videos if "repairs" in video]
    if not found:
        return "not recorded"
    return Repairs.together(Repairs(**each) for each in found).in_words() or "nothing to mend"


def _middle(values: np.ndarray) -> str:
    values = values[np.isfinite(values)]
    return f"{np.median(values):.0f}" if len(values) else "–"


def _pixels(values: np.ndarray) -> str:
    middle = _middle(values)
    return f"{middle} pixels (median)" if middle != "–" else "–"


def _hands(videos: Sequence[VideoEntry]) -> str:
    keys: dict[str, PerFrame] = {"left": "left_hand_visible", "right": "right_hand_visible"}
    shares = {side: advising.share(videos, key) for side, key in keys.items()}
    return ", ".join(f"{side} {percent(value)}" for side, value in shares.items())


def _kept(quality: Quality) -> list[str]:
    counts = {"kept": quality["records"]}
    counts |= dict(sorted(quality["rejected"].items(), key=lambda item: -item[1]))
    fragments = [html.bars(counts, unit=" frames", most=max(quality["frames"], 1))]
    if not quality["rejected"]:
        fragments.append(html.paragraph("Every frame was kept."))
    if len(quality["clips"]) > 1:
        rows = [
            [
                clip["clip"],
                quality["videos"][clip["video"]]["name"],
                float(clip["start_time"]),
                float(clip["end_time"]),
                clip["length"],
                clip["ended_by"] or "end of the video",
            ]
            for clip in quality["clips"]
        ]
        table = html.table(["clip", "video", "from, s", "to, s", "frames", "ended by"], rows)
        fragments.append(html.details(f"All {len(rows)} clips", table))
    return fragments


def overlay(
    frame: UInt8[np.ndarray, "h w 3"],
    keypoints: Float[np.ndarray, "137 3"],
    height: int = SHEET_HEIGHT,
) -> UInt8[np.ndarray, "{height} _ 3"]:
    """The frame at a height, its pose (in pixels of `frame`) drawn over it."""
    scale = height / frame.shape[0]
    width = max(1, round(frame.shape[1] * scale))
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    shown = cv2.resize(frame, (width, height), interpolation=kind)
    factors = np.array([width / frame.shape[1], scale, 1], np.float32)
    pose = draw_host(keypoints * factors, height, width, PoseStyle(stroke=2))
    # The drawing's ground is white: the further from white, the more of it is shown.
    ink = np.clip((255 - pose.min(-1, keepdims=True).astype(np.float32)) / 128, 0, 1) * 0.75
    return np.rint(shown * (1 - ink) + pose * ink).astype(np.uint8)


def contact_sheet(dataset: PoseFrames) -> UInt8[np.ndarray, "height width 3"]:
    """Evenly spread frames with their poses drawn, labelled with clip and time."""
    total = len(dataset)
    records = np.unique(np.linspace(0, total - 1, min(SHEET_PICTURES, total)).round().astype(int))
    pictures = []
    for record in records:
        row = dataset[int(record)]
        picture = overlay(row["frame"], row["keypoints"])
        pictures.append(montage.labelled(picture, f"clip {row['clip']}, {row['time']:.2f} s"))
    widest = max(picture.shape[1] for picture in pictures)
    return montage.grid(pictures, max(1, min(SHEET_COLUMNS, 1300 // widest)))


def _coverage(coverage: Coverage) -> list[str]:
    late = coverage.late
    scatter = html.chart(
        {
            "first four fifths of each clip": (coverage.plane[~late, 0], coverage.plane[~late, 1]),
            "last fifth": (coverage.plane[late, 0], coverage.plane[late, 1]),
        },
        "Every dot is the pose of one frame",
        kind="points",
        x_label="first main component, torso lengths",
        y_label="second",
    )
    fragments = [
        html.paragraph(
            "Poses without place and size. Dots that lie apart from the others are poses with few "
            "like them; where there are none, the model will guess. The plane shows "
            f"{percent(coverage.explained)} of all differences."
        ),
        html.columns(
            scatter,
            "<h3>Directions seen, of all that a limb could point in</h3>"
            + html.bars(
                {name: round(100 * share) for name, share in coverage.directions.items()},
                unit=" %",
                most=100,
            ),
        ),
    ]
    left, right = coverage.place
    facts = {
        "body height": f"{percent(coverage.height)} of the frame's height (median)",
        "place": f"the hips are between {percent(left)} and {percent(right)} of the width",
    }
    if len(coverage.distances):
        far = float((coverage.distances > advising.DIFFERENT).mean())
        facts["last fifth"] = (
            f"median distance to the most similar earlier pose "
            f"{np.median(coverage.distances):.2f} torso lengths; {percent(far)} resemble none "
            f"(over {advising.DIFFERENT})"
        )
    return [*fragments, html.facts(facts)]


def _video(video: VideoEntry, quality: Quality) -> list[str]:
    times = np.array(video["times"], np.float64)
    kept = np.array(video["record"]) >= 0
    rows = {"kept": kept.astype(float)}
    never = []
    for joint, values in video["confidence"].items():
        name = joint.replace("_", " ")
        if any(values):
            rows[name] = np.array(values, np.float64)
        else:
            never.append(name)
    meaning = "Dark violet: not seen (0); green: 0.75; yellow: certain (1)"
    if never:
        meaning += f"; never seen and left out: {', '.join(never)}"
    span = (float(times[0]), float(times[-1])) if len(times) else (0.0, 1.0)
    crop = video["crop"]
    fragments = [
        html.facts(
            {
                "kept": f"{video['kept']} of {video['frames']} frames",
                "region of the picture": f"{crop['width']:.0f}x{crop['height']:.0f} pixels from "
                f"({crop['left']:.0f}, {crop['top']:.0f})",
                "rotation": f"{video['rotation']}°",
                "all of both legs seen": percent(video["body_visible"]["legs"]),
                "all of both arms seen": percent(video["body_visible"]["arms"]),
                "SHA-256": video["sha256"],
            }
        )
    ]
    if quality["detail"] == "files":
        fragments.append(html.paragraph("The poses come from files; confidences are the files'."))
    if len(times) > 1:
        charts = [
            html.chart(
                {name: (times, np.array(figures, np.float64))},  # None becomes NaN.
                title,
                x_label="seconds",
                y_label=unit,
            )
            for name, figures, title, unit in (
                ("sharpness", video["blur"], "Sharpness of the person",
                 "variance of the Laplacian"),
                ("face height", video["face_height"], "Height of the face",
                 "pixels of the dataset's frame"),
            )
        ]  # fmt: skip
        title = "Confidence of each joint over time"
        heat = html.heat(rows, span, title, x_label="seconds", meaning=meaning)
        fragments.append(html.columns(heat, "".join(charts)))
    return fragments
