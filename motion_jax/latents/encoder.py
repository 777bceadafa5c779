"""An encoder of one generator of StyleGAN2: pictures -> w of each layer, in one step instead of a
search; and its file."""

import json
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

from motion_jax.errors import UserError, option
from motion_jax.files import atomic_path
from motion_jax.latents.model import Model
from motion_jax.nets.initial import initialise
from motion_jax.nets.latent_encoder import LatentEncoder
from motion_jax.recipes.network import applied
from motion_jax.recipes.pixels import to_float

# What the file says that it is.
KIND = "motion_jax encoder of StyleGAN2, 1"


@dataclass(frozen=True)
class Encoder:
    """Attributes:
    generator: the fingerprint of the generator that it is of.
    module, variables: the network; its answers are in units of `spread` from `centre`.
    centre: the mean of w, [s]; spread: the deviation of one number of w.
    """

    generator: str
    module: LatentEncoder
    variables: Any = field(repr=False)
    centre: Any = field(repr=False)
    spread: float

    @classmethod
    def begun(cls, model: Model, width: int, seed: int) -> "Encoder":
        """Before training: its answer to every picture is the mean of w."""
        size, style = model.module.size, model.module.style
        module = LatentEncoder(size, model.count, style, width)
        image = jax.ShapeDtypeStruct((1, size, size, model.module.channels), jnp.float32)
        variables = jax.jit(lambda key: initialise(module, key, image))(jax.random.key(seed))
        centre, deviation = model.spread()
        return cls(model.fingerprint(), module, variables, centre, deviation / style**0.5)

    def ws(self, variables: Any, images: Float[Array, "n h w c"]) -> Float[Array, "n count s"]:
        """w of every layer of pictures in [-1, 1], by the variables that are given."""
        return self.centre + self.spread * applied(self.module, variables, images)

    def answering(self) -> Callable[[UInt8[np.ndarray, "n h w c"]], Float[Array, "n count s"]]:
        """w of every layer of pictures, compiled once for each number of them."""
        run = jax.jit(lambda variables, images: self.ws(variables, to_float(images)))
        return lambda images: run(self.variables, jnp.asarray(images))

    def save(self, path: Path, about: Mapping[str, Any]) -> None:
        """Writes the file, whole or not at all. about: what else is to be known of it (JSON)."""
        told = {
            "kind": KIND,
            "generator": self.generator,
            "size": self.module.size,
            "count": self.module.count,
            "style": self.module.style,
            "width": self.module.width,
            "spread": self.spread,
            **about,
        }
        arrays: dict[str, Any] = {
            f"weights/{name}": np.asarray(value)
            for name, value in traverse_util.flatten_dict(dict(self.variables), sep="/").items()
        }
        with atomic_path(path) as temporary:
            np.savez(temporary, about=json.dumps(told), centre=np.asarray(self.centre), **arrays)


def load_encoder(path: Path, model: Model) -> Encoder:
    """An encoder of this generator. Raises UserError where there is none, or it is another's."""
    if not path.is_file():
        raise UserError(
            f"There is no encoder {path}; motion-jax encoder {model.path} --out FILE.npz makes one."
        )
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(str(arrays["about"]))
        if about["kind"] != KIND:
            raise ValueError(about["kind"])
        names = ("size", "count", "style", "width")
        size, count, style, width = (int(about[name]) for name in names)
        module = LatentEncoder(size, count, style, width)
        weights = {
            name.removeprefix("weights/"): jnp.asarray(value, jnp.float32)
            for name, value in arrays.items()
            if name.startswith("weights/")
        }
        variables = traverse_util.unflatten_dict(weights, sep="/")
        image = jax.ShapeDtypeStruct((1, size, size, model.module.channels), jnp.float32)
        expected = jax.eval_shape(module.init, jax.random.key(0), image)
        shapes = [jax.tree.map(lambda x: x.shape, each) for each in (variables, expected)]
        if shapes[0] != shapes[1] or arrays["centre"].shape != (style,):
            raise ValueError("other layers")
        made = Encoder(
            about["generator"],
            module,
            variables,
            jnp.asarray(arrays["centre"], jnp.float32),
            float(about["spread"]),
        )
    except Exception as error:  # every way in which an archive can be damaged, or another's
        raise UserError(
            f"{path} is damaged or no encoder; {option('encoder')} takes what motion-jax encoder "
            "wrote."
        ) from error
    if made.generator != model.fingerprint():
        raise UserError(
            f"{path} is the encoder of another generator ({size}x{size}, {count} entries of w of "
            f"{style}) than {model.path}; motion-jax encoder {model.path} --out FILE.npz makes its "
            "own."
        )
    return made
