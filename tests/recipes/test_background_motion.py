"""A background that moves by one affine map, seen by a network of its own."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_jax.errors import UserError
from motion_jax.nets import keypoints, sampling, thin_plate
from motion_jax.nets.keypoints import Keypoints
from motion_jax.recipes.first_order import (
    BackgroundMotion,
    DenseMotion,
    Detector,
    FirstOrder,
    Generator,
    Losses,
    Stage,
)

SMALL = {"expansion": 2, "most": 4, "halvings": 1, "scale": 0.5}
STILL = FirstOrder(
    detector=Detector(points=2, padding=3, **SMALL),
    motion=DenseMotion(**SMALL),
    generator=Generator(expansion=2, most=4, halvings=1, residuals=1, skips=True),
    losses=Losses(
        perceptual="none", l1=10.0, scales=(1.0, 0.5), equivariance_value=0.0,
        equivariance_jacobian=0.0,
    ),
    main_stage=Stage(steps=60, height=32, width=32, batch_size=2, learning_rate=5e-3),
)  # fmt: skip
MOVING = dataclasses.replace(STILL, background_motion=BackgroundMotion("affine", 2, 4, 2, 0.5))
IDENTITY = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
# Where a place of the driving picture is in the source: as of a camera that turned, rolled and
# zoomed a little.
KNOWN = np.array([[0.9, -0.1, 0.2], [0.1, 0.9, -0.1]], np.float32)


@pytest.fixture(scope="module")
def pair():
    """Two pictures of a smooth pattern, the second of them moved by KNOWN."""

    def seen(places):
        x, y = np.moveaxis(places, -1, 0)
        waves = [np.sin(5 * x + 2 * y), np.sin(4 * y - 3 * x + 1), np.cos(6 * x) * np.cos(5 * y)]
        return (0.5 + 0.4 * np.stack(waves, axis=-1)).astype(np.float32)[None]

    grid = sampling.coordinate_grid(32, 32)
    return seen(grid), seen(grid @ KNOWN[:, :2].T + KNOWN[:, 2])


@pytest.fixture(scope="module")
def state():
    return MOVING.init(jax.random.key(0), "main")


@functools.cache
def gradients_of(recipe):
    change = thin_plate.drawn(jax.random.key(0), 1, 0.05, 0.005, 5)

    def found(params, source, driving):
        made = recipe.gradients(params, source, driving, change, {})
        return made.gradient, made.metrics, made.generated

    return jax.jit(found)


def found(recipe, state, pair):
    """Gradients by network, losses, pictures."""
    params = {name: state.params[name] for name in recipe.networks("main")}
    return gradients_of(recipe)(params, *pair)


def with_map(params, matrix):
    """Parameters with which the network sees this map in all pictures."""
    own = params["background"]["params"] | {"bias": jnp.asarray(matrix, jnp.float32).ravel()}
    return params | {"background": params["background"] | {"params": own}}


def test_the_background_is_looked_up_by_the_map():
    grid = sampling.coordinate_grid(5, 7)
    points = Keypoints(jnp.zeros((2, 3, 2)), jnp.tile(jnp.eye(2), (2, 3, 1, 1)))
    maps = np.stack([IDENTITY, KNOWN])
    still = keypoints.sparse_motions(points, points, 5, 7)
    moved = keypoints.sparse_motions(points, points.replace(background=jnp.asarray(maps)), 5, 7)
    ones = np.concatenate([grid, np.ones((5, 7, 1))], axis=-1)
    expected = np.einsum("nij,hwj->nhwi", maps.astype(np.float64), ones)
    np.testing.assert_allclose(moved[:, 0], expected, atol=1e-6)
    np.testing.assert_array_equal(moved[:, 1:], still[:, 1:])
    np.testing.assert_array_equal(moved[0], still[0])


def test_it_begins_as_the_network_without_it(state, pair):
    assert set(STILL.networks("main")) == {"generator", "detector"}
    assert set(state.params) == {"generator", "detector", "background"}
    _, losses, pictures = found(MOVING, state, pair)
    _, without, as_published = found(STILL, state, pair)
    assert float(losses["l1"]) == pytest.approx(float(without["l1"]), rel=1e-6)
    np.testing.assert_allclose(pictures, as_published, atol=1e-6)
    seen = MOVING.behind(state.params, *map(jnp.asarray, pair))
    np.testing.assert_array_equal(seen[0], IDENTITY)
    assert STILL.behind(state.params, *map(jnp.asarray, pair)) is None


def test_the_gradient_reaches_it(state, pair):
    gradient = found(MOVING, state, pair)[0]["background"]
    assert all(np.abs(gradient[name]).max() > 0 for name in ("kernel", "bias"))
    # Its first layers follow as soon as the last one is not zero any more.
    own = state.params["background"]["params"]
    own = own | {"kernel": 0.01 * jnp.ones_like(own["kernel"])}
    moved = state.replace(
        params=state.params | {"background": state.params["background"] | {"params": own}}
    )
    gradient = found(MOVING, moved, pair)[0]["background"]
    assert np.abs(gradient["down_0"]["conv"]["kernel"]).max() > 0


def test_a_known_motion_is_learnt(state, pair):
    batch = {"frames": jnp.concatenate([jnp.asarray(each)[:, None] for each in pair], axis=1)}
    step = jax.jit(lambda now: MOVING.train_step(now, batch, "main", {}))
    now, losses = state, []
    for _ in range(50):
        now, metrics = step(now)
        losses.append(float(metrics["l1"]))
    assert losses[-1] < 0.25 * losses[0]
    [seen] = MOVING.behind(now.params, *map(jnp.asarray, pair))
    assert np.abs(seen - KNOWN).max() < 0.5 * np.abs(IDENTITY - KNOWN).max()


@pytest.mark.parametrize("mode", ["relative", "absolute"])
def test_where_it_is_applied(state, pair, mode):
    """Films made again, and absolute motion; in relative motion the photo's background stays."""
    test = dataclasses.replace(MOVING.test, mode=mode)
    recipe = dataclasses.replace(MOVING, test=test)
    photo = (255 * pair[0]).astype(np.uint8)
    film = jnp.asarray((255 * pair[1]).astype(np.uint8))

    def made(params, animated):
        begun = recipe.start(params, jnp.asarray(photo), "main")
        if not animated:
            return recipe.synthesize(params, film, begun, "main")[0]
        points = recipe.driving(params, begun, film / 255.0)
        return recipe.animated(params, begun, recipe.moved(begun, points))

    params = MOVING.synthesis_params(state)
    assert set(params) == {"generator", "detector", "background"}
    moved = with_map(params, KNOWN)
    for animated in (False, True):
        difference = np.abs(made(params, animated) - made(moved, animated)).max()
        assert (difference == 0) == (animated and mode == "relative")


def test_sizes_that_it_cannot_halve_are_refused():
    wrong = dataclasses.replace(MOVING, background_motion=BackgroundMotion("affine", 2, 4, 5, 0.5))
    with pytest.raises(UserError, match="the network of the background's motion sees it"):
        wrong.validate()
    assert wrong.size_multiple("main") == 64
    still = dataclasses.replace(STILL, background_motion=wrong.background_motion)
    dataclasses.replace(
        still, background_motion=dataclasses.replace(still.background_motion, kind="still")
    ).validate()
