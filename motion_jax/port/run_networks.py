"""The networks of a run under the reference's names: classes, arguments, files, options."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from motion_jax.errors import UserError, option, setting
from motion_jax.port.network import Network
from motion_jax.port.reference import reference_description
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

Options = dict[str, Any]


@dataclass(frozen=True)
class Original:
    """What the published program of a recipe has that its networks do not tell.

    Attributes:
      details: (recipe, network) -> arguments of the network's class besides its sizes. Raises
        UserError for a recipe that the program cannot have.
      options: run -> (its options, what our own one says besides).
      departures: run -> a sentence on what the program builds with fixed sizes that are not the
        run's; "" where there is nothing of the kind.
    """

    details: Callable[[Any, str], dict[str, Any]]
    options: Callable[[Run], tuple[Options, Options]]
    departures: Callable[[Run], str] = lambda run: ""


def networks_of(run: Run, params: Mapping[str, Any]) -> dict[str, Network]:
    """The run's networks by the original's file names (G, D, ...). Raises UserError for a recipe
    whose networks have no counterpart there."""
    original, modules = _original(run.config.recipe), run.config.recipe.tested_modules(run.stage)
    found = {}
    for name, network in run.config.recipe.networks(run.stage).items():
        details = original.details(run.config.recipe, name)
        if name in params:
            (shown,) = network.inputs
            config = reference_description(network.module, shown.shape[-1]) | details
            found[FILES[name]] = Network(config["class"], modules[name], params[name], config)
    return found


def has_original(recipe: Any) -> bool:
    """Whether the recipe's networks are those of a published program."""
    return recipe.name in _ORIGINALS


def _original(recipe: Any) -> Original:
    if not has_original(recipe):
        raise UserError(
            f"The recipe {recipe.name} has no original in PyTorch, so no files of one can be "
            f"written; export {option('format')} orbax or stablehlo."
        )
    return _ORIGINALS[recipe.name]


def _recipe(run: Run) -> Any:
    """One of _ORIGINALS, each with fields of its own."""
    return run.config.recipe


def options_of(run: Run) -> Options:
    """The original program's options that fit the run, for opt.txt; and one of ours, with what
    importing the files again would not know: sizes, how poses are drawn."""
    recipe, stage = _recipe(run), run.config.recipe.stages()[run.stage]
    networks = recipe.networks(run.stage)
    optimizer = networks[recipe.trained(run.stage)[0]].optimizer
    theirs, ours = _original(recipe).options(run)
    ours = {
        "width": stage.width,
        "height": stage.height,
        "pose_style": dataclasses.asdict(recipe.pose_style),
    } | ours
    return {
        "name": run.folder.resolve().name,
        "input_nc": 3,
        "output_nc": 3,
        "ndf": recipe.discriminator.ndf,
        "n_layers_D": recipe.discriminator.n_layers,
        "lr": stage.learning_rate,
        "beta1": optimizer.b1,
        **theirs,
        OURS: json.dumps(ours),
    }


def departures(run: Run) -> str:
    """See Original."""
    return _original(run.config.recipe).departures(run)


# --- pix2pixHD and Everybody Dance Now ------------------------------------------------------------


def _details_hd(recipe: Any, network: str) -> dict[str, Any]:
    if network != "discriminator":
        return {}
    # The original stores the layers in another form where nobody asks for their features.
    return {"intermediate_features": recipe.losses.feature_matching > 0}


def _details_dance(recipe: Any, network: str) -> dict[str, Any]:
    if network != "face_discriminator":
        return _details_hd(recipe, network)
    prefix = recipe.face.discriminator_keys
    # As in weights/architecture.py: "model" is the default.
    return {"intermediate_features": False, **({} if prefix == "model" else {"prefix": prefix})}


