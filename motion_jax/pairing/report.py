"""The pairing report: DATASET/report/pairing.json, pairs.csv and index.html."""

import csv
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from motion_jax import files
from motion_jax.data.advice import percent
from motion_jax.data.quality import overlay
from motion_jax.pairing.match import REASONS, Matches, Paired
from motion_jax.pairing.options import PairOptions
from motion_jax.report import html, montage
from motion_jax.report.charts import Values

# Pairs on a contact sheet, and the height of their pictures.
SHOWN, HEIGHT = 6, 176
# Of the distances to the nearest frame.
BINS, QUANTILES = 30, (0.05, 0.25, 0.5, 0.75, 0.95)
# With a smaller share of B's frames the network sees little of B.
LITTLE = 0.25
PARTS = {"train": "training", "heldout": "held out"}


@dataclass(frozen=True)
class Part:
    """Figures of the training part or of the held-out part, as pairing.json holds them.

    Attributes:
      frames_a: frames of A; frames_b: frames of B that could have been chosen.
      pairs: how many were kept; dropped: how many were not, by reason.
      share_a_paired: of A's frames, those that have a partner.
      share_b_used: of B's frames that could have been chosen, those that are a partner.
      most_often_used: the frame of B that most pairs share: its record, how many ("times").
      kept_median_distance: of the pairs kept.
      nearest_distance: of A's frames from their nearest: quantiles, {"5 %": …}; histogram: the same
        as "edges" and "counts". All distances are in torso lengths.
    """

    frames_a: int
    frames_b: int
    pairs: int
    dropped: dict[str, int]
    share_a_paired: float
    share_b_used: float
    most_often_used: dict[str, int] | None
    kept_median_distance: float | None
    nearest_distance: dict[str, float]
    histogram: dict[str, list]

    @classmethod
    def of(cls, matches: Matches) -> "Part":
        """Counts the matches."""
        kept, near = matches.kept, matches.distance[:, 0]
        finite = near[np.isfinite(near)]
        used, times = np.unique(matches.b[kept], return_counts=True)
        counts, edges = np.histogram(finite, BINS) if len(finite) else (np.zeros(0), np.zeros(0))
        most = (
            {"record": int(used[times.argmax()]), "times": int(times.max())} if len(used) else None
        )
        return cls(
            frames_a=len(kept),
            frames_b=int(matches.asked),
            pairs=int(kept.sum()),
            dropped=matches.dropped,
            share_a_paired=float(kept.any(1).mean()),
            share_b_used=float(len(used) / matches.asked),
            most_often_used=most,
            kept_median_distance=float(np.median(matches.distance[kept])) if len(used) else None,
            nearest_distance={
                f"{round(100 * q)} %": float(np.quantile(finite, q))
                for q in QUANTILES
                if len(finite)
            },
            histogram={"edges": edges.tolist(), "counts": counts.tolist()},
        )


def parts_of(paired: Paired) -> dict[str, Part]:
    """Figures of the parts that there are, "train" and "heldout"."""
    return {name: Part.of(matches) for name, matches in paired.matches.items()}


def figures(options: PairOptions, paired: Paired) -> dict[str, Any]:
    """What pairing.json holds."""
    names = "k", "max_distance", "mutual", "compare", "normalize", "holdout"
    return {
        "version": 1,
        "kind": options.kind,
        "a": str(options.a),
        "b": str(options.b),
        "size": [paired.b.info.height, paired.b.info.width],
        "options": {name: getattr(options, name) for name in names},
        "torso_pixels": round(paired.torso, 3),
        "pairs": sum(len(run.a) for run in paired.runs),
        "clips": len(paired.runs),
        "parts": {name: asdict(part) for name, part in parts_of(paired).items()},
    }


