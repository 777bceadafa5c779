"""`motion-jax serve`: loads the runs, opens the ports, and answers until it is stopped."""

import asyncio
import contextlib
import errno
import ipaddress
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import uvicorn

from motion_jax import events
from motion_jax.errors import UserError, option
from motion_jax.events import Observer, StopToken
from motion_jax.pose.watcher import Watcher
from motion_jax.progress import say
from motion_jax.serve.addresses import command_of, own_addresses, own_names, reached_at
from motion_jax.serve.app import make_app
from motion_jax.serve.engine import Engine
from motion_jax.serve.figures import Figures
from motion_jax.serve.guard import LOOPBACK, App, Guard, Rules
from motion_jax.serve.options import ServeOptions
from motion_jax.serve.osc import Osc
from motion_jax.serve.sdk import Sdk, hub
from motion_jax.serve.service import Service, shows_person
from motion_jax.train.run import load_person
from motion_jax.train.unfinished import tell_unfinished
from motion_jax.transfer.fit import Body, limits_of
from motion_jax.transfer.resident import Resident

# Seconds between looks whether somebody asked for an end.
LOOK = 0.2
# Connections at once; further ones are answered 503.
MOST_CONNECTIONS = 256


@dataclass(frozen=True)
class Ports:
    """Where a server listens: numbers of ports; None: not."""

    http: int
    extra: int | None
    sdk: int | None
    osc: int | None
    hub: int | None


def serve(
    options: ServeOptions,
    *,
    observer: Observer | None = None,
    stop: StopToken | None = None,
    ready: Callable[[Ports], None] | None = None,
) -> None:
    """Answers until the token asks for an end, or Ctrl-C or SIGTERM comes.

    ready: is told the ports when all is loaded and compiled.

    Raises UserError for every bad input, before the first answer.
    """
    with events.watched(observer, stop), contextlib.ExitStack() as stack:
        _check(options)
        sockets = stack.enter_context(_opened(options))
        residents = _loaded(options)
        watcher = None
        if any(shows_person(options, resident) for resident in residents.values()):
            watcher = stack.enter_context(Watcher(options.detail, options.pose_model))
        engine = stack.enter_context(Engine(_batch(options), options.waiting))
        service = Service(options, residents, engine, Figures(engine), watcher)
        asyncio.run(_served(service, sockets, ready))
        say(f"Stopped after {engine.made} pictures.")


def _loaded(options: ServeOptions) -> dict[str, Resident]:
    """The runs by name, compiled."""
    residents: dict[str, Resident] = {}
    for place in options.run:
        run = load_person(place, options.step)
        tell_unfinished(run)
        resident = Resident(run, _batch(options), options.bars == "white")
        if resident.name in residents:
            raise UserError(
                f"Two runs are called {resident.name}, and clients choose runs by name; rename one "
                f"folder ({option('run')})."
            )
        if shows_person(options, resident) and options.normalize != "none":
            from_body = resident.body_known
            if not from_body:
                raise UserError(
                    f"The body of the run {resident.name} is not known, so that poses cannot be "
                    f"fitted to it; use {option('normalize')} none."
                )
        if options.joints == "seen" and resident.takes == "poses" and not resident.densepose:
            limits_of(Body.of_run(run))  # said before anything is compiled
        residents[resident.name] = resident
        say(f"{place}: step {run.step}, {run.size[1]}x{run.size[0]}; compiling ...")
        _warmed(resident)
    return residents


def _batch(options: ServeOptions) -> int:
    """Pictures made together. On a CPU, where a loop around convolutions is slow, one: so streams
    and requests take turns."""
    return 1 if jax.default_backend() == "cpu" else options.batch


def _warmed(resident: Resident) -> None:
    """Compiles what the first requests will need."""
    if resident.densepose:
        return  # A plain picture is none; the first one compiles.
    height, width = resident.size
    resident.alone([resident.picture(np.full((height, width, 3), 255, np.uint8))])
    if resident.takes == "poses":
        pose = np.zeros((137, 3), np.float32)
        pose[:25] = (width / 2, height / 2, 1)
        with contextlib.suppress(UserError):  # Nobody knows how its poses were drawn.
            resident.alone([resident.pose(pose)])


# --- ports --------------------------------------------------------------------------------------


@dataclass
class _Sockets:
    http: list[socket.socket]
    sdk: socket.socket | None
    hub: socket.socket | None
    osc: socket.socket | None

    def ports(self) -> Ports:
        def of(one: socket.socket | None) -> int | None:
            return None if one is None else int(one.getsockname()[1])

        extra = of(self.http[1]) if len(self.http) > 1 else None
        main = of(self.http[0])
        assert main is not None
        return Ports(main, extra, of(self.sdk), of(self.osc), of(self.hub))


@contextlib.contextmanager
def _opened(options: ServeOptions) -> Iterator[_Sockets]:
    """The ports, before anything takes time. Raises UserError where one is taken."""
    with contextlib.ExitStack() as stack:

        def tcp(port: int | None, name: str) -> socket.socket | None:
            if port is None:
                return None
            return stack.enter_context(contextlib.closing(_bound(options.host, port, name)))

        main = tcp(options.port, "port")
        assert main is not None
        extra = tcp(options.socket_port, "socket_port")
        osc = None
        if options.osc_port is not None:
            osc = _bound("127.0.0.1", options.osc_port, "osc_port", socket.SOCK_DGRAM)
            stack.enter_context(contextlib.closing(osc))
        yield _Sockets(
            [main] if extra is None else [main, extra],
            tcp(options.sdk_port, "sdk_port"),
            tcp(options.hub_port, "hub_port"),
            osc,
        )


