"""docs/training.md, "Add a loss": its example is all that it takes."""

import re
from dataclasses import fields, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_dance import RECIPE, SIZE

from motion_jax.recipes.everybody_dance_now import Scene
from motion_jax.recipes.metric import GENERATOR

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text()


def test_the_example_is_logged_drawn_and_learned_from():
    section = PAGE.split("## Add a loss")[1].split("\n## ")[0]
    [text] = re.findall(r"```python\n(.*?)```", section, re.S)
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) < 40 and max(map(len, lines)) <= 100
    scope = {"__name__": "sharper"}
    exec(text, scope)
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
