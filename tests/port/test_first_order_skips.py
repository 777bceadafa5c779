"""A generator that shows the warped photo itself, and its ONNX graph."""

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


def test_its_graph_gives_the_same(case):
    pytest.importorskip("onnx", reason="needs the package onnx")
    runtime = pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")
    photo, points, params = case
    model = onnx_first_order.build(SKIPS, params)
    run = runtime.InferenceSession(model["generator"].SerializeToString())
    fed = {"photo": np.asarray(photo).transpose(0, 3, 1, 2)}
    for who, each in zip(("photo", "driving"), points, strict=True):
        fed |= {
            f"{who}_value": np.asarray(each.value),
            f"{who}_jacobian": np.asarray(each.jacobian),
        }
    [found] = run.run(None, fed)
    wanted, _ = SKIPS.tested_modules("main")["generator"].apply(params["generator"], photo, *points)
    np.testing.assert_allclose(found.transpose(0, 2, 3, 1), wanted, atol=2e-5)


def test_without_the_map_there_is_nothing_to_blend():
    generator = dataclasses.replace(SKIPS.generator, occlusion=False)
    with pytest.raises(UserError, match="needs the map of what is hidden"):
        dataclasses.replace(SKIPS, generator=generator).validate()
