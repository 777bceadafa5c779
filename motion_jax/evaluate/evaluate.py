"""`motion-jax evaluate`: the verb."""

import json
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from motion_jax import files
from motion_jax.evaluate.films import film_lines
from motion_jax.evaluate.measure import measure
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.evaluate.report import (
    Evaluation,
    detector_sentence,
    remarks,
    text_table,
    verdict,
)
from motion_jax.evaluate.steps import evaluate_all


def evaluate(options: EvaluateOptions) -> Mapping[str, Any]:
    """Does what `measure` does and prints the figures; with --step all does it for every checkpoint
    (see steps.evaluate_all, whose result it returns)."""
    files.check_outputs(options, "out", own=("run",), any_name=True)
    if options.step == "all":
        result: Mapping[str, Any] = evaluate_all(options)
    else:
        result = measured = measure(options)
        if not options.json:
            _print(measured)
    if options.json:
        json.dump(result, sys.stdout, indent=2)
        print(flush=True)
    return result


def _print(result: Evaluation) -> None:
    console = Console(highlight=False, soft_wrap=True)
    lines = [verdict(result), *film_lines(result.get("films", {}))]
    after = [detector_sentence(result) or "", *remarks(result)]
    for part in (*lines, text_table(result), *after):
        if part:
            console.print(part, markup=False)
