"""Entry points of other packages that cannot be used: one sentence each, and none where nobody asks
for them."""

import json

import pytest

from motion_jax.config import config_names, from_json, load_config
from motion_jax.errors import UserError
from motion_jax.recipes import recipe_class, recipe_names

RECIPES, CONFIGS = "motion_jax.recipes", "motion_jax.configs"


def refused(function, *arguments):
    with pytest.raises(UserError) as error:
        function(*arguments)
    (sentence,) = str(error.value).splitlines()
    return sentence


@pytest.mark.parametrize(
    ("value", "text", "reason"),
    [
        ("no_such_module_xyz", "", "ModuleNotFoundError: No module named 'no_such_module_xyz'"),
        ("odd_recipe:Odd", "", "has no attribute 'Odd'"),
        ("odd_recipe", "1 / 0", "ZeroDivisionError: division by zero"),
        ("odd_recipe", "RECIPE = 3", "it is neither a class of motion_jax.recipes.base.Recipe"),
    ],
)
def test_recipes_that_cannot_be_used(add_package, monkeypatch, unchecked, value, text, reason):
    add_package("odd-package", {RECIPES: {"odd": value}}, {"odd_recipe": text})
    monkeypatch.delitem(__import__("sys").modules, "odd_recipe", raising=False)
    sentence = refused(recipe_class, "odd")
    assert reason in sentence
    assert sentence.startswith(
        f"A recipe named 'odd' of the package odd-package ({value}) cannot be used: "
    )
    # Whoever wants another recipe does not hear of it.
    assert recipe_class("pix2pix").__name__ == "Pix2Pix"
    assert {"odd", "pix2pix"} <= set(recipe_names())
    value = {"recipe": {"type": "pix2pix", "dtypo": 1}}
    assert "did you mean 'dtype'" in refused(from_json, json.loads(json.dumps(value)))


def test_two_of_one_name(add_package):
    add_package("one", {RECIPES: {"twin": "a"}, CONFIGS: {"twin": "a", "small": "a"}}, {})
    add_package("two", {RECIPES: {"twin": "b", "pix2pix": "b"}, CONFIGS: {"twin": "b"}}, {})
    sentence = refused(recipe_class, "twin")
    assert "both have a recipe named 'twin'; uninstall one of them." in sentence
    assert "the package one" in sentence and "the package two" in sentence
    assert "motion_jax and the package two both have a recipe named 'pix2pix'" in refused(
        recipe_class, "pix2pix"
    )
    assert "both have a config named 'twin'" in refused(load_config, "twin")
    assert "motion_jax and the package one both have a config named 'small'" in refused(
        load_config, "small"
    )


@pytest.mark.parametrize(
    ("value", "text", "reason"),
    [
        ("no_such_module_xyz", "", "cannot be used: there is no such module."),
        ("no_such_package_xyz.module", "", "ModuleNotFoundError: No module named"),
        ("odd_config", "config = 3", "must define `config = Config"),
        ("odd_config", "1 / 0", "does not run: ZeroDivisionError"),
        ("odd_config", "config = Config(sed=1)", "name 'Config' is not defined"),
    ],
)
def test_configs_that_cannot_be_used(add_package, value, text, reason):
    add_package("odd-package", {CONFIGS: {"odd": value}}, {"odd_config": text})
    assert "odd" in config_names()
    assert reason in refused(load_config, "odd")


def test_a_recipe_that_could_not_be_found_again(tmp_path):
    """config.json names the recipe: a run of it could not be gone on with."""
    text = """
from dataclasses import dataclass
from motion_jax.config import Config
from motion_jax.recipes.pix2pix import Pix2Pix, Stage

@dataclass(frozen=True)
class Mine(Pix2Pix):
    name = {name!r}

config = Config(recipe=Mine(main_stage=Stage(steps=1)))
"""
    path = tmp_path / "mine.py"
    path.write_text(text.format(name="pix2pix"))
    assert "calls itself 'pix2pix', but the one of that name is that of motion_jax" in refused(
        load_config, str(path)
    )
    path.write_text(text.format(name="mine"))
    assert "calls itself 'mine', but there is no recipe named 'mine'" in refused(
        load_config, str(path)
    )
