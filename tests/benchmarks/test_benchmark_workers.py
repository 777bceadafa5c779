"""The pair of processes: answers come back, the waiting one is stopped, failures are told."""

import sys
from pathlib import Path

import pytest

from benchmarks.workers import Worker, WorkerError, has_torch

PATH = {"PYTHONPATH": str(Path(__file__).parent)}


def state_of(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]


def test_answers_and_stops_in_between() -> None:
    with Worker("echo", "echo_worker", {"greeting": "hello "}, environment=PATH) as worker:
        assert worker.ask("echo", word="you") == {"said": "hello you"}
        if sys.platform == "linux":
            assert state_of(worker.process_id) == "T"
            memory = worker.ask("memory")
            assert 0 < memory["resident_gb"] <= memory["peak_gb"] < 1
            # Answering itself may touch a few pages more.
        assert worker.ask("forget")["peak_gb"] <= memory["peak_gb"] + 0.001


def test_failures_are_told() -> None:
    with Worker("echo", "echo_worker", {"greeting": ""}, environment=PATH) as worker:
        with pytest.raises(WorkerError, match="the echo process failed: RuntimeError: on request"):
            worker.ask("fail")
        with pytest.raises(WorkerError, match="ended with status 1"):
            worker.ask("echo", word="again")
    with pytest.raises(WorkerError, match="ValueError: as it was told"):
        Worker("echo", "echo_worker", {"fail": True}, environment=PATH)


def test_an_interpreter_that_is_none_has_no_torch() -> None:
    assert has_torch("/nowhere/python") is None
