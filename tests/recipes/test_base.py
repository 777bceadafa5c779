"""What a recipe is given by its base: frames one after another, each alone, from a reference; what
is shown to people; networks that others load."""

import re
import sys
import types
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_jax.errors import UserError
from motion_jax.nets.conv import target_platform
from motion_jax.recipes import pix2pix
from motion_jax.recipes.base import Recipe
from motion_jax.recipes.everybody_dance_now import Discriminator, EverybodyDanceNow, Generator
from motion_jax.recipes.everybody_dance_now import Stage as DanceStage
from motion_jax.recipes.pretrained import load_all
from motion_jax.recipes.schedule import Stage
from motion_jax.train.synthesis import Synthesizer

SIZE = 4


@dataclass(frozen=True)
class Summing(Recipe):
    """Shows how bright all frames were so far together; two things are carried."""

    shows = ("frames",)

    def stages(self):
        return {"main": Stage(steps=1, height=SIZE, width=SIZE)}

    def init(self, key, name, previous=None):
        raise AssertionError("not needed")

    def synthesis_params(self, state):
        return {}

    def start(self, params, reference, name):
        first = 0.0 if reference is None else jnp.asarray(reference, jnp.float32).mean()
        return {"sum": jnp.float32(first), "frames": jnp.int32(0)}

    def frame(self, params, seen, carry, name):
        total = carry["sum"] + params["times"] * seen.astype(jnp.float32).mean()
        picture = jnp.full((SIZE, SIZE, 3), total / 127.5 - 1.0)
        return picture, {"sum": total, "frames": carry["frames"] + 1}


@dataclass(frozen=True)
class AllAtOnce(Summing):
    """Carries nothing, and has no frame of its own."""

    start = Recipe.start
    frame = Recipe.frame

    def synthesize(self, params, seen, carry, name, count=None):
        grey = seen.astype(jnp.float32).mean((1, 2, 3), keepdims=True) / 127.5 - 1.0
        return jnp.broadcast_to(grey, (*seen.shape[:3], 3)), carry


PARAMS = {"times": jnp.float32(1.0)}
FRAMES = np.arange(1, 8, dtype=np.uint8)[:, None, None, None] * np.ones((SIZE, SIZE, 3), np.uint8)


