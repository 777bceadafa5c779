"""What `motion-jax train` refuses before it imports anything that takes seconds."""

import subprocess
import sys

import pytest

from motion_jax.cli.train import refuse_early
from motion_jax.errors import UserError


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--wait-seconds", "-5"), "wait_seconds -5 is no time to wait; give 0 seconds or more"),
        (("--wait_seconds=nan",), "wait_seconds nan is no time"),
        (("--wait-seconds=inf",), "wait_seconds inf is no time"),
        (("--preempted-status", "1"), "1 already means a crash; give another"),
        (("--preempted-status=2",), "2 already means an error that would come again"),
        (("--preempted_status", "130"), "130 already means Ctrl-C"),
        (("--preempted-status", "256"), "256 is not between 0 and 255"),
        (("--preempted-status", "-1"), "-1 is not between 0 and 255"),
        (("--process", "2", "--processes", "2"), "was given process 2, but 2 processes"),
        (("--process=-1", "--processes=2"), "was given process -1, but 2 processes"),
        (
            ("--process", "2", "--processes", "2", "--coordinator", "here"),
            "coordinator here is not HOST:PORT",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        refuse_early(["demo", "--data", "d", *arguments, "--run", "r"])


def test_what_can_be_and_what_others_explain():
    for words in ("0", "75", "143", "255"):
        refuse_early(["demo", "--preempted-status", words])
    refuse_early(["demo", "--wait-seconds", "0", "--process", "1", "--processes", "2"])
    refuse_early(["demo", "--wait-seconds", "soon", "--process", "--processes"])
    refuse_early(["demo", "--wait-seconds", "-5", "--help"])


PROGRAM = """
import sys
from motion_jax.cli import main

try:
    main(["train", "demo", "--data", "d", "--run", "r", *sys.argv[1:]])
except SystemExit as end:
    heavy = {"jax", "numpy", "tyro", "rich"} & sys.modules.keys()
    print(end.code, sorted(heavy))
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ("--process", "2", "--processes", "2"),
        ("--process", "-1", "--processes", "2", "--coordinator", "localhost:1"),
        ("--wait-seconds", "-5"),
        ("--preempted-status", "2"),
    ],
)
def test_nothing_heavy_is_imported_for_it(arguments, tmp_path):
    words = [*arguments] if "--wait-seconds" in arguments else [*arguments, "--wait-seconds", "0"]
    command = [sys.executable, "-c", PROGRAM, *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "2 []\n"
    assert done.stderr.startswith("motion-jax: error: ") and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
