"""The networks of a First Order Motion Model, as its settings say."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from motion_jax.nets.keypoints import Keypoints
from motion_jax.recipes.adam import Adam
from motion_jax.recipes.network import Network, Work, picture


def networks_of(recipe: Any, running: bool) -> dict[str, Network]:
    """By their names in the state.

    recipe: a FirstOrder; running: batch norm by running statistics.
    """
    height, width = recipe.size
    count = recipe.detector.points
    jacobian = jax.ShapeDtypeStruct((1, count, 2, 2), jnp.float32)
    points = Keypoints(
        jax.ShapeDtypeStruct((1, count, 2), jnp.float32),
        jacobian if recipe.detector.jacobian else None,
    )
    driving = points
    if recipe.background_moves:
        driving = replace(points, background=jax.ShapeDtypeStruct((1, 2, 3), jnp.float32))
    shown = picture(height, width)
    averaged = recipe.averaging > 0
    generator = recipe.generator.module(
        recipe.motion, count, recipe.align_corners, recipe.dtype, running
    )
    networks = {
        "generator": Network(
            generator,
            (shown, points, driving),
            "generator",
            Adam(rate=recipe.rates.generator),
            averaged=averaged,
        ),
        "detector": Network(
            recipe.detector.module(recipe.dtype, running),
            (shown,),
            "generator",
            Adam(rate=recipe.rates.detector),
            averaged=averaged,
        ),
    }
    if recipe.background_moves:
        networks["background"] = Network(
            recipe.background_motion.module(recipe.dtype, running),
            (shown, shown),
            "generator",
            Adam(rate=recipe.rates.generator),
            averaged=averaged,
        )
    if recipe.losses.gan:
        judged = {
            float(scale): picture(*_scaled(recipe.size, scale))
            for scale in recipe.discriminator.scales
        }
        networks["discriminator"] = Network(
            recipe.discriminator.module(recipe.dtype),
            (judged, points.value),
            "discriminator",
            Adam(rate=recipe.rates.discriminator),
        )
    return networks


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    height, width = (-(-side // int(1 / scale)) for side in size)
    return height, width


def work_of(networks: dict[str, Network]) -> list[Work]:
    """What a train step does with them: see Recipe.work."""
    passes = {
        "generator": (3, 1),
        "detector": (9, 3),
        "background": (3, 1),
        "discriminator": (8, 2),
    }
    return [Work(network, *passes[name]) for name, network in networks.items()]
