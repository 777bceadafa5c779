"""The whole two-frame training step of Everybody Dance Now, ours beside PyTorch's.

    python -m benchmarks.train_step --size 256 --filters 64 --against torch --json

Ours is the recipe's step as the training loop runs it (compiled_step), pose drawing included; the
other is torch_step.py, which gets ready pictures. Same networks, losses and optimisers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import common, pair

STEPS_ON_CARD = 10  # without waiting in between, as training does


@dataclass(frozen=True)
class Options(pair.PairOptions):
    """Time and memory of a training step, ours beside PyTorch's, in turns."""


def measure(options: Options) -> dict[str, Any]:
    """Raises UserError where a side cannot be measured."""
    setup = pair.setup_of(options, "train_step")
    count = 1 if options.device == "cpu" else STEPS_ON_CARD
    with pair.sides(options, setup) as workers:
        first = pair.warm_up(workers, 1, options.warmup)
        before = {side: worker.ask("memory") for side, worker in workers.items()}
        seconds = pair.turns(workers, options.repeats, count)
        peaks = pair.memory(workers, before)
        described = {side: worker.ask("describe") for side, worker in workers.items()}
    result = pair.result_of(options, setup, seconds, peaks, first, described)
    pair.utilisation(result, options, images=2 * options.batch)
    return result
