"""StyleGAN2's published checkpoints → our recipe's config, parameters, averages and optimisers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from motion_jax.config import Config
from motion_jax.data.settings import Data
from motion_jax.errors import UserError
from motion_jax.files import sha256
from motion_jax.port.import_edn import STEPS, Plan
from motion_jax.port.stylegan2 import Published
from motion_jax.recipes import stylegan2 as recipe
from motion_jax.recipes.network import applied
from motion_jax.weights import stylegan2 as keys

# 2 / (1 - beta2) of this recipe's Adam: see import_edn.
WARMUP_STEPS = 200


@dataclass(frozen=True)
class StylePlan(Plan):
    """A plan with what StyleGAN2's files hold besides: averaged generators, and Adam's averages
    with their steps, by our names."""

    averaged: Mapping[str, Any] = field(default_factory=dict)
    moments: Mapping[str, Any] = field(default_factory=dict)
    steps: Mapping[str, int] = field(default_factory=dict)

    def completed(self, state: Any) -> Any:
        """The state of an import with these."""
        optimizer = dict(state.optimizer)
        for name, (mean, square) in self.moments.items():
            count = jnp.asarray(self.steps[name], jnp.int32)
            optimizer[name] = optax.ScaleByAdamState(count, mean, square)
        # A raw and an averaged generator of one buffer could not both be donated.
        averaged = {**state.averaged, **jax.tree.map(jnp.copy, dict(self.averaged))}
        return state.replace(optimizer=optimizer, averaged=averaged)


def plan(published: Published) -> StylePlan:
    """Config and parameters of a file. Raises UserError for a conditional network, whose labels no
    dataset here has."""
    style, where = published.generator, str(published.path)
    settings = style.settings
    if settings["labels"]:
        raise UserError(
            f"{published.path} makes pictures of {settings['labels']} classes, and datasets here "
            "have no labels; motion-jax inspect and motion-jax export FILE work with it."
        )
    named = {
        "latent": settings["latent"],
        "style": settings["style"],
        "mapping_layers": settings["mapping_layers"],
        "mapping_hidden": settings["mapping_hidden"] or 0,
        "mapping_rate": settings.get("mapping_rate", 0.01),
        "widths": tuple(settings["widths"]),
        "architecture": settings["architecture"],
        "channels": settings["channels"],
        "clamp": settings.get("clamp") or 0.0,
        "taps": tuple(settings["taps"]),
    }
    raw = published.networks.get("generator", style)
    params, notes = {"generator": raw.variables(where)}, []
    averaged = {"generator": style.variables(where)}
    judge = recipe.Discriminator()
    if "discriminator" in published.networks:
        found = published.networks["discriminator"]
        if found.settings.get("labels"):
            raise UserError(f"{published.path}: its discriminator is told labels.")
        widths = tuple(found.settings["widths"])
        judge = recipe.Discriminator(
            widths=() if widths == named["widths"] else widths,
            architecture=found.settings["architecture"],
            stddev_group=found.settings.get("stddev_group") or 4,
            stddev_channels=found.settings["stddev_channels"],
            clamp=found.settings.get("clamp") or 0.0,
        )
        params["discriminator"] = found.variables(where)
    else:
        notes.append("There is no discriminator in the file: training begins with a fresh one.")
    if not np.any(np.asarray(averaged["generator"]["buffers"]["mapping"]["average"])):
        notes.append("The file has no mean of w; it is taken from 4096 latents.")
        averaged = {"generator": with_mean(averaged["generator"], settings)}
        params["generator"] = with_mean(params["generator"], settings)
    size = 4 << (len(named["widths"]) - 1)
    moments = {k: v for k, v in published.moments.items() if k in params}
    system = recipe.StyleGAN2(
        generator=recipe.Generator(**named),
        discriminator=judge,
        main_stage=recipe.Stage(
            steps=STEPS,
            height=size,
            width=size,
            batch_size=4,
            learning_rate=2e-3,
            warmup_steps=0 if moments else WARMUP_STEPS,
        ),
    )
    return StylePlan(
        Config(recipe=system, data=Data()),
        "main",
        params,
        tuple(notes),
        averaged,
        moments,
        {name: published.steps[name] for name in moments},
    )


def with_mean(variables: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of a generator with the mean of w over 4096 latents."""
    module = keys.module_of(settings)
    z = jax.random.normal(jax.random.key(0), (4096, settings["latent"]))
    mapped = jax.jit(lambda v, z: jnp.mean(applied(module, v, z, method="map"), 0))
    buffers = {**variables["buffers"], "mapping": {"average": mapped(variables, z)}}
    return {**variables, "buffers": buffers}


def provenance(published: Published) -> dict[str, Any]:
    """What a record says of where weights came from."""
    path = published.path
    file = {"file": path.name, "sha256": sha256(path)}
    about = {"from": str(path), "files": {"stylegan2": file}, **published.facts}
    return about | ({"optimizer": True} if published.moments else {})
