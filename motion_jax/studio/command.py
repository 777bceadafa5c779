"""`motion-jax studio`: opens the page's port, sees to it that jobs go on, and answers."""

import contextlib
import os
import secrets
import shlex
import socket
import threading
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

import uvicorn

from motion_jax import files
from motion_jax.errors import UserError, option
from motion_jax.jobs import book, queue
from motion_jax.progress import say, warn
from motion_jax.serve.addresses import command_of, own_addresses, own_names, reached_at
from motion_jax.serve.guard import LOOPBACK, Rules
from motion_jax.studio import library
from motion_jax.studio.accounts import Accounts
from motion_jax.studio.actions import Desk, OptionsOf
from motion_jax.studio.app import make_app
from motion_jax.studio.guard import StudioGuard
from motion_jax.studio.options import StudioOptions
from motion_jax.studio.web import Studio
from motion_jax.studio.words import Words, wanted

LEAST_TOKEN = 8


def studio(
    options: StudioOptions,
    options_of: OptionsOf,
    verbs: Mapping[str, str],
    *,
    ready: Callable[[int, uvicorn.Server], None] | None = None,
) -> None:
    """Answers until Ctrl-C. Jobs go on without it.

    Args:
      options_of: the dataclass of a verb's options; verbs: what each does, in a line.
      ready: is told the port and the server before it begins.

    Raises UserError for every bad input, before the first answer.
    """
    _check(options)
    local = is_local(options.host)
    root = (options.projects or book.default_root()).expanduser().resolve()
    files.check_writable(root)
    listening = _bound(options.host, options.port)
    with contextlib.closing(listening):
        port = int(listening.getsockname()[1])
        if not options.multi_user and not library.projects(root):
            library.new_project(root, Words(wanted("", _language()))("project.first"))
        # What a broken off session left.
        queue.ensure(root)
        token = options.token
        if token is None and not local:
            token = secrets.token_urlsafe(16)
        rules = Rules(
            options.host,
            options.allow_host,
            token=token,
            names=() if local else (*own_names(), *own_addresses()),
            command=command_of("studio", options, folders=("projects",)),
        )
        accounts = None
        if options.multi_user:
            assert options.token is not None, "checked"
            accounts = Accounts(root, options.token, options.quota_gigabytes * 1e9)
        desk = Desk(options_of, verbs, paths=local and accounts is None)
        shared = Studio(root, desk, options.max_gigabytes * 1e9, accounts)
        server = uvicorn.Server(
            uvicorn.Config(
                StudioGuard(make_app(shared), rules, accounts),
                log_level="warning",
                access_log=False,
                lifespan="off",
                ws="websockets-sansio",
                ws_per_message_deflate=False,
                timeout_graceful_shutdown=1,
                server_header=False,
            )
        )
        query = "" if options.multi_user or token is None else f"?token={quote(token, safe='')}"
        here, *others = [f"{at}/{query}" for at in reached_at(options.host, port)]
        _tell(options, here, others, str(root), token)
        if options.browser and local:
            threading.Timer(0.3, webbrowser.open, (here,)).start()
        if ready is not None:
            ready(port, server)
        with contextlib.closing(shared.guide):
            server.run(sockets=[listening])


def is_local(host: str) -> bool:
    """Whether only this machine reaches it."""
    return host in LOOPBACK or host.startswith("127.")


def _check(options: StudioOptions) -> None:
    if options.token is not None and len(options.token) < LEAST_TOKEN:
        raise UserError(
            f"{option('token')} is short enough to guess; use {LEAST_TOKEN} characters or more."
        )
    if options.multi_user and options.token is None:
        raise UserError(
            f"{option('multi_user')} wants an invitation that lets people make an account: "
            f"{option('token')} {secrets.token_urlsafe(16)}, for instance."
        )
    if options.quota_gigabytes < 0 or (options.quota_gigabytes and not options.multi_user):
        raise UserError(
            f"{option('quota_gigabytes')} is 0 or more, and goes with {option('multi_user')}."
        )
    if not 0.001 <= options.max_gigabytes <= 10_000:
        raise UserError(
            f"{option('max_gigabytes')} {options.max_gigabytes:g} is not between 0.001 and 10000."
        )


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
    except (OSError, OverflowError) as error:
        made.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"{option('port')} {port} of {host} cannot be opened ({reason}); perhaps a studio is "
            f"open already: look at http://127.0.0.1:{port}, or choose another {option('port')}."
        ) from error
    return made


def _tell(
    options: StudioOptions, here: str, others: Sequence[str], root: str, token: str | None
) -> None:
    """here: its address for this machine; others: for other ones."""
    local = is_local(options.host)
    say(f"The studio is at {here}")
    if others:
        say(f"Other machines reach it at {' or '.join(others)}")
    if options.multi_user:
        say("The token lets people make an account.")
    elif options.token is None and token is not None:
        say(
            f"The token {token} was made for this start, and whoever has it sees and deletes "
            f"everything here; {option('token')} gives one that stays."
        )
    jobs = shlex.join(["motion-jax", "jobs", *(["--projects", root] if options.projects else [])])
    say(f"Its projects are in {root}. Ctrl-C ends the page; jobs go on ({jobs}).")
    if not local:
        port = here.rpartition(":")[2].partition("/")[0]
        warn(
            "What passes over the network is not encrypted, and browsers allow no camera there: "
            f"better leave out {option('host')} and use ssh -L {port}:127.0.0.1:{port} from the "
            f"other machine. By a name that is not above, it is reached with "
            f"{option('allow_host')} NAME."
        )


def _language() -> str:
    """Of this machine, as browsers name it."""
    return os.environ.get("LANG", "").replace("_", "-")
