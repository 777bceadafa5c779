"""`motion-jax compare`: several ways to move a person, on the same videos, under one budget.

    target dataset + source video
      -> the source as a dataset; its poses fitted to the target's body
      -> what needs training is trained, each for the same number of seconds
      -> all are scored on the target's held-out frames, and all dance the source's dance
      -> index.html, table.md, table.json, side_by_side.mp4

Everything is kept in the folder: the source's dataset, one run for each method, what was measured.
The same command again uses what is there and makes what is missing.
"""

import contextlib
import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Int
from rich.console import Console

from motion_jax import events, files
from motion_jax.compare import budget as budgets
from motion_jax.compare import dance, duration, page, score
from motion_jax.compare.movers import (
    PHOTO,
    Mover,
    PhotoMover,
    RetrievalMover,
    RunMover,
    frame_seconds,
)
from motion_jax.compare.options import CompareOptions
from motion_jax.compare.page import Grids, Table, notes, text_table
from motion_jax.compare.recommend import recommend
from motion_jax.compare.score import Setup, check_target
from motion_jax.config import Config
from motion_jax.data.advice import FACE
from motion_jax.data.crop import cut_out
from motion_jax.data.find_plates import CameraMoves
from motion_jax.data.making import make
from motion_jax.data.pairs import reduction
from motion_jax.data.prepare_options import PrepareOptions, parse_size
from motion_jax.data.records import PoseFrames, open_dataset
from motion_jax.errors import UserError, option
from motion_jax.evaluate import score as scores
from motion_jax.evaluate.held_out import Stretch
from motion_jax.evaluate.measure import metered
from motion_jax.evaluate.reestimate import (
    REAL,
    Reestimation,
    choose_detector,
    score_with_poses,
)
from motion_jax.evaluate.score import Figures
from motion_jax.events import Observer, Stopped, StopToken
from motion_jax.metrics.resnet import load as load_resnet
from motion_jax.pairing.options import PairOptions
from motion_jax.pairing.pair import pair
from motion_jax.plan.methods import Method, base_config, choose, stage_shares
from motion_jax.pose.options import PoseSource
from motion_jax.progress import say, track
from motion_jax.train.dataset import fitted, with_background
from motion_jax.train.run import fingerprint, load_run
from motion_jax.transfer import unseen
from motion_jax.transfer.animator import animating
from motion_jax.transfer.framing import middle
from motion_jax.video.image_files import read_picture
from motion_jax.video.reader import probe
from motion_jax.video.tracks import follow_options

# Torso lengths: no two poses are farther apart than this.
FARTHEST = 100.0
# The file that says what a folder compares; written first.
OPTIONS = "options.json"
# Shares of the whole that are done when training begins, and when it ends.
UNTIL_TRAINING, UNTIL_SCORES = 0.15, 0.75
# Shares, of training, of pairing pictures and of compiling; and of the scores, of the held-out
# frames.
PAIRS_SHARE, COMPILING_SHARE, HELD_OUT_SHARE = 0.05, 0.2, 0.5


@follow_options
def compare(
    options: CompareOptions,
    command: str = "motion-jax compare",
    *,
    observer: Observer | None = None,
    stop: StopToken | None = None,
) -> Table:
    """Makes the comparison; returns the contents of table.json.

    Args:
      command: the command line, for the record.
      observer: is told what happens; stop: asks for an end (see motion_jax.events; None: those of
        the caller).
    Raises:
      UserError: for bad input, before anything is trained; nothing is written that looks like a
        finished comparison.
      Stopped: was asked to; what is trained is saved (then it is an Interrupted), and the same call
        goes on.
    """
    with events.watched(observer, stop):
        result = _compare(options, command)
        events.emit(events.Done("compare", options.out), at=1.0)
    return result


