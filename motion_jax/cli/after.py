"""Which command makes sense after another one: the last line of each verb."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any


def next_command(verb: str, options: Any, result: Any = None) -> str:
    """The command, in words of the shell; "" where none follows.

    Args:
      options: those of the verb that is done; result: what its function returned.
    """
    after = _AFTER.get(verb)
    return after(options, result) if after else ""


def command(*words: str | Path) -> str:
    """Words in capitals stand for what the reader must choose."""
    return " ".join(["motion-jax", *(shlex.quote(str(word)) for word in words)])


def _after_import_data(options: Any, _: Any) -> str:
    return command("train", "CONFIG", "--data", options.out, "--run", "RUN", "--dry-run")


def _after_pair(options: Any, _: Any) -> str:
    return command("train", options.kind, "--data", options.out, "--run", "RUN")


def _after_train(options: Any, _: Any) -> str:
    return command("evaluate", "--run", options.run)


def _after_transfer(options: Any, _: Any) -> str:
    if options.run is not None:
        return command("evaluate", "--run", options.run, "--source", options.source)
    if options.data is None:
        return ""
    words = ("--target", options.data, "--source", options.source, "--out", "FOLDER")
    return command("compare", *words)


def _after_evaluate(options: Any, _: Any) -> str:
    words = ("--run", options.run, "--source", "VIDEO", "--out", "OUT.mp4", "--side-by-side")
    return command("transfer", *words)


def _after_compare(options: Any, result: Any) -> str:
    chosen = (result or {}).get("recommendation") or {}
    best = next(iter(chosen.get("pose") or chosen.get("person") or ()), None)
    row = (result or {}).get("methods", {}).get(best, {})
    if best is None:
        return ""
    to = ("--source", options.source, "--out", "OUT.mp4", "--side-by-side")
    if "run" in row:
        return command("transfer", "--run", row["run"], *to)
    return command("transfer", "--method", best, "--data", options.target, *to)


def _after_import(options: Any, _: Any) -> str:
    words = ("--run", options.run, "--source", "VIDEO", "--out", "OUT.mp4")
    return command("transfer", *words, *([] if options.data else ["--normalize", "none"]))


def _after_fetch(options: Any, _: Any) -> str:
    return command("train", "everybody_dance_now", "--data", "DATASET", "--run", "RUN")


def _after_demo(options: Any, _: Any) -> str:
    return command("prepare", "VIDEO", "--out", "DATASET") + "   (a film of your own)"


_AFTER: dict[str, Callable[[Any, Any], str]] = {
    "import-data": _after_import_data,
    "pair": _after_pair,
    "train": _after_train,
    "transfer": _after_transfer,
    "evaluate": _after_evaluate,
    "compare": _after_compare,
    "import": _after_import,
    "fetch": _after_fetch,
    "demo": _after_demo,
}
