"""A run that begins with another run's weights."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from motion_jax import cli
from motion_jax.errors import UserError
from motion_jax.train import imported
from motion_jax.train.adapt import BASE, adapt, adapted_config
from motion_jax.train.adapt_options import AdaptOptions
from motion_jax.train.checkpoint import Checkpoints
from motion_jax.train.loop import train
from motion_jax.train.run import load_run
from motion_jax.train.step import abstract_state


@pytest.fixture(scope="module")
def film(tmp_path_factory, write_dataset):
    """Of another person."""
    return write_dataset(tmp_path_factory.mktemp("film") / "dataset", seed=1)


@pytest.fixture(scope="module")
def base(tmp_path_factory, dataset, config):
    """Of one stage, whose step then is the one that is compiled for the new person, too."""
    recipe = replace(
        config.recipe,
        local_stage=replace(config.recipe.local_stage, steps=0, decay_steps=0),
        face_stage=replace(config.recipe.face_stage, steps=0, decay_steps=0),
        global_stage=config.recipe.local_stage,
    )
    folder = tmp_path_factory.mktemp("base") / "many"
    train(replace(config, recipe=recipe), dataset, folder)
    return folder


def leaves(tree):
    return jax.tree.leaves(tree)


def test_it_begins_with_the_base_and_learns_the_new_person(base, film, tmp_path, capsys):
    run = tmp_path / "new"
    arguments = ["adapt", str(base), "--data", str(film), "--run", str(run), "--steps", "4"]
    cli.main(arguments)
    said = capsys.readouterr()
    assert "of the base many (step 4), trained on 1 video" in said.out + said.err
    begun, after = load_run(run, "0"), load_run(run)
    old = load_run(base)
    assert [*begun.params] == [*old.params] and after.step == 4
    for here, there in zip(leaves(begun.params), leaves(old.params), strict=True):
        np.testing.assert_array_equal(here, there)
    moved = zip(leaves(after.params), leaves(old.params), strict=True)
    assert any(np.abs(here - there).max() > 0 for here, there in moved)
    # The discriminators came along.
    config = begun.config
    with Checkpoints(run / "checkpoints", read_only=True) as checkpoints:
        record = checkpoints.record(0)
        one = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        laid_out = imported.laid_out_with(record, config)
        state = checkpoints.restore(0, abstract_state(laid_out, record["stage"], one))
    with Checkpoints(base / "checkpoints", read_only=True) as checkpoints:
        known = checkpoints.restore(4, abstract_state(old.config, "global", one))
    assert len(state.params) > len(begun.params)
    for name in set(state.params) - set(begun.params):
        for here, there in zip(leaves(state.params[name]), leaves(known.params[name]), strict=True):
            np.testing.assert_array_equal(here, there)
    # What the base was trained on is in the run, as is what the run was trained on.
    about = json.loads((run / BASE).read_text())
    assert about["dataset"]["info"]["sources"] == [{"file": "0.mp4"}]
    assert about["checkpoint"] == old.checkpoint and about["step"] == 4
    assert after.dataset["info"]["sources"] == [{"file": "1.mp4"}]
    # The same command again has nothing to do, and another base is another run.
    cli.main(arguments)
    said = capsys.readouterr()
    assert "nothing is left to do" in said.out + said.err
    with pytest.raises(UserError, match="holds a run of another config"):
        adapt(AdaptOptions(base, film, run, steps=5))


def test_the_stage_that_makes_whole_pictures_is_trained(trained):
    """Of a base with three stages the face's is left out."""
    config, stage = adapted_config(load_run(trained), AdaptOptions(trained, trained, trained, 9))
    assert stage == "local" and list(config.recipe.stages()) == ["local"]
    assert config.recipe.local_stage.steps == 9 and config.recipe.local_stage.decay_steps == 4
    config.validate()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"base": Path("nowhere")}, "nowhere is not a run directory"),
        ({"steps": 0}, "steps 0 is less than 1"),
        ({"minutes": 0.0}, "minutes 0 is not above 0"),
        ({"rate": 0.0}, "rate 0 is not above 0"),
    ],
)
def test_bad_input(changes, sentence, base, film, tmp_path):
    options = replace(AdaptOptions(base, film, tmp_path / "run"), **changes)
    with pytest.raises(UserError, match=sentence):
        adapt(options)
    assert not list(tmp_path.iterdir())


def test_what_does_not_fit_is_said_and_nothing_is_written(base, film, tmp_path, write_dataset):
    with pytest.raises(UserError, match="lies inside|is the input"):
        adapt(AdaptOptions(base, film, base))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty"):
        adapt(AdaptOptions(base, film, tmp_path / "full"))
    assert (tmp_path / "full" / "letter.txt").read_text() == "mine"
    other = write_dataset(tmp_path / "other", seed=2)
    described = json.loads((other / "metadata.json").read_text())
    described["height"] = described["width"] = 64
    (other / "metadata.json").write_text(json.dumps(described))
    with pytest.raises(UserError, match="64x64, and the base .* makes pictures of 32x32"):
        adapt(AdaptOptions(base, other, tmp_path / "run"))
    assert not (tmp_path / "run").exists()
