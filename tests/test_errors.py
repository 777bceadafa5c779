"""Errors name fields; the command line words flags."""

import json
import pickle
from dataclasses import replace

import pytest

from motion_jax import cli
from motion_jax.config import load_config
from motion_jax.errors import UserError, flag, marked, option, plain, setting, worded
from motion_jax.train.record import NotFinite


def test_a_library_reads_fields_and_the_command_line_flags():
    error = UserError(f"{option('max_gap')} -1 is negative; give 0 or {option('smooth', False)}.")
    assert str(error) == "max_gap -1 is negative; give 0 or smooth=False."
    assert worded(error.marked) == "--max-gap -1 is negative; give 0 or --no-smooth."
    assert error.field == "max_gap"


@pytest.mark.parametrize(
    ("marked_name", "field", "shown"),
    [
        (option("max_gap"), "max_gap", "--max-gap"),
        (option("recipe.face_stage.steps"), "recipe.face_stage.steps", "--recipe.face-stage.steps"),
        (option("retrieval.fill_in", False), "retrieval.fill_in", "--retrieval.no-fill-in"),
        (setting("recipe.face_stage.steps"), "recipe.face_stage.steps", "recipe.face_stage.steps"),
    ],
)
def test_fields_and_flags(marked_name, field, shown):
    error = UserError(f"{marked_name} cannot be.")
    assert error.field == field
    assert worded(error.marked) == f"{shown} cannot be."


def test_an_error_about_no_option_or_a_named_one():
    assert UserError("The disk is full.").field is None
    assert str(UserError("The disk is full.")) == "The disk is full."
    error = UserError("There is no such file.", field="source")
    assert error.field == "source" and str(error) == "There is no such file."
    # Where the message is built of another one.
    inner = UserError(f"{option('size')} 5 is no size.")
    assert UserError(f"Part 2: {marked(inner)}").field == "size"
    assert marked(ValueError("plain")) == "plain"


@pytest.mark.parametrize(
    ("config", "value", "fields"),
    [
        ("demo", 0, "record.keep guard.factor guard.every"),
        ("demo", 0, "recipe.generator.ngf recipe.face_stage.batch_size recipe.global_stage.window"),
        ("demo", 9, "recipe.global_stage.height recipe.face_stage.width recipe.face.size"),
        ("demo", -1, "data.holdout recipe.face_stage.warmup_steps"),
        ("pose2pics", 0, "recipe.main_stage.batch_size recipe.main_stage.steps"),
        ("pose2pics", 9, "recipe.main_stage.height"),
        ("pose2pics", 2, "recipe.generator.n_downsampling"),
        ("cyclegan", -1, "recipe.pool_size recipe.main_stage.decay_steps"),
    ],
)
def test_what_cannot_be_in_a_config_is_named(config, value, fields):
    for field in fields.split():
        *path, last = field.split(".")
        # From the innermost part outwards.
        parts = [load_config(config)]
        for name in path:
            parts.append(getattr(parts[-1], name))
        changed = replace(parts.pop(), **{last: value})
        for name, part in zip(reversed(path), reversed(parts), strict=True):
            changed = replace(part, **{name: changed})
        with pytest.raises(UserError) as refused:
            changed.validate()
        assert refused.value.field == field and field in str(refused.value)


def test_marks_pass_through_processes_and_json():
    error = UserError(f"{option('size')} 5 is no size.")
    for copy in (
        pickle.loads(pickle.dumps(error)),
        UserError(json.loads(json.dumps(error.marked))),
    ):
        assert (str(copy), copy.marked, copy.field) == (str(error), error.marked, "size")
    named = pickle.loads(pickle.dumps(UserError("No such file.", field="source")))
    assert named.field == "source"
    bad = NotFinite(f"lower {setting('recipe.face_stage.learning_rate')}.", "face")
    assert bad.field == "recipe.face_stage.learning_rate" and bad.stage == "face"


def test_other_words():
    text = f"{option('max_gap')} and {option('smooth', False)}"
    assert plain(text) == "max_gap and smooth=False"
    assert worded(text, lambda name: f"the field {name}") == (
        "the field max_gap and the field smooth=False"
    )
    assert flag("a_b.c_d") == "--a-b.c-d"


def test_the_command_line_prints_flags(monkeypatch, capsys):
    def refuse(_):
        raise UserError(f"{option('out_folder')} x is a file; name a folder.")

    monkeypatch.setitem(cli._HANDLERS, "fetch", refuse)
    with pytest.raises(SystemExit) as ended:
        cli.main(["fetch", "vgg19"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "motion-jax: error: --out-folder x is a file; name a folder.\n"
    )
