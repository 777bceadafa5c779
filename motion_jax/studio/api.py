"""What the pages' script asks for: JSON in, JSON out. Each change is one of these requests."""

import asyncio
import contextlib
import json
import subprocess
import sys
import webbrowser
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, WebSocket
from fastapi.responses import JSONResponse, RedirectResponse, Response

from motion_jax.errors import UserError, worded
from motion_jax.jobs import book, queue
from motion_jax.jobs.book import Job
from motion_jax.studio import again, live, state, uploads
from motion_jax.studio import library as libraries
from motion_jax.studio.accounts import COOKIE as SESSION
from motion_jax.studio.accounts import LASTS
from motion_jax.studio.actions import command
from motion_jax.studio.labels import doing, failure, in_labels, labelled, line, stage
from motion_jax.studio.library import Item, Library
from motion_jax.studio.plans import plan_of, read_plan
from motion_jax.studio.takes import takes
from motion_jax.studio.web import LANGUAGE, Studio, given_in, studio_of, words_of
from motion_jax.studio.words import Words, languages

router = APIRouter()

# --- accounts -----------------------------------------------------------------------------------


@router.post("/enter")
async def enter(request: Request) -> Response:
    """Signs in: {"name", "password"}; with "token" an account is made first."""
    studio, given = studio_of(request), await given_in(request)
    if studio.accounts is None:
        raise UserError("There are no accounts here.")
    name, password = str(given.get("name", "")), str(given.get("password", ""))
    if "token" in given:
        token = str(given["token"])
        secret = await asyncio.to_thread(studio.accounts.join, token, name, password)
        first = words_of(request)("project.first")
        await asyncio.to_thread(libraries.new_project, studio.base / name, first)
    else:
        secret = await asyncio.to_thread(studio.accounts.enter, name, password)
    answer = JSONResponse({"go": "/"})
    answer.set_cookie(
        SESSION, secret, max_age=round(LASTS), samesite="strict", httponly=True,
        secure=request.url.scheme == "https",
    )  # fmt: skip
    return answer


@router.post("/leave")
async def leave(request: Request) -> Response:
    studio = studio_of(request)
    if studio.accounts is not None:
        studio.accounts.leave(request.cookies.get(SESSION, ""))
    answer = JSONResponse({"go": "/enter"})
    answer.delete_cookie(SESSION)
    return answer


# --- projects -----------------------------------------------------------------------------------


@router.post("/projects")
async def new_project(request: Request) -> dict[str, Any]:
    given = await given_in(request)
    made = await asyncio.to_thread(
        libraries.new_project, studio_of(request).root, given.get("name", "")
    )
    return {"go": f"/p/{made.id}/"}


@router.post("/p/{project}/project/rename")
async def rename_project(request: Request, project: str) -> dict[str, Any]:
    given = await given_in(request)
    library = studio_of(request).project(project)
    await asyncio.to_thread(libraries.rename_project, library, given.get("name", ""))
    return {"reload": True}


@router.post("/p/{project}/project/delete")
async def delete_project(request: Request, project: str) -> dict[str, Any]:
    """{"name"}: of the project, typed once more."""
    given = await given_in(request)
    library = studio_of(request).project(project)
    await asyncio.to_thread(libraries.delete_project, library, given.get("name", ""))
    return {"go": "/?all"}


@router.post("/language")
async def language(request: Request) -> Response:
    given = await given_in(request)
    if given.get("language") not in languages():
        raise UserError("There is no such language.")
    answer = JSONResponse({"reload": True})
    answer.set_cookie(
        LANGUAGE, str(given["language"]), max_age=31536000, samesite="strict", httponly=True
    )
    return answer


@router.get("/p/{project}/state")
def told(request: Request, project: str) -> dict[str, Any]:
    studio = studio_of(request)
    told = studio.watch.told(studio.project(project))
    words = words_of(request)
    for row in told["jobs"]:
        row["line"] = line(row, words, studio.desk)
        row["stage"] = stage(row, words)
        row["said"] = words(f"state.{row['state']}")
        row["left"] = None if row["left"] is None else words.duration(row["left"])
    return told


# --- jobs ---------------------------------------------------------------------------------------


@router.post("/p/{project}/do/{verb}")
async def do(request: Request, project: str, verb: str) -> dict[str, Any]:
    """Any verb, by its form: {"values": {...}, "name": "", "first": [...], "settings": ""}. With
    "preview" its first seconds alone, of which "end" is what the form said. With
    "spell" it is only said how to type it: {"command", "why"}; "why" is what is still missing. With
    "takes", how long a comparison takes: {"takes", "why"}."""
    studio, given = studio_of(request), await given_in(request)
    values, first = given.get("values", {}), given.get("first", [])
    if not isinstance(values, dict) or not isinstance(first, list):
        raise UserError("The request is not what the page sends.")
    config = [str(word) for word in first if str(word)]
    if any(word.startswith("-") for word in config) or len(config) > 1:
        raise UserError("A config is one word, for example small.")

    library, name, settings = (
        studio.project(project), given.get("name", ""), str(given.get("settings", "")),
    )  # fmt: skip
    asking = (library, verb, values, name, config, settings)
    words = words_of(request)
    if given.get("takes") is True:
        try:
            return {"takes": takes(words, values), "why": ""}
        except UserError as error:
            return {"takes": "", "why": in_labels(error.marked, words, studio.desk, verb)}
    if given.get("spell") is True:
        try:
            return {"command": await asyncio.to_thread(studio.desk.spelled, *asking), "why": ""}
        except UserError as error:
            return {"command": "", "why": in_labels(error.marked, words, studio.desk, verb)}

    preview = words("js.preview") if given.get("preview") is True else ""
    # Of a preview's form, what would be made of all of it.
    whole = {**values, "end": given.get("end", "")} if preview else values
    kept = {"verb": verb, "name": name, "first": config, "settings": settings}
    begun = await asyncio.to_thread(_asked, studio, words, asking, preview, whole, kept)
    return _begun(project, *begun)


