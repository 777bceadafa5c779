"""Who may ask: the host by which a client calls, the page that a browser asks for, a token, and how
large a request may be. The same for HTTP and WebSockets.

A page of the web can make a visitor's browser ask a server on the visitor's own machine: directly
(then its Origin says so), or under a name of its own that it lets point to this machine (then the
Host header says so).
"""

import asyncio
import contextlib
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from motion_jax.serve.addresses import EVERYWHERE, same_address, with_name

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Seconds in which the next part of a request must come.
PATIENCE = 30.0
# For programs that look whether the server lives.
OPEN = ("/healthz",)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class Rules:
    """What is allowed.

    Attributes:
      host: the address that is listened on.
      hosts: further names, NAME or NAME:PORT; origins: further pages.
      token: the secret; None: none is asked for.
      most: bytes of a request.
      names: and addresses of this machine, where others may ask.
      command: what starts the server as it is, for whoever is refused; without secrets.
    """

    host: str = "127.0.0.1"
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    token: str | None = None
    most: int = 50_000_000
    names: tuple[str, ...] = ()
    command: str = ""

    def host_allowed(self, given: str, port: int | None, address: str | None = None) -> bool:
        """Whether a Host header names this server, which listens on `port`. address: of this
        machine, at which the request arrived: no other site can have it for a name."""
        if given in self.hosts:
            return True
        name, at = split_host(given)
        if name in self.hosts:
            return True
        known = name in LOOPBACK or name in self.names
        known = known or (name == self.host.lower() and name not in EVERYWHERE)
        known = known or (address is not None and same_address(name, address))
        return known and at in (None, port)

    def to_allow(self, given: str) -> str:
        """What starts the server so that it is known by the name of a Host header, too."""
        return with_name(self.command, self.hosts, split_host(given)[0])

    def origin_allowed(self, origin: str) -> bool:
        """Whether a page of this origin may ask: those of this machine, and those named."""
        if origin in self.origins:
            return True
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.scheme in ("http", "https") and parts.hostname in LOOPBACK

    def token_given(self, authorization: str, query: bytes) -> bool:
        """Whether a request has the token, in its header or its query."""
        if self.token is None:
            return True
        given = authorization.removeprefix("Bearer ") if authorization else ""
        if not given:
            values = parse_qs(query.decode("latin-1")).get("token", [])
            given = values[0] if values else ""
        return hmac.compare_digest(given.encode(), self.token.encode())


def split_host(given: str) -> tuple[str, int | None]:
    """Name and port of a Host header; an IPv6 address without its brackets. ("", None) for what is
    none."""
    try:
        parts = urlsplit(f"//{given}")
        return parts.hostname or "", parts.port
    except ValueError:
        return "", None


class _GivenUp(Exception):
    """The request was answered here; the app behind is to stop reading it."""


class Guard:
    """An ASGI app before another one."""

    def __init__(self, app: App, rules: Rules):
        self._app, self._rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        refused = self._refused(scope, headers)
        if scope["type"] == "websocket":
            if refused is None:
                await self._app(scope, receive, send)
                return
            await receive()
            # Before it is accepted, this is an HTTP answer of status 403.
            await send({"type": "websocket.close", "code": 1008, "reason": refused[1][:120]})
            return
        origin = headers.get("origin")
        allowed = None if origin is None or refused else origin
        answer = _with_headers(send, allowed)
        if refused is not None:
            await _say(answer, *refused)
        elif scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await _say(answer, 204, None, _PREFLIGHT)
        else:
            await self._guarded(scope, receive, answer, headers)

    def _refused(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        """(status, why) where the request is not answered."""
        rules, server = self._rules, scope.get("server") or (None, None)
        host = headers.get("host", "")
        if not rules.host_allowed(host, server[1], server[0]):
            return 403, (
                "This server is not known by that name; if it is one of this machine's, start it "
                f"again with: {rules.to_allow(host)}"
            )
        origin = headers.get("origin")
        if origin is not None and not rules.origin_allowed(origin):
            return 403, (
                "Pages of that origin may not ask; start the server with --allow-origin for them."
            )
        preflight = scope.get("method") == "OPTIONS"
        if scope["path"] in OPEN or preflight:
            return None
        if not rules.token_given(headers.get("authorization", ""), scope.get("query_string", b"")):
            return 401, "This server wants its token, as Authorization: Bearer TOKEN."
        return None

    async def _guarded(
        self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str]
    ) -> None:
        """Within the limits of size and time."""
        most = self._rules.most
        too_large = f"The request is larger than {most / 1e6:g} megabytes; send less."
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > most:
            await _say(send, 413, too_large)
            return
        received, ended, begun = 0, False, False
        given_up = ""

        async def give_up(status: int, why: str) -> None:
            nonlocal given_up
            given_up = why
            if not begun:
                await _say(send, status, why)
            raise _GivenUp(why)

        async def counted() -> MutableMapping[str, Any]:
            nonlocal received, ended
            if ended:
                return await receive()  # That the client goes away.
            try:
                message = await asyncio.wait_for(receive(), PATIENCE)
            except TimeoutError:
                await give_up(408, "The request did not come to its end in time; send it again.")
                raise
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > most:
                    await give_up(413, too_large)
                ended = not message.get("more_body", False)
            return message

        async def noted(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            begun = True
            if not given_up:
                await send(message)

        with contextlib.suppress(_GivenUp):
            await self._app(scope, counted, noted)


_PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, POST, DELETE, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"Content-Type, Authorization, Accept, X-Runway-Output-Format",
    ),
    (b"access-control-allow-private-network", b"true"),
    (b"access-control-max-age", b"600"),
]


def _with_headers(send: Send, origin: str | None) -> Send:
    """Answers say that browsers are not to guess types, and to an allowed page that it is one."""
    more = [(b"x-content-type-options", b"nosniff")]
    if origin is not None:
        # Not "*": Socket.IO's old clients send credentials, to which browsers allow no "*".
        more += [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-allow-credentials", b"true"),
            (b"vary", b"Origin"),
        ]

    async def answer(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *more]}
        await send(message)

    return answer


async def _say(
    send: Send, status: int, error: str | None, more: list[tuple[bytes, bytes]] | None = None
) -> None:
    """An answer: an error as JSON, or nothing."""
    body = b"" if error is None else json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers + (more or [])})
    await send({"type": "http.response.body", "body": body})