def levels(pictures):
    assert (pictures == pictures[:, :1, :1, :1]).all()
    return pictures[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
def test_any_tree_is_carried_through_padded_chunks(platform):
    with target_platform(platform):
        made = Synthesizer(Summing(), "main", PARAMS, chunk=4)
        parts = [levels(made.feed(FRAMES[a:b])) for a, b in ((0, 1), (1, 6), (6, 7))]
        assert sum(parts, []) == [1, 3, 6, 10, 15, 21, 28]
        made.reset(np.full((2, SIZE, SIZE, 3), 100, np.uint8))
        assert levels(made.feed(FRAMES[:2])) == [101, 103]
        made.reset()
        assert levels(made.feed(FRAMES[:2])) == [1, 3]
        # Parameters that are set later count from the next beginning.
        made.params = {"times": jnp.float32(2.0)}
        made.reset()
        assert levels(made.feed(FRAMES[:2])) == [2, 6]


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
def test_frame_by_frame_each_is_the_first(platform):
    with target_platform(platform):
        made = Synthesizer(Summing(), "main", PARAMS, recurrent=False, chunk=4)
        assert levels(made.feed(FRAMES)) == [1, 2, 3, 4, 5, 6, 7]
        made.reset(np.full((1, SIZE, SIZE, 3), 50, np.uint8))
        assert levels(made.feed(FRAMES[:3])) == [51, 52, 53]


def test_a_recipe_may_make_its_frames_all_at_once():
    for recurrent in (True, False):
        made = Synthesizer(AllAtOnce(), "main", PARAMS, recurrent, chunk=4)
        assert levels(made.feed(FRAMES)) == [1, 2, 3, 4, 5, 6, 7]
    picture, carry = AllAtOnce().frame({}, jnp.asarray(FRAMES[2]), (), "main")
    assert carry == () and levels(np.round((picture[None] + 1) * 127.5)) == [3]


def test_what_is_carried_says_whether_a_recipe_is_recurrent():
    @dataclass(frozen=True)
    class Made(Summing):
        def init(self, key, name, previous=None):
            return None

    assert Made().recurrent and not AllAtOnce().recurrent
    assert not EverybodyDanceNow().recurrent, "without a stage nothing is carried"


def test_padding_leaves_what_is_carried_as_it_was():
    recipe, start = Summing(), {"sum": jnp.float32(0), "frames": jnp.int32(0)}
    padded = jnp.concatenate([jnp.asarray(FRAMES[:3]), jnp.full((2, SIZE, SIZE, 3), 9, jnp.uint8)])
    _, carry = jax.jit(lambda n: recipe.synthesize(PARAMS, padded, start, "main", n))(3)
    assert float(carry["sum"]) == 6 and int(carry["frames"]) == 3
    _, carry = recipe.synthesize(PARAMS, padded, start, "main")
    assert int(carry["frames"]) == 5


def test_parts_of_a_generator_can_be_left_out():
    recipe, both = EverybodyDanceNow(), {"generator": 1, "face_generator": 2}
    assert recipe.parts(both) == ("face",) and recipe.parts({"generator": 1}) == ()
    assert recipe.without("face", both) == {"generator": 1}
    assert recipe.without("hands", both) == both == AllAtOnce().without("face", both)


def test_rows_are_what_there_is():
    frames, made = FRAMES[:2], FRAMES[2:4]
    keypoints = np.zeros((2, 137, 3), np.float32)
    moments = {"frames": frames, "keypoints": keypoints}
    assert list(EverybodyDanceNow().rows(moments, made, SIZE, SIZE)) == [
        "pose", "real", "generated",
    ]  # fmt: skip
    assert list(Summing().rows(moments, made, SIZE, SIZE)) == ["real", "generated"]

    @dataclass(frozen=True)
    class Unpaired(Summing):
        paired = False

    assert list(Unpaired().rows(moments, made, SIZE, SIZE)) == ["shown", "generated"]
    assert list(Unpaired().rows({"keys": None}, made, SIZE, SIZE)) == ["generated"]


def test_anyone_may_load_a_network_that_a_loss_needs(monkeypatch, tmp_path):
    from flax import linen as nn

    from motion_jax.recipes.pretrained import Pretrained

    asked = []
    loader = types.ModuleType("loader_of_another_package")
    loader.load = lambda path: asked.append(path) or {"params": "weights"}
    monkeypatch.setitem(sys.modules, loader.__name__, loader)
    network = Pretrained(nn.Dense(3), (1, 2), "loader_of_another_package:load")
    assert load_all({"judge": network}, {"judge": tmp_path}) == {"judge": {"params": "weights"}}
    assert load_all({"judge": network}) and asked == [tmp_path, None]
    shapes = jax.tree.map(lambda leaf: leaf.shape, network.shapes())
    assert shapes == {"params": {"kernel": (2, 3), "bias": (3,)}}
    made = network.random(jax.random.key(0))
    assert jax.tree.map(lambda leaf: leaf.shape, made) == shapes


def test_a_recipe_of_no_known_sizes_says_so():
    with pytest.raises(UserError, match=re.escape("cannot be fitted to a size")):
        Summing().for_size(8, 8)


@dataclass(frozen=True)
class Wide(Summing):
    """Says how large its network is, in a field of its own."""

    channels: int = 8
    size_fields = {"width": "channels"}


def test_how_large_networks_are_is_asked_by_what_people_call_it():
    assert Summing().network_size("width") is None and Summing().size_multiple("main") == 1
    assert Wide().network_size("width") == 8 and Wide().network_size("blocks") is None
    assert Wide().resized({"width": 3}) == Wide(channels=3)
    dance = EverybodyDanceNow(generator=Generator(ngf=48), discriminator=Discriminator(ndf=24))
    sizes = {"width": 8, "blocks": 2, "downsamplings": 3}
    small = dance.resized(sizes)
    assert {what: small.network_size(what) for what in sizes} == sizes
    assert small.discriminator == Discriminator(ndf=4)
    assert dance.resized({"width": 1}).discriminator.ndf == 1, "at least one channel"
    assert dance.resized(sizes, discriminator=False).discriminator == dance.discriminator


def test_what_divides_pictures_is_known_to_each_recipe():
    generator = Generator(n_downsampling=3, n_local_enhancers=2)
    dance = EverybodyDanceNow(generator=generator, local_stage=DanceStage(steps=1))
    assert [dance.size_multiple(name) for name in ("global", "local", "face")] == [8, 32, 32]
    assert pix2pix.Pix2Pix().size_multiple("main") == 256
    resnet = pix2pix.Generator(kind="resnet")
    assert pix2pix.Pix2Pix(generator=resnet).size_multiple("main") == 4


def test_nothing_is_recomputed_for_counting():
    assert not EverybodyDanceNow(rematerialise=True).without_recomputing().rematerialise
    assert Summing().without_recomputing() == Summing(), "it has no such field"


def test_stages_are_the_fields_that_have_steps():
    stage = DanceStage(steps=2)
    dance = EverybodyDanceNow(global_stage=stage, face_stage=stage)
    assert list(dance.stages().items()) == [("global", stage), ("face", stage)]
