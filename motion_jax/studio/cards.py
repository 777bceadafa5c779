"""What pages say of the things of a project besides their names: pictures, notes, jobs."""

import json
from collections.abc import Sequence
from typing import Any

from fastapi import Request

from motion_jax.errors import UserError
from motion_jax.studio import state, uploads
from motion_jax.studio.checkpoints import newest, people_of
from motion_jax.studio.labels import failure
from motion_jax.studio.library import Item, Library
from motion_jax.studio.web import Studio, studio_of, words_of


def covers(library: Library, items: Sequence[Item]) -> dict[str, str]:
    """The address of each thing's picture; "" of what has none."""
    found = {}
    for item in items:
        place = ""
        films = [ref for ref in item.made_from if ref.startswith("films/")]
        if item.kind in ("films", "pictures"):
            place = f"{item.ref}/still" if (item.path / uploads.STILL).is_file() else ""
        elif item.kind == "runs" and (sample := state.newest_sample(item)) >= 0:
            place = f"{item.ref}/samples/{sample}.png"
        elif item.kind == "casts" and (item.path / "people.png").is_file():
            place = f"{item.ref}/report/people.png"
        elif item.kind == "datasets" and films:
            place = f"{films[0]}/still"
        found[item.ref] = f"/p/{library.id}/{place}" if place else ""
    return found


def origins(items: Sequence[Item]) -> dict[str, list[Item]]:
    """What each thing was made from, of what is still there."""
    known = {item.ref: item for item in items}
    return {item.ref: [known[ref] for ref in item.made_from if ref in known] for item in items}


def notes(request: Request, library: Library, items: Sequence[Item]) -> dict[str, str]:
    """A line about each thing: how its job stands, if not done, and why it went wrong; how large it
    is, if it is there; how long."""
    studio, words, found = studio_of(request), words_of(request), {}
    makers = library.makers()
    for item in items:
        said, job = [], makers.get(item.ref)
        if not item.is_there or (job is not None and job.state != "done"):
            said.append(words(f"state.{job.state if job is not None else 'waiting'}"))
        if job is not None and job.error and job.is_over:
            said[-1] += f": {failure(studio.watch.row(job), words, studio.desk)}"
        if item.is_there:
            said.append(words.size(item.size()))
        if item.kind == "films":
            said.append(words.duration(item.facts.get("seconds")))
        found[item.ref] = " · ".join(said)
    return found


def job_of(studio: Studio, library: Library, item: Item) -> dict[str, Any] | None:
    """The row of the job that makes a thing."""
    job = library.job_of(item)
    return None if job is None else studio.watch.row(job)


def jobs_of(studio: Studio, library: Library, items: Sequence[Item]) -> dict[str, dict[str, Any]]:
    """The same for several, by id; without those that have none."""
    found = {item.id: job_of(studio, library, item) for item in items}
    return {id_: row for id_, row in found.items() if row is not None}


def named(library: Library, ref: str) -> dict[str, str]:
    """A thing for a link; of one that was deleted its name in the project."""
    try:
        item = library.of_ref(ref)
        return {"ref": ref, "name": item.name}
    except UserError:
        return {"ref": "", "name": ref}


def films_of(library: Library, item: Item) -> set[str]:
    """The films that a thing was made from, in however many steps."""
    known = {each.ref: each for each in library.items()}
    found: set[str] = set()
    left = list(item.made_from)
    while left:
        ref = left.pop()
        if ref not in found:
            found.add(ref)
            left += known[ref].made_from if ref in known else ()
    return {ref for ref in found if ref.startswith("films/")}


def is_rearranged(result: Item) -> bool:
    """Whether a result was made of a person's own frames and by no trained one."""
    kinds = {ref.partition("/")[0] for ref in result.made_from}
    return "datasets" in kinds and "runs" not in kinds


def letters(item: Item) -> list[str]:
    """Of everybody in a film, as motion-jax people has found them; [] for other things."""
    try:
        people = json.loads((item.path / "people.json").read_text())["people"]
        return [str(one["name"]) for one in people]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def being_prepared(library: Library) -> list[tuple[Item, bool]]:
    """People whose films are being prepared, each with whether it still waits for that."""
    going = {ref: job for ref, job in library.makers().items() if not job.is_over}
    return [
        (person, going[person.ref].state == "waiting")
        for person in library.items("datasets")
        if person.ref in going and not person.is_there
    ]


def learned(library: Library) -> tuple[list[Item], list[Item]]:
    """Trained people who have learnt something, who was saved last first; and those who have
    not yet."""
    runs = library.shown("runs")
    saved = {run.ref: newest(run) for run in runs}
    able = sorted((run for run in runs if saved[run.ref]), key=lambda run: -saved[run.ref])
    return able, [run for run in runs if not saved[run.ref]]


def each_person(runs: Sequence[Item], whole: bool = False) -> list[Item]:
    """The runs, with everybody in place of one that knows several people. whole: it is there, too,
    before them."""
    found: list[Item] = []
    for run in runs:
        people = people_of(run)
        found += [run] if whole or not people else []
        found += [run.person(who) for who in people]
    return found
