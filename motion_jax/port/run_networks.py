"""The networks of a run under the reference's names: classes, arguments, files, options."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from motion_jax.errors import UserError
from motion_jax.port.network import Network
from motion_jax.recipes.coarse_to_fine import CoarseToFine
from motion_jax.train.run import Run

# The option that is ours, as JSON.
OURS = "motion_jax"

# Ours -> what stands between `_net_` and the suffix in the original's file names.
FILES = {
    "generator": "G",
    "discriminator": "D",
    "face_generator": "Gface",
    "face_discriminator": "Dface",
    "generator_A": "G_A",
    "generator_B": "G_B",
    "discriminator_A": "D_A",
    "discriminator_B": "D_B",
}


def networks_of(run: Run, params: Mapping[str, Any]) -> dict[str, Network]:
    """The run's networks by the original's file names (G, D, ...). Raises UserError for a recipe
    whose networks have no counterpart there."""
    recipe = run.config.recipe
    if recipe.name not in _DESCRIPTIONS:
        raise UserError(f"Runs of the recipe {recipe.name} cannot be exported yet.")
    descriptions = _DESCRIPTIONS[recipe.name](recipe, run.stage)
    modules = recipe.tested_modules(run.stage)
    return {
        FILES[name]: Network(d["class"], modules[name], params[name], d)
        for name, d in descriptions.items()
        if name in params
    }


def _coarse_to_fine(recipe: Any, stage: str) -> dict[str, dict]:
    """pix2pixHD's main networks."""
    g, d = recipe.generator, recipe.discriminator
    pictures = {"input_nc": recipe.generator_channels, "output_nc": 3}
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
            "input_nc": recipe.discriminator_channels,
            "ndf": d.ndf,
            "n_layers": d.n_layers,
            "num_D": recipe.stages()[stage].num_D,
            # The original stores the layers otherwise where nobody asks for their features.
            "intermediate_features": recipe.losses.feature_matching > 0,
        },
    }


def _everybody_dance_now(recipe: Any, stage: str) -> dict[str, dict]:
    f = recipe.face
    return _coarse_to_fine(recipe, stage) | {
        "face_generator": _global_generator(f, {"input_nc": 6, "output_nc": 3}),
        "face_discriminator": {
            "class": "NLayerDiscriminator",
            "input_nc": 6,
            "ndf": f.ndf,
            "n_layers": f.n_layers,
            "norm": "batch",
            "intermediate_features": False,
            # As architecture.describe has it: "model" is what goes without saying.
            **({} if f.discriminator_keys == "model" else {"prefix": f.discriminator_keys}),
        },
    }


def _basic(recipe: Any, judged: int) -> tuple[dict, dict]:
    """Generator and discriminator of pix2pix's code base; judged: the latter's channels."""
    g, d = recipe.generator, recipe.discriminator
    generator = {"input_nc": 3, "output_nc": 3, "ngf": g.ngf, "norm": g.norm, "dropout": g.dropout}
    if g.kind == "unet":
        generator |= {"class": "UnetGenerator", "num_downs": g.n_downsampling}
    else:
        generator |= {"class": "ResnetGenerator", "n_blocks": g.n_blocks}
    discriminator = {"input_nc": judged, "ndf": d.ndf, "norm": d.norm}
    if d.kind == "pixel":
        return generator, discriminator | {"class": "PixelDiscriminator"}
    return generator, discriminator | {"class": "NLayerDiscriminator", "n_layers": d.n_layers}


def _pix2pix(recipe: Any, stage: str) -> dict[str, dict]:
    if not recipe.conditions.plain:
        raise UserError(
            "The run's generator is shown more or other channels than the pose picture "
            "(recipe.conditions), which no exported form describes; export a run that was trained "
            "with the skeleton alone."
        )
    generator, discriminator = _basic(recipe, 6)
    return {"generator": generator, "discriminator": discriminator}


def _cyclegan(recipe: Any, stage: str) -> dict[str, dict]:
    generator, discriminator = _basic(recipe, 3)
    return {
        "generator_A": generator,
        "generator_B": generator,
        "discriminator_A": discriminator,
        "discriminator_B": discriminator,
    }


def _global_generator(sizes: Any, pictures: dict[str, int]) -> dict[str, Any]:
    return {
        "class": "GlobalGenerator",
        **pictures,
        "ngf": sizes.ngf,
        "n_downsampling": sizes.n_downsampling,
        "n_blocks": sizes.n_blocks,
    }


_DESCRIPTIONS = {
    "everybody_dance_now": _everybody_dance_now,
    "pix2pixhd": _coarse_to_fine,
    "pix2pix": _pix2pix,
    "cyclegan": _cyclegan,
}


