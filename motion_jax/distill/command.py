"""`motion-jax distill`: choose a student, write its lessons, train it, measure both."""

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from motion_jax import events, files
from motion_jax.config import Config
from motion_jax.data.records import PoseFrames, open_dataset
from motion_jax.distill.family import Finalist, Member, family, fastest_runtime, finalists, timed
from motion_jax.distill.forms import LEAST_SSIM, compared, export_all, fastest_near
from motion_jax.distill.lessons import write_lessons
from motion_jax.distill.options import DistillOptions
from motion_jax.distill.taught import Frozen, Teacher, taught
from motion_jax.errors import UserError, option
from motion_jax.evaluate.evaluate import evaluate
from motion_jax.evaluate.held_out import held_and_training
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.events import Observer, StopToken
from motion_jax.live.graphs import installed
from motion_jax.port.run_state import all_params
from motion_jax.progress import say
from motion_jax.recipes.base import Recipe
from motion_jax.train.loop import train
from motion_jax.train.run import Run, load_person, load_run
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
        _check(options)
        files.check_outputs(options, "run")
        teacher = load_person(options.teacher, options.step)
        if not takes_poses(teacher) or takes_frames_too(teacher):
            raise UserError(
                f"The run {options.teacher} is not driven by poses alone; {option('teacher')} "
                "takes runs that are."
            )
        dataset = open_dataset(options.data or teacher.data_path)
        _check_parts(dataset, teacher)
        beside = lessons_folder(options.run)
        known = _read(beside)
        if known is None or "form" not in known:
            found, known = _within(teacher, options, budget)
        else:
            found = []
        with files.results_in(beside):
            lessons = beside / "dataset"
            with events.part(0.0, 0.2):
                write_lessons(
                    lessons, teacher, dataset, options.mixed, options.seed, options.perturb
                )
            if found:
                with events.part(0.2, 0.4):
                    _keep_best(known, teacher, options, found, lessons)
                files.write_json(beside / RESULT, known)
        config = student_config(teacher, known["sizes"], known["form"], options)
        with events.part(0.4, 0.9):
            train(
                _taught(config, teacher, options),
                lessons,
                options.run,
                command=command or "motion-jax distill",
            )
        with events.part(0.9, 1.0):
            result = known | _measured(options, teacher, dataset.folder)
            student = load_run(options.run)
            if installed() != ["jax"]:
                export_all(student)
            result["forms"] = compared(teacher, student, dataset)
        files.write_json(options.run / RESULT, result)
        _tell(result)
        events.emit(events.Done("distill", options.run), at=1.0)
    return result


def _check(options: DistillOptions) -> None:
    """Raises UserError for options that are wrong whatever the teacher."""
    if options.mixed < 0 or not 0 < options.steps <= 100:
        raise UserError(
            f"{option('mixed')} is 0 or more rounds, and {option('steps')} a share above 0."
        )
    if options.trials < 1 or not 0 < options.trial <= 1:
        raise UserError(
            f"{option('trials')} is 1 or more networks, and {option('trial')} a share above 0, at "
            "most 1."
        )
    if options.perturb < 0 or options.features < 0:
        raise UserError(f"{option('perturb')} and {option('features')} are 0 or more.")
    if options.precision != "float32" and options.runtime not in ("auto", "openvino"):
        raise UserError(
            f"{option('precision')} {options.precision} is only with {option('runtime')} openvino."
        )
    if options.precision != "float32" and "openvino" not in installed():
        raise UserError(
            f"{option('precision')} {options.precision} needs OpenVINO: pip install "
            "'motion-jax[live]'."
        )


def _check_parts(dataset: PoseFrames, teacher: Run) -> None:
    """Raises UserError where the dataset has no frames to learn from, or none to measure by, of
    whom the teacher draws."""
    holdout = teacher.config.data.holdout
    how = (
        f"with the teacher's holdout = {holdout:g}, and both are measured on those; give another "
        f"dataset with {option('data')}, or a teacher that was trained with "
        f"{option('data.holdout')} 0.2."
    )
    held_and_training(dataset, holdout, how, person=teacher.person)


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


