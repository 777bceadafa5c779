"""The order of a sequence's files by the number in their names, wherever in them it is."""

import re
from collections.abc import Sequence
from itertools import pairwise

_NUMBER = re.compile(r"(\d+)")
# Between the parts of one number: 00:01:02.040, 12.040, 1h02m03s.
_WITHIN = re.compile(r"[.,:]|[hms]")


class SeveralOrders(Exception):
    """Names that can be ordered in more than one way; the words say in which."""


class SeveralSequences(Exception):
    """Names of more than one sequence; `names` are two that are not of the same."""

    def __init__(self, names: tuple[str, str]):
        super().__init__(*names)
        self.names = names


def frame_numbers(stems: Sequence[str]) -> list[tuple[int, ...]] | None:
    """What each name is ordered by: the one number in it that varies, or a number of several parts
    such as a time. None where the names have no number at all, or there are fewer than two.

    Raises SeveralOrders, SeveralSequences.
    """
    parts = [_NUMBER.split(stem) for stem in stems]
    if len(stems) < 2 or all(len(part) == 1 for part in parts):
        return None
    texts = {tuple(part[::2]): stem for part, stem in zip(parts, stems, strict=True)}
    if len(texts) > 1:
        one, another, *_ = sorted(texts.values())
        raise SeveralSequences((one, another))
    words = next(iter(texts))
    columns = list(zip(*(tuple(map(int, part[1::2])) for part in parts), strict=True))
    varying = [number for number, column in enumerate(columns) if len(set(column)) > 1]
    single = [number for number in varying if len(set(columns[number])) == len(stems)]
    orders = {tuple(sorted(range(len(stems)), key=columns[n].__getitem__)): n for n in single}
    if len(orders) > 1:
        first, second, *_ = orders.values()
        raise SeveralOrders(
            f"by their {_nth(first)} number or by their {_nth(second)} ({stems[0]}, {stems[1]}, …)"
        )
    if orders:
        # The last of those that agree: what is before it is often coarser.
        return [(value,) for value in columns[single[-1]]]
    between = (
        [words[number] for number in range(varying[0] + 1, varying[-1] + 1)] if varying else []
    )
    joined = [tuple(columns[number][row] for number in varying) for row in range(len(stems))]
    if len(set(joined)) == len(stems) and between and all(map(_WITHIN.fullmatch, between)):
        return joined
    if len(set(joined)) < len(stems):
        same = next(stem for stem, key in zip(stems, joined, strict=True) if joined.count(key) > 1)
        raise SeveralOrders(f"because two names have the same number ({same})")
    # The last number starts again for each value of another one: one sequence for each value.
    other = columns[varying[0]]
    second = next(number for number in range(len(stems)) if other[number] != other[0])
    raise SeveralSequences((stems[0], stems[second]))


def missing(stems: Sequence[str]) -> list[int]:
    """The numbers that lie between those of a sequence's names and are not there; [] where the
    names are no evenly numbered sequence.

    Numbers may go in steps (every fifth frame). Where less than half of the steps are the smallest,
    or one is no multiple of it, the numbers are of another kind, such as times.
    """
    try:
        keys = frame_numbers(stems)
    except (SeveralOrders, SeveralSequences):
        return []
    if keys is None or len(keys[0]) > 1:
        return []
    numbers = sorted(key[0] for key in keys)
    steps = [after - before for before, after in pairwise(numbers)]
    step = min(steps)
    if 2 * steps.count(step) < len(steps) or any(other % step for other in steps):
        return []
    there = set(numbers)
    return [number for number in range(numbers[0], numbers[-1], step) if number not in there]


def _nth(column: int) -> str:
    names = ("first", "second", "third")
    return names[column] if column < len(names) else f"{column + 1}th"
