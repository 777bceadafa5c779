"""Networks that losses need and nobody trains: what they are, and who loads their weights."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from motion_jax.errors import UserError
from motion_jax.nets.initial import initialise
from motion_jax.recipes.state import Params


@dataclass(frozen=True)
class Pretrained:
    """One such network.

    Attributes:
      module: the network.
      example: shape of an input that it takes, float32.
      loader: "package.module:function" of the function that gives its parameters, from the file
        that the user names or, without one (None), from where it keeps them. It is imported when
        the weights are asked for, so that naming a network costs nothing.
    """

    module: nn.Module
    example: tuple[int, ...]
    loader: str

    def load(self, path: Path | None = None) -> Params:
        """Its parameters. Raises UserError, as the loader does, where there are none."""
        module, function = self.loader.split(":")
        load: Callable[[Path | None], Params] = getattr(importlib.import_module(module), function)
        return load(path)

    def random(self, key: Array) -> Params:
        """Parameters of the right shapes, where their values do not count."""
        return initialise(self.module, key, jnp.zeros(self.example))

    def shapes(self) -> Any:
        """Of the parameters, as jax.ShapeDtypeStruct."""
        return jax.eval_shape(self.module.init, jax.random.key(0), jnp.zeros(self.example))


@dataclass(frozen=True)
class Named(Pretrained):
    """One whose file a setting of the recipe names: `path`."""

    path: str = ""

    def load(self, path: Path | None = None) -> Params:
        """Its parameters. Raises UserError where there are none, or those of another network."""
        found = super().load(Path(self.path))

        def shapes(tree: Any) -> tuple[Any, list[tuple[int, ...]]]:
            return jax.tree.structure(tree), [leaf.shape for leaf in jax.tree.leaves(tree)]

        if shapes(dict(found)) != shapes(dict(self.shapes())):
            raise UserError(
                f"{self.path} holds a network of other layers or widths than the one that is "
                "trained; give the one that training began with."
            )
        return found


def load_all(
    networks: Mapping[str, Pretrained], paths: Mapping[str, Path | None] | None = None
) -> dict[str, Params]:
    """The parameters of all by name. paths: files that the user named."""
    return {name: network.load((paths or {}).get(name)) for name, network in networks.items()}
