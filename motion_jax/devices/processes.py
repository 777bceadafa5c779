"""Several processes that train one model: how a process finds the others, and ends with them.

jax joins the processes (jax.distributed); before that they compare themselves (roll_call), and
until the end a failure of one ends all.
"""

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from motion_jax import __version__, events
from motion_jax.devices.roll_call import (
    Lifeline,
    Line,
    Presence,
    call,
    report,
    split_address,
    wrong_number,
)
from motion_jax.errors import UserError, marked, option
from motion_jax.progress import say

# Exit status of a process when another one disappeared: EX_TEMPFAIL of sysexits.h, "trying again
# may help".
LOST = 75
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
# Process 0 announces a decision for one of these steps, at least NOTICE steps ahead: more than a
# process can be ahead of another one (train/record.IN_FLIGHT and the step that it dispatches).
EVERY, NOTICE = 8, 8
# How long the processes may take to restore a checkpoint, at most, after the first has it.
VALUE_SECONDS = 600


@dataclass(frozen=True)
class Place:
    """A process's place in its job.

    Attributes:
      coordinator: HOST:PORT of process 0.
      index, count: the number of this process, from 0, and how many there are.
      local_devices: which of the machine's devices are its own; None: all.
      patient: whether the coordinator's name may become known later.
    """

    coordinator: str
    index: int
    count: int
    local_devices: tuple[int, ...] | None = None
    patient: bool = False


def place(coordinator: str | None, index: int | None, count: int | None) -> Place | None:
    """The place given on the command line, else the one that a cluster gives; None: alone.

    Raises UserError where options or cluster say too little.
    """
    if coordinator is None and index is None and count is None:
        return detect(os.environ)
    if count == 1 and index in (None, 0):
        return None
    if coordinator is None or index is None or count is None:
        raise UserError(
            f"{option('coordinator')} HOST:PORT, {option('process')} I and {option('processes')} "
            f"N belong together: give all three to each process (or {option('processes')} 1 "
            "alone, to train in one process in a cluster)."
        )
    if count < 1:
        raise UserError(f"{option('processes')} {count} is too few; give 1 or more.")
    split_address(coordinator)
    return Place(coordinator, index, count, patient="KUBERNETES_SERVICE_HOST" in os.environ)


def detect(environment: Mapping[str, str]) -> Place | None:
    """The place that Slurm, Open MPI, Kubernetes or a Cloud TPU slice gives this process; None
    where there is no cluster, or one with a single process. Asks no service before the environment
    says that there is a cluster, so that a workstation never waits for one.

    Raises UserError for a cluster that does not say enough.
    """
    if _count(environment, "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS") > 1:
        # Without a task's own variables this is a batch script or a shell, not a task of srun.
        if {"SLURM_PROCID", "SLURM_STEP_NODELIST"} <= environment.keys():
            each = environment.get("SLURM_STEP_TASKS_PER_NODE", "")
            crowded = any(int(n) > 1 for n in re.findall(r"(\d+)(?:\(x\d+\))?", each))
            return _detected(_own(environment, "SLURM_LOCALID", crowded))
        return None
    if (count := _count(environment, "OMPI_COMM_WORLD_SIZE")) > 1:
        if "OMPI_MCA_orte_hnp_uri" not in environment:
            raise UserError(
                f"Open MPI 5 does not say where process 0 of {count} is; give "
                f"{option('coordinator')} HOST:PORT {option('process')} $OMPI_COMM_WORLD_RANK "
                f"{option('processes')} $OMPI_COMM_WORLD_SIZE."
            )
        crowded = _count(environment, "OMPI_COMM_WORLD_LOCAL_SIZE") > 1
        return _detected(_own(environment, "OMPI_COMM_WORLD_LOCAL_RANK", crowded))
    if _on_tpu_machine(environment):
        return _detected(None)
    if {"KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"} <= environment.keys():
        if importlib.util.find_spec("kubernetes") is None:
            raise UserError(
                "This is a pod of an indexed Kubernetes job; to find the others install the "
                f"package kubernetes, or give {option('coordinator')} HOST:PORT "
                f"{option('process')} $JOB_COMPLETION_INDEX {option('processes')} N "
                f"({option('processes')} 1 for a job of one pod)."
            )
        return _detected(None)
    return None


def _count(environment: Mapping[str, str], *names: str) -> int:
    """The number in the first of these variables that is there; 0 without."""
    value = next((environment[name] for name in names if name in environment), "")
    return int(value) if value.isdigit() else 0


