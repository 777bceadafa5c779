"""Which place a process has, from the command line and from what clusters say."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from motion_jax.devices.processes import Job, Place, Together, detect, join, place
from motion_jax.errors import UserError

SLURM = {
    "SLURM_JOB_ID": "4242",
    "SLURM_STEP_NODELIST": "node[003-004]",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
}


@pytest.fixture
def environment(monkeypatch):
    """Sets a cluster's variables and gives what they say."""

    def found(variables):
        for name in SLURM.keys() | {"OMPI_COMM_WORLD_SIZE", "CUDA_VISIBLE_DEVICES"}:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return detect(variables)

    return found


def test_alone_where_there_is_no_cluster(environment):
    assert detect({}) is None
    # A batch script, or the shell of salloc: not a task of srun.
    assert detect({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "4"}) is None
    # srun --ntasks 1 --pty bash.
    one = SLURM | {"SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}
    assert detect(one) is None
    assert detect({"OMPI_COMM_WORLD_SIZE": "1"}) is None
    assert detect({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}) is None


def test_slurm(environment):
    port = 4242 % 2**12 + (65535 - 2**12 + 1)
    found = environment(SLURM)
    assert found == Place(f"node003:{port}", 3, 4, (1,), patient=True)
    # Slurm shows each task its own GPU, or there is one task a node: all that is seen.
    assert environment(SLURM | {"CUDA_VISIBLE_DEVICES": "2"}).local_devices is None
    each = SLURM | {"SLURM_STEP_TASKS_PER_NODE": "1(x4)", "SLURM_LOCALID": "0"}
    assert environment(each).local_devices is None


def test_open_mpi(environment):
    mpi = {
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_RANK": "1",
        "OMPI_COMM_WORLD_LOCAL_RANK": "1",
        "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    }
    uri = {"OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911"}
    found = environment(mpi | uri)
    assert found.coordinator.startswith("10.96.0.1:") and (found.index, found.count) == (1, 2)
    assert found.local_devices == (1,)
    with pytest.raises(UserError, match="Open MPI 5 does not say where process 0 of 2 is"):
        detect(mpi)


def test_kubernetes_without_its_package():
    with pytest.raises(UserError, match="indexed Kubernetes job.*processes 1"):
        detect({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "1"})


def test_the_command_line():
    assert place(None, None, 1) is None and place(None, 0, 1) is None
    assert place("10.0.0.1:8482", 1, 2) == Place("10.0.0.1:8482", 1, 2)
    for given in ((None, 1, 2), ("a:1", None, 2), ("a:1", 0, None), (None, None, 2)):
        with pytest.raises(UserError, match="belong together"):
            place(*given)
    with pytest.raises(UserError, match="is not HOST:PORT"):
        place("nowhere", 0, 2)
    with pytest.raises(UserError, match="processes 0 is too few"):
        place("a:1", 0, 0)


def test_alone_everything_is_agreed():
    job = join(None, dict, 1.0)
    assert job.first and job.count == 1 and job.share("a") == "a"
    assert job.all_agree(True) and not job.all_agree(False)
    assert job.together_at(1, True) and not job.together_at(2, False)
    with pytest.raises(UserError, match="no data"), job:
        raise UserError("no data")


class Store(dict):
    """The coordination service's key-value store."""

    def key_value_set(self, key, value):
        assert key not in self
        self[key] = value

    key_value_try_get = dict.__getitem__


def test_a_wish_of_process_0_is_met_at_the_same_step_everywhere(monkeypatch):
    store = Store()
    monkeypatch.setattr("motion_jax.devices.processes._client", lambda: store)
    jobs = []
    for index in range(3):
        job = object.__new__(Together)
        job.index, job.count, job._asked, job._decisions, job._due = index, 3, 0, 0, None
        jobs.append(job)
    # Process 1 is up to four steps behind process 0, process 2 four ahead.
    lag = {0: 0, 1: -4, 2: 4}
    done = {0: [], 1: [], 2: []}
    for now in range(5, 200):
        for job in jobs:
            step = now + lag[job.index]
            if job.together_at(step, wanted=job.index != 0 or now in (20, 21, 60, 131)):
                done[job.index].append(step)
    assert done[0] == done[1] == done[2] == [32, 72, 144]
    assert isinstance(jobs[0], Job)


PROGRAM = """
import sys, time
from motion_jax.errors import UserError
from motion_jax.cli.terminal import Terminal
from motion_jax.devices.processes import Place, join
from motion_jax.events import watched

index = int(sys.argv[1])
with watched(Terminal()), join(Place(sys.argv[2], index, 3), dict, 120) as job:
    assert job.share(str(index)) == "0" and not job.all_agree(index != 2)
    print("joined", flush=True)
    if sys.argv[3] == "end":
        from jax.experimental import multihost_utils

        # The devices' network announces itself on standard output.
        multihost_utils.sync_global_devices("together")
        print("synchronised", flush=True)
    job.all_agree(True)
    if sys.argv[3] == str(index):
        raise UserError("Shard 3 is damaged; prepare again.")
    time.sleep(0 if sys.argv[3] == "end" else 600)
"""


def three(what):
    """Three processes that have joined."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{one.getsockname()[1]}"
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(index), address, what],
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(3)
    ]
    for job in jobs:
        assert job.stdout.readline() == "joined\n", job.communicate()[1]
    return jobs


def ends(jobs):
    said = [job.communicate(timeout=600) for job in jobs]
    for out, _ in said:
        assert out in ("", "synchronised\n")
    return [job.returncode for job in jobs], [err for _, err in said]


def test_processes_that_end_in_order():
    statuses, said = ends(three("end"))
    assert statuses == [0, 0, 0], said
    assert said[0].startswith("3 processes at 127.0.0.1:") and said[1:] == ["", ""]


def test_a_failing_process_takes_the_others_with_it():
    statuses, said = ends(three("1"))
    assert statuses == [2, 2, 2]
    assert said[1].startswith("motion-jax: error: Shard 3 is damaged; prepare again.\n")
    for other in (said[0], said[2]):
        assert "Process 1 of 3 (" in other and "failed: Shard 3 is damaged" in other


def test_a_killed_process_takes_the_others_with_it():
    jobs = three("nobody")
    jobs[2].send_signal(signal.SIGKILL)
    statuses, said = ends(jobs)
    assert statuses == [75, 75, -signal.SIGKILL]
    for other in said[:2]:
        assert "Process 2 of 3 (" in other and "went away without a word" in other
