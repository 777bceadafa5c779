"""Files of a project, each by what it is; no route takes a path."""

import asyncio
import re
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response

from motion_jax.errors import UserError
from motion_jax.pose.skeleton import INDEX
from motion_jax.studio import uploads
from motion_jax.studio.library import Item
from motion_jax.studio.web import studio_of

router = APIRouter(prefix="/p/{project}")
# Reports have their styles inside, and no script; in a frame of their own they can do nothing else.
REPORT = (
    "sandbox allow-same-origin allow-popups; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data: 'self'; media-src data: 'self'; frame-ancestors 'self'"
)
_KEEP = {"cache-control": "private, max-age=3600"}


@router.get("/films/{id_}/film")
def film(request: Request, project: str, id_: str) -> Response:
    item = studio_of(request).project(project).item("films", id_)
    return _file(item, item.path / str(item.facts["file"]))


@router.get("/films/{id_}/still")
def still(request: Request, project: str, id_: str, time: float | None = None) -> Response:
    """The film's picture, or the frame at a time."""
    item = studio_of(request).project(project).item("films", id_)
    if time is None:
        return _file(item, item.path / uploads.STILL, keep=True)
    return Response(uploads.still(item, time), media_type="image/jpeg", headers=_KEEP)


@router.get("/films/{id_}/strip")
def strip(request: Request, project: str, id_: str) -> Response:
    """Small pictures of its whole length side by side."""
    item = studio_of(request).project(project).item("films", id_)
    if not (item.path / uploads.STRIP).is_file():
        uploads.write_strip(item)
    return _file(item, item.path / uploads.STRIP, keep=True)


@router.get("/films/{id_}/people")
def people(request: Request, project: str, id_: str, time: float = 0.0) -> dict[str, Any]:
    """Who is in the frame at a time: {"time", "people": null or [{"box", "at"}]}; a box (left, top,
    right, bottom) in shares of the picture, "at" as --at takes it. Also the "width" and "height" of
    the picture, in pixels."""
    studio = studio_of(request)
    item = studio.project(project).item("films", id_)
    frame = uploads.frame_at(item, time)
    height, width = frame.image.shape[:2]
    poses = studio.guide.everybody(frame.image)
    found = None if poses is None else [_shown(pose, frame.time, width, height) for pose in poses]
    return {"time": frame.time, "width": width, "height": height, "people": found}


def _shown(pose: np.ndarray, time: float, width: int, height: int) -> dict[str, Any]:
    points = pose[pose[:, 2] > 0, :2]
    low, high = points.min(0), points.max(0)
    # Joints end before the body does: the head above the eyes, feet and hands.
    more = 0.08 * float((high - low).max())
    box = np.array([low[0] - more, low[1] - 2 * more, *(high + more)])
    box = np.clip(box, 0, [width, height] * 2)
    trunk = pose[[INDEX["neck"], INDEX["mid_hip"]]]
    trunk = trunk[trunk[:, 2] > 0, :2]
    x, y = trunk.mean(0) if len(trunk) else (low + high) / 2
    x, y = min(max(x, 0.0), width - 1), min(max(y, 0.0), height - 1)
    return {
        "box": [round(float(v), 4) for v in box / ([width, height] * 2)],
        "at": f"{time:.3f}s,{x:.0f},{y:.0f}",
    }


@router.get("/pictures/{id_}/still")
def picture(request: Request, project: str, id_: str) -> Response:
    item = studio_of(request).project(project).item("pictures", id_)
    return _file(item, item.path / uploads.STILL, keep=True)


@router.get("/runs/{id_}/samples/{step}.{kind}")
async def sample(request: Request, project: str, id_: str, step: int, kind: str) -> Response:
    item = studio_of(request).project(project).item("runs", id_)
    if kind not in ("png", "mp4"):
        raise UserError("There is no such file.")
    path = item.path / "samples" / f"step-{step:07d}.{kind}"
    return await asyncio.to_thread(_file, item, path, keep=True)


@router.get("/results/{id_}/film")
def result(request: Request, project: str, id_: str, download: bool = False) -> Response:
    item = studio_of(request).project(project).item("results", id_)
    return _file(item, item.path, as_file=f"{item.id}{item.path.suffix}" if download else "")


@router.get("/{kind}/{id_}/file/{name}")
def one_file(request: Request, project: str, kind: str, id_: str, name: str) -> Response:
    """A file that a verb wrote, to keep."""
    item = studio_of(request).project(project).item(kind, id_)
    if kind not in ("exports", "comparisons", "evaluations", "casts") or not is_named_safely(name):
        raise UserError("There is no such file.")
    return _file(item, item.path / name, as_file=name)


def is_named_safely(name: str) -> bool:
    """Whether a file's name can stand in an address: no path, and not hidden."""
    return re.fullmatch(r"[\w][\w.-]*", name) is not None


@router.get("/{kind}/{id_}/report/{name:path}")
def report(request: Request, project: str, kind: str, id_: str, name: str) -> Response:
    """A page that a verb wrote, and the pictures and films beside it."""
    item = studio_of(request).project(project).item(kind, id_)
    parts = (name or "index.html").split("/")
    if not all(is_named_safely(part) for part in parts):
        raise UserError("There is no such file.")
    # Of datasets and runs the page lies in a folder of its own.
    inside = item.path / "report" if kind in ("datasets", "runs") else item.path
    answer = _file(item, inside.joinpath(*parts))
    if parts[-1].endswith(".html"):
        answer.headers["content-security-policy"] = REPORT
    return answer


def _file(item: Item, path: Path, keep: bool = False, as_file: str = "") -> FileResponse:
    """Raises UserError for what is not there, and for links that lead out of the thing's place."""
    inside = item.path.resolve() if item.path.is_dir() else item.path.parent.resolve()
    real = path.resolve()
    own = real == item.path.resolve() or inside in real.parents or str(real) == item.linked
    if not real.is_file() or not own:
        raise UserError("There is no such file.")
    headers = dict(_KEEP) if keep else {"cache-control": "no-cache"}
    return FileResponse(real, headers=headers, filename=as_file or None)