def _own(environment: Mapping[str, str], local: str, crowded: bool) -> tuple[int, ...] | None:
    """With several processes on a machine, each takes the device of its number there, unless the
    scheduler shows it no other."""
    shown = environment.get("CUDA_VISIBLE_DEVICES")
    alone = shown is not None and "," not in shown
    if "JAX_LOCAL_DEVICE_IDS" in environment:
        return tuple(int(n) for n in environment["JAX_LOCAL_DEVICE_IDS"].split(","))
    return (int(environment[local]),) if crowded and not alone and local in environment else None


def _on_tpu_machine(environment: Mapping[str, str]) -> bool:
    platforms = environment.get("JAX_PLATFORMS", "")
    if platforms and "tpu" not in platforms:
        return False
    from jax._src import cloud_tpu_init

    return bool(cloud_tpu_init.running_in_cloud_tpu_vm)


def _detected(local_devices: tuple[int, ...] | None) -> Place | None:
    """What jax.distributed.initialize() would find by itself, before it joins."""
    from jax._src.clusters import ClusterEnv

    try:
        address, count, index, _ = ClusterEnv.auto_detect_unset_distributed_params(
            None, None, None, list(local_devices or ()), None, 300
        )
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"The cluster does not say which process this is ({reason}); give "
            f"{option('coordinator')} HOST:PORT, {option('process')} I and {option('processes')} "
            f"N, or {option('processes')} 1 to train in one process."
        ) from error
    if count is None or count < 2 or address is None or index is None:
        return None
    return Place(address, index, count, local_devices, patient=True)


class Job:
    """The processes that train together; this class: one alone. A context manager.

    Attributes:
      index, count: the number of this process, from 0, and how many there are.
    """

    index, count = 0, 1

    @property
    def first(self) -> bool:
        """Whether this is process 0, which alone writes and prints."""
        return self.index == 0

    def share(self, value: str) -> str:
        """Process 0's value, in every process. All must ask for the same values in one order."""
        return value

    def all_agree(self, yes: bool) -> bool:
        """Whether every process says yes. All must ask in one order."""
        return yes

    def meet(self) -> None:
        """Waits until all are here: after work that takes some much longer than others (compiling,
        drawing samples), because the network between devices may wait for half a minute only
        (gloo, between CPUs)."""
        self.all_agree(True)

    def together_at(self, step: int, wanted: bool) -> bool:
        """Called once a step, by all: whether to do now what process 0 wants (by a clock, say).
        It happens at the same step in all, soon after process 0 wants it."""
        return wanted

    def stops(self, step: int, asked: bool) -> bool:
        """Called once a step, by all: whether to stop after this one; the same answer in all. Of
        several processes it is enough that one is asked."""
        return asked

    def __enter__(self) -> "Job":
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        return None


