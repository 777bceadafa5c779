"""Who is in a dataset of several people, for a run that knows all of them (recipe.identities).

A person is what the name of a video has before its first #, as everywhere (published_clips).
"""

import copy
import re
from typing import Any

import numpy as np

from motion_jax.data.published_clips import person_of
from motion_jax.data.records import PoseFrames
from motion_jax.errors import UserError, option, setting

# A mixture of everybody.
ALL = "all"


def names_of(info: dict[str, Any]) -> list[str]:
    """The people of a dataset's metadata (DatasetInfo.to_json), in the order of their numbers."""
    return sorted({person_of(source["file"]) for source in info["sources"]})


def with_identities(dataset: PoseFrames, names: list[str]) -> PoseFrames:
    """The dataset, whose examples say who is seen: "identities", one of `names` with weight 1.

    Raises UserError for a person who has no name there.
    """
    info = dataset.info
    who = np.zeros((len(dataset), len(names)), np.float32)
    for _, source, first, count in info.clips:
        person = person_of(info.sources[source]["file"])
        if person not in names:
            raise UserError(
                f"The dataset {dataset.folder} shows {person}, whom the run does not know: it "
                f"knows {', '.join(names)}."
            )
        who[first : first + count, names.index(person)] = 1
    known = copy.copy(dataset)
    known.identities = who
    return known


def check_shows(dataset: PoseFrames, name: str) -> None:
    """Raises UserError where a dataset shows nobody of that name."""
    names = names_of(dataset.info.to_json())
    if name not in names:
        raise UserError(
            f"The dataset {dataset.folder} shows nobody called {name}, by the names of its videos "
            f"({', '.join(names)}); prepare it from videos called {name}.mp4, {name}#2.mp4, or "
            f"give another one with {option('data')}."
        )


def check_count(dataset: PoseFrames, count: int) -> None:
    """Raises UserError where a config is made for another number of people than a dataset has."""
    names = names_of(dataset.info.to_json())
    if len(names) != count:
        raise UserError(
            f"{setting('recipe.identities')} = {count}, and {dataset.folder} shows {len(names)} "
            f"({', '.join(names)}, by the names of the videos); give that number."
        )


def weights(text: str, names: list[str]) -> tuple[float, ...]:
    """The weight of each of `names`, with a sum of 1, of NAME, or of NAME:WEIGHT,NAME:WEIGHT (with
    + for the commas, too), or of ALL: everybody alike.

    Raises UserError for names that are not known, and for weights that are no mixture.
    """
    if text == ALL and ALL not in names:
        return (1 / len(names),) * len(names)
    found = dict.fromkeys(names, 0.0)
    for part in [text] if text in names else re.split("[,+]", text):
        name, colon, amount = (
            part.strip().rpartition(":") if ":" in part else (part.strip(), "", "")
        )
        if name not in found:
            raise UserError(
                f"{text} names {name!r}, whom the run does not know: it knows {', '.join(names)}."
            )
        try:
            found[name] += float(amount) if colon else 1.0
        except ValueError:
            found[name] = float("nan")
    total = sum(found.values())
    if not (np.isfinite(total) and total > 0 and min(found.values()) >= 0):
        raise UserError(
            f"{text} is no mixture of people; give a name, or names with weights from 0 on, as "
            "anna:0.3,ben:0.7."
        )
    return tuple(weight / total for weight in found.values())