def _bound(
    host: str, port: int, name: str, kind: socket.SocketKind = socket.SOCK_STREAM
) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, kind)
    try:
        if kind == socket.SOCK_STREAM:
            # Ports of a server that ended a minute ago are free.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.setblocking(False)
        return made
    except (OSError, OverflowError) as error:
        made.close()
        number = getattr(error, "errno", None)
        if number == errno.EADDRINUSE:
            reason = "another program has it (perhaps python -m http.server, or RunwayML)"
        elif number == errno.EACCES:
            reason = "only administrators may open it"
        elif number in (errno.EADDRNOTAVAIL, socket.EAI_NONAME):
            raise UserError(
                f"{option('host')} {host} is no address of this machine; use 127.0.0.1."
            ) from error
        else:
            reason = "a port is a number from 0 to 65535"
        raise UserError(
            f"{option(name)} {port} cannot be opened: {reason}; choose another."
        ) from error


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    if host in LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check(options: ServeOptions) -> None:
    """Raises UserError for options that are wrong whatever the runs."""
    if not options.run:
        raise UserError(f"Say whose pictures: {option('run')} RUN.")
    if not is_loopback(options.host) and not options.token:
        raise UserError(
            f"{option('host')} {options.host} lets other machines ask, so a secret is needed: give "
            f"{option('token')} TOKEN, or leave out {option('host')}."
        )
    if options.token is not None and len(options.token) < 8:
        raise UserError(f"{option('token')} is short enough to guess; use 8 characters or more.")
    if options.hub_port is not None and options.sdk_port is None:
        raise UserError(
            f"{option('hub_port')} tells plugins to ask the model SDK's port; give "
            f"{option('sdk_port')}, too."
        )
    for name, least, most in (
        ("jpeg_quality", 1, 100), ("batch", 1, 1024), ("waiting", 1, 100_000),
        ("timeout", 0.001, 3600), ("max_megapixels", 0.0001, 1000), ("max_megabytes", 0.001, 2000),
    ):  # fmt: skip
        value = getattr(options, name)
        if not least <= value <= most:
            raise UserError(f"{option(name)} {value:g} is not between {least:g} and {most:g}.")


# --- running ------------------------------------------------------------------------------------


class _Server(uvicorn.Server):
    """One of several in a loop: signals are the command's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _served(
    service: Service, sockets: _Sockets, ready: Callable[[Ports], None] | None
) -> None:
    options, ports = service.options, sockets.ports()
    rules = Rules(
        options.host,
        options.allow_host,
        options.allow_origin,
        options.token,
        round(options.max_megabytes * 1e6),
        () if is_loopback(options.host) else (*own_names(), *own_addresses()),
        command_of("serve", options),
    )
    servers = [(_server(make_app(service), rules), sockets.http)]
    sdk = Sdk(service, jax.default_backend() == "gpu")
    if sockets.sdk is not None:
        servers.append((_server(sdk.app(), rules), [sockets.sdk]))
    if sockets.hub is not None and ports.sdk is not None:
        servers.append((_server(hub(service, sdk, ports.sdk), rules), [sockets.hub]))
    loop, end = asyncio.get_running_loop(), asyncio.Event()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_asked_to_end(loop, end))
        if sockets.osc is not None:
            osc = Osc(service, options.osc_client_port, ports.http)
            transport, _ = await loop.create_datagram_endpoint(lambda: osc, sock=sockets.osc)
            stack.callback(transport.close)
        tasks = [
            asyncio.create_task(server.serve(sockets=listening)) for server, listening in servers
        ]
        while not all(server.started for server, _ in servers):
            await asyncio.sleep(0.01)
        _tell(options, service, ports)
        if ready is not None:
            ready(ports)
        token = events.stop_token()
        while not (end.is_set() or token.asked):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(end.wait(), LOOK)
        for server, _ in servers:
            server.should_exit = True
        await asyncio.gather(*tasks)
    await asyncio.sleep(0)  # Transports close in the loop's next turn.


def _server(app: App, rules: Rules) -> _Server:
    config = uvicorn.Config(
        Guard(app, rules),
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="websockets-sansio",
        ws_max_size=rules.most,
        ws_per_message_deflate=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=3,
    )
    return _Server(config)


@contextlib.contextmanager
def _asked_to_end(loop: asyncio.AbstractEventLoop, end: asyncio.Event) -> Iterator[None]:
    """SIGINT and SIGTERM set `end`, where this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before: dict[int, Any] = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        loop.add_signal_handler(number, end.set)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])


def _tell(options: ServeOptions, service: Service, ports: Ports) -> None:
    here, *others = reached_at(options.host, ports.http)
    say(f"Serving {', '.join(service.residents)} at {here} (what it answers: /docs).")
    if others:
        say(f"Other machines reach it at {', '.join(others)}.")
    more = []
    if ports.extra is not None:
        more.append(f"Socket.IO also on {ports.extra}")
    if ports.sdk is not None:
        more.append(f"RunwayML model SDK on {ports.sdk}")
    if ports.osc is not None:
        more.append(f"OSC on UDP {ports.osc}, answers to {options.osc_client_port}")
    if ports.hub is not None:
        more.append(f"RunwayML hub on {ports.hub}")
    if more:
        say("; ".join(more) + ".")
    if not is_loopback(options.host):
        say("Browsers give a camera only to pages of this machine or of https.")
