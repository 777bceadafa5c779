"""The shell scripts of launch/, with fakes in the place of clusters and of motion-jax."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
SCRIPTS = sorted([*LAUNCH.glob("*.sh"), *(LAUNCH / "slurm").iterdir(), LAUNCH / "gpu.env"])
TRAIN = ("small", "--data", "a folder/d", "--run", "r")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_sound(path, checker):
    assert subprocess.run(["bash", "-n", path]).returncode == 0
    if path.suffix != ".env":
        assert os.access(path, os.X_OK), f"chmod +x {path}"
    done = subprocess.run(
        [checker("shellcheck"), "--external-sources", path],
        cwd=LAUNCH.parent, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_local_one_process(fakes):
    fakes.add("motion-jax")
    fakes.answer("motion-jax train", {"status": 75}, {"status": 75}, "")
    done = fakes.run(LAUNCH / "local.sh", *TRAIN, MOTION_JAX_PAUSE="0")
    assert done.returncode == 0, done.stderr
    # Lost twice, begun again with the same command.
    assert fakes.calls == [["motion-jax", "train", *TRAIN]] * 3
    assert done.stderr.count("going on from the last checkpoint") == 2


def test_local_gives_up_on_crashes(fakes):
    fakes.add("motion-jax")
    fakes.answer("motion-jax train", {"status": 137}, {"status": 75}, {"status": 139})
    done = fakes.run(LAUNCH / "local.sh", *TRAIN, MOTION_JAX_PAUSE="0")
    # Three crashes are forgiven; what others lost does not count.
    assert done.returncode == 139 and len(fakes.calls) == 5


def test_local_several_processes_and_statuses(fakes):
    fakes.add("motion-jax", "nvidia-smi")
    fakes.answer("nvidia-smi", "GPU 0\nGPU 1\nGPU 2\n")
    fakes.answer("--process 1 ", {"status": 2})
    fakes.answer("motion-jax train", {"status": 75})
    done = fakes.run(LAUNCH / "local.sh", "-n", "3", "-p", "4567", *TRAIN)
    # Process 1 failed, the others only lost it.
    assert done.returncode == 2
    trained = sorted(call for call in fakes.calls if call[0] == "motion-jax")
    assert trained == [
        ["motion-jax", "train", *TRAIN, "--coordinator", "localhost:4567", "--process", str(i),
         "--processes", "3"]
        for i in range(3)
    ]  # fmt: skip


def test_local_passes_a_signal_on_and_waits(fakes):
    """Each process has a device and jax's settings; SIGTERM reaches it, and is waited for."""
    script = fakes.folder / "bin" / "motion-jax"
    script.write_text(
        "#!/usr/bin/env bash\n"
        f"out={fakes.folder}/$CUDA_VISIBLE_DEVICES\n"
        "trap 'sleep 0.3; echo saved >> $out; exit 75' TERM\n"
        "echo $JAX_OPTIMIZATION_LEVEL > $out\n"
        "while true; do sleep 0.05; done\n"
    )
    script.chmod(0o755)
    environment = {"PATH": fakes.path}
    running = subprocess.Popen([LAUNCH / "local.sh", "-n", "2", *TRAIN], env=environment)
    outs = [fakes.folder / "0", fakes.folder / "1"]
    ends = time.monotonic() + 20
    while not all(out.is_file() and out.read_text() for out in outs) and time.monotonic() < ends:
        time.sleep(0.05)
    running.send_signal(signal.SIGTERM)
    # Asked to stop, it does not begin again.
    assert running.wait(20) == 75
    assert [out.read_text() for out in outs] == ["O1\nsaved\n"] * 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-n", "0", "small"), "-n 0 is no number of processes"),
        (("-p", "a", "small"), "-p a is no port"),
        ((), "No config was named"),
        (("-n", "3", "small"), "-n 3 needs as many GPUs; this machine has 2."),
    ],
)
def test_local_bad_input(fakes, arguments, said):
    fakes.add("motion-jax", "nvidia-smi")
    fakes.answer("nvidia-smi", "GPU 0\nGPU 1\n")
    done = fakes.run(LAUNCH / "local.sh", *arguments)
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1
    assert not any(call[0] == "motion-jax" for call in fakes.calls)


