"""A step of a generator against judges: one pure function of how pictures are made, who judges
them, and which other losses they have.

The generator runs once, each judge once on the generated and once on the real pictures. Each is
differentiated with `jax.vjp`, whose pull-back is applied to the generator's losses (towards the
pictures) and to the judge's own (towards its parameters): no forward pass is repeated, and all
gradients are those of the weights before the step.

`scene` below is what belongs to the pictures, as the recipe has it; nothing here looks into it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax import Array

from motion_jax.recipes.metric import DISCRIMINATOR, GENERATOR, Metric, named
from motion_jax.recipes.state import Params

# A loss of the generator that compares its pictures with the scene, weighted: (pictures, scene).
Term = Callable[[Array, Any], Array]


@dataclass(frozen=True)
class Judge:
    """A discriminator in a step.

    Attributes:
      sees: (its variables, pictures, scene) -> what it makes of them, any pytree.
      asks: the generator's losses by name, weighted: (of generated, of real pictures, scene).
      tells: its own loss: (of pictures, 1 where they should be taken for real, else 0, scene).
      real, generated: the names of `tells` on both.
    """

    sees: Callable[[Params, Array, Any], Any]
    asks: Mapping[str, Callable[[Any, Any, Any], Array]]
    tells: Callable[[Any, float, Any], Array]
    real: str = "D_real"
    generated: str = "D_fake"


def metrics_of(judges: Mapping[str, Judge], terms: Mapping[str, Term]) -> dict[str, Metric]:
    """What `gradients` gives the values of."""
    found = named(GENERATOR, *(name for judge in judges.values() for name in judge.asks), *terms)
    for judge in judges.values():
        found |= named(DISCRIMINATOR, judge.real, judge.generated)
    return found


def gradients(
    generate: Callable[[Params], Array],
    generator: Params,
    real: Array,
    judges: Mapping[str, tuple[Judge, Params]],
    terms: Mapping[str, Term],
    scene: Any,
) -> tuple[Params, dict[str, Params], dict[str, Array]]:
    """Gradients of the generator's variables and of each judge's, by its name, and all losses.

    generate: its variables -> pictures in the form of `real`. A compiled program leaves out the
    gradients that its caller does not use.
    """
    pictures, pull = jax.vjp(generate, generator)
    towards = jnp.zeros_like(pictures)
    judged: dict[str, Params] = {}
    metrics: dict[str, Array] = {}
    for name, (judge, variables) in judges.items():
        change, judged[name], found = against(judge, variables, pictures, real, scene)
        towards += change
        metrics |= found

    def compared(pictures: Array) -> tuple[Array, dict[str, Array]]:
        values = {name: term(pictures, scene) for name, term in terms.items()}
        return sum(values.values(), jnp.zeros(())), values

    change, found = jax.grad(compared, has_aux=True)(pictures)
    return pull(towards + change)[0], judged, metrics | found


def against(
    judge: Judge, variables: Params, pictures: Array, real: Array, scene: Any
) -> tuple[Array, Params, dict[str, Array]]:
    """Of one judge: the gradient of what it asks towards the pictures, that of its own loss (the
    mean over real and generated pictures) towards its variables, and all its losses."""
    fake, pull_fake = jax.vjp(lambda v, x: judge.sees(v, x, scene), variables, pictures)
    true, pull_real = jax.vjp(lambda v: judge.sees(v, real, scene), variables)

    def asked(fake: Any) -> tuple[Array, dict[str, Array]]:
        values = {}
        for name, ask in judge.asks.items():
            with jax.named_scope(name):
                values[name] = ask(fake, true, scene)
        return cast(Array, sum(values.values())), values  # a judge asks something

    toward, metrics = jax.grad(asked, has_aux=True)(fake)

    def own(name: str, seen: Any, target: float) -> Any:
        with jax.named_scope(name):
            tells = jax.value_and_grad(lambda seen: judge.tells(seen, target, scene))
            metrics[name], change = tells(seen)
            return change

    from_real, from_fake = own(judge.real, true, 1.0), own(judge.generated, fake, 0.0)
    change = pull_real(from_real)[0], pull_fake(from_fake)[0]
    with jax.named_scope("gradients"):
        mean = jax.tree.map(lambda a, b: 0.5 * (a + b), *change)
    return pull_fake(toward)[1], mean, metrics
