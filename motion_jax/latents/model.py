"""A generator of StyleGAN2, of a run or of a weight file."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jax import Array
from jaxtyping import Float, UInt8

from motion_jax.errors import UserError
from motion_jax.nets import stylegan2 as nets
from motion_jax.port.contents import look_into
from motion_jax.recipes.network import applied
from motion_jax.recipes.pixels import to_uint8
from motion_jax.weights.stylegan2 import GENERATOR, module_of


@dataclass(frozen=True)
class Model:
    """Attributes:
    path: where it is from.
    settings, module, variables: what it is, see weights.stylegan2.
    """

    path: Path
    settings: Mapping[str, Any]
    module: nets.Generator
    variables: Any = field(repr=False)

    @property
    def count(self) -> int:
        """Entries of w."""
        return nets.style_count(self.module.size)

    @property
    def centre(self) -> Float[Any, " s"]:
        """The mean of w."""
        return self.variables["buffers"]["mapping"]["average"]

    def fingerprint(self) -> str:
        """SHA-256 of its weights, and of what they do not tell of the network: the same for the
        same generator in another file or layout. Noise maps and the mean of w are left out."""
        untold = ("architecture", "clamp", "taps", "mapping_rate")
        digest = hashlib.sha256(repr([getattr(self.module, name) for name in untold]).encode())
        weights = traverse_util.flatten_dict(dict(self.variables["params"]), sep="/")
        for name in sorted(weights):
            value = np.asarray(weights[name], np.float32)
            digest.update(f"{name} {value.shape}".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        return digest.hexdigest()

    def spread(self) -> tuple[Float[Array, " s"], float]:
        """(the mean of w over 4096 random z, the root of w's mean squared distance from it)."""
        z = jnp.asarray(self.latents(0, 4096))
        w = jax.jit(lambda v, z: applied(self.module, v, z, method="map"))(self.variables, z)
        return w.mean(0), float(jnp.sqrt(jnp.square(w - w.mean(0)).sum() / len(z)))

    def latents(self, seed: int | tuple[int, ...], count: int) -> Float[np.ndarray, "n z"]:
        """Random z."""
        random = np.random.default_rng(seed)
        return random.standard_normal((count, self.module.latent)).astype(np.float32)

    def mapped(self, z: Any, truncation: float = 1.0) -> Float[Any, "n count s"]:
        """w of every layer."""
        return self.mapping(truncation)(z)

    def mapping(self, truncation: float = 1.0) -> Callable[[Any], Float[Any, "n count s"]]:
        """`mapped` for many calls, as `drawing`."""
        run = jax.jit(lambda v, z: applied(self.module, v, z, method="map"))

        def mapped(z: Any) -> Any:
            ws = nets.repeated(run(self.variables, jnp.asarray(z)), self.count)
            return nets.truncated(ws, self.centre, truncation)

        return mapped

    def drawn(self, ws: Any) -> UInt8[np.ndarray, "n h w c"]:
        """Pictures, with the fixed noise."""
        return self.drawing()(ws)

    def drawing(self) -> Callable[[Any], UInt8[np.ndarray, "n h w c"]]:
        """`drawn` for many calls: compiled once for each number of pictures."""
        run = jax.jit(lambda v, ws: to_uint8(applied(self.module, v, ws, method="draw")))
        return lambda ws: np.asarray(run(self.variables, ws))


def load_model(path: Path) -> Model:
    """The generator of a run or a file, the averaged one where there is one. Raises UserError where
    there is none, or it is told labels."""
    contents = look_into(path)
    for name in ("generator (averaged)", "generator"):
        found = contents.networks.get(name)
        if found is None or (found.config or {}).get("class") != GENERATOR:
            continue
        settings = dict(found.config or {})
        if settings["labels"]:
            raise UserError(f"{path} makes pictures of classes; a generator without labels is due.")
        module = module_of(settings)
        assert isinstance(module, nets.Generator), "its class says so"
        return Model(Path(path), settings, module, jax.tree.map(jnp.asarray, found.params))
    raise UserError(f"{path} holds no generator of StyleGAN2 ({', '.join(contents.networks)}).")


def load_variables(path: Path | None) -> Any:
    """Of `load_model`, for recipes that compare with another generator (Pretrained.loader)."""
    assert path is not None, "the recipe names it"
    return load_model(path).variables


def check_alike(one: Model, two: Model) -> None:
    """Raises UserError where two generators do not have the same layers."""
    for name in ("widths", "latent", "style", "mapping_layers", "architecture", "channels"):
        a, b = one.settings[name], two.settings[name]
        if (tuple(a) if isinstance(a, list) else a) != (tuple(b) if isinstance(b, list) else b):
            raise UserError(
                f"{one.path} and {two.path} differ in {name} ({a} and {b}); blending needs two "
                "generators of one kind, one trained from the other."
            )
