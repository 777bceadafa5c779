"""The report of an evaluation: the table, pictures to judge by, and what the figures mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from rich.table import Table

from motion_jax.evaluate.score import Example
from motion_jax.metrics import frames as metrics
from motion_jax.pose.draw import PoseStyle, draw_host
from motion_jax.pose.pose_pictures import is_ready
from motion_jax.report import html, montage

TITLES = {
    "trained": "trained",
    "frame_by_frame": "frame by frame",
    "nearest_frame": "nearest training frame",
}
# A picture lower than this is enlarged by a whole number.
PICTURE_HEIGHT = 224


@dataclass(frozen=True)
class Column:
    key: str
    title: str
    better: str
    digits: int = 4


COLUMNS = (
    Column("psnr", "PSNR, dB", "max"),
    Column("ssim", "SSIM", "max"),
    Column("lpips", "LPIPS", "min"),
    Column("body_psnr", "body PSNR", "max"),
    Column("body_ssim", "body SSIM", "max"),
    Column("body_lpips", "body LPIPS", "min"),
    Column("face_psnr", "face PSNR", "max"),
    Column("face_ssim", "face SSIM", "max"),
    Column("face_lpips", "face LPIPS", "min"),
    Column("flicker", "flicker", "min"),
    Column("background_flicker", "background flicker", "min"),
    Column("pose_distance", "pose distance, px", "min"),
    Column("missed_detections", "missed joints", "min"),
)


def title(method: str) -> str:
    return TITLES.get(method, method.replace("_", " "))


def shown_columns(result: Mapping) -> list[Column]:
    """Those for which any method has a figure."""
    methods = result["methods"].values()
    return [c for c in COLUMNS if any(m.get(c.key) is not None for m in methods)]


def table(result: Mapping) -> str:
    """The methods' figures, the best of each column marked. HTML."""
    columns = shown_columns(result)
    rows = [
        [title(name), *(figures.get(column.key) for column in columns)]
        for name, figures in result["methods"].items()
    ]
    return html.table(
        ["method", *(column.title for column in columns)],
        rows,
        f"Means over {result['frames']} frames; the best of each column is green.",
        best={i: column.better for i, column in enumerate(columns, 1)},
    )


def text_table(result: Mapping) -> object:
    """The same for the terminal, methods across (a rich table)."""
    made = Table(title=f"{result['frames']} frames", title_justify="left")
    made.add_column("")
    for name in result["methods"]:
        made.add_column(title(name), justify="right")
    for column in shown_columns(result):
        values = [figures.get(column.key) for figures in result["methods"].values()]
        known = [value for value in values if value is not None]
        best = (max if column.better == "max" else min)(known)
        made.add_row(
            column.title,
            *(
                f"[bold]{html.format_value(value)}[/bold]"
                if value == best and len(set(known)) > 1
                else html.format_value(value)
                for value in values
            ),
        )
    return made


def verdict(result: Mapping) -> str:
    """One sentence: does the first method beat the baseline? Empty without a baseline."""
    methods = result["methods"]
    if "nearest_frame" not in methods or len(methods) < 2:
        return ""
    name = next(iter(methods))
    won: list[str] = []
    lost: list[str] = []
    for key, label in (
        ("psnr", "PSNR"),
        ("ssim", "SSIM"),
        ("body_psnr", "body PSNR"),
        ("body_ssim", "body SSIM"),
    ):
        ours, theirs = methods[name].get(key), methods["nearest_frame"].get(key)
        if ours is None or theirs is None:
            continue
        (won if ours > theirs else lost).append(f"{label} {ours:.4g} against {theirs:.4g}")
    parts = []
    if won:
        parts.append(f"better than the nearest training frame in {', '.join(won)}")
    if lost:
        parts.append(f"not better in {', '.join(lost)}")
    return f"The {title(name)} model is {'; '.join(parts)}." if parts else ""


def remarks(result: Mapping) -> list[str]:
    """What is absent and why, one sentence for each reason, then the notes."""
    names: dict[str, list[str]] = {}
    for name, reason in (result.get("absent") or {}).items():
        names.setdefault(reason, []).append("LPIPS" if name == "lpips" else name.replace("_", " "))
    absent = [f"No {' and '.join(which)}: {reason}." for reason, which in names.items()]
    return absent + list(result.get("notes") or [])


