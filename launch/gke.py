"""Trains on a TPU slice of a GKE cluster, as a JobSet, by kubectl.

    python launch/gke.py TARGET.yaml render     print the manifest
    python launch/gke.py TARGET.yaml submit     begin, or go on where it stopped
    python launch/gke.py TARGET.yaml follow     the first process's log, as it grows
    python launch/gke.py TARGET.yaml delete     stop; the run stays and can be gone on with

One pod a machine; they find each other by what GKE tells the pods of a TPU slice. When one ends,
the JobSet begins all again, and they go on from the last checkpoint. The settings, with a comment
for each, are in gke.yaml.
"""

import math
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from target import Failure, call, run, say, show

COORDINATOR_PORT = 8482
HERE = Path(__file__).resolve().parent
NAME_LABEL = "jobset.sigs.k8s.io/jobset-name"


@dataclass(frozen=True)
class Target:
    """See gke.yaml."""

    name: str
    namespace: str
    image: str
    service_account: str
    accelerator: str
    topology: str
    chips_per_host: int
    spot: bool
    train: str
    data_bucket: str
    runs_bucket: str
    restarts: int
    grace_seconds: int
    memory: str
    shared_memory: str
    user: int
    environment: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", self.name):
            raise Failure(
                f"name {self.name!r} is no name for Kubernetes: small letters, digits and -, at "
                "most 40."
            )
        if not re.fullmatch(r"[1-9]\d*x[1-9]\d*(x[1-9]\d*)?", self.topology):
            raise Failure(f"topology {self.topology!r} is none; give 4x4 or 2x2x4, for instance.")
        if self.chips_per_host < 1 or self.chips % self.chips_per_host:
            raise Failure(
                f"topology {self.topology} has {self.chips} chips, which machines of "
                f"{self.chips_per_host} (chips_per_host) do not make."
            )

    @property
    def chips(self) -> int:
        return math.prod(int(side) for side in self.topology.split("x"))

    @property
    def hosts(self) -> int:
        return self.chips // self.chips_per_host


def manifest(target: Target) -> dict[str, Any]:
    """The JobSet."""
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {
            "name": target.name,
            "namespace": target.namespace,
            # All pods on one node pool: a slice is one, and has only its own chips' network.
            "annotations": {
                "alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"
            },
        },
        "spec": {
            "failurePolicy": {
                "maxRestarts": target.restarts,
                # Bad input would come again. (The pods' own policy turns it into that reason.)
                "rules": [
                    {
                        "name": "badInput",
                        "action": "FailJobSet",
                        "onJobFailureReasons": ["PodFailurePolicy"],
                    }
                ],
            },
            "replicatedJobs": [{"name": "train", "replicas": 1, "template": _job(target)}],
        },
    }


def _job(target: Target) -> dict[str, Any]:
    return {
        "spec": {
            "parallelism": target.hosts,
            "completions": target.hosts,
            # Each pod has a number, and is never replaced alone: the others could not go on.
            "completionMode": "Indexed",
            "backoffLimit": 0,
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onExitCodes": {
                            "containerName": "train",
                            "operator": "In",
                            "values": [2],
                        },
                    }
                ]
            },
            "template": {
                # Lets Cloud Storage FUSE mount the buckets.
                "metadata": {"annotations": {"gke-gcsfuse/volumes": "true"}},
                "spec": _pod(target),
            },
        }
    }


