"""What tpu.py and gke.py share: targets in YAML, clients such as gcloud, errors in one sentence."""

import dataclasses
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml


class Failure(Exception):
    """Something that the operator can mend; one sentence."""


def load(kind: type, path: Path) -> Any:
    """A target: the fields of the dataclass `kind` from a YAML file.

    Raises Failure, naming file and field, where one is unknown, missing or of another kind."""
    try:
        values = yaml.safe_load(Path(path).read_text())
    except OSError as error:
        raise Failure(f"{path} cannot be read ({error.strerror}).") from error
    except yaml.YAMLError as error:
        raise Failure(f"{path} is not YAML ({' '.join(str(error).split())}).") from error
    if not isinstance(values, dict):
        raise Failure(f"{path} holds no settings; start from the target beside it in launch/.")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for name, value in values.items():
        if name not in fields:
            raise Failure(f"{path}: there is no setting {name!r}; there are {', '.join(fields)}.")
        expected = fields[name].type
        if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
            raise Failure(f"{path}: {name} must be of type {expected.__name__}, not {value!r}.")
    missing = [
        name
        for name, field in fields.items()
        if name not in values
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise Failure(f"{path}: {missing[0]} is missing.")
    return kind(**values)


def call(*command: str, given: str | None = None) -> str:
    """Runs a client and returns what it prints.

    given: its standard input. Raises Failure with the client's own last word where it fails."""
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise Failure(f"{command[0]} is not installed, or not on the PATH.") from error
    if done.returncode:
        raise Failure(f"{_short(command)} failed: {_last_word(done.stderr or done.stdout)}")
    return done.stdout.strip()


def show(*command: str) -> None:
    """Runs a client that writes to the terminal itself, until it ends or Ctrl-C."""
    try:
        status = subprocess.run(command).returncode
    except FileNotFoundError as error:
        raise Failure(f"{command[0]} is not installed, or not on the PATH.") from error
    except KeyboardInterrupt:
        return
    if status:
        raise Failure(f"{_short(command)} failed with status {status}; its reason stands above.")


def attempt(work: Callable[[], Any], times: int, pause: float) -> Any:
    """work(), again after `pause` seconds where it fails, `times` times in all."""
    for _ in range(times - 1):
        try:
            return work()
        except Failure as failure:
            say(f"{failure} Trying again.")
            time.sleep(pause)
    return work()


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def run(document: str, kind: type, verbs: dict[str, Callable[[Any], None]]) -> None:
    """A program TARGET.yaml VERB: calls what the verb stands for with the target.

    document: its help. Exit status: 0; 2 for a Failure, or where it was called otherwise."""
    words = sys.argv[1:]
    if len(words) != 2 or words[1] not in verbs:
        help_wanted = {"-h", "--help"} & set(words)
        print(document.strip(), file=sys.stdout if help_wanted else sys.stderr)
        sys.exit(0 if help_wanted else 2)
    try:
        verbs[words[1]](load(kind, Path(words[0])))
    except Failure as failure:
        say(f"{Path(sys.argv[0]).name}: error: {failure}")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _short(command: tuple[str, ...]) -> str:
    """The command up to its first option."""
    words = []
    for word in command:
        if word.startswith("-"):
            break
        words.append(word)
    return shlex.join(words)


def _last_word(text: str) -> str:
    """The last line of what a client complains, without its own prefix."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines[-1:]
    if not errors:
        return "it said nothing."
    word = errors[-1].removeprefix("ERROR:").strip()
    if word.startswith("(") and ")" in word:
        word = word.split(")", 1)[1].strip()
    return word if word.endswith((".", "!", "?")) else f"{word}."
