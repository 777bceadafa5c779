"""What comes into a project: films and pictures over the network, things of this machine, drawn
dancers. Requests of the pages' script, JSON in, JSON out."""

import asyncio
import functools
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
from fastapi import APIRouter, Request
from fastapi.responses import Response

from motion_jax import puppet
from motion_jax.errors import UserError
from motion_jax.studio import bring as bringing
from motion_jax.studio import uploads
from motion_jax.studio.library import Item, Library
from motion_jax.studio.web import given_in, studio_of, words_of
from motion_jax.studio.words import Words

router = APIRouter()
# Of drawn dances: pictures a second, side in pixels, and the longest, seconds.
DANCE_FPS, DANCE_SIDE, DANCE_SECONDS = 25, 256, 120
# Side of a drawn dancer's picture in the choice, and the moment of a dance that it shows, seconds.
STILL_SIDE, STILL_AT = 224, 1


@router.post("/p/{project}/bring")
async def bring(request: Request, project: str) -> dict[str, Any]:
    """Takes things of this machine into the project: {"path", "how": "link" or "copy", "name"}.
    Films whose content is there already are asked about: see _about_twins."""
    studio, given = studio_of(request), await given_in(request)
    if not studio.desk.paths:
        raise UserError("Files of the server cannot be named here.")
    path = str(given.get("path", "")).strip()
    if not path:
        raise UserError("Give the path of a film, a dataset, a run or a folder.")
    library = studio.project(project)
    if library.folder in studio.copies:
        raise UserError("Something is being copied already; wait until that is done.")
    copying = studio.copies[library.folder] = bringing.Copying()
    words = words_of(request)
    try:
        twins = {}
        if given.get("twice") is not True:
            twins = await asyncio.to_thread(bringing.twins, library, Path(path))
        if twins and given.get("drop") is not True:
            return _about_twins(words, {film.name: item for film, item in twins.items()})
        brought = await asyncio.to_thread(
            bringing.bring,
            library,
            Path(path),
            copy=given.get("how") == "copy",
            name=given.get("name", ""),
            copying=copying,
            leave=twins,
        )
    except asyncio.CancelledError as error:
        # The studio ends, and its end would wait for the copy.
        copying.stopped = True
        raise UserError("The studio was ended.") from error
    finally:
        del studio.copies[library.folder]
    made, left_out = brought.items, brought.left_out
    go = made[0].ref if len(made) == 1 else ""
    whys = [words("bring.left_out.one", name=name, why=why) for name, why in left_out.items()]
    note = words("bring.left_out", count=len(made), all=" ".join(whys)) if whys else ""
    return {"items": [item.ref for item in made], "go": f"/p/{project}/{go}", "note": note}


def _about_twins(words: Words, twins: Mapping[str, Item]) -> dict[str, Any]:
    """A question: films, by their names, whose content is there already, may be taken once more
    (the same request with "twice") or left out ("drop")."""
    told = [words("twin.one", name=name, item=item.name) for name, item in twins.items()]
    return {"ask": " ".join(told), "yes": words("twin.yes"), "no": words("twin.no")}


@router.get("/p/{project}/bring")
def brought(request: Request, project: str) -> dict[str, Any]:
    """How far the copy is that is being made just now: {"text", "share"}; "share" is null where
    there is none."""
    studio = studio_of(request)
    copying = studio.copies.get(studio.project(project).folder)
    if copying is None or not copying.total:
        return {"text": "", "share": None}
    words = words_of(request)
    done, total = words.size(copying.done), words.size(copying.total)
    text = words("bring.copied", done=done, total=total)
    return {"text": text, "share": min(copying.done / copying.total, 1.0)}


@router.post("/p/{project}/uploads")
async def begin_upload(request: Request, project: str) -> dict[str, Any]:
    studio, given = studio_of(request), await given_in(request)
    size = given.get("size")
    await asyncio.to_thread(studio.check_room, size if isinstance(size, int) else 0)
    upload = await asyncio.to_thread(
        uploads.begin,
        studio.project(project),
        given.get("name", ""),
        given.get("size"),
        given.get("changed"),
        studio.most,
    )
    return {"upload": upload.folder.name, "received": upload.received}