def _asked(
    studio: Studio,
    words: Words,
    asking: tuple[Library, str, dict[str, Any], Any, list[str], str],
    preview: str,
    values: dict[str, Any],
    kept: dict[str, Any],
) -> tuple[Job, Item | None]:
    """Puts a form's job into the queue. asking, preview: of Desk.ask; values, kept: of
    again.keep."""
    studio.check_room()
    verb = asking[1]
    with labelled(words, studio.desk, verb):
        if preview:
            # What all of it would be refused for is not previewed.
            library, _, _, *others = asking
            studio.desk.spelled(library, verb, values, *others)
        job, made = studio.desk.ask(*asking, what=doing(words, verb), preview=preview)
    again.keep(job, values, **kept)
    queue.ensure(studio.base)
    return job, made


@router.post("/p/{project}/jobs/{number}/whole")
async def whole(request: Request, project: str, number: str) -> dict[str, Any]:
    """Makes all of what a job showed the first seconds of."""
    studio, words = studio_of(request), words_of(request)
    library = studio.project(project)
    kept = state.kept_of(_job(library, number))
    if not kept or kept.get("verb") != "transfer":
        raise UserError("There is no form of this job to go back to.")
    values = kept.pop("values")
    asking = (library, "transfer", values, kept["name"], kept["first"], kept["settings"])
    begun = await asyncio.to_thread(_asked, studio, words, asking, "", values, kept)
    return _begun(project, *begun)


@router.post("/p/{project}/plan")
async def plan(request: Request, project: str) -> dict[str, Any]:
    """Begins to reckon what can be learnt of a person on this machine."""
    studio, given = studio_of(request), await given_in(request)
    library = studio.project(project)
    person = library.of_ref(str(given.get("person", "")))
    place = plan_of(person)
    words = ["suggest", person.relative, "--out", str(place.relative_to(library.folder))]
    open_ = [j for j in library.jobs() if not j.is_over and list(j.words) == words]
    if not open_ and not place.exists():
        place.parent.mkdir(exist_ok=True)
        title = words_of(request)("learn.measuring", name=person.name)
        book.add(library.folder, words, title=title, about=[person.ref])
    await asyncio.to_thread(queue.ensure, studio.base)
    return {}


@router.post("/p/{project}/learn")
async def learn(request: Request, project: str) -> dict[str, Any]:
    """Begins one of the three choices: {"person", "choice", "name", "settings"}."""
    studio, given = studio_of(request), await given_in(request)
    library = studio.project(project)
    person = library.of_ref(str(given.get("person", "")))
    known = (read_plan(person) or {}).get("choices", [])
    chosen = next((each for each in known if each["name"] == given.get("choice")), None)
    if chosen is None:
        raise UserError("Choose how long it may learn.")

    def ask() -> tuple[Job, Item]:
        studio.check_room()
        words = words_of(request)
        way = words(f"learn.{chosen['name']}")
        facts = {"choice": chosen["name"], "config": chosen["config"], "size": chosen["size"]}
        name = str(given.get("name", "")).strip()
        if name:
            library.check_name("runs", name)
        run = library.new("runs", name or f"{person.name} – {way}", [person.ref], facts)
        # Stopped or killed, little is lost; and the best is kept besides the newest.
        more = ["--record.checkpoint-minutes", "3", "--record.keep-best", "heldout"]
        job = book.add(
            library.folder,
            [*chosen["words"], "--run", run.relative, *more],
            title=words("job.learn", name=run.name),
            about=[run.ref, person.ref],
        )
        again.keep(job, {"data": person.ref}, verb="train", name=name, choice=chosen["name"])
        queue.ensure(studio.base)
        return job, run

    return _begun(project, *await asyncio.to_thread(ask))


@router.post("/p/{project}/jobs/{number}/{what}")
async def change(request: Request, project: str, number: str, what: str) -> dict[str, Any]:
    studio = studio_of(request)
    library = studio.project(project)
    job = _job(library, number)
    if what == "stop":
        book.ask_to_stop(job)
    elif what == "resume":
        if job.verb == "serve":
            raise UserError("The live view has ended; start it again.")
        book.let_go_on(job)
    elif what == "hide":
        if not job.is_over:
            raise UserError("It is not over yet; stop it first.")
        await asyncio.to_thread(library.forget, job)
        return {"reload": True}
    else:
        raise UserError("There is no such request.")
    await asyncio.to_thread(queue.ensure, studio.base)
    return {}


