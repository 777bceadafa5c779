"""The routes of a model that was made with RunwayML's model SDK (0.6.1), which its app and its
plugins ask; and the hub that the plugins ask first.

As there: any content type counts as JSON. Not as there: nothing is fetched or unpacked, no
traceback leaves the server, a cancelled job stops, and a missing input is an error of the client.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from motion_jax.serve import pictures
from motion_jax.serve.answers import read_json
from motion_jax.serve.pictures import Refused
from motion_jax.serve.schema import inputs, outputs
from motion_jax.serve.service import Service

SDK = "0.6.1"
SILENCE = 600.0
# Jobs of one WebSocket at a time.
MOST_JOBS = 16


class Sdk:
    """The commands: --command for the first run, and each run by its name."""

    def __init__(self, service: Service, gpu: bool):
        self._service, self._gpu = service, gpu
        self._begun = time.monotonic()
        self._last: float | None = None
        first = service.resident(None).name
        self._runs = {service.options.command: first} | {name: name for name in service.residents}

    def app(self) -> Starlette:
        app = Starlette(
            routes=[
                Route("/", self._meta),
                Route("/meta", self._meta),
                Route("/healthcheck", self._health),
                Route("/setup", self._setup, methods=["GET", "POST"]),
                Route("/{command}", self._command, methods=["GET", "POST"]),
                WebSocketRoute("/", self._socket),
            ],
            exception_handlers={404: self._missing, 405: self._method, Exception: self._failed},
        )
        app.router.redirect_slashes = False
        return app

    def commands(self) -> list[dict[str, Any]]:
        return [self._schema(name) for name in self._runs]

    def _schema(self, command: str) -> dict[str, Any]:
        resident, options = self._service.resident(self._runs[command]), self._service.options
        return {
            "name": command,
            "description": f"{resident.name} in the pose of the picture",
            "inputs": inputs(options.input_key, resident),
            "outputs": outputs(options.output_key, resident),
        }

    async def _meta(self, _: Request) -> Response:
        now = time.monotonic()
        return JSONResponse(
            {
                "modelSDKVersion": SDK,
                "millisRunning": round((now - self._begun) * 1000),
                "millisSinceLastCommand": None
                if self._last is None
                else round((now - self._last) * 1000),
                "GPU": self._gpu,
                "options": [],
                "commands": self.commands(),
                "droppedFrames": self._service.engine.dropped,
            }
        )

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"status": "RUNNING"})

    async def _setup(self, request: Request) -> Response:
        if request.method == "GET":
            return JSONResponse([])
        try:
            await self._read(request)
        except Refused as error:
            return JSONResponse({"error": str(error)}, error.status)
        return JSONResponse({"success": True})  # There are no options to set up again.

    async def _command(self, request: Request) -> Response:
        name, begun = request.path_params["command"], time.monotonic()
        if name not in self._runs:
            return self._unknown(name)
        if request.method == "GET":
            return JSONResponse(self._schema(name))
        status, headers = 200, {}
        try:
            form = _form(request.headers.get("x-runway-output-format", ""), self._service)
            answer = await self._answer(name, await self._read(request), form)
        except Refused as error:
            status, answer = error.status, {"error": str(error)}
            if error.retry is not None:
                headers["Retry-After"] = str(error.retry)
        finally:
            self._service.figures.answered("sdk", status, time.monotonic() - begun)
        return JSONResponse(answer, status, headers)

    async def _read(self, request: Request) -> Any:
        return await read_json(request, round(self._service.options.max_megabytes * 1e6))

    async def _answer(self, command: str, values: Any, form: str) -> dict[str, Any]:
        """The outputs by name. Raises Refused."""
        service, key = self._service, self._service.options.input_key
        if not isinstance(values, dict) or key not in values:
            raise Refused(f"Missing input: {key}.")
        self._last = time.monotonic()
        resident, limits = service.resident(self._runs[command]), service.limits
        try:
            picture = await service.of_image(resident, lambda: pictures.of_uri(values[key], limits))
        except Refused as error:
            if error.status != 400:
                raise
            raise Refused(f"Invalid argument: {key}. {error}") from error
        quality = service.options.jpeg_quality
        text = await service.threaded(pictures.uri, picture, form, quality)
        return {service.options.output_key: text}

    def _unknown(self, name: str) -> Response:
        return JSONResponse({"error": f"Unknown command: {name[:60]}.", "traceback": []}, 404)

    async def _missing(self, request: Request, _: Exception) -> Response:
        return self._unknown(request.scope["path"].strip("/"))

    async def _method(self, _: Request, error: Exception) -> Response:
        return JSONResponse({"error": "Method not allowed."}, 405)

    async def _failed(self, _: Request, error: Exception) -> Response:
        return JSONResponse({"error": "Internal server error."}, 500)

    # --- WebSocket -----------------------------------------------------------------------------

    async def _socket(self, socket: WebSocket) -> None:
        await socket.accept()
        jobs: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                message = await asyncio.wait_for(socket.receive_json(), SILENCE)
                await self._message(socket, message, jobs)
        except (WebSocketDisconnect, TimeoutError, ValueError, KeyError, RuntimeError):
            pass  # Gone, silent, or no JSON.
        finally:
            for job in jobs.values():
                job.cancel()
            await asyncio.gather(*jobs.values(), return_exceptions=True)
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await socket.close()

    async def _message(
        self, socket: WebSocket, message: Any, jobs: dict[str, asyncio.Task[None]]
    ) -> None:
        if not isinstance(message, dict):
            return
        job = str(message.get("id", f"job-{len(jobs)}"))[:100]
        if message.get("type") == "cancel":
            if job in jobs:
                jobs[job].cancel()
        elif message.get("type") == "submit":
            if job in jobs or len(jobs) >= MOST_JOBS:
                return  # As in the SDK: a job of the same name is running.
            task = asyncio.create_task(self._job(socket, job, message))
            jobs[job] = task
            task.add_done_callback(lambda _: jobs.pop(job, None))

    async def _job(self, socket: WebSocket, job: str, message: dict[str, Any]) -> None:
        begun = time.monotonic()

        async def tell(kind: str, **more: Any) -> None:
            spent = round((time.monotonic() - begun) * 1000)
            await socket.send_json({"type": kind, "id": job, "timeElapsed": spent, **more})

        command = str(message.get("command"))
        try:
            await tell("started")
            if command not in self._runs:
                raise Refused(f"Unknown command: {command[:60]}.", 404)
            data = message.get("inputData")
            answer = await self._answer(command, data, _form("", self._service))
            await tell("output", outputData=answer)
            await tell("succeeded", outputData=answer)
        except Refused as error:
            await tell("failed", error=str(error))
        except asyncio.CancelledError:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await tell("cancelled")
            raise


def _form(header: str, service: Service) -> str:
    """The format of X-Runway-Output-Format ("image=PNG;mask=JPEG") for our output. Raises
    Refused."""
    for part in filter(None, header.split(";")):
        name, _, form = part.partition("=")
        if name.strip() == service.options.output_key:
            if form.strip().lower() in pictures.FORMATS:
                return form.strip().lower()
            raise Refused("X-Runway-Output-Format is PNG, JPEG or WEBP here.")
    return "jpeg"


def hub(service: Service, sdk: Sdk, port: int) -> Starlette:
    """What the Unity and Photoshop plugins ask on port 5142: which models there are, and where they
    run. Ours always runs: one model, one session, whose address is the SDK's port."""
    name, begun = service.resident(None).name, round(time.time() * 1000)
    model = {
        "name": name,
        "type": "model",
        "description": f"motion-jax run {name}",
        "defaultVersionId": 1,
        "coverImage": "",
        "options": [],
        "commands": sdk.commands(),
        "inputs": sdk.commands()[0]["inputs"],
        "outputs": sdk.commands()[0]["outputs"],
    }
    session = {
        "id": "1",
        "createdAt": begun,
        "startedRunningAt": begun,
        "endedAt": None,
        "runningStatus": "RUNNING",
        "url": f"http://127.0.0.1:{port}",
        "persistent": True,
        "application": "motion-jax",
        "modelVersionId": 1,
        "providerOptions": {"runLocation": "Local", "runType": "CPU", "gpuIndex": None},
        "model": model,
    }

    def always(value: dict[str, Any]) -> Callable[[Request], Any]:
        async def answer(_: Request) -> Response:
            return JSONResponse(value)

        return answer

    one = {"modelSession": session, "id": session["id"]}

    async def sessions(request: Request) -> Response:
        return JSONResponse(one if request.method == "POST" else {"modelSessions": [session]})

    async def by_name(request: Request) -> Response:
        if request.path_params["name"] != session["id"]:
            return JSONResponse({"error": "There is no such session."}, 404)
        # The user's server goes on when a plugin lets go of it.
        return JSONResponse({"success": True} if request.method == "DELETE" else one)

    async def missing(_: Request, _error: Exception) -> Response:
        return JSONResponse({"error": "There is no such page."}, 404)

    app = Starlette(
        routes=[
            Route("/v1/healthcheck", always({"success": True})),
            Route("/v1/models", always({"models": [model]})),
            Route("/v1/model_sessions", sessions, methods=["GET", "POST"]),
            Route("/v1/model_sessions/stop_all", always({"success": True}), methods=["POST"]),
            Route("/v1/model_sessions/{name}", by_name, methods=["GET", "DELETE"]),
        ],
        exception_handlers={404: missing},
    )
    app.router.redirect_slashes = False
    return app
