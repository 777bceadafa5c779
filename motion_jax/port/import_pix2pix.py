"""Networks of pix2pixHD, pix2pix and CycleGAN experiments → our recipes' configs and parameters."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from motion_jax.config import Config
from motion_jax.errors import UserError
from motion_jax.port.experiment import Experiment
from motion_jax.port.import_edn import (
    DECAY_STEPS,
    STEPS,
    WARMUP_STEPS,
    Plan,
    coarse_generator,
    missing_note,
    ours_of,
    size_note,
)
from motion_jax.port.network import Network
from motion_jax.pose.draw import PoseStyle
from motion_jax.recipes import cyclegan, pix2pix, pix2pixhd, schedule

_COUNTS = {"steps": STEPS, "decay_steps": DECAY_STEPS, "warmup_steps": WARMUP_STEPS}
Size = tuple[int, int] | None


def _channels(network: Network | None, inputs: int) -> bool:
    """Whether a network, where there is one, takes so many channels (and a generator gives 3)."""
    return network is None or (
        network.config["input_nc"] == inputs and network.config.get("output_nc", 3) == 3
    )


def _params(experiment: Experiment, wanted: Mapping[str, str]) -> dict[str, Any]:
    """Parameters by our names. wanted: our name by theirs."""
    networks = experiment.networks
    return {ours: networks[theirs].params for theirs, ours in wanted.items() if theirs in networks}


# --- pix2pixHD ----------------------------------------------------------------------------------

_MAIN = {"G": "generator", "D": "discriminator"}


def _fits_hd(experiment: Experiment) -> bool:
    """One picture of three channels to one of three; no instances, no encoder."""
    generator, judge = experiment.networks.get("G"), experiment.networks.get("D")
    return (
        generator is not None
        and generator.name in ("GlobalGenerator", "LocalEnhancer")
        and _channels(generator, 3)
        and (judge is None or judge.name == "MultiscaleDiscriminator")
        and _channels(judge, 6)
    )


def _plan_hd(experiment: Experiment, size: Size) -> Plan:
    networks, notes = experiment.networks, []
    main, generator = coarse_generator(networks["G"])
    ours = ours_of(experiment)
    size = size or ours.get("size")
    width = experiment.options.get("loadSize", "")
    if size is None:
        published = (512, 1024) if main == "global" else (1024, 2048)
        size = (int(width) // 2, int(width)) if width.isdigit() else published
        notes.append(size_note(f"taken as {size[1]}x{size[0]}, twice as wide as high"))
    discriminator, losses, num_D = pix2pixhd.Discriminator(), pix2pixhd.Losses(), 2
    if "D" in networks:
        d = networks["D"].config
        discriminator = pix2pixhd.Discriminator(d["ndf"], d["n_layers"])
        num_D = d["num_D"]
        if not d.get("intermediate_features", True):
            losses = pix2pixhd.Losses(feature_matching=0.0)
    stage = pix2pixhd.Stage(**_COUNTS, height=size[0], width=size[1], num_D=num_D)
    stages: dict[str, Any] = {f"{main}_stage": stage}
    recipe = pix2pixhd.Pix2PixHD(
        generator=generator,
        discriminator=discriminator,
        losses=losses,
        pose_style=ours.get("pose_style", PoseStyle()),
        **stages,
    )
    notes += missing_note(_MAIN, networks)
    return Plan(Config(recipe=recipe), main, _params(experiment, _MAIN), tuple(notes))


# --- pix2pix and CycleGAN -----------------------------------------------------------------------


def _basic_generator(network: Network) -> pix2pix.Generator:
    d = network.config
    settings = {"ngf": d["ngf"], "norm": d["norm"], "dropout": bool(d.get("dropout", False))}
    if network.name == "UnetGenerator":
        return pix2pix.Generator(kind="unet", n_downsampling=d["num_downs"], **settings)
    return pix2pix.Generator(kind="resnet", n_blocks=d["n_blocks"], **settings)


def _basic_discriminator(
    network: Network | None, norm: Literal["batch", "instance", "none"]
) -> pix2pix.Discriminator:
    if network is None:
        return pix2pix.Discriminator(norm=norm)
    d = network.config
    if network.name == "PixelDiscriminator":
        return pix2pix.Discriminator(kind="pixel", ndf=d["ndf"], norm=d["norm"])
    return pix2pix.Discriminator(ndf=d["ndf"], n_layers=d["n_layers"], norm=d["norm"])


def _is_basic(generator: Network | None, judge: Network | None, judged: int) -> bool:
    """Whether they are networks of that code base, of three channels; judged: the
    discriminator's."""
    if generator is None or generator.name not in ("UnetGenerator", "ResnetGenerator"):
        return False
    if judge is not None and judge.name not in ("NLayerDiscriminator", "PixelDiscriminator"):
        return False
    if judge is not None and "intermediate_features" in judge.config:
        return False
    return _channels(generator, 3) and _channels(judge, judged)


