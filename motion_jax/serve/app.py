"""The HTTP and WebSocket routes of one port: our own /v1, RunwayML's local app and its hosted
models, Socket.IO."""

import asyncio
import contextlib
import json
import struct
import time
from collections.abc import AsyncIterator, Callable
from html import escape
from typing import Any

import numpy as np
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

from motion_jax import __version__
from motion_jax.report import html
from motion_jax.serve import pictures, runway
from motion_jax.serve.answers import read_json, refused
from motion_jax.serve.guard import App, Receive, Scope, Send
from motion_jax.serve.pictures import FORMATS, Refused, refusing
from motion_jax.serve.service import Service
from motion_jax.transfer.fit import RunningFit
from motion_jax.transfer.resident import Resident, Seen

# Before a picture in the binary stream: the client's number of it and its time, little-endian
# uint64 and float64; both come back with the answer.
HEAD = struct.Struct("<Qd")
# Seconds after which a silent stream is closed.
SILENCE = 60.0
_BOUNDARY = "motion-jax-frame"


def make_app(service: Service) -> App:
    """All routes of the main port, without the guard."""
    app = FastAPI(
        title="motion-jax serve",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        description="Pictures of a trained person in the poses that clients send.",
    )
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _failed)
    _own_routes(app, service)
    runway.add_routes(app, service)
    sockets = runway.socket_io(service)
    app.router.routes += [
        Route("/socket.io/", sockets.polling, methods=["GET", "POST"]),
        WebSocketRoute("/socket.io/", sockets.websocket),
    ]
    return runway.with_hosted_paths(_counting(app, service))


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "registered for it"
    words = {404: "There is no such page.", 405: "Method not allowed."}
    return JSONResponse({"error": words.get(error.status_code, error.detail)}, error.status_code)


async def _failed(_: Request, error: Exception) -> Response:
    """The traceback goes to the server's log alone."""
    return JSONResponse({"error": "The server failed at this request; its log says how."}, 500)


# --- our own ------------------------------------------------------------------------------------


def _own_routes(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", summary="Whether the server lives")
    async def healthz() -> dict[str, Any]:
        return {"status": "ok", "runs": list(service.residents), "waiting": service.engine.depth}

    @app.get("/metrics", summary="Figures for Prometheus", response_class=Response)
    async def metrics() -> Response:
        return Response(service.figures.text(), media_type="text/plain; version=0.0.4")

    @app.post(
        "/v1/transfer",
        summary="A picture of the trained person",
        response_class=Response,
        openapi_extra=_TRANSFER,
    )
    async def transfer(request: Request) -> Response:
        try:
            return await _transferred(service, request)
        except Refused as error:
            return refused(error)

    @app.get(
        "/v1/stream.mjpg",
        summary="The pictures that are made, as motion JPEG (?run=NAME)",
        response_class=Response,
    )
    async def motion_jpeg(run: str | None = None) -> Response:
        try:
            name = None if run is None else service.resident(run).name
        except Refused as error:
            return refused(error)
        kind = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
        return StreamingResponse(_parts(service, name), media_type=kind)

    @app.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        await _streamed(service, socket)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return HTMLResponse(await asyncio.to_thread(_page, app.openapi()), headers=headers)


_FIELDS: dict[str, Any] = {
    "run": {"type": "string", "description": "Name of the run; without: the first."},
    "format": {"type": "string", "enum": list(FORMATS), "description": "Of the answer."},
    "fit": {
        "type": "string",
        "enum": ["none", "global", "limbs"],
        "description": "How keypoints are fitted to the target's body.",
    },
    "width": {"type": "integer", "description": "Of the picture that keypoints are pixels of."},
    "height": {"type": "integer", "description": "The same."},
}
_IMAGE = {"type": "string", "format": "binary"}
_TRANSFER: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "image": {"type": "string", "description": "A data URI or base64."},
                        "keypoints": {
                            "description": "137 or 25 triples (x, y, confidence) in pixels, or "
                            "OpenPose's object.",
                        },
                        **_FIELDS,
                    },
                }
            },
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"image": _IMAGE, **_FIELDS}}
            },
            **{kind: {"schema": _IMAGE} for kind in FORMATS.values()},
            "application/octet-stream": {"schema": _IMAGE},
        },
    },
    "responses": {
        "200": {
            "description": "To JSON: an object with the picture as a data URI; to others the "
            "picture itself (PNG, or what Accept or ?format= asks for).",
            "content": {
                "application/json": {
                    "schema": {"type": "object", "properties": {"image": {"type": "string"}}}
                },
                **{kind: {"schema": _IMAGE} for kind in FORMATS.values()},
            },
        },
        "400": {"description": "Not understood: {error: one sentence}; 413: too large."},
        "503": {"description": "Busy: ask again after Retry-After seconds."},
    },
}


