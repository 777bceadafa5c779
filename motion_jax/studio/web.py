"""What every route of the studio needs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from motion_jax import __version__
from motion_jax.errors import UserError
from motion_jax.studio import again
from motion_jax.studio import library as libraries
from motion_jax.studio.accounts import Accounts, current
from motion_jax.studio.actions import Desk
from motion_jax.studio.bring import Copying
from motion_jax.studio.guide import Guide
from motion_jax.studio.labels import failure, line, onwards
from motion_jax.studio.library import Library
from motion_jax.studio.state import Watch, version_of
from motion_jax.studio.words import FIRST, Words, languages, texts, wanted

HERE = Path(__file__).parent
LANGUAGE = "motion_jax_language"


@dataclass
class Studio:
    """What the routes share.

    Attributes:
      base: folder of all. desk: takes requests. most: bytes of a film. accounts: where there are.
      watch: follows jobs. guide: looks at who stands before a camera.
      copies: by a project's folder, the copy into it that is being made.
    """

    base: Path
    desk: Desk
    most: float
    accounts: Accounts | None = None
    watch: Watch = field(default_factory=Watch)
    guide: Guide = field(default_factory=Guide)
    copies: dict[Path, Copying] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    @property
    def root(self) -> Path:
        """Folder of the projects that this request may see."""
        return self.base if self.accounts is None else self.base / current.get()

    def check_room(self, more: int = 0) -> None:
        """Raises UserError where a quota would be passed. more: bytes to come."""
        if self.accounts is not None:
            self.accounts.check_room(more)

    def project(self, id_: str) -> Library:
        """Raises UserError where there is none."""
        return libraries.open_project(self.root, id_)

    def again(
        self, request: Request, library: Library, number: str, verb: str
    ) -> again.Again | None:
        """What a form is filled with for a second try; None: nothing."""
        words = words_of(request)
        return again.asked_again(library, self.watch, words, self.desk, number, verb)

    def page(self, request: Request, name: str, **values: Any) -> HTMLResponse:
        """A template as an answer."""
        words = words_of(request)
        template = self._templates.get_template(name)
        library = values.get("library")
        # Before anything is shown: what changes meanwhile is fetched anew.
        state = "" if library is None else version_of(library)
        shown = template.render(
            t=words,
            languages=languages(),
            version=__version__,
            local=self.desk.paths,
            path=request.scope["path"],
            user=current.get(),
            script=script_words(words),
            state=state,
            failure=lambda row: failure(row, words, self.desk),
            said=lambda row: line(row, words, self.desk),
            onwards=lambda row: onwards(row, words, library),
            **values,
        )
        return HTMLResponse(shown)


def words_of(request: Request) -> Words:
    cookie = request.cookies.get(LANGUAGE, "")
    return Words(wanted(cookie, request.headers.get("accept-language", "")))


async def given_in(request: Request) -> dict[str, Any]:
    """The JSON object of a request. Raises UserError where it is none."""
    try:
        value = json.loads(await request.body() or b"{}")
    except (ValueError, RecursionError) as error:
        raise UserError("The request is no JSON.") from error
    if not isinstance(value, dict):
        raise UserError("The request is no JSON object.")
    return value


def script_words(words: Words) -> Mapping[str, str]:
    """The texts that the script shows."""
    return {key[3:]: words(key) for key in texts(FIRST) if key.startswith("js.")}


def is_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def refused(request: Request, studio: Studio, why: str, status: int) -> Response:
    """An error as a page for people, and as JSON for the script."""
    why = words_of(request).said(why)
    if not is_page(request):
        return JSONResponse({"error": why}, status)
    shown = studio.page(request, "error.html", why=why, library=_library_of(request, studio))
    shown.status_code = status
    return shown


def _library_of(request: Request, studio: Studio) -> Library | None:
    """Of the project that the address names, so that one finds the way back to it."""
    id_ = str(request.path_params.get("project", ""))
    return next((one for one in libraries.projects(studio.root) if one.id == id_), None)


def studio_of(request: Request) -> Studio:
    found: Studio = request.app.state.studio
    return found
