"""Networks of an Everybody Dance Now experiment → our recipe's config and parameters."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from motion_jax.config import Config, load_config
from motion_jax.errors import UserError, option
from motion_jax.port.experiment import Experiment
from motion_jax.port.network import Network
from motion_jax.port.run_networks import OURS
from motion_jax.pose.draw import PoseStyle
from motion_jax.recipes.everybody_dance_now import (
    Discriminator,
    EverybodyDanceNow,
    Face,
    Generator,
    Losses,
    Stage,
)

# What imported runs train unless told otherwise: a first guess.
STEPS, DECAY_STEPS = 20_000, 10_000
# 2 / (1 - beta2): Ma and Yarats 2021, "On the adequacy of untuned warmup for adaptive
# optimization".
WARMUP_STEPS = 2_000


@dataclass(frozen=True)
class Plan:
    """What an import makes of an experiment.

    Attributes:
      config, stage: what will be trained, and where it begins.
      params: parameters by our network names; what is missing is initialised.
      notes: sentences for the user.
    """

    config: Config
    stage: str
    params: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def fits(experiment: Experiment) -> bool:
    """Whether the networks take what Everybody Dance Now's take."""
    networks = experiment.networks
    generator, discriminator = networks.get("G"), networks.get("D")
    if generator is None or generator.name not in ("GlobalGenerator", "LocalEnhancer"):
        return False
    if generator.config["input_nc"] != 6 or generator.config["output_nc"] != 3:
        return False
    return discriminator is None or (
        discriminator.name == "MultiscaleDiscriminator" and discriminator.config["input_nc"] == 12
    )


def plan(
    experiment: Experiment,
    size: tuple[int, int] | None,
    face_size: int | None = None,
    main_only: bool = False,
) -> Plan:
    """Config and parameters of an experiment that `fits`.

    Args:
      experiment: its files.
      size: (height, width) of the pictures; None takes the published ones.
      face_size: side of the face's crop; None a quarter of the height, as published.
      main_only: leaves the face networks out.
    Raises:
      UserError: networks that the recipe does not have (batch norm, U-Net faces).
    """
    networks, notes = dict(experiment.networks), []
    main, generator = coarse_generator(networks["G"])
    ours = ours_of(experiment)
    size = size or ours.get("size") or published_size(experiment.options)
    height, width = size or ((256, 512) if main == "global" else (512, 1024))
    if size is None:
        notes.append(size_note(f"{width}x{height} is the published one"))
    params = {"generator": networks["G"].params}
    discriminator, losses = Discriminator(), Losses()
    num_D = 2 if main == "global" else 3
    if "D" in networks:
        d = networks["D"].config
        discriminator, num_D = Discriminator(d["ndf"], d["n_layers"]), d["num_D"]
        params["discriminator"] = networks["D"].params
        if not d.get("intermediate_features", True):
            losses = Losses(feature_matching=0.0)
    face_size = face_size or ours.get("face_size")
    face, has_face = _face(networks, params, height, face_size, main_only)
    if main_only and "Gface" in networks:
        notes.append("The face networks are left out, as asked.")
    wanted = {"D": "discriminator"} | ({"Dface": "face discriminator"} if has_face else {})
    notes += missing_note(wanted, networks)
    if min(height, width, *([face.size] if has_face else [])) < 16:
        # Too small for VGG-19; what the imported networks do does not depend on it.
        losses = replace(losses, perceptual="none", l1=50.0)
    stage = Stage(
        steps=STEPS,
        decay_steps=DECAY_STEPS,
        warmup_steps=WARMUP_STEPS,
        height=height,
        width=width,
        num_D=num_D,
    )
    stages: dict[str, Any] = {f"{main}_stage": stage} | ({"face_stage": stage} if has_face else {})
    # The networks know poses as the published program draws them.
    published = load_config("everybody_dance_now_reference").recipe.pose_style
    assert published is not None, "that recipe draws poses"
    recipe = EverybodyDanceNow(
        generator=generator,
        discriminator=discriminator,
        face=face,
        losses=losses,
        pose_style=ours.get("pose_style", published),
        clamp_face=ours.get("clamp_face", False),
        **stages,
    )
    kept = {name: {"params": tree["params"]} for name, tree in params.items()}
    return Plan(Config(recipe=recipe), "face" if has_face else main, kept, tuple(notes))


