"""Who plays whom: `--cast A=runs/anna,B=runs/ben,C=keep,D=remove`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from motion_jax.errors import UserError, option
from motion_jax.pose.people.choice import is_named, named
from motion_jax.transfer.options import TransferOptions

KEEP, REMOVE = "keep", "remove"


@dataclass(frozen=True)
class Cast:
    """What becomes of the people of a film.

    Attributes:
      runs: whose place the person of which run takes, by letter.
      keep, remove: letters of those who stay as they are, and of those who are taken out.
      everybody: a run for all letters, where all are meant; None otherwise.
    """

    runs: dict[str, Path]
    keep: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    everybody: Path | None = None

    @property
    def letters(self) -> tuple[str, ...]:
        return (*self.runs, *self.keep, *self.remove)

    def of(self, names: Sequence[str]) -> "Cast":
        """For the people of a film. Raises UserError for letters that nobody has."""
        if self.everybody is not None:
            return Cast(dict.fromkeys(names, self.everybody))
        for name in self.letters:
            if name not in names:
                there = "one person" if len(names) == 1 else f"{len(names)} people"
                raise UserError(
                    f"{option('cast')} names {name}, whom the video does not show: it shows "
                    f"{there} ({', '.join(names)}); motion-jax people VIDEO shows who they are."
                )
        return self


def wants_cast(options: TransferOptions) -> bool:
    """Whether people of a film are replaced in it: a cast, or one run for several people."""
    several = is_named(options.person) and named(options.person) is None or "," in options.person
    return options.cast is not None or several


def check_no_cast(options: TransferOptions) -> None:
    """Raises UserError for what only a cast has."""
    for name, unused in (("place", "source"), ("shadows", False), ("match_colours", False)):
        if getattr(options, name) != unused:
            raise UserError(
                f"{option(name)} works only with {option('cast')}, or with {option('run')} and "
                f"{option('person')} all."
            )


def cast_of(options: TransferOptions) -> Cast:
    """The cast that the options name. Raises UserError where they name none."""
    if options.cast is None:
        if options.run is None:
            raise UserError(
                f"{option('person')} {options.person} names several people: say who is to take "
                f"their places, {option('run')} RUN for all or {option('cast')} A=RUN,B=RUN."
            )
        letters = named(options.person)
        if letters is None:
            return Cast({}, everybody=options.run)
        return Cast(dict.fromkeys(letters, options.run))
    if options.run is not None:
        raise UserError(
            f"{option('cast')} names the runs of all people, so {option('run')} does not go with "
            "it; leave one of them out."
        )
    return parsed(options.cast)


def parsed(text: str) -> Cast:
    """Raises UserError where the text is no cast, or there is nobody to replace or remove."""
    roles: dict[str, str] = {}
    for part in text.split(","):
        name, equals, role = part.partition("=")
        if not equals or not role or not is_named(name) or named(name) is None:
            raise UserError(
                f"{option('cast')} {text}: {part!r} is not LETTER=RUN, LETTER={KEEP} or "
                f"LETTER={REMOVE}; for example A=runs/anna,B={KEEP}."
            )
        if name in roles:
            raise UserError(f"{option('cast')} {text} names {name} twice; say it once.")
        roles[name] = role
    runs = {name: Path(role) for name, role in roles.items() if role not in (KEEP, REMOVE)}
    cast = Cast(
        runs,
        tuple(name for name, role in roles.items() if role == KEEP),
        tuple(name for name, role in roles.items() if role == REMOVE),
    )
    if not cast.runs and not cast.remove:
        raise UserError(
            f"{option('cast')} {text} keeps everybody, so there is nothing to do; give somebody a "
            f"run or {REMOVE}."
        )
    return cast
