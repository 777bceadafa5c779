"""Settings of the First Order Motion Model that cannot work are one sentence."""

from dataclasses import replace

import pytest

from motion_jax.errors import UserError
from motion_jax.recipes.first_order import (
    DenseMotion,
    Detector,
    Discriminator,
    FirstOrder,
    Losses,
    Stage,
)

RECIPE = FirstOrder(main_stage=Stage(steps=1, height=256, width=256))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"motion": DenseMotion(variance=0.0)}, "motion.variance = 0.0 must be above 0"),
        (
            {"main_stage": Stage(steps=1, height=192, width=256)},
            "height = 192 must be divisible by 128: the keypoint detector .*: 128 and 256",
        ),
        (
            {"detector": Detector(halvings=0, scale=0.015625)},
            "leaves the keypoint detector 4 pixels, fewer than its kernel of 7",
        ),
        (
            {"losses": Losses(scales=(1.0, 0.0625, 0.03125))},
            "scales reach 8 pixels, fewer than the 16 .*scales 1 0.0625",
        ),
        (
            {"losses": Losses(gan=1.0), "discriminator": Discriminator(blocks=3)},
            "feature_matching has 4 weights, but the discriminator 3 blocks",
        ),
        ({"detector": Detector(jacobian=False)}, "no equivariance of them"),
    ],
)
def test_what_cannot_work_is_said(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        replace(RECIPE, **changes).validate()


def test_what_works():
    small = replace(RECIPE, losses=Losses(perceptual="none", scales=(0.03125,), l1=10.0))
    judged = replace(small, losses=replace(small.losses, gan=1.0, feature_matching=()))
    for recipe in (RECIPE, small, judged, replace(RECIPE, losses=Losses(gan=1.0))):
        recipe.validate()
