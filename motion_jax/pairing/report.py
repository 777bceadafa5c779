"""The pairing report: DATASET/report/pairing.json, pairs.csv and index.html."""

import csv
import io
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
BINS = 30
# Below this share of B's frames the network sees little of B.
LITTLE = 0.25
PARTS = {"train": "training", "heldout": "held out"}


def figures(options: PairOptions, paired: Paired) -> dict[str, Any]:
    """What pairing.json holds."""
    parts = {name: _part(matches) for name, matches in paired.matches.items()}
    return {
        "version": 1,
        "kind": options.kind,
        "a": str(options.a),
        "b": str(options.b),
        "size": [paired.b.info.height, paired.b.info.width],
        "options": {
            "k": options.k,
            "max_distance": options.max_distance,
            "mutual": options.mutual,
            "compare": options.compare,
            "normalize": options.normalize,
            "holdout": options.holdout,
        },
        "torso_pixels": round(paired.torso, 3),
        "pairs": sum(len(run.a) for run in paired.runs),
        "clips": len(paired.runs),
        "parts": parts,
    }


def _part(matches: Matches) -> dict[str, Any]:
    """Figures of one part. Coverage: shares of A's frames that have a partner and of B's frames
    (those that were asked) that are one."""
    kept, near = matches.kept, matches.distance[:, 0]
    finite = near[np.isfinite(near)]
    used, times = np.unique(matches.b[kept], return_counts=True)
    counts, edges = np.histogram(finite, BINS) if len(finite) else (np.zeros(0), np.zeros(0))
    quantiles = (0.05, 0.25, 0.5, 0.75, 0.95)
    return {
        "frames_a": len(kept),
        "frames_b": int(matches.asked),
        "pairs": int(kept.sum()),
        "dropped": {name: int((matches.reason == i).sum()) for i, name in enumerate(REASONS) if i},
        "share_a_paired": float(kept.any(1).mean()),
        "share_b_used": float(len(used) / matches.asked),
        "most_often_used": {"record": int(used[times.argmax()]), "times": int(times.max())}
        if len(used)
        else None,
        "kept_median_distance": float(np.median(matches.distance[kept])) if kept.any() else None,
        "nearest_distance": {
            f"{round(100 * q)} %": float(np.quantile(finite, q)) for q in quantiles
        }
        if len(finite)
        else {},
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }


def summary(paired: Paired) -> str:
    """What came out, in a line."""
    parts = {name: _part(matches) for name, matches in paired.matches.items()}
    part, held = parts["train"], parts.get("heldout", {"pairs": 0})
    text = (
        f"{part['pairs']} pairs for training and {held['pairs']} held out: "
        f"{percent(part['share_a_paired'])} of A's frames have a partner, "
        f"{percent(part['share_b_used'])} of B's frames are one; median distance of the pairs that "
        f"are kept {part['kept_median_distance']:.3f} torso lengths, of all frames of A from their "
        f"nearest {part['nearest_distance']['50 %']:.3f}."
    )
    for name, title in (("train", "Dropped"), ("heldout", "Dropped of the held-out frames")):
        counts = parts[name]["dropped"].items() if name in parts else ()
        dropped = [f"{reason}: {n}" for reason, n in counts if n]
        text += f" {title}: {', '.join(dropped)}." if dropped else ""
    return text


def flattering(holdout: float) -> str:
    """What follows where no pair is held out, and what to do; holdout: what `pair` was given."""
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
    part, found = _part(paired.matches["train"]), []
    if part["share_a_paired"] < 0.5:
        found.append(
            f"Only {percent(part['share_a_paired'])} of A's frames have a partner within "
            f"{options.max_distance:g} torso lengths: A moves in ways that B never does. Film B in "
            "A's poses, or give a larger --max-distance and expect wrong limbs."
        )
    if part["share_b_used"] < LITTLE:
        found.append(
            f"Only {percent(part['share_b_used'])} of B's frames are used, so the network sees "
            "little of B; a larger --k uses more."
        )
    if not any(run.held_out for run in paired.runs):
        found.append(flattering(options.holdout))
    return found


def write_report(out: Path, options: PairOptions, paired: Paired) -> None:
    """Writes the three files. Raises UserError where they cannot be written."""
    folder, found = out / "report", figures(options, paired)
    files.write_json(folder / "pairing.json", found)
    files.write_text(folder / "pairs.csv", _csv(paired))
    names = [paired.a.folder.resolve().name, paired.b.folder.resolve().name]
    remarks = notes(options, paired)
    sections = [html.notice(text) for text in remarks]
    sections.append(_numbers(found))
    sections.append(_distances(found, options))
    sections.append(_coverage(paired))
    sections += _sheets(paired)
    subtitle = (
        f"{options.kind}: {found['pairs']} pairs of {names[0]} (A) and {names[1]} (B), "
        f"{found['size'][1]}x{found['size'][0]}"
    )
    title = f"Pairs of {out.resolve().name}"
    html.write(folder / "index.html", html.page(title, sections, subtitle))


