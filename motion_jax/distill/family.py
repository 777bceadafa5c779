"""The family of networks that a student is chosen from: the teacher's recipe with fewer channels
and fewer residual blocks; and how long each takes here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from motion_jax.errors import UserError, option
from motion_jax.live.graphs import Runtime, installed, milliseconds, session
from motion_jax.port import onnx
from motion_jax.profiling.arithmetic import flops
from motion_jax.recipes.base import Recipe
from motion_jax.recipes.network import Network

# Shares of the teacher's width and of its residual blocks.
WIDTHS = (1, 3 / 4, 1 / 2, 3 / 8, 1 / 4, 1 / 8)
BLOCKS = (1, 2 / 3, 1 / 3)
# Channels come in such numbers: processors work on several at once.
MULTIPLE = 8


@dataclass(frozen=True)
class Member:
    """One of the family.

    Attributes:
      sizes: of `Recipe.size_fields`; operations: floating-point, of a picture.
    """

    recipe: Any
    sizes: dict[str, int]
    operations: int


def family(recipe: Recipe, stage: str) -> list[Member]:
    """The members, largest first. Raises UserError for a recipe without a width."""
    width, blocks = recipe.network_size("width"), recipe.network_size("blocks")
    if width is None:
        raise UserError(
            f"The recipe {recipe.name} has no width to make smaller; {option('teacher')} takes "
            "runs of the others."
        )
    least = min(MULTIPLE, width)
    widths = {max(round(width * share / MULTIPLE) * MULTIPLE, least) for share in WIDTHS}
    counts = {max(round(blocks * share), 1) for share in BLOCKS} if blocks else set()
    found = []
    for w in widths:
        for count in counts or {0}:
            sizes = {"width": w, **({"blocks": count} if count else {})}
            member = recipe.resized(sizes)
            try:
                member.validate()
            except UserError:
                continue  # A width that cannot be halved often enough, for example.
            found.append(Member(member, sizes, _operations(member, stage)))
    return sorted(found, key=lambda member: -member.operations)


def generators(recipe: Recipe, stage: str) -> list[Network]:
    """Of a stage's networks those that make a picture."""
    return [each for each in recipe.networks(stage).values() if each.role == "generator"]


def _operations(recipe: Recipe, stage: str) -> int:
    total = 0
    for network in generators(recipe, stage):
        # One trace: drawing the weights has no products.
        made = jax.make_jaxpr(network.module.init_with_output)(jax.random.key(0), *network.inputs)
        total += flops(made.jaxpr)
    return total


def timed(recipe: Recipe, stage: str, runtime: Runtime) -> float:
    """Milliseconds of a picture: of all generators of the stage, with random weights."""
    total = 0.0
    for network in generators(recipe, stage):
        (shape,) = (each.shape for each in network.inputs)
        x = jnp.zeros(shape, jnp.float32)
        variables = network.module.init(jax.random.key(0), x)
        call: Callable[[Any], Any]
        if runtime == "jax":
            call = partial(jax.jit(network.module.apply), variables)
        else:
            model = onnx.build(network.module, variables, {"x": shape[-1]}, "y", last=True)
            call = session(runtime, model.SerializeToString(), shape)
        given = x if runtime == "jax" else np.zeros(shape, np.float32)
        total += milliseconds(partial(_computed, call, given), tries=9)
    return total


def _computed(call: Callable[[Any], Any], x: Any) -> np.ndarray:
    return np.asarray(call(x))


def fastest_runtime(recipe: Recipe, stage: str, asked: str) -> tuple[Runtime, dict[str, float]]:
    """(the runtime asked for, or for "auto" the fastest for this network; milliseconds by runtime).

    On a GPU jax, on whose device the rest of the program is.
    """
    if asked != "auto":
        chosen: Any = asked
        return chosen, {chosen: timed(recipe, stage, chosen)}
    tried: list[Runtime] = [name for name in installed() if name != "jax"]
    if jax.default_backend() != "cpu" or not tried:
        tried = ["jax"]
    speeds: dict[Runtime, float] = {}
    for name in tried:
        try:
            speeds[name] = timed(recipe, stage, name)
        except UserError:
            continue  # A network that has no such form runs in jax.
    if not speeds:
        speeds["jax"] = timed(recipe, stage, "jax")
    best = min(speeds, key=lambda name: speeds[name])
    return best, {str(name): value for name, value in speeds.items()}


def chosen(
    members: Sequence[Member], budget: float, timing: Callable[[Member], float]
) -> tuple[Member, float, dict[int, float]]:
    """The largest member within the budget (milliseconds), its time, and the times by number of
    those that were tried.

    Time grows with arithmetic, nearly: halving finds the place, and its larger neighbours are tried
    too. Raises UserError where not even the smallest keeps the budget.
    """
    known: dict[int, float] = {}

    def fits(number: int) -> bool:
        if number not in known:
            known[number] = timing(members[number])
        return known[number] <= budget

    low, high = 0, len(members) - 1  # The answer is in between, if the smallest fits.
    if not fits(high):
        raise UserError(
            f"{option('budget')} {budget:g} ms: the smallest network takes {known[high]:.1f} ms on "
            "this machine; give more, or a teacher of smaller pictures."
        )
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
    return members[high], known[high], known
