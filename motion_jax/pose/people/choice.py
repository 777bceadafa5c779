"""How people of a film are named by whoever starts a command: letters, and places at times."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from motion_jax.errors import UserError, option

ALL = "all"
_LETTERS = re.compile(r"[A-Z]{1,2}(,[A-Z]{1,2})*", re.ASCII)
_AT = re.compile(r"(?:([A-Z]{1,2})=)?(\d+(?:\.\d*)?)s?,(\d+(?:\.\d*)?),(\d+(?:\.\d*)?)", re.ASCII)


@dataclass(frozen=True)
class At:
    """Who is at a place at a time: `--at 12.4s,350,200`, or `--at B=12.4s,350,200`.

    Attributes:
      time: seconds; x, y: pixels of the video.
      name: who that is said to be; None: whoever it is, is the one who is meant.
      text: as it was written.
    """

    time: float
    x: float
    y: float
    name: str | None
    text: str


def letter(number: int) -> str:
    """A, B, ..., Z, AA, AB, ... of 0, 1, ..."""
    if number < 26:
        return chr(ord("A") + number)
    return letter(number // 26 - 1) + letter(number % 26)


def is_named(person: str) -> bool:
    """Whether `--person` names people of all who are kept apart ("all", "A", "A,C")."""
    return person == ALL or _LETTERS.fullmatch(person) is not None


def named(person: str) -> tuple[str, ...] | None:
    """The letters of "A,C"; None of "all"."""
    return None if person == ALL else tuple(dict.fromkeys(person.split(",")))


def parse_same(texts: Sequence[str]) -> list[tuple[str, ...]]:
    """Raises UserError where one is not "A,D"."""
    groups = []
    for text in texts:
        letters = tuple(dict.fromkeys(text.split(",")))
        if not _LETTERS.fullmatch(text) or len(letters) < 2:
            raise UserError(
                f"{option('same')} {text} does not say who is one person; give two letters or "
                "more, as in A,D."
            )
        groups.append(letters)
    return groups


def parse_at(texts: Sequence[str]) -> list[At]:
    """Raises UserError where one is not "12.4s,350,200" or "B=12.4s,350,200"."""
    found = []
    for text in texts:
        match = _AT.fullmatch(text)
        if match is None:
            raise UserError(
                f"{option('at')} {text} is not a time and place; give SECONDS,X,Y as in "
                "12.4s,350,200, or with the letter of who that is, as in B=12.4s,350,200."
            )
        name, time, x, y = match.groups()
        found.append(At(float(time), float(x), float(y), name, text))
    if sum(each.name is None for each in found) > 1:
        raise UserError(
            f"{option('at')} is given twice without a letter, and one person is followed; give one "
            "of them, or say who they are as in B=12.4s,350,200."
        )
    return found
