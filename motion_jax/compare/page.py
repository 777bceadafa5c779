"""The comparison as people read it: a page, a table in Markdown, grids of pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired

import numpy as np
from jaxtyping import UInt8
from rich.table import Table as RichTable

from motion_jax.compare.movers import PHOTO
from motion_jax.compare.recommend import Recommendation, marked, recommend
from motion_jax.compare.score import ComparedMoment
from motion_jax.evaluate.report import (
    COLUMNS,
    Column,
    Scores,
    absences,
    definitions,
    detector_sentence,
    pose_panel,
    shown_columns,
    table,
)
from motion_jax.evaluate.score import Example
from motion_jax.plan.methods import METHODS
from motion_jax.report import html, montage

Picture = UInt8[np.ndarray, "_ _ 3"]

# Moments of the transfer in the grid, and of the held-out frames.
MOMENTS = 6
# A longer video lies beside the page instead of in it.
EMBEDDED_BYTES = 48 << 20


class StepsColumn(Column):
    """Numbers of steps, by stage."""

    def value(self, figures: Mapping[str, Any]) -> str | None:
        steps = figures.get(self.key)
        return " + ".join(str(count) for count in steps.values()) if steps else None


class CountColumn(Column):
    """A number, of which 0 is none."""

    def value(self, figures: Mapping[str, Any]) -> int | None:
        return figures.get(self.key) or None


class Table(Scores):
    """What the page shows: the contents of table.json, where methods have more than metrics.

    moments: number of the transfer's moments.
    budget: as --budget takes it.
    sound: whether the source has sound.
    subtitle: who dances whose dance; facts: what was compared, by name.
    recommendation: which method serves best, and why.
    """

    moments: int
    budget: str
    sound: bool
    subtitle: str
    facts: Mapping[str, Any]
    recommendation: NotRequired[Recommendation]


FIRST = (
    Column("psnr", "PSNR, dB", "max"),
    Column("ssim", "SSIM", "max"),
    Column("lpips", "LPIPS", "min"),
    Column("resnet50", "ResNet-50 distance", "min"),
    Column("body_psnr", "body PSNR", "max"),
    Column("sharpness", "sharpness", ""),
    Column("flicker", "flicker", "min"),
    Column("person_found", "person found", "max"),
    Column("pose_distance", "pose distance, px", "min"),
    Column("missed_detections", "missed joints", "min"),
    Column("dance_person_found", "person found in the dance", "max"),
    Column("dance_pose_distance", "pose distance in the dance, px", "min"),
    Column("transfer_psnr", "transfer PSNR", "max"),
    Column("transfer_ssim", "transfer SSIM", "max"),
    Column("transfer_lpips", "transfer LPIPS", "min"),
    Column("transfer_flicker", "transfer flicker", "min"),
    Column("train_seconds", "training, s", ""),
    Column("frame_seconds", "s a frame", "min"),
    CountColumn("parameters", "parameters", ""),
)
MORE = (
    *(c for c in COLUMNS if c.key not in {column.key for column in FIRST}),
    Column("compile_seconds", "compiling, s", ""),
    StepsColumn("steps", "steps", ""),
)


def _cell(column: Column, figures: Mapping[str, Any], result: Table, bold: tuple[str, str]) -> str:
    """One cell as text; the best of its column between the signs of bold type."""
    value = column.value(figures)
    text = html.format_value(value, digits=3).replace("\u202f", ",")
    return text.join(bold) if value is not None and value == column.best(result) else text


def markdown(result: Table) -> str:
    """What is recommended, the table and its notes."""
    lines, own_notes = [recommend(result)["text"], ""], notes(result)
    result = marked(result)
    for columns in (FIRST, MORE):
        known = shown_columns(columns, result)
        lines.append("| method | " + " | ".join(column.title for column in known) + " |")
        lines.append("|---|" + "---|" * len(known))
        for name, figures in result["methods"].items():
            cells = [_cell(column, figures, result, ("**", "**")) for column in known]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        lines.append("")
    lines += [f"* {note}" for note in own_notes]
    return "\n".join(lines) + "\n"


def text_table(result: Table) -> object:
    """For the terminal (a rich table)."""
    result = marked(result)
    columns = shown_columns(FIRST, result)
    made = RichTable(title=f"{result['frames']} held-out frames", title_justify="left")
    made.add_column("", no_wrap=True)
    for column in columns:
        made.add_column(column.title, justify="right", min_width=5)
    for name, figures in result["methods"].items():
        cells = (_cell(column, figures, result, ("[bold]", "[/bold]")) for column in columns)
        made.add_row(name, *cells)
    return made


def notes(result: Table) -> list[str]:
    """What must be known to read the table, a sentence or two each."""
    lines = absences(result)
    if sentence := detector_sentence(result):
        lines.append(sentence)
    nobody = [
        name
        for name, figures in result["methods"].items()
        if figures.get("person_found") is not None and figures.get("pose_distance") is None
    ]
    if nobody:
        lines.append(
            f"The detector finds nobody in the pictures of {', '.join(nobody)}, so they have no "
            "pose distance and no missed joints (it needs a person of some size and sharpness, "
            "with a face or hands)."
        )
    return [*lines, *result.get("notes", [])]


class Grids:
    """Keeps MOMENTS of the moments that pass by, evenly spread. total: moments to come."""

    def __init__(self, total: int):
        last, count = max(total - 1, 0), min(MOMENTS, total)
        self._wanted = set(np.linspace(0, last, count + 2)[1:-1].round().astype(int).tolist())
        self.total, self._seen = total, 0
        self.kept: list[ComparedMoment] = []

    def look(self, moment: ComparedMoment) -> None:
        """The next moment."""
        if self._seen in self._wanted:
            self.kept.append(moment)
        self._seen += 1


def moment_panels(moment: ComparedMoment) -> dict[str, Picture]:
    """The pictures of one moment by label."""
    panels = {"source": moment.source}
    if moment.truth is not None:
        panels["true answer"] = moment.truth
    return panels | _titled(moment.fakes)


def _titled(fakes: Mapping[str, Picture]) -> dict[str, Picture]:
    """By names that may be wrapped between words."""
    return {name.replace("-", " "): picture for name, picture in fakes.items()}


def example_panels(example: Example) -> dict[str, Picture]:
    """The same of a held-out frame."""
    return {"pose": pose_panel(example), "true frame": example.real} | _titled(example.fakes)


def grid(rows: Sequence[Mapping[str, Picture]]) -> Picture:
    """Moments below each other, methods beside each other, labels on top."""
    made = []
    for i, row in enumerate(rows):
        labels = list(row) if i == 0 else None
        made.append(montage.side_by_side(list(row.values()), labels, least=128))
        made.append(np.full((montage.GAP, made[0].shape[1], 3), montage.BACKGROUND, np.uint8))
    return np.concatenate(made[:-1])


def film_frame(moment: ComparedMoment) -> Picture:
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
    result: Table,
    examples: Sequence[Example],
    moments: Sequence[ComparedMoment],
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
        html.section("Which method", html.paragraph(recommend(result)["text"])),
        html.section(
            "Table",
            table(FIRST, marked(result), caption_first, digits=3),
            html.bullets(notes(result)),
        ),
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
        html.section(
            "How each was made", html.bullets(abouts), table(MORE, marked(result), "", digits=3)
        ),
        html.section("What was compared", html.facts(result["facts"])),
        html.section("What the figures mean", html.bullets(definitions())),
    ]
    html.write(path, html.page("Ways to move a person", sections, result["subtitle"]))


def explained(movers: Sequence[str], truth: bool, dance: bool) -> list[str]:
    """What each method was shown, and what the figures say. movers: names of methods; truth, dance:
    whether there are figures of a true answer, and of the dance."""
    pictures = [n for n in movers if n == PHOTO or (n in METHODS and METHODS[n].shown == "picture")]
    lines = [
        "Held-out frames are the last part of each clip of the target; no method was trained on "
        "them or may show them. Shown their poses: "
        f"{', '.join(n for n in movers if n not in pictures) or 'none'}."
    ]
    if pictures:
        lines.append(
            f"{', '.join(pictures)} cannot be shown a pose, only a picture of the source. For a "
            "held-out frame of the target they are shown the source's picture in the nearest pose. "
            "That is not quite the frame's own pose, and this difference counts as their error."
        )
    if PHOTO in movers:
        lines.append(
            f"{PHOTO} knows one photo of the target, all others its film: it is what is left where "
            "there is no film."
        )
    if truth:
        lines.append(
            "Transfer figures compare with the target really drawn in the source's motion; the "
            "fitting of the source's pose to the target's body is part of the error."
        )
    if dance:
        lines.append(
            "In the dance: of the pictures in which the source's motion is danced, the share in "
            "which the detector finds a person, and how far that person is from the pose that was "
            "asked for."
        )
    lines.append(
        "Training seconds are those of steps. Compiling, saving and sample pictures come besides, "
        "and so do the source's poses, which all methods share."
    )
    return lines
