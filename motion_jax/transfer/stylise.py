"""`motion-jax stylise`: every face of a film is drawn as a run draws faces.

film → faces of every frame (faces/find) → who is who, steady (faces/follow) → cut out → network
     → laid back, far ones first → film

The film is read twice, once for the faces and once for the pictures, which stream.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, UInt8

from motion_jax import events
from motion_jax.errors import UserError, option
from motion_jax.events import Observer, StopToken
from motion_jax.faces import align, find
from motion_jax.faces.flicker import Flicker
from motion_jax.faces.follow import Track, follow
from motion_jax.faces.matte import Light, head_matte, laid_back, without_hands
from motion_jax.files import check_outputs
from motion_jax.pose import detect
from motion_jax.progress import Meter, say
from motion_jax.provenance.writer import check as check_provenance
from motion_jax.report.montage import side_by_side
from motion_jax.train.run import Run, load_run
from motion_jax.train.unfinished import tell_unfinished
from motion_jax.transfer.film import COMPOSITE, RESULT, Film, synthetic_tags
from motion_jax.transfer.stylise_options import StyliseOptions
from motion_jax.transfer.translator import Translator
from motion_jax.video.reader import Frame, frame_times, probe, read_frames
from motion_jax.video.tracks import follow_options

FACES_SHARE = 0.5
# Frames whose faces are translated together.
GROUP = 8
# A face that is turned further is not drawn well by any network of frontal faces, in degrees.
PROFILE = 60.0


@dataclass
class Told:
    """What the caller learns of a film.

    Attributes:
      frames, faces: of the film, and drawn in all of them; people: faces told apart.
      held: drawn where they were not seen, for a few frames; profiles: turned further than PROFILE;
      small: left as they are; crowded: frames with more than find.MOST_FACES.
      flicker, source_flicker: see faces.flicker, grey levels; None: not measured.
    """

    frames: int = 0
    faces: int = 0
    people: int = 0
    held: int = 0
    profiles: int = 0
    small: int = 0
    crowded: int = 0
    flicker: float | None = None
    source_flicker: float | None = None


@follow_options
def stylise(
    options: StyliseOptions, *, observer: Observer | None = None, stop: StopToken | None = None
) -> Told:
    """Makes the film; returns what was done.

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
        translator = Translator(run)
        tell_unfinished(run)
        with events.stage("faces", 0.0, FACES_SHARE):
            faces = _observed(options)
        tracks = follow(faces, options.smooth)
        if not tracks:
            raise UserError(
                f"No face was found in {options.source}; faces are seen from about 20 pixels on, "
                "looking at the camera."
            )
        told = Told(len(faces.times), people=len(tracks), crowded=faces.crowded)
        with events.stage("frames", FACES_SHARE, 1.0):
            _write(options, run, translator, tracks, faces, told)
        _tell(options, told)
        events.emit(events.FileWritten(options.out))
        events.emit(events.Done("stylise", options.out), at=1.0)
    return told


def _check(options: StyliseOptions) -> None:
    if not options.source.exists():
        raise UserError(f"There is no {options.source}; check {option('source')}.")
    if options.out.suffix.lower() != ".mp4":
        raise UserError(f"{option('out')} {options.out} is no film; name it FILE.mp4.")
    if not 0.0 < options.strength <= 1.0:
        raise UserError(f"{option('strength')} {options.strength:g} is not above 0 and up to 1.")
    if options.least_face < 1:
        raise UserError(f"{option('least_face')} {options.least_face} is less than 1 pixel.")
    check_provenance(options.provenance, options.out)


def _observed(options: StyliseOptions) -> find.Faces:
    bundle, hands = find.landmarkers(options.pose_model, options.hands)
    span = {"start": options.start, "end": options.end, "fps": options.fps}
    times = frame_times(options.source, **span)
    source = detect.Source(options.source, options.start, options.end, options.fps, times)
    return find.observe(source, bundle, hands, options.workers)


@dataclass
class _Head:
    """One face of one frame."""

    track: int
    index: int
    numbers: np.ndarray
    matte: Float32[np.ndarray, "s s"]
    given: UInt8[np.ndarray, "s s 3"]