def _number(options: Mapping[str, str], name: str, default: float) -> float:
    try:
        return float(options.get(name, default))
    except ValueError as error:
        raise UserError(
            f"The options say {name} = {options[name]}, which is no number; correct the file or "
            "remove it."
        ) from error


def _gan(
    options: Mapping[str, str], default: Literal["vanilla", "lsgan"]
) -> Literal["vanilla", "lsgan"]:
    """The kind of the losses. Older options have a switch for each default."""
    if options.get("gan_mode") in ("vanilla", "lsgan"):
        return "vanilla" if options["gan_mode"] == "vanilla" else "lsgan"
    if options.get("no_lsgan") in ("True", "False"):
        return "vanilla" if options["no_lsgan"] == "True" else "lsgan"
    return default


def _basic_stage(
    experiment: Experiment, size: Size, generator: pix2pix.Generator
) -> tuple[Any, list[str]]:
    """The stage; a note where the size is a guess."""
    options, notes = experiment.options, []
    size = size or ours_of(experiment).get("size")
    if size is None:
        given = options.get("crop_size", options.get("fineSize", ""))
        if given.isdigit():
            size = (int(given), int(given))
        else:
            side = max(256, generator.size_multiple)
            size = (side, side)
            notes.append(size_note(f"{side}x{side} is the published one"))
    rate = _number(options, "lr", 2e-4)
    return schedule.Stage(**_COUNTS, height=size[0], width=size[1], learning_rate=rate), notes


def _fits_pix2pix(experiment: Experiment) -> bool:
    networks = experiment.networks
    return _is_basic(networks.get("G"), networks.get("D"), 6)


def _plan_pix2pix(experiment: Experiment, size: Size) -> Plan:
    networks, options = experiment.networks, experiment.options
    generator = _basic_generator(networks["G"])
    stage, notes = _basic_stage(experiment, size, generator)
    losses = pix2pix.Losses(_gan(options, "vanilla"), _number(options, "lambda_L1", 100.0))
    recipe = pix2pix.Pix2Pix(
        generator=generator,
        discriminator=_basic_discriminator(networks.get("D"), generator.norm),
        losses=losses,
        main_stage=stage,
        pose_style=ours_of(experiment).get("pose_style", PoseStyle()),
    )
    notes += missing_note(_MAIN, networks)
    return Plan(Config(recipe=recipe), "main", _params(experiment, _MAIN), tuple(notes))


_BOTH = {"G_A": "generator_A", "G_B": "generator_B",
         "D_A": "discriminator_A", "D_B": "discriminator_B"}  # fmt: skip


def _fits_cyclegan(experiment: Experiment) -> bool:
    networks = experiment.networks
    generators = [networks[name] for name in ("G_A", "G_B") if name in networks]
    return bool(generators) and all(
        _is_basic(generator, networks.get(judge), 3)
        for generator in generators
        for judge in ("D_A", "D_B")
    )


def _plan_cyclegan(experiment: Experiment, size: Size) -> Plan:
    networks, options = experiment.networks, experiment.options
    first = networks.get("G_A", networks.get("G_B"))
    assert first is not None, "as _fits_cyclegan has found"
    generator = _basic_generator(first)
    for name in ("G_A", "G_B"):
        if name in networks and _basic_generator(networks[name]) != generator:
            raise UserError(
                f"The two generators of {experiment.source} are of different architectures, which "
                "the recipe cyclegan does not train; motion-jax export and "
                "motion_jax.port.load_network work with each file."
            )
    stage, notes = _basic_stage(experiment, size, generator)
    judge = networks.get("D_A", networks.get("D_B"))
    recipe = cyclegan.CycleGAN(
        generator=generator,
        discriminator=_basic_discriminator(judge, generator.norm),
        losses=cyclegan.Losses(
            _gan(options, "lsgan"),
            _number(options, "lambda_A", 10.0),
            _number(options, "lambda_B", 10.0),
            _number(options, "lambda_identity", 0.5),
        ),
        main_stage=stage,
        pose_style=ours_of(experiment).get("pose_style", PoseStyle()),
        pool_size=int(_number(options, "pool_size", 50)),
    )
    notes += missing_note(_BOTH, networks)
    return Plan(Config(recipe=recipe), "main", _params(experiment, _BOTH), tuple(notes))


_PLANS: tuple[tuple[Callable[[Experiment], bool], Callable[[Experiment, Size], Plan]], ...] = (
    (_fits_hd, _plan_hd),
    (_fits_pix2pix, _plan_pix2pix),
    (_fits_cyclegan, _plan_cyclegan),
)


def plan(experiment: Experiment, size: Size) -> Plan | None:
    """Config and parameters of an experiment; None where it is none of these systems.

    size: (height, width) of the pictures; None takes what the options say or the published one.
    Raises UserError for what looks like one of them and cannot be trained.
    """
    for fits, make in _PLANS:
        if fits(experiment):
            return make(experiment, size)
    return None
