"""The runs of a live session, each in the fastest runtime, and what is behind their people; or real
frames of a dataset."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import jax
import numpy as np
from jaxtyping import UInt8

from motion_jax.errors import UserError, option
from motion_jax.live.faces import DrawnFaces, FacesSeen, check_options
from motion_jax.live.graphs import Elsewhere, Runtime, installed, milliseconds
from motion_jax.live.options import LiveOptions
from motion_jax.live.photo import Look, MovingPhoto, photos
from motion_jax.live.quantise import int8_models
from motion_jax.live.retrieved import RealFrames
from motion_jax.progress import say
from motion_jax.train.run import Run, load_person
from motion_jax.train.unfinished import tell_unfinished
from motion_jax.transfer.background import ALPHA, GREEN, KEY, check_matte
from motion_jax.transfer.command import content_of
from motion_jax.transfer.fit import Body, limits_of
from motion_jax.transfer.player import Networks
from motion_jax.transfer.resident import Resident, Seen, cut
from motion_jax.transfer.source import Moment
from motion_jax.transfer.translator import Around, Translator, shown_as

T = TypeVar("T")


@dataclass(eq=False)
class Person:
    """One run, ready.

    Attributes:
      resident: what it is shown; networks: in their runtime.
      body: to which poses are fitted; None where the run is shown pictures.
      runtime: which; speeds: milliseconds of a picture in those that were tried.
      background: what is shown when nobody is there, as the pictures are; None: the last picture.
    """

    resident: Resident | RealFrames | MovingPhoto | DrawnFaces
    networks: Networks | RealFrames | MovingPhoto | DrawnFaces
    runtime: Runtime | Literal["frames"]
    speeds: dict[str, float]
    background: UInt8[np.ndarray, "h w c"] | None
    body: Body | None = None
    plate: UInt8[np.ndarray, "h w 3"] | None = None

    def go_on_from(self, other: "Person") -> None:
        """The next picture comes after the other's last one, where both can be so."""
        if isinstance(self.networks, Networks) and isinstance(other.networks, Networks):
            self.networks.go_on_from(other.networks)
        else:
            self.networks.reset()

    def picture(self, seen: Seen, time: float) -> UInt8[np.ndarray, "h w c"]:
        """The next picture, after the one before it; time: seconds of the camera."""
        shown: Mapping[str, np.ndarray] = seen.shown
        if self.plate is not None:
            shown = {**shown, "plates": self.plate}
        return cut(next(iter(self.networks.begin([Moment(time, shown)]))), seen)


def people(
    options: LiveOptions,
    look: Look | None = None,
    face_finder: Callable[[], Any] | None = None,
) -> tuple[list[Person], Person | None]:
    """The runs, and the smaller one.

    Args:
      look: finds the person before the camera, for photos.
      face_finder: makes what finds faces (faces.FacesSeen), for runs that draw these.

    Raises UserError where they do not fit together.
    """
    if options.method is not None:
        return [_real(options)], None
    if options.photo:
        return _photos(load_person(options.run[0], options.step), options, look), None
    runs = [load_person(place, options.step) for place in options.run]
    if options.faces or any(run.config.recipe.draws_faces for run in runs):
        assert face_finder is not None, "runs that draw faces are shown faces"
        return _faces(runs, options, face_finder), None
    found = [_person(run, options) for run in runs]
    smaller = None if options.smaller is None else _person(load_person(options.smaller), options)
    every = [*found, *([] if smaller is None else [smaller])]
    first = every[0].resident
    for one in every[1:]:
        alike = (one.body is None) == (every[0].body is None)
        if one.resident.size != first.size or one.resident.takes != first.takes or not alike:
            sizes = [f"{each.name} {each.size[1]}x{each.size[0]}" for each in (first, one.resident)]
            raise UserError(
                f"The runs {sizes[0]} and {sizes[1]} are not of one size, or one is shown poses "
                f"and the other frames; {option('run')} takes runs that are alike."
            )
    return found, smaller


def _person(run: Run, options: LiveOptions) -> Person:
    check_matte(options.background, run)
    if run.config.recipe.wants_photo:
        raise UserError(f"The run {run.folder} moves a photo; say which: {option('photo')} PHOTO.")
    tell_unfinished(run)
    resident = Resident(run)
    if options.ready_poses and resident.takes == "frames":
        raise UserError(
            f"The run {resident.name} translates pictures, which need no poses; leave out "
            f"{option('ready_poses')}."
        )
    if resident.densepose and not options.ready_poses:
        raise UserError(
            f"The run {resident.name} is driven by DensePose, which is not estimated here; give "
            f"DensePose pictures with {option('camera')} (a film, a stream or a folder into which "
            f"they come) and {option('ready_poses')}."
        )
    posed = resident.takes == "poses" and not options.ready_poses
    if options.normalize != "none" and posed and not resident.body_known:
        raise UserError(
            f"The body of the run {resident.name} is not known, so that poses cannot be fitted to "
            f"it; use {option('normalize')} none."
        )
    _tell_compiling(run)
    before = options.background != ALPHA

    def made(**around: Any) -> tuple[Networks, float]:
        networks = Networks(run, chunk=1, before=before, **around)
        return networks, _speed(networks, resident, options.ready_poses)

    networks, runtime, speeds = _fastest(run, options, made)
    _tell_speeds(run, runtime, speeds, "a picture")
    plate = None
    if options.background == GREEN:
        plate = np.ascontiguousarray(np.broadcast_to(np.array(KEY, np.uint8), (*run.size, 3)))
    background = _background(run, resident, options)
    if background is not None and resident.takes == "poses":
        background = cut(background, Seen({}, content_of(run)))
    body = Body.of_run(run) if posed else None
    if body is not None and options.joints == "seen":
        limits_of(body)  # said before the camera is asked for
    return Person(resident, networks, runtime, speeds, background, body, plate)


