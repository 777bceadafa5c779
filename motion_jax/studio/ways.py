"""The pages on which one has something done with people: learn, dance, live."""

import shlex
from typing import Any

from fastapi import APIRouter, Request

from motion_jax.data.advice import SOME_FRAMES
from motion_jax.studio import cards
from motion_jax.studio.labels import in_labels
from motion_jax.studio.plans import plan_of, read_plan
from motion_jax.studio.settings import configs, in_a_line
from motion_jax.studio.web import studio_of, words_of

router = APIRouter()
# Fields of transfer's form that the page shows by itself.
DANCE_OWN = ("source", "run", "method", "data", "start", "end", "normalize", "background",
             "side_by_side", "audio", "step")  # fmt: skip
PREVIEW_SECONDS = 3.0
# The ways to learn, in the order of their time (plan/choices.py).
CHOICES = ("look", "result", "best")


@router.get("/p/{project}/learn")
def learn(request: Request, project: str, person: str = "", again: str = "") -> Any:
    studio = studio_of(request)
    library = studio.project(project)
    people = [item for item in library.items("datasets") if item.is_there]
    chosen = next((i for i in people if i.id == person), people[0] if people else None)
    plan = read_plan(chosen) if chosen is not None else None
    measuring = None
    if chosen is not None and plan is None:
        place = str(plan_of(chosen).relative_to(library.folder))
        jobs = [j for j in library.jobs() if j.verb == "suggest" and place in j.words]
        measuring = studio.watch.row(jobs[-1]) if jobs else None
    words = words_of(request)
    fields = [f for f in studio.desk.fields("train") if f.name not in ("data", "run")]
    runs = library.shown("runs")
    return studio.page(
        request,
        "learn.html",
        library=library,
        people=people,
        preparing=cards.being_prepared(library),
        chosen=chosen,
        plan=plan,
        again=studio.again(request, library, again, "train"),
        # Plans of older versions say only whether it is short.
        length=(plan or {}).get("length", "few" if (plan or {}).get("short") else ""),
        good=SOME_FRAMES,
        against=in_labels(" ".join((plan or {}).get("text", [])), words, studio.desk, "train"),
        ways=_ways((plan or {}).get("choices", [])),
        measuring=measuring,
        commands={each["name"]: shlex.join(["motion-jax", *each["words"], "--run", "runs/NAME"])
                  for each in (plan or {}).get("choices", [])},
        fields=fields,
        configs={name: in_a_line(name) for name in configs()},
        runs=runs,
        covers=cards.covers(library, runs),
        notes=cards.notes(request, library, runs),
    )  # fmt: skip


def _ways(choices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All three, where there are any; one that would be no longer than a shorter one, and no other,
    has in "same" the name of that one."""
    known = {each["name"]: each for each in choices}
    found: list[dict[str, Any]] = []
    before = ""
    for name in CHOICES if choices else ():
        if name in known:
            before = name
            found.append(known[name])
        elif before:
            found.append({"name": name, "same": before})
    return found


@router.get("/p/{project}/dance")
def dance(
    request: Request, project: str, who: str = "", source: str = "", at: str = "", again: str = ""
) -> Any:
    studio = studio_of(request)
    library = studio.project(project)
    tried = studio.again(request, library, again, "transfer")
    if tried is not None:
        values = tried.fill["values"]
        who = str(values.get("run") or values.get("data") or who)
        source, at = str(values.get("source", source)), " ".join(map(str, values.get("at", [])))
    runs, unready = cards.learned(library)
    runs = cards.each_person(runs)
    people = [i for i in library.items("datasets") if i.is_there]
    fields = studio.desk.fields("transfer")
    films = library.items("films")
    dancers = [*runs, *people]
    first = next((i for i in dancers if who in (i.choice, i.ref)), dancers[0] if dancers else None)
    if not source and first is not None:
        # Another's dance is what one wants; the newest.
        own = cards.films_of(library, first)
        source = next((film.ref for film in films if film.ref not in own), "")
    results = library.shown("results")
    return studio.page(
        request,
        "dance.html",
        library=library,
        runs=runs,
        unready=unready,
        people=people,
        preparing=cards.being_prepared(library),
        films=films,
        who=first.choice if first is not None else "",
        source=source,
        at=at,
        again=tried,
        choices={f.name: f for f in fields},
        more=[f for f in fields if f.name not in DANCE_OWN],
        results=results,
        notes=cards.notes(request, library, results),
        preview=PREVIEW_SECONDS,
    )


@router.get("/p/{project}/live")
def live(request: Request, project: str, run: str = "") -> Any:
    studio = studio_of(request)
    library = studio.project(project)
    runs, unready = cards.learned(library)
    runs = cards.each_person(runs)
    busy = [j for j in library.jobs() if j.state == "running" and j.lane == "main"]
    busy = [job for job in busy if job.verb != "serve"]
    return studio.page(
        request, "live.html", library=library, runs=runs, unready=unready, chosen=run, busy=busy
    )
