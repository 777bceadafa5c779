"""A mixture of the people that a run knows, measured: nobody has ever seen them, so that there are
no true frames, and films of other people's motion are all that there is to look at."""

from motion_jax import files
from motion_jax.errors import UserError, option
from motion_jax.evaluate.films import films_section, measure_films
from motion_jax.evaluate.held_out import dataset_of, default_folder
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.evaluate.reestimate import choose_detector
from motion_jax.evaluate.report import Evaluation, what_was_evaluated
from motion_jax.progress import say
from motion_jax.report import html
from motion_jax.train.run import Run
from motion_jax.train.unfinished import unfinished


def measure_mixture(options: EvaluateOptions, run: Run) -> Evaluation:
    """Measures the films of options.source alone; writes evaluation.json and index.html, and
    returns the contents of evaluation.json, in which there are no methods.

    Raises UserError without a source, and for a source that cannot be read or shows nobody.
    """
    if not options.source:
        raise UserError(
            f"Of a mixture of people ({run.identity}) there are no true frames to compare with; "
            f"measure films of it with {option('source')} VIDEO, or one person alone, as in "
            f"{run.folder}:{run.person}."
        )
    dataset = dataset_of(options, run)
    detector = choose_detector(dataset, options.reestimate, options.pose_model)
    out = options.out or default_folder(options)
    with files.results_in(out):
        films, sheets = measure_films(options, run, detector)
    height, width = run.size
    notes = [
        f"Of a mixture of people ({run.identity}) there are no true frames, so none are compared; "
        "what is measured is the films."
    ]
    if detector.bundle is None:
        notes.append(f"Whether a person is seen was not measured: {detector.why_not}.")
    result: Evaluation = {
        "methods": {},
        "frames": 0,
        "run": str(options.run),
        "who": run.identity,
        "step": run.step,
        "checkpoint": run.checkpoint,
        "data": str(dataset.folder),
        "size": f"{width}x{height}",
        "notes": notes,
        "films": films,
    }
    if still := unfinished(run):
        result["notes"] = [*notes, str(still)]
        result["go_on"] = still.command
    files.write_json(out / "evaluation.json", result)
    sections = [
        html.section("Figures", html.bullets(result["notes"])),
        films_section(films, sheets),
        what_was_evaluated(result),
    ]
    html.write(
        out / "index.html",
        html.page(f"Evaluation of {run.name}", sections, str(options.run)),
    )
    say(f"Report: {out / 'index.html'}")
    return result
