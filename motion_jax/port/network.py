"""A network of a PyTorch weight file as one of ours, and back."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from motion_jax.errors import UserError, marked, option
from motion_jax.port import original_options as option_files
from motion_jax.port.reference import network_from_description
from motion_jax.weights import names
from motion_jax.weights.read import read_weights, recognise
from motion_jax.weights.safetensors import write_safetensors
from motion_jax.weights.torch import write_pth


@dataclass(frozen=True)
class Network:
    """A network with its weights. Call it with pictures.

    Attributes:
      name: the reference's class name, such as "GlobalGenerator".
      module: the Linen module; `module.apply(params, x)` is what training uses.
      params: {"params": ...} and, with batch norm, "batch_stats"; float32.
      config: {"class": name, and the reference's constructor arguments}.
    """

    name: str
    module: nn.Module
    params: dict[str, Any] = field(repr=False)
    config: dict[str, Any]

    def __call__(self, x: Any) -> Any:
        """What the reference gives: [N, H, W, C] in [-1, 1] -> pictures [N, H, W, O] in [-1, 1].

        Of a discriminator a list over scales (finest first) of lists over layers: their activations
        and, last, the logits; of one without intermediate features, the logits alone. Batch norm
        takes the statistics of the batch, dropout is off. Raises UserError for an input of another
        shape.
        """
        x = jnp.asarray(x, jnp.float32)
        self.check_input(x.shape)
        output = self._apply(self.params, x)
        return self.arranged(output) if isinstance(output, list) else output

    def arranged(self, output: list) -> list[list[Any]]:
        """What a discriminator's module gives, in the reference's form: see __call__."""
        scales = output if isinstance(output[0], list) else [output]
        if self.config.get("intermediate_features", False):
            return scales
        return [scale[-1:] for scale in scales]

    @functools.cached_property
    def _apply(self) -> Any:
        return jax.jit(self.module.apply)

    @property
    def multiple(self) -> int:
        """Height and width of pictures must be divisible by it."""
        c = self.config
        if self.name == "GlobalGenerator":
            return 2 ** c["n_downsampling"]
        if self.name == "LocalEnhancer":
            return 2 ** (c["n_downsample_global"] + c["n_local_enhancers"])
        return {"UnetGenerator": 2 ** c.get("num_downs", 0), "ResnetGenerator": 4}.get(self.name, 1)

    def check_input(self, shape: tuple[int, ...]) -> None:
        """Raises UserError for a shape that the network cannot take."""
        channels = self.config["input_nc"]
        if len(shape) != 4 or shape[3] != channels:
            raise UserError(
                f"A {self.name} of {channels} input channels was given an array of shape "
                f"{list(shape)}; give [N, H, W, {channels}]."
            )
        if shape[1] % self.multiple or shape[2] % self.multiple:
            height, width = (-(-side // self.multiple) * self.multiple for side in shape[1:3])
            raise UserError(
                f"A {self.name} was given pictures of {shape[2]}x{shape[1]}; its sizes must be "
                f"divisible by {self.multiple}: give {width}x{height} (of random inputs the "
                f"{option('size')})."
            )

    def state_dict(self) -> dict[str, np.ndarray]:
        """The weights by the reference's keys, in PyTorch's layout; strict=True takes them. Batch
        norm's running statistics, where there are none, as PyTorch begins them."""
        _, entries = network_from_description(self.config)
        return names.to_torch(self.params, entries())


def load_network(path: Path, options: Mapping[str, str] | None = None) -> Network:
    """The network of a .pth, .pt or .safetensors file; PyTorch is not needed.

    options: those of the original program, by name; None reads `opt.txt` or `train_opt.txt` beside
    the file, where there is one; {} goes by the weights alone. They are checked against the
    weights, and decide what no weight tells. Half-precision weights are computed in float32.

    Raises UserError where the file cannot be read, is of no known network, or contradicts its
    options.
    """
    path = Path(path)
    return network_from_weights(read_weights(path), path, options)


def network_from_weights(
    weights: Mapping[str, np.ndarray], path: Path, options: Mapping[str, str] | None = None
) -> Network:
    """load_network for arrays that were read already. path: for messages; its name says which
    network's options count."""
    try:
        option_files.check_built(option_files.network_of(path))
        description, plain = recognise(weights)
    except UserError as error:
        raise UserError(f"{path}: {marked(error)}") from error
    if options is None:
        options = option_files.read_options(path.parent)
    description = option_files.apply(description, options, option_files.network_of(path), path)
    module, entries = network_from_description(description)
    params = names.from_torch(plain, entries(), str(path))
    return Network(description["class"], module, params, description)


def save_torch(network: Network, path: Path) -> None:
    """Writes a .pth that the original code loads with strict=True: float32, bit for bit what the
    network holds."""
    path = Path(path)
    if path.suffix.lower() not in (".pth", ".pt"):
        raise UserError(f"{path} must end in .pth (or .pt).")
    write_pth(path, network.state_dict())


def save_safetensors(network: Network, path: Path) -> None:
    """Writes the same arrays by the same keys as .safetensors; its header names the class."""
    path = Path(path)
    if path.suffix.lower() != ".safetensors":
        raise UserError(f"{path} must end in .safetensors.")
    write_safetensors(path, network.state_dict(), {"class": network.name, "format": "pt"})