def _pod(target: Target) -> dict[str, Any]:
    nodes = {
        "cloud.google.com/gke-tpu-accelerator": target.accelerator,
        "cloud.google.com/gke-tpu-topology": target.topology,
    }
    if target.spot:
        nodes["cloud.google.com/gke-spot"] = "true"
    chips = {"google.com/tpu": target.chips_per_host}
    return {
        "restartPolicy": "Never",
        "serviceAccountName": target.service_account,
        "nodeSelector": nodes,
        "terminationGracePeriodSeconds": target.grace_seconds,
        "securityContext": {
            "runAsUser": target.user,
            "runAsGroup": target.user,
            "fsGroup": target.user,
        },
        "containers": [
            {
                "name": "train",
                "image": target.image,
                "args": ["train", *shlex.split(target.train), "--preempted-status", "75"],
                "env": [
                    {"name": name, "value": str(value)}
                    for name, value in target.environment.items()
                ],
                "ports": [{"containerPort": COORDINATOR_PORT, "name": "coordinator"}],
                "resources": {
                    "requests": {**chips, "memory": target.memory},
                    "limits": {**chips, "memory": target.memory},
                },
                "volumeMounts": [
                    {"name": "data", "mountPath": "/data", "readOnly": True},
                    {"name": "runs", "mountPath": "/runs"},
                    {"name": "shared-memory", "mountPath": "/dev/shm"},
                ],
            }
        ],
        "volumes": [
            _bucket("data", target.data_bucket, target.user, read_only=True),
            _bucket("runs", target.runs_bucket, target.user, read_only=False),
            # The loader's processes hand over batches in shared memory; a container has 64 MiB.
            {
                "name": "shared-memory",
                "emptyDir": {"medium": "Memory", "sizeLimit": target.shared_memory},
            },
        ],
    }


def _bucket(name: str, bucket: str, user: int, read_only: bool) -> dict[str, Any]:
    attributes = {"bucketName": bucket, "mountOptions": ",".join(mount_options(name, user))}
    if read_only:
        # Names and sizes of all files are fetched before the container starts.
        attributes["gcsfuseMetadataPrefetchOnMount"] = "true"
    driver = {"driver": "gcsfuse.csi.storage.gke.io", "readOnly": read_only}
    return {"name": name, "csi": {**driver, "volumeAttributes": attributes}}


def mount_options(name: str, user: int) -> list[str]:
    """The settings of gcsfuse-NAME.yaml in the words of the GKE driver, owned by `user`; where the
    cache lies is the driver's affair."""
    settings = yaml.safe_load((HERE / f"gcsfuse-{name}.yaml").read_text())
    options = []
    for key, value in settings.items():
        if key == "cache-dir":
            continue
        if isinstance(value, dict):
            options += [f"{key}:{inner}:{_plain(setting)}" for inner, setting in value.items()]
        else:
            options.append(key if value is True else f"{key}:{_plain(value)}")
    return [*options, f"uid={user}", f"gid={user}"]


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def render(target: Target) -> str:
    return yaml.safe_dump(manifest(target), sort_keys=False)


def submit(target: Target) -> None:
    """A JobSet cannot be changed: one of that name that is over is replaced."""
    state = call(
        "kubectl", "get", "jobset", target.name, f"--namespace={target.namespace}",
        "--ignore-not-found", "--output=jsonpath={.metadata.name} {.status.terminalState}",
    )  # fmt: skip
    if state and not state.removeprefix(target.name).strip():
        raise Failure(f"The job {target.name} is running; see it with follow, or delete it first.")
    if state:
        delete(target)
    call("kubectl", "create", "--filename=-", given=render(target))
    say(f"{target.name} asks for {target.hosts} machines of {target.accelerator}.")


def follow(target: Target) -> None:
    show(
        "kubectl", "logs", "--follow", "--tail=50", f"--namespace={target.namespace}",
        "--container=train", "--ignore-errors",
        f"--selector={NAME_LABEL}={target.name},batch.kubernetes.io/job-completion-index=0",
    )  # fmt: skip


def delete(target: Target) -> None:
    call("kubectl", "delete", "jobset", target.name, f"--namespace={target.namespace}")
    say(f"{target.name} is deleted.")


def _show_manifest(target: Target) -> None:
    print(render(target), end="")


def main() -> None:
    verbs = {"render": _show_manifest, "submit": submit, "follow": follow, "delete": delete}
    run(__doc__, Target, verbs)


if __name__ == "__main__":
    main()
