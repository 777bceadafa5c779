"""launch/tpu.py with a fake gcloud: the right calls in the right order, also after a preemption."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REAL_PATH = os.environ["PATH"]
LAUNCH = Path(__file__).resolve().parents[2] / "launch"
STATE = "queued-resources list"
ASK = "worker.sh status"


@pytest.fixture
def tpu(program, fakes, monkeypatch):
    module = program("tpu")
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.0)
    fakes.add("gcloud")
    return module


@pytest.fixture
def target(tpu):
    return sys.modules["target"].load(tpu.Target, LAUNCH / "tpu.yaml")


@pytest.fixture
def no_wheel(tpu, monkeypatch):
    """Building the wheel is pip's affair, and takes seconds."""
    call = tpu.call

    def instead(*command, **given):
        if "wheel" in command:
            folder = next(w for w in command if w.startswith("--wheel-dir=")).split("=")[1]
            (Path(folder) / "motion_jax-0.1.0-py3-none-any.whl").touch()
            return ""
        return call(*command, **given)

    monkeypatch.setattr(tpu, "call", instead)


def verbs(calls) -> list[str]:
    """gcloud's calls in short."""
    short = []
    for call in calls:
        words = [word for word in call[1:] if not word.startswith("--")]
        if "ssh" in words:
            command = next(word for word in call if word.startswith("--command="))
            what = (
                "run" if "worker.sh run" in command else command.split("worker.sh ")[-1].split()[0]
            )
            worker = next(word for word in call if word.startswith("--worker="))
            short.append(f"ssh {worker[9:]} {what}")
        elif "scp" in words:
            short.append("scp job" if any("job.sh" in word for word in words) else "scp wheel")
        else:
            short.append(" ".join(words[-3:-1] if words[-1] == "motion-jax" else words[-2:]))
    return short


CREATE = ["firewall-rules list", "create motion-jax-coordinator", "queued-resources create"]
INSTALL = ["ssh all --command=mkdir", "scp wheel", "ssh all install"]
RUN = ["scp job", "ssh all run"]
LOOK = ["queued-resources list"]
ASKED = ["ssh 0 status"]


def test_create(tpu, target, fakes):
    tpu.create(target)
    rules, rule, create = fakes.calls
    assert rules[1:4] == ["compute", "firewall-rules", "list"]
    assert {"--allow=tcp:8482", "--source-tags=motion-jax", "--target-tags=motion-jax"} < set(rule)
    assert create == [
        "gcloud", "compute", "tpus", "queued-resources", "create", "motion-jax",
        "--zone=us-west4-a", "--project=my-project", "--node-id=motion-jax",
        "--accelerator-type=v5litepod-16", "--runtime-version=v2-alpha-tpuv5-lite",
        "--network=default", "--tags=motion-jax", "--spot",
    ]  # fmt: skip
    # The rule is there already; a reservation.
    fakes.answer("firewall-rules list", "motion-jax-coordinator\n")
    tpu.create(dataclasses.replace(target, capacity="reserved"))
    assert verbs(fakes.calls[3:]) == [CREATE[0], CREATE[2]]
    assert fakes.calls[-1][-1] == "--reserved"


def test_the_port_is_the_one_of_jax(tpu):
    from jax._src.clusters import cloud_tpu_cluster

    assert str(tpu.COORDINATOR_PORT) == cloud_tpu_cluster.coordinator_port


def test_install_and_run(tpu, target, fakes, no_wheel, monkeypatch):
    words = "small --data /tmp/data/d --run /shared/r"
    tpu.install(
        dataclasses.replace(
            target, data_bucket="b", runs_bucket="", train=words, setup="echo 'a b'"
        )
    )
    assert verbs(fakes.calls) == INSTALL
    _, sent, installed = fakes.calls
    names = [Path(word).name for word in sent]
    assert {"constraints.txt", "worker.sh", "bucket.sh", "gcsfuse-data.yaml"} < set(names)
    assert "motion_jax-0.1.0-py3-none-any.whl" in names and "motion-jax:motion-jax/" in sent
    assert installed[-1] == (
        "--command=bash motion-jax/worker.sh install b '' 'echo '\"'\"'a b'\"'\"''"
    )
    # What every machine then runs.
    jobs = []
    copy = tpu._copy
    monkeypatch.setattr(
        tpu, "_copy", lambda t, files: (jobs.append(files[0].read_text()), copy(t, files))
    )
    tpu.begin(dataclasses.replace(target, train="small --data '/tmp/a b' --run r"))
    assert jobs == [
        "export JAX_COMPILATION_CACHE_DIR=/tmp/runs/xla\n"
        "\"$HOME/motion-jax/env/bin/motion-jax\" train small --data '/tmp/a b' --run r "
        "--preempted-status 75\n"
    ]
    assert verbs(fakes.calls[3:]) == RUN


