"""Stages that end by the clock: what is saved, what comes after, what a second call does."""

from dataclasses import replace

from motion_jax.cli.terminal import Terminal
from motion_jax.events import Expected
from motion_jax.train.checkpoint import newest_record
from motion_jax.train.loop import train
from motion_jax.train.record import read_metrics
from motion_jax.train.run import load_run
from motion_jax.train.unfinished import unfinished


def test_a_stage_ends_by_its_limit_and_the_next_one_begins(tmp_path, config, dataset, capsys):
    config = replace(config, record=replace(config.record, checkpoint_every=0, trace=False))
    run = tmp_path / "run"
    # No time at all: one step; the face stage has more than it needs and makes all its steps.
    told, show = [], Terminal()

    def observer(event):
        show(event)
        told.extend([event.seconds] if isinstance(event, Expected) else [])

    limits = {"global": 0.0, "local": 0.0, "face": 1000.0}
    train(config, dataset, run, limits=limits, observer=observer)
    # The time left is that of the clock, once each stage's program is there.
    assert told == [1000.0] * 3
    record = newest_record(run / "checkpoints")
    assert record["steps_done"] == {"global": 1, "local": 1, "face": 4}
    assert record["ended"] and record["stage"] == "face"
    assert set(record["step_seconds"]) == {"global", "local", "face"}
    assert all(seconds > 0 for seconds in record["step_seconds"].values())
    assert record["compile_seconds"] > 0
    rows = read_metrics(run)
    assert [(row["stage"], row["step"]) for row in rows] == [
        ("global", 1), ("local", 1), *(("face", i) for i in range(1, 5))
    ]  # fmt: skip
    said = capsys.readouterr().err
    assert "Stage global: at most 4 steps of" in said
    assert "Stage global ends after 1 of 4 steps" in said
    assert "Trained: 6 steps" in said
    assert load_run(run).stage == "face"
    assert unfinished(load_run(run)) is None  # a limit ends a run, too

    # A run whose last stage ended early has nothing left to do, by the same limits.
    early = tmp_path / "early"
    nothing = {name: replace(config.recipe.stages()[name], steps=0, decay_steps=0)
               for name in ("local", "face")}  # fmt: skip
    stages = {f"{name}_stage": stage for name, stage in nothing.items()}
    config = replace(config, recipe=replace(config.recipe, **stages))
    train(config, dataset, early, limits={"global": 0.0})
    before = newest_record(early / "checkpoints")
    assert before["steps_done"] == {"global": 1}
    train(config, dataset, early, limits={"global": 0.0})
    assert newest_record(early / "checkpoints") == before
