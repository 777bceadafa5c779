"""The live picture in a browser: a page, motion JPEG for programs such as OBS, and a WebSocket on
which a picture is sent when the one before has come, so that none waits."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable
from html import escape
from typing import Any

import cv2
import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from motion_jax.live.outputs import Picture
from motion_jax.serve.guard import Guard, Rules

# Before each JPEG on the WebSocket: the frame's number, and milliseconds on the camera's clock.
HEAD = struct.Struct("<Qd")
QUALITY = 85
_BOUNDARY = "motion-jax-frame"
_CONTENT = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>motion-jax live</title>
<link rel="icon" href="data:,">
<style>body{margin:0;background:#181818;color:#ddd;font:14px system-ui,sans-serif;text-align:center}
img{max-width:100%;height:calc(100vh - 5em);object-fit:contain}button{margin:.2em}</style></head>
<body><img id="picture" alt="the live picture"><p id="figures">waiting for the first picture</p>
<p><button data-key="x">measure the person anew</button> KEYS</p>
<script>
const img = document.getElementById('picture'), text = document.getElementById('figures');
let url = null;
function open_() {
  const ws = new WebSocket(location.href.replace(/^http/, 'ws').replace(/[^/]*$/, '') + 'stream');
  ws.binaryType = 'arraybuffer';
  ws.onmessage = e => {
    const next = URL.createObjectURL(new Blob([e.data.slice(16)], {type: 'image/jpeg'}));
    img.onload = () => { if (url) URL.revokeObjectURL(url); url = next; ws.send('ok'); };
    img.src = next;
  };
  ws.onclose = () => setTimeout(open_, 1000);
}
open_();
setInterval(async () => {
  try { text.textContent = (await (await fetch('stats')).json()).line; } catch (e) {}
}, 1000);
for (const b of document.querySelectorAll('button'))
  b.onclick = () => fetch('key/' + b.dataset.key, {method: 'POST'});
</script></body></html>"""


class Page:
    """A server in a thread of its own; an output's sink.

    Args:
      listening: a bound socket; stats: gives the figures, with a "line"; press: is told keys;
      names: of the runs.
    """

    def __init__(
        self,
        listening: socket.socket,
        stats: Callable[[], dict[str, Any]],
        press: Callable[[str], None],
        names: list[str],
    ):
        self.port = int(listening.getsockname()[1])
        self._socket, self._stats, self._press, self._names = listening, stats, press, names
        self._watchers: set[Watcher] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: uvicorn.Server | None = None
        # Clients that come before the server is ready wait for it.
        listening.listen()
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self._thread.start()
        self._begun.wait(10)

    def show(self, picture: Picture) -> None:
        if not self._watchers or self._loop is None:
            return
        image = cv2.cvtColor(np.ascontiguousarray(picture.image[..., :3]), cv2.COLOR_RGB2BGR)
        done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        assert done, "OpenCV writes JPEG"
        with contextlib.suppress(RuntimeError):  # The loop has ended.
            self._loop.call_soon_threadsafe(self._tell, picture, data.tobytes())

    def close(self) -> None:
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join(5)
        self._socket.close()

    def _tell(self, picture: Picture, data: bytes) -> None:
        for watcher in self._watchers:
            watcher.put(picture, data)

    def _run(self) -> None:
        app = Starlette(
            routes=[
                Route("/", self._html),
                Route("/stats", self._figures),
                Route("/key/{key}", self._key, methods=["POST"]),
                Route("/stream.mjpg", self._motion_jpeg),
                WebSocketRoute("/stream", self._stream),
            ]
        )
        config = uvicorn.Config(
            Guard(app, Rules()),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=1,
        )
        self._server = _Quiet(config)
        asyncio.run(self._served())

    async def _served(self) -> None:
        assert self._server is not None, "made before"
        self._loop = asyncio.get_running_loop()
        self._begun.set()
        await self._server.serve(sockets=[self._socket])

    # --- routes --------------------------------------------------------------------------------

    async def _html(self, _: Request) -> Response:
        keys = " ".join(
            f'<button data-key="{i}">{i} {escape(name)}</button>'
            for i, name in enumerate(self._names[:9], 1)
        )
        page = _PAGE.replace("KEYS", keys if len(self._names) > 1 else "")
        allowed = _CONTENT + "img-src 'self' blob: data:; connect-src 'self' ws:"
        return HTMLResponse(page, headers={"Content-Security-Policy": allowed})

    async def _figures(self, _: Request) -> Response:
        return JSONResponse(self._stats())

    async def _key(self, request: Request) -> Response:
        self._press(request.path_params["key"])
        return JSONResponse({})

    async def _motion_jpeg(self, _: Request) -> Response:
        kind = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
        return StreamingResponse(self._parts(), media_type=kind)

    async def _parts(self) -> AsyncIterator[bytes]:
        with self._watching() as watcher:
            yield f"--{_BOUNDARY}\r\n".encode()
            while True:
                _, data = await watcher.take()
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                yield head.encode() + data + f"\r\n--{_BOUNDARY}\r\n".encode()

    async def _stream(self, ws: WebSocket) -> None:
        await ws.accept()
        with self._watching() as watcher, contextlib.suppress(WebSocketDisconnect, RuntimeError):
            while True:
                picture, data = await watcher.take()
                await ws.send_bytes(HEAD.pack(picture.number, picture.time * 1000) + data)
                await ws.receive_text()

    @contextlib.contextmanager
    def _watching(self) -> Any:
        watcher = Watcher()
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)


class _Quiet(uvicorn.Server):
    """Leaves signals to the command."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


class Watcher:
    """One client: the newest picture waits for it."""

    def __init__(self) -> None:
        self._newest: tuple[Picture, bytes] | None = None
        self._there = asyncio.Event()

    def put(self, picture: Picture, data: bytes) -> None:
        self._newest = picture, data
        self._there.set()

    async def take(self) -> tuple[Picture, bytes]:
        await self._there.wait()
        self._there.clear()
        assert self._newest is not None, "set before"
        return self._newest
