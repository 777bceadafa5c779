"""launch/gke.py: the manifest against the published schemas, and a fake kubectl."""

import dataclasses
import json
import sys
from pathlib import Path

import pytest
import yaml

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
FIELDS = json.loads(Path(__file__).with_name("jobset_fields.json").read_text())
PLAIN = {"string": str, "integer": int, "boolean": bool}


@pytest.fixture
def gke(program, fakes):
    fakes.add("kubectl")
    return program("gke")


@pytest.fixture
def target(gke):
    return sys.modules["target"].load(gke.Target, LAUNCH / "gke.yaml")


def problems(value, kind: str, at: str) -> list[str]:
    """What of `value` does not fit the definition `kind` of jobset_fields.json. "[X]" is a list of
    X; a name with a slash is a kind of Kubernetes's own, which is checked elsewhere."""
    if kind.startswith("["):
        if not isinstance(value, list):
            return [f"{at} is no list"]
        return [p for i, item in enumerate(value) for p in problems(item, kind[1:-1], f"{at}[{i}]")]
    if kind in PLAIN:
        fits = isinstance(value, PLAIN[kind]) and (kind != "integer" or value is not True)
        return [] if fits else [f"{at} is {value!r}, not of type {kind}"]
    if "/" in kind:
        return [] if isinstance(value, dict) else [f"{at} is no object"]
    definition = FIELDS["definitions"][kind]
    found = [f"{at}.{name} is missing" for name in definition["required"] if name not in value]
    for name, inner in value.items():
        if name not in definition["fields"]:
            found.append(f"{at}.{name} is unknown")
        else:
            found += problems(inner, definition["fields"][name], f"{at}.{name}")
            allowed = definition.get("values", {}).get(name)
            if allowed and inner not in allowed:
                found.append(f"{at}.{name} is {inner!r}, none of {allowed}")
    return found


def test_the_check_itself_finds_mistakes(gke, target):
    made = gke.manifest(target)
    made["spec"]["replicatedJobs"][0]["count"] = 1
    made["spec"]["failurePolicy"]["maxRestarts"] = "5"
    made["spec"]["failurePolicy"]["rules"][0]["action"] = "Stop"
    del made["spec"]["replicatedJobs"][0]["template"]
    said = problems(made, "JobSet", "JobSet")
    assert len(said) == 4


def test_the_manifest_is_a_jobset(gke, target):
    made = yaml.safe_load(gke.render(target))
    assert (made["apiVersion"], made["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    assert problems(made, "JobSet", "JobSet") == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_job_in_it_is_one_of_kubernetes(gke, target):
    validate = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate is not installed: extra launch"
    )
    made = yaml.safe_load(gke.render(target))
    (replicated,) = made["spec"]["replicatedJobs"]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}}
    version = validate.latest_version()
    validate.validate(job | replicated["template"], version, strict=True)
    replicated["template"]["spec"]["template"]["spec"]["nodes"] = 1
    with pytest.raises(validate.ValidationError):
        validate.validate(job | replicated["template"], version, strict=True)


def test_what_the_manifest_says(gke, target):
    made = gke.manifest(dataclasses.replace(target, topology="4x8", spot=False))
    (replicated,) = made["spec"]["replicatedJobs"]
    job = replicated["template"]["spec"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    # 32 chips, 4 on a machine; all of them or none.
    assert job["parallelism"] == job["completions"] == 8 and job["backoffLimit"] == 0
    assert "cloud.google.com/gke-spot" not in pod["nodeSelector"]
    assert container["resources"]["limits"]["google.com/tpu"] == 4
    assert container["args"][-2:] == ["--preempted-status", "75"]
    assert pod["securityContext"]["runAsUser"] == 1000
    # Shared memory for the loader's processes.
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert set(mounts) == {"/data", "/runs", "/dev/shm"}
    assert {volume["name"] for volume in pod["volumes"]} == set(mounts.values())
    # Bad input ends it, everything else begins it again.
    (rule,) = job["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["values"] == [2] and rule["action"] == "FailJob"
    (reason,) = made["spec"]["failurePolicy"]["rules"]
    assert (reason["action"], reason["onJobFailureReasons"]) == ("FailJobSet", ["PodFailurePolicy"])


def test_buckets_are_mounted_as_the_files_say(gke):
    assert gke.mount_options("data", 7) == [
        "implicit-dirs", "metadata-cache:ttl-secs:-1", "metadata-cache:negative-ttl-secs:0",
        "metadata-cache:stat-cache-max-size-mb:-1", "metadata-cache:type-cache-max-size-mb:-1",
        "file-cache:max-size-mb:-1", "file-cache:cache-file-for-range-read:true", "uid=7", "gid=7",
    ]  # fmt: skip
    assert gke.mount_options("runs", 7) == [
        "implicit-dirs", "metadata-cache:ttl-secs:0", "metadata-cache:negative-ttl-secs:0",
        "uid=7", "gid=7",
    ]  # fmt: skip


def test_submit_follow_delete(gke, target, fakes):
    fakes.answer("get jobset", "", "motion-jax ", "motion-jax Failed")
    gke.submit(target)
    get, create = fakes.calls
    assert get[:4] == ["kubectl", "get", "jobset", "motion-jax"] and create[1] == "create"
    assert (fakes.folder / "given").read_text() == gke.render(target)
    with pytest.raises(gke.Failure, match="The job motion-jax is running"):
        gke.submit(target)
    # One that is over makes room.
    gke.submit(target)
    assert [call[1] for call in fakes.calls] == ["get", "create", "get", "get", "delete", "create"]
    gke.follow(target)
    assert fakes.calls[-1][-1] == (
        "--selector=jobset.sigs.k8s.io/jobset-name=motion-jax,"
        "batch.kubernetes.io/job-completion-index=0"
    )


def test_a_failure_of_kubectl_is_one_sentence(gke, fakes, monkeypatch, capsys):
    fakes.answer(
        "create",
        {"status": 1, "err": 'error: no matches for kind "JobSet" in version "v1alpha2"\n'},
    )
    monkeypatch.setattr(sys, "argv", ["gke.py", str(LAUNCH / "gke.yaml"), "submit"])
    with pytest.raises(SystemExit) as stop:
        gke.main()
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.count("\n") == 1
    assert said.startswith("gke.py: error: kubectl create failed: error: no matches for kind")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"topology": "4"}, "topology '4' is none; give 4x4"),
        ({"topology": "2x3"}, "topology 2x3 has 6 chips, which machines of 4"),
        ({"chips_per_host": 0}, "machines of 0"),
        ({"name": "Motion_JAX"}, "is no name for Kubernetes"),
    ],
)
def test_bad_targets_of_gke(gke, target, change, said):
    with pytest.raises(gke.Failure, match=said) as error:
        dataclasses.replace(target, **change)
    assert "\n" not in str(error.value)
