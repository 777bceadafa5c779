"""A suggestion in words and tables, for a dataset's report, a terminal and --json."""

from pathlib import Path
from typing import Any

from motion_jax.config import Data, load_config
from motion_jax.data.quality import TrainingAdvice
from motion_jax.data.records import open_dataset
from motion_jax.errors import UserError
from motion_jax.plan.machine import Machine, measured_machine
from motion_jax.plan.methods import METHODS, base_config
from motion_jax.plan.suggest import (
    NIGHT_HOURS,
    WEEK_HOURS,
    Candidate,
    Dataset,
    Suggestion,
    at_once,
    facts_of,
    propose,
)


def _against(candidate: Candidate) -> list[str]:
    """All that speaks against a candidate, in words."""
    reasons = [candidate.against] if candidate.against else []
    if candidate.seconds is not None and candidate.seconds > WEEK_HOURS * 3600:
        reasons.append("would take over a week")
    elif candidate.seconds is not None and candidate.seconds > NIGHT_HOURS * 3600:
        reasons.append(f"would take {duration(candidate.seconds)}")
    return reasons


def duration(seconds: float) -> str:
    """For people: "12 minutes", "3.4 hours", "5 days"."""
    if seconds < 90 * 60:
        minutes = max(round(seconds / 60), 1)
        return f"{minutes} minute{'s' if minutes > 1 else ''}"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} hours"
    return f"{seconds / 86400:.0f} days"


def sentences(suggestion: Suggestion, command: str | None = None) -> list[str]:
    """The suggestion for people. command: a word in its place, where it is shown beside them."""
    dataset, machine, chosen = suggestion.dataset, suggestion.machine, suggestion.chosen
    lines = [
        f"You have {dataset.frames:,} training frames of {dataset.width}x{dataset.height} "
        "(the end of each clip is held out to measure the result)."
    ]
    if chosen is None:
        reasons = "; ".join(f"{c.name} {' and '.join(_against(c))}" for c in suggestion.candidates)
        lines.append(f"None of the shipped configs can be trained here: {reasons}.")
        if machine.busy:
            lines.append(machine.busy)
        return [*lines, *_instead(dataset, machine)]
    if dataset.short:
        lines.append(
            "That is too little film for a network. Show real frames chosen by pose, which needs "
            f"no training: `{at_once(dataset)}`; or film a minute more of varied movement. What "
            "follows is for the case that you train all the same."
        )
        command = None
    command = command or f"`{suggestion.command}`"
    if chosen.seconds is None:
        lines.append(f"Train with {command}. How long it takes is not known: {machine.how}.")
    else:
        lines.append(
            f"{command} takes about {duration(chosen.seconds)} on this machine ({machine.device}): "
            f"{chosen.steps:,} steps of {chosen.seconds / chosen.steps:.2g} s on average, "
            f"{machine.how}; and about {chosen.memory_bytes / 1e9:.1f} GB of memory."
        )
        if machine.busy:
            lines.append(machine.busy)
        if chosen.seconds > NIGHT_HOURS * 3600:
            lines.append(
                "That is longer than a night; fewer steps (--recipe.local-stage.steps) or a "
                "smaller --width make it shorter, and the result worse."
            )
    for other in _better(suggestion, chosen):
        reasons = " and ".join(_against(other))
        lines.append(f"{other.name} would give a better picture, but {reasons}.")
    if "vgg19" in chosen.config.recipe.pretrained():
        lines.append("It needs the weights of VGG-19, once: motion-jax fetch vgg19.")
    shipped = load_config(chosen.name).recipe.network_size("width")
    width = chosen.config.recipe.network_size("width")
    if width != shipped:
        lines.append(
            f"The network is {width} channels wide instead of {shipped}: a larger one soon learns "
            "so few frames by heart (a rule of thumb, not a measurement)."
        )
    return lines


def _better(suggestion: Suggestion, chosen: Candidate) -> list[Candidate]:
    """Those that are worth naming beside the chosen one: none for a film that is too short for any
    network, and none that would take over a week."""
    if suggestion.dataset.short:
        return []
    better = suggestion.candidates[: suggestion.candidates.index(chosen)]
    return [each for each in better if (each.seconds or 0) <= WEEK_HOURS * 3600]


def _instead(dataset: Dataset, machine: Machine) -> list[str]:
    """What can be done where no shipped config can be trained."""
    lines = [f"Without any training, this works at once: `{at_once(dataset)}`."]
    fitting = []
    for method in METHODS.values():
        try:
            if method.trained:
                size = dataset.height, dataset.width
                base_config(method, size, on_cpu=not machine.accelerator, holdout=0.2, seed=0)
        except UserError:
            continue
        fitting.append(method.name)
    if any(METHODS[name].trained for name in fitting):
        chosen = "" if len(fitting) == len(METHODS) else f" --methods {','.join(fitting)}"
        lines.append(
            f"Smaller networks that fit this size are trained and compared by `motion-jax compare "
            f"--target {dataset.place} --source VIDEO --out FOLDER{chosen}`."
        )
    return lines


def to_json(suggestion: Suggestion) -> dict[str, Any]:
    """Plain values; "config" is the chosen one's name, or None."""
    chosen = suggestion.chosen
    return {
        "text": " ".join(sentences(suggestion)),
        "command": suggestion.command if chosen else None,
        "recommended": suggestion.recommended,
        **_plain(chosen),
        "candidates": [_plain(c) | {"against": c.against} for c in suggestion.candidates],
    }


def _plain(candidate: Candidate | None) -> dict[str, Any]:
    if candidate is None:
        return {"config": None}
    return {
        "config": candidate.name,
        "settings": list(candidate.settings),
        "size": candidate.size,
        "steps": candidate.steps,
        "hours": candidate.seconds / 3600 if candidate.seconds else None,
        "memory_gb": candidate.memory_bytes / 1e9 or None,
    }


HEADINGS = ("config", "size", "width", "blocks", "steps", "memory", "time", "")


def rows(suggestion: Suggestion) -> list[list[str]]:
    """A row a candidate, under HEADINGS."""
    return [
        [
            candidate.name,
            candidate.size,
            str(candidate.config.recipe.network_size("width")),
            str(candidate.config.recipe.network_size("blocks")),
            f"{candidate.steps:,}",
            f"{candidate.memory_bytes / 1e9:.1f} GB" if candidate.memory_bytes else "–",
            _shown_time(candidate.seconds),
            "proposed" if candidate is suggestion.chosen else "; ".join(_against(candidate)),
        ]
        for candidate in suggestion.candidates
    ]


def _shown_time(seconds: float | None) -> str:
    if not seconds:
        return "–"
    return "over a week" if seconds > WEEK_HOURS * 3600 else duration(seconds)


def advise(folder: Path) -> TrainingAdvice:
    """What to train on a dataset on this machine, whose speed is measured for it (two seconds).

    Raises UserError where there is no dataset in the folder.
    """
    dataset = facts_of(open_dataset(folder), Data().holdout, str(folder))
    return in_words(propose(dataset, measured_machine()))


def in_words(suggestion: Suggestion) -> TrainingAdvice:
    """The suggestion as a dataset's report and a terminal show it."""
    return TrainingAdvice(
        text=" ".join(sentences(suggestion)),
        sentences=sentences(suggestion, "This"),
        command=suggestion.recommended,
        headings=HEADINGS,
        rows=rows(suggestion),
    )
