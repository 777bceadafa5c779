"""`motion-jax evaluate`: the verb."""

import json
import sys
from typing import Any

from rich.console import Console

from motion_jax import files
from motion_jax.evaluate.measure import measure
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.evaluate.report import remarks, text_table, verdict
from motion_jax.evaluate.steps import evaluate_all


def evaluate(options: EvaluateOptions) -> dict[str, Any]:
    """As `measure`, and prints the figures; with --step all of every checkpoint (see
    steps.evaluate_all, whose result it returns)."""
    files.check_outputs(options, "out", own=("run",), any_name=True)
    if options.step == "all":
        return evaluate_all(options)
    result = measure(options)
    _print(result, options.json)
    return result


def _print(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        json.dump(result, sys.stdout, indent=2)
        print(flush=True)
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(text_table(result))
    for line in (verdict(result), *remarks(result)):
        if line:
            console.print(line, markup=False)
