"""What the command line shows of events: lines, or bars where stderr is a terminal."""

import io

import pytest
from rich.console import Console

from motion_jax.cli import terminal
from motion_jax.cli.terminal import Terminal
from motion_jax.events import Ending, Progress, Said, StageBegun, StageEnded, Step, Warned


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves: clock[0] seconds."""
    now = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    return now


def step(number: int, left: float | None) -> Step:
    metrics = {"G_l1": 1.23456, "D_real": 0.5}
    return Step("face", number, 40, 80 * number, 12.34, 0.256, 0.0002, left, metrics)


def test_lines_every_few_seconds(clock, capsys):
    show = Terminal()
    show(Progress(1, "Poses", 0, 40, "begun"))
    show(Said("[bold]not[/bold] markup"))
    for seconds, done in ((1, 4), (5, 10), (6, 12), (10, 30)):
        clock[0] = 100.0 + seconds
        show(Progress(1, "Poses", done, 40, "going"))
    show(Progress(1, "Poses", 40, 40, "ended"))
    assert capsys.readouterr().err.splitlines() == [
        "Poses …",
        "[bold]not[/bold] markup",
        "Poses: 10/40 (25 %), 1.5/s, 20 s left",
        "Poses: 30/40 (75 %), 2.9/s, 3 s left",
        "Poses: 40/40 (100 %), 4.0/s",
    ]


def test_no_rate_before_anything_moves_and_minutes_where_there_are_many(clock, capsys):
    show = Terminal()
    show(Progress(1, "Frames", 0, 247, "begun"))
    moments = ((6, 0), (12, 0), (40, 1), (46, 1), (70, 2), (75, 3), (80, 247), (86, 247))
    for seconds, done in moments:
        clock[0] = 100.0 + seconds
        show(Progress(1, "Frames", done, 247, "going"))
    show(Progress(1, "Frames", 247, 247, "ended"))
    assert capsys.readouterr().err.splitlines() == [
        "Frames …",
        "Frames: 1/247 (0 %)",
        "Frames: 2/247 (1 %), 2.0 a minute, 2 h 2 min left",
        "Frames: 3/247 (1 %), 3.4 a minute, 71 min left",
        "Frames: 247/247 (100 %), 6.2/s",
    ]


def test_what_was_quick_or_has_no_end_in_sight(clock, capsys):
    show = Terminal()
    for task, total in ((1, 3), (2, None)):
        show(Progress(task, f"Task {task}", 0, total, "begun"))
    clock[0] += 0.5
    show(Progress(1, "Task 1", 3, 3, "ended"))
    clock[0] += 1.5
    show(Progress(2, "Task 2", 6, None, "ended"))
    assert capsys.readouterr().err.splitlines() == ["Task 1 …", "Task 2 …", "Task 2: 6, 3.0/s"]


def test_steps_of_training(clock, capsys):
    show = Terminal()
    show(StageBegun("face"))
    for number, left, seconds in ((1, None, 30), (2, 76.4, 31), (3, 3700.0, 41), (40, 0.0, 42)):
        clock[0] = 100.0 + seconds
        show(step(number, left))
    show(StageEnded("face"))
    line = "face {}/40  {} images  12.3 images/s  input wait 26 %  lr 0.0002  left {}  "
    losses = "G_l1 1.23  D_real 0.5"
    assert capsys.readouterr().err.splitlines() == [
        line.format(1, 80, "…") + losses,
        line.format(3, 240, "1:01:40") + losses,
        line.format(40, 3200, "0:00") + losses,
    ]


def test_bars_and_a_live_line_on_a_terminal():
    out = io.StringIO()
    show = Terminal(Console(file=out, force_terminal=True, width=120, soft_wrap=True))
    show(Progress(1, "Poses", 0, 40, "begun"))
    show(Progress(1, "Poses", 40, 40, "going"))
    show(Warned("Beside the bar"))
    show(Progress(1, "Poses", 40, 40, "ended"))
    show(StageBegun("face"))
    show(step(1, None))
    show(step(2, 76.0))
    show(StageEnded("face"))
    text = out.getvalue()
    assert "40/40" in text and "Beside the bar" in text
    assert "face 2/40" in text and "left 1:16" in text
    # The cursor is shown again as often as it was hidden.
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 2


def test_the_last_words_of_a_process(capsys):
    Terminal()(Ending("Process 1 failed.", 2))
    assert capsys.readouterr().err == "motion-jax: error: Process 1 failed.\n"
