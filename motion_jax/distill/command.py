"""`motion-jax distill`: choose a student, write its lessons, train it, measure both."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

from motion_jax import events, files
from motion_jax.config import Config
from motion_jax.data.records import open_dataset
from motion_jax.distill.family import Member, chosen, family, fastest_runtime, timed
from motion_jax.distill.lessons import write_lessons
from motion_jax.distill.options import DistillOptions
from motion_jax.errors import UserError, option
from motion_jax.evaluate.evaluate import evaluate
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.events import Observer, StopToken
from motion_jax.progress import say
from motion_jax.recipes.base import Recipe
from motion_jax.train.loop import train
from motion_jax.train.run import Run, load_run
from motion_jax.transfer.source import takes_frames_too, takes_poses

RESULT = "distill.json"


def distill(
    options: DistillOptions,
    *,
    observer: Observer | None = None,
    stop: StopToken | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Makes the student's run; returns what distill.json holds. See motion_jax.events for the
    observer and the token. Raises UserError for every bad input, before anything is written."""
    with events.watched(observer, stop):
        budget = parse_budget(options.budget)
        if options.mixed < 0 or not 0 < options.steps <= 100:
            raise UserError(
                f"{option('mixed')} is 0 or more rounds, and {option('steps')} a share above 0."
            )
        files.check_outputs(options, "run")
        teacher = load_run(options.teacher, options.step)
        if not takes_poses(teacher) or takes_frames_too(teacher):
            raise UserError(
                f"The run {options.teacher} is not driven by poses alone; {option('teacher')} "
                "takes runs that are."
            )
        dataset = open_dataset(options.data or teacher.data_path)
        beside = lessons_folder(options.run)
        known = _read(beside)
        if known is None:
            known = _choose(teacher, options, budget)
        config = student_config(teacher, known["sizes"], options)
        with files.results_in(beside):
            files.write_json(beside / RESULT, known)
        with events.part(0.0, 0.3):
            lessons = beside / "dataset"
            write_lessons(lessons, teacher, dataset, options.mixed, options.seed)
        with events.part(0.3, 0.95):
            train(config, lessons, options.run, command=command or "motion-jax distill")
        result = known | _measured(options, dataset.folder)
        files.write_json(options.run / RESULT, result)
        _tell(result)
        events.emit(events.Done("distill", options.run), at=1.0)
    return result


def parse_budget(text: str) -> float:
    """ "12ms" or "0.012s" -> milliseconds. Raises UserError."""
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(ms|s)\s*", text)
    value = 0.0 if found is None else float(found[1]) * (1 if found[2] == "ms" else 1000)
    if value <= 0:
        raise UserError(f"{option('budget')} {text} is no time; give one as 12ms or 0.012s.")
    return value


def lessons_folder(run: Path) -> Path:
    """Beside the student's run: what it learns from, and what was chosen."""
    return run.with_name(f"{run.name}.lessons")


def _read(folder: Path) -> dict[str, Any] | None:
    """What an earlier call chose; it goes on with it."""
    path = folder / RESULT
    return json.loads(path.read_text()) if path.is_file() else None


def _choose(teacher: Run, options: DistillOptions, budget: float) -> dict[str, Any]:
    recipe = plain(teacher)
    stage = list(recipe.stages())[-1]
    members = family(recipe, stage)
    runtime, speeds = fastest_runtime(members[0].recipe, stage, options.runtime)
    say(f"The teacher's generator takes {speeds[runtime]:.1f} ms in {runtime}; looking for one "
        f"of {budget:g} ms among {len(members)}.")  # fmt: skip

    def timing(member: Member) -> float:
        return timed(member.recipe, stage, runtime)

    member, spent, tried = chosen(members, budget, timing)
    words = ", ".join(f"{name} {value}" for name, value in member.sizes.items())
    share = member.operations / members[0].operations
    say(f"Chosen: {words}; {spent:.1f} ms, {share:.0%} of the teacher's arithmetic.")
    return {
        "teacher": str(teacher.folder),
        "teacher_step": teacher.step,
        "budget_ms": budget,
        "runtime": runtime,
        "sizes": member.sizes,
        "milliseconds": {"teacher": round(speeds[runtime], 2), "student": round(spent, 2)},
        "gflops": {
            "teacher": round(members[0].operations / 1e9, 3),
            "student": round(member.operations / 1e9, 3),
        },
        "tried": [
            {**members[n].sizes, "milliseconds": round(ms, 2)} for n, ms in sorted(tried.items())
        ],
    }


def plain(teacher: Run) -> Recipe:
    """The teacher's recipe without parts that a small network does without (the face stage)."""
    recipe: Any = teacher.config.recipe
    names = [name for name in recipe.stages() if name in recipe.parts(teacher.params)]
    for name in names:
        stage = dataclasses.replace(getattr(recipe, f"{name}_stage"), steps=0, decay_steps=0)
        recipe = dataclasses.replace(recipe, **{f"{name}_stage": stage})
    return recipe


def student_config(teacher: Run, sizes: dict[str, int], options: DistillOptions) -> Config:
    """The teacher's config with a smaller network and a share of its steps."""
    recipe: Any = plain(teacher).resized(sizes)
    for name, stage in recipe.stages().items():
        limit = options.step_limit or stage.steps * 100
        steps = max(1, min(round(stage.steps * options.steps), limit))
        decay = min(round(stage.decay_steps * steps / stage.steps), steps)
        changed = dataclasses.replace(stage, steps=steps, decay_steps=decay)
        recipe = dataclasses.replace(recipe, **{f"{name}_stage": changed})
    return dataclasses.replace(teacher.config, recipe=recipe)


def _measured(options: DistillOptions, data: Path) -> dict[str, Any]:
    """Both on the teacher's held-out frames, which neither has seen."""
    scores = {}
    for name, folder, step in (
        ("teacher", options.teacher, options.step),
        ("student", options.run, "latest"),
    ):
        out = options.run / "evaluation" / name
        # The student's lessons hold the same frames out.
        own = None if name == "student" else data
        found = evaluate(EvaluateOptions(folder, step, data=own, out=out, reestimate="no"))
        scores[name] = found["methods"]["trained"]
    psnr = {name: round(float(score["psnr"]), 3) for name, score in scores.items()}
    return {
        "psnr": psnr,
        "ssim": {name: round(float(score["ssim"]), 4) for name, score in scores.items()},
        "psnr_below_teacher": round(psnr["teacher"] - psnr["student"], 3),
    }


def _tell(result: dict[str, Any]) -> None:
    ms, psnr = result["milliseconds"], result["psnr"]
    say(
        f"Student: {ms['student']:.1f} ms a picture in {result['runtime']} (teacher "
        f"{ms['teacher']:.1f}); held-out PSNR {psnr['student']:.2f} dB (teacher "
        f"{psnr['teacher']:.2f})."
    )
