"""The studio's web application, put together."""

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from motion_jax.errors import UserError, worded
from motion_jax.studio import api, browse, intake, media, pages, ways
from motion_jax.studio.web import HERE, Studio, is_page, refused, words_of


def make_app(studio: Studio) -> FastAPI:
    """All routes, without the guard."""
    app = FastAPI(
        title="motion-jax studio",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.studio = studio

    async def wrong(request: Request, error: Exception) -> Response:
        assert isinstance(error, UserError), "registered for it"
        return refused(request, studio, worded(error.marked), 404 if is_page(request) else 400)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException), "registered for it"
        return refused(request, studio, words_of(request)("error.page"), error.status_code)

    async def failed(request: Request, error: Exception) -> Response:
        # The traceback goes to the studio's terminal alone.
        return refused(request, studio, words_of(request)("error.failed"), 500)

    app.add_exception_handler(UserError, wrong)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, failed)
    app.mount("/static", StaticFiles(directory=HERE / "static"))

    @app.get("/favicon.ico")
    async def icon() -> Response:
        return RedirectResponse("/static/icon.svg")

    # The pages of things have the most general paths, so they come last.
    app.include_router(api.router)
    app.include_router(intake.router)
    app.include_router(browse.router)
    app.include_router(media.router)
    app.include_router(ways.router)
    app.include_router(pages.router)
    return app
