"""Processes that are measured, each alive with its network, and asked for work one at a time.

The one that waits is stopped (SIGSTOP), so that no thread of it spins while the other is timed, and
both run with their libraries' own settings. Requests and answers are lines of JSON. Only the
standard library is used here: one of the environments may have nothing but torch.
"""

import contextlib
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

# From <linux/prctl.h>: the signal to get when the parent ends.
_PR_SET_PDEATHSIG = 1
ROOT = Path(__file__).resolve().parent.parent


class WorkerError(Exception):
    """A worker process failed; carries its name and what it said last."""


class Worker:
    """The parent's side. Use as a context manager.

    Args:
      name: for messages.
      module: run as `python -m MODULE SETUP`; its main calls serve().
      setup: what it builds from.
      python: the interpreter.
      environment: variables besides those of this process.
    """

    def __init__(
        self,
        name: str,
        module: str,
        setup: Mapping[str, Any],
        python: str = sys.executable,
        environment: Mapping[str, str] | None = None,
    ):
        self.name = name
        self._process = subprocess.Popen(
            [python, "-m", module, json.dumps(dict(setup))],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            self.ready = self._answer()
        except BaseException:
            self.__exit__()
            raise
        self._stop()

    @property
    def process_id(self) -> int:
        return self._process.pid

    def __enter__(self) -> "Worker":
        return self

    def ask(self, request: str, **arguments: Any) -> dict[str, Any]:
        """Wakes the process, has it answer, and stops it again.

        Raises WorkerError where it fails or has ended.
        """
        self._process.send_signal(signal.SIGCONT)
        with contextlib.suppress(OSError):  # it has ended, which _answer reports
            self._process.stdin.write(json.dumps({"request": request, **arguments}) + "\n")
            self._process.stdin.flush()
        answer = self._answer()
        self._stop()
        return answer

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(f"the {self.name} process ended with status {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"the {self.name} process failed: {answer['error']}")
        return answer

    def _stop(self) -> None:
        """Returns once the process stands still (or has ended)."""
        self._process.send_signal(signal.SIGSTOP)
        # WNOWAIT: its exit status is for Popen to collect.
        either = os.WSTOPPED | os.WEXITED | os.WNOWAIT
        os.waitid(os.P_PID, self._process.pid, either)

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGCONT)
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def serve(build: Callable[[dict[str, Any]], Mapping[str, Callable[..., dict[str, Any]]]]) -> None:
    """The worker's side: builds from the setup on the command line, then answers until its input
    ends.

    build: setup -> functions by request. Two more are answered for every worker: "memory", and
    "forget" (begin a new peak). What build printed to stdout goes to stderr.
    """
    # The parent answers Ctrl-C; and a stopped process must not outlive its parent.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(answer: Mapping[str, Any]) -> None:
        answers.write(json.dumps(dict(answer)) + "\n")
        answers.flush()

    try:
        functions = {"memory": memory, "forget": forget, **build(json.loads(sys.argv[1]))}
        say({"ready": True})
        for line in sys.stdin:
            request = json.loads(line)
            say(functions[request.pop("request")](**request))
    except Exception as error:
        traceback.print_exc()
        say({"error": f"{type(error).__name__}: {error}"})
        sys.exit(1)


def answers_of_jax(work: Callable[[], None]) -> dict[str, Callable[..., dict[str, Any]]]:
    """What `serve` is given by a process that does one thing with jax."""
    import jax  # the PyTorch side has none

    def describe() -> dict[str, Any]:
        return {"device": jax.devices()[0].device_kind}

    def device_memory() -> dict[str, float]:
        found = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
        return {} if found is None else {"peak_gb": found / 1e9}

    return {"run": _timed(work), "describe": describe, "device_memory": device_memory}


def answers_of_torch(work: Callable[[], None]) -> dict[str, Callable[..., dict[str, Any]]]:
    """The same with torch on a CPU."""
    import torch  # our side has none

    def describe() -> dict[str, Any]:
        return {"torch": torch.__version__, "threads": torch.get_num_threads()}

    return {"run": _timed(work), "describe": describe, "device_memory": dict}


def _timed(work: Callable[[], None]) -> Callable[..., dict[str, Any]]:
    def run(count: int, repeats: int = 1) -> dict[str, Any]:
        """Seconds of `count` in one go, `repeats` times."""
        seconds = []
        for _ in range(repeats):
            started = time.perf_counter()
            for _ in range(count):
                work()
            seconds.append(time.perf_counter() - started)
        return {"seconds": seconds}

    return run


def memory() -> dict[str, float]:
    """Resident memory of this process in GB (10^9 bytes): now, and the highest so far; {} where
    the system does not say."""
    found = {}
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return found
    for key, name in (("VmRSS", "resident_gb"), ("VmHWM", "peak_gb")):
        if match := re.search(rf"{key}:\s+(\d+) kB", status):
            found[name] = int(match.group(1)) * 1024 / 1e9
    return found


def forget() -> dict[str, float]:
    """Begins a new peak at the present level, where the system allows it. What the process has
    freed (a compiler's memory, for example) is given back first."""
    try:
        if sys.platform == "linux":
            ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):  # no such file, or a C library without malloc_trim
        return {}
    return memory()


def has_torch(python: str) -> str | None:
    """The version of torch in an interpreter, or None."""
    words: Sequence[str] = [python, "-c", "import torch; print(torch.__version__)"]
    try:
        found = subprocess.run(words, capture_output=True, text=True, timeout=300)
    except OSError:
        return None
    return found.stdout.strip() if found.returncode == 0 else None
