"""A checkpoint of the original First Order Motion Model → our recipe's config and parameters.

How the networks were built is read from keys and shapes. What these do not tell comes from the YAML
that the checkpoint was trained with, where it is given or the only one beside the checkpoint;
otherwise it is what all published settings have in common.

align_corners, which no file tells, decides what every lookup means. The rule: a file in PyTorch's
form before 1.6 is of the years in which the program ran on PyTorch 1.0, whose lookups are
align_corners=True (all published checkpoints are such files); a zip archive, which PyTorch writes
since 1.6, is of the time in which lookups are align_corners=False.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from motion_jax.config import Config
from motion_jax.errors import UserError, option
from motion_jax.files import sha256
from motion_jax.port import first_order_config
from motion_jax.port.first_order_checkpoint import PARTS, named, parts_of
from motion_jax.port.import_edn import DECAY_STEPS, STEPS, WARMUP_STEPS, Plan
from motion_jax.port.options import ImportOptions
from motion_jax.recipes.first_order import FirstOrder
from motion_jax.recipes.first_order_settings import (
    DenseMotion,
    Detector,
    Discriminator,
    Generator,
    Losses,
    Stage,
)
from motion_jax.weights import first_order as table
from motion_jax.weights.torch import is_zip, read_tree

PUBLISHED = (256, 256)
BATCH = 4


def fits(source: Path) -> bool:
    """Whether a path is a file as the original names them: NAME.pth.tar."""
    return source.name.lower().endswith(".tar") and not source.is_dir()


def plan(options: ImportOptions, size: tuple[int, int] | None) -> tuple[Plan, dict[str, Any]]:
    """(config and parameters, where they come from).

    size: (height, width); None: the published 256x256. Raises UserError for the checkpoint of
    another system, which it names, and for a YAML that contradicts the weights.
    """
    source = options.source
    content = read_tree(source)
    named(content, source)
    align = (
        not is_zip(source) if options.align_corners == "auto" else options.align_corners == "yes"
    )
    found, settings = _recipe(content, size or PUBLISHED, align), _settings(options)
    notes = [_about_lookups(options, align)]
    if settings is not None:
        path, config = settings
        found = _with_yaml(found, config, path, size or PUBLISHED)
        notes.append(f"Settings of {path} are used.")
    else:
        notes.append(
            f"Without the YAML that it was trained with ({option('yaml')} FILE), the temperature "
            "of heat-maps is taken as 0.1, as published."
        )
    epoch = content.get("epoch")
    about: dict[str, Any] = {
        "from": str(source),
        "epoch": "" if epoch is None else str(epoch),
        "files": {"checkpoint": {"file": source.name, "sha256": sha256(source)}},
    }
    if any(_has_moments(content.get(f"optimizer_{part}")) for part in PARTS):
        about["adam_left"] = True
    params = parts_of(content, found, source.name)
    return Plan(Config(recipe=found), "main", params, tuple(notes)), about


def _has_moments(optimizer: Any) -> bool:
    """Whether an optimiser of the file has made a step."""
    return isinstance(optimizer, dict) and bool(optimizer.get("state"))


def _about_lookups(options: ImportOptions, align: bool) -> str:
    chosen = f"align_corners = {align}"
    if options.align_corners != "auto":
        return f"Lookups are {chosen}, as {option('align_corners')} says."
    why = "written before PyTorch 1.6" if align else "written by PyTorch 1.6 or newer"
    other = "no" if align else "yes"
    return (
        f"Lookups are taken as {chosen}, because the file was {why}; if faces come out a little "
        f"shrunk or with a dark rim, import again with {option('align_corners')} {other}."
    )


def _recipe(content: Mapping[str, Any], size: tuple[int, int], align: bool) -> FirstOrder:
    """What keys and shapes tell."""
    weights = {part: first_order_arrays(content[part]) for part in ("generator", "kp_detector")}
    generator, motion = table.generator_settings(weights["generator"])
    if motion is None:
        raise UserError(
            "The generator of the checkpoint has no dense motion network: it is an auto-encoder "
            "and cannot animate anything."
        )
    points = table.detector_settings(weights["kp_detector"])
    points["points"] = points.pop("count")
    if motion.pop("count") != points["points"]:
        raise UserError(
            "The checkpoint's generator and keypoint detector are of different numbers of "
            "keypoints; they were not trained together."
        )
    occlusion = motion.pop("occlusion")
    generator.pop("channels")
    discriminator, gan = Discriminator(), 0.0
    if content.get("discriminator"):
        discriminator = Discriminator(
            **table.discriminator_settings(first_order_arrays(content["discriminator"]))
        )
        # Without an adversarial loss it is in the file too, as it was drawn.
        gan = 1.0 if _has_moments(content.get("optimizer_discriminator")) else 0.0
    losses = Losses(
        gan=gan,
        scales=_pyramid(size),
        equivariance_jacobian=Losses.equivariance_jacobian if points["jacobian"] else 0.0,
        feature_matching=(10.0,) * discriminator.blocks,
    )
    return FirstOrder(
        detector=Detector(**points),
        motion=DenseMotion(**motion),
        generator=Generator(**generator, occlusion=occlusion),
        discriminator=discriminator,
        losses=losses,
        main_stage=_stage(size, Stage()),
        align_corners=align,
    )


def _pyramid(size: tuple[int, int]) -> tuple[float, ...]:
    """The published scales that leave VGG-19 its 16 pixels."""
    return tuple(scale for scale in Losses.scales if min(size) * scale >= 16) or (1.0,)


def _stage(size: tuple[int, int], known: Stage) -> Stage:
    return dataclasses.replace(
        known,
        steps=STEPS,
        decay_steps=DECAY_STEPS,
        warmup_steps=WARMUP_STEPS,
        milestones=(),
        height=size[0],
        width=size[1],
        batch_size=BATCH,
    )


def first_order_arrays(weights: Mapping[str, Any]) -> dict[str, Any]:
    """A part's arrays without what DataParallel puts before keys."""
    return {str(key).removeprefix("module."): value for key, value in weights.items()}