def summary(paired: Paired) -> str:
    """What came out, in a line."""
    parts = parts_of(paired)
    part, held = parts["train"], parts["heldout"].pairs if "heldout" in parts else 0
    text = (
        f"{part.pairs} pairs for training and {held} held out: {percent(part.share_a_paired)} of "
        f"A's frames have a partner, {percent(part.share_b_used)} of B's frames are one; median "
        f"distance of the pairs that are kept {part.kept_median_distance:.3f} torso lengths, of "
        f"all frames of A from their nearest {part.nearest_distance['50 %']:.3f}."
    )
    for name, title in (("train", "Dropped"), ("heldout", "Dropped of the held-out frames")):
        counts = parts[name].dropped.items() if name in parts else ()
        dropped = [f"{reason}: {n}" for reason, n in counts if n]
        text += f" {title}: {', '.join(dropped)}." if dropped else ""
    return text


def flattering(holdout: float) -> str:
    """What it means that no pair is held out, and what to do; holdout: what `pair` was given."""
    remedy = "--holdout 0.2"
    if holdout:
        remedy = "longer clips, a larger --holdout or a larger --max-distance"
    return (
        "No pair is held out: training holds out the ends of the paired clips (data.holdout), "
        "and pictures of B that lie there may be trained on as well, so figures of evaluate "
        f"flatter; pair again with {remedy}."
    )


def notes(options: PairOptions, paired: Paired) -> list[str]:
    """What a user should know before training."""
    part, found = Part.of(paired.matches["train"]), []
    if part.share_a_paired < 0.5:
        found.append(
            f"Only {percent(part.share_a_paired)} of A's frames have a partner within "
            f"{options.max_distance:g} torso lengths: A moves in ways that B never does. Film B in "
            "A's poses, or give a larger --max-distance and expect wrong limbs."
        )
    if part.share_b_used < LITTLE:
        found.append(
            f"Only {percent(part.share_b_used)} of B's frames are used, so the network sees "
            "little of B; a larger --k uses more."
        )
    if not any(run.held_out for run in paired.runs):
        found.append(flattering(options.holdout))
    return found


def write_report(out: Path, options: PairOptions, paired: Paired) -> None:
    """Writes the three files. Raises UserError where they cannot be written."""
    folder, parts, info = out / "report", parts_of(paired), paired.b.info
    found = figures(options, paired)
    files.write_json(folder / "pairing.json", found)
    files.write_text(folder / "pairs.csv", _csv(paired))
    a, b = (dataset.folder.resolve().name for dataset in (paired.a, paired.b))
    sections = [
        *(html.notice(text) for text in notes(options, paired)),
        _numbers(parts, paired.torso),
        _distances(parts["train"], options.max_distance),
        _coverage(paired),
        *_sheets(paired),
    ]
    subtitle = (
        f"{options.kind}: {found['pairs']} pairs of {a} (A) and {b} (B), {info.width}x{info.height}"
    )
    title = f"Pairs of {out.resolve().name}"
    html.write(folder / "index.html", html.page(title, sections, subtitle))


