"""The reference's network classes, by their names and arguments, as ours."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from flax import linen as nn

from motion_jax.errors import UserError
from motion_jax.nets.pix2pixhd import (
    GlobalGenerator,
    LocalEnhancer,
    MultiscaleDiscriminator,
    NLayerDiscriminator,
)
from motion_jax.port import names


def network_from_description(
    description: Mapping,
) -> tuple[nn.Module, Callable[[], Iterator[names.Entry]]]:
    """Our module and its key table for {"class": ..., and the reference's constructor arguments}.

    Raises UserError for a class that is not known.
    """
    d = description
    kind = d["class"]
    if kind == "GlobalGenerator":
        module = GlobalGenerator(d["output_nc"], d["ngf"], d["n_downsampling"], d["n_blocks"])
        return module, partial(names.global_generator, d["n_downsampling"], d["n_blocks"])
    if kind == "LocalEnhancer":
        sizes = (
            d["n_downsample_global"],
            d["n_blocks_global"],
            d["n_local_enhancers"],
            d["n_blocks_local"],
        )
        module = LocalEnhancer(d["output_nc"], d["ngf"], *sizes)
        return module, partial(names.local_enhancer, *sizes)
    if kind == "MultiscaleDiscriminator":
        module = MultiscaleDiscriminator(d["ndf"], d["n_layers"], d["num_D"])
        entries = partial(
            names.multiscale_discriminator,
            d["n_layers"],
            d["num_D"],
            d.get("intermediate_features", True),
        )
        return module, entries
    if kind == "NLayerDiscriminator":
        norm = d.get("norm", "instance")
        module = NLayerDiscriminator(d["ndf"], d["n_layers"], norm)
        prefix = d.get("prefix", "model")
        return module, partial(names.layer_discriminator, d["n_layers"], norm, prefix)
    raise UserError(
        f"{kind!r} is not a network class that motion_jax knows; it knows GlobalGenerator, "
        "LocalEnhancer, MultiscaleDiscriminator and NLayerDiscriminator."
    )
