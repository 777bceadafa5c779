"""Trains on a slice of Cloud TPU VMs, by gcloud: asks for it, installs, runs, follows, goes on.

    python launch/tpu.py TARGET.yaml create     open the coordinator's port, ask for the slice
    python launch/tpu.py TARGET.yaml install    this checkout, on all machines of the slice
    python launch/tpu.py TARGET.yaml run        begin, or go on, on all machines
    python launch/tpu.py TARGET.yaml follow     the first machine's log, as it grows
    python launch/tpu.py TARGET.yaml watch      all of the above as needed, until it is trained
    python launch/tpu.py TARGET.yaml delete     give the slice back; it costs until then

`watch` may be stopped and begun again at any time: it looks at what is there. A slice that was
taken away is asked for again, and training goes on from its last checkpoint. The settings, with a
comment for each, are in tpu.yaml.
"""

import shlex
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from target import Failure, attempt, call, run, say, show

ROOT = Path(__file__).resolve().parents[1]
# Of jax 0.10 on Cloud TPU (jax/_src/clusters/cloud_tpu_cluster.py).
COORDINATOR_PORT = 8482
# Folder on the machines, and what worker.sh says of the training in it.
REMOTE = "motion-jax"
# States of a queued resource that something else follows by itself.
WAITING = (
    "CREATING",
    "ACCEPTED",
    "WAITING_FOR_RESOURCES",
    "PROVISIONING",
    "DELETING",
    "SUSPENDING",
)
CAPACITIES = {"spot": ["--spot"], "reserved": ["--reserved"], "on-demand": []}
# Between looks at the slice; attempts at a machine that does not answer; crashes in a row.
PAUSE_SECONDS = 60.0
ATTEMPTS, CRASHES = 3, 3


@dataclass(frozen=True)
class Target:
    """See tpu.yaml."""

    name: str
    project: str
    zone: str
    accelerator_type: str
    runtime_version: str
    capacity: str
    network: str
    train: str
    data_bucket: str = ""
    runs_bucket: str = ""
    setup: str = ""
    environment: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.capacity not in CAPACITIES:
            raise Failure(f"capacity {self.capacity!r} is none of {', '.join(CAPACITIES)}.")
        for bucket, folder in ((self.data_bucket, "/tmp/data"), (self.runs_bucket, "/tmp/runs")):
            if not bucket and folder in self.train:
                raise Failure(
                    f"train speaks of {folder}, where {Path(folder).name}_bucket would be mounted, "
                    "and that is empty; name a bucket, or a folder that all machines share."
                )

    @property
    def place(self) -> list[str]:
        return [f"--zone={self.zone}", f"--project={self.project}"]


def create(target: Target) -> None:
    """Opens the port and asks for the slice; does not wait for it."""
    rule = f"{target.name}-coordinator"
    rules = call(
        "gcloud", "compute", "firewall-rules", "list", f"--project={target.project}",
        f"--filter=name={rule}", "--format=value(name)",
    )  # fmt: skip
    if not rules:
        call(
            "gcloud", "compute", "firewall-rules", "create", rule, f"--project={target.project}",
            f"--network={target.network}", f"--allow=tcp:{COORDINATOR_PORT}",
            f"--source-tags={target.name}", f"--target-tags={target.name}",
        )  # fmt: skip
        say(f"Port {COORDINATOR_PORT} is open between the machines of {target.name}.")
    call(
        "gcloud", "compute", "tpus", "queued-resources", "create", target.name, *target.place,
        f"--node-id={target.name}", f"--accelerator-type={target.accelerator_type}",
        f"--runtime-version={target.runtime_version}", f"--network={target.network}",
        f"--tags={target.name}", *CAPACITIES[target.capacity],
    )  # fmt: skip
    say(f"Asked for {target.accelerator_type} in {target.zone}.")


def install(target: Target) -> None:
    """Builds this checkout and installs it, with the pinned versions, on all machines."""
    here = ROOT / "launch"
    with tempfile.TemporaryDirectory() as folder:
        call(
            sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", f"--wheel-dir={folder}",
            str(ROOT),
        )  # fmt: skip
        (wheel,) = Path(folder).glob("*.whl")
        names = ("worker.sh", "bucket.sh", "gcsfuse-data.yaml", "gcsfuse-runs.yaml")
        sent = [wheel, ROOT / "constraints.txt", *(here / name for name in names)]
        _ssh(target, "all", f"mkdir -p {REMOTE} && rm -f {REMOTE}/*.whl")
        _copy(target, sent)
    words = ["bash", f"{REMOTE}/worker.sh", "install", target.data_bucket, target.runs_bucket]
    _ssh(target, "all", shlex.join([*words, target.setup]))
    say(f"Installed on all machines of {target.name}.")


