"""Of whom there is too little film to learn from: the same rule wherever a page leads on."""

from motion_jax.data import advice
from motion_jax.data.quality_json import read_quality
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
        return advice.length(read_quality(person.path)["records"]) == "few"
    except UserError:
        return False  # Imported.
