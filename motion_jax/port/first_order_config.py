"""The settings of the original First Order Motion Model (its YAML, its classes' arguments) as
ours."""

from collections.abc import Mapping
from typing import Any

from motion_jax.errors import UserError
from motion_jax.recipes.first_order import FirstOrder
from motion_jax.recipes.first_order_settings import (
    DenseMotion,
    Detector,
    Discriminator,
    Generator,
    Losses,
    Rates,
    Stage,
    Transform,
)

Arguments = Mapping[str, Any]
# Ours by theirs.
_DETECTOR = {
    "num_kp": "points",
    "block_expansion": "expansion",
    "max_features": "most",
    "num_blocks": "halvings",
    "temperature": "temperature",
    "estimate_jacobian": "jacobian",
    "single_jacobian_map": "single_map",
    "scale_factor": "scale",
    "pad": "padding",
}
_MOTION = {
    "block_expansion": "expansion",
    "max_features": "most",
    "num_blocks": "halvings",
    "scale_factor": "scale",
    "kp_variance": "variance",
}
_GENERATOR = {
    "block_expansion": "expansion",
    "max_features": "most",
    "num_down_blocks": "halvings",
    "num_bottleneck_blocks": "residuals",
    "estimate_occlusion_map": "occlusion",
}
_DISCRIMINATOR = {
    "scales": "scales",
    "block_expansion": "expansion",
    "max_features": "most",
    "num_blocks": "blocks",
    "sn": "spectral",
    "use_kp": "points",
    "kp_variance": "variance",
}
# What the original's classes take where the YAML says nothing.
_DEFAULTS: dict[type, dict[str, Any]] = {
    Detector: {"scale": 1.0, "jacobian": False},
    DenseMotion: {"scale": 1.0},
    Generator: {"occlusion": False},
    Discriminator: {"expansion": 64},
}


def _made(kind: type, table: Mapping[str, str], arguments: Arguments) -> Any:
    found = {ours: arguments[theirs] for theirs, ours in table.items() if theirs in arguments}
    found = _DEFAULTS[kind] | {name: _plain(value) for name, value in found.items()}
    return kind(**found)


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def detector(arguments: Arguments) -> Detector:
    """From a KPDetector's arguments."""
    return _made(Detector, _DETECTOR, arguments)


def dense_motion(arguments: Arguments) -> DenseMotion:
    """From a DenseMotionNetwork's arguments."""
    return _made(DenseMotion, _MOTION, arguments)


def generator(arguments: Arguments) -> Generator:
    """From an OcclusionAwareGenerator's arguments."""
    return _made(Generator, _GENERATOR, arguments)


def discriminator(arguments: Arguments) -> Discriminator:
    """From a MultiScaleDiscriminator's arguments."""
    return _made(Discriminator, _DISCRIMINATOR, arguments)


def module(arguments: Arguments, align_corners: bool = False, running: bool = False) -> Any:
    """Our network for {"class": ..., and the constructor's arguments}.

    Raises UserError for another class.
    """
    kind = arguments["class"]
    channels = arguments.get("num_channels", 3)
    if kind == "KPDetector":
        return detector(arguments).module("float32", running)
    if kind == "MultiScaleDiscriminator":
        return discriminator(arguments).module("float32")
    if kind == "DenseMotionNetwork":
        occlusion = arguments.get("estimate_occlusion_map", False)
        alone = Generator(occlusion=occlusion).module(
            dense_motion(arguments), arguments["num_kp"], align_corners, "float32", running
        )
        return alone.motion
    if kind == "OcclusionAwareGenerator":
        inner = arguments.get("dense_motion_params")
        made = generator(arguments).module(
            None if inner is None else dense_motion(inner),
            arguments["num_kp"],
            align_corners,
            "float32",
            running,
        )
        return made.clone(channels=channels)
    raise UserError(f"{kind!r} is no network of the First Order Motion Model.")


