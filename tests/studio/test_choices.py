"""Three ways to learn, told apart by their time; and a training's limit of minutes."""

import re
from dataclasses import replace

import pytest

from motion_jax.cli.train import _limits, shared_out
from motion_jax.config import load_config
from motion_jax.errors import UserError
from motion_jax.plan.choices import LOOK, RESULT, SAMPLES, choices
from motion_jax.plan.machine import Machine
from motion_jax.plan.suggest import Candidate, Dataset, Suggestion

DATA = Dataset(2000, 1999, 256, 256, 0.0, 1.0, "data set")
MACHINE = Machine("a machine", False, 1e10, {}, "measured")


def suggestion(hours, chosen=0):
    """Of configs that take so many hours, the best first; None: cannot be trained here."""
    found = [
        Candidate(f"config{i}", load_config("two_cores"), ("--width", "8"), 1e9,
                  None if taken is None else 3600 * taken, "too large" if taken is None else "")
        for i, taken in enumerate(hours)
    ]  # fmt: skip
    return Suggestion(DATA, MACHINE, None if chosen is None else found[chosen], found)


def told(hours, chosen=0):
    return [(c.name, c.candidate.name, c.minutes) for c in choices(suggestion(hours, chosen))]


def test_a_look_a_result_and_the_best():
    assert told([8, 1.5, 0.7]) == [
        ("look", "config2", LOOK), ("result", "config1", RESULT), ("best", "config0", None)
    ]  # fmt: skip
    # What is done sooner has no limit, and is not offered twice.
    assert told([0.3], 0) == [("look", "config0", LOOK), ("result", "config0", None)]
    assert told([0.02], 0) == [("look", "config0", None)]
    # Nothing ends within a night: the quickest, for a night.
    assert told([200, 60], 1)[-1] == ("best", "config1", 720)
    assert told([None, 0.3], 1)[0] == ("look", "config1", LOOK)
    assert told([None], None) == []


def test_the_words_are_a_command():
    found = choices(suggestion([8, 1.5, 0.7]))
    words = found[0].words(DATA)
    assert words[:6] == ["train", "config2", "--data", "data set", "--minutes", "3"]
    assert words[-2:] == ["--width", "8"]
    every = int(words[words.index("--record.sample-every") + 1])
    steps = found[0].candidate.steps
    assert every == round(steps * 3 / 42 / SAMPLES)
    assert found[0].seconds == 180 and found[2].seconds == 8 * 3600
    unknown = choices(Suggestion(DATA, MACHINE, None, [replace(found[0].candidate, seconds=None)]))
    assert [(c.name, c.minutes) for c in unknown] == [("look", 3), ("result", 30), ("best", None)]


def test_minutes_are_shared_out_by_pixels():
    config = load_config("two_cores")
    limits = _limits(config, 2.0)
    assert sum(limits.values()) == pytest.approx(120) and set(limits) == set(config.recipe.stages())
    assert limits["local"] / limits["global"] == pytest.approx(4 * 1550 / 600)
    assert _limits(config, None) is None
    # Both are said; a stage without steps has no share.
    said = shared_out(_limits(config, 1.0))
    assert re.match(r"1 minute of learning: \d+ s global, \d+ s local, \d+ s face; comp", said)
    assert shared_out({"global": 0.25, "local": 89.75, "face": 0.0}) == (
        "1.5 minutes of learning: 0.2 s global, 90 s local; compiling, saving and samples come "
        "besides."
    )
    assert ": 10 min main; " in shared_out({"main": 600.0})
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="no time to train"):
            _limits(config, wrong)
