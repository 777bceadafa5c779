"""What is said of a run that was stopped before its end."""

from pathlib import Path

import pytest

from motion_jax.config import load_config
from motion_jax.train import unfinished as module
from motion_jax.train.run import Run
from motion_jax.train.unfinished import tell_unfinished, unfinished


@pytest.fixture
def run():
    """One of three stages that takes a dataset; no checkpoint is opened."""
    return Run(
        folder=Path("my run"),
        config=load_config("everybody_dance_now"),
        stage="global",
        step=2,
        params={},
        dataset={"path": "../d"},
    )


def test_a_stopped_run_says_how_far_it_is_and_how_it_goes_on(run, monkeypatch, capsys):
    stages = run.config.recipe.stages()
    total = sum(stage.steps for stage in stages.values())
    first, last = next(iter(stages)), list(stages)[-1]
    record = {"stage": first, "step": 2, "total_step": 2, "steps_done": {first: 2}, "ended": False}
    monkeypatch.setattr(module, "newest_record", lambda folder: record)
    tell_unfinished(run)
    size = f"{stages[first].width}x{stages[first].height}"
    assert capsys.readouterr().err == (
        f"This run has learned 2 of {total:,} steps, only its first stage at {size}; "
        "`motion-jax train --data d --run 'my run'` goes on.\n"
    )
    # The first stage is done, the others are not.
    record |= {"ended": True}
    assert "only its first stage" in str(unfinished(run))
    record |= {"stage": last, "step": 5, "total_step": 9, "steps_done": {first: 2, last: 5}}
    record |= {"ended": False}
    assert str(unfinished(run)).startswith(f"This run has learned 7 of {total:,} steps; ")


def test_nothing_is_said_of_a_run_at_its_end(run, monkeypatch, capsys):
    stages = run.config.recipe.stages()
    first, last = next(iter(stages)), list(stages)[-1]
    ends = (
        {"stage": last, "step": 5, "total_step": 9, "ended": True},  # by the clock
        {"stage": last, "step": stages[last].steps, "total_step": 9},  # of an earlier version
        {"stage": first, "step": 0, "total_step": 0, "imported": {}},
        {},
    )
    for record in ends:
        monkeypatch.setattr(module, "newest_record", lambda folder, record=record: record)
        tell_unfinished(run)
    assert capsys.readouterr().err == ""