def _compare(options: CompareOptions, command: str) -> Table:
    files.check_outputs(options, "out")
    methods = choose(options.methods)
    seconds = duration.parse_budget(options.budget)
    target = open_dataset(options.target)
    held, training = _check(options, target)
    size = _size(options, target)
    events.emit(events.Expected(duration.expected(methods, seconds, jax.default_backend()).all))
    files.check_writable(options.out)
    settings = _same_as_before(options, target, size)
    with events.stage("source", 0.0, UNTIL_TRAINING):
        source = _source(options, size, settings)
    setup = score.set_up(target, source, size, held, training, options.normalize)
    known = target.keypoints()[training]
    nowhere = np.zeros(len(setup.poses), bool)
    if text := unseen.sentence(setup.poses, nowhere, source.times(), known):
        say(text)
    with events.stage("training", UNTIL_TRAINING, UNTIL_SCORES):
        movers, made = _make(options, methods, setup, seconds, command)
    events.emit(events.Expected(duration.score_seconds(len(movers), jax.default_backend())))
    with events.stage("scores", UNTIL_SCORES, 1.0):
        return _score(options, setup, movers, made, command)


def _check(
    options: CompareOptions, target: PoseFrames
) -> tuple[list[Stretch], Int[np.ndarray, " n"]]:
    """The target's held-out stretches and training records."""
    for name in ("source", "truth", "photo"):
        path = getattr(options, name)
        if path is not None and not path.exists():
            raise UserError(f"There is no file {path}; check {option(name)}.")
    if options.photo is not None and options.photo_run is None:
        raise UserError(
            f"{option('photo')} is moved by a run of first_order; say which: {option('photo_run')} "
            "RUN."
        )
    if options.photo_run is not None:
        animating(load_run(options.photo_run))
    if not 0.0 <= options.holdout <= 0.9:
        raise UserError(
            f"{option('holdout')} {options.holdout:g} is not a share between 0 and 0.9."
        )
    if options.truth is not None and (options.start, options.end) != (None, None):
        raise UserError(
            f"{option('truth')} goes with the whole source; leave {option('start')} and "
            f"{option('end')} out."
        )
    if options.truth is not None and "crop" not in target.info.sources[0]:
        raise UserError(
            f"The dataset {target.folder} does not say which part of the picture it shows, so "
            f"{option('truth')} cannot be cut out alike; make it with motion-jax prepare."
        )
    return check_target(target, options.holdout, options.max_frames)


def _size(options: CompareOptions, target: PoseFrames) -> tuple[int, int]:
    """(height, width) of all pictures."""
    if options.size is None:
        return target.size
    height, width = parse_size(options.size)
    try:
        reduction(target, height, width)
    except UserError as error:
        raise UserError(
            f"{option('size')} {options.size} is not the size of the target's frames "
            f"({target.size[1]}x{target.size[0]}) or a whole fraction of it; choose one that is, "
            "or prepare the target again with that size."
        ) from error
    return height, width


def _same_as_before(
    options: CompareOptions, target: PoseFrames, size: tuple[int, int]
) -> dict[str, Any]:
    """What this comparison is of. Raises UserError where the folder holds anything else."""
    names = "holdout", "normalize", "start", "end", "fps", "video_track", "smooth", "seed"
    now = {name: getattr(options, name) for name in names} | {
        "budget": duration.show_seconds(duration.parse_budget(options.budget)),
        "target": fingerprint(target),
        "source": files.sha256(options.source),
        "poses": None if options.poses is None else files.sha256(options.poses),
        "size": f"{size[1]}x{size[0]}",
    }
    path = options.out / OPTIONS
    if not path.is_file() and options.out.is_dir() and not files.is_empty(options.out):
        raise UserError(
            f"{options.out} holds other files, and no comparison; choose another {option('out')}, "
            "or an empty folder."
        )
    if path.is_file():
        before = json.loads(path.read_text())
        # Nothing but training depends on these, so they may change until something is trained.
        free = () if (options.out / "runs").is_dir() else ("budget", "seed")
        wrong = [name for name in now if before.get(name) != now[name] and name not in free]
        if wrong:
            long = "target", "source", "poses"
            said = [
                f"another {option(name)}" if name in long else f"{option(name)} {before.get(name)}"
                for name in wrong
            ]
            raise UserError(
                f"{options.out} holds a comparison with {' and '.join(said)}; choose another "
                f"{option('out')} or give the same again."
            )
    return now


