"""What the communication of a compiled program costs, by the published bandwidth of the links
between TPU chips.

The TPU compiler's text has no time for it, so it is worked out here. Chips stand in a grid of one,
two or three dimensions; each is linked with its neighbours, both ways at once. A dimension is a
ring where its ends are linked too, else a line. A bandwidth is of one link, one way; V is a number
of bytes, n a number of chips along a dimension.

  reduce-scatter of V on every chip, along one dimension, and an all-gather that ends with V there:
      (n - 1) / n * V / (2 * bandwidth) on a ring, where each half travels its own way round;
      (n - 1) / n * V / bandwidth on a line, all of which must pass its last link.
  along k dimensions: the data in k parts that take the dimensions in turn, each part a different
      one at a time ("colors" in the compiler's text); a part shrinks by n with each.
  all-reduce: a reduce-scatter, then an all-gather.
  all-to-all of V on every chip: half of everything crosses the middle of the longest dimension:
      n * V / 4 / bandwidth on a line, n * V / 8 / bandwidth on a ring.
  collective-permute of V: V / bandwidth, times the largest number of its messages that share a link
      (each goes along the first dimension, then along the next).

To each comes a microsecond for every link that a message passes one after the other. The formulas
are those of "How to Scale Your Model" (Austin et al., 2025, chapters 2 and 3:
https://jax-ml.github.io/scaling-book), of which also the microsecond; they are limits that no
program goes below, and no measurement.
"""

import functools
import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from motion_jax.profiling.chips import chip_of
from motion_jax.profiling.hlo import Message

HOP_SECONDS = 1e-6


@dataclass(frozen=True)
class Grid:
    """How the chips of a program are linked.

    Attributes:
      places: of each device, in the program's order.
      sides: chips along each dimension.
      rings: whether the ends of each dimension are linked.
      link_bytes_s: of one link, one way.
    """

    places: tuple[tuple[int, ...], ...]
    sides: tuple[int, ...]
    rings: tuple[bool, ...]
    link_bytes_s: float


@dataclass(frozen=True)
class Kind:
    """All communication of one kind in a step: how often; bytes of its results on a chip; seconds
    without anything beside it; how often of these other work may run beside it."""

    kind: str
    count: int
    bytes: int
    seconds: float
    beside: int


def grid_of(devices: Sequence[Any]) -> Grid:
    """The grid that TPU devices stand in.

    v5e and v6e have links from end to end along sides of 16 alone (their whole pod), v4 and v5p
    where all sides are multiples of 4: what is smaller is cut out of a larger grid.
    """
    chip = chip_of(devices[0])
    assert chip is not None, f"{devices[0]} is not in the table of chips"
    places = tuple(tuple(device.coords) for device in devices)
    sides = tuple(max(along) - min(along) + 1 for along in zip(*places, strict=True))
    if chip.links == 4:
        rings = tuple(side == 16 for side in sides)
    else:
        rings = (all(side % 4 == 0 for side in sides),) * len(sides)
    return Grid(places, sides, rings, chip.link_bytes_s)


def by_kind(messages: Iterable[Message], grid: Grid) -> list[Kind]:
    """A step's communication by kind, the longest first. Raises ValueError where the text does not
    say who talks with whom in a way known here."""
    found: dict[str, list[Message]] = defaultdict(list)
    for each in messages:
        found[each.kind].append(each)
    kinds = [
        Kind(
            kind,
            sum(each.times for each in many),
            sum(each.times * each.bytes for each in many),
            sum(each.times * seconds(each, grid) for each in many),
            sum(each.times for each in many if each.beside),
        )
        for kind, many in found.items()
    ]
    return sorted(kinds, key=lambda each: -each.seconds)


def seconds(message: Message, grid: Grid) -> float:
    """Of one run of it, alone; see the top of this file."""
    if message.kind in ("collective-permute", "send", "recv"):
        return _permute(message.bytes, pairs_of(message.attributes), grid)
    groups = groups_of(message.attributes, len(grid.places))
    return max(_group(message.kind, message.bytes, group, grid) for group in set(groups))


