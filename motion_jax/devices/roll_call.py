"""The processes of a job come together, compare themselves, and stay in touch until the end.

Before jax joins the processes (it would abort without saying which process is missing), each
process reports to process 0 over TCP, at the address that jax's coordinator takes afterwards.
Process 0 waits for all of them with a time limit, compares what they say of themselves and tells
everyone the outcome. The connections stay open while the job runs: a process that fails says so on
its own, and one that is killed is noticed because the system closes its connection.

Messages are lines of JSON.
"""

import contextlib
import errno
import json
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from motion_jax.errors import UserError, option
from motion_jax.progress import say

GREETING = {"motion_jax": "roll call"}
# Bytes; messages are small, and what is longer is not one of ours.
LONGEST = 1 << 20
# What answers at the port without a greeting in this time is another program.
GREETING_SECONDS = 5.0
# For the others to come after a difference is found, so that all are named and told.
GATHER_SECONDS = 3.0
# Between two attempts to reach process 0, and between two lines about who is waited for.
RETRY_SECONDS, SAY_SECONDS = 0.1, 15.0


class Line:
    """A connection that carries lines of JSON."""

    def __init__(self, connection: socket.socket):
        self.connection, self._rest = connection, b""
        # A machine that loses its power closes nothing: notice within half a minute.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def send(self, message: dict[str, Any]) -> None:
        """Raises OSError where the other side is gone."""
        self.connection.sendall(json.dumps(message).encode() + b"\n")

    def read(self) -> list[dict[str, Any]] | None:
        """Waits for data (as the socket's time-out says); the messages complete by now, None at the
        end. Raises ValueError for what is no message."""
        try:
            data = self.connection.recv(65536)
        except (ConnectionError, BrokenPipeError):
            return None
        if not data:
            return None
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST:
            raise ValueError("too long")
        messages = [json.loads(line) for line in whole]
        if not all(isinstance(message, dict) for message in messages):
            raise ValueError("no object")
        return messages

    def receive(self) -> dict[str, Any]:
        """Waits for one message. Raises OSError where the other side is gone or silent, ValueError
        for what is no message."""
        messages: list[dict[str, Any]] = []
        while not messages:
            read = self.read()
            if read is None:
                raise OSError("it ended the connection")
            messages += read
        return messages[0]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.close()


@dataclass
class Presence:
    """What a process says of itself. facts: by name, what must be the same in all."""

    index: int
    count: int
    host: str
    facts: dict[str, str] = field(default_factory=dict)
    error: str = ""

    @property
    def name(self) -> str:
        return f"process {self.index} of {self.count} ({self.host})"


def numbers(indices: list[int]) -> str:
    """ "process 1", "processes 1, 3 and 5 more"."""
    shown = ", ".join(map(str, indices[:8]))
    more = f" and {len(indices) - 8} more" if len(indices) > 8 else ""
    return f"process{'es' if len(indices) > 1 else ''} {shown}{more}"


def compare(first: Presence, other: Presence) -> list[str]:
    """How two processes differ: "jax: 0.10.2 in process 0, 0.10.1 in process 1"."""
    names = [*first.facts, *(name for name in other.facts if name not in first.facts)]
    return [
        f"{name}: {first.facts.get(name, 'nothing')} in process {first.index}, "
        f"{other.facts.get(name, 'nothing')} in process {other.index} ({other.host})"
        for name in names
        if first.facts.get(name) != other.facts.get(name)
    ]


