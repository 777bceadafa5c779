"""The family of networks that a student is chosen from: the teacher's recipe in one stage with
fewer channels, fewer blocks, and other forms of its layers; and how long each takes here."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from motion_jax.errors import UserError, option
from motion_jax.live.graphs import Precision, Runtime, graph, installed, milliseconds, session
from motion_jax.profiling.arithmetic import flops
from motion_jax.recipes.base import Recipe
from motion_jax.recipes.network import Network

# Shares of the teacher's width and of its residual blocks.
WIDTHS = (1, 3 / 4, 1 / 2, 3 / 8, 1 / 4, 1 / 8)
BLOCKS = (1, 2 / 3, 1 / 3)
# Channels come in such numbers: processors work on several at once.
MULTIPLE = 8
# Pictures by which a network is timed.
TRIES = 9


@dataclass(frozen=True)
class Member:
    """One of the family.

    Attributes:
      sizes: of `Recipe.size_fields`; form: of `Recipe.variants`.
    """

    recipe: Any
    stage: str
    sizes: dict[str, int]
    form: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def operations(self) -> int:
        """Floating-point, of a picture."""
        total = 0
        for each in generators(self.recipe, self.stage):
            # One trace: drawing the weights has no products.
            init = jax.make_jaxpr(each.module.init_with_output)
            total += flops(init(jax.random.key(0), *each.inputs).jaxpr)
        return total

    def words(self) -> str:
        """For people."""
        form = {name.rpartition(".")[2]: value for name, value in self.form.items()}
        return ", ".join(f"{name} {value}" for name, value in (self.sizes | form).items())

    def settings(self) -> dict[str, Any]:
        """For JSON."""
        return {"sizes": self.sizes, "form": self.form}


@dataclass(frozen=True)
class Finalist:
    """The largest of one form within the budget, and the milliseconds that it takes."""

    member: Member
    spent: float


def family(recipe: Recipe) -> list[list[Member]]:
    """The members by form, of each form the largest first. Raises UserError for a recipe without a
    width."""
    recipe = recipe.in_one_stage()
    stage = list(recipe.stages())[-1]
    width, blocks = recipe.network_size("width"), recipe.network_size("blocks")
    if width is None:
        raise UserError(
            f"The recipe {recipe.name} has no width to make smaller; {option('teacher')} takes "
            "runs of the others."
        )
    least = min(MULTIPLE, width)
    widths = {max(round(width * share / MULTIPLE) * MULTIPLE, least) for share in WIDTHS}
    counts = {max(round(blocks * share), 1) for share in BLOCKS} if blocks else {0}
    names = list(recipe.variants)
    branches = []
    for values in itertools.product(*recipe.variants.values()):
        form = dict(zip(names, values, strict=True))
        found = []
        for w, count in itertools.product(widths, counts):
            sizes = {"width": w, **({"blocks": count} if count else {})}
            member = recipe.varied(form).resized(sizes, discriminator=False)
            try:
                member.validate()
            except UserError:
                continue  # Pictures that cannot be halved so often, for example.
            found.append(Member(member, stage, sizes, form))
        # More channels cost more than more blocks: their number squared.
        by_size = sorted(found, key=lambda m: (-m.sizes["width"], -m.sizes.get("blocks", 0)))
        if by_size:
            branches.append(by_size)
    return branches


def generators(recipe: Recipe, stage: str) -> list[Network]:
    """Of a stage's networks those that make a picture."""
    return [each for each in recipe.networks(stage).values() if each.role == "generator"]


def timed(
    recipe: Recipe,
    stage: str,
    runtime: Runtime,
    precision: Precision = "float32",
    most: float = float("inf"),
) -> float:
    """Milliseconds of a picture: of all generators of the stage, with random weights. most: beyond
    it the time need not be exact."""
    total = 0.0
    for network in generators(recipe, stage):
        (shape,) = (each.shape for each in network.inputs)
        x = jnp.zeros(shape, jnp.float32)
        variables = network.module.init(jax.random.key(0), x)
        call: Callable[[Any], Any]
        if runtime == "jax":
            call = partial(jax.jit(network.module.apply), variables)
        else:
            call = session(runtime, graph(network.module, variables, shape[-1]), shape, precision)
        given = x if runtime == "jax" else np.zeros(shape, np.float32)
        total += milliseconds(partial(_computed, call, given), TRIES, most)
    return total


def _computed(call: Callable[[Any], Any], x: Any) -> np.ndarray:
    return np.asarray(call(x))


def fastest_runtime(
    recipe: Recipe, stage: str, asked: str, precision: Precision = "float32"
) -> tuple[Runtime, dict[str, float]]:
    """(the runtime asked for, or for "auto" the fastest for this network; milliseconds by runtime).

    On a GPU jax, on whose device the rest of the program is.
    """
    if asked != "auto":
        chosen: Any = asked
        return chosen, {chosen: timed(recipe, stage, chosen, precision)}
    tried: list[Runtime] = [name for name in installed() if name != "jax"]
    if precision != "float32":
        tried = [name for name in tried if name == "openvino"]
    if jax.default_backend() != "cpu" or not tried:
        tried = ["jax"]
    speeds: dict[Runtime, float] = {}
    for name in tried:
        try:
            speeds[name] = timed(recipe, stage, name, precision)
        except UserError:
            continue  # A network that has no such form runs in jax.
    if not speeds:
        speeds["jax"] = timed(recipe, stage, "jax")
    best = min(speeds, key=lambda name: speeds[name])
    return best, {str(name): value for name, value in speeds.items()}


def largest(
    members: Sequence[Member], budget: float, timing: Callable[[Member], float]
) -> tuple[Finalist | None, dict[int, float]]:
    """The largest member within the budget (milliseconds), None where not even the smallest is; and
    the times by number of those that were tried.

    Time grows with size, nearly: halving finds the place, and its larger neighbours are tried, too.
    """
    known: dict[int, float] = {}

    def fits(number: int) -> bool:
        if number not in known:
            known[number] = timing(members[number])
        return known[number] <= budget

    low, high = 0, len(members) - 1  # The answer is in between, if the smallest fits.
    if not fits(high):
        return None, known
    while low < high:
        middle = (low + high) // 2
        if fits(middle):
            high = middle
        else:
            low = middle + 1
    for number in range(max(0, high - 2), high):
        if fits(number):
            high = number
            break
    return Finalist(members[high], known[high]), known


def finalists(
    branches: Sequence[Sequence[Member]],
    budget: float,
    timing: Callable[[Member], float],
    count: int,
) -> tuple[list[Finalist], list[dict[str, Any]]]:
    """Up to `count` networks within the budget, those of the most arithmetic first, no two of which
    have blocks of pixels of one size (the form that changes most what a network can do); and all
    that were timed.

    Raises UserError where none keeps the budget.
    """
    found: list[Finalist] = []
    tried: list[dict[str, Any]] = []
    for members in branches:
        best, times = largest(members, budget, timing)
        tried += [
            {**members[number].settings(), "milliseconds": round(spent, 2)}
            for number, spent in sorted(times.items())
        ]
        found += [] if best is None else [best]
    if not found:
        quickest = min(each["milliseconds"] for each in tried)
        raise UserError(
            f"{option('budget')} {budget:g} ms: the smallest network takes {quickest:.1f} ms on "
            "this machine; give more, or a teacher of smaller pictures."
        )
    chosen: dict[Any, Finalist] = {}
    for each in sorted(found, key=lambda one: -one.member.operations):
        chosen.setdefault(each.member.form.get("generator.shuffle"), each)
    return list(chosen.values())[:count], tried