def test_the_wheel_is_this_checkout(tpu, target, monkeypatch):
    made = []
    monkeypatch.setattr(tpu, "call", lambda *command, **_: made.append(command) or "")
    with pytest.raises(ValueError):  # No wheel appears.
        tpu.install(target)
    assert made[0][:4] == (sys.executable, "-m", "pip", "wheel")
    assert made[0][-1] == str(LAUNCH.parent) and (LAUNCH.parent / "setup.cfg").is_file()


def test_watch_from_nothing_to_the_end(tpu, target, fakes, no_wheel, monkeypatch, capsys):
    """Asked for, waited for, installed, run, preempted, asked for again, gone on, lost a process,
    gone on, trained."""
    monkeypatch.setattr(sys, "argv", ["tpu.py", "tpu.yaml", "watch"])
    fakes.answer(
        STATE,
        "", "WAITING_FOR_RESOURCES", "ACTIVE", "ACTIVE", "SUSPENDED", "", "ACTIVE",
    )  # fmt: skip
    fakes.answer(ASK, "absent\n", "running\n", "absent\n", "75\n", "running\n", "0\n")
    tpu.watch(target)
    assert verbs(fakes.calls) == [
        *LOOK, *CREATE,
        *LOOK,
        *LOOK, *ASKED, *INSTALL, *RUN,
        *LOOK, *ASKED,
        *LOOK, "queued-resources delete",
        *LOOK, *CREATE,
        *LOOK, *ASKED, *INSTALL, *RUN,
        *LOOK, *ASKED, *RUN,
        *LOOK, *ASKED,
        *LOOK, *ASKED,
    ]  # fmt: skip
    deleted = next(call for call in fakes.calls if "delete" in call)
    assert deleted[-2:] == ["--force", "--quiet"]
    said = capsys.readouterr().err
    assert "taken away; asking for another one" in said and "Trained." in said


