"""Clients of clusters that are not there: fakes on the PATH that record how they are called."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = ROOT / "launch"

# What the scripts use of the system.
_SYSTEM = """
bash cat dirname env grep hostname ls mkdir mountpoint mv nohup rm sed setsid sleep tail touch wc
"""
_FAKE = """#!{python}
import json, re, sys
from pathlib import Path

name, here = "{name}", Path("{folder}")
words = " ".join([name, *sys.argv[1:]])
given = sys.stdin.read() if "--filename=-" in sys.argv else ""
with open(here / "calls.jsonl", "a") as calls:
    calls.write(json.dumps([name, *sys.argv[1:]]) + "\\n")
if given:
    (here / "given").write_text(given)
answers = json.loads((here / "answers.json").read_text())
for pattern, queue in answers:
    if re.search(pattern, words):
        answer = queue[0]
        if len(queue) > 1:
            del queue[0]
            (here / "answers.json").write_text(json.dumps(answers))
        sys.stdout.write(answer.get("out", ""))
        sys.stderr.write(answer.get("err", ""))
        sys.exit(answer.get("status", 0))
"""


class Fakes:
    """Fake clients. `answer(pattern, first, second, ...)` says what calls that match get, one after
    another, the last one for ever; what matches nothing succeeds and prints nothing."""

    def __init__(self, folder: Path):
        self.folder, self._answers = folder, []
        (folder / "bin").mkdir()
        (folder / "system").mkdir()
        for name in _SYSTEM.split():
            if found := shutil.which(name):
                (folder / "system" / name).symlink_to(found)
        (folder / "answers.json").write_text("[]")

    def add(self, *names: str) -> None:
        for name in names:
            path = self.folder / "bin" / name
            path.write_text(_FAKE.format(python=sys.executable, name=name, folder=self.folder))
            path.chmod(0o755)

    def answer(self, pattern: str, *answers: dict | str) -> None:
        queue = [{"out": answer} if isinstance(answer, str) else answer for answer in answers]
        self._answers.append([pattern, queue])
        (self.folder / "answers.json").write_text(json.dumps(self._answers))

    @property
    def calls(self) -> list[list[str]]:
        path = self.folder / "calls.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def path(self) -> str:
        """A PATH with the fakes and what scripts need of the system; no real client."""
        return f"{self.folder / 'bin'}:{self.folder / 'system'}"

    def run(self, *command: str | Path, **variables: str) -> subprocess.CompletedProcess:
        environment = {"PATH": self.path, "HOME": str(self.folder), **variables}
        return subprocess.run(
            [str(word) for word in command], env=environment, capture_output=True, text=True,
            timeout=60,
        )  # fmt: skip


@pytest.fixture
def fakes(tmp_path, monkeypatch) -> Fakes:
    fakes = Fakes(tmp_path)
    monkeypatch.setenv("PATH", fakes.path)
    return fakes


@pytest.fixture
def program(monkeypatch) -> Callable:
    """program("tpu"): the module launch/tpu.py."""
    import importlib

    monkeypatch.syspath_prepend(str(LAUNCH))
    names = ("target", "tpu", "gke")
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module
    for name in names:
        sys.modules.pop(name, None)


def tool(name: str) -> str:
    """A checker beside this Python or on the PATH; skips the test where there is none."""
    folders = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = shutil.which(name, path=folders)
    if found is None:
        pytest.skip(f"{name} is not installed (pip install -e '.[launch]')")
    return found


@pytest.fixture(scope="session")
def checker() -> Callable[[str], str]:
    return tool
