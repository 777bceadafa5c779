"""Whose pictures, of the people that a run knows, are most like somebody new: where `motion-jax
adapt` begins."""

from typing import Any

import numpy as np

from motion_jax.config import Config
from motion_jax.data.records import PoseFrames
from motion_jax.train.dataset import ShownPart, with_background
from motion_jax.train.run import Run

# Moments of the new person's film that everybody is drawn in.
MOMENTS = 8


def closest(known: Run, config: Config, dataset: PoseFrames, stage: str) -> str:
    """The name of the one who, drawn in the new person's poses before the new film's background,
    differs least from its frames (mean absolute difference of MOMENTS training frames).

    Args:
      known: a run that knows several people. config, dataset, stage: of the new person.
    """
    part = ShownPart(config, stage, with_background(dataset, config))
    records = np.concatenate([np.arange(a, a + n) for a, n in part.runs("train")])
    chosen = records[
        np.linspace(0, len(records) - 1, min(MOMENTS, len(records))).round().astype(int)
    ]
    moments: dict[str, Any] = part.of(chosen)
    real = moments["frames"].astype(np.float32)
    player, names = known.synthesizer(), known.people
    differences = []
    for who in np.eye(len(names), dtype=np.float32):
        told = {**moments, "identities": np.tile(who, (len(chosen), 1))}
        made = player.feed(known.seen(told))
        differences.append(float(np.abs(made - real).mean()))
    return names[int(np.argmin(differences))]
