"""What lies on this machine, folder by folder, for who wants to take something of it in."""

import asyncio
import os
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request

from motion_jax.errors import UserError
from motion_jax.studio.web import studio_of

router = APIRouter()
# Of a folder, what is shown at the most; of a larger one the path is typed.
MOST = 1000


@router.get("/p/{project}/browse")
async def browse(request: Request, project: str, path: str = "~") -> dict[str, Any]:
    """Of a folder: {"path", "parent" ("" of the topmost one), "folders", "files"}, by name, without
    what is hidden. path: of a folder, or of something in it; with ~ for the home folder.

    Raises UserError for what is none or may not be read, and on a server for others.
    """
    studio = studio_of(request)
    studio.project(project)
    if not studio.desk.paths:
        raise UserError("Files of the server cannot be named here.")
    return await asyncio.to_thread(_listed, path.strip() or "~")


def _listed(path: str) -> dict[str, Any]:
    # Not resolved: who came by a link goes back by it.
    folder = Path(os.path.abspath(os.path.expanduser(path)))
    folders: list[str] = []
    files: list[str] = []
    try:
        if folder.is_file():
            folder = folder.parent
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    (folders if entry.is_dir() else files).append(entry.name)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no folder that can be read; choose another one.") from error
    return {
        "path": str(folder),
        "parent": "" if folder.parent == folder else str(folder.parent),
        "folders": sorted(folders, key=str.casefold)[:MOST],
        "files": sorted(files, key=str.casefold)[:MOST],
    }
