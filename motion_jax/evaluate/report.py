"""The report of an evaluation: the table, pictures to judge by, and what the figures mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import numpy as np
from jaxtyping import UInt8
from rich.table import Table
from rich.text import Text

from motion_jax.evaluate.noise import least_difference
from motion_jax.evaluate.score import Example
from motion_jax.metrics import frames as metrics
from motion_jax.pose.draw import PoseStyle, draw_host
from motion_jax.pose.pose_pictures import is_ready
from motion_jax.report import html, montage

TITLES = {
    "trained": "trained",
    "frame_by_frame": "frame by frame",
    "photo": "the photo as it is",
    "nearest_frame": "nearest training frame",
}
# What the figures that may be absent are called in a sentence.
ABSENT = {"lpips": "LPIPS", "resnet50": "ResNet-50 distance"}
# The method that any trained one must beat.
NEAREST = "nearest_frame"
LPIPS = (
    "LPIPS v0.1 (Zhang et al. 2018): distance of the features of an ImageNet network; smaller is "
    "more alike. In crops, the mean over the part of each layer's map that the crop covers."
)
RESNET = (
    "ResNet-50 distance: as LPIPS, of the four stages of the ResNet-50 that the package imgsim "
    "brings, every channel alike. It can be compared with itself alone."
)
# A picture lower than this is enlarged by a whole number.
PICTURE_HEIGHT = 224


class Scores(TypedDict):
    """What tables of methods are made of.

    methods: {method: {metric: mean, or None where there is none; and other facts}}.
    frames: number of held-out frames that the means are over.
    who: of a run that knows several people the one who was chosen, or the mixture.
    reestimated_real: figures of poses estimated on the true frames; reestimated_frames: how many.
    absent: {metric: why no method has it}.
    notes: what must be known to read the figures.
    noise: {metric: by how much the first method and the nearest frame may differ by chance}, see
      evaluate/noise.py.
    """

    methods: Mapping[str, Mapping[str, Any]]
    frames: int
    who: NotRequired[str]
    reestimated_real: NotRequired[Mapping[str, Any] | None]
    reestimated_frames: NotRequired[int]
    absent: NotRequired[Mapping[str, str]]
    notes: NotRequired[Sequence[str]]
    noise: NotRequired[Mapping[str, float | None]]


class Evaluation(Scores):
    """What a page shows; of `motion-jax evaluate` the contents of evaluation.json.

    training_frames: number of frames that the nearest frame is chosen from.
    run, step, checkpoint: what was evaluated; data: the dataset's folder; size: WIDTHxHEIGHT.
    films: of each source of evaluate --source what its film's figures are.
    paper: of runs that move a photo, figures as in their paper (evaluate/paper.py).
    verdict: the figures in sentences.
    go_on: the command that goes on with a run that is not at its end.
    """

    training_frames: NotRequired[int]
    run: NotRequired[str]
    step: NotRequired[int]
    checkpoint: NotRequired[str]
    data: NotRequired[str]
    size: NotRequired[str]
    films: NotRequired[Mapping[str, Mapping[str, Any]]]
    paper: NotRequired[Mapping[str, Any]]
    verdict: NotRequired[str]
    go_on: NotRequired[str]
    lpips_network: NotRequired[str]


@dataclass(frozen=True)
class Column:
    """One figure in a table of methods. better: "max", "min" or "" (neither)."""

    key: str
    title: str
    better: Literal["max", "min", ""]

    def value(self, figures: Mapping[str, Any]) -> Any:
        """Of a method; None where it has none."""
        return figures.get(self.key)

    def best(self, result: Scores) -> Any:
        """The best value of the methods; None where none is better than another."""
        values = {self.value(figures) for figures in result["methods"].values()} - {None}
        if not self.better or len(values) < 2:
            return None
        return (max if self.better == "max" else min)(values)


COLUMNS = (
    Column("psnr", "PSNR, dB", "max"),
    Column("ssim", "SSIM", "max"),
    Column("lpips", "LPIPS", "min"),
    Column("resnet50", "ResNet-50 distance", "min"),
    Column("body_psnr", "body PSNR", "max"),
    Column("body_ssim", "body SSIM", "max"),
    Column("body_lpips", "body LPIPS", "min"),
    Column("body_resnet50", "body ResNet-50 distance", "min"),
    Column("face_psnr", "face PSNR", "max"),
    Column("face_ssim", "face SSIM", "max"),
    Column("face_lpips", "face LPIPS", "min"),
    Column("sharpness", "sharpness", ""),
    Column("flicker", "flicker", "min"),
    Column("background_flicker", "background flicker", "min"),
    Column("person_found", "person found", "max"),
    Column("pose_distance", "pose distance, px", "min"),
    Column("missed_detections", "missed joints", "min"),
)


def percent(share: float) -> str:
    """0.314 → "31 %"; never 0 % or 100 % where it is not exactly that."""
    rounded = round(100 * share)
    if rounded == 0 and share > 0:
        return "less than 1 %"
    return "over 99 %" if rounded == 100 and share < 1 else f"{rounded} %"


def title(method: str) -> str:
    """A method's name for people."""
    return TITLES.get(method, method.replace("_", " "))


