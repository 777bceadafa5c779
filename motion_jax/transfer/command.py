"""`motion-jax transfer`: the target moves like the person in a video.

    source → fit → player → film: moments, laid into the target's picture, a picture of each, an MP4

The poses of a whole video are kept, so that they can be mended looking ahead; those of a long one
lie in a temporary file (pose/long_arrays.py). Pictures stream, a chunk at a time, so that memory
does not grow with the length. The result has the frame times and the sound of the source.
"""

from pathlib import Path

import numpy as np

from motion_jax import events
from motion_jax.data.fitting import in_frame
from motion_jax.data.info import DatasetInfo
from motion_jax.data.records import METADATA, open_dataset
from motion_jax.errors import UserError, option
from motion_jax.events import Observer, StopToken
from motion_jax.files import check_outputs, check_writable
from motion_jax.pose.draw import PoseStyle
from motion_jax.progress import Meter, say
from motion_jax.provenance.writer import check as check_provenance
from motion_jax.retrieval.options import RetrievalOptions
from motion_jax.train.run import Run, load_person
from motion_jax.train.unfinished import tell_unfinished
from motion_jax.transfer.background import ALPHA, before_background, check_background, check_matte
from motion_jax.transfer.film import (
    Film,
    Part,
    beside_shown,
    beside_source,
    cropped,
    synthetic_tags,
)
from motion_jax.transfer.fit import Body, laid_frames, placements
from motion_jax.transfer.options import TransferOptions
from motion_jax.transfer.performance import (
    POSES_SHARE,
    Performance,
    laid_clip,
    source_frames,
    source_track,
    tell_beyond,
    tell_unseen,
)
from motion_jax.transfer.pictures import check_drawable, driver_of, open_pictures
from motion_jax.transfer.player import Networks, Player
from motion_jax.transfer.pose_pictures import write_pose_pictures
from motion_jax.transfer.retrieved import performance as of_retrieval
from motion_jax.transfer.roles import cast_of, check_no_cast, wants_cast
from motion_jax.transfer.several import transfer_cast
from motion_jax.transfer.source import picture_moments, takes_frames_too, takes_poses
from motion_jax.transfer.stabilise import face_aligned, which_way
from motion_jax.video.reader import probe
from motion_jax.video.tracks import follow_options


@follow_options
def transfer(
    options: TransferOptions, *, observer: Observer | None = None, stop: StopToken | None = None
) -> Path:
    """Makes the film; returns its path.

    Args:
      observer: is told what happens; stop: asks for an end (see motion_jax.events; None: those of
        the caller).
    Raises:
      UserError: for every bad input; nothing half-made is left.
      Stopped: was asked to; no film is left.
    """
    with events.watched(observer, stop):
        if wants_cast(options):
            _check(options)
            say(f"Wrote {options.out}: {transfer_cast(options)} frames.")
        else:
            performance = prepared(options)
            _write_film(options, performance)
            say(f"Wrote {options.out}: {performance.count} {performance.made}.")
        events.emit(events.FileWritten(options.out))
        events.emit(events.Done("transfer", options.out), at=1.0)
    return options.out


def prepared(options: TransferOptions) -> Performance:
    """Everything that can be known before the first picture is made. Raises as `transfer`."""
    _check(options)
    if options.method is None:
        return _of_run(options)
    return of_retrieval(options)


def _write_film(options: TransferOptions, performance: Performance) -> None:
    shots = performance.player.play(performance.moments)
    if performance.aligned:
        shots = face_aligned(shots)
    shots = cropped(shots, performance.part)
    if options.side_by_side:
        shots = performance.beside(shots)
    sound = options.source if performance.sound and options.audio == "keep" else None
    with (
        events.stage("frames", POSES_SHARE, 1.0),
        Meter("Synthesizing", performance.count) as meter,
        Film(options.out, performance.tags, sound, provenance=options.provenance) as film,
    ):
        for moment, picture in shots:
            film.add(picture, moment.time)
            meter.advance()


def _of_run(options: TransferOptions) -> Performance:
    assert options.run is not None, "checked"
    run = load_person(options.run, options.step, options.identity)
    if run.config.recipe.wants_photo:
        raise UserError(
            f"The run {options.run} makes a photo move, whoever is in it; use motion-jax animate "
            f"{option('run')} {options.run} {option('photo')} PHOTO {option('driving')} VIDEO."
        )
    if run.config.recipe.detects:
        raise UserError(
            f"The run {options.run} judges pictures and makes none; use motion-jax check FILE "
            f"--detector {options.run}."
        )
    run = run.tested(statistics=options.statistics, dropout_seed=options.dropout_seed)
    if not {"poses", "keypoints", "frames"} & set(run.config.recipe.shows):
        raise UserError(
            f"{options.run} makes pictures out of noise, so no video drives it; give a run whose "
            "recipe is shown poses or pictures (motion-jax project finds a video's latents)."
        )
    tell_unfinished(run)
    check_matte(options.background, run)
    if options.region is not None and takes_poses(run) and not options.ready_poses:
        raise UserError(
            f"{option('region')} works only with {option('ready_poses')}; otherwise poses are "
            "looked for in the whole picture."
        )
    if options.ready_poses or not takes_poses(run) or driver_of(run):
        return _by_pictures(options, run)
    return _by_poses(options, run)


