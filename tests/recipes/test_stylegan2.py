"""StyleGAN2's parts without the fixtures: what is frozen stays, the augmentation keeps shapes and
follows its probability, filters are upfirdn's."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_jax.errors import UserError
from motion_jax.nets import stylegan2 as nets
from motion_jax.nets.resample import BINOMIAL, enlarged, filtered, normalised, reduced
from motion_jax.nets.stylegan2_discriminator import Discriminator
from motion_jax.recipes import adaptive, stylegan2
from motion_jax.recipes.freezing import Freeze, frozen_paths, restored

WIDTHS = (3, 2)


@pytest.mark.parametrize(
    ("freeze", "network", "stays"),
    [
        (Freeze(mapping=True), "generator", {("mapping",)}),
        (Freeze(generator_trained=1), "generator", {("mapping",), ("constant",), ("level_4",)}),
        (Freeze(discriminator_frozen=2), "discriminator", {("level_8_rgb",), ("level_8_conv_0",)}),
        (Freeze(), "generator", set()),
    ],
)
def test_what_is_frozen_stays(freeze, network, stays):
    module = {
        "generator": nets.Generator(WIDTHS, latent=2, style=2, mapping_layers=1),
        "discriminator": Discriminator(WIDTHS),
    }
    shown = {"generator": jnp.zeros((1, 2)), "discriminator": jnp.zeros((1, 8, 8, 3))}
    shapes = jax.eval_shape(module[network].init, jax.random.key(0), shown[network])
    before = jax.tree.map(lambda leaf: np.zeros(leaf.shape), shapes)
    after = jax.tree.map(lambda leaf: np.ones(leaf.shape), shapes)
    parts = frozen_paths(freeze, module["generator"], module["discriminator"])[network]
    kept = restored(before, after, parts)
    for path, value in jax.tree_util.tree_leaves_with_path(kept["params"]):
        words = "/".join(key.key for key in path)
        frozen = any(word in words for (word,) in stays)
        assert (value == (0 if frozen else 1)).all(), words


def test_the_pipe_follows_its_probability():
    augment = adaptive.Augment("fixed", "bgcfnc")
    images = jax.random.uniform(jax.random.key(0), (4, 8, 8, 3), minval=-1.0)

    @jax.jit
    def varied(key, p):
        return adaptive.varied(images, augment, adaptive.Random(key, p, 4))

    key = jax.random.key(1)
    np.testing.assert_allclose(varied(key, 0.0), images, atol=2e-5)
    changed = varied(key, 1.0)
    assert changed.shape == images.shape and np.isfinite(changed).all()
    assert (np.abs(changed - images).mean((1, 2, 3)) > 0.05).all()
    np.testing.assert_array_equal(changed, varied(key, 1.0))
    assert not np.array_equal(changed, varied(jax.random.key(2), 1.0))


def test_a_flip_is_a_flip():
    # Slopes of a sixteenth a pixel. The wavelet is not quite symmetric: what is mirrored comes back
    # a tenth of a pixel off.
    y, x = jnp.mgrid[:16, :16] / 16.0
    images = jnp.stack([x, y, x * y], -1)[None]
    inside = np.s_[:, 3:-3, 3:-3]
    warp = jax.jit(adaptive.warped)
    flip = jnp.diag(jnp.array([-1.0, 1.0, 1.0]))[None]
    np.testing.assert_allclose(warp(images, flip)[inside], images[:, :, ::-1][inside], atol=1e-2)
    quarter = jnp.array([[[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]])
    turned = jnp.rot90(images, 1, (1, 2))
    np.testing.assert_allclose(warp(images, quarter)[inside], turned[inside], atol=1e-2)


def test_filters_keep_brightness_and_place():
    x = jnp.ones((1, 6, 6, 2))
    np.testing.assert_allclose(enlarged(x)[:, 2:-2, 2:-2], 1.0, rtol=1e-6)
    np.testing.assert_allclose(reduced(x)[:, 1:-1, 1:-1], 1.0, rtol=1e-6)
    # By definition: zeros between, a convolution, every second pixel; the taps are no palindrome.
    taps, row = (1.0, 2.0, 5.0), np.arange(1.0, 6.0)
    stuffed = np.zeros(10)
    stuffed[::2] = row
    expected = np.convolve(np.pad(stuffed, (2, 1)), taps, "valid")[::2]
    line = jnp.asarray(row, jnp.float32).reshape(1, 5, 1, 1) * jnp.ones((1, 1, 5, 1))
    ours = filtered(line, taps, (2, 1), up=2, down=2)
    across = np.convolve(np.pad([1.0, 0] * 5, (2, 1)), taps, "valid")[::2]
    np.testing.assert_allclose(ours[0, :, 2, 0], expected * across[2], rtol=1e-6)
    assert sum(normalised(BINOMIAL)) == 1.0


def test_a_fine_tuning_keeps_near_the_generator_it_began_with():
    """The structure loss is 0 beside itself and more beside another; FreezeSG takes the first
    styles from the source's mapping, so that the mapping learns of the others alone."""
    recipe = stylegan2.StyleGAN2(
        generator=stylegan2.Generator(latent=2, style=2, mapping_layers=1, widths=WIDTHS),
        losses=stylegan2.Losses(structure=2.0, structure_levels=2, mixing=0.0),
        freeze=Freeze(source_styles=nets.style_count(8)),
        source="somewhere",
        main_stage=stylegan2.Stage(2, height=8, width=8, batch_size=2),
    )
    recipe.validate()
    state = jax.jit(lambda key: recipe.init(key, "main"))(jax.random.key(0))
    own = state.params["generator"]
    other = jax.tree.map(lambda leaf: leaf + 0.5, own)
    frames = jnp.full((2, 8, 8, 3), 90, jnp.uint8)
    step = jax.jit(
        lambda state, source: recipe.train_step(
            state, {"frames": frames}, "main", {"source": source}
        )
    )
    _, beside = step(state, own)
    after, apart = step(state, other)
    assert float(beside["structure"]) < 1e-6 < 1e-2 < float(apart["structure"])
    assert set(apart) <= set(recipe.metrics("main")) | {"G", "D"}
    # All styles are the source's: nothing tells the mapping how to change.
    before, now = (s.params["generator"]["params"]["mapping"] for s in (state, after))
    jax.tree.map(np.testing.assert_array_equal, before, now)


def test_one_picture_is_no_training_set():
    class One(list):
        folder = "data/one"

    with pytest.raises(UserError, match="one-style"):
        stylegan2.StyleGAN2().check_dataset(One([0]))
    stylegan2.StyleGAN2().check_dataset(One([0, 1]))


def test_the_generator_to_keep_near_must_be_named_and_fit(monkeypatch):
    recipe = stylegan2.StyleGAN2(
        generator=stylegan2.Generator(latent=2, style=2, mapping_layers=1, widths=WIDTHS),
        losses=stylegan2.Losses(structure=1.0, structure_levels=2),
        source="other.pt",
        main_stage=stylegan2.Stage(2, height=8, width=8, batch_size=2),
    )
    recipe.validate()
    with pytest.raises(UserError, match="source"):
        replace(recipe, source="").validate()
    assert recipe.pretrained()["source"].path == "other.pt"
    monkeypatch.setattr("motion_jax.latents.model.load_variables", lambda path: {"params": {}})
    with pytest.raises(UserError, match="other layers"):
        recipe.pretrained()["source"].load()