def shown_columns(columns: Sequence[Column], result: Scores) -> list[Column]:
    """Those for which any method has a figure."""
    methods = result["methods"].values()
    return [c for c in columns if any(c.value(figures) is not None for figures in methods)]


def table(columns: Sequence[Column], result: Scores, caption: str, digits: int = 4) -> str:
    """The methods' figures, the best of each column marked. HTML."""
    columns = shown_columns(columns, result)
    rows = [
        [title(name), *(column.value(figures) for column in columns)]
        for name, figures in result["methods"].items()
    ]
    best = {i: column.better for i, column in enumerate(columns, 1) if column.better}
    header = ["method", *(column.title for column in columns)]
    return html.table(header, rows, caption, best=best, digits=digits)


def counted(result: Scores) -> str:
    """How many frames, and of whom, where one of several people was chosen."""
    of = f" of {result['who']}" if "who" in result else ""
    return f"{result['frames']} frames{of}"


def text_table(result: Scores) -> object:
    """The same for the terminal, methods across (a rich table)."""
    made = Table(title=counted(result), title_justify="left")
    made.add_column("")
    for name in result["methods"]:
        made.add_column(title(name), justify="right")
    for column in shown_columns(COLUMNS, result):
        cells, best = [], column.best(result)
        for figures in result["methods"].values():
            value = column.value(figures)
            text = html.format_value(value)
            # Not as markup: lines are printed without.
            is_best = value is not None and value == best
            cells.append(Text(text, style="bold") if is_best else Text(text))
        made.add_row(column.title, *cells)
    return made


# Joints, of 137, from which on it is said why so many are missed on true frames.
MANY_MISSED = 20
# A person who is found in fewer of the pictures than this share of that of the true ones is not one
# that people would recognise (a judgement).
RECOGNISED = 0.5
# The figures that decide between two methods, as far as pixels can.
COMPARED = {"psnr": "PSNR", "ssim": "SSIM", "body_psnr": "body PSNR", "body_ssim": "body SSIM"}


def verdict(result: Scores) -> str:
    """What the figures say of the first method, in sentences, what a person would see first: is
    somebody recognised, do the pictures stand still, and only then decibels. A difference from the
    nearest frame inside the noise of the measure is called a tie. Empty without a second method."""
    methods = result["methods"]
    if len(methods) < 2:
        return ""
    name = next(iter(methods))
    lines = [*_recognised(name, result), *_steady(name, result), *_pixels(name, result)]
    return " ".join(lines)


def recognised(figures: Mapping[str, Any], real: Mapping[str, Any] | None) -> bool | None:
    """Whether a person can be recognised in a method's pictures; None where nobody looked.

    real: figures of the true frames: where the detector fails on those, it is not the method's
    fault.
    """
    found = figures.get("person_found")
    if found is None:
        return None
    reference = (real or {}).get("person_found")
    return bool(found >= RECOGNISED * (1.0 if reference is None else reference) and found > 0)


def _recognised(name: str, result: Scores) -> list[str]:
    figures, real = result["methods"][name], result.get("reestimated_real") or {}
    known = recognised(figures, real)
    if known is None:
        why = result.get("absent", {}).get("person_found")
        return [f"Whether a person is seen was not measured: {why}."] if why else []
    share, true = figures["person_found"], real.get("person_found")
    of_true = "" if true is None else f" ({percent(true)} of the true ones)"
    if share == 0:
        text = (
            f"Nobody is recognised in the pictures of the {title(name)} model{_in_true_ones(true)}."
        )
    elif not known:
        text = (
            f"A person is recognised in only {percent(share)} of the pictures of the "
            f"{title(name)} model{of_true}."
        )
    else:
        off = figures.get("pose_distance")
        where = "" if off is None else f", {html.format_value(off)} pixels from the pose asked for"
        text = (
            f"A person is recognised in {percent(share)} of the pictures of the {title(name)} "
            f"model{of_true}{where}."
        )
    lines = [text]
    if not known:
        lines.append("More steps, more film or another method are needed before it can be used.")
    return lines