def begin(target: Target) -> None:
    """Begins the training on all machines, or leaves it where it runs."""
    lines = [
        f"export {name}={shlex.quote(str(value))}" for name, value in target.environment.items()
    ]
    train = shlex.join(shlex.split(target.train))
    lines.append(f'"$HOME/{REMOTE}/env/bin/motion-jax" train {train} --preempted-status 75')
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "job.sh"
        job.write_text("\n".join(lines) + "\n")
        _copy(target, [job])
    _ssh(target, "all", f"bash {REMOTE}/worker.sh run")
    say(f"Training runs on all machines of {target.name}; see it with follow.")


def follow(target: Target) -> None:
    show(*_ssh_command(target, "0", f"tail -n 50 -F {REMOTE}/log"))


def watch(target: Target) -> None:
    """Does whatever is next until the training is done. Raises Failure where it cannot go on."""
    crashes, said = 0, ""
    while True:
        state = slice_state(target)
        if state != said:
            say(f"{target.name}: {state.lower().replace('_', ' ') or 'not asked for yet'}.")
            said = state
        if not state:
            create(target)
        elif state in WAITING:
            time.sleep(PAUSE_SECONDS)
        elif state == "SUSPENDED":
            say("The slice was taken away; asking for another one.")
            delete(target)
        elif state != "ACTIVE":
            raise Failure(f"{target.name} is {state}; see why with gcloud, and run delete.")
        else:
            status = training_state(target)
            if status == "gone":
                delete(target)
            elif status == "absent":
                install(target)
                begin(target)
            elif status == "running":
                time.sleep(PAUSE_SECONDS)
            elif status == "0":
                say(f"Trained. The slice costs until: tpu.py {sys.argv[1]} delete")
                return
            elif status == "2":
                word = _ssh(target, "0", f"tail -n 1 {REMOTE}/log")
                raise Failure(f"The training cannot go on: {word}")
            else:
                crashes = 0 if status in ("75", "stopped") else crashes + 1
                if crashes >= CRASHES:
                    raise Failure(f"The training ended {crashes} times with status {status}.")
                say(f"The training ended with status {status}; going on.")
                begin(target)


def delete(target: Target) -> None:
    """Gives the slice back, whatever runs on it."""
    call(
        "gcloud", "compute", "tpus", "queued-resources", "delete", target.name, *target.place,
        "--force", "--quiet",
    )  # fmt: skip
    say(f"{target.name} is given back.")


def slice_state(target: Target) -> str:
    """The queued resource's state; "" where there is none."""
    return attempt(
        lambda: call(
            "gcloud", "compute", "tpus", "queued-resources", "list", *target.place,
            f"--filter=name~/{target.name}$", "--format=value(state.state)",
        ),
        ATTEMPTS,
        PAUSE_SECONDS,
    )  # fmt: skip


def training_state(target: Target) -> str:
    """Of the first machine: "absent", "running", "stopped" (not running, and no status: the machine
    was started anew), an exit status; "gone" where the slice was taken away meanwhile."""
    ask = f"bash {REMOTE}/worker.sh status 2> /dev/null || echo absent"
    try:
        return attempt(lambda: _ssh(target, "0", ask), ATTEMPTS, PAUSE_SECONDS).splitlines()[-1]
    except Failure:
        machines = call(
            "gcloud", "compute", "tpus", "tpu-vm", "describe", target.name, *target.place,
            "--format=value(state)",
        )  # fmt: skip
        if machines in ("PREEMPTED", "TERMINATED", "STOPPED"):
            say(f"The machines are {machines.lower()}.")
            return "gone"
        raise


def _ssh_command(target: Target, worker: str, command: str) -> list[str]:
    return [
        "gcloud", "compute", "tpus", "tpu-vm", "ssh", target.name, *target.place,
        f"--worker={worker}", f"--command={command}",
    ]  # fmt: skip


def _ssh(target: Target, worker: str, command: str) -> str:
    return call(*_ssh_command(target, worker, command))


def _copy(target: Target, files: list[Path]) -> None:
    call(
        "gcloud", "compute", "tpus", "tpu-vm", "scp", *map(str, files), f"{target.name}:{REMOTE}/",
        *target.place, "--worker=all",
    )  # fmt: skip


def main() -> None:
    verbs = {
        "create": create, "install": install, "run": begin, "follow": follow, "watch": watch,
        "delete": delete,
    }  # fmt: skip
    run(__doc__, Target, verbs)


if __name__ == "__main__":
    main()
