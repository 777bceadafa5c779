"""The live view: frames of the browser's camera to a server of the run (motion-jax serve, a job of
its own on this machine), and its pictures back.

The browser speaks to the studio alone, so that one port and one token are enough; the studio passes
the frames on. Each side waits for the other, so no queue of frames can form here.
"""

import asyncio
import contextlib
import json
import socket

import websockets
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection

# The largest picture of a camera, bytes.
MOST = 4_000_000


def free_port() -> int:
    """One of this machine that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def is_ready(port: int) -> bool:
    """Whether the run's server answers: it has loaded and compiled."""
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
                .encode()
            )  # fmt: skip
            answer = await reader.read(64)
            writer.close()
    except (OSError, TimeoutError):
        return False
    return b" 200 " in answer


async def relayed(page: WebSocket, port: int) -> None:
    """Passes messages on between a page and the run's server until one of them ends."""
    await page.accept()
    try:
        address = f"ws://127.0.0.1:{port}/v1/stream?format=jpeg"
        async with websockets.connect(
            address, max_size=MOST * 4, compression=None, proxy=None
        ) as server:
            there = asyncio.create_task(_to_server(page, server))
            back = asyncio.create_task(_to_page(page, server))
            _, left = await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
    except (OSError, websockets.WebSocketException):
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await page.send_text(json.dumps({"error": "The run's server is not there (any more)."}))
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        await page.close()


async def _to_server(page: WebSocket, server: ClientConnection) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError, websockets.ConnectionClosed):
        while True:
            data = await page.receive_bytes()
            if len(data) > MOST:
                return
            await server.send(data)


async def _to_page(page: WebSocket, server: ClientConnection) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError, websockets.ConnectionClosed):
        async for data in server:
            if isinstance(data, bytes):
                await page.send_bytes(data)
            else:
                await page.send_text(data)
