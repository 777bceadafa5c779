"""RunwayML's OSC: JSON in one string argument, by UDP, on this machine alone.

UDP carries 65,507 bytes, so that only small pictures fit; for others there is HTTP.
"""

import asyncio
import json
import time
from typing import Any, cast

from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.osc_packet import OscPacket, ParseError

from motion_jax.serve.pictures import Refused
from motion_jax.serve.service import Service

MOST = 65507
# Seconds after which a client to which nothing can be sent is forgotten.
PATIENCE = 60.0
MOST_CLIENTS = 32

Address = tuple[Any, ...]


class Osc(asyncio.DatagramProtocol):
    """Messages /server/connect, /server/disconnect and /query in; /data and /error out, to every
    client that connected, at its address and `port`."""

    def __init__(self, service: Service, port: int, http_port: int):
        self._service, self._port, self._http = service, port, http_port
        self._clients: dict[str, float | None] = {}  # since when sending to it fails
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: Address) -> None:
        try:
            messages = [timed.message for timed in OscPacket(data).messages]
        except (ParseError, ValueError, IndexError, RecursionError):
            return  # Nobody knows who sent what.
        if address[0] in self._clients:
            self._clients[address[0]] = None  # It lives.
        for message in messages[:16]:
            if message.address == "/server/connect" and len(self._clients) < MOST_CLIENTS:
                self._clients[address[0]] = None
            elif message.address == "/server/disconnect":
                self._clients.pop(address[0], None)
            elif message.address == "/query":
                text = message.params[0] if len(message.params) == 1 else None
                task = asyncio.create_task(self._query(text, address[0]))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def error_received(self, error: Exception) -> None:
        """A client's port is closed."""
        now = time.monotonic()
        for client, since in list(self._clients.items()):
            if since is None:
                self._clients[client] = now
            elif now - since > PATIENCE:
                del self._clients[client]

    async def _query(self, text: Any, sender: str) -> None:
        begun, status = time.monotonic(), 200
        try:
            if not isinstance(text, str):
                raise Refused("/query has one string, a JSON object.")
            try:
                value = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise Refused("/query holds no JSON object.") from error
            self._send("/data", await self._service.query(value), sender)
        except Refused as error:
            status = error.status
            self._send("/error", {"error": str(error)}, sender)
        finally:
            self._service.figures.answered("osc", status, time.monotonic() - begun)

    def _send(self, address: str, value: dict[str, Any], sender: str) -> None:
        datagram = _message(address, value)
        if len(datagram) > MOST:
            datagram = _message(
                "/error",
                {
                    "error": f"answer of {len(datagram)} bytes does not fit OSC; use HTTP port "
                    f"{self._http}"
                },
            )
        for client in self._clients or {sender: None}:
            self._transport.sendto(datagram, (client, self._port))


def _message(address: str, value: dict[str, Any]) -> bytes:
    builder = OscMessageBuilder(address)
    builder.add_arg(json.dumps(value), OscMessageBuilder.ARG_TYPE_STRING)
    return builder.build().dgram