def _within(
    teacher: Run, options: DistillOptions, budget: float
) -> tuple[list[Finalist], dict[str, Any]]:
    """The networks to try, and what distill.json says of the search. Raises UserError where none
    keeps the budget."""
    recipe, precision = plain(teacher), options.precision
    branches = family(recipe)
    stage = list(recipe.stages())[-1]
    runtime, speeds = fastest_runtime(recipe, stage, options.runtime, precision)
    count = sum(map(len, branches))
    say(f"The teacher's generator takes {speeds[runtime]:.1f} ms in {runtime}; looking for one "
        f"of {budget:g} ms among {count} in {len(branches)} forms.")  # fmt: skip

    def timing(member: Member) -> float:
        return timed(member.recipe, member.stage, runtime, precision, 2 * budget)

    found, tried = finalists(branches, budget, timing, options.trials)
    operations = Member(recipe, stage, {}).operations
    return found, {
        "teacher": str(teacher.folder),
        **({"who": teacher.identity} if teacher.identity else {}),
        "teacher_step": teacher.step,
        "budget_ms": budget,
        "runtime": runtime,
        "precision": precision,
        "milliseconds": {"teacher": round(speeds[runtime], 2)},
        "gflops": {"teacher": round(operations / 1e9, 3)},
        "tried": tried,
    }


def _keep_best(
    known: dict[str, Any],
    teacher: Run,
    options: DistillOptions,
    found: list[Finalist],
    lessons: Path,
) -> None:
    """Adds to what distill.json says the network that is taken: of several the one that learns best
    in a short while, by the held-out frames."""
    scores: list[float | None] = [None] * len(found)
    if len(found) > 1:
        for number, each in enumerate(found):
            say(f"Trial {number + 1} of {len(found)}: {each.member.words()}; {each.spent:.1f} ms.")
            scores[number] = _tried(teacher, options, each.member, lessons)
    best = max(range(len(found)), key=lambda n: (scores[n] or 0.0, -n))
    member, spent = found[best].member, found[best].spent
    gflops = round(member.operations / 1e9, 3)
    share = gflops / known["gflops"]["teacher"]
    say(f"Chosen: {member.words()}; {spent:.1f} ms, {share:.0%} of the teacher's arithmetic.")
    known |= member.settings()
    known["milliseconds"]["student"] = round(spent, 2)
    known["gflops"]["student"] = gflops
    known["trials"] = [
        {
            **each.member.settings(),
            "milliseconds": round(each.spent, 2),
            "gflops": round(each.member.operations / 1e9, 3),
            "psnr": score,
        }
        for each, score in zip(found, scores, strict=True)
    ]


def _tried(teacher: Run, options: DistillOptions, member: Member, lessons: Path) -> float:
    """The held-out PSNR of a network after a trial."""
    # By what the network is: a search that is made again may end with others.
    parts = [str(value) for value in (*member.sizes.values(), *member.form.values())]
    run = lessons.parent / "-".join(["trial", *parts])
    short = dataclasses.replace(options, steps=options.steps * options.trial)
    config = student_config(teacher, member.sizes, member.form, short)
    train(_taught(config, teacher, options), lessons, run, command="motion-jax distill, trial")
    found = evaluate(EvaluateOptions(run, out=run / "evaluation", reestimate="no"))
    return round(float(found["methods"]["trained"]["psnr"]), 3)


def _taught(config: Config, teacher: Run, options: DistillOptions) -> Config:
    """The config with what a student has of its teacher besides pictures."""
    _, params = all_params(teacher.folder)
    networks = teacher.config.recipe.networks(teacher.stage)
    judges = {n: params[n] for n in params if networks[n].role == "discriminator"}
    # The first of the stage that makes whole pictures, not a part that refines them.
    own = config.recipe.networks(list(config.recipe.stages())[-1])
    main = next(n for n, each in own.items() if each.role == "generator")
    generator = Frozen(networks[main].module, teacher.params[main])
    weight = options.features
    return dataclasses.replace(
        config, recipe=taught(config.recipe, Teacher(generator, judges, weight))
    )