async def _transferred(service: Service, request: Request) -> Response:
    """POST /v1/transfer in its three forms."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    fields: dict[str, Any] = dict(request.query_params)
    begun = time.monotonic()
    if kind == "application/json":
        fields |= await _object(request, service)
        picture, resident = await _of_fields(service, fields)
        form = _form(fields, "")
        text = await service.threaded(pictures.uri, picture, form, service.options.jpeg_quality)
        spent = round((time.monotonic() - begun) * 1000, 1)
        return JSONResponse({"image": text, "run": resident.name, "milliseconds": spent})
    if kind == "multipart/form-data":
        data = await _uploaded(request, fields)
    elif kind in FORMATS.values() or kind == "application/octet-stream":
        data = await request.body()
    else:
        raise Refused(
            "Send a picture as image/png, image/jpeg, image/webp, application/octet-stream, "
            "multipart/form-data (field image) or application/json.",
            415,
        )
    resident = service.resident(fields.get("run"))
    picture = await service.of_image(resident, lambda: pictures.decoded(data, service.limits))
    form = _form(fields, request.headers.get("accept", ""))
    body = await service.threaded(pictures.encoded, picture, form, service.options.jpeg_quality)
    return Response(body, media_type=FORMATS[form])


async def _object(request: Request, service: Service) -> dict[str, Any]:
    value = await read_json(request, round(service.options.max_megabytes * 1e6))
    if not isinstance(value, dict):
        raise Refused("The request is no JSON object; send {image: ...} or {keypoints: ...}.")
    return value


async def _of_fields(service: Service, fields: dict[str, Any]) -> tuple[np.ndarray, Resident]:
    name = fields.get("run")
    if name is not None and not isinstance(name, str):
        raise Refused('"run" is the name of a run.')
    resident = service.resident(name)
    if "image" in fields:
        text, limits = fields["image"], service.limits
        made = await service.of_image(resident, lambda: pictures.of_uri(text, limits))
        return made, resident
    seen = await asyncio.to_thread(_posed, service, resident, fields)
    return await service.made(resident, seen), resident


def _posed(service: Service, resident: Resident, fields: dict[str, Any]) -> Seen:
    value = fields.get("keypoints", fields if {"people", "poses"} & set(fields) else None)
    if value is None:
        raise Refused('The request has neither "image" nor "keypoints".')
    height, width = fields.get("height", resident.size[0]), fields.get("width", resident.size[1])
    if not all(isinstance(side, int) and 0 < side <= 16384 for side in (height, width)):
        raise Refused("width and height are whole numbers of pixels, up to 16384.")
    fit = fields.get("fit", "none")
    if fit not in ("none", "global", "limbs"):
        raise Refused("fit is none, global or limbs.")
    keypoints = pictures.keypoints_of(value, (height, width))
    with refusing():
        return service.posed(resident, keypoints, (height, width), fit)


async def _uploaded(request: Request, fields: dict[str, Any]) -> bytes:
    """The picture of a form; the other fields are added to `fields`."""
    try:
        async with request.form(max_files=1, max_fields=16) as form:
            fields |= {name: value for name, value in form.items() if isinstance(value, str)}
            image = form.get("image")
            if not isinstance(image, UploadFile):
                raise Refused("The form has no file in its field image.")
            return await image.read()
    except HTTPException as error:
        raise Refused("The form is damaged or has more than one file; send image alone.") from error


def _form(fields: dict[str, Any], accept: str) -> str:
    """The format of the answer: the one asked for, else PNG."""
    asked = fields.get("format")
    if asked is None:
        kinds = {kind: form for form, kind in FORMATS.items()}
        wanted = [part.partition(";")[0].strip() for part in accept.split(",")]
        return next((kinds[kind] for kind in wanted if kind in kinds), "png")
    if asked not in FORMATS:
        raise Refused("format is png, jpeg or webp.")
    return str(asked)


async def _parts(service: Service, name: str | None) -> AsyncIterator[bytes]:
    """Motion JPEG: the newest picture whenever the client has taken the one before."""
    newest: list[np.ndarray] = []
    there = asyncio.Event()

    def listen(run: str, picture: np.ndarray) -> None:
        if name in (None, run):
            newest[:] = [picture]
            there.set()

    service.listeners.add(listen)
    try:
        yield f"--{_BOUNDARY}\r\n".encode()
        while True:
            await there.wait()
            there.clear()
            data = await service.threaded(
                pictures.encoded, newest[0], "jpeg", service.options.jpeg_quality
            )
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            # With the boundary after it, so that a browser shows it at once.
            yield head.encode() + data + f"\r\n--{_BOUNDARY}\r\n".encode()
    finally:
        service.listeners.discard(listen)


class _Slot:
    """One place; a newer thing takes it."""

    def __init__(self) -> None:
        self._thing: Any = None
        self._there = asyncio.Event()

    def put(self, thing: Any) -> bool:
        """Whether another one had to go."""
        full = self._there.is_set()
        self._thing = thing
        self._there.set()
        return full

    async def take(self) -> Any:
        await self._there.wait()
        self._there.clear()
        return self._thing


async def _streamed(service: Service, socket: WebSocket) -> None:
    """The binary stream: pictures in, pictures out, each after the one before it."""
    query, engine = socket.query_params, service.engine
    loop, arrived, made = asyncio.get_running_loop(), _Slot(), _Slot()

    def keep(answer: Any) -> None:
        # A client that does not read gets the newest picture when it does.
        engine.dropped += made.put(answer)

    def done(mark: Any, picture: np.ndarray | None) -> None:
        loop.call_soon_threadsafe(keep, (mark, picture))

    try:
        resident, form = service.resident(query.get("run")), _form(dict(query), "")
        form = form if "format" in query else "jpeg"
        stream = engine.open(resident, done)
    except Refused as error:
        await socket.accept()
        await socket.send_json({"error": str(error)})
        await socket.close(1013 if error.status == 503 else 1008)
        return
    await socket.accept()
    began: dict[int, float] = {}

    async def shown() -> None:
        """Takes what arrived last to the engine."""
        fit: RunningFit | None = None
        while True:
            number, at, read = await arrived.take()
            try:
                image = await service.threaded(read)
                if isinstance(image, Seen):
                    seen: Seen | None = image
                else:
                    if fit is None and service.wants_person(resident):
                        fit = service.fit(resident, image.shape[:2])
                    with refusing():
                        seen = await service.threaded(service.seen, resident, image, fit, at)
            except Refused as error:
                await socket.send_json({"id": number, "error": str(error)})
                continue
            engine.put(stream, (number, at), at, seen)

    async def answered() -> None:
        while True:
            (number, at), picture = await made.take()
            if picture is None:
                await socket.send_json({"id": number, "error": "Nobody was seen yet."})
                continue
            service.tell(resident, picture)
            quality = service.options.jpeg_quality
            data = await service.threaded(pictures.encoded, picture, form, quality)
            await socket.send_bytes(HEAD.pack(number, at) + data)
            service.figures.answered("stream", 200, time.monotonic() - began.pop(number, 0.0))
            for old in [one for one in began if one < number]:
                del began[old]

    tasks = [asyncio.create_task(shown()), asyncio.create_task(answered())]
    try:
        while True:
            message = await asyncio.wait_for(socket.receive(), SILENCE)
            if message["type"] == "websocket.disconnect":
                break
            try:
                number, at, read = _frame(service, resident, message)
            except Refused as error:
                await socket.send_json({"error": str(error)})
                continue
            began[number] = time.monotonic()
            engine.dropped += arrived.put((number, at, read))
    except (TimeoutError, WebSocketDisconnect, RuntimeError):
        pass
    finally:
        engine.close(stream)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await socket.close()


def _frame(
    service: Service, resident: Resident, message: Any
) -> tuple[int, float, Callable[[], Any]]:
    """(number, time, what makes a picture or a Seen of it) of a message. Raises Refused."""
    data = message.get("bytes")
    if data is not None:
        if len(data) <= HEAD.size:
            raise Refused("A frame is 16 bytes (number, time) and then a picture.")
        number, at = HEAD.unpack_from(data)
        if not np.isfinite(at):
            raise Refused("The time of a frame is a number of seconds.")
        return number, at, lambda: pictures.decoded(data[HEAD.size :], service.limits)
    try:
        value = json.loads(message["text"])
        number, at = int(value["id"]), float(value["time"])
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise Refused(
            "A pose is a JSON object with id, time (seconds) and keypoints, people or poses."
        ) from error
    return number, at, lambda: _posed(service, resident, value)


def _page(schema: dict[str, Any]) -> str:
    """The routes for people; needs nothing from the network."""
    rows = [
        [escape(f"{verb.upper()} {path}"), escape(about.get("summary", ""))]
        for path, verbs in schema["paths"].items()
        for verb, about in verbs.items()
    ]
    rows.append(["WebSocket /v1/stream", "Pictures in, pictures out: 16 bytes, then a picture"])
    rows.append(["Socket.IO", "RunwayML's events query, data, info, error (Engine.IO 3 and 4)"])
    table = "".join(f"<tr><td><code>{a}</code></td><td>{b}</td></tr>" for a, b in rows)
    return html.page(
        "motion-jax serve",
        [
            html.paragraph(schema["info"]["description"]),
            f"<p>For programs: {html.link('openapi.json', 'openapi.json')}.</p>",
            f"<table>{table}</table>",
        ],
    )


def _counting(app: App, service: Service) -> App:
    """Counts answers and times them, until they begin."""

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if path != "/v1/transfer" and path not in runway.PATHS and not path.startswith("/v1/"):
            await app(scope, receive, send)
            return
        begun, protocol = time.monotonic(), "http" if path == "/v1/transfer" else "runway"

        async def noted(message: Any) -> None:
            if message["type"] == "http.response.start":
                spent = time.monotonic() - begun
                service.figures.answered(protocol, message["status"], spent)
            await send(message)

        await app(scope, receive, noted)

    return counted
