"""From frame to frame: the observations of one person joined into stretches, as long as it is
certain that they are the same.

The cheapest assignment of all people in a frame to those of the frames before (Kuhn 1955), by the
distance of the poses from where they are expected, size and colours. Where another assignment would
be nearly as cheap (people cross, hide each other, one is missed), it is a guess who is who: all
stretches that it concerns end there, and `identities` joins them by what is seen of the people
before and after.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Float32

from motion_jax.pose.people.colours import Looks, distance
from motion_jax.pose.people.observations import Observations, body_distance, extent, middle

# Costs are in sizes of the person. Poses of one person are at least so near, and each second
# between them allows this much more, up to so much in all.
FARTHEST, FARTHER_A_SECOND, FARTHEST_OF_ALL = 0.12, 2.5, 0.7
# What entirely other colours add; other than so much, where so many parts are well seen of both
# (in sums of what they are worth), they are somebody else's; far other, where some are.
COLOURS = 0.5
OTHER, WELL_SEEN = 0.48, 1.0
FAR_OTHER, SOME_SEEN = 0.6, 0.15
# Another assignment whose cost is greater by less makes this one a guess.
AMBIGUOUS = 0.12
# One observation whose colours differ from its stretch's by more than the first, and by more than
# so many times what is usual in it, is somebody else.
STRANGE = 0.28, 1.7
# A stretch ends after so many seconds without the person.
ABSENCE = 0.15
# Of the last steps the speed is taken, in seconds.
SPEED_OVER = 0.2
# A stretch whose colours before and after a moment differ by more, over so many seconds each, slid
# from one person onto another there.
SLID, SLID_OVER = 0.4, 0.5


@dataclass
class Stretch:
    """One person for a while.

    Attributes:
      frames: numbers of the frames; records: of the observations in them.
      looks: its colours.
      first, last: poses at its ends; speed: pixels a frame at them, (first, last).
      uncertain_start, uncertain_end: whether it was cut there because it was a guess who is who.
    """

    frames: list[int] = field(default_factory=list)
    records: list[int] = field(default_factory=list)
    looks: Looks = field(default_factory=Looks)
    confirmed: int = 0
    looked: int = 0
    uncertain_start: bool = False
    uncertain_end: bool = False
    over: bool = False
    first: np.ndarray = field(default_factory=lambda: np.zeros((137, 3), np.float32))
    last: np.ndarray = field(default_factory=lambda: np.zeros((137, 3), np.float32))
    area: float = 0.0
    _ways: list[tuple[int, np.ndarray]] = field(default_factory=list)
    _begin: list[tuple[int, np.ndarray]] = field(default_factory=list)

    def add(self, frame: int, number: int, record: np.void, over_frames: int) -> None:
        """One more observation; over_frames: the speed is that of so many last frames."""
        pose = np.array(record["pose"])
        if not self.frames:
            self.first = pose
        self.last = pose
        self.frames.append(frame)
        self.records.append(number)
        self.looks.add(record["colours"], record["worth"])
        self.area += extent(pose) ** 2
        if record["confirmed"] >= 0:
            self.looked += 1
            self.confirmed += int(record["confirmed"])
        place = middle(pose)
        self._ways.append((frame, place))
        while self._ways[0][0] < frame - over_frames:
            self._ways.pop(0)
        if frame <= self.frames[0] + over_frames:
            self._begin.append((frame, place))

    @property
    def speed(self) -> Float[np.ndarray, "2"]:
        """At its end, pixels a frame."""
        return _speed(self._ways)

    @property
    def first_speed(self) -> Float[np.ndarray, "2"]:
        """At its beginning."""
        return _speed(self._begin)

    def expected(self, frame: int) -> Float32[np.ndarray, "137 3"]:
        """The pose in a later frame: moved on at the last speed for a short while, then slower."""
        passed = frame - self.frames[-1]
        pose = self.last.copy()
        pose[pose[:, 2] > 0, :2] += self.speed * min(passed, 3 + 0.3 * passed)
        return pose


def _speed(ways: list[tuple[int, np.ndarray]]) -> np.ndarray:
    if len(ways) < 2 or ways[-1][0] == ways[0][0]:
        return np.zeros(2)
    return (ways[-1][1] - ways[0][1]) / (ways[-1][0] - ways[0][0])


def stretches(seen: Observations) -> list[Stretch]:
    """All of a film, in order of their beginnings."""
    found: list[Stretch] = []
    active: list[Stretch] = []
    absence = max(1, round(ABSENCE / seen.interval))
    over = max(1, round(SPEED_OVER / seen.interval))
    for frame, numbers in enumerate(seen.frames()):
        active = [s for s in active if not s.over and frame - s.frames[-1] <= absence]
        records = seen.records[numbers.start : numbers.stop]
        costs = _costs(active, records, frame, seen.interval)
        taken, cut_stretches, cut_records = _assigned(costs)
        for row in cut_stretches:
            active[row].over = active[row].uncertain_end = True
        for column, record in enumerate(records):
            if column in taken:
                active[taken[column]].add(frame, numbers[column], record, over)
                continue
            fresh = Stretch(uncertain_start=column in cut_records)
            fresh.add(frame, numbers[column], record, over)
            found.append(fresh)
            active.append(fresh)
    parts = [part for stretch in found for part in _unslid(stretch, seen, over)]
    return sorted((_pure(part, seen, over) for part in parts), key=lambda part: part.frames[0])


def _pure(stretch: Stretch, seen: Observations, over: int) -> Stretch:
    """The stretch without single observations of other colours: somebody behind, in a frame in
    which the person was missed."""
    apart = np.full(len(stretch.frames), np.nan)
    for at, number in enumerate(stretch.records):
        look = Looks()
        look.add(seen.records["colours"][number], seen.records["worth"][number])
        if look.worth.sum() > WELL_SEEN:
            apart[at] = distance(stretch.looks, look)
    if np.isfinite(apart).sum() < 6:
        return stretch
    strange = apart > max(STRANGE[0], STRANGE[1] * float(np.nanmedian(apart)))
    if not strange.any() or strange.mean() > 0.3:
        return stretch
    kept = [
        (frame, number)
        for frame, number, other in zip(stretch.frames, stretch.records, strange, strict=True)
        if not other
    ]
    pure = Stretch(
        uncertain_start=stretch.uncertain_start, uncertain_end=stretch.uncertain_end, over=True
    )
    for frame, number in kept:
        pure.add(frame, number, seen.records[number], over)
    return pure


def _unslid(stretch: Stretch, seen: Observations, over: int) -> list[Stretch]:
    """The stretch, cut where it slid from one person onto another whom it met."""
    wide = max(2, round(SLID_OVER / seen.interval))
    if len(stretch.frames) < 6:
        return [stretch]
    records = seen.records[stretch.records]
    roots = records["colours"].astype(np.float32) / 255
    worth = records["worth"].astype(np.float64) ** 2
    sums = np.cumsum(roots**2 * worth[..., None], axis=0, dtype=np.float64)
    sums = np.concatenate([np.zeros((1, *sums.shape[1:])), sums])
    worths = np.concatenate([np.zeros((1, worth.shape[1])), np.cumsum(worth, axis=0)])

    def looks(first: int, last: int) -> Looks:
        part = Looks()
        part.sums, part.worth = sums[last] - sums[first], worths[last] - worths[first]
        return part

    count = len(stretch.frames)
    apart = np.zeros(count)
    for i in range(3, count - 2):
        before, after = looks(max(0, i - wide), i), looks(i, min(count, i + wide))
        if np.minimum(before.worth, after.worth).sum() > WELL_SEEN:
            apart[i] = distance(before, after)
    if apart.max() <= SLID:
        return [stretch]
    cut = int(apart.argmax())
    parts = []
    for numbers in (range(cut), range(cut, count)):
        part = Stretch()
        for k in numbers:
            part.add(stretch.frames[k], stretch.records[k], records[k], over)
        parts.append(part)
    parts[0].uncertain_start, parts[1].uncertain_end = (
        stretch.uncertain_start,
        stretch.uncertain_end,
    )
    parts[0].uncertain_end = parts[1].uncertain_start = True
    return [each for part in parts for each in _unslid(part, seen, over)]


def _costs(
    active: list[Stretch], records: np.ndarray, frame: int, interval: float
) -> Float[np.ndarray, "a k"]:
    """inf: impossible."""
    costs = np.full((len(active), len(records)), np.inf)
    for row, stretch in enumerate(active):
        passed = (frame - stretch.frames[-1]) * interval
        limit = min(FARTHEST + FARTHER_A_SECOND * passed, FARTHEST_OF_ALL)
        expected = stretch.expected(frame)
        for column, record in enumerate(records):
            apart = body_distance(expected, record["pose"])
            if apart > limit:
                continue
            look = Looks()
            look.add(record["colours"], record["worth"])
            other = distance(stretch.looks, look)
            worth = np.minimum(stretch.looks.worth, look.worth).sum()
            if (other > OTHER and worth > WELL_SEEN) or (other > FAR_OTHER and worth > SOME_SEEN):
                continue
            costs[row, column] = apart + (0 if np.isnan(other) else COLOURS * other)
    return costs


def _assigned(
    costs: Float[np.ndarray, "a k"],
) -> tuple[dict[int, int], set[int], set[int]]:
    """{column: row}; the rows that end because it is a guess; the columns that are a guess."""
    from scipy.optimize import linear_sum_assignment  # not for --help

    possible = np.isfinite(costs)
    if not possible.any():
        return {}, set(), set()
    # Nobody need be assigned: leaving one out costs more than any assignment.
    priced = np.where(possible, costs, 100.0)
    pairs = [(r, c) for r, c in zip(*linear_sum_assignment(priced), strict=True) if possible[r, c]]
    cut_rows: set[int] = set()
    cut_columns: set[int] = set()
    for row, column in pairs:
        rivals = _rivals(costs, pairs, row, column)
        if rivals is not None:
            cut_rows |= {row, *rivals[0]}
            cut_columns |= {column, *rivals[1]}
    taken = {c: r for r, c in pairs if r not in cut_rows and c not in cut_columns}
    return taken, cut_rows, cut_columns


def _rivals(
    costs: np.ndarray, pairs: list[tuple[int, int]], row: int, column: int
) -> tuple[set[int], set[int]] | None:
    """The rows and columns with which the pair could as well be exchanged; None: it is certain."""
    rows, columns = set(), set()
    of_row = {r: c for r, c in pairs}
    of_column = {c: r for r, c in pairs}
    cost = costs[row, column]
    for other in np.flatnonzero(np.isfinite(costs[:, column])):
        if other == row:
            continue
        its = of_row.get(int(other))
        if its is None:
            # Somebody who has no observation in this frame might be this one.
            if costs[other, column] - cost < AMBIGUOUS:
                rows.add(int(other))
        elif costs[other, column] + costs[row, its] - cost - costs[other, its] < AMBIGUOUS:
            rows.add(int(other))
            columns.add(its)
    for other in np.flatnonzero(np.isfinite(costs[row])):
        if other != column and int(other) not in of_column and costs[row, other] - cost < AMBIGUOUS:
            columns.add(int(other))
    return (rows, columns) if rows or columns else None


def touching(frames: Bool[np.ndarray, " n"]) -> list[tuple[int, int]]:
    """(first, last + 1) of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], frames.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
