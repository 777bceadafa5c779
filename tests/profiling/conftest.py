"""A tiny experiment."""

import jax
import pytest

from motion_jax.config import Config, Data, Record
from motion_jax.pose.draw import PoseStyle
from motion_jax.recipes import everybody_dance_now as edn

# As a config file, for the command.
TINY = """
from motion_jax.config import Config, Data
from motion_jax.pose.draw import PoseStyle
from motion_jax.recipes import everybody_dance_now as edn

config = Config(
    recipe=edn.EverybodyDanceNow(
        generator=edn.Generator(ngf=4, n_downsampling=1, n_blocks=1),
        discriminator=edn.Discriminator(ndf=4, n_layers=1),
        losses=edn.Losses(perceptual="none", l1=10.0),
        pose_style=PoseStyle(face_points=0, hands=False, stroke=2.0),
        averaging=0.9,
        previous_noise=0.1,
        global_stage=edn.Stage(steps=2, height=16, width=16, num_D=1, batch_size=2),
    ),
    data=Data(holdout=0.25),
)
"""


def _tiny() -> Config:
    scope: dict = {}
    exec(TINY, scope)
    return scope["config"]


@pytest.fixture(scope="session")
def tiny() -> Config:
    return _tiny()


@pytest.fixture(scope="module", autouse=True)
def names_count():
    """The scopes' names in compiled programs are looked at here, so a program kept from an earlier
    run of the tests is read back only where these are the same too."""
    name = "jax_compilation_cache_include_metadata_in_key"
    before = jax.config.values[name]
    jax.config.update(name, True)
    yield
    jax.config.update(name, before)


@pytest.fixture(scope="session")
def every_loss() -> Config:
    """All stages and losses, at sizes that are only traced, never compiled."""
    stage = edn.Stage(steps=2, height=32, width=32, num_D=2)
    return Config(
        recipe=edn.EverybodyDanceNow(
            generator=edn.Generator(ngf=4, n_downsampling=1, n_blocks=2, n_blocks_local=1),
            discriminator=edn.Discriminator(ndf=4, n_layers=2),
            face=edn.Face(size=16, ngf=4, n_downsampling=1, n_blocks=1, ndf=4, n_layers=1),
            losses=edn.Losses(perceptual="vgg19", l1=1.0),
            pose_style=PoseStyle(face_points=0, hands=False),
            averaging=0.9,
            previous_noise=0.1,
            global_stage=stage,
            local_stage=stage,
            face_stage=stage,
        ),
        data=Data(),
        record=Record(),
    )


@pytest.fixture(scope="session")
def config_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("configs") / "tiny.py"
    path.write_text(TINY)
    return path
