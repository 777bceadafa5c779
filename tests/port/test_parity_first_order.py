"""`motion-jax parity` of checkpoints of the First Order Motion Model."""

import json

import jax
import jax.numpy as jnp
import pytest

from motion_jax.cli import main
from motion_jax.errors import UserError
from motion_jax.port import import_first_order
from motion_jax.port.contents import look_into
from motion_jax.port.first_order_checkpoint import checkpoint_of
from motion_jax.port.inspect import summary
from motion_jax.port.options import ImportOptions, ParityOptions
from motion_jax.port.parity import parity
from motion_jax.recipes.first_order import (
    DenseMotion,
    Detector,
    Discriminator,
    FirstOrder,
    Generator,
    Losses,
    Stage,
)
from motion_jax.weights.torch import write_nested

RECIPE = FirstOrder(
    detector=Detector(points=2, expansion=2, most=4, halvings=1, scale=0.5),
    motion=DenseMotion(expansion=2, most=4, halvings=1, scale=0.5),
    generator=Generator(expansion=2, most=4, halvings=1, residuals=1),
    discriminator=Discriminator(expansion=2, most=4, blocks=1),
    losses=Losses(perceptual="none", l1=10.0, scales=(1.0,), feature_matching=(10.0,)),
    main_stage=Stage(height=32, width=32, batch_size=1),
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    drawn = {}
    for name, network in RECIPE.networks("main").items():
        shapes = jax.eval_shape(network.module.init, jax.random.key(0), *network.inputs)
        key = jax.random.key(len(name))
        drawn[name] = jax.tree.map(
            lambda like, key=key: jax.random.uniform(key, like.shape, jnp.float32, 0.1, 0.4), shapes
        )
    path = tmp_path_factory.mktemp("first_order") / "a.pth.tar"
    write_nested(path, checkpoint_of(RECIPE, drawn))
    return path


def test_two_files_layer_by_layer(file, tmp_path, capsys):
    main(["parity", str(file), str(file), "--network", "kp_detector", "--size", "32x32", "--json"])
    result = json.loads(capsys.readouterr().out)
    names = [layer["name"] for layer in result["layers"]]
    assert result["first"] is None and names[0].startswith("hourglass.down_0")
    assert names.index("kp") < names.index("output.value")
    with pytest.raises(UserError, match="only one is of the First Order"):
        parity(ParityOptions(file, tmp_path / "b.pth"))
    with pytest.raises(UserError, match="keypoints beside pictures; give random:SEED"):
        parity(ParityOptions(file, file, input="p.png", size="32x32"))
    with pytest.raises(UserError, match="one of generator, detector"):
        parity(ParityOptions(file, file, network="x", size="32x32"))


def test_a_folder_shows_it_and_its_adam_state_is_told(file):
    found = look_into(file.parent)
    assert list(found.networks)[0] == "a.pth.tar: generator"
    shown = summary(found)["networks"]["a.pth.tar: kp_detector"]
    assert "First Order Motion Model, keypoint detector: 2 keypoints" in shown["sentence"]
    assert "adam_left" not in import_first_order.plan(ImportOptions(file, file), (32, 32))[1]