def test_machines_gone_before_the_queue_says_so(tpu, target, fakes, no_wheel, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tpu.py", "tpu.yaml", "watch"])
    lost = {"status": 255, "err": "ssh: connect to host 10.0.0.2 port 22: Connection timed out\n"}
    fakes.answer(STATE, "ACTIVE")
    fakes.answer(ASK, lost, lost, lost, "0\n")
    fakes.answer("tpu-vm describe", "PREEMPTED\n")
    tpu.watch(target)
    assert verbs(fakes.calls) == [
        *LOOK, *ASKED * 3, "tpu-vm describe", "queued-resources delete", *LOOK, *ASKED
    ]  # fmt: skip


def test_a_machine_that_does_not_answer_is_asked_again(tpu, target, fakes, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tpu.py", "tpu.yaml", "watch"])
    lost = {"status": 255, "err": "ssh: connect to host 10.0.0.2 port 22: Connection timed out\n"}
    fakes.answer(STATE, {"status": 1, "err": "ERROR: backend error\n"}, "ACTIVE")
    fakes.answer(ASK, lost, "0\n")
    tpu.watch(target)
    assert verbs(fakes.calls) == [*LOOK * 2, *ASKED * 2]
    said = capsys.readouterr().err
    assert "Connection timed out. Trying again." in said and "backend error. Trying" in said


def test_watch_ends_where_it_cannot_go_on(tpu, target, fakes, no_wheel):
    fakes.answer(STATE, "FAILED", "ACTIVE")
    fakes.answer(ASK, "2\n", "139\n")
    fakes.answer("tail -n 1", "motion-jax: error: There is no dataset folder x.\n")
    with pytest.raises(tpu.Failure, match="motion-jax is FAILED"):
        tpu.watch(target)
    with pytest.raises(tpu.Failure, match="cannot go on: .*There is no dataset folder x."):
        tpu.watch(target)
    with pytest.raises(tpu.Failure, match="ended 3 times with status 139"):
        tpu.watch(target)


def command(tpu, monkeypatch, capsys, *arguments) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["tpu.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        tpu.main()
    return stop.value.code, capsys.readouterr().err


def test_a_failure_of_gcloud_is_one_sentence(tpu, fakes, monkeypatch, capsys, tmp_path):
    fakes.answer(
        "queued-resources create",
        {
            "status": 1,
            "err": "Create request issued for: [motion-jax]\nERROR: (gcloud.compute.tpus."
            "queued-resources.create) PERMISSION_DENIED: Cloud TPU API has not been used\n",
        },
    )
    status, said = command(tpu, monkeypatch, capsys, LAUNCH / "tpu.yaml", "create")
    assert status == 2
    assert said.splitlines()[-1] == (
        "tpu.py: error: gcloud compute tpus queued-resources create motion-jax failed: "
        "PERMISSION_DENIED: Cloud TPU API has not been used."
    )
    (fakes.folder / "bin" / "gcloud").unlink()
    status, said = command(tpu, monkeypatch, capsys, LAUNCH / "tpu.yaml", "delete")
    assert (status, said) == (2, "tpu.py: error: gcloud is not installed, or not on the PATH.\n")


def test_bad_targets(tpu, fakes, monkeypatch, capsys, tmp_path):
    values = yaml.safe_load((LAUNCH / "tpu.yaml").read_text())
    path = tmp_path / "own.yaml"
    for change, said in (
        ({"zones": "a"}, "there is no setting 'zones'; there are name, project"),
        ({"zone": 5}, "zone must be of type str, not 5"),
        ({"zone": None}, "zone must be of type str, not None"),
        ({"capacity": "cheap"}, "capacity 'cheap' is none of spot, reserved, on-demand"),
        ({"zone": ...}, "zone is missing"),
        ({"runs_bucket": ""}, "train speaks of /tmp/runs, where runs_bucket would be mounted"),
    ):
        changed = {k: v for k, v in {**values, **change}.items() if v is not ...}
        path.write_text(yaml.safe_dump(changed))
        status, error = command(tpu, monkeypatch, capsys, path, "create")
        assert status == 2 and said in error and error.count("\n") == 1
    for text, said in (("a: [", "is not YAML"), ("", "holds no settings")):
        path.write_text(text)
        status, error = command(tpu, monkeypatch, capsys, path, "create")
        assert status == 2 and said in error and error.count("\n") == 1
    status, error = command(tpu, monkeypatch, capsys, tmp_path / "none.yaml", "create")
    assert status == 2 and "cannot be read" in error
    status, error = command(tpu, monkeypatch, capsys, LAUNCH / "tpu.yaml", "up")
    assert status == 2 and "launch/tpu.py TARGET.yaml create" in error
    assert not fakes.calls


def test_follow(tpu, target, fakes):
    tpu.follow(target)
    assert fakes.calls[0][-2:] == ["--worker=0", "--command=tail -n 50 -F motion-jax/log"]
    fakes.answer("tail", {"status": 1})
    with pytest.raises(tpu.Failure, match="ssh motion-jax failed with status 1"):
        tpu.follow(target)


def test_every_setting_has_a_comment(program):
    """The targets are their own documentation; nothing in them is unknown, nothing left out."""
    for name in ("tpu", "gke"):
        module = program(name)
        path = LAUNCH / f"{name}.yaml"
        sys.modules["target"].load(module.Target, path)
        lines = path.read_text().splitlines()
        said = [line.split(":")[0] for line in lines if line and line[0] not in "# "]
        assert said == [field.name for field in dataclasses.fields(module.Target)]


def test_the_real_gcloud_takes_these_arguments(tpu, target, fakes, no_wheel, tmp_path):
    """Each call is made to the installed gcloud, without an account and without a network: what it
    complains of must be that, and no argument."""
    gcloud = shutil.which("gcloud", path=REAL_PATH)
    if gcloud is None:
        pytest.skip("the Google Cloud CLI is not installed")
    fakes.answer("tpu-vm describe", "READY\n")
    fakes.answer(ASK, {"status": 255})
    for verb in (tpu.create, tpu.install, tpu.begin, tpu.slice_state, tpu.delete):
        verb(target)
    with pytest.raises(tpu.Failure):
        tpu.training_state(target)
    different = {tuple(call[1:6]): call for call in fakes.calls if "scp" not in call}
    nowhere = {
        "HOME": str(tmp_path),
        "PATH": REAL_PATH,
        "CLOUDSDK_CONFIG": str(tmp_path / "gcloud"),
        "CLOUDSDK_CORE_ACCOUNT": "nobody@example.invalid",
        "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_PROXY_TYPE": "http",
        "CLOUDSDK_PROXY_ADDRESS": "127.0.0.1",
        "CLOUDSDK_PROXY_PORT": "9",
    }
    assert len(different) == 7
    running = [
        subprocess.Popen(
            [gcloud, *call[1:]], env=nowhere, stderr=subprocess.PIPE, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )
        for call in different.values()
    ]  # fmt: skip
    for process in running:
        said = process.communicate(timeout=120)[1]
        assert process.returncode and "does not have any valid credentials" in said, said