def options_of(run: Run) -> dict[str, Any]:
    """The original program's options that fit the run, for opt.txt; and one of ours, with what
    importing the files again would not know: sizes, how poses are drawn."""
    recipe, stage = run.config.recipe, run.config.recipe.stages()[run.stage]
    options = {
        "name": run.folder.resolve().name,
        "input_nc": 3,
        "output_nc": 3,
        "ndf": recipe.discriminator.ndf,
        "n_layers_D": recipe.discriminator.n_layers,
        "lr": stage.learning_rate,
        "beta1": 0.5,
    }
    hd = isinstance(recipe, CoarseToFine)
    options |= _options_hd(run) if hd else _options_basic(run)
    ours = {
        "width": stage.width,
        "height": stage.height,
        "pose_style": dataclasses.asdict(recipe.pose_style),
    }
    if recipe.recurrent:
        ours["clamp_face"] = recipe.clamp_face
    if run.stage == "face":
        options |= {"face_discrim": True, "face_generator": True, "faceGtype": "global"}
        ours["face_size"] = recipe.face.size
    return options | {OURS: json.dumps(ours)}


def _options_hd(run: Run) -> dict[str, Any]:
    recipe, stage = run.config.recipe, run.config.recipe.stages()[run.stage]
    g, local = recipe.generator, recipe.is_local(run.stage)
    return {
        "model": "pix2pixHD",
        # Everybody Dance Now's way of saying: pose and previous frame.
        "label_nc": 6 if recipe.recurrent else 0,
        "no_instance": True,
        "no_flip": True,
        "norm": "instance",
        "netG": "local" if local else "global",
        "ngf": g.ngf // 2**g.n_local_enhancers if local else g.ngf,
        "n_downsample_global": g.n_downsampling,
        "n_blocks_global": g.n_blocks,
        "n_local_enhancers": g.n_local_enhancers,
        "n_blocks_local": g.n_blocks_local,
        "num_D": stage.num_D,
        "no_ganFeat_loss": recipe.losses.feature_matching == 0,
        "loadSize": stage.width,
        "fineSize": stage.height,
        "resize_or_crop": "none" if local else "scale_width",
        "batchSize": stage.batch_size,
    }


def _options_basic(run: Run) -> dict[str, Any]:
    recipe, stage = run.config.recipe, run.config.recipe.stages()[run.stage]
    g, losses = recipe.generator, recipe.losses
    depth = g.n_downsampling if g.kind == "unet" else g.n_blocks
    net = f"unet_{2**depth}" if g.kind == "unet" else f"resnet_{depth}blocks"
    options = {
        "netG": net,
        "netD": "pixel" if recipe.discriminator.kind == "pixel" else "n_layers",
        "ngf": g.ngf,
        "norm": g.norm,
        "no_dropout": not g.dropout,
        "gan_mode": losses.gan,
        "load_size": stage.width,
        "crop_size": stage.width,
        "batch_size": stage.batch_size,
    }
    if recipe.name == "pix2pix":
        return options | {"model": "pix2pix", "lambda_L1": losses.l1}
    return options | {
        "model": "cycle_gan",
        "lambda_A": losses.cycle_A,
        "lambda_B": losses.cycle_B,
        "lambda_identity": losses.identity,
        "pool_size": recipe.pool_size,
    }


# The generators that pix2pix's and CycleGAN's program builds by name.
_NET_G = ("unet_128", "unet_256", "resnet_6blocks", "resnet_9blocks")


def departures(run: Run) -> str:
    """A sentence on what the published program builds with fixed sizes and this run has otherwise;
    "" where there is nothing of the kind."""
    if run.stage == "face":
        f, found = run.config.recipe.face, []
        fixed = {
            "ngf": 64, "n_downsampling": 3, "n_blocks": 5, "ndf": 64, "n_layers": 3, "size": 128
        }  # fmt: skip
        for name, value in fixed.items():
            if getattr(f, name) != value:
                found.append(f"{name} {getattr(f, name)} for {value}")
        if found:
            return (
                "The original program builds the face's networks with sizes of its own, which this "
                f"run does not have ({', '.join(found)}): change them there to load these files."
            )
    net = options_of(run)["netG"]
    if not isinstance(run.config.recipe, CoarseToFine) and net not in _NET_G:
        return (
            f"The original program knows no --netG {net}, which is this run's generator (but "
            f"{', '.join(_NET_G)}): add it there to load these files."
        )
    return ""


def options_text(options: Mapping[str, Any]) -> str:
    """An opt.txt as the original programs write it."""
    lines = [f"{name}: {options[name]}" for name in sorted(options)]
    head, foot = "------------ Options -------------", "-------------- End ----------------"
    return "\n".join([head, *lines, foot]) + "\n"
