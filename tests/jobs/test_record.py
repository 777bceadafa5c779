"""Events as lines of a file."""

import json

import pytest

from motion_jax import cli
from motion_jax.errors import UserError, option
from motion_jax.events import Expected, FileWritten, Step, Warned, emit, watched
from motion_jax.jobs.record import Follower, Recorder, recorded, summary
from motion_jax.progress import Meter


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_event_is_a_line_and_is_passed_on(tmp_path):
    path, shown = tmp_path / "e.jsonl", []
    with recorded(path, shown.append) as recorder, watched(recorder):
        emit(Warned(f"use {option('max_gap')}"))
        with Meter("Drawing", 100) as meter:
            for _ in range(100):
                meter.advance()
        emit(Step("local", 5, 10, 40, 2.0, 0.1, 1e-4, 3.0, {"G": 1.5}))
        emit(FileWritten(tmp_path / "a.png"))
    found = lines(path)
    assert [found[0]["event"], found[-1]["event"], found[-1]["status"]] == ["Began", "Ended", 0]
    assert len(shown) == 105
    # A quick loop does not fill the disk; its beginning and its end are there.
    progress = [line for line in found if line["event"] == "Progress"]
    assert 2 <= len(progress) < 20 and progress[-1]["state"] == "ended"
    said = summary(path)
    assert said.said == ["use --max-gap"] and said.files == [str(tmp_path / "a.png")]
    assert said.share == 1.0 and said.task == "Drawing" and said.total == 100
    assert said.step["metrics"] == {"G": 1.5} and said.status == 0


def test_the_last_line_says_how_it_ended(tmp_path):
    def end(error):
        path = tmp_path / f"{type(error).__name__}.jsonl"
        with pytest.raises(type(error)), recorded(path, lambda event: None):
            raise error
        return lines(path)[-1]

    assert end(UserError(f"no {option('out')}."))["message"] == "no --out."
    assert end(SystemExit(130))["status"] == 130
    assert end(KeyboardInterrupt())["status"] == 130
    assert end(ValueError("x")) | {"at": 0} == {
        "event": "Ended", "at": 0, "status": 1, "message": "ValueError: x"
    }  # fmt: skip


def test_the_time_left_is_what_was_planned_for_the_whole(tmp_path):
    path = tmp_path / "e.jsonl"
    with recorded(path, lambda event: None) as recorder, watched(recorder):
        emit(Expected(600.0), at=0.2)
        # A part that goes quickly says nothing of the whole.
        emit(Warned("half"), at=0.9)
        assert 590 < summary(path).seconds_left() <= 600
        emit(Expected(0.5))
    assert summary(path).seconds_left() is None


def test_a_follower_reads_what_is_new_and_the_newest_process(tmp_path):
    path = tmp_path / "e.jsonl"
    follower = Follower(path)
    assert follower.read().began == 0
    recorder = Recorder(path, lambda event: None)
    with watched(recorder):
        emit(Warned("one"), at=0.5)
    assert follower.read().share == 0.5
    with open(path, "ab") as file:
        file.write(b'{"event": "Said", "mess')  # a process that is killed while it writes
    assert follower.read().said == ["one"]
    with open(path, "ab") as file:
        file.write(b"\n[1]\n")
    Recorder(path, lambda event: None)
    now = follower.read()
    assert now.share == 0 and now.status is None and now.said == ["one"]


def test_the_command_line_writes_it(tmp_path, capsys):
    path = tmp_path / "deep" / "e.jsonl"
    with pytest.raises(SystemExit):
        cli.main(["--events", str(path), "jobs", "stop", "absent/1", "--projects", str(tmp_path)])
    end = lines(path)[-1]
    assert end["status"] == 2 and "absent/1" in end["message"]
    assert end["message"] in capsys.readouterr().err
    for wrong in (["--events"], ["--events", "x"], ["--events=", "jobs"]):
        with pytest.raises(SystemExit) as found:
            cli.main(wrong)
        assert found.value.code == 2
    with pytest.raises(SystemExit):
        cli.main([f"--events={tmp_path}", "jobs"])
    assert "cannot be written" in capsys.readouterr().err
