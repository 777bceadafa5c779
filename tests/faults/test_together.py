"""Several real processes over loopback: they train as one, stop together, and end with each other.

Tiny programs, but each process compiles them; what they compile is kept for the next.
"""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import tiny_run
from tiny_run import finish, rows_of, start, start_together

LOSSES = ("D_fake", "D_real", "G_GAN", "G_GAN_Feat", "G_L1")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Dataset, config, cache of compiled programs."""
    folder = tmp_path_factory.mktemp("together")
    return *tiny_run.write(folder), Path(os.environ["JAX_COMPILATION_CACHE_DIR"])


@pytest.fixture(scope="module")
def runs(made, tmp_path_factory):
    """Run directories by the number of processes that trained them."""
    data, config, cache = made
    found = {}
    for count in (1, 2):
        found[count] = tmp_path_factory.mktemp("runs") / str(count)
        if count == 1:
            jobs = [start(config, data, found[count], cache)]
        else:
            jobs = start_together(count, config, data, found[count], cache)
        for status, said in finish(jobs):
            assert status == 0, said
    return found


def losses(run):
    return {row["step"]: [row[name] for name in LOSSES] for row in rows_of(run)}


def assert_close(run, other, step, bound):
    for a, b, name in zip(losses(run)[step], losses(other)[step], LOSSES, strict=True):
        assert a == pytest.approx(b, rel=bound), f"{name} at step {step}"


def test_several_processes_train_as_one(runs):
    one, several = runs[1], runs[2]
    assert [row["step"] for row in rows_of(several)] == list(range(1, 21))
    assert [row["images"] for row in rows_of(several)] == [8 * n for n in range(1, 21)]
    assert_close(several, one, 1, 1e-5)
    assert_close(several, one, 5, 1e-3)
    # What one process writes, one of several writes: process 0.
    names = [{p.name for p in run.iterdir()} for run in (one, several)]
    assert names[0] == names[1]
    assert len(list((several / "tensorboard").iterdir())) == 1
    assert (several / "samples" / "step-0000020.png").is_file()
    assert len((several / "command.txt").read_text().splitlines()) == 1


def kept_until(run, step, target):
    """A run as a kill after `step` would have left it."""
    shutil.copytree(run, target)
    for checkpoint in (target / "checkpoints").iterdir():
        if checkpoint.name.isdigit() and int(checkpoint.name) > step:
            shutil.rmtree(checkpoint)
    return target


@pytest.mark.parametrize(("before", "step", "after"), [(1, 5, 2), (2, 15, 4)])
def test_another_number_of_processes_goes_on(made, runs, tmp_path, before, step, after):
    """With the same examples, from the devices' memory now: the next step's losses are those of the
    run that was not moved. That the state is what was saved, bit for bit, each start checks itself.
    """
    data, config, cache = made
    moved = kept_until(runs[before], step, tmp_path / "run")
    jobs = start_together(after, config, data, moved, cache, "--data.cache=device")
    results = finish(jobs)
    assert "training pictures go into the devices' memory" in results[0][1]
    assert [status for status, _ in results] == [0] * after, results
    assert f"Going on from step {step} of the global stage" in results[0][1]
    assert "cannot be restored" not in results[0][1]
    assert_close(moved, runs[before], step + 1, 1e-5)
    assert [row["step"] for row in rows_of(moved)] == list(range(1, 21))


def wait_for_rows(run, count, jobs):
    ends = time.monotonic() + 900
    while not (run / "metrics.jsonl").exists() or len(rows_of_whole(run)) < count:
        assert all(job.poll() is None for job in jobs), finish(jobs)
        assert time.monotonic() < ends, finish(jobs, 0)
        time.sleep(0.02)


def rows_of_whole(run):
    return (run / "metrics.jsonl").read_text().splitlines()


def test_one_is_asked_to_stop_and_one_is_killed(made, tmp_path):
    """SIGTERM to process 1 of 2: both save the same step and exit with 0. Then the same job again,
    and SIGKILL to process 1: process 0 ends at once and names it."""
    data, config, cache = made
    run = tmp_path / "run"
    endless = (
        f"{tiny_run.STAGE}steps=1000000",
        "--record.checkpoint-every=0",
        "--record.keep=1",
    )
    jobs = start_together(2, config, data, run, cache, *endless)
    wait_for_rows(run, 3, jobs)
    jobs[1].send_signal(signal.SIGTERM)
    (first, said), (second, other) = finish(jobs)
    assert (first, second) == (0, 0), said + other
    [saved] = [int(p.name) for p in (run / "checkpoints").iterdir()]
    assert f"Stopped by a preemption notice to one of the processes after step {saved} " in said
    assert saved == len(rows_of(run)), "the last row is of the step that was saved"
    assert other == "", "process 0 alone tells"

    jobs = start_together(2, config, data, run, cache, *endless)
    wait_for_rows(run, saved + 3, jobs)
    jobs[1].kill()
    begun = time.monotonic()
    (first, said), (second, _) = finish(jobs)
    assert time.monotonic() - begun < 60 and second == -signal.SIGKILL
    assert first == 75, said
    assert f"Going on from step {saved} of" in said
    assert "Process 1 of 2" in said and "went away without a word (killed" in said


def test_different_configs_are_refused_on_all(made, tmp_path):
    data, config, cache = made
    place = ("--coordinator", f"127.0.0.1:{tiny_run.free_port()}", "--processes", "2")
    rate = f"{tiny_run.STAGE}learning-rate=0.1"
    jobs = [
        start(config, data, tmp_path / "run", cache, *place, "--process", "0"),
        start(config, data, tmp_path / "run", cache, *place, "--process", "1", rate),
    ]
    for status, said in finish(jobs):
        assert status == 2
        assert "recipe.global_stage.learning_rate: 0.0002 in process 0, 0.1 in process 1" in said
        assert said.startswith("motion-jax: error:") and len(said.splitlines()) == 1
    assert not (tmp_path / "run").exists()
