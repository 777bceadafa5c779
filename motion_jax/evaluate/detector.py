"""A detector of synthetic pictures (a run of a recipe that detects), measured on pictures that it
was not trained on, and asked about a file.

A picture is new in two ways: its person, or its method, was in no picture of the training. Each
group of synthetic pictures stands against the real pictures of the same kind of people.
"""

import bisect
import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import jax
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from rich.table import Table

from motion_jax import files
from motion_jax.data.fitting import Fit, place
from motion_jax.data.import_options import LABELLED
from motion_jax.data.labels import Label, label_of
from motion_jax.data.pairs import Frames, limit, stretches
from motion_jax.data.records import PoseFrames, encode_picture
from motion_jax.errors import UserError, option
from motion_jax.evaluate.held_out import dataset_of
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.metrics import roc
from motion_jax.progress import Meter, say
from motion_jax.recipes.pixels import to_float
from motion_jax.report import charts, html, montage
from motion_jax.train.run import Run, fingerprint, load_chosen, load_run
from motion_jax.video.image_files import BICUBIC

# How a group is called by what of it is new: the person, the method.
GROUPS = {
    (False, False): "seen people, seen methods",
    (True, False): "new people, seen methods",
    (False, True): "seen people, new methods",
    (True, True): "new people, new methods",
}
# The rate of false alarms at which it is asked how much is found.
FALSE_ALARMS = 0.05
BATCH = 32
_COLUMNS = {
    "auc": "AUC",
    "found": f"found at {FALSE_ALARMS:.0%} false alarms",
    "right": "right at 0.5",
    "synthetic": "synthetic",
    "real": "real",
}


@dataclass(frozen=True)
class Judged:
    """The pictures of one film or folder.

    Attributes:
      name, label: in the dataset; new_person, new_method: whether training had none of it.
      logits: of each picture; first: the first one.
    """

    name: str
    label: Label
    new_person: bool
    new_method: bool
    logits: Float[np.ndarray, " n"]
    first: UInt8[np.ndarray, "h w 3"]

    @property
    def synthetic(self) -> bool:
        return bool(self.label.method)


def judge(run: Run) -> Callable[[Sequence[np.ndarray]], Float[np.ndarray, " n"]]:
    """A function from pictures uint8 [h, w, 3] of the run's size to their logits."""
    recipe = run.config.recipe

    @jax.jit
    def logits(params: Any, pictures: jax.Array) -> jax.Array:
        return recipe.logits(params, to_float(pictures))

    def judged(pictures: Sequence[np.ndarray]) -> Float[np.ndarray, " n"]:
        found = [np.zeros(0)]
        for start in range(0, len(pictures), BATCH):
            some = np.stack(pictures[start : start + BATCH])
            # One shape, so that there is one compilation.
            padded = np.concatenate([some, np.repeat(some[-1:], BATCH - len(some), axis=0)])
            found.append(np.asarray(logits(run.params, padded))[: len(some)])
        return np.concatenate(found).astype(np.float64)

    return judged


def measure_detector(options: EvaluateOptions) -> dict[str, Any]:
    """Measures a checkpoint on the held-out pictures of its dataset, or on all pictures of another
    one (options.data); writes evaluation.json, pictures.csv, roc.png and index.html, and returns
    the contents of evaluation.json.

    "groups": {name in GROUPS or "all": {"auc", "found", "right", "synthetic", "real"}}: area under
    the ROC curve, share found at FALSE_ALARMS, share of right answers at a probability of 0.5,
    numbers of pictures; "methods" and "people" likewise, of one method or person; "films": the same
    figures of whole films and folders, by the mean of their logits. Raises UserError for bad input,
    before anything is written.
    """
    run = load_chosen(options.run, options.step)
    dataset, part = _dataset(options, run)
    out = options.out or options.run / "evaluation"
    with files.results_in(out):
        found = list(_judged(run, dataset, part, options.max_frames))
        groups = {"all": found} | {
            name: chosen
            for (person, method), name in GROUPS.items()
            if (chosen := _against(found, person, method))
        }
        methods = sorted({each.label.method for each in found if each.synthetic})
        people = sorted({each.label.person for each in found})
        result: dict[str, Any] = {
            "run": str(options.run),
            "step": run.step,
            "checkpoint": run.checkpoint,
            "data": str(dataset.folder),
            "groups": _figures(groups),
            "methods": _figures({name: _of_method(found, name) for name in methods}),
            "people": _figures(
                {name: [e for e in found if e.label.person == name] for name in people}
            ),
            "films": _film_figures(found),
        }
        files.write_json(out / "evaluation.json", result)
        files.write_text(out / "pictures.csv", _csv(found))
        files.write_bytes(out / "roc.png", encode_picture(_drawn(groups), "png"))
        _write_page(out / "index.html", options.run, result, groups, found)
    say(f"Report: {out / 'index.html'}")
    return result


