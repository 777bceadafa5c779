"""What a form held that a job was made of, so that a job that failed or was stopped leads back to
the same form, filled in, with the reason beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from motion_jax import files
from motion_jax.errors import UserError
from motion_jax.jobs import book
from motion_jax.jobs.book import Job
from motion_jax.studio.actions import ACTIONS
from motion_jax.studio.labels import failure
from motion_jax.studio.library import Library
from motion_jax.studio.state import FORM, Watch, kept_of, leads_back
from motion_jax.studio.words import Words

# A page with a form of its own; of all other verbs it is More.
_PAGES = {"transfer": "dance", "train": "learn"}


def keep(job: Job, values: Mapping[str, Any], **more: Any) -> None:
    """values: of the form, as the page sent them; more: of its other fields ("name", "first",
    "settings")."""
    files.write_json(job.folder / FORM, {"values": dict(values), **more})


def place(library: Library, number: str) -> str:
    """The page of a job's form, in the project. Raises UserError for a job without one."""
    job = _job(library, number)
    kept = kept_of(job)
    if not leads_back(job) or not kept:
        raise UserError("There is no form of this job to go back to.")
    values, verb = kept["values"], kept.get("verb", job.verb)
    asked = f"again={number}"
    films = values.get("videos")
    film = films[0] if isinstance(films, list) and len(films) == 1 else ""
    if verb == "prepare" and isinstance(film, str) and _is_there(library, film):
        return f"{film}?{asked}"
    if verb == "train" and _is_there(library, str(values.get("data", ""))):
        return f"learn?person={str(values['data']).partition('/')[2]}&{asked}"
    return f"{_PAGES[verb]}?{asked}" if verb in _PAGES else f"more/{verb}?{asked}"


@dataclass(frozen=True)
class Again:
    """For a page. fill: what its form held; why: the job went wrong, "" where it was stopped."""

    title: str
    why: str
    fill: Mapping[str, Any]


def asked_again(
    library: Library, watch: Watch, words: Words, desk: Any, number: str, verb: str
) -> Again | None:
    """Of the job that a page's address names, if it is of the page's verb; else None."""
    if not number.isdigit() or (job := book.read(library.folder / "jobs" / number)) is None:
        return None
    kept = kept_of(job)
    if not leads_back(job) or not kept or kept.get("verb", job.verb) != verb:
        return None
    name, kind = str(kept.get("name", "")), ACTIONS[verb].kind
    if name and library.free_name(kind, name) != name:
        # A stopped job's own result has it.
        kept["name"] = library.free_name(kind, name)
    return Again(job.title, failure(watch.row(job), words, desk), kept)


def _job(library: Library, number: str) -> Job:
    found = book.read(library.folder / "jobs" / number) if number.isdigit() else None
    if found is None:
        raise UserError("There is no such job.")
    return found


def _is_there(library: Library, ref: str) -> bool:
    try:
        library.of_ref(ref)
    except UserError:
        return False
    return True
