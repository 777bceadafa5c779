"""Where a step's time goes, by a trace of some of them (train/trace.py makes it).

The trace is made for XProf, TensorBoard and Perfetto; here it is read without any of them. On a
CPU, XLA begins an instruction, goes on to the next that needs none of its results, and marks the
end of the first by an event of its own; its long convolutions are nearly all of that kind. So an
instruction lasts from its event to that mark, several last at the same time, and every moment is
shared equally among those that are under way: the shares add up to the time that passed.
"""

import gzip
import json
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jax.profiler import ProfileData

from motion_jax.errors import UserError
from motion_jax.files import write_bytes
from motion_jax.profiling.attribution import Attribution
from motion_jax.train.trace import STEP

# Instructions that run others; they get the moments in which none of those is under way.
_CONTAINERS = ("while", "conditional", "call")


@dataclass(frozen=True)
class Event:
    """One run of an instruction. name: of the HLO instruction; start, end: in seconds."""

    name: str
    start: float
    end: float


@dataclass(frozen=True)
class Trace:
    """What a trace holds about one device.

    Attributes:
      events: of the module asked for.
      begin, end: seconds; from the first step's marker to the end of the last instruction.
      steps: how many steps are marked.
    """

    events: list[Event]
    begin: float
    end: float
    steps: int


def newest(folder: Path) -> Path:
    """The folder of the newest trace in `folder`. Raises UserError where there is none."""
    found = sorted(Path(folder).glob("plugins/profile/*/*.xplane.pb"))
    if not found:
        raise UserError(f"There is no trace in {folder}; make one with motion-jax profile.")
    return found[-1].parent


def read(folder: Path, module: str) -> Trace:
    """The newest trace in a folder.

    Args:
      folder: that `train.trace.tracing` was given.
      module: whose instructions count, "jit_step" for a train step.
    Raises:
      UserError: no trace, or no instruction of the module in it.
    """
    path = next(iter(sorted(newest(folder).glob("*.xplane.pb"))))
    marks, ends = [], {}
    runs: dict[int, list[tuple[str, float, float, Any]]] = defaultdict(list)
    for plane, line, name, start, end, stats in _records(path):
        device = _device(plane)
        if name == STEP and "step_num" in stats:
            marks.append((start, end))
        elif name.startswith("end: "):
            ends[stats.get("_c")] = end
        elif plane.startswith("/device:TPU") and line == "XLA Ops":
            # A TPU's events are called by the instruction's whole text.
            name = name.split(" = ")[0].lstrip("%")
            runs[device or 0].append((name, start, end, None))
        elif "hlo_op" in stats and stats.get("hlo_module") == module:
            ordinal = stats.get("device_ordinal", 0) if device is None else device
            runs[ordinal].append((stats["hlo_op"], start, end, stats.get("_p")))
    if not runs:
        raise UserError(
            f"The trace {path} holds no instruction of {module}; make it again with motion-jax "
            "profile."
        )
    events = [
        Event(name, start, max(end, ends.get(mark, end) if mark is not None else end))
        for name, start, end, mark in runs[min(runs)]
    ]
    if not marks:
        raise UserError(f"The trace {path} marks no steps; make it again with motion-jax profile.")
    begin = min(start for start, _ in marks)
    events = [event for event in events if event.end > begin]
    return Trace(events, begin, max(event.end for event in events), len(marks))


def _records(path: Path) -> list[tuple[str, str, str, float, float, dict[str, Any]]]:
    """(plane, line, name, start, end, stats) of each event of a trace, times in seconds."""
    found = []
    # Some versions of jaxlib make their types here, at which Python 3.12 warns; where warnings are
    # errors, that would end the process.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for plane in ProfileData.from_file(str(path)).planes:
            for line in plane.lines:
                if line.name in _DERIVED:
                    continue
                for event in line.events:
                    start = event.start_ns * 1e-9
                    end = start + event.duration_ns * 1e-9
                    found.append((plane.name, line.name, event.name, start, end, dict(event.stats)))
    return found


# Lines that XProf's own collectors derive from the ones with the kernels.
_DERIVED = ("XLA Modules", "Steps", "Framework Ops", "Framework Name Scope", "Source code")


def _device(plane: str) -> int | None:
    """The number in "/device:GPU:1"; None for the host, whose events say it themselves."""
    if not plane.startswith("/device:"):
        return None
    number = plane.rsplit(":", 1)[1].split()[0]
    return int(number) if number.isdigit() else 0


def shared_time(
    events: Iterable[Event], opcodes: Mapping[str, str], begin: float, end: float
) -> tuple[dict[str, float], float]:
    """Seconds of each instruction between two moments, and seconds in which none is under way.

    opcodes: of the instructions by name. The values and the rest add up to end - begin.
    """
    changes: list[tuple[float, bool, str]] = []
    for event in events:
        start, stop = max(event.start, begin), min(event.end, end)
        if stop > start:
            changes.append((start, True, event.name))
            changes.append((stop, False, event.name))
    changes.sort(key=lambda change: (change[0], change[1]))
    seconds: dict[str, float] = defaultdict(float)
    leaves: dict[str, int] = {}
    containers: dict[str, int] = {}
    idle, before = 0.0, begin
    for moment, begins, name in changes:
        if moment > before:
            under_way = leaves or containers
            for each, count in under_way.items():
                seconds[each] += (moment - before) * count / sum(under_way.values())
            if not under_way:
                idle += moment - before
            before = moment
        active = containers if opcodes.get(name) in _CONTAINERS else leaves
        if begins:
            active[name] = active.get(name, 0) + 1
        elif active[name] == 1:
            del active[name]
        else:
            active[name] -= 1
    return dict(seconds), idle + max(end - before, 0.0)


def write_perfetto(folder: Path, trace: Trace, attribution: Attribution) -> Path:
    """Writes perfetto_trace.json.gz beside the newest trace, for ui.perfetto.dev and
    chrome://tracing: its events, with the layers as further tracks. Returns its path.

    The tracks "layers" hold each instruction for as long as it lasts, called by its scope; those
    that are under way at the same time lie on tracks of their own.
    """
    place = newest(folder)
    with gzip.open(next(iter(sorted(place.glob("*.trace.json.gz"))))) as file:
        # Perfetto refuses the field "metadata".
        events = [event for event in json.load(file)["traceEvents"] if event]
    process = 1 + max((event["pid"] for event in events), default=0)
    added = [_meta("process_name", process, {"name": "layers (by scope)"})]
    added.append(_meta("process_sort_index", process, {"sort_index": -1}))
    free: list[float] = []
    for event in sorted(trace.events, key=lambda each: each.start):
        if attribution.opcodes.get(event.name) in _CONTAINERS:
            continue
        lane = next((i for i, end in enumerate(free) if end <= event.start), len(free))
        free[lane : lane + 1] = [event.end]
        added.append(
            {
                "ph": "X",
                "pid": process,
                "tid": lane,
                "ts": event.start * 1e6,
                "dur": (event.end - event.start) * 1e6,
                "name": str(attribution.scope(event.name)),
                "args": {"hlo_op": event.name},
            }
        )
    path = place / "perfetto_trace.json.gz"
    document = {"displayTimeUnit": "ms", "traceEvents": [*added, *events]}
    write_bytes(path, gzip.compress(json.dumps(document).encode(), 5))
    return path


def _meta(name: str, process: int, values: dict[str, Any]) -> dict[str, Any]:
    return {"ph": "M", "pid": process, "name": name, "args": values}