def plain(teacher: Run) -> Recipe:
    """The teacher's recipe without parts that a small network does without: the face stage, and,
    where one of several people was chosen, factors and shifts of who it is."""
    recipe: Any = teacher.config.recipe
    if teacher.who:
        recipe = dataclasses.replace(recipe, identities=0)
    names = [name for name in recipe.stages() if name in recipe.parts(teacher.params)]
    for name in names:
        stage = dataclasses.replace(getattr(recipe, f"{name}_stage"), steps=0, decay_steps=0)
        recipe = dataclasses.replace(recipe, **{f"{name}_stage": stage})
    return recipe


def student_config(
    teacher: Run, sizes: dict[str, int], form: dict[str, Any], options: DistillOptions
) -> Config:
    """The teacher's config with a smaller network in one stage, and a share of the steps that the
    teacher made in all stages."""
    whole = plain(teacher)
    planned = {name: stage.steps for name, stage in whole.stages().items()}
    made = sum(teacher.made.get(name, 0) for name in planned) or sum(planned.values())
    share = options.steps * made / sum(planned.values())
    recipe: Any = whole.in_one_stage().varied(form)
    recipe = recipe.resized(sizes, discriminator=False)
    for name, stage in recipe.stages().items():
        limit = options.step_limit or stage.steps * 100
        steps = max(1, min(round(stage.steps * share), limit))
        decay = min(round(stage.decay_steps * steps / stage.steps), steps)
        changed = dataclasses.replace(stage, steps=steps, decay_steps=decay)
        recipe = dataclasses.replace(recipe, **{f"{name}_stage": changed})
    return dataclasses.replace(teacher.config, recipe=recipe)


def _measured(options: DistillOptions, teacher: Run, data: Path) -> dict[str, Any]:
    """Both on the teacher's held-out frames, which neither has seen. Of a mixture of people there
    are no true ones, and the student is compared with what the teacher makes of their poses."""
    scores: dict[str, Mapping[str, Any]] = {}
    for name, folder, step in (
        ("teacher", options.teacher, options.step),
        ("student", options.run, "latest"),
    ):
        if name == "teacher" and teacher.mixture:
            continue
        out = options.run / "evaluation" / name
        # The student's lessons hold the same frames out.
        own = None if name == "student" else data
        found = evaluate(EvaluateOptions(folder, step, data=own, out=out, reestimate="no"))
        scores[name] = found["methods"]["trained"]
    psnr = {name: round(float(score["psnr"]), 3) for name, score in scores.items()}
    ssim = {name: round(float(score["ssim"]), 4) for name, score in scores.items()}
    if teacher.mixture:
        return {"psnr": psnr, "ssim": ssim, "truth": "teacher"}
    below = round(psnr["teacher"] - psnr["student"], 3)
    return {"psnr": psnr, "ssim": ssim, "psnr_below_teacher": below}


def _of(result: Mapping[str, Any]) -> str:
    """Whose student it is, where the teacher knows several people."""
    return f" of {result['who']}" if "who" in result else ""


def _tell(result: dict[str, Any]) -> None:
    ms, psnr = result["milliseconds"], result["psnr"]
    against = f"teacher {psnr['teacher']:.2f}" if "teacher" in psnr else "to the teacher's pictures"
    say(
        f"Student{_of(result)}: {ms['student']:.1f} ms a picture in {result['runtime']} (teacher "
        f"{ms['teacher']:.1f}); held-out PSNR {psnr['student']:.2f} dB ({against})."
    )
    for row in result["forms"]:
        say(
            f"  {row['runtime']} {row['precision']}: {row['milliseconds']:.1f} ms (p95 "
            f"{row['milliseconds_p95']:.1f}), PSNR to the teacher {row['psnr_to_teacher']} dB, "
            f"SSIM {row['ssim_to_teacher']:.3f}."
        )
    best = fastest_near(result["forms"])
    if best is None:
        say(
            f"None of them comes near the teacher (SSIM {LEAST_SSIM}); more {option('steps')} or a "
            f"larger {option('budget')} would help."
        )
    else:
        given = f"{option('runtime')} {best['runtime']} {option('precision')} {best['precision']}"
        say(f"The fastest that is near the teacher: motion-jax live {given}.")