def _csv(paired: Paired) -> str:
    """Every pair that was looked at, with its fate."""
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


def _numbers(found: dict[str, Any]) -> str:
    rows = []
    for name, part in found["parts"].items():
        median = part["nearest_distance"].get("50 %")
        rows.append(
            [
                PARTS[name],
                part["frames_a"],
                part["frames_b"],
                part["pairs"],
                percent(part["share_a_paired"]),
                percent(part["share_b_used"]),
                part["kept_median_distance"],
                median,
                *part["dropped"].values(),
            ]
        )
    header = ["part", "frames of A", "frames of B", "pairs", "A with partner", "B used"]
    header += ["median distance, kept", "median distance, all of A"]
    header += [*(f"dropped: {name}" for name in REASONS[1:])]
    return html.section(
        "What was paired",
        html.table(header, rows, digits=3),
        html.paragraph(
            "Held-out frames of A are paired with held-out frames of B alone. Distances are in "
            f"lengths of B's torso ({found['torso_pixels']:.1f} pixels)."
        ),
    )


def _distances(found: dict[str, Any], options: PairOptions) -> str:
    part = found["parts"]["train"]
    edges, counts = part["histogram"]["edges"], part["histogram"]["counts"]
    x = np.repeat(edges, 2)
    y = np.concatenate([[0], np.repeat(counts, 2), [0]])
    limit = options.max_distance
    series: dict[str, tuple[Values, Values]] = {"frames of A": (x, y)}
    if edges and edges[0] <= limit <= edges[-1] * 1.5:
        series["largest distance kept"] = ([limit, limit], [0, max(counts)])
    return html.section(
        "Distance to the nearest frame of B",
        html.chart(series, x_label="torso lengths", y_label="frames", height=200),
        html.facts({f"{q} of the frames below": v for q, v in part["nearest_distance"].items()}),
    )


def _coverage(paired: Paired) -> str:
    train = paired.matches["train"]
    near = np.where(np.isfinite(train.distance[:, 0]), train.distance[:, 0], np.nan)
    times = paired.a.times()[train.a[:, 0]]
    dots = train.kept[:, 0]
    used, counts = np.unique(train.b[train.kept], return_counts=True)
    often = {f"B at {paired.b.times()[r]:.2f} s": int(n) for r, n in _most(used, counts)}
    return html.section(
        "Over time",
        html.columns(
            html.chart(
                {
                    "kept": (times[dots], near[dots]),
                    "dropped": (times[~dots], near[~dots]),
                },
                "Distance of each frame of A",
                kind="points",
                x_label="seconds of A",
                y_label="torso lengths",
            ),
            html.chart(
                {
                    "kept": (times[dots], paired.b.times()[train.b[dots, 0]]),
                },
                "Which moment of B it got",
                kind="points",
                x_label="seconds of A",
                y_label="seconds of B",
            ),
        ),
        "<h3>Frames of B that most pairs share</h3>" + html.bars(often, unit=" pairs"),
    )


def _most(used: np.ndarray, counts: np.ndarray, number: int = 6) -> list[tuple[int, int]]:
    order = np.argsort(-counts, kind="stable")[:number]
    return [(int(used[i]), int(counts[i])) for i in order]


def _sheets(paired: Paired) -> list[str]:
    """Contact sheets: A, its pose on B's frame, and B's frame, of the best, worst and nearest
    dropped pairs."""
    train = paired.matches["train"]
    kept = np.argwhere(train.kept)
    dropped = np.argwhere(~train.kept & np.isfinite(train.distance))
    groups = {
        "Best pairs": _spread(train, kept, 1),
        "Worst pairs that are kept": _spread(train, kept, -1),
        "Nearest pairs that are dropped": _spread(train, dropped, 1),
    }
    sections = []
    for title, places in groups.items():
        if not len(places):
            continue
        cells = [_cell(paired, train, *place) for place in places]
        picture = montage.grid(cells, 2 if cells[0].shape[1] > 420 else 3, 8)
        sections.append(
            html.section(
                title,
                html.image(
                    picture,
                    "Each: the frame of A, B's frame, and B's frame with A's fitted pose drawn "
                    "over it.",
                    least=700,
                    quality=88,
                ),
            )
        )
    return sections


def _spread(matches: Matches, places: np.ndarray, sign: int) -> np.ndarray:
    """The first SHOWN of `places` (frame, rank) by distance, of neighbouring frames only one."""
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
