"""The networks of a run under the reference's names: classes, arguments, files, options."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from motion_jax.errors import UserError
from motion_jax.port.network import Network
from motion_jax.train.run import Run

# The option that is ours, as JSON.
OURS = "motion_jax"

# Ours -> what stands between `_net_` and the suffix in the original's file names.
FILES = {
    "generator": "G",
    "discriminator": "D",
    "face_generator": "Gface",
    "face_discriminator": "Dface",
}


def networks_of(run: Run, params: Mapping[str, Any]) -> dict[str, Network]:
    """The run's networks by the original's file names (G, D, ...).

    Raises UserError for a recipe whose networks have no counterpart there.
    """
    recipe = run.config.recipe
    if recipe.name not in _DESCRIPTIONS:
        raise UserError(f"Runs of the recipe {recipe.name} cannot be exported yet.")
    descriptions, files = _DESCRIPTIONS[recipe.name](recipe, run.stage)
    modules = _modules(recipe, run.stage)
    return {
        files[name]: Network(d["class"], modules[name], params[name], d)
        for name, d in descriptions.items()
        if name in params
    }


def _modules(recipe: Any, stage: str) -> dict[str, Any]:
    modules = {
        "generator": recipe.main_generator(stage),
        "discriminator": recipe.main_discriminator(stage),
    }
    if stage == "face":
        modules["face_generator"] = recipe.face_generator()
        modules["face_discriminator"] = recipe.face_discriminator()
    return modules


def _everybody_dance_now(recipe: Any, stage: str) -> tuple[dict[str, dict], dict[str, str]]:
    g, d, f = recipe.generator, recipe.discriminator, recipe.face
    pictures = {"input_nc": 6, "output_nc": 3}
    if recipe.is_local(stage):
        generator = {
            "class": "LocalEnhancer",
            **pictures,
            "ngf": g.ngf // 2**g.n_local_enhancers,
            "n_downsample_global": g.n_downsampling,
            "n_blocks_global": g.n_blocks,
            "n_local_enhancers": g.n_local_enhancers,
            "n_blocks_local": g.n_blocks_local,
        }
    else:
        generator = _global_generator(g, pictures)
    return {
        "generator": generator,
        "discriminator": {
            "class": "MultiscaleDiscriminator",
            "input_nc": 12,
            "ndf": d.ndf,
            "n_layers": d.n_layers,
            "num_D": recipe.stages()[stage].num_D,
            # The original stores the layers otherwise where nobody asks for their features.
            "intermediate_features": recipe.losses.feature_matching > 0,
        },
        "face_generator": _global_generator(f, pictures),
        "face_discriminator": {
            "class": "NLayerDiscriminator",
            "input_nc": 6,
            "ndf": f.ndf,
            "n_layers": f.n_layers,
            "norm": "batch",
            "intermediate_features": False,
            "prefix": "facemodel",
        },
    }, FILES


def _global_generator(sizes: Any, pictures: dict[str, int]) -> dict[str, Any]:
    return {
        "class": "GlobalGenerator",
        **pictures,
        "ngf": sizes.ngf,
        "n_downsampling": sizes.n_downsampling,
        "n_blocks": sizes.n_blocks,
    }


_DESCRIPTIONS = {"everybody_dance_now": _everybody_dance_now}


def options_of(run: Run) -> dict[str, Any]:
    """The original program's options that fit the run, for opt.txt; and one of ours, with what
    importing the files again would not know: sizes, how poses are drawn."""
    recipe, stage = run.config.recipe, run.config.recipe.stages()[run.stage]
    g, local = recipe.generator, recipe.is_local(run.stage)
    options = {
        "name": run.folder.resolve().name,
        "model": "pix2pixHD",
        "label_nc": 6,
        "input_nc": 3,
        "output_nc": 3,
        "no_instance": True,
        "no_flip": True,
        "norm": "instance",
        "netG": "local" if local else "global",
        "ngf": g.ngf // 2**g.n_local_enhancers if local else g.ngf,
        "n_downsample_global": g.n_downsampling,
        "n_blocks_global": g.n_blocks,
        "n_local_enhancers": g.n_local_enhancers,
        "n_blocks_local": g.n_blocks_local,
        "ndf": recipe.discriminator.ndf,
        "n_layers_D": recipe.discriminator.n_layers,
        "num_D": stage.num_D,
        "no_ganFeat_loss": recipe.losses.feature_matching == 0,
        "loadSize": stage.width,
        "fineSize": stage.height,
        "resize_or_crop": "none" if local else "scale_width",
        "batchSize": stage.batch_size,
        "lr": stage.learning_rate,
        "beta1": 0.5,
    }
    ours = {
        "width": stage.width,
        "height": stage.height,
        "clamp_face": recipe.clamp_face,
        "pose_style": dataclasses.asdict(recipe.pose_style),
    }
    if run.stage == "face":
        options |= {"face_discrim": True, "face_generator": True, "faceGtype": "global"}
        ours["face_size"] = recipe.face.size
    return options | {OURS: json.dumps(ours)}


def departures(run: Run) -> list[str]:
    """What the published program builds with fixed sizes and this run has otherwise."""
    if run.stage != "face":
        return []
    f, found = run.config.recipe.face, []
    fixed = {"ngf": 64, "n_downsampling": 3, "n_blocks": 5, "ndf": 64, "n_layers": 3, "size": 128}
    for name, value in fixed.items():
        if getattr(f, name) != value:
            found.append(f"{name} {getattr(f, name)} for {value}")
    return found


def options_text(options: Mapping[str, Any]) -> str:
    """An opt.txt as the original programs write it."""
    lines = [f"{name}: {options[name]}" for name in sorted(options)]
    head, foot = "------------ Options -------------", "-------------- End ----------------"
    return "\n".join([head, *lines, foot]) + "\n"
