"""Films that a run makes of other people's motion, where there is no true picture: is a person
found in them, where the pose was asked to be, and does the room stand still?

The film is made as `motion-jax transfer` makes it. What its person should look like nobody knows,
but the pose estimator is asked what it sees, as for held-out frames (reestimate.py).
"""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from motion_jax import events
from motion_jax.data.find_plates import THICKNESS, person_mask
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.evaluate.reestimate import REAL, Detector, Reestimation
from motion_jax.evaluate.score import Figures, Piece
from motion_jax.metrics import frames as metrics
from motion_jax.metrics.frames import FlickerMeter
from motion_jax.pose.skeleton import BODY
from motion_jax.progress import Meter
from motion_jax.report import html, montage
from motion_jax.train.run import Run
from motion_jax.transfer.options import TransferOptions

# Pictures of a film that a report shows, at even distances.
SHOWN = 10
COLUMNS = (
    ("person_found", "person found", "max"),
    ("pose_distance", "pose distance, px", "min"),
    ("missed_detections", "missed joints", "min"),
    ("background_flicker", "background flicker", "min"),
    ("ghost", "ghost", "min"),
)
MEANING = (
    "Person found, pose distance and missed joints are of the pose that was asked for. "
    "Background flicker: the mean change from frame to frame outside the body, where nothing "
    "should change. Ghost: the share of the matte that lies away from the body's limbs (runs with "
    "a background plate only)."
)


def measure_films(
    options: EvaluateOptions, run: Run, detector: Detector
) -> tuple[dict[str, Figures], dict[str, UInt8[np.ndarray, "h w 3"]]]:
    """({source's name: the figures of its film}, {source's name: its sheet of pictures}).

    Raises UserError for a source that cannot be read or shows nobody.
    """
    figures: dict[str, Figures] = {}
    sheets: dict[str, np.ndarray] = {}
    for source in options.source:
        # Two films of one name are told apart by their folders.
        same = [other for other in options.source if other.name == source.name]
        name = str(source) if len(same) > 1 else source.name
        with events.stage(name, 0.0, 1.0):
            figures[name], sheets[name] = _film(options, run, detector, source)
    return figures, sheets


def _film(
    options: EvaluateOptions, run: Run, detector: Detector, source: Path
) -> tuple[Figures, np.ndarray]:
    from motion_jax.transfer.command import prepared

    plated = run.config.recipe.background == "plate"
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="motion_jax_"))
        performance = prepared(
            TransferOptions(
                source=source,
                run=options.run,
                step=options.step,
                normalize=options.normalize,
                joints=options.joints,
                pose_model=options.pose_model,
                detail=detector.detail,
                background="alpha" if plated else "plate",
                # Never written; only its name is looked at.
                out=Path(folder) / ("film.mov" if plated else "film.mp4"),
            )
        )
        meter = FlickerMeter(1)
        ghosts: list[float] = []
        flickers: list[float] = []
        kept: list[np.ndarray] = []
        wanted = set(np.linspace(0, performance.count - 1, SHOWN).round().astype(int).tolist())
        heights: list[float] = []
        progress = stack.enter_context(Meter(f"Film of {source.name}", performance.count))

        def pieces() -> Iterator[Piece]:
            shots = performance.player.play(performance.moments)
            for i, (moment, picture) in enumerate(shots):
                progress.advance()
                keypoints = moment.keypoints
                if plated:
                    if height := _height(keypoints):
                        heights.append(height)
                    usual = float(np.median(heights)) if heights else 0.0
                    ghosts.append(_ghost(picture[..., 3], keypoints, usual))
                    picture = _before(picture, run.plates[run.plate])
                box = metrics.body_boxes(keypoints[None], *picture.shape[:2])
                still = np.zeros((1, *picture.shape), np.uint8)
                found = meter.feed(still, picture[None], box)
                flickers.append(float(found["background_flicker"][0]))
                if i in wanted:
                    kept.append(picture.copy())
                # There is no true frame: the film stands in its place, and the pose that was
                # asked for in that of the true pose.
                yield Piece(
                    picture[None], {}, keypoints[None], np.zeros((1, 4)), i == 0,
                    [f"{moment.time:.2f} s"],
                )  # fmt: skip

        figures: Figures = dict.fromkeys(key for key, _, _ in COLUMNS)
        if detector.bundle is None:
            for _ in pieces():
                pass
        else:
            with Reestimation(detector.bundle, detector.detail, options.film_frames) as asked:
                for _ in asked.tap(pieces()):
                    pass
                of_methods, _ = asked.results()
                figures |= of_methods.get(REAL, {})
        figures["background_flicker"] = metrics.mean(np.array(flickers))
        if ghosts:
            figures["ghost"] = metrics.mean(np.array(ghosts))
        return figures, _sheet(kept)


def _height(keypoints: Float[np.ndarray, "137 3"]) -> float:
    seen = keypoints[BODY][keypoints[BODY][:, 2] > 0]
    return float(np.ptp(seen[:, 1])) if len(seen) > 1 else 0.0


def _ghost(
    alpha: UInt8[np.ndarray, "h w"], keypoints: Float[np.ndarray, "137 3"], height: float
) -> float:
    """The share of alpha that is further from the limbs than clothes and hair reach; NaN where
    there is neither a pose nor a person."""
    rows, columns = alpha.shape
    near = person_mask(keypoints, rows, columns, 2 * THICKNESS * height)
    total = float(alpha.sum(dtype=np.float64))
    if total == 0 or not near.any():
        return float("nan")
    return float(alpha[~near].sum(dtype=np.float64)) / total


def _before(
    picture: UInt8[np.ndarray, "h w 4"], plate: UInt8[np.ndarray, "h w 3"]
) -> UInt8[np.ndarray, "h w 3"]:
    alpha = picture[..., 3:].astype(np.float32) / 255
    laid = alpha * picture[..., :3] + (1 - alpha) * plate
    return np.rint(laid).astype(np.uint8)


def _sheet(pictures: Sequence[np.ndarray]) -> UInt8[np.ndarray, "h w 3"]:
    """Two rows of pictures, enlarged where they are small."""
    large = [montage.enlarge(picture, 224) for picture in pictures]
    half = -(-len(large) // 2)
    blank = [np.full_like(large[0], 255)] * (2 * half - len(large))
    rows = [large[:half], large[half:] + blank]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows if row], axis=0)


def films_section(figures: dict[str, Figures], sheets: dict[str, np.ndarray]) -> str:
    """The part of the report that shows the films. HTML."""
    known = [c for c in COLUMNS if any(each.get(c[0]) is not None for each in figures.values())]
    rows = [[name, *(each.get(key) for key, _, _ in known)] for name, each in figures.items()]
    header = ["source", *(title for _, title, _ in known)]
    pictures = [
        html.image(sheet, f"{name}: frames at even distances.", least=900, quality=90)
        for name, sheet in sheets.items()
    ]
    table = html.table(header, rows, "Films of other people's motion, where no truth is known.")
    return html.section("Films", table, html.paragraph(MEANING), *pictures)


def film_lines(figures: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The figures for a terminal, a line for each film."""
    lines = []
    for name, each in figures.items():
        known = [
            f"{title} {html.format_value(each[key])}"
            for key, title, _ in COLUMNS
            if each.get(key) is not None
        ]
        lines.append(f"Moving like {name}: {', '.join(known)}.")
    return lines
