"""How the First Order Motion Model's program divides and pairs the videos of a folder."""

from collections.abc import Sequence

import numpy as np

# The share of videos that is held out where a folder has no train and test.
HELD_OUT = 0.2


def person_of(name: str) -> str:
    """Who is in a video, by its name: what comes before the first #, as VoxCeleb's clips are named;
    without one the whole name, whatever its suffix."""
    stem = name.rsplit(".", 1)[0] if "." in name else name
    return stem.split("#", 1)[0]


def split(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """(training, held out): a fifth is held out, by the published program's draw. It draws from the
    file system's order, which is another one everywhere; names must come in one order of their
    own."""
    order = np.random.RandomState(0).permutation(len(names))
    count = int(np.ceil(HELD_OUT * len(names)))
    return [names[i] for i in order[count:]], [names[i] for i in order[:count]]


def animation_pairs(videos: int, most: int) -> list[tuple[int, int]]:
    """At most so many (driving video, source video), by the published program's draw."""
    count = min(most, videos)
    chosen = np.random.RandomState(0).choice(count**2, min(count**2, most), replace=False)
    return [divmod(int(number), count) for number in chosen]
