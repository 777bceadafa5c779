"""docs/training.md, "Add a loss": its example is all that it takes."""

import re
import sys
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_dance import RECIPE, SIZE

from motion_jax import config
from motion_jax.recipes.everybody_dance_now import Scene
from motion_jax.recipes.metric import GENERATOR

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text()


def recipe_of(text, monkeypatch):
    """The example as the module that it is to be."""
    module = ModuleType("motion_jax.recipes.sharper")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(text, vars(module))
    known = config.recipe_class
    monkeypatch.setattr(
        config, "recipe_class", lambda name: module.RECIPE if name == "sharper" else known(name)
    )
    return vars(module)


def test_the_example_is_logged_drawn_and_learned_from(monkeypatch, tmp_path):
    section = PAGE.split("## Add a loss")[1].split("\n## ")[0]
    text, example = re.findall(r"```python\n(.*?)```", section, re.S)
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) < 40 and max(map(len, lines)) <= 100
    scope = recipe_of(text, monkeypatch)
    path = tmp_path / "sharp.py"
    path.write_text(example)
    loaded = config.load_config(str(path))
    loaded.validate()
    assert loaded.recipe.name == "sharper" and loaded.recipe.losses.edges == 5.0
    assert config.from_json(config.to_json(loaded)) == loaded
    weights = {f.name: getattr(RECIPE.losses, f.name) for f in fields(RECIPE.losses)}
    settings = {f.name: getattr(RECIPE, f.name) for f in fields(RECIPE)}
    sharper = scope["RECIPE"](**settings | {"losses": scope["Losses"](**weights, edges=3.0)})
    without = replace(sharper, losses=replace(sharper.losses, edges=0.0))
    assert sharper.metrics("global")["G_Edges"] == GENERATOR

    random = np.random.default_rng(0)
    poses, images = (random.random((1, 2, SIZE, SIZE, 3)).astype(np.float32) for _ in "12")
    scene = Scene(jnp.asarray(poses), jnp.asarray(images), jnp.zeros((1, 2, 4)), {})
    state = jax.jit(lambda key: sharper.init(key, "global"))(jax.random.key(0))
    plain, learned = (
        jax.jit(lambda state, each=each: each.step(state, scene, "global"))(state)
        for each in (without, sharper)
    )
    assert set(learned[1]) == set(sharper.metrics("global"))
    made = sharper.generated(state.params, scene, "global")
    expected = 3.0 * np.abs(np.diff(made, axis=-2) - np.diff(images, axis=-2)).mean()
    assert float(learned[1]["G_Edges"]) == pytest.approx(expected, rel=1e-4)
    # The generator's gradient has it, the discriminator's has not.
    by_network = [
        max(
            float(jnp.abs(a - b).max())
            for a, b in zip(
                *(jax.tree.leaves(s.optimizer[network].mu) for s in states), strict=True
            )
        )
        for network in ("generator", "discriminator")
        for states in [(plain[0], learned[0])]
    ]
    assert by_network[0] > 1e-5 and by_network[1] < 1e-6