def _csv(paired: Paired) -> str:
    """Every pair that was considered, and whether it was kept or why not."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["part", "a_record", "b_record", "rank", "distance_torsos", "fate"])
    for part, matches in paired.matches.items():
        for row in range(len(matches.a)):
            for rank in range(matches.a.shape[1]):
                reason = REASONS[matches.reason[row, rank]]
                a, b = matches.a[row, rank], matches.b[row, rank]
                distance = f"{matches.distance[row, rank]:.5f}"
                writer.writerow([part, a, b, rank + 1, distance, reason])
    return text.getvalue()


def _numbers(parts: Mapping[str, Part], torso: float) -> str:
    rows = [
        [
            PARTS[name],
            part.frames_a,
            part.frames_b,
            part.pairs,
            percent(part.share_a_paired),
            percent(part.share_b_used),
            part.kept_median_distance,
            part.nearest_distance.get("50 %"),
            *part.dropped.values(),
        ]
        for name, part in parts.items()
    ]
    header = ["part", "frames of A", "frames of B", "pairs", "A with partner", "B used"]
    header += ["median distance, kept", "median distance, all of A"]
    header += [*(f"dropped: {name}" for name in REASONS[1:])]
    return html.section(
        "What was paired",
        html.table(header, rows, digits=3),
        html.paragraph(
            "Held-out frames of A are only paired with held-out frames of B. Distances are in "
            f"lengths of B's torso ({torso:.1f} pixels)."
        ),
    )


def _distances(part: Part, limit: float) -> str:
    edges, counts = part.histogram["edges"], part.histogram["counts"]
    x = np.repeat(edges, 2)
    y = np.concatenate([[0], np.repeat(counts, 2), [0]])
    series: dict[str, tuple[Values, Values]] = {"frames of A": (x, y)}
    if edges and edges[0] <= limit <= edges[-1] * 1.5:
        series["largest distance kept"] = ([limit, limit], [0, max(counts)])
    return html.section(
        "Distance to the nearest frame of B",
        html.chart(series, x_label="torso lengths", y_label="frames", height=200),
        html.facts({f"{q} of the frames below": v for q, v in part.nearest_distance.items()}),
    )


def _coverage(paired: Paired) -> str:
    train = paired.matches["train"]
    near = np.where(np.isfinite(train.distance[:, 0]), train.distance[:, 0], np.nan)
    times = paired.a.times()[train.a[:, 0]]
    dots = train.kept[:, 0]
    uses = Counter(train.b[train.kept].tolist()).most_common(6)
    often = {f"B at {paired.b.times()[record]:.2f} s": count for record, count in uses}
    return html.section(
        "Over time",
        html.columns(
            html.chart(
                {"kept": (times[dots], near[dots]), "dropped": (times[~dots], near[~dots])},
                "Distance of each frame of A",
                kind="points",
                x_label="seconds of A",
                y_label="torso lengths",
            ),
            html.chart(
                {"kept": (times[dots], paired.b.times()[train.b[dots, 0]])},
                "Which moment of B it got",
                kind="points",
                x_label="seconds of A",
                y_label="seconds of B",
            ),
        ),
        "<h3>Frames of B that most pairs share</h3>" + html.bars(often, unit=" pairs"),
    )


def _sheets(paired: Paired) -> list[str]:
    """Contact sheets of the best, the worst and the nearest dropped pairs."""
    train = paired.matches["train"]
    kept = np.argwhere(train.kept)
    dropped = np.argwhere(~train.kept & np.isfinite(train.distance))
    groups = {
        "Best pairs": _spread(train, kept, 1),
        "Worst pairs that are kept": _spread(train, kept, -1),
        "Nearest pairs that are dropped": _spread(train, dropped, 1),
    }
    caption = "Each: the frame of A, B's frame, and B's frame with A's fitted pose drawn over it."
    sections = []
    for title, places in groups.items():
        if len(places):
            cells = [_cell(paired, train, *place) for place in places]
            picture = montage.grid(cells, 2 if cells[0].shape[1] > 420 else 3, 8)
            sheet = html.image(picture, caption, least=700, quality=88)
            sections.append(html.section(title, sheet))
    return sections


def _spread(matches: Matches, places: np.ndarray, sign: int) -> np.ndarray:
    """SHOWN of the `places` (frame, rank), nearest first (sign 1) or farthest first (-1); of
    neighbouring frames only one."""
    if not len(places):
        return places
    order = np.argsort(sign * matches.distance[tuple(places.T)], kind="stable")
    chosen: list[np.ndarray] = []
    apart = max(1, len(matches.a) // (4 * SHOWN))
    for place in places[order]:
        if all(abs(int(place[0]) - int(other[0])) >= apart for other in chosen):
            chosen.append(place)
        if len(chosen) == SHOWN:
            break
    return np.array(chosen)


def _cell(paired: Paired, matches: Matches, row: int, rank: int) -> np.ndarray:
    a, b = int(matches.a[row, rank]), int(matches.b[row, rank])
    mine, theirs = paired.a[a]["frame"], paired.b[b]["frame"]
    pictures = [
        montage.to_height(mine, HEIGHT),
        montage.to_height(theirs, HEIGHT),
        overlay(theirs, paired.poses[a], HEIGHT),
    ]
    text = (
        f"A {paired.a.times()[a]:.2f} s, B {paired.b.times()[b]:.2f} s: "
        f"{matches.distance[row, rank]:.3f} torso lengths"
    )
    return montage.labelled(montage.side_by_side(pictures), text)
