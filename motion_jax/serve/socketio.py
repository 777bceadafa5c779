"""Socket.IO as RunwayML's clients speak it: Engine.IO 3 (Socket.IO 1 and 2) and 4 (3 and 4), by
polling, by WebSocket, and from the one to the other.

No maintained library for Python speaks both. What is here is what those clients use: text packets,
events without acknowledgement or with one, namespaces. Protocols after the public descriptions
github.com/socketio/engine.io-protocol and socket.io-protocol.

    Engine.IO packet   type 0 open, 1 close, 2 ping, 3 pong, 4 message, 5 upgrade, 6 noop; its text
    Socket.IO message  type 0 connect, 1 disconnect, 2 event, 3 ack, 4 error; /namespace, ; id; JSON
"""

import asyncio
import contextlib
import json
import secrets
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.websockets import WebSocket, WebSocketDisconnect

# Seconds: between pings, and that an answer to one may take.
PING, PONG = 25.0, 20.0
MOST_SESSIONS = 64
MOST_PACKETS = 64  # in one polling request
# Packets that wait for a client that does not read; then it is closed.
MOST_WAITING = 32
# Between packets of one polling answer, from Engine.IO 4 on.
_BETWEEN = "\x1e"

# (event, its arguments, namespace) -> (event, argument) for everybody, or None.
Handler = Callable[["Session", str, list[Any], str], Coroutine[Any, Any, None]]