def _in_true_ones(share: float | None) -> str:
    """Added to a sentence about pictures in which nobody is found."""
    if share is None:
        return ""
    if share == 0:
        return ", nor in the true ones: the detector fails on this film, not the model"
    return f", and somebody in {percent(share)} of the true ones"


def _steady(name: str, result: Scores) -> list[str]:
    methods = result["methods"]
    ours = methods[name].get("flicker")
    theirs = methods.get(NEAREST, {}).get("flicker")
    if ours is None or theirs is None:
        return []
    figures = f"flicker {html.format_value(ours)} against {html.format_value(theirs)} grey levels"
    least = least_difference("flicker", result.get("noise", {}).get("flicker", 0.0))
    if abs(ours - theirs) < least:
        return [f"It is as steady as the nearest training frame ({figures}: a tie)."]
    word = "steadier" if ours < theirs else "less steady"
    return [f"It is {word} than the nearest training frame ({figures})."]


def _pixels(name: str, result: Scores) -> list[str]:
    """Decibels, against the nearest frame."""
    methods = result["methods"]
    if NEAREST not in methods:
        return []
    won: list[str] = []
    lost: list[str] = []
    tied: list[str] = []
    for key, label in COMPARED.items():
        ours, theirs = methods[name].get(key), methods[NEAREST].get(key)
        if ours is None or theirs is None:
            continue
        least = least_difference(key, result.get("noise", {}).get(key, 0.0))
        text = f"{label} {ours:.4g} against {theirs:.4g}"
        if abs(ours - theirs) < least:
            within = "too few frames to tell" if least == float("inf") else f"within {least:.2g}"
            tied.append(f"{text} ({within})")
        else:
            (won if ours > theirs else lost).append(text)
    if not won + lost + tied:
        return []
    parts = []
    if won:
        parts.append(f"better than the nearest training frame in {', '.join(won)}")
    if lost:
        parts.append(f"worse than the nearest training frame in {', '.join(lost)}")
    if tied:
        parts.append(f"a tie with the nearest training frame in {', '.join(tied)}")
    lines = [f"By pixels it is {'; '.join(parts)}."]
    known = recognised(methods[name], result.get("reestimated_real"))
    if won and known is False:
        lines.append(
            "That says little while nobody is recognised: an empty room with a blur in it has good "
            "figures, too."
        )
    return lines


def dashes(result: Scores) -> list[str]:
    """Why some methods have no figure where others have one, a sentence for each reason."""
    columns = shown_columns(COLUMNS, result)
    without = [
        (column, [title(n) for n, f in result["methods"].items() if column.value(f) is None])
        for column in columns
    ]
    poses = {"pose_distance", "missed_detections"}
    lines = []
    nobody = sorted({n for column, names in without if column.key in poses for n in names})
    if nobody:
        lines.append(
            f"\u2013: {' and '.join(nobody)} {_have(nobody)} no pose distance and no missed "
            "joints, because nobody was found in those pictures (person found says in how many)."
        )
    for column, names in without:
        if names and column.key not in poses:
            lines.append(
                f"\u2013: {' and '.join(names)} {_have(names)} no {column.title}, for no frame of "
                f"{'its own' if len(names) == 1 else 'theirs'} has one."
            )
    return lines


