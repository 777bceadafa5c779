"""Whether a server stays well for a long time: clients that ask as fast as they get answers.

    python -m benchmarks.soak --run runs/ben --clients 8 --minutes 20 [--json] [--save]

Half of the clients ask by POST /v1/transfer, half by the binary stream, each sending its next pose
when it has the last answer. Counted: answers, lost ones, latency p50, p95, p99; and the memory of
the server's process at the end of the first minute and at the end. One client more asks RunwayML's
GET /data ten times a second, as a sketch does that draws whatever is newest.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.reporting import machine, markdown, parse, percentile, report, sentences, table
from motion_jax.errors import UserError


@dataclass(frozen=True)
class Options:
    """A server under full load for a long time."""

    run: Path
    """Run folder, driven by keypoints."""
    clients: int = 8
    """At once."""
    minutes: float = 20.0
    """How long."""
    port: int = 8765
    """Of the server, which is started for this."""
    json: bool = False
    """Print the result as JSON."""
    save: bool = False
    """Keep the result in benchmarks/results."""


COLUMNS = {
    "what": "clients", "answers": "answers", "lost": "lost", "p50": "p50 ms", "p95": "p95 ms",
    "p99": "p99 ms",
}  # fmt: skip


def section(result: dict[str, Any]) -> str:
    """For docs/performance.md."""
    memory = result["memory_mb"]
    return (
        f"{result['minutes']:g} minutes; memory {memory['first']:.0f} MB after the first minute, "
        f"{memory['last']:.0f} MB at the end.\n\n" + markdown(result["clients"], COLUMNS)
    )


def main(arguments: Sequence[str] | None = None) -> None:
    with sentences("soak"):
        options = parse(Options, "soak", arguments)
        result = measure(options)
        memory = result["memory_mb"]
        title = f"memory {memory['first']:.0f} MB after a minute, {memory['last']:.0f} at the end"
        report(
            "soak", result, [table(result["clients"], COLUMNS, title)],
            as_json=options.json, keep=options.save,
        )  # fmt: skip


@dataclass
class Client:
    """What one client counted."""

    kind: str
    asked: int = 0
    seconds: list[float] | None = None
    wrong: int = 0


def measure(options: Options) -> dict[str, Any]:
    command = [sys.executable, "-m", "motion_jax.cli", "serve", "--run", str(options.run),
               "--port", str(options.port), "--input", "ready"]  # fmt: skip
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{options.port}"
        _wait(server, url)
        end, clients = threading.Event(), []
        for number in range(options.clients):
            client = Client("POST" if number % 2 else "stream", seconds=[])
            work = _post if client.kind == "POST" else _stream
            thread = threading.Thread(target=work, args=(url, client, end), daemon=True)
            thread.start()
            clients.append((client, thread))
        sketch = Client("GET /data", seconds=[])
        thread = threading.Thread(target=_poll, args=(url, sketch, end), daemon=True)
        thread.start()
        clients.append((sketch, thread))
        begun, first = time.monotonic(), 0.0
        while time.monotonic() - begun < options.minutes * 60:
            time.sleep(0.5)
            if server.poll() is not None:
                raise UserError(f"The server ended with status {server.returncode}.")
            if not first and time.monotonic() - begun > min(60, options.minutes * 30):
                first = _memory(server.pid)
        last = _memory(server.pid)
        end.set()
        for _, thread in clients:
            thread.join(60)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
    return {
        "machine": machine(),
        "minutes": options.minutes,
        "clients": [
            _row(kind, [client for client, _ in clients if client.kind == kind])
            for kind in ("POST", "stream", "GET /data")
        ],
        "memory_mb": {"first": round(first, 1), "last": round(last, 1)},
        "status": server.returncode,
    }


def _row(kind: str, clients: list[Client]) -> dict[str, Any]:
    times = [seconds * 1000 for client in clients for seconds in client.seconds or []]
    asked = sum(client.asked for client in clients)
    shares = {}
    if times:
        shares = {f"p{at}": round(percentile(times, at / 100), 2) for at in (50, 95, 99)}
    lost = asked - len(times) + sum(client.wrong for client in clients)
    return {"what": f"{len(clients)} x {kind}", "answers": len(times), "lost": lost, **shares}


def _wait(server: Any, url: str) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise UserError("The server did not start; try motion-jax serve with the same run.")
        try:
            urllib.request.urlopen(url + "/healthz", timeout=1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise UserError("The server was not ready after five minutes.")


def _pose(number: int) -> list[list[float]]:
    return [[20.0 + number % 20 + i % 5, 15.0 + 3 * i, 1.0] for i in range(25)]


def _post(url: str, client: Client, end: threading.Event) -> None:
    while not end.is_set():
        body = json.dumps({"keypoints": _pose(client.asked)}).encode()
        request = urllib.request.Request(
            f"{url}/v1/transfer", body, {"Content-Type": "application/json"}
        )
        begun = time.monotonic()
        client.asked += 1
        with urllib.request.urlopen(request, timeout=60) as answer:
            client.wrong += not json.loads(answer.read())["image"].startswith("data:image/png")
        client.seconds.append(time.monotonic() - begun)  # type: ignore[union-attr]


def _stream(url: str, client: Client, end: threading.Event) -> None:
    from websockets.sync.client import connect

    with connect(url.replace("http", "ws") + "/v1/stream", max_size=None) as socket:
        while not end.is_set():
            number = client.asked
            message = {"id": number, "time": number / 25, "keypoints": _pose(number)}
            begun = time.monotonic()
            client.asked += 1
            socket.send(json.dumps(message))
            answer = socket.recv(60)
            wrong = not isinstance(answer, bytes) or int.from_bytes(answer[:8], "little") != number
            client.wrong += wrong
            client.seconds.append(time.monotonic() - begun)  # type: ignore[union-attr]


def _poll(url: str, client: Client, end: threading.Event) -> None:
    # One connection, as a sketch's: a connection for each question would be measured, too.
    place = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
    while not end.wait(0.1):
        begun = time.monotonic()
        client.asked += 1
        connection.request("GET", "/data")
        answer = connection.getresponse()
        client.wrong += b"data:image/" not in answer.read()
        client.seconds.append(time.monotonic() - begun)  # type: ignore[union-attr]


def _memory(process: int) -> float:
    """Megabytes that it holds."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
