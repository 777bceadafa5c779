"""What each layer of a training step costs: arithmetic, bytes, time, and how far from the limit.

Arithmetic and bytes are analytic, of the step as it is written (convolutions in the plain form that
accelerators get, what no result depends on left out); they are the same on every machine. Time and
the compiler's bytes come from a program that was compiled and run.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import jax
from jax.extend.core import Literal
from jax.interpreters.partial_eval import dce_jaxpr

from motion_jax.config import Config
from motion_jax.nets.conv import target_platform
from motion_jax.profiling.arithmetic import equation_flops, inner_jaxprs, times
from motion_jax.profiling.chips import Chip
from motion_jax.profiling.scopes import OTHER, Scope, of_stack
from motion_jax.recipes.state import Kind
from motion_jax.train.step import step_inputs

K = TypeVar("K")

# Their one inner jaxpr takes exactly their operands: it is read as if it stood in their place.
_INLINED = {"jit", "pjit", "closed_call", "core_call", "checkpoint", "remat", "custom_jvp_call",
            "custom_vjp_call", "custom_vjp_call_jaxpr"}  # fmt: skip
_VIEWS = {"slice", "dynamic_slice", "gather", "squeeze"}
# Reads what a program returns, and writes what it is given.
_OUTSIDE = Scope("outside")


@dataclass
class Cost:
    """Of one scope in one step.

    Attributes:
      flops: floating-point operations of its convolutions and matrix products.
      bytes: that it must move if it were one fused kernel: what it reads of others' results and of
        the step's inputs, and what others or the step's outputs take of its results, each once.
      compiled_bytes: operands and results of its instructions in the compiled program; None where
        none was compiled.
      seconds: a step, by a trace or by the compiler's estimate; None without either.
    """

    flops: int = 0
    bytes: int = 0
    compiled_bytes: int | None = None
    seconds: float | None = None

    @property
    def intensity(self) -> float | None:
        """FLOP/byte; None where nothing is moved."""
        return self.flops / self.bytes if self.bytes else None

    def limit(self, chip: Chip, dtype: str, share: float = 1.0) -> float:
        """Seconds that a chip needs at least (the roofline): for the arithmetic at its peak, or for
        moving the bytes. share: of the batch that one chip gets."""
        return share * max(self.flops / chip.peak_flops(dtype), self.bytes / chip.bandwidth_bytes_s)

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.flops + other.flops,
            self.bytes + other.bytes,
            _sum(self.compiled_bytes, other.compiled_bytes),
            _sum(self.seconds, other.seconds),
        )


def _sum(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else a + b


@dataclass
class Table:
    """The costs of a step by scope.

    Attributes:
      rows: by scope.
      idle: seconds a step in which nothing is under way; None where nobody measured.
    """

    rows: dict[Scope, Cost] = field(default_factory=dict)
    idle: float | None = None

    @property
    def total(self) -> Cost:
        """Of all rows."""
        return sum(self.rows.values(), Cost())

    def by_network(self) -> dict[str, tuple[Cost, Cost]]:
        """(forward, backward) of each network, loss and update, the costliest first."""
        return self._grouped(lambda scope: scope.network)

    def by_layer(self) -> dict[tuple[str, str], tuple[Cost, Cost]]:
        """(forward, backward) of each (network, layer), the costliest first."""
        return self._grouped(lambda scope: (scope.network, scope.layer))

    def _grouped(self, key: Callable[[Scope], K]) -> dict[K, tuple[Cost, Cost]]:
        found: dict[K, list[Cost]] = {}
        for scope, cost in self.rows.items():
            found.setdefault(key(scope), [Cost(), Cost()])[scope.backward] += cost

        def price(item: tuple[K, tuple[Cost, Cost]]) -> tuple[float, int, int]:
            """Time, where there is any, then arithmetic and bytes."""
            both = item[1][0] + item[1][1]
            return both.seconds or 0.0, both.flops, both.bytes

        pairs = [(name, (both[0], both[1])) for name, both in found.items()]
        return dict(sorted(pairs, key=price, reverse=True))

    def add_seconds(self, seconds: Mapping[Scope, float]) -> None:
        """Time a step by scope; scopes without any arithmetic get rows of their own."""
        self._add("seconds", seconds, 0.0)

    def add_compiled_bytes(self, moved: Mapping[Scope, int]) -> None:
        self._add("compiled_bytes", moved, 0)

    def _add(self, name: str, values: Mapping[Scope, float], nothing: float) -> None:
        """What is known of some rows is known of all: those without a value have none of it."""
        total = self.total
        compiled_bytes = None if total.compiled_bytes is None else 0
        seconds = None if total.seconds is None else 0.0
        for scope in values:
            row = Cost(compiled_bytes=compiled_bytes, seconds=seconds)
            self.rows.setdefault(scope, row)
        for scope, row in self.rows.items():
            setattr(row, name, values.get(scope, nothing))


def once_computed(config: Config) -> Config:
    """The config with nothing computed twice to save memory."""
    return replace(config, recipe=config.recipe.without_recomputing())


def step_jaxpr(config: Config, stage: str, kind: Kind | None = None) -> Any:
    """The stage's train step of a kind as a jaxpr, as it is written for accelerators, without what
    no result depends on. kind: of Recipe.kinds; None: the one that the stage has most of."""
    kind = config.recipe.usual_kind(stage) if kind is None else kind
    with target_platform("plain"):
        traced = jax.make_jaxpr(
            lambda state, batch, frozen: config.recipe.train_step(state, batch, stage, frozen, kind)
        )(*step_inputs(config, stage))
    return dce_jaxpr(traced.jaxpr, [True] * len(traced.jaxpr.outvars))[0]


def analyse(jaxpr: Any) -> Table:
    """Arithmetic and bytes of a jaxpr by the scopes in its name stacks.

    The rows' FLOPs add up to those of `cost.flops`. A loop's body counts as often as it runs; one
    whose length only the run knows (a while loop) once; of a condition every branch.
    """
    walk = _Walk()
    inputs = [walk.value(_OUTSIDE, variable, 1) for variable in jaxpr.invars]
    outputs = walk.visit(jaxpr, inputs, "", 1)
    walk.read(outputs, _OUTSIDE)
    costs: dict[Scope, Cost] = {scope: Cost(flops=n) for scope, n in walk.flops.items()}
    for producer, size, readers in walk.values:
        for scope in readers - {producer, _OUTSIDE}:
            costs.setdefault(scope, Cost()).bytes += size
        if producer != _OUTSIDE and readers - {producer}:
            costs.setdefault(producer, Cost()).bytes += size
    return Table(costs)


class _Walk:
    """Numbers every value of a program: who makes it, how big it is, who reads it."""

    def __init__(self) -> None:
        self.flops: Counter[Scope] = Counter()
        self.values: list[tuple[Scope, int, set[Scope]]] = []

    def value(self, producer: Scope, variable: Any, repeats: int) -> int:
        aval = variable.aval
        size = getattr(aval, "size", 0) * getattr(getattr(aval, "dtype", None), "itemsize", 0)
        self.values.append((producer, repeats * size, set()))
        return len(self.values) - 1

    def read(self, values: list[int | None], scope: Scope) -> None:
        for number in values:
            if number is not None:
                self.values[number][2].add(scope)

    def visit(
        self, jaxpr: Any, inputs: Sequence[int | None], outer: str, repeats: int
    ) -> list[int | None]:
        """Returns the numbers of the jaxpr's results (None: a literal)."""
        known: dict[Any, int | None] = dict(zip(jaxpr.invars, inputs, strict=True))
        for variable in jaxpr.constvars:
            known[variable] = self.value(_OUTSIDE, variable, repeats)

        def numbers(variables: Any) -> list[int | None]:
            return [None if isinstance(v, Literal) else known[v] for v in variables]

        for equation in jaxpr.eqns:
            stack = "/".join(p for p in (outer, str(equation.source_info.name_stack)) if p)
            scope, inner = of_stack(stack), inner_jaxprs(equation)
            self.flops[scope] += repeats * equation_flops(equation)
            operands = numbers(equation.invars)
            if equation.primitive.name in _INLINED and len(inner) == 1:
                results = self.visit(inner[0], operands, stack, repeats)
            elif equation.primitive.name in _VIEWS and operands[0] is not None:
                # A part of what another made: whoever reads it reads that part.
                producer = self.values[operands[0]][0]
                results = [self.value(producer, v, repeats) for v in equation.outvars]
            elif equation.primitive.name == "dynamic_update_slice" and operands[0] is not None:
                # In place: only the new part is written.
                part = self.value(scope, equation.invars[1], repeats)
                self.read([part], _OUTSIDE)
                self.read(operands[1:], scope)
                results = [operands[0]]
            else:
                # What passes through a loop that is a part of one scope stays in that scope; around
                # a loop of no scope (over the frames of a window) there is only the outside.
                owner = _OUTSIDE if inner and scope.network == OTHER else scope
                results = [self.value(owner, v, repeats) for v in equation.outvars]
                self.read(operands, owner)
                for body in inner:
                    runs = repeats * times(equation)
                    values = [self.value(owner, variable, runs) for variable in body.invars]
                    self.read(self.visit(body, values, stack, runs), owner)
            known.update(zip(equation.outvars, results, strict=True))
        return numbers(jaxpr.outvars)