def size_note(size: str) -> str:
    """For the user; size: which one is taken."""
    return (
        f"Weights do not tell the size of the pictures: {size}; another is given with "
        f"{option('size')} or {option('data')}."
    )


def missing_note(wanted: Mapping[str, str], found: Mapping[str, Any]) -> list[str]:
    """For the user: a note on networks without a file, or none. wanted: our name by theirs."""
    names = [ours.replace("_", " ") for theirs, ours in wanted.items() if theirs not in found]
    if not names:
        return []
    return [f"There is no file of the {' and the '.join(names)}: training begins with a fresh one."]


def ours_of(experiment: Experiment) -> dict[str, Any]:
    """What `motion-jax export` left in opt.txt: size, face_size, clamp_face, pose_style."""
    text = experiment.options.get(OURS)
    if text is None:
        return {}
    try:
        found = json.loads(text)
        ours = {"size": (int(found["height"]), int(found["width"]))}
        ours |= {name: found[name] for name in ("face_size", "clamp_face") if name in found}
        return ours | {"pose_style": PoseStyle(**found["pose_style"])}
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"The entry {OURS} of the options beside {experiment.source} is damaged ({error}); "
            "remove that line."
        ) from error


def published_size(options: Mapping[str, str]) -> tuple[int, int] | None:
    """(height, width): the original's pictures are twice as wide as high, loadSize is the width."""
    width = options.get("loadSize", "")
    if not width.isdigit() or options.get("resize_or_crop") != "scale_width":
        return None
    return int(width) // 2, int(width)


def coarse_generator(network: Network) -> tuple[str, Generator]:
    """("global" or "local", sizes). Raises UserError for another norm than the recipe's."""
    d = network.config
    instance_norm(network, "generator")
    if network.name == "GlobalGenerator":
        return "global", Generator(d["ngf"], d["n_downsampling"], d["n_blocks"])
    return "local", Generator(
        d["ngf"] * 2 ** d["n_local_enhancers"],
        d["n_downsample_global"],
        d["n_blocks_global"],
        d["n_local_enhancers"],
        d["n_blocks_local"],
    )


def instance_norm(network: Network, what: str) -> None:
    norm = network.config.get("norm", "instance")
    if norm != "instance":
        raise UserError(
            f"The {what} has {norm} norm, which no recipe of pix2pixHD's networks trains here; "
            "motion-jax inspect, motion-jax export and motion_jax.port.load_network work with it."
        )


def _face(
    networks: Mapping[str, Network],
    params: dict[str, Any],
    height: int,
    size: int | None,
    main_only: bool,
) -> tuple[Face, bool]:
    """The face's networks, their parameters added; whether there are any."""
    if main_only or "Gface" not in networks:
        return Face(), False
    g = networks["Gface"]
    if g.name != "GlobalGenerator" or g.config["input_nc"] != 6:
        raise UserError(
            f"The face generator is a {g.name} (the original's --faceGtype unet), which the "
            "recipe everybody_dance_now does not have; import the main networks alone with "
            f"{option('face', False)}."
        )
    instance_norm(g, "face generator")
    multiple = 2 ** g.config["n_downsampling"]
    face = Face(
        size=size or max(height // 4 // multiple, 2) * multiple,
        ngf=g.config["ngf"],
        n_downsampling=g.config["n_downsampling"],
        n_blocks=g.config["n_blocks"],
    )
    params["face_generator"] = g.params
    if "Dface" in networks:
        d = networks["Dface"]
        if d.name != "NLayerDiscriminator" or d.config.get("norm") != "batch":
            raise UserError(
                f"The face discriminator is a {d.name} with {d.config.get('norm')} norm, not the "
                "original's; remove its file to begin with a fresh one."
            )
        face = replace(
            face,
            ndf=d.config["ndf"],
            n_layers=d.config["n_layers"],
            discriminator_keys=d.config.get("prefix", "model"),
        )
        params["face_discriminator"] = d.params
    return face, True
