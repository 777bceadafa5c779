"""The drawn characters of a film, each with the motion of one of its people.

One person: one character, in every frame. Several people, kept apart by letters: a character each,
there while its person is.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from motion_jax.errors import UserError, option
from motion_jax.pose.motion import mended, motion_of
from motion_jax.pose.people.choice import ALL, is_named, named
from motion_jax.pose.people.everybody import everybody, track_of
from motion_jax.pose.track import PoseTrack
from motion_jax.progress import say
from motion_jax.puppet.bones import Figure
from motion_jax.puppet.retarget import NoBody, Performance, on_body, performance, slide
from motion_jax.transfer.character_options import CharacterOptions
from motion_jax.transfer.lingering import nearest_found
from motion_jax.transfer.performers import Performer, stood

# What `of_network` and `of_rig` take -> the character.
Make = Callable[[Sequence[str]], Performer]


@dataclass(frozen=True)
class Dancer:
    """A character and what it does.

    Attributes:
      name: the person's letter; "": the only one.
      found: the character in the person's stances; act: the person's motion.
      aside: of each frame how far it stands beside the person, in its own heights.
      there: in which frames it is drawn.
    """

    name: str
    performer: Performer
    found: Figure
    act: Performance
    aside: Float[np.ndarray, " n"]
    there: Bool[np.ndarray, " n"]


def dancers(options: CharacterOptions, make: Make) -> tuple[list[Dancer], Float[np.ndarray, " n"]]:
    """(everybody who dances, the times of the frames). Raises UserError where nobody does, or the
    characters do not go with the people."""
    if not _several(options):
        parted = [name for name, _ in map(_assigned, options.character) if name]
        if parted:
            raise UserError(
                f"{option('character')} {parted[0]}= names a person by a letter; people have "
                f"letters with {option('person')} all."
            )
        performer = make(options.character)
        track = motion_of(options.source, options).track
        found = _dancer("", performer, track, options)
        if found is None:
            raise UserError(
                f"No frame of {options.source} shows a person's hips and neck; use a video that "
                f"shows one from head to foot, or give the poses with {option('poses')}."
            )
        if found.act.lost.any():
            say(
                f"The person is lost in {int(found.act.lost.sum())} of {len(found.act)} frames; "
                "there the character keeps moving between the poses before and after."
            )
        return [found], track.times
    people = everybody(options.source, options)
    names = people.chosen(options.person)
    chosen = characters_of(options.character, names)
    made = []
    for name in names:
        track = mended(track_of(people, name), options, f"{options.source.name}, {name}")
        found = _dancer(name, make(chosen[name]), track, options)
        if found is None:
            say(f"{name} never shows hips and neck, and nobody is drawn there.")
            continue
        say(f"{name} is {found.performer.name}, in {int(found.there.sum())} frames.")
        made.append(found)
    if not made:
        raise UserError(
            f"Nobody in {options.source} shows hips and neck; use a video that shows people from "
            "head to foot."
        )
    return made, people.seen.times


def _several(options: CharacterOptions) -> bool:
    if not is_named(options.person):
        return False
    letters = named(options.person)
    return options.person == ALL or (letters is not None and len(letters) > 1)


def _assigned(text: str) -> tuple[str, str]:
    """ "A=7" -> ("A", "7"); ("", text) where it names no letter."""
    name, equals, rest = text.partition("=")
    return (name, rest) if equals and name != ALL and is_named(name) else ("", text)


def characters_of(given: Sequence[str], names: Sequence[str]) -> dict[str, list[str]]:
    """Of each person what is given as their character.

    given: "A=7", "B=girl.png" for people with letters (pictures of one character several times);
    without letters one each, in the order of the letters. Who is left gets made-up ones: the
    numbers that follow the largest one, or 0, 1, ....

    Raises UserError for a letter that nobody has and for more characters than people.
    """
    found: dict[str, list[str]] = {name: [] for name in names}
    free = []
    for text in given:
        name, what = _assigned(text)
        if name and name not in found:
            raise UserError(
                f"{option('character')} {text}: nobody is called {name}; there are "
                f"{', '.join(names)}."
            )
        if name:
            found[name].append(what)
        else:
            free.append(what)
    open_ = [name for name in names if not found[name]]
    if len(free) > len(open_):
        raise UserError(
            f"{option('character')} names {len(free)} characters for {len(open_)} people "
            f"({', '.join(open_) or 'all have one'}); several pictures of one character are given "
            f"with its person's letter, as {option('character')} A=one.png A=two.png."
        )
    for name, what in zip(open_, free, strict=False):
        found[name].append(what)
    numbers = [int(what) for each in found.values() for what in each if what.isdigit()]
    following = max(numbers, default=-1) + 1
    for name in open_[len(free) :]:
        found[name].append(str(following))
        following += 1
    return found


def _dancer(
    name: str, performer: Performer, track: PoseTrack, options: CharacterOptions
) -> Dancer | None:
    """None where hips and neck are never seen."""
    try:
        act = performance(track.keypoints, track.times)
    except NoBody:
        return None
    stance, aside = on_body(performer.body, act)
    if not options.pin:
        stance, aside = act.stance, np.zeros(len(act))
    found = stood(performer, stance)
    there = np.ones(len(act), bool)
    if name:
        there = nearest_found(~act.lost, track.times) >= 0
    if act.stands.any():
        moves = _slid(found, aside, act)
        of_whom = f" of {name}" if name else ""
        say(
            f"Feet{of_whom} that stand slide {100 * moves:.2f} % of the character's height a frame."
        )
    return Dancer(name, performer, found, act, aside, there)


def _slid(found: Figure, aside: np.ndarray, act: Performance) -> float:
    """How far standing feet slide in the film, in the character's heights a frame."""
    joints = found.joints.copy()
    base = (act.place[:, 0] / act.height + aside) * found.scale
    joints[..., 0] += base[:, None]
    return slide(replace(found, joints=joints), act.stands)


def far_to_near(everyone: Sequence[Dancer], frame: int) -> Iterator[Dancer]:
    """Who is there in a frame: whoever stands lower in the picture is nearer."""
    here = [each for each in everyone if each.there[frame]]
    yield from sorted(here, key=lambda each: each.act.place[frame, 1])
