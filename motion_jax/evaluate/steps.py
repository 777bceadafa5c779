"""`motion-jax evaluate --step all`: every checkpoint that a run keeps, on the same frames."""

import json
import sys
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.table import Table

from motion_jax import files
from motion_jax.errors import UserError
from motion_jax.evaluate.measure import measure
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.evaluate.report import remarks
from motion_jax.progress import say
from motion_jax.report import html
from motion_jax.train.checkpoint import has_checkpoint
from motion_jax.train.which_checkpoint import TABLE, steps_of

# What the table shows, and which way is better.
SHOWN = {"psnr": "max", "ssim": "max", "lpips": "min", "flicker": "min", "pose_distance": "min"}


def evaluate_all(options: EvaluateOptions) -> dict[str, Any]:
    """Evaluates each checkpoint into OUT/step-…, then writes OUT/steps.json and OUT/steps.html and
    prints a table.

    Returns the contents of steps.json: "run", "best" (the step of the highest SSIM, of equals the
    later one) and "steps", a list of {"step", metric: mean or None}.
    Raises UserError as evaluate does.
    """
    if not has_checkpoint(options.run / "checkpoints"):
        raise UserError(
            f"{options.run} holds no checkpoint; give the folder that motion-jax train wrote."
        )
    out = options.out or options.run / "evaluation"
    rows = []
    for step in steps_of(options.run):
        folder = out / f"step-{step:07d}"
        measured = measure(replace(options, step=str(step), out=folder))
        figures = measured["methods"]["trained"]
        rows.append({"step": step} | {name: figures.get(name) for name in SHOWN})
    best = max(rows, key=lambda row: (row["ssim"], row["step"]))["step"]
    result = {"run": str(options.run), "best": best, "steps": rows}
    files.write_json(out / TABLE, result)
    header, best_of = _columns(rows)
    table = [[row["step"], *(row[name] for name in header)] for row in rows]
    links = [
        html.link(f"step-{row['step']:07d}/index.html", f"step {row['step']} ") for row in rows
    ]
    remark = (
        f"The highest SSIM is that of step {best}: --step best takes it, where training wrote down "
        "no score of its own."
    )
    shown = html.table(["step", *header], table, best=best_of)
    page = [html.section("Held-out frames", shown, html.paragraph(remark), *links)]
    name = options.run.resolve().name
    html.write(out / "steps.html", html.page(f"Checkpoints of {name}", page))
    if options.json:
        json.dump(result, sys.stdout, indent=2)
        print(flush=True)
    else:
        _print(header, table, best)
        # The same of every step.
        for line in remarks(measured):
            say(line)
    say(f"Report: {out / 'steps.html'}")
    return result


def _columns(rows: list[dict[str, Any]]) -> tuple[list[str], dict[int, str]]:
    """The metrics that were measured, and which column is better which way."""
    header = [name for name in SHOWN if any(row[name] is not None for row in rows)]
    return header, {i + 1: SHOWN[name] for i, name in enumerate(header)}


def _print(header: list[str], table: list[list[Any]], best: int) -> None:
    shown = Table("step", *header)
    for row in table:
        cells = [html.format_value(value) for value in row]
        shown.add_row(*cells, style="bold" if row[0] == best else "")
    Console(highlight=False, soft_wrap=True).print(shown)