def _options_hd(run: Run) -> tuple[Options, Options]:
    recipe, stage = _recipe(run), run.config.recipe.stages()[run.stage]
    g, local = recipe.generator, recipe.is_local(run.stage)
    theirs = {
        "model": "pix2pixHD",
        "label_nc": 0,
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
    return theirs, {}


def _options_dance(run: Run) -> tuple[Options, Options]:
    recipe = _recipe(run)
    # The program's way of saying: pose and previous frame.
    theirs = _options_hd(run)[0] | {"label_nc": 6}
    ours: Options = {"clamp_face": recipe.clamp_face}
    if run.stage == "face":
        theirs |= {"face_discrim": True, "face_generator": True, "faceGtype": "global"}
        ours["face_size"] = recipe.face.size
    return theirs, ours


# The sizes of the face's networks that the program of Everybody Dance Now has.
_FACE = {"ngf": 64, "n_downsampling": 3, "n_blocks": 5, "ndf": 64, "n_layers": 3, "size": 128}


def _departures_dance(run: Run) -> str:
    face = _recipe(run).face
    found = [f"{n} {getattr(face, n)} for {v}" for n, v in _FACE.items() if getattr(face, n) != v]
    if run.stage != "face" or not found:
        return ""
    return (
        "The original program builds the face's networks with sizes of its own, which this run "
        f"does not have ({', '.join(found)}): change them there to load these files."
    )


# --- pix2pix and CycleGAN -------------------------------------------------------------------------


def _details_pix2pix(recipe: Any, network: str) -> dict[str, Any]:
    if not recipe.conditions.plain:
        raise UserError(
            "The run's generator is shown more or other channels than the pose picture "
            f"({setting('recipe.conditions')}), which no exported form describes; export a run "
            "that was trained with the skeleton alone."
        )
    return {}


def _options_basic(run: Run) -> Options:
    recipe, stage = _recipe(run), run.config.recipe.stages()[run.stage]
    g = recipe.generator
    depth = g.n_downsampling if g.kind == "unet" else g.n_blocks
    return {
        "netG": f"unet_{2**depth}" if g.kind == "unet" else f"resnet_{depth}blocks",
        "netD": "pixel" if recipe.discriminator.kind == "pixel" else "n_layers",
        "ngf": g.ngf,
        "norm": g.norm,
        "no_dropout": not g.dropout,
        "gan_mode": recipe.losses.gan,
        "load_size": stage.width,
        "crop_size": stage.width,
        "batch_size": stage.batch_size,
    }


def _options_pix2pix(run: Run) -> tuple[Options, Options]:
    weights = {"model": "pix2pix", "lambda_L1": _recipe(run).losses.l1}
    return _options_basic(run) | weights, {}


def _options_cyclegan(run: Run) -> tuple[Options, Options]:
    losses = _recipe(run).losses
    theirs = {
        "model": "cycle_gan",
        "lambda_A": losses.cycle_A,
        "lambda_B": losses.cycle_B,
        "lambda_identity": losses.identity,
        "pool_size": _recipe(run).pool_size,
    }
    return _options_basic(run) | theirs, {}


# The generators that pix2pix's and CycleGAN's program builds by name.
_NET_G = ("unet_128", "unet_256", "resnet_6blocks", "resnet_9blocks")


def _departures_basic(run: Run) -> str:
    net = _options_basic(run)["netG"]
    if net in _NET_G:
        return ""
    return (
        f"The original program knows no --netG {net}, which is this run's generator (but "
        f"{', '.join(_NET_G)}): add it there to load these files."
    )


_ORIGINALS = {
    "everybody_dance_now": Original(_details_dance, _options_dance, _departures_dance),
    "pix2pixhd": Original(_details_hd, _options_hd),
    "pix2pix": Original(_details_pix2pix, _options_pix2pix, _departures_basic),
    "cyclegan": Original(lambda recipe, network: {}, _options_cyclegan, _departures_basic),
}


def options_text(options: Mapping[str, Any]) -> str:
    """An opt.txt as the original programs write it."""
    lines = [f"{name}: {options[name]}" for name in sorted(options)]
    head, foot = "------------ Options -------------", "-------------- End ----------------"
    return "\n".join([head, *lines, foot]) + "\n"
