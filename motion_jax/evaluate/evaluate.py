"""`motion-jax evaluate`: the verb."""

import json
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from motion_jax import files
from motion_jax.errors import UserError, option
from motion_jax.evaluate.detector import measure_detector, text_tables
from motion_jax.evaluate.films import film_lines
from motion_jax.evaluate.measure import measure
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.evaluate.paper import lines as paper_lines
from motion_jax.evaluate.report import (
    Evaluation,
    detector_sentence,
    remarks,
    text_table,
    title,
    verdict,
)
from motion_jax.evaluate.steps import evaluate_all
from motion_jax.train.run import read_config


def evaluate(options: EvaluateOptions) -> Mapping[str, Any]:
    """Does what `measure` does and prints the figures; with --step all does it for every checkpoint
    (see steps.evaluate_all, whose result it returns)."""
    files.check_outputs(options, "out", own=("run",), any_name=True)
    config = read_config(files.parted(options.run)[0])
    if config is not None and config.recipe.detects:
        result: Mapping[str, Any] = _of_detector(options)
    elif options.step == "all":
        result = evaluate_all(options)
    else:
        result = measured = measure(options)
        if not options.json:
            _print(measured)
    if options.json:
        json.dump(result, sys.stdout, indent=2)
        print(flush=True)
    return result


def _of_detector(options: EvaluateOptions) -> dict[str, Any]:
    """See detector.measure_detector. Raises UserError for options that do not go with it."""
    if options.step == "all" or options.source:
        given = option("source") if options.source else f"{option('step')} all"
        raise UserError(f"{given} does not go with the run of a detector; leave it out.")
    result = measure_detector(options)
    if not options.json:
        for table in text_tables(result):
            Console(highlight=False, soft_wrap=True).print(table)
    return result


def _print(result: Evaluation) -> None:
    console = Console(highlight=False, soft_wrap=True)
    lines = [verdict(result), *film_lines(result.get("films", {}))]
    after = [detector_sentence(result) or "", *remarks(result)]
    if "paper" in result:
        after += paper_lines(result["paper"], title)
    # Of a mixture of people no method is measured.
    tables = [text_table(result)] if result["methods"] else []
    for part in (*lines, *tables, *after):
        if part:
            console.print(part, markup=False)
