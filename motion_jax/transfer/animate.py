"""`motion-jax animate`: a photo moves like a film.

    photo, film → cut out → keypoints of every frame → the frame in the photo's pose → film

The film is read twice: for its keypoints, a few numbers a frame, and for pictures of both side by
side. Pictures stream, so that memory does not grow with the length.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from motion_jax import events
from motion_jax.data.crop import Region, cut_out
from motion_jax.errors import UserError, option
from motion_jax.events import Observer, StopToken
from motion_jax.files import check_outputs
from motion_jax.nets.keypoints import Keypoints
from motion_jax.pose.track import PoseTrack
from motion_jax.progress import Meter, say
from motion_jax.provenance.writer import check as check_provenance
from motion_jax.report.montage import side_by_side
from motion_jax.train.run import Run, load_run
from motion_jax.train.unfinished import tell_unfinished
from motion_jax.transfer.animate_options import AnimateOptions
from motion_jax.transfer.animator import Animator, animating, drawn, smoothed
from motion_jax.transfer.best_frame import LANDMARKS, best_frame, landmark_distances
from motion_jax.transfer.film import RESULT, Film, synthetic_tags
from motion_jax.transfer.framing import Kind, framing, pasted
from motion_jax.video.image_files import read_picture
from motion_jax.video.reader import probe, read_frames
from motion_jax.video.tracks import follow_options

# A best frame whose keypoints are this far from the photo's (best_frame's distance, by keypoint) is
# in another pose: a first guess, about a third of a head's width.
FAR = 0.1
KEYPOINTS_SHARE = 0.4
BEST_FRAMES = ("auto", "keypoints", "first")


@follow_options
def animate(
    options: AnimateOptions, *, observer: Observer | None = None, stop: StopToken | None = None
) -> Path:
    """Makes the film; returns its path.

    Args:
      observer: is told what happens; stop: asks for an end (see motion_jax.events).
    Raises:
      UserError: for every bad input; nothing half-made is left.
      Stopped: was asked to; no film is left.
    """
    with events.watched(observer, stop):
        check_outputs(options, "out", any_name=True)
        _check(options)
        run = load_run(options.run, options.step)
        animating(run)
        tell_unfinished(run)
        whole = np.asarray(read_picture(options.photo).convert("RGB"))
        info, span = probe(options.driving), (options.start, options.end, options.fps)
        with events.stage("poses", 0.0, 0.2):
            cut, kind, of_photo = framing(
                options.photo,
                options.crop,
                whole.shape[:2],
                run.size,
                still=whole,
                model=options.pose_model,
            )
            shape = info.height, info.width
            film_cut, _, of_film = framing(
                options.driving, kind, shape, run.size, model=options.pose_model, span=span
            )
            # Of the poses only this is kept: a number a frame.
            likeness = _likeness(options, of_photo, of_film, kind)
            del of_film
        photo = cut_out(whole, cut, *run.size)
        animator = Animator(run, photo, options.mode, options.adapt_scale)
        with events.stage("keypoints", 0.2, KEYPOINTS_SHARE):
            points, times = _keypoints(animator, options, run, film_cut)
        number = _chosen(options, animator.photo_points, points, times, likeness)
        animator.begin(points[number : number + 1])
        if options.smooth and len(times) > 1:
            points = smoothed(points, times)
        with events.stage("frames", KEYPOINTS_SHARE, 1.0):
            _write(options, run, animator, points, times, (whole, photo, cut), film_cut)
        say(f"Wrote {options.out}: {len(times)} synthetic frames.")
        events.emit(events.FileWritten(options.out))
        events.emit(events.Done("animate", options.out), at=1.0)
    return options.out


def check_photo(path: Path) -> None:
    """Raises UserError where there is no such file."""
    if not path.exists():
        raise UserError(f"There is no {path}; check {option('photo')}.")
    if path.is_dir():
        raise UserError(f"{option('photo')} {path} is a folder; name one picture.")


def _check(options: AnimateOptions) -> None:
    check_photo(options.photo)
    if not options.driving.exists():
        raise UserError(f"There is no {options.driving}; check {option('driving')}.")
    if options.best_frame not in BEST_FRAMES and not options.best_frame.isdigit():
        raise UserError(
            f"{option('best_frame')} {options.best_frame} is neither {' nor '.join(BEST_FRAMES)} "
            "nor the number of a frame, counted from 0."
        )
    if options.out.suffix.lower() != ".mp4":
        raise UserError(f"{option('out')} {options.out} is no film; name it FILE.mp4.")
    check_provenance(options.provenance, options.out)


def _frames(
    options: AnimateOptions, run: Run, cut: Region
) -> Iterator[tuple[float, UInt8[np.ndarray, "h w 3"]]]:
    """(seconds, picture as the model sees it) of the film, one at a time."""
    for frame in read_frames(
        options.driving, start=options.start, end=options.end, fps=options.fps
    ):
        yield frame.time, cut_out(frame.image, cut, *run.size)


def _keypoints(
    animator: Animator, options: AnimateOptions, run: Run, cut: Region
) -> tuple[Keypoints, np.ndarray]:
    """Of every frame, and the times of the frames."""
    times: list[float] = []

    def pictures() -> Iterator[np.ndarray]:
        for time, picture in _frames(options, run, cut):
            times.append(time)
            yield picture

    return animator.points(pictures()), np.array(times)


@dataclass(frozen=True)
class _Likeness:
    """How far the film's face or body is from the photo's.

    Attributes:
      times: of the frames, in seconds; distances: of each; points: what was compared.
    """

    times: Float[np.ndarray, " n"]
    distances: Float[np.ndarray, " n"]
    points: str


def _likeness(
    options: AnimateOptions, photo: PoseTrack | None, film: PoseTrack | None, kind: Kind
) -> _Likeness | None:
    """None where it is not asked for, nobody was looked for, or too little of them is seen."""
    if options.best_frame != "auto" or options.mode == "absolute" or photo is None or film is None:
        return None
    distances = landmark_distances(photo, film, kind)
    if distances is None:
        return None
    return _Likeness(np.array(film.times), distances, LANDMARKS[kind][1])


def _chosen(
    options: AnimateOptions,
    photo: Keypoints,
    points: Keypoints,
    times: Float[np.ndarray, " n"],
    likeness: _Likeness | None,
) -> int:
    """The film's frame that counts as being in the photo's pose."""
    count = len(points.value)
    if options.mode == "absolute" or options.best_frame == "first":
        return 0
    if options.best_frame not in ("auto", "keypoints"):
        number = int(options.best_frame)
        if number >= count:
            raise UserError(
                f"{option('best_frame')} {number} is not in the film, which has {count} frames, "
                f"counted from 0 to {count - 1}."
            )
        return number
    number, distances = best_frame(photo.value[0], points.value)
    by = "the model's own keypoints"
    if likeness is not None:
        nearest = likeness.times[int(np.argmin(likeness.distances))]
        number, by = int(np.argmin(np.abs(times - nearest))), likeness.points
    far = distances[number] / photo.value.shape[1]
    say(
        f"The film is most like the photo in frame {number} of {count}, by {by}; motion counts "
        "from there."
    )
    if far > FAR:
        say(
            f"Its pose is far from the photo's all the same ({far:.2f}; above {FAR} pictures get "
            "worse): take a photo that looks in the film's direction, or cut both alike."
        )
    return number


def _write(
    options: AnimateOptions,
    run: Run,
    animator: Animator,
    points: Keypoints,
    times: np.ndarray,
    photo: tuple[np.ndarray, np.ndarray, Region],
    film_cut: Region,
) -> None:
    whole, shown, cut = photo
    name = Path(options.run).resolve().name
    comment = (
        "AI-generated, synthetic: this picture was made by motion_jax, it is not a recording. "
        f"Run {name}, step {run.step}, checkpoint {run.checkpoint}, photo {options.photo.name}, "
        f"motion from {options.driving.name}."
    )
    tags = synthetic_tags(
        options.photo.stem,
        comment,
        options.driving,
        run=name,
        step=str(run.step),
        checkpoint=str(run.checkpoint),
        mode=options.mode,
    )
    has_sound = not options.driving.is_dir() and probe(options.driving).has_audio
    sound = options.driving if options.audio == "keep" and has_sound else None
    scale = max(256 // run.size[0], 1)
    beside = drawn(shown, animator.photo_points.value[0], scale)
    driving = _frames(options, run, film_cut) if options.side_by_side else None
    with (
        Meter("Animating", len(times)) as meter,
        Film(options.out, tags, sound, provenance=options.provenance) as film,
    ):
        for i, picture in enumerate(animator.pictures(points)):
            result = pasted(whole, cut, picture) if options.paste else picture
            if driving is not None:
                _, frame = next(driving)
                panels = [drawn(frame, points.value[i], scale), beside, result]
                result = side_by_side(panels, ["film", "photo", RESULT])
            film.add(even(result), float(times[i]))
            meter.advance()


def even(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "_ _ 3"]:
    """Without a last odd row or column, which H.264 does not have."""
    height, width = (side // 2 * 2 for side in picture.shape[:2])
    return picture if picture.shape[:2] == (height, width) else picture[:height, :width].copy()
