"""Of whom there is too little film to learn from: the same rule wherever a page leads on."""

import functools
from pathlib import Path

from motion_jax.data import advice
from motion_jax.data.quality_json import FILE, read_quality
from motion_jax.errors import UserError
from motion_jax.studio.library import Item, Library


def is_short(library: Library, ref: str) -> bool:
    """Whether real frames look better than what can be learnt of a prepared person, by its name in
    the project: the rule of the advice on its page. False where nobody measured it."""
    try:
        return too_little(library.of_ref(ref))
    except UserError:
        return False  # It was deleted.


def too_little(person: Item) -> bool:
    """The same of a prepared person that is there."""
    try:
        changed = (person.path / FILE).stat().st_mtime_ns
        return advice.length(_pictures(person.path, changed)) == "few"
    except (OSError, UserError):
        return False  # Imported.


@functools.lru_cache(maxsize=256)
def _pictures(folder: Path, changed: int) -> int:
    """Of a dataset, as its file of that moment says: with a line for each frame of an hour it takes
    longer to read than a page may take."""
    return read_quality(folder)["records"]