def _by_poses(options: TransferOptions, run: Run) -> Performance:
    info, recipe = probe(options.source), run.config.recipe
    check_drawable(run)
    steadying = which_way(options, single_frames=not recipe.recurrent, has_poses=True)
    track = source_track(options)
    clip = laid_clip(track, Body.of_run(run), options, steady=steadying == "pose")
    # The dataset of a run need not be on this machine.
    if "path" in run.dataset and (run.data_path / METADATA).is_file():
        bend = f"{option('joints')} seen lets joints bend no further than the target's did."
        advice = bend if options.joints == "free" else ""
        tell_unseen(clip, open_dataset(run.data_path), advice)
    tell_beyond(clip, run)
    if options.pose_pictures is not None:
        write_pose_pictures(
            options.pose_pictures, run, clip.keypoints, clip.boxes, clip.lost, clip.times
        )
    frames, part = None, content_of(run)
    if takes_frames_too(run):
        places = placements(track.keypoints, clip.keypoints)
        frames = laid_frames(source_frames(options), places, clip.lost, run.size)
    return Performance(
        moments=before_background(clip.moments(frames), options.background, run.size),
        count=len(clip),
        player=_player(options, run),
        beside=lambda shots: beside_source(
            shots, source_frames(options), run.size, recipe.pose_style or PoseStyle(), part
        ),
        part=part,
        tags=run_tags(run, options),
        sound=info.has_audio,
        aligned=steadying == "face",
    )


def _by_pictures(options: TransferOptions, run: Run) -> Performance:
    which_way(options, single_frames=not run.config.recipe.recurrent, has_poses=False)
    pictures, boxes = open_pictures(options, run)
    sound = not options.source.is_dir() and probe(options.source).has_audio
    if options.pose_pictures is not None:
        lost = np.zeros(len(pictures), bool)
        write_pose_pictures(options.pose_pictures, run, pictures, boxes, lost, pictures.times)
    poses = takes_poses(run)
    part = content_of(run) if poses else pictures.content
    label = "pose" if poses and options.ready_poses else "source"
    return Performance(
        moments=before_background(
            picture_moments(pictures, boxes, "pose_pictures" if poses else "frames"),
            options.background,
            run.size,
        ),
        count=len(pictures),
        player=_player(options, run),
        beside=lambda shots: beside_shown(shots, label, part),
        part=part,
        tags=run_tags(run, options),
        sound=sound,
    )


def _player(options: TransferOptions, run: Run) -> "Player":
    before = options.background != ALPHA
    networks = Networks(run, options.recurrent, options.face, options.chunk, before)
    return Player(networks, options.chunk, options.gaps)


def content_of(run: Run) -> Part:
    """The part of the run's pictures that is not bars, as its dataset says."""
    if "info" not in run.dataset:
        return 0, 0, *run.size
    info = DatasetInfo.from_json(run.dataset["info"])
    if info.one_content is None:
        return 0, 0, *run.size
    size = info.height, info.width
    return in_frame(info.one_content, size, run.size, bool(run.dataset.get("crop")))


def run_tags(run: Run, options: TransferOptions) -> dict[str, str]:
    """The metadata of the film of a run."""
    name = run.name
    comment = (
        "AI-generated, synthetic: this picture was made by motion_jax, it is not a recording. "
        f"Run {name}, step {run.step}, checkpoint {run.checkpoint}, motion from "
        f"{options.source.name}."
    )
    return synthetic_tags(
        name,
        comment,
        options.source,
        run=name,
        step=str(run.step),
        checkpoint=str(run.checkpoint),
        normalize="none" if options.ready_poses else options.normalize,
    )


def _check(options: TransferOptions) -> None:
    """Raises UserError for options that are wrong whatever the source and the run."""
    check_background(options)
    if options.chunk < 1:
        raise UserError(
            f"{option('chunk')} {options.chunk} is less than 1; give a number of frames."
        )
    if options.max_gap < 0:
        raise UserError(
            f"{option('max_gap')} {options.max_gap} is negative; give a number of frames."
        )
    if options.face_boxes is not None and not options.ready_poses:
        raise UserError(
            f"{option('face_boxes')} works only with {option('ready_poses')}; keypoints show where "
            "faces are anyway."
        )
    check_outputs(options, "out", "pose_pictures", any_name=True)
    _check_place(options.out)
    check_provenance(options.provenance, options.out)
    if wants_cast(options):
        cast_of(options)
        return
    check_no_cast(options)
    if options.method is not None:
        return
    if options.run is None:
        raise UserError(
            f"Say who is to move: {option('run')} RUN (trained), or {option('method')} nearest "
            f"with {option('data')} DATASET (without training)."
        )
    if options.data is not None:
        raise UserError(
            f"{option('data')} works only with {option('method')}; a run knows its own dataset."
        )
    if options.retrieval != RetrievalOptions():
        raise UserError(
            f"{option('retrieval')} works only with {option('method')}; a run draws its frames."
        )


def _check_place(out: Path) -> None:
    """Raises UserError where the output cannot be written; does not make its folder yet."""
    if out.is_dir():
        raise UserError(f"{option('out')} {out} is a folder; name the output FILE.mp4.")
    folder = out.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        check_writable(folder)
    except (OSError, UserError) as error:
        reason = getattr(error.__cause__ or error, "strerror", None) or "not possible"
        raise UserError(
            f"{option('out')} {out} cannot be written in {folder} ({reason}); choose a folder "
            "that you may write to."
        ) from error
