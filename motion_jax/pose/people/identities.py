"""Who is who: stretches of certain following joined into people, who have letters.

Two stretches are one person by their colours, and, where they follow one another shortly, by place,
size and speed. The two that are nearest are joined first, then the next, as long as no person is in
two places at once; in a crossing of two people the pair of joins that is cheaper together is taken.
Where another join would have been nearly as good, that is said.

Corrections by hand come last, so that they change no other letters.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from motion_jax.errors import UserError, option
from motion_jax.pose.people.choice import At, letter
from motion_jax.pose.people.colours import Looks, distance
from motion_jax.pose.people.link import Stretch
from motion_jax.pose.people.observations import Observations, extent, middle

# Colours that differ by more are two people's (Hellinger distance). Of one person in two stretches
# it is mostly 0.1-0.3, of two people in other clothes 0.5-0.9.
OTHER_COLOURS = 0.42
# Within so many seconds place and speed say something, less and less.
SOON = 1.0
# What an impossible way adds, and how fast people are, in sizes a second.
WAY, FASTEST = 0.5, 1.5
# Of somebody who is seen so badly (Looks.clear), colours say nothing, and of everybody who goes on
# at once where they were, less: their colours may differ by so much more.
BADLY, NEAR_TOO = 0.2, 0.2
# Seconds that are at once, and that are a moment.
AT_ONCE, BRIEF = 0.3, 0.15
# Costs that differ by less are a guess.
UNSURE = 0.1
# Stretches of one person may overlap by so many frames: one body seen twice for a moment.
OVERLAP = 2
# One body that is found at two expected places in turns has two stretches, which run side by side
# and never have the same frame. Their colours differ by at most this.
IN_TURNS = 0.3
# Somebody seen for less than this share of the frames of the one seen longest, or for less than so
# many seconds, is a false alarm, as is one whom the second looks do not confirm.
LEAST_SHARE, LEAST_SECONDS, LEAST_CONFIRMED = 0.05, 0.4, 0.5


@dataclass(frozen=True)
class Doubt:
    """A moment at which it is not certain who is who.

    Attributes:
      time: seconds; people: whose letters; why: in a few words.
    """

    time: float
    people: tuple[str, ...]
    why: str

    def to_json(self) -> dict:
        return {"seconds": round(self.time, 3), "people": list(self.people), "why": self.why}


@dataclass
class Chain:
    """Stretches of one person, in order of time."""

    stretches: list[Stretch]
    looks: Looks
    named: int = -1

    @property
    def frames(self) -> list[int]:
        return [frame for stretch in self.stretches for frame in stretch.frames]

    @property
    def clear(self) -> float:
        """How well they are seen in the stretch that shows them best."""
        return max(s.looks.clear(len(s.frames)) for s in self.stretches)

    def join(self, other: "Chain") -> None:
        ordered = sorted([*self.stretches, *other.stretches], key=lambda s: s.frames[0])
        self.stretches, self.looks = ordered, self.looks.joined(other.looks)
        self.named = max(self.named, other.named)


@dataclass(frozen=True)
class Identities:
    """The people of a film.

    Attributes:
      names: "A", "B", ...: who fills most of the picture for longest is A.
      of_record: of each observation the number of the person in `names`; -1: nobody.
      doubts: where it is not certain, in order of time.
      stretches: (first frame, last frame + 1, number of the person) of certain following.
    """

    names: tuple[str, ...]
    of_record: Int[np.ndarray, " m"]
    doubts: tuple[Doubt, ...]
    stretches: tuple[tuple[int, int, int], ...] = ()


def identities(seen: Observations, stretches: Sequence[Stretch]) -> Identities:
    """Joins the stretches of a film."""
    chains = [Chain([s], s.looks) for s in stretches]
    chains = _by_names(seen, chains)
    doubts = _join(chains, seen)
    chains = _believed(chains, seen)
    chains.sort(key=lambda chain: -sum(s.area for s in chain.stretches))
    of_record = np.full(len(seen.records), -1)
    for number, chain in enumerate(chains):
        for stretch in chain.stretches:
            of_record[stretch.records] = number
    names = tuple(letter(number) for number in range(len(chains)))
    told = []
    for frame, one, other, why in doubts:
        who = [i for i, c in enumerate(chains) if any(s in c.stretches for s in (*one, *other))]
        if who:
            told.append(Doubt(float(seen.times[frame]), tuple(names[i] for i in who), why))
    spans = sorted(
        (s.frames[0], s.frames[-1] + 1, number)
        for number, chain in enumerate(chains)
        for s in chain.stretches
    )
    return Identities(names, of_record, tuple(_apart(told)), tuple(spans))


def _apart(doubts: list[Doubt]) -> list[Doubt]:
    """In order of time, one of those of the same people within half a second."""
    kept: list[Doubt] = []
    for doubt in sorted(doubts, key=lambda d: (d.time, d.people)):
        near = [d for d in kept if d.people == doubt.people and doubt.time - d.time < 0.5]
        if not near:
            kept.append(doubt)
    return kept


def _by_names(seen: Observations, chains: list[Chain]) -> list[Chain]:
    """Stretches that another tracker gave one number are one person from the start."""
    by_name: dict[int, Chain] = {}
    others = []
    for chain in chains:
        numbers = seen.records["named"][chain.stretches[0].records]
        known = numbers[numbers >= 0]
        if not len(known):
            others.append(chain)
            continue
        chain.named = int(np.bincount(known).argmax())
        if chain.named in by_name:
            by_name[chain.named].join(chain)
        else:
            by_name[chain.named] = chain
    return [*by_name.values(), *others]


def _join(chains: list[Chain], seen: Observations) -> list[tuple[int, list, list, str]]:
    """Joins them in place; (frame, stretches, stretches, why) of what is not certain."""
    doubts: list[tuple[int, list, list, str]] = []
    costs = np.full((len(chains), len(chains)), np.inf)
    for i in range(len(chains)):
        for j in range(i):
            costs[i, j] = costs[j, i] = _cost(chains[i], chains[j], seen)
    gone: set[int] = set()
    while np.isfinite(costs).any():
        i, j = _cheaper_together(costs, *divmod(int(np.argmin(costs)), len(costs)))
        doubts += _doubt(costs, chains, i, j)
        chains[i].join(chains[j])
        gone.add(j)
        costs[j, :] = costs[:, j] = np.inf
        for k in range(len(chains)):
            if k != i and k not in gone:
                costs[i, k] = costs[k, i] = _cost(chains[i], chains[k], seen)
    chains[:] = [chain for number, chain in enumerate(chains) if number not in gone]
    return doubts


def _cheaper_together(costs: np.ndarray, i: int, j: int) -> tuple[int, int]:
    """The cheapest join, or, where it would leave a dearer one to others who could be joined with
    these two, the cheapest of the pair of joins that costs least together."""
    best = (costs[i, j], i, j)
    least = np.inf
    for k in np.flatnonzero(np.isfinite(costs[i])):
        for m in np.flatnonzero(np.isfinite(costs[j])):
            if k in (i, j) or m in (i, j) or k == m or not np.isfinite(costs[k, m]):
                continue
            # (i, j) and (k, m), or (i, k) and (j, m).
            other = costs[i, k] + costs[j, m]
            if other + 1e-9 < costs[i, j] + costs[k, m] and other < least:
                least = other
                best = min((costs[i, k], i, int(k)), (costs[j, m], j, int(m)))
    return best[1], best[2]


def _doubt(costs: np.ndarray, chains: list[Chain], i: int, j: int) -> list:
    """What else i or j could nearly as well be joined with."""
    found = []
    for one, own in ((i, j), (j, i)):
        near = np.flatnonzero(costs[one] < costs[i, j] + UNSURE)
        for rival in near:
            # Somebody who may be the same person as both is no rival.
            if rival not in (one, own) and not np.isfinite(costs[own, rival]):
                frame = _meeting(chains[i], chains[j])
                lists = ([*chains[i].stretches, *chains[j].stretches], chains[rival].stretches)
                found.append((frame, *map(list, lists), "nearly alike in colours and place"))
    return found


def _meeting(one: Chain, other: Chain) -> int:
    """The frame at which two chains come together: the start of the later of the two stretches that
    are next to each other."""
    best = (np.inf, 0)
    for a in one.stretches:
        for b in other.stretches:
            first, second = (a, b) if a.frames[0] < b.frames[0] else (b, a)
            gap = second.frames[0] - first.frames[-1]
            best = min(best, (gap, second.frames[0]))
    return int(best[1])


def _cost(one: Chain, other: Chain, seen: Observations) -> float:
    """inf: two people. Otherwise how unlike their colours are, and how far-fetched the ways between
    their stretches."""
    if one.named >= 0 and other.named >= 0 and one.named != other.named:
        return np.inf
    order = sorted(
        [(s.frames[0], s, 0) for s in one.stretches]
        + [(s.frames[0], s, 1) for s in other.stretches],
        key=lambda item: item[0],
    )
    way, in_turns = 0.0, False
    for (_, before, whose), (_, after, its) in zip(order, order[1:], strict=False):
        if whose != its and after.frames[0] > before.frames[-1]:
            way = max(way, _way(before, after, seen))
    for before, after in _side_by_side(order):
        if _seen_twice(before, after):
            continue
        if not set(before.frames).isdisjoint(after.frames):
            return np.inf
        way, in_turns = max(way, _way_in_turns(before, after, seen)), True
    colours = distance(one.looks, other.looks)
    if in_turns and not colours <= IN_TURNS:
        return np.inf
    near = max(0.0, 1 - way / (0.5 * WAY)) if _gap(one, other) * seen.interval < AT_ONCE else 0.0
    if np.isnan(colours) or min(one.clear, other.clear) < BADLY:
        # Colours say nothing: only who goes on at once is the same.
        colours = OTHER_COLOURS if np.isnan(colours) else colours
        return float(max(colours, 0.3) + way) if near > 0.3 else np.inf
    if near == 0 and min(len(one.frames), len(other.frames)) * seen.interval < BRIEF:
        # A moment's colours are no proof over a longer time.
        return np.inf
    return np.inf if colours > OTHER_COLOURS + NEAR_TOO * near else colours + way


def _gap(one: Chain, other: Chain) -> int:
    """Frames between the two stretches that are next to each other."""
    return min(
        max(a.frames[0], b.frames[0]) - min(a.frames[-1], b.frames[-1])
        for a in one.stretches
        for b in other.stretches
    )


def _side_by_side(
    order: Sequence[tuple[int, Stretch, int]],
) -> Iterator[tuple[Stretch, Stretch]]:
    """Pairs of a stretch of one person and one of the other whose times overlap; order: (first
    frame, stretch, whose), by time."""
    open_ones: list[tuple[Stretch, int]] = []
    for first, stretch, whose in order:
        open_ones = [each for each in open_ones if each[0].frames[-1] >= first]
        yield from ((before, stretch) for before, its in open_ones if its != whose)
        open_ones.append((stretch, whose))


def _way_in_turns(before: Stretch, after: Stretch, seen: Observations) -> float:
    """How far-fetched it is that one body makes two stretches in turns: as `_way`, the median over
    the frames of the shorter one, from the nearest frame of the other."""
    short, long = sorted((before, after), key=lambda stretch: len(stretch.frames))
    frames, found = np.array(long.frames), []
    for frame, record in zip(short.frames, short.records, strict=True):
        at = int(np.abs(frames - frame).argmin())
        poses = [seen.records["pose"][number] for number in (record, long.records[at])]
        size = max(extent(poses[0]), extent(poses[1]))
        apart = float(np.linalg.norm(middle(poses[0]) - middle(poses[1]))) / size
        passed = abs(int(frames[at]) - frame) * seen.interval
        found.append(WAY * min(apart / (0.25 + FASTEST * passed), 1.5))
    return float(np.median(found))


def _seen_twice(before: Stretch, after: Stretch) -> bool:
    """Whether two overlapping stretches are one body for a moment."""
    return before.frames[-1] - after.frames[0] < OVERLAP and len(after.frames) > OVERLAP


def _way(before: Stretch, after: Stretch, seen: Observations) -> float:
    """How far-fetched it is to come from the end of one stretch to the beginning of another."""
    passed = (after.frames[0] - before.frames[-1]) * seen.interval
    size = max(extent(before.last), extent(after.first))
    steps = after.frames[0] - before.frames[-1]
    end, start = middle(before.last), middle(after.first)
    # Forwards from the end, and backwards from the beginning, each half of the way.
    coast = min(steps, max(1, round(0.5 / seen.interval))) / 2
    apart = (
        np.linalg.norm((end + before.speed * coast) - (start - after.first_speed * coast)) / size
    )
    far = apart / (0.25 + FASTEST * passed)
    grown = abs(np.log(extent(after.first) / extent(before.last))) / np.log(2)
    return float(WAY * min(far + 0.25 * min(grown, 2.0), 1.5) * np.exp(-passed / SOON))


def _believed(chains: list[Chain], seen: Observations) -> list[Chain]:
    """Without false alarms."""
    if not chains:
        return []
    longest = max(len(chain.frames) for chain in chains)
    least = min(LEAST_SECONDS / seen.interval, 0.5 * longest)
    kept = []
    for chain in chains:
        count = len(chain.frames)
        looked = sum(s.looked for s in chain.stretches)
        confirmed = sum(s.confirmed for s in chain.stretches)
        if chain.named >= 0 or (
            count >= max(least, LEAST_SHARE * longest)
            and (not looked or confirmed >= LEAST_CONFIRMED * looked)
        ):
            kept.append(chain)
    return kept


def corrected(
    found: Identities, seen: Observations, same: Sequence[tuple[str, ...]], at: Sequence[At]
) -> Identities:
    """Corrections by hand: people who are one, and who is at a place at a time.

    Raises UserError for letters that nobody has, people who are seen at the same time, and places
    where nobody is.
    """
    of_record = found.of_record.copy()
    spans = list(found.stretches)
    names = list(found.names)
    for each in at:
        if each.name is None:
            continue
        check_names([each.name], names, "at")
        where = record_at(seen, of_record, each)
        frame = int(seen.records["frame"][where])
        was, now = int(of_record[where]), names.index(each.name)
        if was == now:
            continue
        span = next(s for s in spans if s[0] <= frame < s[1] and s[2] == was)
        # Whoever had that name meanwhile is the other one.
        inside = (seen.records["frame"] >= span[0]) & (seen.records["frame"] < span[1])
        mine, theirs = inside & (of_record == was), inside & (of_record == now)
        of_record[mine], of_record[theirs] = now, was
        changed = []
        for first, last, who in spans:
            overlap = first < span[1] and last > span[0]
            if not overlap or who not in (was, now):
                changed.append((first, last, who))
                continue
            inner = max(first, span[0]), min(last, span[1])
            changed.append((*inner, now if who == was else was))
            changed += [(a, b, who) for a, b in ((first, inner[0]), (inner[1], last)) if b > a]
        spans = sorted(changed)
    gone: set[int] = set()
    for group in same:
        check_names(group, names, "same")
        first, *rest = [names.index(name) for name in group]
        for other in rest:
            frames = seen.records["frame"]
            both = np.intersect1d(frames[of_record == first], frames[of_record == other])
            if len(both) > OVERLAP:
                raise UserError(
                    f"{option('same')} {','.join(group)}: {names[first]} and {names[other]} are "
                    f"seen at the same time (at {seen.times[both[0]]:.2f} s), so they are two "
                    "people; name others."
                )
            of_record[of_record == other] = first
            keep = np.ones(len(of_record), bool)
            mine = np.flatnonzero(of_record == first)
            _, once = np.unique(frames[mine], return_index=True)
            keep[mine] = False
            keep[mine[once]] = True
            of_record[~keep] = -1
            spans = [(a, b, first if who == other else who) for a, b, who in spans]
            gone.add(other)
    kept = [i for i in range(len(names)) if i not in gone]
    renumber = np.full(len(names) + 1, -1)
    renumber[kept] = np.arange(len(kept))
    corrected_names = {name for group in same for name in group}
    doubts = [d for d in found.doubts if len(set(d.people) - corrected_names) or not d.people]
    return dataclasses.replace(
        found,
        names=tuple(names[i] for i in kept),
        of_record=renumber[of_record],
        doubts=tuple(doubts),
        stretches=tuple((a, b, int(renumber[who])) for a, b, who in spans),
    )


def check_names(given: Sequence[str], names: Sequence[str], field: str) -> None:
    """Raises UserError for a letter that nobody has."""
    for name in given:
        if name not in names:
            there = "one person" if len(names) == 1 else f"{len(names)} people"
            raise UserError(
                f"{option(field)} names {name}, whom the video does not show: it shows {there} "
                f"({', '.join(names)}); motion-jax people VIDEO shows who they are."
            )


def record_at(seen: Observations, of_record: Int[np.ndarray, " m"], at: At) -> int:
    """The observation at a time and place. Raises UserError where nobody is."""
    frame = int(np.argmin(np.abs(seen.times - at.time)))
    if not seen.times[0] - 1 <= at.time <= seen.times[-1] + 1:
        raise UserError(
            f"{option('at')} {at.text} is not within the video's {seen.times[0]:.2f} to "
            f"{seen.times[-1]:.2f} seconds; give another time."
        )
    here = np.flatnonzero((seen.records["frame"] == frame) & (of_record >= 0))
    nearest, far = -1, np.inf
    for number in here:
        pose = seen.records["pose"][number]
        points = pose[pose[:, 2] > 0, :2]
        low, high = points.min(0), points.max(0)
        outside = np.maximum(np.maximum(low - (at.x, at.y), (at.x, at.y) - high), 0)
        away = float(np.linalg.norm(outside)) + 1e-3 * float(
            np.linalg.norm(middle(pose) - (at.x, at.y))
        )
        if away < far:
            nearest, far = int(number), away
    if nearest < 0 or far > 0.25 * extent(seen.records["pose"][nearest]):
        raise UserError(
            f"{option('at')} {at.text}: nobody was found there at that time; give a place on a "
            "person, in pixels of the video from its upper left corner."
        )
    return nearest