# --- one kind each ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Line:
    """Chips of a group along one dimension. apart: links from one to the next, which the groups
    between them use as well."""

    count: int
    ring: bool
    apart: int

    def scatter(self, size: float) -> float:
        """Bytes over the busiest link of a reduce-scatter or all-gather of `size` bytes."""
        share = (self.count - 1) / self.count * size * self.apart
        return share / 2 if self.ring else share

    @property
    def hops(self) -> int:
        return self.count // 2 if self.ring else (self.count - 1) * self.apart


def _lines(group: tuple[int, ...], grid: Grid) -> list[_Line]:
    """The dimensions that a group fills. A group that is no box counts as one long line."""
    lines = []
    for side, ring, along in zip(
        grid.sides, grid.rings, zip(*(grid.places[i] for i in group), strict=True), strict=True
    ):
        count, extent = len(set(along)), max(along) - min(along)
        if count > 1:
            apart = -(-extent // (count - 1))
            lines.append(_Line(count, ring and count * apart >= side, apart))
    if math.prod(line.count for line in lines) != len(group):
        return [_Line(len(group), False, 1)]
    return lines


@functools.lru_cache(maxsize=4096)
def _group(kind: str, size: int, group: tuple[int, ...], grid: Grid) -> float:
    lines = _lines(group, grid)
    if not lines:
        return 0.0
    bandwidth = grid.link_bytes_s
    hops = sum(line.hops for line in lines) * HOP_SECONDS
    if kind == "all-to-all":
        loads = (line.count * size * line.apart / (8 if line.ring else 4) for line in lines)
        return max(loads) / bandwidth + hops
    if kind == "reduce-scatter":
        size *= len(group)
    once = _scatter(lines, size) / bandwidth + hops
    return 2 * once if kind == "all-reduce" else once


def _scatter(lines: list[_Line], size: float) -> float:
    """Bytes over the busiest link, phase after phase."""
    parts = len(lines)
    left = [size / parts] * parts
    total = 0.0
    for phase in range(parts):
        loads = []
        for part in range(parts):
            line = lines[(part + phase) % parts]
            loads.append(line.scatter(left[part]))
            left[part] /= line.count
        total += max(loads)
    return total


@functools.lru_cache(maxsize=4096)
def _permute(size: int, pairs: tuple[tuple[int, int], ...], grid: Grid) -> float:
    used: Counter[tuple[tuple[int, ...], int, int]] = Counter()
    longest = 0
    for source, target in pairs:
        links = list(_way(grid.places[source], grid.places[target], grid))
        used.update(links)
        longest = max(longest, len(links))
    if not longest:
        return 0.0
    return size * max(used.values()) / grid.link_bytes_s + longest * HOP_SECONDS


def _way(
    source: tuple[int, ...], target: tuple[int, ...], grid: Grid
) -> Iterable[tuple[tuple[int, ...], int, int]]:
    """The links (place, dimension, direction) from one chip to another."""
    place = list(source)
    for dimension, (side, ring) in enumerate(zip(grid.sides, grid.rings, strict=True)):
        ahead = target[dimension] - place[dimension]
        if ring and abs(ahead) > side / 2:
            ahead -= side if ahead > 0 else -side
        direction = 1 if ahead > 0 else -1
        for _ in range(abs(ahead)):
            yield tuple(place), dimension, direction
            place[dimension] = (place[dimension] + direction) % side


# --- who talks with whom ------------------------------------------------------------------------


@functools.lru_cache(maxsize=4096)
def pairs_of(attributes: str) -> tuple[tuple[int, int], ...]:
    """(from, to) of a permute. Raises ValueError where the text has none."""
    found = re.search(r"source_target_pairs=\{(\{[\d,{}\s]*\})?\}", attributes)
    if not found:
        raise ValueError(f"no source_target_pairs in {attributes[:200]!r}")
    return tuple(
        (int(source), int(target))
        for source, target in re.findall(r"\{(\d+),(\d+)\}", found[1] or "")
    )


def groups_of(attributes: str, devices: int) -> tuple[tuple[int, ...], ...]:
    """The groups of devices that talk among themselves; all in one, where the text names none.

    The text has them one by one, {{0,1},{2,3}}; as numbers in a transposed grid,
    [2,2]<=[2,2]T(1,0); or by axes of a mesh, mesh['a'=2,'b'=2] {'b'}, of which a part may be named,
    'b':(1)2, and whose devices may be in another order, device_ids=([2,2]T(1,0)). Raises ValueError
    for any other form.
    """
    # Only the beginning matters, and is the same for many instructions.
    found = re.search(r"replica_groups=", attributes)
    if not found:
        return (tuple(range(devices)),)
    return _groups(attributes[found.end() :][:4000], devices)


@functools.lru_cache(maxsize=4096)
def _groups(text: str, devices: int) -> tuple[tuple[int, ...], ...]:
    if text.startswith("{}"):
        return (tuple(range(devices)),)
    if found := re.match(r"\{((?:\{[\d,\s]*\},?\s*)+)\}", text):
        return tuple(
            tuple(int(number) for number in group.split(","))
            for group in re.findall(r"\{([\d,\s]+)\}", found[1])
        )
    if found := re.match(r"\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?", text):
        shape, grid = _numbers(found[1]), _numbers(found[2])
        order = _numbers(found[3]) if found[3] else tuple(range(len(grid)))
        return _cut(_numbered(grid, order), shape[-1])
    if found := re.match(r"mesh\[([^\]<]*)\](?:, device_ids=([^{]*))?\s*\{([^}]*)\}", text):
        places = _of_mesh(found[1], found[3])
        if not found[2]:
            return places
        ids = _ids(found[2])
        return tuple(tuple(ids[place] for place in group) for group in places)
    raise ValueError(f"replica_groups of an unknown form: {text[:200]!r}")


def _of_mesh(axes: str, named: str) -> tuple[tuple[int, ...], ...]:
    sizes = {name: int(size) for name, size in re.findall(r"'(\w+)'=(\d+)", axes)}
    used = {
        name: (int(before or 1), int(size or sizes[name]))
        for name, before, size in re.findall(r"'(\w+)'(?::\((\d+)\)(\d+))?", named)
    }
    # Each axis in three parts: what lies before, in and behind the one that is named.
    grid: list[int] = []
    inside: list[int] = []
    for name, size in sizes.items():
        before, part = used.get(name, (size, 1))
        inside.append(len(grid) + 1)
        grid += [before, part, size // (before * part)]
    order = [axis for axis in range(len(grid)) if axis not in inside] + inside
    return _cut(_numbered(tuple(grid), tuple(order)), math.prod(grid[axis] for axis in inside))


def _ids(text: str) -> list[int]:
    """The devices in a mesh's order: one by one, or as a transposed grid, ([2,2]T(1,0))."""
    if found := re.match(r"\(\[([\d,]+)\](?:T\(([\d,]+)\))?\)", text):
        grid = _numbers(found[1])
        return _numbered(grid, _numbers(found[2]) if found[2] else tuple(range(len(grid))))
    if found := re.match(r"\[([\d,]+)\]", text):
        return list(_numbers(found[1]))
    raise ValueError(f"device_ids of an unknown form: {text[:200]!r}")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def _numbered(grid: tuple[int, ...], order: tuple[int, ...]) -> list[int]:
    """The numbers 0, 1, … of a grid's places, its axes transposed."""
    steps = [math.prod(grid[axis + 1 :]) for axis in range(len(grid))]
    return [
        sum(steps[axis] * at for axis, at in zip(order, place, strict=True))
        for place in itertools.product(*(range(grid[axis]) for axis in order))
    ]


def _cut(numbers: list[int], size: int) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(numbers[i : i + size]) for i in range(0, len(numbers), size))
