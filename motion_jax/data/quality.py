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

from motion_jax.data import advice as advising
from motion_jax.data.advice import percent
from motion_jax.data.coverage import Coverage, measure
from motion_jax.data.records import PoseFrames, open_dataset
from motion_jax.errors import UserError
from motion_jax.pose.draw import PoseStyle, draw_host
from motion_jax.pose.mend import Repairs
from motion_jax.report import html, montage

FILE = "quality.json"
SHEET_COLUMNS, SHEET_PICTURES = 6, 24
# Frames of the contact sheet are shown at this height: poses can be judged, the page stays small.
SHEET_HEIGHT = 192
# Videos with their own charts; of more the table alone speaks.
DETAILED = 8


def read_quality(folder: Path) -> dict:
    """quality.json of a dataset. Raises UserError where it is missing or damaged."""
    path = Path(folder) / FILE
    if not path.is_file():
        raise UserError(f"There is no {path}; run the same motion-jax prepare command again.")
    try:
        quality = json.loads(path.read_text())
        quality["videos"][0]["reasons"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UserError(
            f"{path} is damaged ({type(error).__name__}: {error}); delete it and run the same "
            "motion-jax prepare command again."
        ) from error
    return quality


@dataclass(frozen=True)
class TrainingAdvice:
    """What to train on a dataset, in words (plan/suggest.py makes it).

    Attributes:
      text: all of it, for a terminal.
      sentences: of the page, beside the command; command: "" where nothing can be trained.
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


def report(
    quality: dict,
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


def _advice(quality: dict, coverage: Coverage) -> list[str]:
    found = advising.advise(quality, coverage)
    if not found:
        return [html.paragraph("Nothing to complain about: train with any config.")]
    urgent = [html.notice(item.text) for item in found if item.urgent]
    return urgent + [html.bullets(item.text for item in found if not item.urgent)]


def _training(suggestion: TrainingAdvice) -> list[str]:
    first, *others = suggestion.sentences
    fragments = [html.paragraph(first)]
    if suggestion.command:
        fragments.append(html.preformatted(suggestion.command))
    table = html.table(suggestion.headings, suggestion.rows)
    fragments += [html.paragraph(" ".join(others)), table]
    fragments.append(
        html.paragraph(
            "Times are of this machine and reckoned; the same command with --dry-run measures the "
            "real steps. Memory is estimated."
        )
    )
    return fragments


def _overview(quality: dict, dataset: PoseFrames) -> list[str]:
    lengths = [clip["length"] for clip in quality["clips"]]
    sharpness = advising.kept_values(quality, "blur")
    faces = advising.kept_values(quality, "face_height")
    estimators = {
        " ".join(str(video["estimator"].get(key, "")) for key in ("name", "version")).strip()
        for video in quality["videos"]
    } - {""}
    holistic = quality["detail"] != "body"
    return [
        html.facts(
            {
                "frames kept": f"{quality['records']} of {quality['frames']} "
                f"({percent(quality['records'] / max(quality['frames'], 1))})",
                "clips without a gap": f"{len(lengths)}, of {min(lengths, default=0)} to "
                f"{max(lengths, default=0)} frames",
                "face visible": percent(advising.face_share(quality))
                if holistic
                else "not looked for",
                "face height": _pixels(faces),
                "hands visible": _hands(quality) if holistic else "not looked for",
                "sharpness, median": _middle(sharpness),
                "poses": ", ".join(sorted(estimators)) or "from files",
                "smoothing": _smoothing(quality["smoothing"]),
                "poses mended": _mended(quality),
                "fit": quality["fit"],
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
                    percent(advising.face_share({"videos": [video]})) if holistic else "–",
                ]
                for video in quality["videos"]
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


def _mended(quality: dict) -> str:
    """What prepare put right in the estimated poses, over all videos."""
    found = [video["repairs"] for video in quality["videos"] if "repairs" in video]
    if not found:
        return "not recorded"
    return Repairs.together(Repairs(**each) for each in found).describe() or "nothing to mend"


def _middle(values: np.ndarray) -> str:
    values = values[np.isfinite(values)]
    return f"{np.median(values):.0f}" if len(values) else "–"


def _pixels(values: np.ndarray) -> str:
    middle = _middle(values)
    return f"{middle} pixels (median)" if middle != "–" else "–"


def _hands(quality: dict) -> str:
    shares = []
    for side in ("left", "right"):
        values = advising.kept_values(quality, f"{side}_hand_visible")
        shares.append(f"{side} {percent(float(values.mean()) if len(values) else 0.0)}")
    return ", ".join(shares)


def _kept(quality: dict) -> list[str]:
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
    frame: np.ndarray, keypoints: np.ndarray, height: int = SHEET_HEIGHT, strength: float = 0.75
) -> np.ndarray:
    """The frame at a height, its pose drawn over it.

    frame: uint8 [H, W, 3]; keypoints: [137, 3] in its pixels. Returns uint8 [height, w, 3].
    """
    scale = height / frame.shape[0]
    width = max(1, round(frame.shape[1] * scale))
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    shown = cv2.resize(frame, (width, height), interpolation=kind)
    factors = np.array([width / frame.shape[1], scale, 1], np.float32)
    pose = draw_host(keypoints * factors, height, width, PoseStyle(stroke=2))
    # The drawing's ground is white: the further from white, the more of it is shown.
    ink = np.clip((255 - pose.min(-1, keepdims=True).astype(np.float32)) / 128, 0, 1) * strength
    return np.rint(shown * (1 - ink) + pose * ink).astype(np.uint8)


def contact_sheet(dataset: PoseFrames, count: int = SHEET_PICTURES) -> np.ndarray:
    """Evenly spread frames with their poses drawn, labelled with clip and time."""
    total = len(dataset)
    records = np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int))
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


def _video(video: dict, quality: dict) -> list[str]:
    times = np.array(video["times"], np.float64)
    kept = np.array(video["record"]) >= 0
    rows = {"kept": kept.astype(float)}
    never = []
    for name, values in video["confidence"].items():
        if any(values):
            rows[name.replace("_", " ")] = np.array(values, np.float64)
        else:
            never.append(name.replace("_", " "))
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
        fragments.append(
            html.columns(
                html.heat(
                    rows,
                    span,
                    "Confidence of each joint over time",
                    x_label="seconds",
                    meaning=meaning,
                ),
                html.chart(
                    {"sharpness": (times, _floats(video["blur"]))},
                    "Sharpness of the person",
                    x_label="seconds",
                    y_label="variance of the Laplacian",
                )
                + html.chart(
                    {"face height": (times, _floats(video["face_height"]))},
                    "Height of the face",
                    x_label="seconds",
                    y_label="pixels of the dataset's frame",
                ),
            )
        )
    return fragments


def _floats(values: list) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float64)
