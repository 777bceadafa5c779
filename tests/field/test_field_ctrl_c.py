"""Ctrl-C ends every verb with 130 at every moment, and leaves nothing half-made.

In the ordinary run each of a few verbs is interrupted at a few moments; MOTION_JAX_INTERRUPTS=10
interrupts all of them ten times each.
"""

import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from field_films import film, pictures, poses

from motion_jax.cli import main

# Python below 3.11.4 has no filter.
SAFELY = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
MOMENTS = int(os.environ.get("MOTION_JAX_INTERRUPTS", "0"))
COMMAND = "from motion_jax.start import main; main()"
VERBS = {
    "prepare": "prepare {in}/film.mp4 --poses {in}/poses --out {out} --size 32x32 --workers 1",
    "import-data": "import-data {in}/film.mp4 --out {out} --size 32x32 --workers 1",
    "transfer": "transfer --method nearest --data {in}/film --source {in}/film.mp4 --poses "
    "{in}/poses --out {out}/out.mp4",
    "export-data": "export-data {in}/film --out {out}",
    "pair": "pair --a {in}/film --b {in}/film --out {out}",
    "train": "train two_cores --data {in}/film --run {out}",
    "train --dry-run": "train demo --dry-run",
    "evaluate": "evaluate --run {in}/runs/pix2pix --data {in}/data/ada",
    "profile": "profile demo --out {out}",
    "import": "import {in}/poses --run {out}",
    "export": "export --run {in}/runs/pix2pix --out {out}",
    "inspect": "inspect {in}/runs/pix2pix",
    "compare": "compare --target {in}/film --source {in}/film.mp4 --poses {in}/poses --out {out} "
    "--methods nearest,pose2pics --budget 9s",
    "--help": "transfer --help",
}
ORDINARY = ("evaluate", "transfer", "import-data")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ctrl")
    film(folder / "film.mp4", pictures(12))
    poses(folder / "poses", 12)
    # A trained run, and the dataset that it was trained on.
    for name in ("data", "run_pix2pix"):
        with tarfile.open(Path(__file__).parents[1] / f"before/{name}.tar.xz") as archive:
            archive.extractall(folder, **SAFELY)
    main(["prepare", str(folder / "film.mp4"), "--poses", str(folder / "poses"), "--out",
          str(folder / "film"), "--size", "32x32", "--workers", "1"])  # fmt: skip
    return folder


def listening() -> None:
    """Otherwise children are deaf to Ctrl-C where the tests were started in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def begin(words: str, place, out) -> subprocess.Popen:
    paths = {"in": place, "out": out}
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *(word.format(**paths) for word in words.split())],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=listening,
        env={**os.environ, "MOTION_JAX_CACHE": str(place / "cache")},
    )  # fmt: skip


@pytest.mark.parametrize("verb", VERBS if MOMENTS else ORDINARY)
def test_ctrl_c(place, tmp_path, verb):
    chance = random.Random(verb)
    began = time.monotonic()
    whole = begin(VERBS[verb], place, tmp_path / "whole")
    first = whole.communicate(timeout=900)
    longest = max(0.3, time.monotonic() - began)
    for number in range(MOMENTS or 2):
        out = tmp_path / f"out{number}"
        process = begin(VERBS[verb], place, out)
        # Before that Python itself is starting, and dies of the signal, which is 130 to a shell.
        moment = 0.15 + chance.random() * max(0.0, longest - 0.15)
        time.sleep(moment)
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=120)[1]
        status = process.returncode
        if status == whole.returncode and "motion-jax: interrupted" not in said:
            continue  # it was done before
        assert status in (130, -signal.SIGINT), (moment, status, said[-2000:], first)
        if status == 130:
            assert "motion-jax: interrupted" in said or "Stopped" in said, said[-2000:]
            for word in ("Traceback", "Segmentation", "leaked"):
                assert word not in said, (moment, said[-2000:])
        else:
            assert "motion_jax" not in said, (moment, said[-2000:])
        assert not (out / "out.mp4").exists() and not list(tmp_path.rglob("*.partial.mp4"))


def test_ctrl_c_while_the_command_line_itself_is_read(tmp_path):
    """The first import of `motion_jax.cli` interrupts itself."""
    program = """
import signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == "motion_jax.cli":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Finder())
from motion_jax.start import main
main()
print("went on")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, preexec_fn=listening
    )
    assert (done.returncode, done.stdout) == (130, ""), done
    assert done.stderr == "motion-jax: interrupted\n"


def test_workers_that_are_left_end_too_and_nothing_is_said_of_their_semaphores(tmp_path):
    program = """
import multiprocessing, sys, time
from motion_jax.cli.ending import leave
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    event, worker = context.Event(), context.Process(target=time.sleep, args=(60,))
    worker.start()
    print(worker.pid, flush=True)
    leave(130)
"""
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, tmp_path / "program.py"], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stderr) == (130, "")
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)


def test_an_interrupt_is_not_lost(tmp_path):
    """Dropped in a callback, turned into another error, or passed over: it ends the command."""
    program = """
import signal, sys, time, weakref
from motion_jax.cli.ending import after_ctrl_c
way = sys.argv[1]
class Thing: pass
with after_ctrl_c(True):
    if way == "callback":
        thing = Thing()
        ref = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
        del thing
    elif way == "error":
        try: signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt: raise ImportError("half a library")
    else:
        try: signal.raise_signal(signal.SIGINT)
        except BaseException: pass
    time.sleep(20)
    print("went on")
"""
    for way in ("callback", "error", "passed over"):
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", program, way],
            capture_output=True,
            text=True,
            preexec_fn=listening,
        )
        assert done.returncode == 130 and done.stdout == "", (way, done)
        assert done.stderr == "motion-jax: interrupted\n" and time.monotonic() - began < 15


def test_the_loading_of_a_native_library_is_not_interrupted():
    """jaxlib's crashes then."""
    program = """
import signal, sys
from motion_jax.cli.ending import after_ctrl_c
loader = '''
import signal, time
class ExtensionFileLoader:
    def exec_module(self):
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.3)
        print("loaded", flush=True)
'''
place = {}
exec(loader, place)
with after_ctrl_c(True):
    place["ExtensionFileLoader"]().exec_module()
    signal.pause()
    print("went on")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        preexec_fn=listening,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (130, "loaded\n"), done
    assert done.stderr == "motion-jax: interrupted\n"


@pytest.mark.parametrize("ctrl_c", [signal.default_int_handler, signal.SIG_IGN])
def test_sigterm_ends_a_film_as_ctrl_c_does(tmp_path, ctrl_c):
    """`timeout` sends it to the process and to its group: twice. Scripts start what runs in the
    background deaf to Ctrl-C."""
    program = """
import signal, sys
from pathlib import Path
from motion_jax import cli, files
place = Path(sys.argv[1])
def film(arguments):
    with files.atomic_path(place) as partial:
        partial.write_bytes(b"half")
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
    print("went on")
cli._HANDLERS["transfer"] = film
sys.argv = ["motion-jax", "--events", str(place.parent / "events"), "transfer"]
cli.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "out.mp4"],
        capture_output=True, text=True, timeout=60,
        preexec_fn=lambda: signal.signal(signal.SIGINT, ctrl_c),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (143, ""), done
    assert done.stderr == "motion-jax: ended by SIGTERM\n"
    assert [path.name for path in tmp_path.iterdir()] == ["events"]
    assert '"status": 143' in (tmp_path / "events").read_text()


@pytest.fixture
def hearing():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_within_another_program_it_is_an_exception(hearing):
    from motion_jax.cli.ending import after_ctrl_c

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as end, after_ctrl_c(False):
        signal.raise_signal(signal.SIGINT)
    assert end.value.code == 130 and signal.getsignal(signal.SIGINT) is before
    with pytest.raises(ValueError), after_ctrl_c(False):
        raise ValueError
