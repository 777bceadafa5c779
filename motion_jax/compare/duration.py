"""How long a comparison takes, in figures and in words. Needs no jax, so that a page can say it
before anything begins."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from motion_jax.errors import UserError, option
from motion_jax.plan.methods import Method

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
# Seconds that compiling a step takes, before any is compiled: on two busy cores, and for a GPU.
COMPILING = {"cpu": 40.0}
COMPILING_ELSEWHERE = 60.0
# Seconds that the scores and the film of a method take on a minute of film (a judgement).
SCORING = {"cpu": 60.0}
SCORING_ELSEWHERE = 20.0


def parse_budget(text: str) -> float:
    """Seconds of "90s", "10m", "1.5h" or "600". Raises UserError for anything else, and for 0."""
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([smh]?)", text.strip().lower())
    seconds = float(found[1]) * UNITS[found[2]] if found else 0.0
    if not seconds:
        raise UserError(
            f"{option('budget')} {text} is no time to train; give seconds, minutes or hours, for "
            "example 90s, 10m or 1h."
        )
    return seconds


def show_seconds(seconds: float) -> str:
    """As --budget takes it: "90s", "10m"."""
    if seconds >= 60 and seconds % 60 == 0:
        return f"{seconds / 60:g}m"
    return f"{seconds:g}s"


def compile_seconds(stages: int, platform: str) -> float:
    """Of so many stages; platform: of the devices ("cpu", or another one)."""
    return stages * COMPILING.get(platform, COMPILING_ELSEWHERE)


def score_seconds(methods: int, platform: str) -> float:
    """Of the scores and films of so many methods."""
    return methods * SCORING.get(platform, SCORING_ELSEWHERE)


@dataclass(frozen=True)
class Duration:
    """Seconds that a comparison takes, estimated, by what they are for; learning is exact."""

    learning: float
    compiling: float
    scores: float

    @property
    def all(self) -> float:
        return self.learning + self.compiling + self.scores


def expected(methods: Sequence[Method], budget: float, platform: str) -> Duration:
    """Of a comparison of which nothing is there yet. budget: seconds of each that is trained."""
    trained = [method for method in methods if method.trained]
    stages = sum(len(method.shares) for method in trained)
    return Duration(
        budget * len(trained),
        compile_seconds(stages, platform),
        score_seconds(len(methods), platform),
    )


def announcement(budget: float, trained: int, unknown: int, platform: str) -> str:
    """How long it all takes, before anything is compiled or trained.

    Args:
      budget: seconds of each method; trained: how many are trained.
      unknown: stages that are still to be compiled.
      platform: of the devices.
    """
    if not trained:
        return "Nothing is trained; the pictures are made in a few minutes at most."
    training, compiling = budget * trained, compile_seconds(unknown, platform)
    text = (
        f"{trained} method{'s are' if trained > 1 else ' is'} trained for "
        f"{show_seconds(budget)}{' each' if trained > 1 else ''}: {clock(training)}."
    )
    if unknown:
        text += (
            f" Before that the steps of {unknown} stage{'s' if unknown > 1 else ''} are compiled, "
            f"once each: about {clock(compiling)} (estimated). All together about "
            f"{clock(training + compiling)}, and then the scores and films of all methods."
        )
    return text


def clock(seconds: float) -> str:
    """For people: "40 s", "12 minutes", "1 h 20 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} minutes" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
