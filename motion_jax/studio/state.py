"""How a project's jobs stand, for pages that ask every second. Only what is new is read."""

import hashlib
import json
import threading
import time
from pathlib import Path
from typing import Any

from motion_jax.jobs.book import Job
from motion_jax.jobs.record import Follower, Summary
from motion_jax.studio.actions import command
from motion_jax.studio.library import Item, Library

# What a form held that a job was made of, in the job's folder: see again.py.
FORM = "form.json"
# The line in which a command names the one after it.
NEXT = "Next: "
# Seconds without a word after which a job's time left is not told.
QUIET = 20.0
# Of jobs that are over, the newest that are told.
OVER = 30
# Points of a curve that are sent.
POINTS = 200


class Watch:
    """Follows the events of all jobs that somebody asked about."""

    def __init__(self) -> None:
        self._followers: dict[Path, Follower] = {}
        self._lock = threading.Lock()

    def summary(self, job: Job) -> Summary:
        with self._lock:
            follower = self._followers.setdefault(job.events, Follower(job.events))
            return follower.read()

    def told(self, library: Library) -> dict[str, Any]:
        """Jobs, and a "version": see version_of."""
        # First: what changes while this is told is told the next time.
        version = version_of(library)
        jobs = library.jobs()
        waiting = [job.number for job in jobs if job.state == "waiting"]
        over = [job for job in jobs if job.is_over][-OVER:]
        shown = [job for job in jobs if not job.is_over] + over
        rows = [self.row(job, waiting) for job in shown]
        return {"version": version, "jobs": rows, "time": time.time()}

    def row(self, job: Job, waiting: list[str] | None = None) -> dict[str, Any]:
        """A job as pages show it."""
        said = self.summary(job)
        running = job.state == "running"
        if said.began and job.begun and said.began < job.begun - 1:
            said = Summary()  # Of the process before this one.
        # Which command comes next is for a terminal.
        lines = [text for text in said.said if not text.startswith(NEXT)]
        if job.state == "waiting":
            lines = []  # What it said when it was stopped is no longer so.
        place = waiting.index(job.number) + 1 if waiting and job.number in waiting else 0
        return {
            "number": job.number,
            "verb": job.verb,
            # One command can have several forms.
            "form": kept_of(job).get("verb", job.verb),
            "title": job.title,
            "state": job.state,
            "stopping": job.stops > 0 and not job.is_over,
            "place": place,
            "share": 1.0 if job.state == "done" else round(said.share, 4),
            # What says nothing for long (it compiles) has no time to tell.
            "left": said.seconds_left() if running and time.time() - said.last < QUIET else None,
            "stage": said.stage,
            "task": said.task,
            "done": said.done,
            "total": said.total,
            "line": lines[-1] if lines else "",
            "step": said.step,
            "error": job.error,
            "status": job.status,
            "command": command(job),
            "about": list(job.about),
            "again": leads_back(job),
            "asked": job.asked,
            "ended": job.ended,
        }


def version_of(library: Library) -> str:
    """Changes when anything of a project does but the progress of its jobs."""
    about = sorted((p.name, p.stat().st_mtime_ns) for p in _files(library.folder / "about"))
    states = [(job.number, job.state, job.stops) for job in library.jobs()]
    samples = [newest_sample(item) for item in library.items("runs")]
    return hashlib.sha256(json.dumps([about, states, samples]).encode()).hexdigest()[:16]


def kept_of(job: Job) -> dict[str, Any]:
    """What again.keep kept of the form that a job was made of; {} where nothing was."""
    try:
        value = json.loads((job.folder / FORM).read_text())
        return value if isinstance(value["values"], dict) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def leads_back(job: Job) -> bool:
    """Whether there is a form to fill in again: a job of one that did not get through."""
    return job.state in ("failed", "stopped", "killed") and (job.folder / FORM).is_file()


def _files(folder: Path) -> list[Path]:
    return list(folder.glob("*.json"))


def samples(run: Item) -> list[int]:
    """The steps at which a run drew its samples, in order."""
    found = []
    for path in (run.path / "samples").glob("step-*.png"):
        number = path.stem.removeprefix("step-")
        if number.isdigit():
            found.append(int(number))
    return sorted(found)


def newest_sample(run: Item) -> int:
    found = samples(run)
    return found[-1] if found else -1


def losses(run: Item) -> dict[str, Any]:
    """The run's curves: {"steps": [...], "curves": {name: [...]}}, thinned to POINTS."""
    rows = []
    try:
        text = (run.path / "metrics.jsonl").read_text()
    except OSError:
        text = ""
    for line in text.splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    rows = rows[:: max(len(rows) // POINTS, 1)]
    known = {
        "stage", "step", "total_step", "images", "seconds", "images_per_second", "input_wait",
        "learning_rate",
    }  # fmt: skip
    names = dict.fromkeys(name for row in rows for name in row if name not in known)
    curves = {
        name: [row.get(name) if isinstance(row.get(name), int | float) else None for row in rows]
        for name in names
    }
    return {"steps": [row.get("total_step", 0) for row in rows], "curves": curves}
