"""Configs: the shipped ones, files with mistakes, what counts as another experiment."""

import dataclasses
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from motion_jax import config as module
from motion_jax.config import Config, Data, Record, load_config
from motion_jax.data.augment import AugmentConfig
from motion_jax.errors import UserError
from motion_jax.recipes.everybody_dance_now import EverybodyDanceNow, Stage

SHIPPED = module.shipped()


def test_configs_are_shipped():
    known = {"demo", "two_cores", "small", "everybody_dance_now", "everybody_dance_now_reference"}
    assert known | {"pix2pix", "pix2pixhd", "cyclegan"} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configs_work_and_survive_json(name):
    config = load_config(name)
    config.validate()
    assert config == load_config(str(SHIPPED[name]))
    assert module.from_json(json.loads(json.dumps(module.to_json(config)))) == config
    # Says what it is for.
    text = SHIPPED[name].read_text()
    assert text.startswith('"""') and len(text.split('"""')[1]) > 60
    assert name not in ("demo", "two_cores", "small") or (
        config.recipe.losses.perceptual == "none" and config.recipe.losses.l1 > 0
    )


def test_json_keeps_every_setting():
    changed = Config(
        recipe=EverybodyDanceNow(
            global_stage=Stage(steps=3, learning_rate=1e-3), dtype="bfloat16", averaging=0.5
        ),
        data=Data(holdout=0.1, augment=AugmentConfig(flip=True, scale=0.1), workers=2),
        record=Record(keep=7),
        seed=4,
    )
    value = module.to_json(changed)
    assert value["recipe"]["type"] == "everybody_dance_now"
    again = module.from_json(json.loads(json.dumps(value)))
    assert again == changed
    assert isinstance(again.data.augment, AugmentConfig) and isinstance(
        again.recipe.global_stage, Stage
    )
    flat = module.flatten(value)
    assert flat["recipe.global_stage.steps"] == 3 and flat["data.augment.flip"] is True


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ([1], "x.json is no config"),
        ({}, "x.json is no config"),
        ({"recipe": {}}, "x.json is no config"),
        ({"recipe": {"type": "pix3pix"}}, "no recipe named 'pix3pix'"),
        (
            {"recipe": {"type": "everybody_dance_now", "dtypo": 1}},
            "x.json: EverybodyDanceNow has no field 'dtypo'; did you mean 'dtype'",
        ),
        ({"recipe": {"type": "everybody_dance_now"}, "sead": 1}, "no field 'sead'.*'seed'"),
    ],
)
def test_json_of_something_else_is_refused(value, sentence, unchecked):
    with pytest.raises(UserError, match=sentence):
        module.from_json(value, "x.json")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("config = Config(sed=1)", "Config has no field 'sed'; did you mean 'seed'"),
        ("config = Config(recipe=E(face_stage=Stage(stps=1)))", "Stage .* 'stps'; .*'steps'"),
        ("config = Config(data=Data(qqqq=1))", "Data has no field 'qqqq'; it has holdout, augment"),
        ("config = replace(Config(), sed=1)", "no field 'sed'; did you mean 'seed'"),
        ("config = 3", "must define `config = Config"),
        ("", "must define `config = Config"),
        ("config = Config(", "does not run: SyntaxError"),
        ("import nothing_of_this_name", "does not run: ModuleNotFoundError"),
    ],
)
def test_a_file_with_a_mistake_is_one_sentence(tmp_path, text, sentence, unchecked):
    path = tmp_path / "mine.py"
    path.write_text(
        "from dataclasses import replace\n"
        "from motion_jax.config import Config, Data\n"
        "from motion_jax.recipes.everybody_dance_now import EverybodyDanceNow as E, Stage\n" + text
    )
    with pytest.raises(UserError, match=f"mine.py.*{sentence}"):
        load_config(str(path))


def test_a_file_of_ones_own_is_loaded(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("from motion_jax.config import Config\nconfig = Config(seed=9)\n")
    assert load_config(str(path)).seed == 9


def test_an_unknown_config_suggests_one():
    with pytest.raises(UserError, match="no config smal: .*did you mean small"):
        load_config("smal")
    with pytest.raises(UserError, match=r"no config absent\.py: give a Python file or .*demo"):
        load_config("absent.py")


def test_what_counts_as_another_experiment():
    base = load_config("demo")
    recorded = replace(base, record=Record(log_every=1))
    assert module.differences(base, recorded) == []
    # How many processes read plays no part in what is read.
    assert module.differences(base, replace(base, data=replace(base.data, workers=3))) == []
    assert module.config_hash(base) == module.config_hash(recorded)
    other = replace(base, seed=1, data=replace(base.data, holdout=0.3))
    assert module.differences(base, other) == [
        f"data.holdout: {base.data.holdout} -> 0.3", f"seed: {base.seed} -> 1",
    ]  # fmt: skip
    assert module.config_hash(base) != module.config_hash(other)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data": Data(holdout=0.95)}, "data.holdout = 0.95 is not a share between 0 and 0.9"),
        ({"data": Data(holdout=-0.1)}, "data.holdout = -0.1"),
        ({"record": Record(log_every=0)}, "record.log_every must be at least 1"),
        ({"record": Record(keep=0)}, "record.keep must be at least 1"),
        ({"recipe": EverybodyDanceNow()}, "trains nothing"),
    ],
)
def test_settings_that_cannot_work(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        replace(load_config("demo"), **changes).validate()


def test_every_field_has_a_place_where_it_is_explained():
    """A docstring or comment beside it, which --help shows."""
    import inspect

    def visit(kind):
        # What is inherited is explained where it is declared.
        source = "".join(inspect.getsource(each) for each in kind.__mro__ if each is not object)
        for field in dataclasses.fields(kind):
            value = field.default
            if field.default_factory is not dataclasses.MISSING:
                value = field.default_factory()
            if dataclasses.is_dataclass(value):
                visit(type(value))
                continue
            lines = source.split(f"    {field.name}:", 1)
            after = lines[1].split("\n")[1].strip()
            before = lines[0].rstrip().split("\n")[-1].strip()
            explained = after.startswith('"""') or before.startswith("#")
            assert explained, f"{kind.__name__}.{field.name}"

    visit(Config)


def test_configs_are_found_beside_the_package():
    assert all(isinstance(path, Path) and path.suffix == ".py" for path in SHIPPED.values())
    assert "__init__" not in SHIPPED


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"losses": {"l1": "a"}}, "recipe.losses.l1 = 'a' is no number"),
        ({"losses": {"l1": -1.0}}, "recipe.losses.l1 = -1.0 is negative"),
        ({"losses": {"l1": float("nan")}}, "recipe.losses.l1 = nan is no finite number"),
        ({"local_stage": {"steps": 2.5}}, "recipe.local_stage.steps = 2.5 is no whole number"),
        ({"local_stage": {"steps": True}}, "recipe.local_stage.steps = True is no whole number"),
        (
            {"local_stage": {"learning_rate": -1.0}},
            "recipe.local_stage.learning_rate = -1.0 is neg",
        ),
        ({"clamp_face": 1}, "recipe.clamp_face = 1 is no True or False"),
    ],
)
def test_values_that_no_setting_takes(change, sentence):
    """A config is Python: only here is it said before anything is compiled."""
    config = load_config("two_cores")
    config.validate()
    recipe = config.recipe
    for name, value in change.items():
        if isinstance(value, dict):
            value = dataclasses.replace(getattr(recipe, name), **value)
        recipe = dataclasses.replace(recipe, **{name: value})
    with pytest.raises(UserError, match=re.escape(sentence)):
        dataclasses.replace(config, recipe=recipe).validate()
