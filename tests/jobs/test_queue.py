"""The queue: one job at a time, stops, deaths of jobs and of the queue itself."""

import os
import signal
import subprocess
import time

import pytest

from motion_jax.errors import UserError
from motion_jax.jobs import book, queue
from motion_jax.jobs.command import jobs
from motion_jax.jobs.options import JobsOptions

# What a job runs here in place of a verb: it writes events as a verb does, counts how often it was
# begun, and takes its time.
FAKE = """
import pathlib, signal, sys, time
sys.path.insert(0, {root!r})
from motion_jax.jobs.record import recorded
from motion_jax.events import emit, watched, Said
events, verb, *rest = sys.argv[2:]
with recorded(pathlib.Path(events), lambda event: None) as recorder, watched(recorder):
    pathlib.Path("begun").open("a").write(verb)
    emit(Said("begun"), at=0.25)
    if verb == "fails":
        from motion_jax.errors import UserError
        raise UserError("It is wrong; mend it.")
    if verb == "dies" and pathlib.Path("begun").read_text().count("dies") <= int(rest[0]):
        import os
        os.kill(os.getpid(), signal.SIGKILL)
    ends = time.monotonic() + (60 if verb == "waits" else 0)
    while time.monotonic() < ends:
        time.sleep(0.01)
        if pathlib.Path("enough").exists():
            break
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose jobs run FAKE: a python of its own, which leaves out the module's name."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    fake = tmp_path / "fake.py"
    fake.write_text(FAKE.format(root=root))
    real = subprocess.Popen

    def started(words, **more):
        if "motion_jax.cli" in words:
            words = [words[0], str(fake), *words[words.index("--events") :]]
        return real(words, **more)

    monkeypatch.setattr(queue.subprocess, "Popen", started)
    monkeypatch.setattr(queue, "LOOK", 0.01)
    folder = tmp_path / "projects" / "one"
    folder.mkdir(parents=True)
    (folder / book.PROJECT).write_text("{}")
    return folder


def begun(project):
    """What the jobs wrote that were begun."""
    path = project / "begun"
    return path.read_text() if path.exists() else ""


def again(job):
    return book.read(job.folder)


def until(what, seconds=30):
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.01)


def test_jobs_run_in_order_and_say_how_they_ended(project):
    good = book.add(project, ["good", "--x", "1"], title="Good", about=["datasets/ben"])
    bad = book.add(project, ["fails"])
    dead = book.add(project, ["dies", "1"])
    gone = book.add(project, ["dies", "99"], again=False)
    assert [job.number for job in (good, bad, dead, gone)] == ["1", "2", "3", "4"]
    queue.run(project.parent, idle=0.1)
    assert begun(project) == "good" + "fails" + "dies" * 3
    assert again(good).state == "done" and again(good).status == 0
    assert again(bad).state == "failed" and again(bad).error == "It is wrong; mend it."
    # Killed once, and begun again.
    assert again(dead).state == "done"
    assert again(gone).state == "killed" and "ended from outside" in again(gone).error
    assert again(good).about == ("datasets/ben",) and again(good).words == ("good", "--x", "1")


def test_a_job_that_dies_each_time_is_given_up(project):
    job = book.add(project, ["dies", "99"])
    queue.run(project.parent, idle=0.1)
    assert again(job).state == "killed"
    assert begun(project) == "dies" * queue.TRIES


def background(project, idle=0.2):
    """A queue in another process, as users have it, but for what the fixture puts in place."""
    child = os.fork()
    if not child:
        queue.run(project.parent, idle)
        os._exit(0)
    return child


def test_stopping_and_going_on(project):
    long, never = book.add(project, ["waits"]), book.add(project, ["good"])
    child = background(project)
    until(lambda: again(long).state == "running" and begun(project) == "waits")
    until(lambda: "begun" in again(long).events.read_text())
    assert again(never).state == "waiting"
    book.ask_to_stop(again(never))
    until(lambda: again(never).state == "stopped")
    book.ask_to_stop(again(long))
    until(lambda: again(long).state == "stopped")
    assert again(long).status == 130
    with pytest.raises(UserError, match="is running|is waiting|nothing"):
        book.let_go_on(book.add(project, ["good"]))
    (project / "enough").write_text("")
    book.let_go_on(again(long))
    until(lambda: again(long).state == "done")
    with pytest.raises(UserError, match="is done"):
        book.let_go_on(again(long))
    os.waitpid(child, 0)


def test_a_job_outlives_its_queue_and_the_next_queue_finds_it(project):
    job, later = book.add(project, ["waits"]), book.add(project, ["good"])
    child = background(project)
    until(lambda: begun(project) == "waits" and again(job).pid)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert book.is_alive(again(job))
    child = background(project)
    time.sleep(0.3)
    # It goes on, and nothing else begins beside it.
    assert again(job).state == "running" and again(later).state == "waiting"
    (project / "enough").write_text("")
    until(lambda: again(later).state == "done")
    assert again(job).state == "done" and begun(project) == "waitsgood"
    os.waitpid(child, 0)


def test_when_queue_and_job_are_killed_the_job_is_begun_again(project):
    job = book.add(project, ["waits"])
    child = background(project)
    until(lambda: begun(project) == "waits" and again(job).pid)
    os.kill(child, signal.SIGKILL)
    os.kill(again(job).pid, signal.SIGKILL)
    os.waitpid(child, 0)
    until(lambda: not book.is_alive(again(job)))
    assert again(job).state == "running"
    (project / "enough").write_text("")
    queue.run(project.parent, idle=0.1)
    assert again(job).state == "done" and begun(project) == "waits" * 2


def test_lanes_run_beside_each_other(project):
    long, quick = book.add(project, ["waits"]), book.add(project, ["good"], lane="side")
    child = background(project)
    until(lambda: again(quick).state == "done")
    assert again(long).state == "running"
    (project / "enough").write_text("")
    os.waitpid(child, 0)


def test_one_queue_for_a_folder(project):
    book.add(project, ["good"])
    with book.locked(project.parent / queue.LOCK) as mine:
        assert mine is not None
        queue.run(project.parent, idle=0.1)  # at once: another one has the lock
        queue.ensure(project.parent)
        assert not (project / "begun").exists()


def test_ensure_starts_a_process_that_does_the_work_and_ends(tmp_path):
    """With a real command, which fails at once."""
    project = tmp_path / "one"
    project.mkdir()
    (project / book.PROJECT).write_text("{}")
    job = book.add(project, ["jobs", "stop", "absent/1", "--projects", "."])
    queue.ensure(tmp_path)
    until(lambda: again(job).state == "failed")
    assert "absent/1" in again(job).error and again(job).status == 2


def test_the_terminal_shows_the_same_jobs(project, capsys, monkeypatch):
    root = project.parent
    first, second = book.add(project, ["fails"]), book.add(project, ["good", "--out", "a b"])
    book.ask_to_stop(second)
    queue.run(root, idle=0.1)
    jobs(JobsOptions(projects=root))
    out = capsys.readouterr().out
    assert "one/1  failed" in out and "mend it" in out
    assert "one/2  stopped" in out and "motion-jax good --out 'a b'" in out
    monkeypatch.setattr(queue, "ensure", lambda root: None)
    jobs(JobsOptions("resume", ("one/2",), projects=root))
    assert again(second).state == "waiting"
    for options, words in (
        (JobsOptions("stop", ("one/9",), projects=root), "no job one/9"),
        (JobsOptions("stop", ("one/1",), projects=root), "failed already"),
        (JobsOptions("stop", projects=root), "which job"),
        (JobsOptions("list", ("one/1",), projects=root), "leave out"),
    ):
        with pytest.raises(UserError, match=words):
            jobs(options)
    book.ask_to_stop(again(second))
    assert first.number == "1"
