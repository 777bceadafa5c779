"""The ways of retrieval on held-out frames of a dataset: how near, how steady, how much motion.

    python -m benchmarks.retrieval_quality --data data/target [--save]

Each held-out frame is shown by frames of the training part, found by its pose. A jump is a change
to a frame that was filmed neither at the same moment as the one before nor within two frames after
it.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.reporting import in_one_table, markdown
from motion_jax.errors import UserError
from motion_jax.progress import track

# Options of each way.
WAYS: dict[str, dict[str, Any]] = {
    "nearest": {"choice": "nearest"},
    "nearest, median": {"choice": "nearest", "missing": "median"},
    "threshold, lambda 0.1": {"choice": "threshold"},
    "threshold, lambda 0.3": {"choice": "threshold", "threshold": 0.3},
    "path, jump 0.1": {"jump": 0.1},
    "path, jump 1": {},
    "path, jump 3": {"jump": 3.0},
    "path, 3 blended": {"k": 3},
    "path, every 3rd": {"every": 3},
}
COLUMNS = {
    "method": "method",
    "way": "choice",
    "psnr": "PSNR",
    "distance": "pose distance",
    "jumps": "jumps, % of frames",
    "held": "held, % of frames",
    "change": "change, % of the true video's",
    "seconds": "seconds",
}


@dataclass(frozen=True)
class Options:
    """The ways of retrieval on held-out frames of a dataset."""

    data: Path
    """Dataset folder made by `motion-jax prepare`."""
    holdout: float = 0.2
    """Share of each clip, its end, whose poses are asked for; frames of the rest are shown."""
    json: bool = False
    """Print the result as JSON, alone."""
    save: bool = False
    """Keep the result in benchmarks/results/, for docs/performance.md."""


def measure(options: Options) -> dict[str, Any]:
    """The result; see `main`."""
    import numpy as np

    from motion_jax.data.pairs import stretches
    from motion_jax.data.records import open_dataset
    from motion_jax.retrieval.options import METHODS, RetrievalOptions
    from motion_jax.retrieval.retriever import Retriever

    dataset = open_dataset(options.data)
    if not 0 < options.holdout < 1:
        raise UserError(f"--holdout {options.holdout:g} is not between 0 and 1.")
    held = stretches(dataset, options.holdout, "heldout")
    parts = stretches(dataset, options.holdout, "train")
    if not held or not parts:
        raise UserError(f"{options.data} has no held-out or no training frames; give another.")
    training = np.concatenate([np.arange(first, first + count) for first, count in parts])
    keypoints = dataset.keypoints()
    found = []
    ways = [(method, way) for method in METHODS for way in WAYS]
    for method, way in track(ways, "Ways of retrieval"):
        begin = time.perf_counter()
        made = Retriever(dataset, method, RetrievalOptions(**WAYS[way]), records=training)
        rows: dict[str, list[float]] = {
            name: [] for name in ("psnr", "distance", "jumps", "held", "change", "real")
        }
        for first, count in held:
            poses = keypoints[first : first + count]
            chosen = made.choose(poses)
            steps = np.diff(chosen.records[:, 0])
            rows["distance"] += chosen.distances.tolist()
            rows["jumps"] += ((steps < 0) | (steps > 2)).tolist()
            rows["held"] += (steps == 0).tolist()
            before = None
            for record, picture in zip(
                range(first, first + count), made.pictures(poses), strict=True
            ):
                pair = np.stack([picture, made.frames.read(record)[0]]).astype(np.float32)
                error = float(np.square(pair[0] - pair[1]).mean())
                rows["psnr"].append(10 * np.log10(255**2 / max(error, 1e-6)))
                if before is not None:
                    apart = np.abs(pair - before).mean((1, 2, 3))
                    rows["change"].append(float(apart[0]))
                    rows["real"].append(float(apart[1]))
                before = pair
        mean = {name: float(np.mean(values or [0.0])) for name, values in rows.items()}
        found.append(
            {
                "method": method,
                "way": way,
                "psnr": round(mean["psnr"], 2),
                "distance": float(f"{mean['distance']:.3g}"),
                "jumps": round(100 * mean["jumps"], 1),
                "held": round(100 * mean["held"], 1),
                "change": round(100 * mean["change"] / max(mean["real"], 1e-6), 1),
                "seconds": round(time.perf_counter() - begin, 2),
            }
        )
    height, width = dataset.size
    return {
        "data": options.data.resolve().name,
        "size": f"{width}x{height}",
        "training_frames": len(training),
        "frames": int(sum(count for _, count in held)),
        "ways": found,
    }


def section(result: dict[str, Any]) -> str:
    """Markdown for docs/performance.md."""
    return (
        f"The {result['frames']} held-out frames of `{result['data']}` ({result['size']}), shown "
        f"by the {result['training_frames']} others. Pose distance: in shares of the frame's "
        "height (nearest) or of the limbs' length (nearest-angle). Change: the mean difference "
        "of two frames that follow each other; above 100 % the result moves more than the true "
        "video.\n\n" + markdown(result["ways"], COLUMNS)
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints and keeps {"ways": [{"method", "way", "psnr", …}], …}."""
    in_one_table("retrieval_quality", Options, measure, COLUMNS, arguments, "ways")


if __name__ == "__main__":
    main()