def recipe(
    config: Arguments,
    size: tuple[int, int],
    align_corners: bool,
    steps_per_epoch: int = 1,
) -> FirstOrder:
    """The recipe of a YAML's contents, for pictures of size (height, width).

    steps_per_epoch: what an epoch of the YAML is in steps: the number of pairs that it draws over
    the batch. Raises UserError where a part is missing or contradicts another.
    """
    try:
        model, train = config["model_params"], config["train_params"]
        common = model["common_params"]
        weights = train["loss_weights"]
        inner = model["generator_params"]["dense_motion_params"]
        rate = train["lr_generator"]
        perceptual = tuple(map(float, weights["perceptual"]))
        losses = Losses(
            perceptual="vgg19" if sum(perceptual) else "none",
            perceptual_weights=perceptual if sum(perceptual) else Losses.perceptual_weights,
            scales=tuple(map(float, train["scales"])),
            gan=float(weights["generator_gan"]),
            discriminator_gan=float(weights["discriminator_gan"]),
            feature_matching=tuple(map(float, weights["feature_matching"]))
            if sum(weights["feature_matching"])
            else (),
            equivariance_value=float(weights["equivariance_value"]),
            equivariance_jacobian=float(weights["equivariance_jacobian"]),
        )
        change = train["transform_params"]
        return FirstOrder(
            detector=detector({**common, **model["kp_detector_params"]}),
            motion=dense_motion({**common, **inner}),
            generator=generator({**common, **model["generator_params"]}),
            discriminator=discriminator({**common, **model["discriminator_params"]}),
            losses=losses,
            transform=Transform(
                float(change["sigma_affine"]),
                float(change["sigma_tps"]) if "sigma_tps" in change else None,
                int(change.get("points_tps", Transform.points_tps)),
            ),
            rates=Rates(1.0, train["lr_discriminator"] / rate, train["lr_kp_detector"] / rate),
            main_stage=Stage(
                steps=int(train["num_epochs"]) * steps_per_epoch,
                height=size[0],
                width=size[1],
                batch_size=int(train["batch_size"]),
                learning_rate=float(rate),
                milestones=tuple(
                    int(epoch) * steps_per_epoch for epoch in train["epoch_milestones"]
                ),
            ),
            align_corners=align_corners,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"The settings are not those of the First Order Motion Model ({error!r}); give the "
            "YAML that the checkpoint was trained with, or none."
        ) from error


def original(recipe: FirstOrder) -> dict[str, Any]:
    """The contents of a YAML with which the original builds the recipe's networks and trains them:
    the inverse of `recipe`, with one step an epoch."""

    def theirs(part: Any, names: Mapping[str, str]) -> dict[str, Any]:
        return {name: _listed(getattr(part, ours)) for name, ours in names.items()}

    detector_params = theirs(recipe.detector, _DETECTOR)
    common = {name: detector_params.pop(name) for name in ("num_kp", "estimate_jacobian")}
    motion = theirs(recipe.motion, _MOTION)
    losses, stage, rates, change = recipe.losses, recipe.main_stage, recipe.rates, recipe.transform
    perceptual = losses.perceptual_weights if losses.perceptual != "none" else (0,) * 5
    plate = {"sigma_tps": change.sigma_tps, "points_tps": change.points_tps}
    return {
        "model_params": {
            "common_params": {**common, "num_channels": 3},
            "kp_detector_params": detector_params,
            "generator_params": {
                **theirs(recipe.generator, _GENERATOR),
                "dense_motion_params": motion,
            },
            "discriminator_params": theirs(recipe.discriminator, _DISCRIMINATOR),
        },
        "train_params": {
            "num_epochs": stage.steps,
            "num_repeats": 1,
            "epoch_milestones": list(stage.milestones),
            "lr_generator": stage.learning_rate * rates.generator,
            "lr_discriminator": stage.learning_rate * rates.discriminator,
            "lr_kp_detector": stage.learning_rate * rates.detector,
            "batch_size": stage.batch_size,
            "scales": list(losses.scales),
            "checkpoint_freq": 50,
            "transform_params": {
                "sigma_affine": change.sigma_affine,
                **(plate if change.sigma_tps is not None else {}),
            },
            "loss_weights": {
                "generator_gan": losses.gan,
                "discriminator_gan": losses.discriminator_gan,
                "feature_matching": list(losses.feature_matching),
                "perceptual": list(perceptual),
                "equivariance_value": losses.equivariance_value,
                "equivariance_jacobian": losses.equivariance_jacobian,
            },
        },
        "dataset_params": {
            "frame_shape": [stage.height, stage.width, 3],
            "id_sampling": False,
            "augmentation_params": {"flip_param": {"horizontal_flip": True, "time_flip": True}},
        },
        "visualizer_params": {"kp_size": 5, "draw_border": True, "colormap": "gist_rainbow"},
    }


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
