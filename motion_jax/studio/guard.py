"""Who may use the pages: browsers that call this machine by a name of its own, from its own pages,
and, where there is a token, with that.

The rules of names are those of serve/guard.py. The token comes once in an address and is kept in a
cookie that scripts cannot read and other sites cannot send.
"""

import hmac
import html
import json
from collections.abc import MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from motion_jax.serve.guard import App, Receive, Rules, Scope, Send
from motion_jax.studio.accounts import COOKIE as SESSION
from motion_jax.studio.accounts import Accounts, current
from motion_jax.studio.words import Words, wanted

COOKIE = "motion_jax_token"
# What those may ask who are not known yet.
OPEN = ("/enter", "/language", "/favicon.ico")
# The pages' style and script, which tell nothing of a project.
STATIC = "/static/"
# Bytes of a request: a piece of a film, and all others.
PIECE, MOST = 8 * 2**20, 2**20
# What requests that change something must be: no form of another page can send these.
KINDS = ("application/json", "application/octet-stream")
SAFE = ("GET", "HEAD")
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "SAMEORIGIN",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
# Nothing from elsewhere, and no script that stands in a page.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; font-src 'self'; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)


class StudioGuard:
    """An ASGI app before another one."""

    def __init__(self, app: App, rules: Rules, accounts: Accounts | None = None):
        self._app, self._rules, self._accounts = app, rules, accounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        refused = self._refused(scope, headers)
        if scope["type"] == "websocket":
            if refused is None and self._may(scope, headers):
                await self._app(scope, receive, send)
                return
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
            return
        answer = _with_headers(send)
        if refused is not None:
            host = headers.get("host", "")
            if _wants_page(headers) and not self._is_own_name(scope, host):
                page = _unknown_name(headers, host, self._rules.to_allow(host))
                await _send(answer, refused[0], "text/html; charset=utf-8", page.encode())
                return
            await _say(answer, *refused)
        elif self._may(scope, headers):
            await self._app(scope, _counted(receive, headers), answer)
        elif self._accounts is None:
            await self._ask_for_token(scope, headers, answer)
        elif _wants_page(headers):
            await _send(answer, 303, "text/plain", b"", [("location", "/enter")])
        else:
            await _say(answer, 401, "Sign in first: open the studio's first page.")

    def _refused(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        """(status, why) where the request is not answered."""
        host = headers.get("host", "")
        # The style of the page that says so tells nothing.
        if not self._is_own_name(scope, host) and not scope["path"].startswith(STATIC):
            return 403, (
                "This studio is not known by that name; if it is one of this machine's, start it "
                f"again with: {self._rules.to_allow(host)}"
            )
        origin = headers.get("origin")
        if origin is not None and not _own(origin, host):
            return 403, "Pages of other origins may not use this studio."
        if scope["type"] == "websocket":
            # Browsers always say where a page is from; other programs have no business here.
            return None if origin is not None else (403, "Only pages of this studio may connect.")
        if scope["method"] in SAFE:
            return None
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in KINDS:
            return 415, f"Requests that change something are {' or '.join(KINDS)}."
        length = headers.get("content-length", "")
        if not length.isdigit():
            return 411, "The request does not say how long it is."
        if int(length) > (MOST if kind == KINDS[0] else PIECE):
            return 413, "The request is too large; send films in pieces of 8 MB at most."
        return None

    def _is_own_name(self, scope: Scope, host: str) -> bool:
        address, port = scope.get("server") or (None, None)
        return self._rules.host_allowed(host, port, address)

    def _may(self, scope: Scope, headers: dict[str, str]) -> bool:
        """Whether whoever asks is known; with accounts, notes who it is."""
        if self._accounts is not None:
            user = self._accounts.who(_cookie(headers, SESSION))
            current.set(user)
            return bool(user) or scope["path"] in OPEN or scope["path"].startswith(STATIC)
        if self._rules.token is None or scope["path"].startswith(STATIC):
            return True
        given = headers.get("authorization", "").removeprefix("Bearer ")
        return self._rules.token_given(f"Bearer {given or _cookie(headers, COOKIE)}", b"")

    async def _ask_for_token(self, scope: Scope, headers: dict[str, str], send: Send) -> None:
        """Keeps the token of the address in a cookie, and shows the same address without it."""
        token = self._rules.token
        assert token is not None, "asked for"
        query = parse_qsl(scope.get("query_string", b"").decode("latin-1"))
        given = dict(query).get("token", "")
        if scope["method"] != "GET" or not hmac.compare_digest(given.encode(), token.encode()):
            if scope["method"] == "GET" and _wants_page(headers):
                page = _asking(headers, scope["path"], "token" in dict(query)).encode()
                await _send(send, 401, "text/html; charset=utf-8", page)
                return
            await _say(
                send, 401, "Open the address that the studio printed when it began, with its token."
            )
            return
        rest = urlencode([(name, value) for name, value in query if name != "token"])
        place = scope["path"] + (f"?{rest}" if rest else "")
        cookie = f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age=31536000"
        if scope.get("scheme") == "https":
            cookie += "; Secure"
        # A page that goes on by itself: browsers do not send a Strict cookie on a redirect that
        # began at a link of another program.
        body = (
            f'<!doctype html><html lang="en"><title>motion-jax studio</title>'
            f'<meta http-equiv="refresh" content="0;url={_escaped(place)}">'
            f'<p><a href="{_escaped(place)}">Go on to the studio</a></p></html>'
        ).encode()
        await _send(send, 200, "text/html; charset=utf-8", body, [("set-cookie", cookie)])


def _asking(headers: dict[str, str], place: str, wrong: bool) -> str:
    """A page that asks for the token. wrong: one was given, and it is not this studio's."""
    words = _words(headers)
    said = "".join(f"<p>{html.escape(words(key))}</p>" for key in ["token.wrong"] * wrong)
    return _page(
        words,
        "token",
        f'{said}<form method="get" action="{_escaped(place)}"><div class="field">'
        f'<label for="token">{html.escape(words("token.label"))}</label>'
        '<input id="token" name="token" type="password" required autocomplete="off"></div>'
        f'<p><button class="go">{html.escape(words("token.do"))}</button></p></form>',
    )


def _unknown_name(headers: dict[str, str], name: str, command: str) -> str:
    """A page for whoever calls the studio by a name that it does not know. command: what starts it
    so that it does."""
    words = _words(headers)
    about = html.escape(words("host.do", name=name[:300]))
    return _page(words, "host", f"<p>{about}</p><pre><code>{html.escape(command)}</code></pre>")


def _page(words: Words, key: str, more: str) -> str:
    """A page of those texts and more HTML, without the studio around it."""
    return (
        f'<!doctype html><html lang="{words.language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<title>motion-jax studio</title>"
        '<link rel="icon" href="/static/icon.svg"><link rel="stylesheet" href="/static/studio.css">'
        f"</head><body><main><h1>{html.escape(words(f'{key}.title'))}</h1>"
        f'<p class="lead">{html.escape(words(f"{key}.about"))}</p>{more}</main></body></html>'
    )


def _words(headers: dict[str, str]) -> Words:
    return Words(wanted("", headers.get("accept-language", "")))


def _wants_page(headers: dict[str, str]) -> bool:
    return "text/html" in headers.get("accept", "")


def _cookie(headers: dict[str, str], name: str) -> str:
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return cookie.value if cookie is not None else ""


def _own(origin: str, host: str) -> bool:
    """Whether an origin is that of the server that was asked."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc == host


def _escaped(text: str) -> str:
    # Two slashes at the beginning would name another machine.
    return html.escape("/" + text.lstrip("/"))


def _counted(receive: Receive, headers: dict[str, str]) -> Receive:
    """No more of a body than its header says."""
    left = int(headers["content-length"]) if headers.get("content-length", "").isdigit() else 0

    async def counted() -> MutableMapping[str, Any]:
        nonlocal left
        message = await receive()
        if message["type"] == "http.request":
            body = message.get("body", b"")[: max(left, 0)]
            left -= len(body)
            message = {**message, "body": body}
        return message

    return counted


def _with_headers(send: Send) -> Send:
    async def answer(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            given = list(message.get("headers", []))
            names = {name for name, _ in given}
            more = [(k.encode(), v.encode()) for k, v in _HEADERS.items()]
            if b"content-security-policy" not in names:
                more.append((b"content-security-policy", POLICY.encode()))
            if b"cache-control" not in names:
                more.append((b"cache-control", b"no-store"))
            message = {**message, "headers": [*given, *more]}
        await send(message)

    return answer


async def _say(send: Send, status: int, error: str) -> None:
    await _send(send, status, "application/json", json.dumps({"error": error}).encode())


async def _send(
    send: Send, status: int, kind: str, body: bytes, more: list[tuple[str, str]] | None = None
) -> None:
    headers = [("content-type", kind), ("content-length", str(len(body))), *(more or [])]
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