def _photos(run: Run, options: LiveOptions, look: Look | None) -> list[Person]:
    """Photos of one run."""
    tell_unfinished(run)
    found = []
    _tell_compiling(run)
    for photo in photos(run, options, look):
        speed = milliseconds(photo.trial)
        say(f"{photo.path}: {photo.size[1]}x{photo.size[0]}, a picture takes {speed:.1f} ms.")
        # The photo as it is stands until somebody comes.
        found.append(Person(photo, photo, "jax", {"jax": speed}, photo.shown))
    return found


def _faces(
    runs: Sequence[Run], options: LiveOptions, face_finder: Callable[[], Any]
) -> list[Person]:
    """Runs that draw faces; they share who is before the camera."""
    check_options(options)
    for run in runs:
        shown_as(run)
        tell_unfinished(run)
    where, found = FacesSeen(face_finder(), options.smooth), []
    for run in runs:
        _tell_compiling(run)

        def made(
            run: Run = run, around: Around = contextlib.nullcontext
        ) -> tuple[DrawnFaces, float]:
            resident = DrawnFaces(run, where, Translator(run, around), options.lost == "hold")
            return resident, milliseconds(resident.trial)

        resident, runtime, speeds = _fastest(run, options, made)
        _tell_speeds(run, runtime, speeds, "a face")
        found.append(Person(resident, resident, runtime, speeds, None))
    return found


def _tell_compiling(run: Run) -> None:
    say(f"{run.name}: step {run.step}, {run.size[1]}x{run.size[0]}; compiling the network ...")


def _real(options: LiveOptions) -> Person:
    """Real frames. Raises UserError for every bad input."""
    frames = RealFrames(options)
    say(f"{options.data}: {frames.size[1]}x{frames.size[0]}, real frames.")
    top, left, bottom, right = frames.content
    background = None
    if options.lost != "hold":
        background = np.zeros((bottom - top, right - left, 3), np.uint8)
    return Person(frames, frames, "frames", {}, background, frames.body)


def _tell_speeds(run: Run, runtime: Runtime, speeds: Mapping[str, float], what: str) -> None:
    words = ", ".join(f"{name} {value:.1f} ms" for name, value in speeds.items())
    say(f"{run.name}: {run.size[1]}x{run.size[0]}, {what} takes {words}; taking {runtime}.")


def _fastest(
    run: Run, options: LiveOptions, make: Callable[..., tuple[T, float]]
) -> tuple[T, Runtime, dict[str, float]]:
    """Tries the runtimes that may be taken: (what `make` made in the fastest one, that runtime,
    milliseconds of a picture by runtime).

    make: (around=: see Elsewhere; without, in jax) -> (what makes pictures, milliseconds of one).
    Raises UserError where the runtime that was asked for cannot run it.
    """
    asked = options.runtime
    if asked == "auto":
        others: list[Runtime] = [name for name in installed() if name != "jax"]
        # On a GPU our own program stays on it.
        tried = others if jax.default_backend() == "cpu" else []
        if options.precision != "float32":
            tried = [name for name in tried if name == "openvino"]
    else:
        tried = [] if asked == "jax" else [asked]
    if options.precision != "float32" and not tried:
        raise UserError(
            f"{option('precision')} {options.precision} needs OpenVINO: pip install "
            "'motion-jax[live]'."
        )
    made: dict[Runtime, tuple[T, float]] = {}
    for name in tried:
        try:
            models = int8_models(run) if options.precision == "int8" else None
            elsewhere: Callable[[], Any] = Elsewhere(run, name, options.precision, models)
        except UserError:
            if asked == "auto" and options.precision == "float32":
                continue  # A network that has no such form runs in jax.
            raise
        made[name] = make(around=elsewhere)
    if not made:
        made["jax"] = make()
    best = min(made, key=lambda name: made[name][1])
    return made[best][0], best, {str(name): speed for name, (_, speed) in made.items()}


def _speed(networks: Networks, resident: Resident, ready: bool) -> float:
    height, width = resident.size
    plain = np.full((height, width, 3), 127, np.uint8)
    if ready:
        nobody = np.zeros(4, np.float32)
        seen = Seen({"pose_pictures": plain, "face_boxes": nobody}, (0, 0, height, width))
    elif resident.takes == "poses":
        pose = np.zeros((137, 3), np.float32)
        pose[:25] = (width / 2, height / 2, 1)
        seen = resident.pose(pose)
    else:
        seen = resident.picture(plain)

    def make() -> np.ndarray:
        return next(iter(networks.begin([Moment(0.0, seen.shown)])))

    spent = milliseconds(make)
    networks.reset()
    return spent


def _background(run: Run, resident: Resident, options: LiveOptions) -> np.ndarray | None:
    """What is shown when nobody is there. Raises UserError for a plate that is not there."""
    plated = run.config.recipe.background == "plate"
    if options.lost == "hold":
        return None
    if options.lost == "plate" and not plated:
        raise UserError(
            f"{option('lost')} plate needs a run with a background plate (train with "
            f"{option('recipe.background')} plate); use black or hold."
        )
    if options.background == ALPHA:
        return np.zeros((*run.size, 4), np.uint8)
    if options.background == GREEN:
        return np.ascontiguousarray(np.broadcast_to(np.array(KEY, np.uint8), (*run.size, 3)))
    if plated and options.lost != "black":
        return run.plates[run.plate]
    return np.zeros((*run.size, 3), np.uint8)