def split_address(address: str) -> tuple[str, int]:
    """Raises UserError for what is not HOST:PORT."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UserError(
            f"{option('coordinator')} {address} is not HOST:PORT, the machine of process 0 and a "
            "free port of it, for example 10.0.0.1:8482."
        )
    return host.strip("[]"), int(port)


def listen(address: str, me: Presence) -> socket.socket:
    """The socket at which process 0 waits. Raises UserError where the port is taken or may not be
    used; where another process 0 waits there, it is told, and both end with its sentence."""
    ends = time.monotonic() + GREETING_SECONDS
    while True:
        try:
            return _listen(address)
        except UserError as error:
            if not isinstance(error.__cause__, OSError) or time.monotonic() > ends:
                raise
            if error.__cause__.errno != errno.EADDRINUSE or not _twin(address, me):
                raise
        # It was just leaving the port.
        time.sleep(RETRY_SECONDS)


def _twin(address: str, me: Presence) -> bool:
    """Asks whoever has the port of process 0, as another process 0. Raises UserError with the
    sentence of one of ours; True where it left meanwhile; False for another program."""
    try:
        connection = socket.create_connection(split_address(address), GREETING_SECONDS)
    except (ConnectionRefusedError, ConnectionResetError):
        return True
    except OSError:
        return False
    line = Line(connection)
    greeting = _greeting(line)
    if greeting and greeting[0] == GREETING:
        _outcome(line, address, me, 2 * GATHER_SECONDS)
    line.close()
    return greeting is None


def _listen(address: str) -> socket.socket:
    _, port = split_address(address)
    try:
        # All addresses of the machine, as jax's coordinator does; SO_REUSEADDR is set.
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        return socket.create_server(
            ("", port), family=family, dualstack_ipv6=both, backlog=128, reuse_port=False
        )
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            taken = error.errno == errno.EADDRINUSE
            why = "is taken by another program" if taken else "may not be used by this user"
            raise UserError(
                f"Port {port} of {address} {why}, so process 0 cannot wait for the others there; "
                f"give all processes another port with {option('coordinator')}."
            ) from error
        raise


def call(address: str, me: Presence, seconds: float) -> dict[int, tuple[Presence, Line]]:
    """Process 0: waits for all others and compares. Returns who came, by number.

    Raises UserError where one is missing after so many seconds, differs, or reports an error of its
    own; all that came are told.
    """
    server = listen(address, me)
    came: dict[int, tuple[Presence, Line]] = {}
    try:
        problem = me.error or _gather(server, address, me, came, seconds)
        if problem:
            told = {"stop": problem}
            for _, line in came.values():
                with contextlib.suppress(OSError):
                    line.send(told)
            _tell_late_ones(server, me.count - 1 - len(came), told)
            for _, line in came.values():
                line.close()
            raise UserError(problem)
    finally:
        # Before the others go on: jax's coordinator takes the port now.
        server.close()
    return came


def _gather(
    server: socket.socket,
    address: str,
    me: Presence,
    came: dict[int, tuple[Presence, Line]],
    seconds: float,
) -> str:
    """Fills `came`; the sentence about what is wrong, or nothing."""
    begun = said = time.monotonic()
    ends, wrong = begun + seconds, []
    while len(came) < me.count - 1 and (now := time.monotonic()) < ends:
        if now - said >= SAY_SECONDS:
            said = now
            say(f"Waiting at {address} for {numbers(_missing(me, came))} of {me.count} …")
        server.settimeout(min(1.0, ends - now))
        arrival = _greet(server)
        if arrival is None:
            continue
        other, line = arrival
        problem = _unfit(me, other, came)
        if problem:
            wrong.append(problem)
            with contextlib.suppress(OSError):
                line.send({"stop": problem})
            line.close()
        else:
            came[other.index] = other, line
            wrong += compare(me, other)
        if wrong:
            ends = min(ends, time.monotonic() + GATHER_SECONDS)
            if problem:
                break
    if wrong:
        if wrong[0].endswith("."):
            return wrong[0]
        more = f"; and {len(wrong) - 4} more differences" if len(wrong) > 4 else ""
        return (
            f"The processes of this job differ: {'; '.join(wrong[:4])}{more}. Start all of them "
            "with the same environment, command and dataset."
        )
    if missing := _missing(me, came):
        return (
            f"After {seconds:.0f} s {numbers(missing)} of {me.count} did not come to {address}; "
            "start the same command there too (see its own messages), check that it can reach the "
            f"port, or give {option('wait_seconds')}."
        )
    return ""


def _missing(me: Presence, came: dict[int, Any]) -> list[int]:
    return [k for k in range(me.count) if k != me.index and k not in came]


def _unfit(me: Presence, other: Presence, came: dict[int, Any]) -> str:
    """Why a process cannot take part; nothing where it can."""
    if other.count != me.count:
        return (
            f"The process on {other.host} was told that there are {other.count} processes, "
            f"process 0 that there are {me.count}; give all the same {option('processes')}."
        )
    if not 0 <= other.index < me.count:
        return wrong_number(other.index, me.count, other.host)
    if other.error:
        return f"P{other.name[1:]} cannot begin: {other.error}"
    if other.index == me.index or other.index in came:
        return (
            f"Two processes call themselves process {other.index} of {me.count} (one is on "
            f"{other.host}); give each its own {option('process')}, 0 to {me.count - 1}, and each "
            "job its own port."
        )
    return ""


def wrong_number(index: int, count: int, host: str) -> str:
    return (
        f"The process on {host} was given {option('process')} {index}, but {count} processes are "
        f"numbered 0 to {count - 1}; give it its own number."
    )


def _greet(server: socket.socket) -> tuple[Presence, Line] | None:
    """The next process that reports; None where none does now, or something else connects."""
    try:
        connection, _ = server.accept()
    except (TimeoutError, OSError):
        return None
    line = Line(connection)
    try:
        connection.settimeout(GREETING_SECONDS)
        line.send(GREETING)
        presence = Presence(**line.receive())
        connection.settimeout(None)
        return presence, line
    except (OSError, ValueError, TypeError):
        line.close()
        return None


def _tell_late_ones(server: socket.socket, count: int, message: dict[str, Any]) -> None:
    """Those who come a moment later are told the same, instead of waiting for nobody."""
    ends = time.monotonic() + GATHER_SECONDS
    while count > 0 and (left := ends - time.monotonic()) > 0:
        server.settimeout(left)
        arrival = _greet(server)
        if arrival is not None:
            with contextlib.suppress(OSError):
                arrival[1].send(message)
            arrival[1].close()
            count -= 1


def report(address: str, me: Presence, seconds: float, patient: bool = False) -> tuple[str, Line]:
    """Every other process: reports to process 0 and waits for the outcome. Returns the host of
    process 0 and the line to it.

    patient: a host name that nobody knows yet may become known (Kubernetes). Raises UserError where
    process 0 cannot be reached in time, or with its sentence about what is wrong.
    """
    ends = time.monotonic() + seconds
    line = _reach(address, me, ends, seconds, patient)
    # Process 0 has the same limit and ends first; a little more, so that its sentence comes.
    left = max(ends - time.monotonic(), 0) + 2 * GATHER_SECONDS
    return _outcome(line, address, me, left), line


def _outcome(line: Line, address: str, me: Presence, seconds: float) -> str:
    """Reports to process 0, which has greeted; its host once all are there. Raises UserError."""
    try:
        line.send(vars(me))
        line.connection.settimeout(seconds)
        message = line.receive()
    except (OSError, ValueError) as error:
        line.close()
        raise UserError(
            f"Process 0 of {me.count} at {address} went away before the job began ({error}); see "
            "its own messages."
        ) from error
    if "stop" in message:
        line.close()
        raise UserError(message["stop"])
    line.connection.settimeout(None)
    return str(message.get("begin", "?"))


def _greeting(line: Line) -> list[dict[str, Any]] | None:
    """What the other end says; nothing where that is no message; None where it closes."""
    try:
        line.connection.settimeout(GREETING_SECONDS)
        return line.read()
    except (TimeoutError, ValueError, OSError):
        return []


def _reach(address: str, me: Presence, ends: float, seconds: float, patient: bool) -> Line:
    host, port = split_address(address)
    said, reason = time.monotonic(), "no answer"
    while (now := time.monotonic()) < ends:
        if now - said >= SAY_SECONDS:
            said = now
            say(f"Process {me.index} waits for process 0 at {address} ({reason}) …")
        try:
            connection = socket.create_connection((host, port), min(10.0, ends - now))
        except socket.gaierror as error:
            reason = f"no machine is known as {host}"
            if not patient:
                raise UserError(
                    f"The coordinator {address} cannot be reached: {reason} "
                    f"({error.strerror}); give the name or address of process 0's machine."
                ) from error
            time.sleep(1.0)
            continue
        except OSError as error:
            reason = (error.strerror or "no answer").lower()
            time.sleep(RETRY_SECONDS)
            continue
        line = Line(connection)
        greeting = _greeting(line)
        if greeting and greeting[0] == GREETING:
            return line
        line.close()
        if greeting is not None:
            raise UserError(
                f"{address} is answered by another program than process 0 of this job; give all "
                f"processes another port with {option('coordinator')}."
            )
        # Closed without a word: process 0 was just leaving the port.
        time.sleep(RETRY_SECONDS)
    raise UserError(
        f"After {seconds:.0f} s process 0 of {me.count} does not answer at {address} ({reason}); "
        "start it too, check the address and that the port is open, or give "
        f"{option('wait_seconds')}."
    )


class Lifeline:
    """The open connections of a running job, watched by a thread.

    lines: by number of the process at the other end; process 0 has one to each, the others one to
    process 0. on_loss(message): called once, from the thread, when a process failed or went away;
    message: {"failed": index, "host", "sentence", "status"}.
    """

    def __init__(
        self, lines: dict[int, tuple[str, Line]], on_loss: Callable[[dict[str, Any]], None]
    ):
        self._lines, self._on_loss = lines, on_loss
        self._done = {index: threading.Event() for index in lines}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lifeline", daemon=True)
        self._thread.start()

    def tell(self, message: dict[str, Any]) -> None:
        for _, line in self._lines.values():
            with contextlib.suppress(OSError):
                line.send(message)

    def wait_for_all(self) -> None:
        """Until every process at the other ends says that it is done. A process that fails
        meanwhile ends this one through on_loss."""
        for done in self._done.values():
            done.wait()

    def close(self) -> None:
        self._closing.set()
        for _, line in self._lines.values():
            with contextlib.suppress(OSError):
                line.connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=2)
        for _, line in self._lines.values():
            line.close()

    def _watch(self) -> None:
        with selectors.DefaultSelector() as selector:
            for index, (host, line) in self._lines.items():
                selector.register(line.connection, selectors.EVENT_READ, (index, host, line))
            while selector.get_map() and not self._closing.is_set():
                for key, _ in selector.select(timeout=1.0):
                    index, host, line = key.data
                    try:
                        messages = line.read()
                    except (ValueError, OSError):
                        messages = None
                    if messages is None:
                        selector.unregister(line.connection)
                        if not (self._done[index].is_set() or self._closing.is_set()):
                            self._lost({"failed": index, "host": host, "sentence": "", "status": 0})
                            return
                        continue
                    for message in messages:
                        if "failed" in message:
                            self._lost(message)
                            return
                        if "done" in message:
                            self._done[index].set()

    def _lost(self, message: dict[str, Any]) -> None:
        # Process 0 passes it on: the others know nobody else.
        self.tell(message)
        self._on_loss(message)