class Together(Job):
    """One of several processes, joined by jax. See `join`."""

    def __init__(self, place: Place, lines: dict[int, tuple[str, Line]]):
        self.index, self.count = place.index, place.count
        self._asked = self._decisions = 0
        self._due: int | None = None
        self._failed = self._told = False
        # The lifeline's thread has none of this thread's context variables.
        self._watched = events.now()
        self._lifeline = Lifeline(lines, self._end)

    def share(self, value: str) -> str:
        self._asked += 1
        key = f"motion_jax/share/{self._asked}"
        if self.first:
            _client().key_value_set(key, value)
            return value
        return self._get(key)

    def all_agree(self, yes: bool) -> bool:
        self._asked += 1
        key = f"motion_jax/agree/{self._asked}"
        _client().key_value_set(f"{key}/{self.index}", "yes" if yes else "no")
        return all([self._get(f"{key}/{other}") == "yes" for other in range(self.count)])

    def _get(self, key: str) -> str:
        # A process that fails ends this one through the lifeline; only a disk takes long.
        return _client().blocking_key_value_get(key, 1000 * VALUE_SECONDS)

    def together_at(self, step: int, wanted: bool) -> bool:
        key = f"motion_jax/due/{self._decisions}"
        if self.first and wanted and self._due is None:
            self._due = -(-(step + NOTICE) // EVERY) * EVERY
            _client().key_value_set(key, str(self._due))
        elif not self.first and self._due is None and step % EVERY == 0:
            # No process waits for another one here: process 0 set it before it dispatched a step
            # that this process has seen the result of.
            with contextlib.suppress(Exception):
                self._due = int(_client().key_value_try_get(key))
        if self._due is None or step < self._due:
            return False
        self._due = None
        self._decisions += 1
        return True

    def stops(self, step: int, asked: bool) -> bool:
        from jax.experimental import multihost_utils

        if asked and not self._told:
            # jax takes SIGTERM as notice of a preemption, and lets all processes agree on the step
            # after which they stop.
            self._told = True
            os.kill(os.getpid(), signal.SIGTERM)
        return multihost_utils.reached_preemption_sync_point(step)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is None or getattr(error, "together", False):
            self._leave()
            return
        # What the devices' network says when a process is gone is a consequence: the cause comes
        # over the lifeline in a moment.
        if not isinstance(error, UserError):
            time.sleep(1.0)
            traceback.print_exception(kind, error, trace)
        self._failed = True
        sentence = marked(error) or kind.__name__
        status = 2 if isinstance(error, UserError) else 1
        message = {"failed": self.index, "host": socket.gethostname(), "status": status}
        self._lifeline.tell(message | {"sentence": sentence})
        with contextlib.suppress(Exception):
            self._watched.emit(events.Ending(sentence, status))
        if self.first:
            # Its coordinator goes with it; first let the others hear why.
            time.sleep(0.2)
        # An orderly end would wait for processes that wait for this one.
        os._exit(status)

    def _leave(self) -> None:
        import jax

        if not self.first:
            self._lifeline.tell({"done": self.index})
        self._lifeline.wait_for_all()
        if self.first:
            self._lifeline.tell({"done": 0})
        jax.distributed.shutdown()
        self._lifeline.close()

    def _end(self, message: dict[str, Any]) -> None:
        """From the lifeline's thread: another process failed or went away."""
        if self._failed:
            return  # A consequence of this process's failure, which it reports itself.
        who = f"Process {message['failed']} of {self.count} ({message['host']})"
        if message["sentence"]:
            text, status = f"{who} failed: {message['sentence']}", message["status"]
        else:
            text, status = f"{who} went away without a word (killed, or its machine lost)", LOST
            text += "; the same command goes on from the last checkpoint."
        with contextlib.suppress(Exception):
            self._watched.emit(events.Ending(text, status or 1))
        # The main thread may be waiting for the device, which waits for that process.
        os._exit(status or 1)


def _client() -> Any:
    """jax's coordination service, which has no public name."""
    from jax._src import distributed

    return distributed.global_state.client


def versions() -> dict[str, str]:
    return {
        "motion_jax": __version__,
        "python": ".".join(platform.python_version_tuple()[:2]),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
    }


def join(place: Place | None, facts: Callable[[], dict[str, str]], seconds: float) -> Job:
    """Joins the job's processes; to be called before jax touches a device.

    Args:
      place: this process's; None: it is alone.
      facts: gives what must be the same in all processes besides the versions, by name; may raise
        UserError, which the other processes are told.
      seconds: how long all of them may take to come.
    Raises:
      UserError: one that is missing, another one's error, different facts, a port that is taken, a
        number that is no process's; in all processes.
    """
    if place is None:
        facts()
        return Job()
    me = Presence(place.index, place.count, socket.gethostname())
    failure: UserError | None = None
    try:
        me.facts = versions() | facts()
    except UserError as error:
        failure, me.error = error, marked(error)
    if not 0 <= place.index < place.count:
        me.error = wrong_number(place.index, place.count, me.host)
        failure = UserError(me.error)
    lines = _present(place, me, seconds, failure)
    _initialize(place, seconds)
    if place.index:
        events.mute()
    else:
        say(f"{place.count} processes at {place.coordinator}, all with the same settings.")
    return Together(place, lines)


def _present(
    place: Place, me: Presence, seconds: float, failure: UserError | None
) -> dict[int, tuple[str, Line]]:
    """The lines to the others, once all are there."""
    if failure is not None:
        # Whoever waits is told, and nobody is waited for.
        with contextlib.suppress(UserError):
            if place.index == 0:
                call(place.coordinator, me, 0)
            else:
                report(place.coordinator, me, min(seconds, 5.0), place.patient)
        raise failure
    if place.index == 0:
        came = call(place.coordinator, me, seconds)
        for _, line in came.values():
            line.send({"begin": me.host})
        return {index: (other.host, line) for index, (other, line) in came.items()}
    host, line = report(place.coordinator, me, seconds, place.patient)
    return {0: (host, line)}


def _initialize(place: Place, seconds: float) -> None:
    import jax

    jax.distributed.initialize(
        place.coordinator,
        place.count,
        place.index,
        local_device_ids=place.local_devices,
        cluster_detection_method="deactivate",
        initialization_timeout=max(int(seconds), 10),
    )
    # All processes find out together which devices there are: now, not when one first asks.
    if jax.devices()[0].platform == "cpu":
        _hide_connections()


def _hide_connections() -> None:
    """gloo, the network between CPUs, announces every connection on C's standard output ("[Gloo]
    Rank 0 is connected to …"), and no setting stops it. What Python prints still appears, and so do
    errors on stderr."""
    try:
        if sys.stdout.fileno() != 1:
            return
    except (AttributeError, OSError, ValueError):
        return
    sys.stdout.flush()
    kept = os.dup(1)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    sys.stdout = sys.__stdout__ = open(  # type: ignore[misc]  # final in stubs  # noqa: SIM115
        kept, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors, buffering=1
    )
