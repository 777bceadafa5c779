"""A person before a plate: composition, losses, recurrence without the background, both recipes."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_dance import RECIPE, SIZE

from motion_jax.recipes import matte, picture_losses
from motion_jax.recipes.pix2pixhd import Pix2PixHD, Stage

PLATED = replace(RECIPE, background="plate")
HD = Pix2PixHD(
    generator=PLATED.generator,
    discriminator=PLATED.discriminator,
    losses=picture_losses.Losses(perceptual="none", l1=5.0),
    global_stage=Stage(steps=10, height=SIZE, width=SIZE, num_D=2, learning_rate=1e-3),
    background="plate",
)


def moments(seed=0, count=3):
    random = np.random.default_rng(seed)
    keypoints = random.uniform(2, SIZE - 2, (count, 137, 3)).astype(np.float32)
    keypoints[..., 2] = 1
    boxes = np.tile(np.float32([4, 4, 12, 12]), (count, 1))
    plates = random.integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)
    return {"keypoints": keypoints, "face_boxes": boxes, "plates": plates}


def batch(seed=0):
    clip = moments(seed, 2)
    frames = np.random.default_rng(seed + 9).integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8)
    return {name: jnp.asarray(x)[None] for name, x in (clip | {"frames": frames}).items()}


def test_alpha_lays_the_person_over_the_plate():
    colour, plate = jnp.array([0.5, -0.5, 1.0]), jnp.array([-1.0, 0.0, 0.25])
    for value, alpha in ((1.0, 1.0), (-1.0, 0.0), (0.0, 0.5)):
        made = jnp.append(colour, value)
        wanted = alpha * colour + (1 - alpha) * plate
        np.testing.assert_allclose(matte.over(made, plate), wanted, atol=1e-7)
        np.testing.assert_allclose(matte.cut_out(made), alpha * colour, atol=1e-7)
        with_alpha = matte.with_alpha(made, plate)
        np.testing.assert_allclose(with_alpha, jnp.append(wanted, alpha), atol=1e-7)
    assert matte.picture(with_alpha).shape == (3,) and matte.picture(colour) is colour


def test_alpha_costs_where_the_plate_is_right_and_nowhere_else():
    frames = jnp.zeros((1, 2, 3))
    plates = frames.at[0, 1].set(0.8)
    alpha = jnp.ones((1, 2, 1))
    slope = jax.grad(lambda alpha: matte.needless(alpha, frames, plates))(alpha)[0, :, 0]
    assert slope[0] == pytest.approx(0.5) and abs(slope[1]) < 1e-6


@pytest.mark.parametrize("recipe", [PLATED, HD], ids=lambda recipe: recipe.name)
def test_a_step_trains_with_the_matte(recipe):
    state = recipe.init(jax.random.key(0), "global")
    head = state.params["generator"]["params"]["last"]
    assert jax.tree.leaves(head)[0].shape[-1] == 4
    after, metrics = recipe.train_step(state, batch(), "global", {})
    assert set(metrics) == set(recipe.metrics("global")) and "G_matte" in metrics
    assert all(np.isfinite(value) for value in metrics.values())
    before, now = (jax.tree.leaves(each.params["generator"]) for each in (state, after))
    assert any((a != b).any() for a, b in zip(before, now, strict=True))
    # Of the same recipe without a plate no number is another.
    assert "G_matte" not in replace(recipe, background="drawn").metrics("global")


def test_the_face_stage_corrects_the_person_before_the_plate():
    state = PLATED.init(jax.random.key(0), "global")
    state = PLATED.init(jax.random.key(1), "face", state)
    _, metrics = PLATED.train_step(state, batch(), "face", {})
    assert all(np.isfinite(value) for value in metrics.values())
    params, seen = PLATED.synthesis_params(state), PLATED.seen(moments())
    start = PLATED.start(params, None, "face")
    whole, _ = PLATED.synthesize(params, seen, start, "face")
    bare, _ = PLATED.synthesize(PLATED.without("face", params), seen, start, "face")
    box = np.zeros((SIZE, SIZE), bool)
    box[4:12, 4:12] = True
    first = np.abs(np.asarray(whole - bare))[0].max(-1)
    assert (first[box] > 1e-3).any() and (first[~box] < 1e-5).all()


def synthesized(recipe, clip):
    name = list(recipe.stages())[0]
    params = recipe.synthesis_params(recipe.init(jax.random.key(3), name))
    frames, carry = recipe.synthesize(
        params, recipe.seen(clip), recipe.start(params, None, name), name
    )
    return np.asarray(frames), carry


@pytest.mark.parametrize("recipe", [PLATED, HD], ids=lambda recipe: recipe.name)
def test_another_background_changes_nothing_of_the_person(recipe):
    clip = moments()
    layers, alone = synthesized(recipe, {k: v for k, v in clip.items() if k != "plates"})
    assert layers.shape == (3, SIZE, SIZE, 4), "without a plate the person and the matte"
    for seed in (0, 1):
        plates = moments(seed)["plates"]
        frames, carry = synthesized(recipe, clip | {"plates": plates})
        wanted = matte.over(jnp.asarray(layers), jnp.asarray(plates) / 127.5 - 1)
        np.testing.assert_allclose(frames, np.clip(wanted, -1, 1), atol=1e-6)
        jax.tree.map(np.testing.assert_array_equal, carry, alone)