@dataclass(eq=False)
class Session:
    """One client.

    Attributes:
      sid: its name; version: of Engine.IO, 3 or 4; joined: its namespaces.
    """

    sid: str
    version: int
    joined: set[str] = field(default_factory=set)
    heard: float = field(default_factory=time.monotonic)
    by_websocket: bool = False
    closed: bool = False
    _waiting: deque[str] = field(default_factory=deque)
    _filled: asyncio.Event = field(default_factory=asyncio.Event)

    def send(self, packet: str) -> None:
        """An Engine.IO packet, as soon as the client takes it."""
        if len(self._waiting) >= MOST_WAITING:
            self.close()
        if not self.closed:
            self._waiting.append(packet)
            self._filled.set()

    def emit(self, event: str, value: Any, namespace: str = "/") -> None:
        """An event. JSON is ASCII: Engine.IO 3 counts in units of UTF-16."""
        self.send(f"42{_before(namespace)}{json.dumps([event, value])}")

    def close(self) -> None:
        self.closed = True
        self._filled.set()

    async def take(self, patience: float) -> list[str]:
        """What waits, at least one packet, or nothing after `patience` seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._filled.wait(), patience)
        packets = list(self._waiting)
        self._waiting.clear()
        if not self.closed:
            self._filled.clear()
        return packets


def _before(namespace: str) -> str:
    return "" if namespace == "/" else f"{namespace},"


class SocketIO:
    """The server's side.

    Args:
      connected: is told of each client that joined a namespace.
      handle: is told each event.
      most: characters of a request.
    """

    def __init__(
        self, connected: Callable[[Session, str], None], handle: Handler, most: int = 50_000_000
    ):
        self._connected, self._handle, self._most = connected, handle, most
        self.sessions: dict[str, Session] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def broadcast(self, event: str, value: Any, namespace: str = "/") -> None:
        """An event to every client of a namespace."""
        for session in list(self.sessions.values()):
            if namespace in session.joined:
                session.emit(event, value, namespace)

    # --- polling -------------------------------------------------------------------------------

    async def polling(self, request: Request) -> Response:
        """GET takes packets, POST brings some."""
        query = request.query_params
        if query.get("transport") != "polling":
            return _refused(0, "Transport unknown")
        sid = query.get("sid")
        if sid is None:
            if request.method != "GET":
                return _refused(2, "Bad handshake method")
            return self._opened(query.get("EIO", "3"))
        session = self._session(sid)
        if session is None:
            return _refused(1, "Session ID unknown")
        if request.method == "POST":
            return await self._brought(session, await request.body())
        packets = await self._polled(session)
        if session.closed:
            self._forget(session)
        return _text(_joined(packets, session.version))

    def _opened(self, version: str) -> Response:
        if version not in ("3", "4"):
            return _refused(5, "Unsupported protocol version")
        session = self._begin(int(version))
        if session is None:
            return JSONResponse({"error": "Too many clients."}, 503, {"Retry-After": "5"})
        packets = [_open_packet(session, ["websocket"])]
        if session.version == 3:
            self._join(session, "/")
            packets += list(session._waiting)
            session._waiting.clear()
            session._filled.clear()
        return _text(_joined(packets, session.version))

    async def _polled(self, session: Session) -> list[str]:
        packets = await session.take(PING)
        if not packets and not session.closed:
            # Engine.IO 3: the client pings; a poll that stays empty is answered all the same.
            packets = ["2"] if session.version == 4 else ["6"]
        return packets or ["6"]

    async def _brought(self, session: Session, body: bytes) -> Response:
        try:
            packets = _split(body.decode(), session.version)
        except ValueError:
            return _refused(3, "Bad request")
        if len(packets) > MOST_PACKETS:
            return _refused(3, "Bad request")
        for packet in packets:
            await self._received(session, packet)
        return _text("ok")

    # --- WebSocket -----------------------------------------------------------------------------

    async def websocket(self, socket: WebSocket) -> None:
        """A client that speaks by WebSocket at once, or goes over to it."""
        query = socket.query_params
        sid, version = query.get("sid"), query.get("EIO", "3")
        session = self._session(sid) if sid is not None else None
        if (sid is not None and session is None) or version not in ("3", "4"):
            await socket.close(1008)
            return
        upgrades = session is not None
        if session is None:
            session = self._begin(int(version))
            if session is None:
                await socket.close(1013)
                return
        await socket.accept()
        writer: asyncio.Task[None] | None = None
        try:
            if upgrades:
                if not await _upgraded(socket, session):
                    return
            else:
                await socket.send_text(_open_packet(session, []))
                if session.version == 3:
                    self._join(session, "/")
            session.by_websocket = True
            writer = asyncio.create_task(self._written(socket, session))
            while not session.closed:
                text = await asyncio.wait_for(socket.receive_text(), PING + PONG)
                if len(text) > self._most:
                    break
                await self._received(session, text)
        except (WebSocketDisconnect, TimeoutError, KeyError, RuntimeError):
            pass  # Gone, silent for too long, or binary where text was agreed.
        finally:
            if session.by_websocket or not upgrades:
                self._forget(session)
            if writer is not None:
                writer.cancel()
                await asyncio.gather(writer, return_exceptions=True)
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await socket.close()

    async def _written(self, socket: WebSocket, session: Session) -> None:
        while not session.closed:
            packets = await session.take(PING)
            if not packets and session.version == 4:
                packets = ["2"]
            for packet in packets:
                await socket.send_text(packet)

    # --- packets -------------------------------------------------------------------------------

    async def _received(self, session: Session, packet: str) -> None:
        session.heard = time.monotonic()
        kind, text = packet[:1], packet[1:]
        if kind == "2":
            session.send(f"3{text}")
        elif kind == "1":
            session.close()
        elif kind == "4":
            self._message(session, text)

    def _message(self, session: Session, text: str) -> None:
        kind, rest = text[:1], text[1:]
        namespace = "/"
        if rest.startswith("/"):
            namespace, _, rest = rest.partition(",")
            namespace = namespace.partition("?")[0]
        if kind == "0":
            self._join(session, namespace)
        elif kind == "1":
            session.joined.discard(namespace)
        elif kind == "2":
            digits = len(rest) - len(rest.lstrip("0123456789"))
            try:
                event, *values = json.loads(rest[digits:])
            except (ValueError, TypeError, RecursionError):
                session.emit("error", {"error": "That event is no JSON list."}, namespace)
                return
            if digits:
                session.send(f"43{_before(namespace)}{rest[:digits]}[]")
            # The answer may take its time; meanwhile pings are answered.
            task = asyncio.create_task(self._handle(session, str(event), values, namespace))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _join(self, session: Session, namespace: str) -> None:
        if len(session.joined) >= 8:
            return
        session.joined.add(namespace)
        answer = json.dumps({"sid": session.sid}) if session.version == 4 else ""
        session.send(f"40{_before(namespace)}{answer}")
        self._connected(session, namespace)

    # --- sessions ------------------------------------------------------------------------------

    def _begin(self, version: int) -> Session | None:
        self._session("")
        if len(self.sessions) >= MOST_SESSIONS:
            return None
        session = Session(secrets.token_urlsafe(15), version)
        self.sessions[session.sid] = session
        return session

    def _session(self, sid: str) -> Session | None:
        """The session of that name; those that were silent for too long are forgotten."""
        late = time.monotonic() - PING - PONG
        for session in list(self.sessions.values()):
            if session.heard < late and not session.by_websocket:
                self._forget(session)
        return self.sessions.get(sid)

    def _forget(self, session: Session) -> None:
        session.close()
        self.sessions.pop(session.sid, None)


async def _upgraded(socket: WebSocket, session: Session) -> bool:
    """The client tries the WebSocket, then says that it goes on there; meanwhile its poll is let
    go."""
    if await asyncio.wait_for(socket.receive_text(), PONG) != "2probe":
        return False
    await socket.send_text("3probe")
    session.send("6")
    return await asyncio.wait_for(socket.receive_text(), PONG) == "5"


def _open_packet(session: Session, upgrades: list[str]) -> str:
    about: dict[str, Any] = {
        "sid": session.sid,
        "upgrades": upgrades,
        "pingInterval": int(PING * 1000),
        "pingTimeout": int(PONG * 1000),
    }
    if session.version == 4:
        about["maxPayload"] = 50_000_000
    return f"0{json.dumps(about)}"


def _joined(packets: list[str], version: int) -> str:
    """The packets of a polling answer."""
    if version == 4:
        return _BETWEEN.join(packets)
    return "".join(f"{_units(packet)}:{packet}" for packet in packets)


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _split(text: str, version: int) -> list[str]:
    """The packets of a polling request. Raises ValueError."""
    if version == 4:
        return text.split(_BETWEEN)
    packets = []
    # Where all is of the first plane, units are characters.
    plain = text.isascii() or max(text, default="") <= "\uffff"
    units = b"" if plain else text.encode("utf-16-le")
    at, end = 0, len(text) if plain else len(units) // 2
    while at < end:
        near = units[2 * at : 2 * at + 24]
        rest = text[at : at + 12] if plain else near.decode("utf-16-le", "ignore")
        digits, colon, _ = rest.partition(":")
        if not (colon and digits.isascii() and digits.isdigit()):
            raise ValueError("no length")
        at += len(digits) + 1
        after = at + int(digits)
        if after > end:
            raise ValueError("cut short")
        packets.append(text[at:after] if plain else units[2 * at : 2 * after].decode("utf-16-le"))
        at = after
    return packets


def _text(text: str) -> Response:
    return PlainTextResponse(text, headers={"Cache-Control": "no-store"})


def _refused(code: int, message: str) -> Response:
    """As Engine.IO's servers word it."""
    return JSONResponse({"code": code, "message": message}, 400)
