"""A generator that shows the warped photo itself, one that leaves the photo as it is around what
moves, and their ONNX graphs."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_jax.errors import UserError
from motion_jax.nets import sampling
from motion_jax.nets.first_order import Keypoints
from motion_jax.port import onnx_first_order
from motion_jax.recipes.first_order import (
    BackgroundMotion,
    DenseMotion,
    Detector,
    FirstOrder,
    Generator,
    Losses,
    Stage,
)

PLAIN = FirstOrder(
    detector=Detector(points=3, expansion=2, most=4, halvings=1, scale=0.5, padding=3),
    motion=DenseMotion(expansion=2, most=4, halvings=1, scale=0.5),
    generator=Generator(expansion=2, most=4, halvings=1, residuals=1),
    losses=Losses(perceptual="none", l1=10.0, scales=(1.0, 0.5)),
    main_stage=Stage(steps=3, height=32, width=32, batch_size=2),
)
SKIPS = dataclasses.replace(PLAIN, generator=dataclasses.replace(PLAIN.generator, skips=True))
MATTE = dataclasses.replace(SKIPS, generator=dataclasses.replace(SKIPS.generator, matte=True))
MOVING = dataclasses.replace(MATTE, background_motion=BackgroundMotion("affine", 2, 4, 2, 0.5))
# The camera turned, rolled and zoomed a little.
MOVED = np.array([[[0.9, -0.1, 0.2], [0.1, 0.9, -0.1]]], np.float32)


@pytest.fixture(scope="module")
def case():
    """Photo, its keypoints, the driving ones, and parameters of the tested networks."""
    keys = jax.random.split(jax.random.key(0), 5)
    photo = jax.random.uniform(keys[0], (1, 32, 32, 3))
    points = [
        Keypoints(
            jax.random.uniform(key, (1, 3, 2), minval=-0.7, maxval=0.7),
            jnp.eye(2) + 0.2 * jax.random.normal(key, (1, 3, 2, 2)),
        )
        for key in keys[1:3]
    ]
    params = SKIPS.synthesis_params(SKIPS.init(keys[3], "main"))
    return photo, points, params


def test_what_is_seen_is_the_photo_and_the_rest_is_made(case):
    photo, points, params = case
    variables = params["generator"]
    made, motion = PLAIN.tested_modules("main")["generator"].apply(variables, photo, *points)
    module = SKIPS.tested_modules("main")["generator"]
    both, _ = module.apply(variables, photo, *points)
    seen = sampling.resize(motion.occlusion, 32, 32)
    warped = module.apply(variables, photo, motion, method="deformed")
    assert 0.05 < float(seen.mean()) < 0.95
    np.testing.assert_allclose(both, seen * warped + (1 - seen) * made, atol=1e-5)


@pytest.fixture(scope="module")
def with_matte():
    """Parameters of MATTE's tested networks; the variables of its generator fit MOVING's."""
    return MATTE.synthesis_params(MATTE.init(jax.random.key(5), "main"))


@pytest.mark.parametrize("moved", [False, True])
def test_around_what_is_drawn_the_photo_is_seen(case, with_matte, moved):
    photo, (source, driving), _ = case
    variables = with_matte["generator"]
    drawn = {part: {n: v for n, v in tree.items() if n != "alpha"}
             for part, tree in variables.items()}  # fmt: skip
    behind = photo
    if moved:
        driving = driving.replace(background=jnp.asarray(MOVED))
        grid = sampling.coordinate_grid(32, 32) @ MOVED[0, :, :2].T + MOVED[0, :, 2]
        behind = sampling.grid_sample(photo, jnp.asarray(grid)[None], align_corners=False)
        assert float(jnp.abs(behind - photo).mean()) > 0.1
    made, _ = SKIPS.tested_modules("main")["generator"].apply(drawn, photo, source, driving)
    module = MATTE.tested_modules("main")["generator"]
    (both, _), kept = module.apply(variables, photo, source, driving, mutable=["intermediates"])
    [alpha] = kept["intermediates"]["drawn"]
    assert alpha.shape == (1, 32, 32, 1)
    assert 0.05 < float(alpha.min()) < float(alpha.max()) < 0.95
    np.testing.assert_allclose(both, alpha * made + (1 - alpha) * behind, atol=1e-5)


def test_the_matte_learns(case, with_matte):
    photo, points, _ = case
    module = MATTE.tested_modules("main")["generator"]

    def loss(params):
        made, _ = module.apply({**with_matte["generator"], "params": params}, photo, *points)
        return jnp.mean(jnp.abs(made - photo))

    before = with_matte["generator"]["params"]
    gradient = jax.grad(loss)(before)["alpha"]
    after = before | {"alpha": jax.tree.map(lambda x, g: x - 20 * g, before["alpha"], gradient)}
    assert loss(after) < 0.9 * loss(before)


@pytest.mark.parametrize("recipe", [SKIPS, MATTE, MOVING], ids=["skips", "matte", "moving"])
def test_its_graph_gives_the_same(case, with_matte, recipe):
    pytest.importorskip("onnx", reason="needs the package onnx")
    runtime = pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")
    photo, (source, driving), params = case
    if recipe is not SKIPS:
        params = with_matte
    if recipe is MOVING:
        params = recipe.synthesis_params(recipe.init(jax.random.key(5), "main")) | params
        driving = driving.replace(background=jnp.asarray(MOVED))
    model = onnx_first_order.build(recipe, params)
    run = runtime.InferenceSession(model["generator"].SerializeToString())
    fed = {"photo": np.asarray(photo).transpose(0, 3, 1, 2)}
    for who, each in {"photo": source, "driving": driving}.items():
        fed |= {
            f"{who}_value": np.asarray(each.value),
            f"{who}_jacobian": np.asarray(each.jacobian),
        }
    if recipe is MOVING:
        fed["driving_background"] = MOVED
    [found] = run.run(None, fed)
    module = recipe.tested_modules("main")["generator"]
    wanted, _ = module.apply(params["generator"], photo, source, driving)
    np.testing.assert_allclose(found.transpose(0, 2, 3, 1), wanted, atol=2e-5)


def test_without_the_map_there_is_nothing_to_blend():
    generator = dataclasses.replace(SKIPS.generator, occlusion=False)
    with pytest.raises(UserError, match="needs the map of what is hidden"):
        dataclasses.replace(SKIPS, generator=generator).validate()
