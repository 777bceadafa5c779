"""`motion-jax evaluate --step all`: every checkpoint that a run keeps, on the same frames."""

from dataclasses import replace
from typing import Any, TypedDict

from rich.console import Console
from rich.table import Table

from motion_jax import files
from motion_jax.errors import UserError, option
from motion_jax.evaluate.held_out import default_folder
from motion_jax.evaluate.measure import measure
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.evaluate.report import remarks
from motion_jax.progress import say
from motion_jax.report import html
from motion_jax.train.checkpoint import has_checkpoint
from motion_jax.train.run import load_chosen
from motion_jax.train.which_checkpoint import TABLE, steps_of

# What the table shows, and which way is better.
SHOWN = {"psnr": "max", "ssim": "max", "lpips": "min", "flicker": "min", "pose_distance": "min"}


class StepsTable(TypedDict):
    """The contents of steps.json.

    run: the run's folder.
    best: the step of the highest SSIM, the later one of equals.
    steps: of each checkpoint {"step": its number, metric: mean or None}.
    """

    run: str
    best: int
    steps: list[dict[str, Any]]


def evaluate_all(options: EvaluateOptions) -> StepsTable:
    """Evaluates each checkpoint into OUT/step-…, then writes OUT/steps.json and OUT/steps.html and
    prints a table (without --json); returns the contents of steps.json.

    Raises UserError as evaluate does.
    """
    run, who = files.parted(options.run)
    if not has_checkpoint(run / "checkpoints"):
        raise UserError(
            f"{options.run} holds no checkpoint; give the folder that motion-jax train wrote."
        )
    if who is not None and (chosen := load_chosen(options.run)).mixture:
        raise UserError(
            f"{option('step')} all compares checkpoints by true frames, and of a mixture of people "
            f"({chosen.identity}) there are none; name one of {', '.join(chosen.who)}."
        )
    out = options.out or default_folder(options)
    rows: list[dict[str, Any]] = []
    for step in steps_of(run):
        folder = out / f"step-{step:07d}"
        measured = measure(replace(options, step=str(step), out=folder))
        figures = measured["methods"]["trained"]
        rows.append({"step": step} | {name: figures.get(name) for name in SHOWN})
    best = max(rows, key=lambda row: (row["ssim"], row["step"]))["step"]
    result = StepsTable(run=str(options.run), best=best, steps=rows)
    files.write_json(out / TABLE, result)
    header = [name for name in SHOWN if any(row[name] is not None for row in rows)]
    better = {i: SHOWN[name] for i, name in enumerate(header, 1)}
    table = [[row["step"], *(row[name] for name in header)] for row in rows]
    links = [
        html.link(f"step-{row['step']:07d}/index.html", f"step {row['step']} ") for row in rows
    ]
    taken = f"--step {best} takes it."
    if who is None:
        taken = "--step best takes it, where training wrote down no score of its own."
    remark = f"The highest SSIM is that of step {best}: {taken}"
    shown = html.table(["step", *header], table, best=better)
    page = [html.section("Held-out frames", shown, html.paragraph(remark), *links)]
    name = run.resolve().name if who is None else f"{run.resolve().name}:{who}"
    html.write(out / "steps.html", html.page(f"Checkpoints of {name}", page))
    if not options.json:
        _print(header, table, best)
        # The same of every step.
        for line in remarks(measured):
            say(line)
    say(f"Report: {out / 'steps.html'}")
    return result


def _print(header: list[str], table: list[list[Any]], best: int) -> None:
    shown = Table("step", *header)
    for row in table:
        cells = [html.format_value(value) for value in row]
        shown.add_row(*cells, style="bold" if row[0] == best else "")
    Console(highlight=False, soft_wrap=True).print(shown)
