"""What a student has from its teacher besides pictures: the discriminator to begin with, and where
the teacher's generator is active.

Both are for the training alone. A student's run is that of the plain recipe.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from motion_jax.recipes.metric import GENERATOR, Metric, named
from motion_jax.recipes.state import Params, State

LOSS = "G_teacher"
EPSILON = 1e-6


@dataclass(frozen=True, eq=False)
class Frozen:
    """A trained network as `Recipe.pretrained` names those that losses need."""

    module: nn.Module
    params: Params

    def load(self, path: Path | None = None) -> Params:
        return self.params

    def random(self, key: Array) -> Params:
        return self.params

    def shapes(self) -> Any:
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), self.params)


@dataclass(frozen=True, eq=False)
class Teacher:
    """generator: of the teacher's last stage; judges: its discriminators by name; weight: of the
    loss G_teacher."""

    generator: Frozen
    judges: Mapping[str, Params]
    weight: float


def taught(recipe: Any, teacher: Teacher) -> Any:
    """The recipe with the teacher's discriminators at the start of each stage, where they have the
    shapes of its own, and with the loss `attention` where it has a place for one (`besides`)."""
    kind: Any = type(recipe)  # whichever it is

    class Taught(kind):
        def init(self, key: Array, name: str, previous: State | None = None) -> State:
            state = super().init(key, name, previous)
            params = dict(state.params)
            for network, known in teacher.judges.items():
                if network in params and _shapes(params[network]) == _shapes(known):
                    params[network] = jax.tree.map(jnp.asarray, known)
            return state.replace(params=params)

        if hasattr(kind, "besides") and teacher.weight:

            def pretrained(self) -> dict[str, Any]:
                return {**super().pretrained(), "teacher": teacher.generator}

            def metrics(self, name: str) -> dict[str, Metric]:
                return super().metrics(name) | named(GENERATOR, LOSS)

            def besides(
                self, params: Params, trained: str, scene: Any, name: str
            ) -> tuple[Params | None, dict[str, Array]]:
                module, seen = self.networks(name)[trained].module, self.guided(scene)
                with jax.named_scope(LOSS):
                    wanted = activations(teacher.generator.module, scene.frozen["teacher"], seen)

                    def loss(variables: Params) -> Array:
                        found = activations(module, variables, seen)
                        return teacher.weight * attention(found, wanted)

                    value, change = jax.value_and_grad(loss)(params[trained])
                return change, {LOSS: value}

    return Taught(**{each.name: getattr(recipe, each.name) for each in fields(recipe)})


def _shapes(tree: Any) -> Any:
    return jax.tree.map(lambda x: (x.shape, x.dtype), tree)


def activations(module: nn.Module, variables: Params, x: Array) -> dict[int, Array]:
    """What a generator computes on the way, by the height of the maps; of several of one height the
    last."""
    _, kept = module.apply(variables, x, mutable=["features"])
    return {leaf.shape[1]: leaf for leaf in jax.tree.leaves(kept["features"])}


def attention(
    found: Mapping[int, Float[Array, "n _ _ _"]], wanted: Mapping[int, Float[Array, "n _ _ _"]]
) -> Float[Array, ""]:
    """How far apart two generators' activity lies over the picture: the mean over the common sizes
    of ||a / |a| - b / |b|||, a and b their squared activations summed over the channels (Zagoruyko
    and Komodakis 2017, equation 2). So networks of different widths can be compared. 0 where they
    have no size in common."""
    sizes = [size for size in found if size in wanted]

    def spread(x: Array) -> Array:
        energy = jnp.sum(jnp.square(x), axis=-1).reshape(len(x), -1)
        return energy / (jnp.linalg.norm(energy, axis=-1, keepdims=True) + EPSILON)

    apart = []
    for size in sizes:
        difference = spread(found[size]) - jax.lax.stop_gradient(spread(wanted[size]))
        # The root has no gradient at 0.
        apart.append(jnp.mean(jnp.sqrt(jnp.sum(jnp.square(difference), -1) + EPSILON**2)))
    return sum(apart, jnp.zeros(())) / max(len(sizes), 1)
