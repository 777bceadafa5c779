"""The reference's network classes, by their names and arguments, as ours."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from flax import linen as nn

from motion_jax.errors import UserError, option
from motion_jax.nets.pix2pix import (
    PatchDiscriminator,
    PixelDiscriminator,
    ResnetGenerator,
    UnetGenerator,
    pixel_with_bias,
    with_bias,
)
from motion_jax.nets.pix2pixhd import (
    GlobalGenerator,
    LocalEnhancer,
    MultiscaleDiscriminator,
    NLayerDiscriminator,
)
from motion_jax.weights import names

# Gives the table of a network's keys.
Entries = Callable[[], Iterator[names.Entry]]
_PIX2PIX = ("UnetGenerator", "ResnetGenerator", "NLayerDiscriminator", "PixelDiscriminator")


def network_from_description(description: Mapping) -> tuple[nn.Module, Entries]:
    """Our module and its key table for {"class": ..., and the reference's constructor arguments}.

    NLayerDiscriminator is a class of both code bases, with other paddings: pix2pixHD's has the
    argument intermediate_features (or a "prefix" of its keys), pix2pix's has not. For pix2pix's
    classes "bias" says whether the convolutions before a norm have a bias, which has changed over
    the years; without it, nets.pix2pix's with_bias and pixel_with_bias decide by the norm.

    Raises UserError for a class or a norm that is not known.
    """
    d = description
    kind = d["class"]
    module: nn.Module
    if kind == "GlobalGenerator":
        module = GlobalGenerator(d["output_nc"], d["ngf"], d["n_downsampling"], d["n_blocks"])
        return module, partial(names.global_generator, d["n_downsampling"], d["n_blocks"])
    if kind == "LocalEnhancer":
        sizes = [d[name] for name in _DESCRIBED[LocalEnhancer][3:]]
        module = LocalEnhancer(d["output_nc"], d["ngf"], *sizes)
        return module, partial(names.local_enhancer, *sizes)
    if kind == "MultiscaleDiscriminator":
        layers, scales, features = d["n_layers"], d["num_D"], d.get("intermediate_features", True)
        module = MultiscaleDiscriminator(d["ndf"], layers, scales)
        return module, partial(names.multiscale_discriminator, layers, scales, features)
    if kind == "NLayerDiscriminator" and {"intermediate_features", "prefix"} & set(d):
        norm = d.get("norm", "instance")
        module = NLayerDiscriminator(d["ndf"], d["n_layers"], norm)
        prefix = d.get("prefix", "model")
        return module, partial(names.layer_discriminator, d["n_layers"], norm, prefix)
    if kind in _PIX2PIX:
        return _pix2pix(d)
    raise UserError(
        f"{kind!r} is not a network class that motion_jax knows; it knows GlobalGenerator, "
        "LocalEnhancer, MultiscaleDiscriminator, NLayerDiscriminator, PixelDiscriminator, "
        "UnetGenerator and ResnetGenerator."
    )


def _pix2pix(d: Mapping) -> tuple[nn.Module, Entries]:
    """The same for a network of pix2pix and CycleGAN."""
    kind = d["class"]
    norm = d.get("norm", "instance" if kind == "ResnetGenerator" else "batch")
    if norm not in ("batch", "instance", "none"):
        raise UserError(
            f"{kind} with the norm {norm!r} is not known; it can be batch, instance or none."
        )
    pixel, dropout = kind == "PixelDiscriminator", d.get("dropout", False)
    bias = d.get("bias", pixel_with_bias(norm) if pixel else with_bias(norm))
    module: nn.Module
    if kind == "UnetGenerator":
        outputs, depth = d.get("output_nc", 3), d["num_downs"]
        module = UnetGenerator(outputs, depth, d["ngf"], norm, dropout, bias=bias)
        return module, partial(names.unet_generator, depth, norm, bias)
    if kind == "ResnetGenerator":
        outputs, blocks = d.get("output_nc", 3), d["n_blocks"]
        module = ResnetGenerator(outputs, d["ngf"], blocks, norm, dropout, bias=bias)
        return module, partial(names.resnet_generator, blocks, norm, dropout, bias)
    if pixel:
        module = PixelDiscriminator(d["ndf"], norm, bias=bias)
        return module, partial(names.pixel_discriminator, norm, bias)
    module = PatchDiscriminator(d["ndf"], d["n_layers"], norm, bias=bias)
    return module, partial(names.patch_discriminator, d["n_layers"], norm, bias)


# --- ours under the reference's names -------------------------------------------------------------

# The reference's class, and its arguments, which ours has by the same names.
_DESCRIBED: dict[type[nn.Module], tuple[str, ...]] = {
    GlobalGenerator: ("GlobalGenerator", "output_nc", "ngf", "n_downsampling", "n_blocks"),
    LocalEnhancer: (
        "LocalEnhancer",
        "output_nc",
        "ngf",
        "n_downsample_global",
        "n_blocks_global",
        "n_local_enhancers",
        "n_blocks_local",
    ),
    MultiscaleDiscriminator: ("MultiscaleDiscriminator", "ndf", "n_layers", "num_D"),
    NLayerDiscriminator: ("NLayerDiscriminator", "ndf", "n_layers", "norm"),
    UnetGenerator: ("UnetGenerator", "output_nc", "num_downs", "ngf", "norm", "dropout"),
    ResnetGenerator: ("ResnetGenerator", "output_nc", "ngf", "n_blocks", "norm", "dropout"),
    PatchDiscriminator: ("NLayerDiscriminator", "ndf", "n_layers", "norm"),
    PixelDiscriminator: ("PixelDiscriminator", "ndf", "norm"),
}


def reference_description(module: nn.Module, channels: int) -> dict[str, Any]:
    """{"class": ..., and the reference's constructor arguments} of a module that sees pictures of
    so many channels: the inverse of network_from_description. Raises UserError for a class that
    the reference does not have."""
    if type(module) not in _DESCRIBED:
        raise UserError(
            f"{type(module).__name__} is no network of the original programs, so their files "
            f"cannot be written; export {option('format')} orbax or stablehlo."
        )
    kind, *arguments = _DESCRIBED[type(module)]
    found = {name: getattr(module, name) for name in arguments}
    return {"class": kind, "input_nc": channels, **found}
