"""RunwayML's protocols on the main port: its local app over HTTP and Socket.IO, and its hosted
models."""

import re
import time
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from motion_jax.serve.answers import read_json, refused
from motion_jax.serve.guard import App, Receive, Scope, Send
from motion_jax.serve.pictures import Refused
from motion_jax.serve.schema import inputs, outputs
from motion_jax.serve.service import Service
from motion_jax.serve.socketio import Session, SocketIO

# The local app's routes.
PATHS = ("/", "/query", "/data", "/error", "/info")


def add_routes(app: FastAPI, service: Service) -> None:
    """The local app's and the hosted models'."""

    def info() -> dict[str, Any]:
        return {
            "inputs": inputs(service.options.input_key, service.resident(None)),
            "outputs": outputs(service.options.output_key, service.resident(None)),
        }

    async def query(request: Request) -> Response:
        try:
            value = await read_json(request, round(service.options.max_megabytes * 1e6))
            return JSONResponse(await service.query(value))
        except Refused as error:
            service.error = str(error)
            if service.options.errors == "last":
                return JSONResponse(service.last)
            return refused(error)

    async def data() -> JSONResponse:
        return JSONResponse(service.last)

    async def error() -> JSONResponse:
        return JSONResponse({"error": service.error})

    async def about() -> JSONResponse:
        return JSONResponse(info())

    @app.get("/", summary="Says that the server lives (RunwayML's clients want some text)")
    async def root() -> Response:
        return Response("motion-jax serve: see /docs\n", media_type="text/plain")

    for prefix, whose in (("", "RunwayML, local"), ("/v1", "RunwayML, hosted")):
        app.post(f"{prefix}/query", summary=f"{whose}: a picture of a picture")(query)
        app.get(f"{prefix}/data", summary=f"{whose}: the last answer")(data)
        app.get(f"{prefix}/error", summary=f"{whose}: the last error")(error)
        app.get(f"{prefix}/info", summary=f"{whose}: names and kinds")(about)

    async def hosted() -> dict[str, Any]:
        routes = {"queryRoute": "query", "dataRoute": "data", "errorRoute": "error"}
        return {"status": "running", **{name: f"/v1/{path}" for name, path in routes.items()}}

    app.get("/v1", summary="RunwayML, hosted: its state")(hosted)
    app.get("/v1/", include_in_schema=False)(hosted)


def socket_io(service: Service) -> SocketIO:
    """RunwayML's Socket.IO: `info` once after connecting; `query` in; `data` to every client, or
    `error`. And that of 2018: `update_request` and `update_response` in the namespace /query."""
    options = service.options

    def connected(session: Session, namespace: str) -> None:
        first = service.resident(None)
        shapes = {
            "inputs": inputs(options.input_key, first),
            "outputs": outputs(options.output_key, first),
        }
        session.emit("info", shapes, namespace)

    async def handle(session: Session, event: str, values: list[Any], namespace: str) -> None:
        begun, status, value = time.monotonic(), 200, values[0] if values else None
        try:
            if event == "query":
                sockets.broadcast("data", await service.query(value), namespace)
            elif event == "update_request":
                picture = value.get("data") if isinstance(value, dict) else None
                answer = await service.query({options.input_key: picture})
                session.emit("update_response", {"results": answer[options.output_key]}, namespace)
        except Refused as error:
            status = error.status
            session.emit("error", {"error": str(error)}, namespace)
        except Exception:
            status = 500
            session.emit("error", {"error": "The server failed at this query."}, namespace)
            raise
        finally:
            service.figures.answered("socket.io", status, time.monotonic() - begun)

    sockets = SocketIO(connected, handle, round(options.max_megabytes * 1e6))
    return sockets


_HOSTED = re.compile(r"^/.*\.runwayml\.cloud(/v1(?:/.*)?)$")


def with_hosted_paths(app: App) -> App:
    """RunwayML's client of hosted models wants "...runwayml.cloud/v1" in its address: any path that
    ends so is /v1."""

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and (found := _HOSTED.match(scope["path"])):
            scope = {**scope, "path": found[1], "raw_path": found[1].encode()}
        await app(scope, receive, send)

    return routed
