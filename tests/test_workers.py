"""Jobs in spawned processes: order, progress, errors, and the end of the others."""

import os
import signal
import subprocess
import sys
import time

import pytest

from motion_jax import workers
from motion_jax.cli import terminal
from motion_jax.errors import UserError


def square(number: int) -> int:
    workers.advance()
    return number * number


def process(_: int) -> int:
    return os.getpid()


def fail_or_work_on(number: int) -> None:
    if number == 0:
        raise UserError("the first job has a fault")
    for _ in range(6000):  # a minute, if nobody stops it
        workers.advance()
        time.sleep(0.01)


def die(_: int) -> None:
    os.write(2, b"last words")
    os._exit(3)


def test_results_in_order_and_processes_reused(capsys, monkeypatch):
    monkeypatch.setattr(terminal, "LEAST_SECONDS", 0.0)
    with workers.pool(2):
        assert workers.run_jobs(square, [3, 1, 2], 2, "Squares", 3) == [9, 1, 4]
        first = set(workers.run_jobs(process, [0, 0, 0], 2, "Ids", 3))
        again = set(workers.run_jobs(process, [0, 0, 0], 2, "Ids", 3))
    assert os.getpid() not in first and len(first | again) <= 2
    assert "3/3" in capsys.readouterr().err


def test_an_error_ends_the_other_jobs():
    begin = time.monotonic()
    with pytest.raises(UserError, match="the first job"):
        workers.run_jobs(fail_or_work_on, [1, 0], 2, "Work", 2)
    assert time.monotonic() - begin < 50
    # The next block has processes of its own.
    assert workers.run_jobs(square, [5], 1, "Squares", 1) == [25]


def test_a_death_is_told_with_last_words():
    with pytest.raises(RuntimeError, match="Work: a process died; its last words: last words"):
        workers.run_jobs(die, [0], 1, "Work", 1)


# Read by every Python that starts, before anything of workers.py runs.
INTERRUPTS = """
import os
import signal
import sys

if "--multiprocessing-fork" in sys.orig_argv:
    os.kill(os.getpid(), signal.SIGINT)
"""
# Without `if __name__ == "__main__":`, as people write scripts.
SCRIPT = """
from motion_jax import workers

print("begun")
with workers.pool(2, PRELOAD):
    print(workers.run_jobs(abs, [-1, 2, -3], 2, "Numbers", 3))
"""


@pytest.mark.parametrize("preload", ["()", "('json',)"])
def test_a_script_runs_once_and_ctrl_c_while_a_worker_starts_is_the_first_processs(
    tmp_path, preload
):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace("PRELOAD", preload))
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTS)
    done = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("begun\n[1, 2, 3]\n", "", 0)


def test_this_process_hears_of_ctrl_c_once_workers_are_started():
    # Tests that are started in the background of a shell inherit an ignored SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), workers._spawning():
            signal.raise_signal(signal.SIGINT)
            held = signal.sigpending()
    finally:
        signal.signal(signal.SIGINT, before)
    assert held == {signal.SIGINT}
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