@dataclass
class _Painter:
    """Draws the faces of frames, one after another."""

    options: StyliseOptions
    translator: Translator
    tracks: list[Track]
    told: Told
    flicker: Flicker = field(default_factory=Flicker)
    light: Light = field(default_factory=Light)
    _before: tuple[np.ndarray, np.ndarray] | None = None

    def pictures(self, frames: Iterator[Frame]) -> Iterator[tuple[Frame, UInt8[np.ndarray, "..."]]]:
        """Each frame, and what becomes of it."""
        group: list[tuple[Frame, list[_Head]]] = []
        for frame in frames:
            group.append((frame, self._heads(frame)))
            if len(group) == GROUP:
                yield from self._drawn(group)
                group = []
        if group:
            yield from self._drawn(group)

    def _heads(self, frame: Frame) -> list[_Head]:
        found = []
        for number, track in enumerate(self.tracks):
            index = track.at(frame.index)
            if index is None:
                continue
            numbers = track.numbers[index]
            if np.exp(numbers[2]) < self.options.least_face:
                self.told.small += 1
                continue
            self.told.faces += 1
            self.told.held += not track.seen[index]
            self.told.profiles += bool(abs(track.turn[index]) > PROFILE)
            matte = head_matte(track.oval[index], self.translator.size)
            matte = without_hands(matte, numbers, track.hands[index])
            given = align.cut(frame.image, numbers, self.translator.size)
            found.append(_Head(number, index, numbers, matte, given))
        return sorted(found, key=lambda head: head.numbers[2])

    def _drawn(
        self, group: list[tuple[Frame, list[_Head]]]
    ) -> Iterator[tuple[Frame, UInt8[np.ndarray, "..."]]]:
        given = [head.given for _, heads in group for head in heads]
        made = iter(self.translator(np.stack(given)) if given else ())
        for frame, heads in group:
            canvas = frame.image.astype(np.float32)
            covered = np.zeros(canvas.shape[:2], np.float32)
            places = [self._laid(canvas, covered, head, next(made)) for head in heads]
            picture = np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
            if self._before is not None:
                for place in places:
                    if place is not None:
                        before, now = self._before, (frame.image, picture)
                        pairs = zip(before, now, strict=True)
                        given_pair, made_pair = ((a[place], b[place]) for a, b in pairs)
                        self.flicker.add(covered[place], given_pair, made_pair)
            self._before = frame.image, picture
            yield frame, picture

    def _laid(
        self, canvas: np.ndarray, covered: np.ndarray, head: _Head, made: np.ndarray
    ) -> tuple[slice, slice] | None:
        """Lays one head over the frame; covered: where heads are, in place."""
        track = self.tracks[head.track]
        gains = None
        if self.options.match_colours:
            gains = self.light.gains(head.track, head.given, made, head.matte)
        strength = float(track.opacity[head.index]) * self.options.strength
        place = laid_back(canvas, made, head.matte * np.float32(strength), head.numbers, gains)
        solid = np.full((*head.matte.shape, 4), 255, np.uint8)
        solid[..., :3] = 1
        laid_back(covered[..., None], solid, head.matte, head.numbers)
        return place


def _write(
    options: StyliseOptions,
    run: Run,
    translator: Translator,
    tracks: list[Track],
    faces: find.Faces,
    told: Told,
) -> None:
    who = options.run.resolve().name
    comment = (
        "AI-generated, synthetic: the faces in this film were drawn by motion_jax, it is not a "
        f"recording. Run {who}, step {run.step}, checkpoint {run.checkpoint}, film "
        f"{options.source.name}."
    )
    tags = synthetic_tags(
        who,
        comment,
        options.source,
        kind=COMPOSITE,
        run=who,
        step=str(run.step),
        checkpoint=str(run.checkpoint),
        method="stylise",
    )
    has_sound = not options.source.is_dir() and probe(options.source).has_audio
    sound = options.source if options.audio == "keep" and has_sound else None
    painter = _Painter(options, translator, tracks, told)
    frames = read_frames(options.source, start=options.start, end=options.end, fps=options.fps)
    with (
        Meter("Drawing faces", len(faces.times)) as meter,
        Film(options.out, tags, sound, provenance=options.provenance) as film,
    ):
        for frame, picture in painter.pictures(frames):
            if options.side_by_side:
                picture = side_by_side([frame.image, picture], ["source", RESULT])
            film.add(_even(picture), frame.time)
            meter.advance()
    if painter.flicker.known:
        told.flicker, told.source_flicker = painter.flicker.figures()


def _even(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "_ _ 3"]:
    """Without a last odd row or column, which H.264 does not have."""
    height, width = (side // 2 * 2 for side in picture.shape[:2])
    return np.ascontiguousarray(picture[:height, :width])


def _tell(options: StyliseOptions, told: Told) -> None:
    say(
        f"Wrote {options.out}: {told.frames} frames, {told.faces} faces drawn, of "
        f"{told.people} {'person' if told.people == 1 else 'stretches of people'}."
    )
    if told.held:
        say(f"{told.held} were not seen for a few frames and are drawn where they must have been.")
    if told.profiles:
        say(
            f"{told.profiles} are turned away by more than {PROFILE:.0f} degrees; networks that "
            "learned faces from the front draw them badly."
        )
    if told.small:
        say(f"{told.small} were smaller than {option('least_face')} {options.least_face} pixels.")
    if told.crowded:
        say(
            f"{told.crowded} frames show more than {find.MOST_FACES} faces; the largest of them "
            "were drawn."
        )
    if told.flicker is not None and told.source_flicker is not None:
        say(
            f"Flicker of the heads, besides motion: {told.flicker:.2f} grey levels; of the source "
            f"{told.source_flicker:.2f}."
        )