def picture_row(example: Example) -> UInt8[np.ndarray, "h w 3"]:
    """Pose, true frame, every method, and how far the first one is off, in a row with labels."""
    height, width = example.real.shape[:2]
    factor = max(1, -(-PICTURE_HEIGHT // height))
    pose = example.pose
    if not is_ready(pose):
        pose = draw_host(
            pose * np.array([factor, factor, 1], np.float32),
            height * factor,
            width * factor,
            PoseStyle(stroke=2),
        )
    first = next(iter(example.fakes))
    pictures = [pose, example.real, *example.fakes.values()]
    pictures.append(montage.difference(example.real, example.fakes[first]))
    labels = ["pose", "real", *map(title, example.fakes), f"error of {title(first)} (x3)"]
    return montage.side_by_side(pictures, labels, least=PICTURE_HEIGHT)


def write_report(
    path: Path,
    result: Mapping,
    examples: Sequence[Example] = (),
    per_frame: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    *,
    heading: str = "Evaluation",
    extra: Sequence[str] = (),
) -> None:
    """Writes the page.

    Args:
      path: of the HTML file.
      result: "methods" {method: {metric: mean or None}} and "frames"; optionally "run", "step",
        "checkpoint", "data", "size", "absent" {metric: reason}, "notes" [text].
      examples: frames to show, as `compare` gives them.
      per_frame: {method: {metric: [N]}} for the chart over time.
      heading: title of the page; extra: more sections (HTML) after the table.
    """
    table_parts = [html.paragraph(verdict(result))] if verdict(result) else []
    table_parts.append(table(result))
    reestimated = result.get("reestimated_real")
    if reestimated:
        table_parts.append(
            html.paragraph(
                f"On the true frames themselves the detector is "
                f"{html.format_value(reestimated['pose_distance'])} pixels off and misses "
                f"{html.format_value(reestimated['missed_detections'])} joints a frame (means "
                f"over {result['reestimated_frames']} frames, as for the methods)."
            )
        )
    notes = remarks(result)
    if notes:
        table_parts.append(html.bullets(notes))
    sections = [html.section("Figures", *table_parts), *extra]
    for group in dict.fromkeys(example.group for example in examples):
        rows = [
            html.image(
                picture_row(example),
                f"Frame {example.frame} ({example.label}): PSNR {example.psnr:.2f} dB",
                least=900,
                quality=92,
            )
            for example in examples
            if example.group == group
        ]
        by = " (by PSNR)" if group in ("best", "worst") else ""
        sections.append(html.section(f"Frames: {group}{by}", *rows))
    if per_frame:
        sections.append(html.section("Over time", *_charts(per_frame)))
    facts = {
        name: result[name]
        for name in ("run", "step", "checkpoint", "data", "size", "frames")
        if result.get(name) is not None
    }
    if facts:
        sections.append(html.section("What was evaluated", html.facts(facts)))
    sections.append(html.section("What the figures mean", *_definitions()))
    html.write(path, html.page(heading, sections, str(result.get("run") or "")))


def _charts(per_frame: Mapping[str, Mapping[str, np.ndarray]]) -> list[str]:
    made = []
    for key, label in (("psnr", "PSNR, full frame"), ("body_psnr", "PSNR, body"),
                       ("flicker", "Flicker")):  # fmt: skip
        series = {title(name): figures[key] for name, figures in per_frame.items()}
        unit = "grey levels" if key == "flicker" else "dB"
        made.append(html.chart(series, label, x_label="held-out frame", y_label=unit))
    return [html.columns(*made)]


def _definitions() -> list[str]:
    entries = metrics.definitions().split("\n- ")
    texts = [" ".join(entry.removeprefix("- ").split()) for entry in entries]
    texts.append(
        "LPIPS v0.1 (Zhang et al. 2018): distance of the features of an ImageNet network; smaller "
        "is more alike. In crops, the mean over the part of each layer's map that the crop covers."
    )
    return [
        html.paragraph(
            "Every figure is the mean over the frames that have it. PSNR and SSIM reward what is "
            "right on average, also where it is blurred; look at the pictures too."
        ),
        html.bullets(texts),
    ]
