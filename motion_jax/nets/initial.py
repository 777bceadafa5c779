"""Initial values of parameters: each layer says how its own are drawn, `initialise` draws them.

What a layer gives to `self.param` is any flax initialiser, (key, shape, dtype) -> values. Those of
this file can also be drawn together: module.init makes one generator of random numbers for each
tensor, and compiling sixty of them takes longer than training a small network for a hundred steps.
"""

import contextlib
import contextvars
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array


@dataclass(frozen=True)
class Initial:
    """An initialiser: centre + spread * random numbers of a kind.

    Attributes:
      kind: "normal" (of deviation 1), "uniform" (between -1 and 1), or "none": all are `centre`.
    """

    kind: Literal["normal", "uniform", "none"]
    spread: float = 0.0
    centre: float = 0.0

    def __call__(
        self, key: Array | None, shape: tuple[int, ...], dtype: Any = jnp.float32
    ) -> Array:
        """Values of a shape. key: may be None where nothing is random."""
        noted = _noted.get()
        if noted is not None:
            value = jnp.full(shape, 0, dtype)
            # Two parameters that are one object could not be told apart.
            noted[id(value)] = (value, None if id(value) in noted else self)
            return value
        if self.kind == "none":
            return jnp.full(shape, self.centre, dtype)
        assert key is not None, "random numbers need a key"
        if self.kind == "uniform":
            return self.of(jax.random.uniform(key, shape, dtype, -1.0))
        return self.of(jax.random.normal(key, shape, dtype))

    def of(self, drawn: Array) -> Array:
        """Values from random numbers of its kind."""
        scaled = self.spread * drawn
        return self.centre + scaled if self.centre else scaled


def normal(deviation: float, mean: float = 0.0) -> Initial:
    """N(mean, deviation^2)."""
    return Initial("normal", deviation, mean)


def uniform(bound: float) -> Initial:
    """U(-bound, bound)."""
    return Initial("uniform", bound)


def by_fan_in(fan_in: int) -> Initial:
    """U(-b, b) with b = 1 / sqrt(fan_in): PyTorch's default for biases."""
    return uniform(fan_in**-0.5)


def constant(value: float) -> Initial:
    """The same value everywhere."""
    return Initial("none", centre=value)


ZEROS = constant(0)
ONES = constant(1)

# By the identity of a value: the value (kept, so that no other one gets its identity), and the
# initialiser that it is from.
_noted: contextvars.ContextVar[dict[int, tuple[Array, Initial | None]] | None] = (
    contextvars.ContextVar("noted", default=None)
)


@contextlib.contextmanager
def _noting() -> Iterator[dict[int, tuple[Array, Initial | None]]]:
    """In the block our initialisers give zeros, and the result tells which value is from which."""
    noted: dict[int, tuple[Array, Initial | None]] = {}
    token = _noted.set(noted)
    try:
        yield noted
    finally:
        _noted.reset(token)


def initialise(module: nn.Module, key: Array, *inputs: Any) -> dict[str, Any]:
    """Variables as module.init draws them, but those of our initialisers from two streams of
    random numbers.

    inputs: arrays, or jax.ShapeDtypeStructs in their place. Parameters with other initialisers
    (nn.Dense, a layer of another package) come from module.init itself. Pure; works under
    jax.eval_shape.
    """
    initials: list[Initial | None] = []

    def traced(key: Array, *inputs: Any) -> Any:
        with _noting() as noted:
            variables = module.init(key, *inputs)
        leaves = jax.tree.leaves(variables)
        initials.extend(noted.get(id(leaf), (leaf, None))[1] for leaf in leaves)
        return variables

    shapes, structure = jax.tree.flatten(jax.eval_shape(traced, key, *inputs))
    planned = list(zip(shapes, initials, strict=True))
    pools, taken = {}, {"normal": 0, "uniform": 0}
    for kind, each in zip(taken, jax.random.split(key), strict=True):
        count = sum(
            math.prod(s.shape) for s, initial in planned if initial and initial.kind == kind
        )
        pools[kind] = _stream(kind, each, count)
    others = _others(module, key, inputs, initials)
    values = []
    for shape, initial in planned:
        if initial is None:
            values.append(next(others))
        elif initial.kind == "none":
            values.append(initial(None, shape.shape, shape.dtype))
        else:
            begin = taken[initial.kind]
            taken[initial.kind] = end = begin + math.prod(shape.shape)
            drawn = pools[initial.kind][begin:end].reshape(shape.shape)
            values.append(initial.of(drawn).astype(shape.dtype))
    return jax.tree.unflatten(structure, values)


def _others(
    module: nn.Module, key: Array, inputs: tuple[Any, ...], initials: list[Initial | None]
) -> Iterator[Array]:
    """The variables that no initialiser of ours gives, in their order."""
    if None not in initials:
        return iter(())

    def drawn(key: Array) -> list[Array]:
        shown = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), inputs)
        leaves = jax.tree.leaves(module.init(key, *shown))
        return [leaf for leaf, known in zip(leaves, initials, strict=True) if known is None]

    # Compiled, so that nothing but these is computed.
    return iter(jax.jit(drawn)(key))


# Random numbers drawn at once: drawing takes four times the memory of its result.
_DRAWN_AT_ONCE = 2**23


def _stream(kind: str, key: Array, count: int) -> Array:
    """[count] random numbers of a kind."""

    def draw(key: Array, count: int) -> Array:
        if kind == "uniform":
            return jax.random.uniform(key, (count,), minval=-1.0)
        return jax.random.normal(key, (count,))

    if count <= _DRAWN_AT_ONCE:
        return draw(key, count)
    keys = jax.random.split(key, -(-count // _DRAWN_AT_ONCE))
    return jax.lax.map(lambda key: draw(key, _DRAWN_AT_ONCE), keys).reshape(-1)[:count]