def _source(options: CompareOptions, size: tuple[int, int], settings: dict[str, Any]) -> PoseFrames:
    """The source's video as a dataset of the table's size, in a folder that says what it is for.

    Raises UserError, and leaves no new folder, where nothing can be made of the video."""
    folder, note = options.out / "source", options.out / OPTIONS
    new = not note.is_file()
    files.write_json(note, settings)
    say(f"The source as a dataset: {folder}")
    asked = PrepareOptions(
        videos=(options.source,),
        out=folder,
        size=f"{size[1]}x{size[0]}",
        **{field.name: getattr(options, field.name) for field in fields(PoseSource)},
    )
    try:
        make(asked)
    except (UserError, Stopped):
        if new:
            files.remove_tree(folder)
            note.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                options.out.rmdir()
        raise
    files.remove_tree(folder / ".partial")
    return open_dataset(folder)


def _make(
    options: CompareOptions, methods: list[Method], setup: Setup, seconds: float, command: str
) -> tuple[dict[str, Mover], dict[str, dict[str, Any]]]:
    """({method: what moves}, {method: what its row says of how it was made}), in the table's
    order."""
    trained = [method for method in methods if method.trained]
    if any(method.data == "pairs" for method in trained):
        with events.part(0.0, PAIRS_SHARE):
            _pairs(options)
    configs = {method.name: _config(options, method, setup) for method in trained}
    times = budgets.Times(options.out / "step_seconds.json")

    def measured(method: Method, again: bool = False) -> budgets.Measured:
        return times.of(method.name, configs[method.name], _data(options, method), again)

    def planned(method: Method, known: budgets.Measured) -> budgets.Plan:
        config = configs[method.name]
        shares = stage_shares(method, config)
        return budgets.plan(method.name, config, shares, seconds, known.step_seconds)

    # All of them before the first is trained: a budget that is too small is said at once.
    new = [method for method in trained if not times.known(method.name, configs[method.name])]
    stages = sum(len(configs[method.name].recipe.stages()) for method in new)
    say(duration.announcement(seconds, len(trained), stages, jax.default_backend()))
    runs, on = [options.out / "runs" / method.name for method in trained], jax.default_backend()
    scoring = duration.score_seconds(len(methods), on)
    compiling = duration.compile_seconds(stages, on)
    events.emit(events.Expected(budgets.left(runs, seconds) + compiling + scoring))
    with events.part(PAIRS_SHARE, PAIRS_SHARE + COMPILING_SHARE):
        for method in track(new, "Compiling"):
            planned(method, measured(method))
    for method in trained:
        planned(method, measured(method))
    if new:
        took = sum(measured(method).compile_seconds for method in new)
        left = duration.clock(seconds * len(trained))
        say(f"Compiled in {duration.clock(took)}. Training takes {left} from here.")
    movers: dict[str, Mover] = {}
    made: dict[str, dict[str, Any]] = {}
    for method in methods:
        if not method.trained:
            movers[method.name] = RetrievalMover(
                setup.target.dataset, method.retrieval, setup.training, setup.size
            )
            made[method.name] = {"made": f"Chooses from {len(setup.training)} frames."}
            continue
        folder = options.out / "runs" / method.name
        # Hours later the machine may be more or less busy; a run that is begun keeps its steps.
        known = measured(method, again=not (folder / "config.json").is_file())
        plan = planned(method, known)
        waiting = runs[trained.index(method) :]
        events.emit(events.Expected(budgets.left(waiting, seconds) + scoring))
        share = (1 - PAIRS_SHARE - COMPILING_SHARE) / len(trained)
        begin = PAIRS_SHARE + COMPILING_SHARE + share * trained.index(method)
        with events.part(begin, begin + share):
            outcome = budgets.train_within(
                method.name, plan, _data(options, method), folder, command, known
            )
        times.drop(method.name)
        movers[method.name] = RunMover(load_run(folder), method.shown == "picture")
        made[method.name] = {
            "made": budgets.sentence(
                (method.cpu if _on_cpu() else method.accelerator)[0], plan, outcome
            ),
            "train_seconds": outcome.seconds,
            "compile_seconds": outcome.compile_seconds,
            "steps": outcome.steps,
            "run": str(folder),
        }
    if options.photo_run is not None:
        photo, what = _photo(options, setup)
        movers[PHOTO] = PhotoMover(load_run(options.photo_run), photo)
        made[PHOTO] = {
            "made": f"The First Order Motion Model of {options.photo_run} moves {what}; it was "
            "trained before, on other clips.",
            "run": str(options.photo_run),
        }
    return movers, made