def text_tables(result: dict[str, Any]) -> list[Table]:
    """The tables of `measure_detector`, for the screen."""
    made = []
    for title in ("groups", "methods", "people"):
        table = Table(title, *_COLUMNS.values())
        for name, row in result[title].items():
            table.add_row(name, *(html.format_value(row[column], 3) for column in _COLUMNS))
        made.append(table)
    return made


def _dataset(options: EvaluateOptions, run: Run) -> tuple[PoseFrames, str]:
    """The dataset, and which part of it is judged."""
    dataset = dataset_of(options, run)
    if dataset.info.options.get("layout") != LABELLED:
        raise UserError(
            f"The run {options.run} tells synthetic pictures from real ones, and "
            f"{dataset.folder} does not say which are which; give a dataset of motion-jax "
            f"import-data {option('layout')} {LABELLED}."
        )
    same = fingerprint(dataset) == run.dataset["fingerprint"]
    part = "heldout" if same else "all"
    domains = {
        letter for letter in "AB" if stretches(dataset, run.config.data.holdout, part, letter)
    }
    if domains != {"A", "B"}:
        missing = "synthetic" if "A" not in domains else "real"
        raise UserError(
            f"{dataset.folder} holds no {missing} pictures to measure on; put some into "
            f"its folder test/ and import it again, or give another dataset with {option('data')}."
        )
    return dataset, part


def _judged(run: Run, dataset: PoseFrames, part: str, most: int | None) -> Iterator[Judged]:
    info, ask = dataset.info, judge(run)
    known = [
        label_of(source["file"])
        for source in run.dataset["info"]["sources"]
        if source.get("phase", "train") == "train"
    ]
    people, methods = {label.person for label in known}, {label.method for label in known}
    frames = Frames(dataset, *run.size, crop=run.config.data.augment.crop)
    runs = stretches(dataset, run.config.data.holdout, part)
    if most is not None:
        if most < 1:
            raise UserError(f"{option('max_frames')} {most} is less than 1; give a number.")
        runs = limit(runs, most)
    starts = [first for _, _, first, _ in info.clips]
    by_source: dict[int, list[int]] = {}
    for first, count in runs:
        source = info.clips[bisect.bisect_right(starts, first) - 1][1]
        by_source.setdefault(source, []).extend(range(first, first + count))
    with Meter("Judging", sum(map(len, by_source.values()))) as meter:
        for source, records in by_source.items():
            name, logits = info.sources[source]["file"], []
            for start in range(0, len(records), BATCH):
                some = records[start : start + BATCH]
                logits.append(ask([frames.read(record)[0] for record in some]))
                meter.advance(len(some))
            label = label_of(name)
            yield Judged(
                name,
                label,
                label.person not in people,
                label.method not in methods,
                np.concatenate(logits),
                frames.read(records[0])[0],
            )


def _against(found: Sequence[Judged], new_person: bool, new_method: bool) -> list[Judged]:
    """One group's synthetic pictures and the real ones of that kind of people; [] where either is
    missing."""
    people = [each for each in found if each.new_person == new_person]
    made = [each for each in people if each.synthetic and each.new_method == new_method]
    real = [each for each in people if not each.synthetic]
    return [*made, *real] if made and real else []


def _of_method(found: Sequence[Judged], method: str) -> list[Judged]:
    """A method's pictures and the real ones of its people."""
    made = [each for each in found if each.label.method == method]
    people = {each.label.person for each in made}
    return made + [e for e in found if not e.synthetic and e.label.person in people]


def _scores(group: Sequence[Judged]) -> tuple[np.ndarray, np.ndarray]:
    logits = [each.logits for each in group]
    synthetic = [np.full(len(each.logits), each.synthetic) for each in group]
    return np.concatenate(logits), np.concatenate(synthetic)


def _figures(groups: dict[str, list[Judged]]) -> dict[str, dict[str, Any]]:
    return {name: _row(*_scores(group)) for name, group in groups.items()}


def _film_figures(found: Sequence[Judged]) -> dict[str, Any]:
    means = np.array([each.logits.mean() for each in found])
    return _row(means, np.array([each.synthetic for each in found]))


def _row(scores: np.ndarray, synthetic: np.ndarray) -> dict[str, Any]:
    both = synthetic.any() and not synthetic.all()
    return {
        "auc": roc.area(scores, synthetic) if both else None,
        "found": roc.found_at(scores, synthetic, FALSE_ALARMS) if both else None,
        "right": float(((scores > 0) == synthetic).mean()),
        "synthetic": int(synthetic.sum()),
        "real": int((~synthetic).sum()),
    }


def _csv(found: Sequence[Judged]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["source", "method", "person", "picture", "probability"])
    for each in found:
        for number, logit in enumerate(each.logits):
            row = [each.name, *each.label, number, f"{probability(logit):.6f}"]
            writer.writerow(row)
    return text.getvalue()


