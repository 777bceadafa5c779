"""Steps of several kinds in a rhythm: each compiled once, picked by the step's number."""

import shutil
from collections import Counter
from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest

from motion_jax.profiling.arithmetic import flops
from motion_jax.profiling.cost_table import step_jaxpr
from motion_jax.profiling.topology import step_flops
from motion_jax.recipes import pix2pix
from motion_jax.recipes.metric import GENERATOR, Metric
from motion_jax.train.checkpoint import Checkpoints, parameter_hash
from motion_jax.train.loop import train
from motion_jax.train.record import read_metrics
from motion_jax.train.step import abstract_state


class Rhythmic(pix2pix.Pix2Pix):
    """pix2pix whose generator shrinks a little in every third step."""

    traced = Counter()

    def rhythm(self, name):
        return {"shrink": 3}

    def metrics(self, name):
        return super().metrics(name) | {"size": GENERATOR, "elsewhere": Metric("other")}

    def train_step(self, state, batch, name, frozen, kind=()):
        self.traced[kind] += 1
        state, metrics = super().train_step(state, batch, name, frozen)
        if "shrink" in kind:
            kernel = state.params["generator"]["params"]["first"]["kernel"]
            product = kernel.reshape(-1, kernel.shape[-1])
            metrics["size"] = jnp.vdot(product.T @ product, jnp.ones((2, 2)))
            params = jax.tree.map(lambda x: 0.5 * x, state.params["generator"]["params"])
            generator = {**state.params["generator"], "params": params}
            state = state.replace(params={**state.params, "generator": generator})
        return state, metrics


@pytest.fixture(scope="module")
def rhythmic(config):
    recipe = Rhythmic(
        generator=pix2pix.Generator("resnet", ngf=2, n_blocks=1, norm="instance", dropout=False),
        discriminator=pix2pix.Discriminator("pixel", ndf=2),
        main_stage=pix2pix.Stage(steps=7, height=16, width=16, learning_rate=0.0),
        pose_style=config.recipe.pose_style,
    )
    record = replace(config.record, checkpoint_every=4, log_every=1)
    return replace(config, recipe=recipe, record=record)


def test_kinds_of_steps():
    plain = pix2pix.Pix2Pix(main_stage=pix2pix.Stage(steps=5))
    assert plain.kinds("main") == {(): 1.0} and plain.usual_kind("main") == ()

    class Two(pix2pix.Pix2Pix):
        def rhythm(self, name):
            return {"a": 2, "b": 4}

    recipe = Two(main_stage=pix2pix.Stage(steps=1000))
    assert recipe.kinds("main") == {(): 0.5, ("a",): 0.25, ("a", "b"): 0.25}
    kinds = [recipe.kind_of("main", step) for step in (1, 2, 3, 4, 8, 10)]
    assert kinds == [(), ("a",), (), ("a", "b"), ("a", "b"), ("a",)]
    # What a short stage never comes to is not compiled.
    assert set(Two(main_stage=pix2pix.Stage(steps=3)).kinds("main")) == {(), ("a",)}


def test_every_third_step_is_another_and_resuming_keeps_the_rhythm(tmp_path, rhythmic, dataset):
    Rhythmic.traced.clear()
    train(rhythmic, dataset, tmp_path / "whole")
    assert Rhythmic.traced == {(): 1, ("shrink",): 1}
    rows = read_metrics(tmp_path / "whole")
    assert ["size" in row for row in rows] == [False, False, True, True, True, True, True]
    # With a learning rate of 0 nothing but the regulariser moves the generator: 6 = 2 x 3 steps.
    assert rows[5]["size"] == pytest.approx(rows[2]["size"] / 4, rel=1e-4)
    page = (tmp_path / "whole" / "report" / "index.html").read_text()
    assert ">size<" in page and "Discriminator" in page and "Elsewhere" not in page

    shutil.copytree(tmp_path / "whole", tmp_path / "again")
    shutil.rmtree(tmp_path / "again" / "checkpoints" / "7")
    train(rhythmic, dataset, tmp_path / "again")

    def last(folder):
        sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        with Checkpoints(folder / "checkpoints", read_only=True) as checkpoints:
            return checkpoints.restore(7, abstract_state(rhythmic, "main", sharding))

    whole, again = last(tmp_path / "whole"), last(tmp_path / "again")
    assert parameter_hash(whole.params) == parameter_hash(again.params)
    assert parameter_hash(whole.optimizer) == parameter_hash(again.optimizer)


def test_arithmetic_is_the_mean_over_the_steps(rhythmic):
    rhythmic = replace(
        rhythmic, recipe=replace(rhythmic.recipe, main_stage=pix2pix.Stage(6, height=16, width=16))
    )
    usual = flops(step_jaxpr(rhythmic, "main"))
    other = flops(step_jaxpr(rhythmic, "main", ("shrink",)))
    assert other > usual
    assert step_flops(rhythmic, "main", 1) == int(2 / 3 * usual + 1 / 3 * other)