def _photo(options: CompareOptions, setup: Setup) -> tuple[np.ndarray, str]:
    """The photo that is moved, of the table's size, and what it is."""
    if options.photo is None:
        first = int(setup.training[0])
        return setup.target.read(first)[0], f"frame {first} of the target"
    whole = np.asarray(read_picture(options.photo).convert("RGB"))
    shown = cut_out(whole, middle(whole.shape[0], whole.shape[1], setup.size), *setup.size)
    return shown, options.photo.name


def _data(options: CompareOptions, method: Method) -> Path:
    """The dataset that a method is trained on."""
    return options.out / "pairs" if method.data == "pairs" else options.target


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def _config(options: CompareOptions, method: Method, setup: Setup) -> Config:
    boxes = setup.target.dataset.face_boxes()[setup.training]
    faces = boxes[:, 2] > 0
    heights = (boxes[:, 2] - boxes[:, 0])[faces] / setup.target.factor
    # As prepare's report says: where faces are rare there is nothing to train a face stage on.
    enough = len(boxes) and faces.mean() >= FACE
    config = base_config(
        method,
        setup.size,
        on_cpu=_on_cpu(),
        holdout=options.holdout,
        seed=options.seed,
        face_height=float(np.median(heights)) if enough else 0.0,
        # As the run's config keeps it, it must not depend on where the command was given.
        domain_a=str((options.out / "source").resolve()) if method.data == "unpaired" else "",
    )
    if config.recipe.background != "plate" or method.data != "target":
        return config
    recipe: Any = config.recipe  # it has these fields
    try:
        with_background(setup.target.dataset, config)
    except CameraMoves:
        say(f"The camera of {options.target} moves: {method.name} draws the room, too.")
        return replace(config, recipe=replace(recipe, background="drawn", area="frame"))
    return fitted(config, setup.target.dataset)


def _pairs(options: CompareOptions) -> None:
    """The dataset of pairs of the source's and the target's pictures."""
    pair(
        PairOptions(
            a=options.out / "source",
            b=options.target,
            out=options.out / "pairs",
            kind="pics2pics",
            holdout=options.holdout,
            normalize=options.normalize,
            # As for the other methods, every frame of the source has a partner, near or not.
            max_distance=FARTHEST,
        )
    )


