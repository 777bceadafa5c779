"""The comparison as people read it: a page, a table in Markdown, grids of pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from motion_jax.compare.score import Moment
from motion_jax.evaluate.report import COLUMNS, Column
from motion_jax.evaluate.score import Example
from motion_jax.metrics import frames as metrics
from motion_jax.plan.methods import METHODS
from motion_jax.pose.draw import PoseStyle, draw_host
from motion_jax.report import html, montage

# Moments of the transfer in the grid, and of the held-out frames.
MOMENTS = 6
# A longer video lies beside the page instead of in it.
EMBEDDED_BYTES = 48 << 20

FIRST = (
    Column("psnr", "PSNR, dB", "max"),
    Column("ssim", "SSIM", "max"),
    Column("lpips", "LPIPS", "min"),
    Column("body_psnr", "body PSNR", "max"),
    Column("flicker", "flicker", "min"),
    Column("pose_distance", "pose distance, px", "min"),
    Column("missed_detections", "missed joints", "min"),
    Column("transfer_psnr", "transfer PSNR", "max"),
    Column("transfer_ssim", "transfer SSIM", "max"),
    Column("transfer_lpips", "transfer LPIPS", "min"),
    Column("transfer_flicker", "transfer flicker", "min"),
    Column("train_seconds", "training, s", ""),
    Column("frame_seconds", "s a frame", "min"),
    Column("parameters", "parameters", ""),
)
MORE = (
    *(c for c in COLUMNS if c.key not in {column.key for column in FIRST}),
    Column("compile_seconds", "compiling, s", ""),
    Column("steps", "steps", ""),
)


def value(figures: Mapping[str, Any], column: Column) -> Any:
    """Of one cell: None where there is none."""
    if column.key == "steps":
        steps = figures.get("steps")
        return " + ".join(str(count) for count in steps.values()) if steps else None
    if column.key == "parameters":
        return figures.get("parameters") or None
    return figures.get(column.key)


def shown(columns: Sequence[Column], result: Mapping[str, Any]) -> list[Column]:
    """Those for which any method has a figure."""
    methods = result["methods"].values()
    return [c for c in columns if any(value(figures, c) is not None for figures in methods)]


def table(columns: Sequence[Column], result: Mapping[str, Any], caption: str) -> str:
    """HTML, the best of each column marked."""
    columns = shown(columns, result)
    rows = [
        [name, *(value(figures, column) for column in columns)]
        for name, figures in result["methods"].items()
    ]
    best = {i: column.better for i, column in enumerate(columns, 1) if column.better}
    return html.table(["method", *(c.title for c in columns)], rows, caption, best=best, digits=3)


def cell(figures: Mapping[str, Any], column: Column) -> str:
    """As text."""
    return html.format_value(value(figures, column), digits=3).replace("\u202f", ",")


def markdown(result: Mapping[str, Any]) -> str:
    """The table and its notes."""
    lines = []
    for columns in (FIRST, MORE):
        known = shown(columns, result)
        lines += [
            "| method | " + " | ".join(column.title for column in known) + " |",
            "|---|" + "---|" * len(known),
        ]
        for name, figures in result["methods"].items():
            cells = []
            for column in known:
                text = cell(figures, column)
                cells.append(f"**{text}**" if _best(column, name, result) else text)
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        lines.append("")
    lines += [f"* {note}" for note in notes(result)]
    return "\n".join(lines) + "\n"


def _best(column: Column, name: str, result: Mapping[str, Any]) -> bool:
    if not column.better:
        return False
    known = {m: value(f, column) for m, f in result["methods"].items()}
    known = {m: v for m, v in known.items() if v is not None}
    if name not in known or len(set(known.values())) < 2:
        return False
    return known[name] == (max if column.better == "max" else min)(known.values())


def text_table(result: Mapping[str, Any]) -> object:
    """For the terminal (a rich table)."""
    columns = shown(FIRST, result)
    made = Table(title=f"{result['frames']} held-out frames", title_justify="left")
    made.add_column("", no_wrap=True)
    for column in columns:
        made.add_column(column.title, justify="right", min_width=5)
    for name, figures in result["methods"].items():
        made.add_row(
            name,
            *(
                f"[bold]{cell(figures, column)}[/bold]"
                if _best(column, name, result)
                else cell(figures, column)
                for column in columns
            ),
        )
    return made


def notes(result: Mapping[str, Any]) -> list[str]:
    """What must be known to read the table, a sentence or two each."""
    absent: dict[str, list[str]] = {}
    for name, reason in (result.get("absent") or {}).items():
        absent.setdefault(reason, []).append("LPIPS" if name == "lpips" else name.replace("_", " "))
    lines = [f"No {' and '.join(which)}: {reason}." for reason, which in absent.items()]
    real = result.get("reestimated_real")
    if real:
        lines.append(
            f"On the true frames themselves the detector is "
            f"{html.format_value(real['pose_distance'], 3)} pixels off and misses "
            f"{html.format_value(real['missed_detections'], 3)} joints a frame (means "
            f"over {result['reestimated_frames']} frames)."
        )
    nobody = [
        name
        for name, figures in result["methods"].items()
        if figures.get("missed_detections") is not None and figures.get("pose_distance") is None
    ]
    if nobody:
        lines.append(
            f"The detector finds nobody in the pictures of {', '.join(nobody)}, so they have no "
            "pose distance (it needs a person of some size and sharpness, with a face or hands)."
        )
    return lines + list(result["notes"])


@dataclass
class Grids:
    """Pictures to keep while the moments pass by: MOMENTS of them, evenly spread.

    total: moments to come.
    """

    total: int

    def __post_init__(self) -> None:
        last = max(self.total - 1, 0)
        count = min(MOMENTS, self.total)
        self._wanted = set(np.linspace(0, last, count + 2)[1:-1].round().astype(int).tolist())
        self._seen = 0
        self.kept: list[Moment] = []

    def look(self, moment: Moment) -> None:
        if self._seen in self._wanted:
            self.kept.append(moment)
        self._seen += 1


def moment_panels(moment: Moment) -> dict[str, np.ndarray]:
    """The pictures of one moment by label."""
    panels = {"source": moment.source}
    if moment.truth is not None:
        panels["true answer"] = moment.truth
    return panels | _titled(moment.fakes)


def _titled(fakes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """By names that may be wrapped between words."""
    return {name.replace("-", " "): picture for name, picture in fakes.items()}


def example_panels(example: Example) -> dict[str, np.ndarray]:
    """The same of a held-out frame."""
    height, width = example.real.shape[:2]
    pose = draw_host(example.pose, height, width, PoseStyle(stroke=2))
    return {"pose": pose, "true frame": example.real} | _titled(example.fakes)


def grid(rows: Sequence[Mapping[str, np.ndarray]]) -> np.ndarray:
    """Moments below each other, methods beside each other, labels on top. uint8 [H, W, 3]."""
    made = []
    for i, row in enumerate(rows):
        labels = list(row) if i == 0 else None
        made.append(montage.side_by_side(list(row.values()), labels, least=128))
        made.append(np.full((montage.GAP, made[0].shape[1], 3), montage.BACKGROUND, np.uint8))
    return np.concatenate(made[:-1])


def film_frame(moment: Moment) -> np.ndarray:
    """One picture of the side-by-side video: all panels, in two rows where there are many."""
    panels = moment_panels(moment)
    width = montage.enlarge(moment.source).shape[1]
    size = montage.letters(list(panels), width)
    pictures = [
        np.concatenate([montage.label_bar(label, width, 1, size), montage.enlarge(picture)])
        for label, picture in panels.items()
    ]
    columns = len(pictures) if len(pictures) <= 4 else -(-len(pictures) // 2)
    return montage.grid(pictures, columns)


def write_page(
    path: Path,
    result: Mapping[str, Any],
    examples: Sequence[Example],
    moments: Sequence[Moment],
    film: Path,
) -> None:
    """Writes the page; the video is inside it, unless it is large: then it must lie beside it."""
    embedded = film.stat().st_size <= EMBEDDED_BYTES
    caption = "All methods at the same moments" + (", with the source's sound" * result["sound"])
    even = [example for example in examples if example.group == "evenly spread"]
    caption_first = (
        f"Means over {result['frames']} held-out frames; the best of each column is green. "
        f"Budget: {result['budget']} of training for each method that is trained."
    )
    abouts = [
        f"{name}: {METHODS[name].about if name in METHODS else ''}. {figures['made']}"
        for name, figures in result["methods"].items()
    ]
    sections = [
        html.section("Table", table(FIRST, result, caption_first), html.bullets(notes(result))),
        html.section("In motion", html.video(film if embedded else film.name, caption)),
        html.section(
            "The same moments of the transfer",
            html.image(
                grid([moment_panels(m) for m in moments]),
                "At " + ", ".join(f"{m.time:.2f}" for m in moments) + " s of the source",
                least=900,
                quality=92,
            ),
        ),
        html.section(
            "Held-out frames",
            html.image(
                grid([example_panels(e) for e in even]),
                "; ".join(example.label for example in even),
                least=900,
                quality=92,
            ),
        ),
        html.section("How each was made", html.bullets(abouts), table(MORE, result, "")),
        html.section("What was compared", html.facts(result["facts"])),
        html.section(
            "What the figures mean",
            html.bullets(
                " ".join(entry.removeprefix("- ").split())
                for entry in metrics.definitions().split("\n- ")
            ),
        ),
    ]
    html.write(path, html.page("Ways to move a person", sections, result["subtitle"]))