def _settings(options: ImportOptions) -> tuple[Path, Mapping[str, Any]] | None:
    """The YAML that goes with the checkpoint, and its contents."""
    path = options.yaml
    if path is None:
        folder = options.source.parent
        beside = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".yaml", ".yml"))
        if len(beside) != 1:
            return None
        path = beside[0]
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} cannot be read as YAML ({reason}); check the file.") from error
    if not isinstance(content, dict) or "model_params" not in content:
        if options.yaml is None:
            return None  # it belongs to something else
        raise UserError(
            f"{path} has no model_params, so it is no settings file of the First Order Motion "
            f"Model; leave {option('yaml')} out or give another."
        )
    return path, content


def _with_yaml(
    found: FirstOrder, config: Mapping[str, Any], path: Path, size: tuple[int, int]
) -> FirstOrder:
    """The recipe of the YAML, checked against what the weights tell."""
    told = first_order_config.recipe(config, size, found.align_corners)
    for part, names in (
        ("detector", ("points", "expansion", "halvings", "jacobian", "single_map", "scale")),
        ("motion", ("expansion", "halvings", "scale")),
        ("generator", ("expansion", "halvings", "residuals", "occlusion")),
    ):
        for name in names:
            here, there = (getattr(getattr(r, part), name) for r in (found, told))
            if here != there:
                raise UserError(
                    f"{path} says {part}.{name} = {there}, but the weights have {here}; give the "
                    "YAML that the checkpoint was trained with."
                )
    discriminator = told.discriminator if told.losses.gan else found.discriminator
    losses = dataclasses.replace(
        told.losses,
        scales=tuple(s for s in told.losses.scales if min(size) * s >= 16) or (1.0,),
    )
    return dataclasses.replace(
        told,
        discriminator=discriminator,
        losses=losses,
        main_stage=_stage(size, told.main_stage),
    )
