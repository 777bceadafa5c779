"""Three ways to train on a dataset on this machine, told apart by their time.

Each is one of the shipped configs as suggest.py makes it fit the dataset, with a limit of minutes
(`motion-jax train --minutes`) where its steps would take longer.
"""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motion_jax import files
from motion_jax.config import Data
from motion_jax.data.records import open_dataset
from motion_jax.plan.machine import measured_machine
from motion_jax.plan.options import SuggestOptions
from motion_jax.plan.suggest import (
    NIGHT_HOURS,
    Candidate,
    Dataset,
    Suggestion,
    facts_of,
    propose,
)
from motion_jax.plan.words import duration, sentences
from motion_jax.progress import say

# Minutes of training steps: what is seen soon, and what one waits for. Judgements.
LOOK, RESULT = 3.0, 30.0
# Sample pictures over a whole training, for whom it is to be seen.
SAMPLES = 12


@dataclass(frozen=True)
class Choice:
    """One way to train.

    Attributes:
      name: "look", "result" or "best".
      candidate: the config that is trained.
      minutes: the limit that is given to it; None: all its steps are made.
      seconds: of its steps, with the limit, estimated; None where the speed is not known.
    """

    name: str
    candidate: Candidate
    minutes: float | None
    seconds: float | None

    def words(self, dataset: Dataset) -> list[str]:
        """Of the command, without the run's folder."""
        limit = [] if self.minutes is None else ["--minutes", f"{self.minutes:g}"]
        train = ["train", self.candidate.name, "--data", dataset.place]
        samples = ["--record.sample-every", str(self.sample_every)]
        return [*train, *limit, *samples, *self.candidate.settings]

    @property
    def sample_every(self) -> int:
        """Steps between samples, so that there are SAMPLES of them."""
        whole, seconds = self.candidate.seconds, self.seconds
        share = 1.0 if whole is None or seconds is None else min(seconds / whole, 1.0)
        return max(round(share * self.candidate.steps / SAMPLES), 10)

    def to_json(self, dataset: Dataset) -> dict[str, Any]:
        """Plain values; "words" as in `words`."""
        return {
            "name": self.name,
            "config": self.candidate.name,
            "size": self.candidate.size,
            "minutes": self.minutes,
            "seconds": self.seconds,
            "time": None if self.seconds is None else duration(self.seconds),
            "words": self.words(dataset),
        }


def choices(suggestion: Suggestion) -> list[Choice]:
    """The ways, the shortest first; [] where no config can be trained here. Where the speed is not
    known, the limits alone say how long each takes."""
    possible = [c for c in suggestion.candidates if not c.against]
    if not possible:
        return []
    quickest = min(possible, key=lambda c: c.seconds or 0.0)
    # The best config of which half an hour is at least a quarter: with less it shows nothing yet.
    fed = [c for c in possible if c.seconds is not None and c.seconds <= 4 * 60 * RESULT]
    middle = fed[0] if fed else quickest
    best = suggestion.chosen or quickest
    found: list[Choice] = []
    limits = (("look", quickest, LOOK), ("result", middle, RESULT), ("best", best, None))
    for name, candidate, minutes in limits:
        made = _limited(name, candidate, minutes)
        # A longer way that is no longer, and no other, is none.
        if not any(_same(made, other) for other in found):
            found.append(made)
    return found


def _limited(name: str, candidate: Candidate, minutes: float | None) -> Choice:
    seconds = candidate.seconds
    if minutes is None and seconds is not None and seconds > 3600 * NIGHT_HOURS:
        minutes = 60 * NIGHT_HOURS
    if minutes is None:
        return Choice(name, candidate, None, seconds)
    if seconds is None or seconds > 60 * minutes:
        return Choice(name, candidate, minutes, 60 * minutes)
    return Choice(name, candidate, None, seconds)


def _same(a: Choice, b: Choice) -> bool:
    return a.candidate is b.candidate and a.minutes == b.minutes


def suggest(options: SuggestOptions) -> dict[str, Any]:
    """Prints the choices; returns their JSON. Raises UserError where there is no dataset in the
    folder."""
    place = str(options.data)
    dataset = facts_of(open_dataset(options.data), Data().holdout, place)
    suggestion = propose(dataset, measured_machine())
    found = choices(suggestion)
    result: dict[str, Any] = {
        "device": suggestion.machine.device,
        "frames": dataset.frames,
        "length": dataset.length,
        "short": dataset.short,
        "text": sentences(suggestion),
        "choices": [choice.to_json(dataset) for choice in found],
    }
    if options.out is not None:
        files.write_json(Path(options.out), result)
    if options.json:
        print(json.dumps(result, indent=2))
        return result
    # Before commands that nobody should give.
    if not found or dataset.short:
        say(" ".join(result["text"]))
    for choice in found:
        time = "?" if choice.seconds is None else duration(choice.seconds)
        command = shlex.join(["motion-jax", *choice.words(dataset), "--run", "RUN"])
        say(f"{choice.name}, about {time} (estimated) on {suggestion.machine.device}:\n  {command}")
    if found and not dataset.short and suggestion.machine.busy:
        say(suggestion.machine.busy)
    return result
