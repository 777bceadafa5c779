"""The page about an imported dataset: DATASET/report/index.html, and what it can and cannot do."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from motion_jax.data.folders import counted
from motion_jax.data.import_options import LABELLED
from motion_jax.data.records import DatasetInfo, PoseFrames
from motion_jax.report import html, montage

SHOWN = 12
HEIGHT = 192


def held_out(info: DatasetInfo) -> int:
    """How many of the clips are held out; pictures left out cut one into several of one number."""
    return sum(clip in info.held_out for clip, *_ in info.clips)


def remarks(dataset: PoseFrames) -> Iterator[tuple[str, str]]:
    """Yields (what the dataset lacks, what follows from it)."""
    info = dataset.info
    domains = sorted({source["domain"] for source in info.sources if "domain" in source})
    if info.options.get("layout") == LABELLED:
        yield (
            "real and synthetic pictures without poses",
            "for a detector of synthetic ones (fake_detector), not for making pictures",
        )
    elif domains:
        yield (
            "pictures of two domains without partners",
            "for an unpaired recipe (CycleGAN); there are no poses in it",
        )
    elif not dataset.has_keypoints:
        yield (
            "no keypoints",
            "poses are known only as pictures, so driving poses cannot be normalised to this "
            "body, bodies are not measured, and a run is driven with --ready-poses"
            + (" or by keypoints drawn in the known style" if info.pose_style else ""),
        )
    elif info.pose_pictures and info.pose_style is None:
        yield (
            "an unknown style of drawing",
            "keypoints of a driving video cannot be drawn like the pose pictures; --drawn-as says "
            "how",
        )
    boxes = dataset.face_boxes()
    share = float((boxes[:, 2] > boxes[:, 0]).mean()) if len(boxes) else 0.0
    if not domains and not share:
        yield "no face boxes", "the face stage has nothing to learn; leave it out"
    longest = max(length for _, length in dataset.clips)
    if longest == 1:
        yield (
            "each picture a clip of its own",
            "recipes that see two consecutive frames cannot train on it, recipes of single "
            "pictures can",
        )
    if not info.held_out and longest == 1:
        yield (
            "nothing held out",
            "single pictures have no end to keep, and SOURCE has no test folder",
        )


def write_report(path: Path, dataset: PoseFrames) -> None:
    """Writes the page. Raises UserError where it cannot be written."""
    info = dataset.info
    chosen = np.unique(np.linspace(0, len(dataset) - 1, min(SHOWN, len(dataset))).astype(int))
    rows = []
    for record in chosen:
        row = dataset[int(record)]
        pictures = [row[name] for name in reversed(dataset.pictures)]
        rows.append(montage.side_by_side([montage.to_height(p, HEIGHT) for p in pictures]))
    columns = [
        [s["file"], s.get("domain", ""), s["phase"], s["frames"], s["kept"]] for s in info.sources
    ]
    lacks = [f"{lack.capitalize()}: {result}." for lack, result in remarks(dataset)]
    skipped = info.detection.get("skipped", [])
    sections = [
        html.section(
            "What it lacks",
            html.bullets(lacks) if lacks else html.paragraph("Nothing that training needs."),
        ),
        html.section(
            "What is in it",
            html.table(["folder", "domain", "phase", "pictures", "kept"], columns, "", best={}),
            html.facts(
                {
                    "size": f"{info.width}x{info.height}",
                    "clips": len(info.clips),
                    "held out": counted(held_out(info), "clip"),
                    "frames stored as": info.picture,
                    "pose pictures": info.pose_encoding or "none",
                }
            ),
        ),
        html.section(
            "Pictures",
            html.image(
                montage.grid(rows, 3),
                f"{len(rows)} records, evenly spread; "
                + ("the pose on the left." if info.pose_pictures else "the frame."),
                least=760,
                quality=88,
            ),
        ),
    ]
    if skipped:
        shown = [*skipped[:200], *(["…"] if len(skipped) > 200 else [])]
        sections.append(html.section(f"Left out: {len(skipped)} damaged", html.bullets(shown)))
    size = f"{info.width}x{info.height}"
    text = f"{counted(len(dataset), 'picture')} of {size}, imported ({info.options['layout']})"
    html.write(path, html.page(f"Dataset {dataset.folder.resolve().name}", sections, text))
