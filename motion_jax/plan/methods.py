"""The methods that a comparison knows; another one is another entry of METHODS.

A method is a config of configs/ that is trained, with changes for the machine and the pictures'
size, or it shows frames of the target (motion_jax/retrieval) and needs no training.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from motion_jax.data.advice import FACE_PIXELS
from motion_jax.errors import UserError, marked, option

if TYPE_CHECKING:
    from motion_jax.config import Config

# What a method is shown at each moment: the source's pose as the target would take it, or the
# source's picture.
Shown = Literal["pose", "picture"]
Settings = Mapping[str, Any]

# How often a U-Net halves its picture: at most (unet_256), and at least.
DEEPEST, SHALLOWEST = 8, 5


@dataclass(frozen=True)
class Method:
    """One row of the table.

    Attributes:
      name: as --methods takes it.
      about: one sentence for the table's notes.
      shown: see Shown.
      retrieval: of a method without training: its name there; "" of the others.
      cpu, accelerator: the config that is trained on such a machine, and its changes.
      data: what it is trained on: the target's own pairs, pairs of source and target
        (motion_jax/pairing), or pictures of both that are not paired.
      sizes: by stage, the share of the table's height and width that it is trained at.
      shares: by stage, the share of the budget.
    """

    name: str
    about: str
    shown: Shown = "pose"
    retrieval: Literal["", "nearest", "nearest-angle"] = ""
    cpu: tuple[str, Settings] = ("", {})
    accelerator: tuple[str, Settings] = ("", {})
    data: Literal["target", "pairs", "unpaired"] = "target"
    sizes: Mapping[str, float] = field(default_factory=lambda: {"main": 1.0})
    shares: Mapping[str, float] = field(default_factory=lambda: {"main": 1.0})

    @property
    def trained(self) -> bool:
        return not self.retrieval


# Frames are not shifted or scaled in the few minutes that a table has.
PLAIN = {"data.augment.scale": 0.0, "data.augment.shift": 0.0}
PIX2PIX_CPU = PLAIN | {
    "recipe.generator.ngf": 32,
    "recipe.discriminator.ndf": 32,
    "recipe.main_stage.learning_rate": 5e-4,
    "recipe.pose_style.stroke": 3.0,
}
NO_WEIGHTS = {"recipe.losses.perceptual": "none", "recipe.losses.l1": 50.0}
# The networks of the config demo, which learn in minutes; 4 pictures are its 2 windows of 2 frames.
PIX2PIXHD_CPU = {
    "recipe.generator.ngf": 24,
    "recipe.generator.n_downsampling": 3,
    "recipe.generator.n_blocks": 3,
    "recipe.generator.n_blocks_local": 2,
    "recipe.discriminator.ndf": 16,
    "recipe.losses.perceptual": "none",
    "recipe.losses.l1": 100.0,
    "recipe.global_stage.batch_size": 4,
    "recipe.local_stage.batch_size": 4,
    "recipe.global_stage.num_D": 2,
    "recipe.local_stage.num_D": 2,
    "recipe.global_stage.learning_rate": 6e-4,
    "recipe.local_stage.learning_rate": 6e-4,
    "recipe.pose_style.stroke": 3.0,
    "recipe.dtype": "float32",
    "recipe.averaging": 0.99,
}
TWO_STAGES = {"global": 0.5, "local": 1.0}

METHODS = {
    method.name: method
    for method in (
        Method(
            "nearest",
            "shows frames of the target whose joints lie nearest to those of the pose; no training",
            retrieval="nearest",
        ),
        Method(
            "nearest-angle",
            "shows frames of the target whose limbs point most nearly the same way; no training",
            retrieval="nearest-angle",
        ),
        Method(
            "pose2pics",
            "pix2pix from pose pictures to frames, each by itself",
            cpu=("pix2pix", PIX2PIX_CPU),
            accelerator=("pix2pix", {}),
        ),
        Method(
            "pics2pics",
            "pix2pix from the source's pictures to the target's, paired by their poses",
            shown="picture",
            cpu=("pics2pics", PIX2PIX_CPU),
            accelerator=("pics2pics", {}),
            data="pairs",
        ),
        Method(
            "cyclegan",
            "CycleGAN from the source's pictures to the target's, which are not paired",
            shown="picture",
            cpu=(
                "cyclegan",
                PLAIN
                | {
                    "recipe.generator.ngf": 16,
                    "recipe.generator.n_blocks": 4,
                    "recipe.discriminator.ndf": 16,
                    "recipe.main_stage.learning_rate": 5e-4,
                },
            ),
            accelerator=("cyclegan", {}),
            data="unpaired",
        ),
        Method(
            "pix2pixhd",
            "pix2pixHD from pose pictures to frames, from coarse to fine, each frame by itself",
            cpu=("pix2pixhd", PIX2PIXHD_CPU),
            accelerator=("pix2pixhd", NO_WEIGHTS),
            sizes=TWO_STAGES,
            shares={"global": 0.3, "local": 0.7},
        ),
        Method(
            "everybody-dance-now",
            "pix2pixHD that sees its previous frame, judged on two frames, with a face stage",
            cpu=("demo", {}),
            accelerator=("small", {}),
            sizes=TWO_STAGES | {"face": 1.0},
            shares={"global": 0.28, "local": 0.62, "face": 0.1},
        ),
    )
}


def choose(names: str) -> list[Method]:
    """The methods of a list with commas, in its order. Raises UserError for one that is not known,
    given twice, or for none."""
    chosen: dict[str, Method] = {}
    for name in filter(None, (part.strip() for part in names.split(","))):
        if name not in METHODS:
            near = difflib.get_close_matches(name, METHODS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(METHODS)}."
            raise UserError(f"{option('methods')}: there is no method {name!r}; {hint}")
        if name in chosen:
            raise UserError(f"{option('methods')} names {name!r} twice; name it once.")
        chosen[name] = METHODS[name]
    if not chosen:
        raise UserError(f"{option('methods')} names no method; there are {', '.join(METHODS)}.")
    return list(chosen.values())


def changed(config: "Config", settings: Settings) -> "Config":
    """The config with other values of some settings, by their dotted names. Raises UserError for a
    setting that it does not have."""
    from motion_jax.config import flatten, from_json, to_json

    value = to_json(config)
    known = flatten(value)
    for name, entry in settings.items():
        if name not in known:
            raise UserError(
                f"There is no setting {name} in the recipe {config.recipe.name}; motion-jax train "
                "CONFIG --help shows all of them."
            )
        *path, last = name.split(".")
        place = value
        for part in path:
            place = place[part]
        place[last] = entry
    return from_json(value, "the comparison's config")


def base_config(
    method: Method,
    size: tuple[int, int],
    *,
    on_cpu: bool,
    holdout: float,
    seed: int,
    face_height: float = 0.0,
    domain_a: str = "",
) -> "Config":
    """The config of a method that is trained, before its steps are chosen.

    Args:
      size: (height, width) of the table's pictures.
      face_height: of the target's faces in pixels, the median of those seen; 0: none is.
      domain_a: dataset folder of the source, for what is trained on pictures that are not paired.
    Raises UserError where the networks cannot be made for that size.
    """
    from motion_jax.config import load_config

    name, settings = method.cpu if on_cpu else method.accelerator
    config = load_config(name)
    settings = dict(settings) | {
        "data.holdout": holdout,
        "seed": seed,
        "record.sample_every": 10**9,
        "record.trace": False,
        "guard.on_failure": "lower",
    }
    for stage, share in method.sizes.items():
        for side, pixels in zip(("height", "width"), size, strict=True):
            settings[f"recipe.{stage}_stage.{side}"] = round(pixels * share)
        # So that there is a stage; the number is chosen when it is known how long a step takes.
        settings[f"recipe.{stage}_stage.steps"] = 2
        settings[f"recipe.{stage}_stage.decay_steps"] = 1
    if "face" in method.sizes and face_height < FACE_PIXELS:
        settings |= {"recipe.face_stage.steps": 0, "recipe.face_stage.decay_steps": 0}
    if config.recipe.name == "pix2pix":
        settings["recipe.generator.n_downsampling"] = halvings(size)
    if domain_a:
        settings["data.domain_a"] = domain_a
    config = changed(config, settings)
    try:
        config.validate()
    except UserError as error:
        raise UserError(
            f"{method.name} cannot be trained on pictures of {size[1]}x{size[0]}: {marked(error)}"
        ) from error
    return config


def halvings(size: tuple[int, int]) -> int:
    """How often a U-Net can halve both sides of (height, width); SHALLOWEST where that is too
    often already, which the recipe then refuses."""
    depth = 0
    while depth < DEEPEST and all(side % 2 ** (depth + 1) == 0 for side in size):
        depth += 1
    return max(depth, SHALLOWEST)


def stage_shares(method: Method, config: "Config") -> dict[str, float]:
    """By stage of the config, its share of the budget; together 1."""
    present = {name: method.shares[name] for name in config.recipe.stages()}
    return {name: share / sum(present.values()) for name, share in present.items()}


def with_steps(config: "Config", steps: Mapping[str, int]) -> "Config":
    """The config with other numbers of steps, by stage. In the second half of a stage's steps the
    learning rate falls, but not in a global stage that another one follows."""
    last = list(steps)[-1]
    recipe = config.recipe
    for name, count in steps.items():
        # The pictures of the other stages are final; a global stage only begins what later stages
        # go on with.
        decay = 0 if name != last and name == "global" else count // 2
        stage = replace(getattr(recipe, f"{name}_stage"), steps=count, decay_steps=decay)
        recipe = replace(recipe, **{f"{name}_stage": stage})
    return replace(config, recipe=recipe)
