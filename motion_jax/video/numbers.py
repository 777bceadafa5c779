"""The order of a sequence's files by the number in their names, wherever in them it is."""

import re
from collections.abc import Sequence
from pathlib import Path

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


def missing_files(files: Sequence[str | Path]) -> str:
    """Says which files are missing from a numbered sequence, as "f_4.png is missing between f_3.png
    and f_5.png"; "" where none is.

    files: in order. Numbers may go in steps; the commonest step counts, as with pose files.
    """
    names = [Path(file).name for file in files]
    neighbours = []
    for before, after in zip(names, names[1:], strict=False):
        old, new = _NUMBER.split(before), _NUMBER.split(after)
        places = [i for i, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]]
        # Odd places are digits. Where more than one number differs, nothing says what is between.
        if len(old) == len(new) and len(places) == 1 and places[0] % 2:
            neighbours.append((before, after, old, places[0], int(new[places[0]])))
    steps = [number - int(parts[at]) for _, _, parts, at, number in neighbours]
    step = max(sorted(set(steps)), key=steps.count, default=1)
    holes = [hole for hole, found in zip(neighbours, steps, strict=True) if round(found / step) > 1]
    if not holes:
        return ""
    before, after, parts, at, number = holes[0]
    width, count = len(parts[at]), round((number - int(parts[at])) / step) - 1
    name = "".join([*parts[:at], f"{int(parts[at]) + step:0{width}d}", *parts[at + 1 :]])
    others = f" and {count - 1} more are" if count > 1 else " is"
    rest = len(holes) - 1
    more = f" (and {rest} other hole{'s' if rest > 1 else ''})" if rest else ""
    return f"{name}{others} missing between {before} and {after}{more}"


def _nth(column: int) -> str:
    names = ("first", "second", "third")
    return names[column] if column < len(names) else f"{column + 1}th"