def _have(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"


def absences(result: Scores) -> list[str]:
    """What is absent and why, one sentence for each reason."""
    names: dict[str, list[str]] = {}
    for name, reason in result.get("absent", {}).items():
        names.setdefault(reason, []).append(ABSENT.get(name, name.replace("_", " ")))
    lines = []
    for reason, which in names.items():
        *first, last = which
        lines.append(f"No {', '.join(first)}{' and ' if first else ''}{last}: {reason}.")
    return lines


def remarks(result: Scores) -> list[str]:
    """What is absent and why, which dashes stand for what, then the notes."""
    return [*absences(result), *dashes(result), *result.get("notes", [])]


def detector_sentence(result: Scores) -> str | None:
    """How well the pose detector does on the true frames; None where it did not look at them."""
    real = result.get("reestimated_real")
    if not real:
        return None
    frames = f"(means over {result['reestimated_frames']} frames, as for the methods)"
    if real.get("pose_distance") is None:
        return (
            f"The detector finds nobody on the true frames themselves {frames}, so what it says of "
            "the methods means nothing: the person is too small or too little of it is in view."
        )
    parts = [
        f"{html.format_value(real[f'missed_detections_{part}'])} {of}"
        for part, of in (
            ("body", "of the body"),
            ("face", "of the face"),
            ("hands", "of the hands"),
        )
        if real.get(f"missed_detections_{part}")
    ]
    missed = html.format_value(real["missed_detections"])
    text = (
        f"On the true frames themselves the detector is {html.format_value(real['pose_distance'])} "
        f"pixels off and misses {missed} of the dataset's joints a frame {frames}"
    )
    if parts:
        text += f": {', '.join(parts)}"
    if real["missed_detections"] >= MANY_MISSED:
        text += (
            ". So many because faces and hands of few pixels are not found again in pictures of "
            "this size; compare the methods with this figure, not with 0"
        )
    return text + "."


def pose_panel(example: Example, factor: int = 1) -> UInt8[np.ndarray, "h w 3"]:
    """The pose of an example: its ready picture, or its keypoints drawn `factor` times as large."""
    if is_ready(example.pose):
        return example.pose
    height, width = example.real.shape[:2]
    keypoints = example.pose * np.array([factor, factor, 1], np.float32)
    return draw_host(keypoints, height * factor, width * factor, PoseStyle(stroke=2))


def picture_row(example: Example) -> UInt8[np.ndarray, "h w 3"]:
    """Pose, true frame, every method, and how far the first one is off, in a row with labels."""
    pose = pose_panel(example, max(1, -(-PICTURE_HEIGHT // example.real.shape[0])))
    first = next(iter(example.fakes))
    pictures = [pose, example.real, *example.fakes.values()]
    pictures.append(montage.difference(example.real, example.fakes[first]))
    labels = ["pose", "real", *map(title, example.fakes), f"error of {title(first)} (x3)"]
    return montage.side_by_side(pictures, labels, least=PICTURE_HEIGHT)


def write_report(
    path: Path,
    result: Evaluation,
    examples: Sequence[Example],
    per_frame: Mapping[str, Mapping[str, np.ndarray]],
    *,
    heading: str,
    extra: Sequence[str] = (),
) -> None:
    """Writes the page.

    Args:
      path: of the HTML file.
      examples: frames to show; per_frame: {method: {metric: [N]}} for the charts over time; both
        as score.compare gives them.
      heading: title of the page; extra: more sections (HTML) after the table.
    """
    caption = f"Means over {counted(result)}; the best of each column is green."
    figures = [html.paragraph(text) for text in (verdict(result),) if text]
    figures.append(table(COLUMNS, result, caption))
    figures += [html.paragraph(text) for text in (detector_sentence(result),) if text]
    if notes := remarks(result):
        figures.append(html.bullets(notes))
    sections = [html.section("Figures", *figures), *extra]
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
    sections.append(html.section("Over time", _charts(per_frame)))
    sections.append(what_was_evaluated(result))
    sections.append(
        html.section(
            "What the figures mean",
            html.paragraph(
                "Every figure is the mean over the frames that have it. PSNR and SSIM reward what "
                "is right on average, also where it is blurred; look at the pictures too."
            ),
            html.bullets([*definitions(), LPIPS, RESNET]),
        )
    )
    html.write(path, html.page(heading, sections, str(result.get("run") or "")))


def what_was_evaluated(result: Evaluation) -> str:
    """The facts. HTML."""
    names = ("run", "who", "step", "checkpoint", "data", "size", "frames")
    facts = {name: result.get(name) for name in names if result.get(name) is not None}
    return html.section("What was evaluated", html.facts(facts))


def _charts(per_frame: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    made = []
    for key, label in (("psnr", "PSNR, full frame"), ("body_psnr", "PSNR, body"),
                       ("flicker", "Flicker")):  # fmt: skip
        series = {title(name): figures[key] for name, figures in per_frame.items()}
        unit = "grey levels" if key == "flicker" else "dB"
        made.append(html.chart(series, label, x_label="held-out frame", y_label=unit))
    return html.columns(*made)


def definitions() -> list[str]:
    """What each figure is, a text for each, without LPIPS."""
    entries = metrics.definitions().split("\n- ")
    return [" ".join(entry.removeprefix("- ").split()) for entry in entries]