def test_local_help_and_no_motion_jax(fakes):
    done = fakes.run(LAUNCH / "local.sh", "--help")
    assert done.returncode == 0 and done.stdout.startswith("Trains on the GPUs of this machine.")
    done = fakes.run(LAUNCH / "local.sh", "-h")
    assert done.returncode == 0 and done.stdout.startswith("Trains on the GPUs of this machine.")
    done = fakes.run(LAUNCH / "local.sh", "small")
    assert done.returncode == 2 and "no motion-jax on the PATH" in done.stderr


SLURM = {"SLURM_JOB_ID": "77", "SLURM_SUBMIT_DIR": str(LAUNCH.parent)}


@pytest.mark.parametrize(
    ("status", "before", "requeued", "ends"),
    [
        (0, 0, False, 0),  # trained
        (2, 0, False, 2),  # bad input
        (75, 40, True, 0),  # saved before the time was over; as often as need be
        (137, 1, True, 0),  # killed
        (137, 3, False, 137),  # again and again
    ],
)
def test_slurm_puts_back_what_is_not_done(fakes, status, before, requeued, ends):
    fakes.add("srun", "scontrol")
    fakes.answer("srun", {"status": status})
    done = fakes.run(
        LAUNCH / "slurm" / "train.sbatch", *TRAIN, **SLURM, SLURM_RESTART_COUNT=str(before)
    )
    assert done.returncode == ends, done.stderr
    srun, *rest = fakes.calls
    assert srun[-len(TRAIN) - 4 :] == ["motion-jax", "train", *TRAIN, "--preempted-status", "75"]
    # Whoever ends first must not end the others, which may be saving.
    assert "--kill-on-bad-exit=0" in srun
    assert rest == ([["scontrol", "requeue", "77"]] if requeued else [])


def test_slurm_says_what_it_cannot_do(fakes):
    fakes.add("srun", "scontrol")
    fakes.answer("srun", {"status": 75})
    fakes.answer("scontrol", {"status": 1, "err": "slurm_requeue: Access denied\n"})
    variables = {**SLURM, "SLURM_SUBMIT_DIR": str(fakes.folder)}
    done = fakes.run(LAUNCH / "slurm" / "train.sbatch", *TRAIN, **variables)
    assert done.returncode == 75
    assert "could not put job 77 back into the queue; submit it again" in done.stderr
    assert "going on with jax's own settings" in done.stderr