def _score(
    options: CompareOptions,
    setup: Setup,
    movers: Mapping[str, Mover],
    made: dict[str, dict[str, Any]],
    command: str,
) -> Table:
    """Scores, films and writes."""
    lpips, no_lpips = scores.load_lpips("alex", options.lpips, setup.size)
    resnet, no_resnet = load_resnet(setup.size)
    detector = choose_detector(setup.target.dataset, options.reestimate, options.pose_model)
    moves = setup.moves()
    longest = max(moves, key=len)
    for name, mover in movers.items():
        made[name] |= {
            "frame_seconds": frame_seconds(mover, longest),
            "parameters": mover.parameters,
        }
    total = sum(count for _, count in setup.held)
    with events.part(0.0, HELD_OUT_SHARE):
        found, poses = score_with_poses(
            lambda stream: scores.compare(stream, total=total, lpips=lpips, resnet=resnet),
            metered(score.held_out_pieces(setup, movers), total, "Held-out frames"),
            detector,
            options.reestimate_frames,
        )
    film, grids = options.out / "side_by_side.mp4", Grids(sum(map(len, moves)))
    has_audio = probe(options.source).has_audio
    truth = None
    if options.truth:
        truth = score.true_frames(options.truth, options.source, setup)
    moments = dance.filmed(score.transfer(setup, movers, truth), film, grids, options, has_audio)
    moved: dict[str, Figures] = {}
    seen: dict[str, Figures] = {}
    with events.part(HELD_OUT_SHARE, 1.0), contextlib.ExitStack() as stack:
        estimation = None
        if detector.bundle is not None:
            estimation = stack.enter_context(
                Reestimation(detector.bundle, detector.detail, options.reestimate_frames)
            )
            moments = dance.estimated(moments, moves, estimation)
        if truth is None:
            for _ in moments:
                pass
        else:
            found_moves = scores.compare(
                score.truth_pieces(moments, moves), lpips=lpips, resnet=resnet
            )
            moved = score.transfer_figures(found_moves)
        if estimation is not None:
            seen = dance.figures(estimation, list(movers))
    result: Table = {
        "methods": {
            name: {**figures, **moved.get(name, {}), **seen.get(name, {}), **made[name]}
            for name, figures in poses.added_to(found.methods).items()
        },
        "frames": found.frames,
        "moments": grids.total,
        "budget": duration.show_seconds(duration.parse_budget(options.budget)),
        "sound": has_audio,
        "reestimated_real": poses.methods.get(REAL),
        "reestimated_frames": poses.frames,
        "absent": poses.absent({"lpips": no_lpips, "resnet50": no_resnet}),
        "notes": page.explained(list(movers), truth is not None, bool(seen)),
        "subtitle": f"{options.source.name} danced by the person of {options.target.name}",
        "facts": _facts(options, setup, command),
    }
    result["recommendation"] = recommend(result)
    files.write_text(options.out / "table.md", page.markdown(result))
    page.write_page(options.out / "index.html", result, found.examples, grids.kept, film)
    # Last: where it is, the comparison is whole.
    files.write_json(options.out / "table.json", result)
    for name in (film.name, "table.md", "index.html", "table.json"):
        events.emit(events.FileWritten(options.out / name))
    return result


def _facts(options: CompareOptions, setup: Setup, command: str) -> dict[str, Any]:
    device = jax.devices()[0]
    return {
        "command": command,
        "target": f"{options.target} ({len(setup.training)} training frames)",
        "source": f"{options.source} ({len(setup.poses)} frames with a pose)",
        "size": f"{setup.size[1]}x{setup.size[0]}",
        "normalize": options.normalize,
        "device": f"{device.platform} {device.device_kind}, {os.cpu_count()} CPU cores",
        "software": f"jax {jax.__version__}, Python {platform.python_version()}",
    }


def show(options: CompareOptions, result: Table) -> None:
    """Prints what is recommended, the table, what it leaves out and why, and where the page and
    the film are; with --json the contents of table.json alone."""
    if options.json:
        json.dump(result, sys.stdout, indent=2)
        print(flush=True)
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(recommend(result)["text"], markup=False)
    console.print(text_table(result), width=max(console.width, 118))
    for line in notes(result):
        console.print(line, markup=False)
    console.print(f"Page:  {options.out / 'index.html'}", markup=False)
    console.print(f"Video: {options.out / 'side_by_side.mp4'}", markup=False)
