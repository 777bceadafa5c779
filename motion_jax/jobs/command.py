"""`motion-jax jobs`."""

import json
import shlex
import sys
import time
from pathlib import Path

from motion_jax.errors import UserError, option
from motion_jax.jobs import book, queue
from motion_jax.jobs.book import Job
from motion_jax.jobs.options import JobsOptions
from motion_jax.jobs.record import summary
from motion_jax.progress import say


def jobs(options: JobsOptions) -> None:
    """Lists, stops or resumes jobs, or prints a log. Raises UserError for a job that is not
    there."""
    root = (options.projects or book.default_root()).resolve()
    if options.action == "list":
        if options.job:
            raise UserError("The list shows all jobs; leave out their names.")
        _list(root, options)
        return
    if options.json:
        raise UserError(f"{option('json')} goes with the list alone.")
    if not options.job:
        raise UserError(f"Say which job to {options.action}: PROJECT/NUMBER, as the list shows it.")
    found = [book.find(root, name) for name in options.job]
    for job, name in zip(found, options.job, strict=True):
        if options.action == "log":
            sys.stdout.write(job.log.read_text(errors="replace") if job.log.exists() else "")
        elif options.action == "stop":
            if job.is_over:
                raise UserError(f"The job {name} is {job.state} already.")
            book.ask_to_stop(job)
            say(f"{name} is asked to stop.")
        else:
            book.let_go_on(job)
            say(f"{name} goes on as soon as its turn comes.")
    # Jobs that a queue left behind are looked after, too.
    if options.action != "log":
        queue.ensure(root)


def _list(root: Path, options: JobsOptions) -> None:
    found = book.of_root(root)
    if options.json:
        rows = [{"name": book.name(job, root), **job.to_json(), **_progress(job)} for job in found]
        print(json.dumps(rows, indent=2))
        return
    if not found:
        say(f"There are no jobs in {root}.")
    for job in found:
        print("  ".join(filter(None, (book.name(job, root), _stands(job), _line(job)))))


def _progress(job: Job) -> dict[str, object]:
    said = summary(job.events)
    return {"share": 1.0 if job.state == "done" else said.share, "message": said.message}


def _stands(job: Job) -> str:
    if job.state == "running":
        return f"running {100 * summary(job.events).share:.0f} %"
    if job.ended is None:
        return job.state
    return f"{job.state} {time.strftime('%Y-%m-%d %H:%M', time.localtime(job.ended))}"


def _line(job: Job) -> str:
    return job.error or f"motion-jax {shlex.join(job.words)}"