def _write_page(
    path: Path,
    run: Path,
    result: dict[str, Any],
    groups: dict[str, list[Judged]],
    found: Sequence[Judged],
) -> None:
    curves = {
        f"{name} (AUC {result['groups'][name]['auc']:.3f})": roc.curve(*_scores(group))
        for name, group in groups.items()
    }
    sections = [
        html.section(
            "Receiver operating characteristic",
            charts.chart(
                curves, x_label="real pictures that are called synthetic",
                y_label="synthetic pictures that are found", height=420,
            ),
        )
    ]  # fmt: skip
    for title in ("groups", "methods", "people"):
        rows = [[name, *row.values()] for name, row in result[title].items()]
        sections.append(
            html.section(title.capitalize(), html.table([title, *_COLUMNS.values()], rows))
        )
    rows = [[each.name, float(probability(each.logits.mean())), len(each.logits)] for each in found]
    cells = [
        montage.labelled(montage.enlarge(each.first), f"{probability(each.logits.mean()):.2f}")
        for each in sorted(found, key=lambda each: -each.logits.mean())
    ]
    sections.append(
        html.section(
            "Films and folders",
            html.image(
                montage.grid(cells, min(len(cells), 6)), "The likeliest to be synthetic first"
            ),
            html.table(["source", "probability", "pictures"], rows),
        )
    )
    heading = f"What {run.resolve().name} tells apart"
    html.write(path, html.page(heading, sections))


def _drawn(groups: dict[str, list[Judged]], side: int = 420) -> UInt8[np.ndarray, "h w 3"]:
    """The curves as a picture."""
    left, top, row = 60, 20, 24
    picture = np.full((top + side + 60 + row * len(groups), left + side + 30, 3), 255, np.uint8)
    grey, font = (150, 150, 150), cv2.FONT_HERSHEY_SIMPLEX

    def at(x: float, y: float) -> tuple[int, int]:
        return left + round(x * side), top + round((1 - y) * side)

    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        cv2.line(picture, at(0, tick), at(1, tick), (225, 225, 225), 1)
        cv2.line(picture, at(tick, 0), at(tick, 1), (225, 225, 225), 1)
        x, y = at(tick, 0)
        cv2.putText(picture, f"{tick:g}", (x - 12, y + 18), font, 0.42, grey, 1, cv2.LINE_AA)
        x, y = at(0, tick)
        cv2.putText(picture, f"{tick:g}", (x - 42, y + 5), font, 0.42, grey, 1, cv2.LINE_AA)
    cv2.line(picture, at(0, 0), at(1, 1), grey, 1, cv2.LINE_AA)
    words = "across: false alarms; up: found"
    cv2.putText(picture, words, (left, top + side + 40), font, 0.45, grey, 1, cv2.LINE_AA)
    palette = ((60, 60, 60), (31, 119, 180), (214, 90, 20), (44, 140, 44), (170, 40, 130))
    for number, (name, group) in enumerate(groups.items()):
        colour, scores = palette[number], _scores(group)
        points = np.array([at(x, y) for x, y in zip(*roc.curve(*scores), strict=True)])
        cv2.polylines(picture, [points], False, colour, 2, cv2.LINE_AA)
        y = top + side + 60 + row * number
        cv2.line(picture, (left, y - 4), (left + 26, y - 4), colour, 2, cv2.LINE_AA)
        text = f"{name}: AUC {roc.area(*scores):.3f}"
        cv2.putText(picture, text, (left + 36, y), font, 0.45, (40, 40, 40), 1, cv2.LINE_AA)
    return picture


def probability(logit: Any) -> Any:
    """The logistic function."""
    return 1 / (1 + np.exp(-np.asarray(logit, np.float64)))


def ask(folder: Path, pictures: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> dict[str, Any]:
    """What a detector's run says of the pictures of a file: "run", "probability" (of the mean
    logit), "pictures" (how many), "lowest" and "highest" probability of one.

    The pictures are brought to the run's size as its training pictures were. Raises UserError for a
    run that is no detector.
    """
    run = load_run(folder)
    if not run.config.recipe.detects:
        raise UserError(
            f"The run {folder} makes pictures and judges none; give {option('detector')} a run of "
            "fake_detector."
        )
    kept = run.dataset["info"]["sources"][0].get("fit")
    fit: Fit = kept if kept in ("letterbox", "crop") else "stretch"
    fitted = []
    for picture in pictures:
        placed = place(picture.shape[:2], run.size, fit)
        fitted.append(np.asarray(placed.picture(Image.fromarray(picture), BICUBIC)))
    logits = judge(run)(fitted)
    return {
        "run": str(folder),
        "probability": round(float(probability(logits.mean())), 4),
        "pictures": len(fitted),
        "lowest": round(float(probability(logits.min())), 4),
        "highest": round(float(probability(logits.max())), 4),
    }
