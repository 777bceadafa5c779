"""Jobs as files. A job is a folder PROJECT/jobs/NUMBER with

- job.json: what is asked for, and how it stands (`Job`);
- log.txt: what its processes printed; events.jsonl: their events (record.py);
- stop: there while a stop is asked for; its size in bytes is how often;
- lock: locked by the job's process for as long as it lives.

The queue (queue.py) alone changes jobs that wait or run; whoever asks may add jobs, ask for a stop,
and let jobs that ended begin again. So no two write the same file at once.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from motion_jax import files
from motion_jax.errors import UserError, option

State = Literal["waiting", "running", "done", "stopped", "failed", "killed"]
# Where at most one job runs at a time: what needs the accelerator; and what is done quickly beside
# it on the CPU.
Lane = Literal["main", "side"]
LANES: tuple[Lane, ...] = ("main", "side")
ENDED = ("done", "stopped", "failed", "killed")
PROJECT = "project.json"


def default_root() -> Path:
    """Where projects are: $MOTION_JAX_PROJECTS, else ~/motion-jax."""
    if folder := os.environ.get("MOTION_JAX_PROJECTS"):
        return Path(folder)
    return Path.home() / "motion-jax"


@dataclass(frozen=True)
class Job:
    """One command.

    Attributes:
      folder: PROJECT/jobs/NUMBER.
      words: of the command, after `motion-jax`; paths in it are relative to the project's folder.
      title: for people.
      about: what it belongs to, as the asker likes ("datasets/ben").
      lane: see Lane. again: whether it is begun again after it was killed: the same command goes
        on, or does no harm.
      asked, begun, ended: seconds since 1970.
      status: exit status of its last process; error: what that said last, where it failed.
      pid: of its process. tries: how often it was killed in short time.
    """

    folder: Path
    words: tuple[str, ...]
    title: str = ""
    about: tuple[str, ...] = ()
    lane: Lane = "main"
    again: bool = True
    state: State = "waiting"
    asked: float = 0.0
    begun: float | None = None
    ended: float | None = None
    status: int | None = None
    error: str = ""
    pid: int = 0
    tries: int = 0

    @property
    def project(self) -> Path:
        return self.folder.parent.parent

    @property
    def number(self) -> str:
        return self.folder.name

    @property
    def verb(self) -> str:
        return self.words[0]

    @property
    def events(self) -> Path:
        return self.folder / "events.jsonl"

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    @property
    def stops(self) -> int:
        """How often a stop was asked for."""
        try:
            return (self.folder / "stop").stat().st_size
        except OSError:
            return 0

    @property
    def is_over(self) -> bool:
        return self.state in ENDED

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the folder."""
        value = asdict(self)
        del value["folder"]
        return value


def read(folder: Path) -> Job | None:
    """The job in a folder; None where there is none, or it is being made."""
    try:
        value = json.loads((folder / "job.json").read_text())
        value |= {"words": tuple(value["words"]), "about": tuple(value["about"])}
        return Job(folder=folder, **value)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write(job: Job, **changes: Any) -> Job:
    """The job, changed and saved."""
    job = replace(job, **changes)
    files.write_json(job.folder / "job.json", job.to_json())
    return job


def projects(root: Path) -> list[Path]:
    """The folders of the projects under a root: its own, and those of its users."""
    found = [*root.glob(f"*/{PROJECT}"), *root.glob(f"*/*/{PROJECT}")]
    return sorted(path.parent for path in found)


def of_project(project: Path) -> list[Job]:
    """Its jobs, in the order in which they were asked for."""
    try:
        folders = list((project / "jobs").iterdir())
    except OSError:
        return []
    found = [job for job in map(read, folders) if job is not None]
    return sorted(found, key=lambda job: (job.asked, int(job.number)))


def of_root(root: Path) -> list[Job]:
    """The jobs of all its projects, in the same order."""
    found = [job for project in projects(root) for job in of_project(project)]
    return sorted(found, key=lambda job: (job.asked, int(job.number)))


def name(job: Job, root: Path) -> str:
    """As the terminal calls it: PROJECT/NUMBER."""
    return f"{job.project.relative_to(root)}/{job.number}"


def add(
    project: Path,
    words: Sequence[str],
    *,
    title: str = "",
    about: Sequence[str] = (),
    lane: Lane = "main",
    again: bool = True,
) -> Job:
    """Puts a command at the end of the queue; see Job. queue.ensure sees to it that it begins.

    Raises UserError where the project's folder cannot be written.
    """
    jobs = project / "jobs"
    files.check_writable(jobs)
    number = max((int(path.name) for path in jobs.iterdir() if path.name.isdigit()), default=0)
    while True:
        number += 1
        folder = jobs / str(number)
        # Who makes the folder has the number.
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            break
    made = Job(
        folder, tuple(words), title or words[0], tuple(about), lane, again, asked=time.time()
    )
    return write(made)


def ask_to_stop(job: Job) -> None:
    """Asks the queue to stop it; asked again, it is ended at once. Not of a job that is over."""
    if not job.is_over:
        with open(job.folder / "stop", "ab") as file:
            file.write(b"x")


def let_go_on(job: Job) -> Job:
    """Puts a job that ended back into the queue. Raises UserError for one that waits or runs, and
    for one that is done."""
    if not job.is_over:
        raise UserError(f"The job {job.number} is {job.state}; there is nothing to resume.")
    if job.state == "done":
        raise UserError(f"The job {job.number} is done; there is nothing left of it.")
    with contextlib.suppress(FileNotFoundError):
        (job.folder / "stop").unlink()
    return write(job, state="waiting", asked=time.time(), ended=None, error="", tries=0)


def find(root: Path, given: str) -> Job:
    """The job of a name, PROJECT/NUMBER. Raises UserError where there is none."""
    for job in of_root(root):
        if name(job, root) == given:
            return job
    raise UserError(
        f"There is no job {given} in {root}; motion-jax jobs lists them ({option('projects')} "
        "names another folder)."
    )


@contextlib.contextmanager
def locked(path: Path) -> Iterator[int | None]:
    """An open file of that name with a lock on it; None where another process has it."""
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield number
    finally:
        os.close(number)


def is_alive(job: Job) -> bool:
    """Whether a process of the job lives, whoever started it."""
    with locked(job.folder / "lock") as mine:
        return mine is None