@router.put("/p/{project}/uploads/{key}")
async def receive(request: Request, project: str, key: str, offset: int) -> dict[str, Any]:
    upload = uploads.find(studio_of(request).project(project), key)
    return {"received": await uploads.receive(upload, offset, request.stream())}


@router.post("/p/{project}/uploads/{key}/finish")
async def finish(request: Request, project: str, key: str) -> dict[str, Any]:
    given = await given_in(request)
    library = studio_of(request).project(project)
    upload = uploads.find(library, key)
    if given.get("twice") is not True and upload.received == upload.size:
        twin = await asyncio.to_thread(uploads.twin, library, upload.data)
        if twin is not None and given.get("drop") is True:
            uploads.drop(upload)
            return {"item": twin.ref, "go": f"/p/{project}/{twin.ref}"}
        if twin is not None:
            return _about_twins(words_of(request), {upload.name: twin})
    item = await asyncio.to_thread(uploads.finish, library, upload, given.get("name", ""))
    return {"item": item.ref, "go": f"/p/{project}/{item.ref}"}


@router.post("/p/{project}/dancer")
async def dancer(request: Request, project: str) -> dict[str, Any]:
    """A drawn dancer's film: {"who", "seconds", "dance"}."""
    given = await given_in(request)
    library = studio_of(request).project(project)
    who, seconds, dance = given.get("who"), given.get("seconds"), given.get("dance")
    if who not in puppet.CHARACTERS:
        raise UserError("There is no such dancer.")
    if not isinstance(seconds, int) or not 1 <= seconds <= DANCE_SECONDS:
        raise UserError(f"A drawn dance has 1 to {DANCE_SECONDS} seconds.")
    if not isinstance(dance, int) or not 0 <= dance < 2**31:
        raise UserError("A dance has a number, from 0.")
    item = await asyncio.to_thread(_draw, library, str(who), seconds, dance)
    return {"item": item.ref, "go": f"/p/{project}/{item.ref}"}


@router.get("/p/{project}/dancers/{who}.png")
async def dancer_still(request: Request, project: str, who: str) -> Response:
    """What a drawn dancer looks like."""
    studio_of(request).project(project)
    if who not in puppet.CHARACTERS:
        raise UserError("There is no such dancer.")
    data = await asyncio.to_thread(_still, who)
    return Response(data, media_type="image/png", headers={"cache-control": "max-age=86400"})


@functools.cache
def _still(who: str) -> bytes:
    motion = puppet.dance(STILL_AT * DANCE_FPS + 1, DANCE_FPS, 1)
    drawn = puppet.draw(puppet.CHARACTERS[who], motion, STILL_SIDE, STILL_SIDE)[-1]
    data: bytes = cv2.imencode(".png", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))[1].tobytes()
    return data


def _draw(library: Library, who: str, seconds: int, dance: int) -> Item:
    """The film is there when it is whole: pages list films by their length."""
    motion = puppet.dance(seconds * DANCE_FPS, DANCE_FPS, dance)
    with tempfile.TemporaryDirectory(dir=library.folder, prefix=".drawing-") as folder:
        film, _ = puppet.make_video(
            Path(folder), puppet.CHARACTERS[who], motion, DANCE_SIDE, DANCE_SIDE
        )
        facts = {"drawn": True, **uploads.examined(film), "file": film.name}
        item = library.new("films", f"{who.capitalize()} {dance}", facts=facts)
        item.path.mkdir(exist_ok=True)
        for made in Path(folder).iterdir():
            shutil.move(made, item.path / made.name)
    item = uploads.name_as_called(library, item)
    uploads.write_still(item)
    return library.save(item)


@router.post("/p/{project}/guide")
async def guide(request: Request, project: str) -> dict[str, Any]:
    """How somebody before a camera stands, from its picture (a JPEG)."""
    studio = studio_of(request)
    studio.project(project)
    return {"hint": await asyncio.to_thread(studio.guide.look, await request.body())}