@router.get("/p/{project}/jobs/{number}/again")
def ask_again(request: Request, project: str, number: str) -> Response:
    """To the form that a job was made of, filled in."""
    library = studio_of(request).project(project)
    return RedirectResponse(f"/p/{project}/{again.place(library, number)}", 303)


@router.get("/p/{project}/jobs/{number}/log")
def log(request: Request, project: str, number: str) -> Response:
    job = _job(studio_of(request).project(project), number)
    text = job.log.read_text(errors="replace")[-200_000:] if job.log.exists() else ""
    return Response(text, media_type="text/plain; charset=utf-8")


def _job(library: Library, number: str) -> Job:
    found = book.read(library.folder / "jobs" / number) if number.isdigit() else None
    if found is None:
        raise UserError("There is no such job.")
    return found


def _begun(project: str, job: Job, item: Item | None) -> dict[str, Any]:
    go = f"/p/{project}/{item.ref}" if item is not None else f"/p/{project}/jobs"
    return {"job": job.number, "item": item.ref if item else None, "go": go,
            "command": command(job)}  # fmt: skip


# --- things -------------------------------------------------------------------------------------


@router.post("/p/{project}/rename")
async def rename(request: Request, project: str) -> dict[str, Any]:
    given = await given_in(request)
    library = studio_of(request).project(project)
    item = library.of_ref(str(given.get("item", "")))
    library.check_name(item.kind, given.get("name", ""), but=item.ref)
    item = library.save(item, name=libraries.called(given.get("name", "")))
    if item.kind == "films":
        await asyncio.to_thread(uploads.name_as_called, library, item)
    return {"reload": True}


@router.post("/p/{project}/delete")
async def delete(request: Request, project: str) -> dict[str, Any]:
    given = await given_in(request)
    library = studio_of(request).project(project)
    item = library.of_ref(str(given.get("item", "")))
    together = given.get("together") is True
    await asyncio.to_thread(library.delete, item, together)
    return {"go": f"/p/{project}/"}


@router.post("/p/{project}/open")
async def open_folder(request: Request, project: str) -> dict[str, Any]:
    """Shows a thing's folder on this machine."""
    studio, given = studio_of(request), await given_in(request)
    if not studio.desk.paths:
        raise UserError("The folder is on the server, where nobody would see it.")
    library = studio.project(project)
    place = library.of_ref(str(given["item"])).path if given.get("item") else library.folder
    folder = place if place.is_dir() else place.parent
    await asyncio.to_thread(_show, folder)
    return {"say": str(folder)}


def _show(folder: Path) -> None:
    opener = {"darwin": "open", "linux": "xdg-open"}.get(sys.platform)
    if opener is None:
        webbrowser.open(folder.as_uri())
        return
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run([opener, str(folder)], timeout=5, capture_output=True, check=False)


@router.get("/p/{project}/runs/{id_}/losses")
def losses(request: Request, project: str, id_: str) -> dict[str, Any]:
    return state.losses(studio_of(request).project(project).item("runs", id_))


# --- live ---------------------------------------------------------------------------------------


@router.post("/p/{project}/live")
async def begin_live(request: Request, project: str) -> dict[str, Any]:
    """Starts the server of a run; an earlier one is stopped."""
    studio, given = studio_of(request), await given_in(request)
    library = studio.project(project)
    port = live.free_port()

    def ask() -> Job:
        for job in library.jobs():
            if job.verb == "serve" and not job.is_over:
                book.ask_to_stop(job)
        words = words_of(request)
        with labelled(words, studio.desk, "serve"):
            values = {"run": [str(given.get("run", ""))], "port": str(port)}
            job, _ = studio.desk.ask(library, "serve", values, what=doing(words, "serve"))
        queue.ensure(studio.base)
        return job

    job = await asyncio.to_thread(ask)
    return {"job": job.number}


@router.get("/p/{project}/live/{number}")
async def live_ready(request: Request, project: str, number: str) -> dict[str, Any]:
    studio = studio_of(request)
    job = _job(studio.project(project), number)
    ready = job.state == "running" and await live.is_ready(_port(job))
    said = failure(studio.watch.row(job), words_of(request), studio.desk)
    return {"state": job.state, "ready": ready, "error": said}


@router.websocket("/p/{project}/live/{number}/frames")
async def frames(page: WebSocket, project: str, number: str) -> None:
    studio: Studio = page.app.state.studio
    try:
        job = _job(studio.project(project), number)
        port = _port(job)
    except UserError as error:
        await page.accept()
        await page.send_text(json.dumps({"error": worded(error.marked)}))
        await page.close()
        return
    await live.relayed(page, port)


def _port(job: Job) -> int:
    """Of the run's server. Raises UserError for a job that is none."""
    if job.verb != "serve" or job.is_over or "--port" not in job.words:
        raise UserError("The live view has ended; start it again.")
    return int(job.words[job.words.index("--port") + 1])