def test_slurm_settings():
    """The options that train's statuses and signals rely on."""
    lines = (LAUNCH / "slurm" / "train.sbatch").read_text().splitlines()
    options = {line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH ")}
    assert {"--requeue", "--signal=USR1@180", "--open-mode=append"} <= options
    assert not any("gpus-per-task" in option for option in options)
    # sbatch stops reading its options at the first command.
    body = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    assert max(i for i, line in enumerate(lines) if line.startswith("#SBATCH ")) < body


def test_slurm_array_and_merge(fakes):
    fakes.add("sbatch", "motion-jax")
    fakes.answer("--array", "41;cluster\n")
    fakes.answer("--dependency", "42\n")
    words = ("a b.mp4", "c.mp4", "--out", "data")
    done = fakes.run(LAUNCH / "slurm" / "prepare.sh", "2", *words)
    assert done.returncode == 0, done.stderr
    script = str(LAUNCH / "slurm" / "prepare.sbatch")
    assert fakes.calls == [
        ["sbatch", "--parsable", "--array=1-2", script, "2", *words],
        ["sbatch", "--parsable", "--dependency=afterok:41", "--kill-on-invalid-dep=yes", script,
         "merge", *words],
    ]  # fmt: skip
    assert "Job 41 makes 2 parts; job 42 joins them" in done.stdout
    # What the jobs then do.
    for job, task in ((fakes.calls[0], "2"), (fakes.calls[1], None)):
        variables = {"SLURM_ARRAY_TASK_ID": task} if task else {}
        fakes.run(script, *job[job.index(script) + 1 :], **variables)
    assert fakes.calls[2:] == [
        ["motion-jax", "prepare", *words, "--shard", "2/2"],
        ["motion-jax", "prepare", *words, "--merge"],
    ]


def test_slurm_array_bad_input(fakes):
    script = LAUNCH / "slurm" / "prepare.sh"
    done = fakes.run(script, "--help")
    assert done.returncode == 0 and done.stdout.startswith("Prepares a dataset of many videos")
    for arguments, said in (
        (("a.mp4", "--out", "d"), "first argument is the number of parts"),
        (("2", "a.mp4"), "Name the dataset's folder with --out"),
        (("2", "a.mp4", "--out", "d"), "no sbatch on the PATH"),
    ):
        done = fakes.run(script, *arguments)
        assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1
    fakes.add("sbatch")
    fakes.answer("--array", {"status": 1, "err": "sbatch: error: invalid partition\n"})
    done = fakes.run(script, "2", "a.mp4", "--out=d")
    assert done.returncode == 2 and "nothing was submitted" in done.stderr
    assert len(fakes.calls) == 1


def test_bucket(fakes):
    done = fakes.run(LAUNCH / "bucket.sh", "data", "b", fakes.folder / "mount")
    assert done.returncode == 2 and "gcsfuse is not installed" in done.stderr
    fakes.add("gcsfuse", "mountpoint")
    fakes.answer("mountpoint", {"status": 1})
    mount = str(fakes.folder / "mount")
    assert fakes.run(LAUNCH / "bucket.sh", "data", "gs://b/", mount).returncode == 0
    assert fakes.run(LAUNCH / "bucket.sh", "runs", "b", mount).returncode == 0
    mounted = [call for call in fakes.calls if call[0] == "gcsfuse"]
    assert mounted == [
        ["gcsfuse", "--config-file", str(LAUNCH / "gcsfuse-data.yaml"), "-o", "ro", "b", mount],
        ["gcsfuse", "--config-file", str(LAUNCH / "gcsfuse-runs.yaml"), "b", mount],
    ]
    fakes.answer("gcsfuse", {"status": 1, "out": "starting\nbucket doesn't exist\n"})
    done = fakes.run(LAUNCH / "bucket.sh", "runs", "b", mount)
    assert done.returncode == 2
    assert "error: gcsfuse could not mount b" in done.stderr and "doesn't exist" in done.stderr
    done = fakes.run(LAUNCH / "bucket.sh", "both", "b", mount)
    assert done.returncode == 2 and "Usage" in done.stderr


def test_worker(fakes, tmp_path):
    """What runs on a machine of a TPU slice: installs once, runs once, says how it ended."""
    home = tmp_path / "motion-jax"
    home.mkdir()
    (home / "worker.sh").write_text((LAUNCH / "worker.sh").read_text())
    (home / "bucket.sh").write_text('echo "$@" >> mounted\n')
    (home / "motion_jax-0.1.0-py3-none-any.whl").touch()

    def worker(*words: str):
        return fakes.run("bash", home / "worker.sh", *words)

    assert worker("status").returncode != 0
    fakes.add("python3")
    fakes.answer("user-base", f"{tmp_path}/base\n")
    (tmp_path / "base" / "bin").mkdir(parents=True)
    fakes.add("uv")
    (tmp_path / "bin" / "uv").rename(tmp_path / "base" / "bin" / "uv")
    done = worker("install", "data", "", "touch prepared")
    assert done.returncode == 0, done.stderr
    installed = [call for call in fakes.calls if call[0] == "uv"]
    assert installed[0] == ["uv", "venv", "--quiet", "--python", "3.11", "env"]
    assert installed[1][-1] == f"motion-jax[tpu] @ file://{home}/motion_jax-0.1.0-py3-none-any.whl"
    assert installed[1][installed[1].index("--constraint") + 1] == "constraints.txt"
    assert (home / "mounted").read_text() == "data data /tmp/data\n"
    assert (home / "prepared").exists()

    (home / "env" / "bin").mkdir(parents=True)
    (home / "env" / "bin" / "motion-jax").touch(mode=0o755)
    assert worker("status").stdout == "stopped\n"
    (home / "job.sh").write_text(
        "echo begun\nwhile [[ ! -f stop ]]; do sleep 0.05; done\nexit 75\n"
    )
    assert worker("run").returncode == 0
    assert worker("run").returncode == 0  # leaves it running
    assert worker("status").stdout == "running\n"
    (home / "stop").touch()
    ends = time.monotonic() + 20
    while worker("status").stdout == "running\n" and time.monotonic() < ends:
        time.sleep(0.05)
    assert worker("status").stdout == "75\n"
    assert (home / "log").read_text() == "begun\n"
    # A number in `pid` that is another process's by now is not the training.
    (home / "pid").write_text(str(os.getpid()))
    assert worker("status").stdout == "75\n"
