"""Several people of a film, each replaced by the person of a run, kept or taken out (--cast).

    source → everybody, kept apart → fit → a player for each → layers over one background → film

Two passes over the film at most: one for the place without its people, where somebody is taken out
or kept before another background, and one for the pictures, which stream.
"""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from motion_jax import events
from motion_jax.errors import UserError, option
from motion_jax.pose import long_arrays
from motion_jax.pose.motion import mended
from motion_jax.pose.people.everybody import Everybody, everybody, track_of
from motion_jax.pose.track import PoseTrack
from motion_jax.progress import Meter, say
from motion_jax.report.montage import side_by_side
from motion_jax.train.run import Run, load_person
from motion_jax.train.unfinished import tell_unfinished
from motion_jax.transfer import clean, composite
from motion_jax.transfer.background import ALPHA, GREEN, KEY, PLATE, SOURCE, covering, shown_behind
from motion_jax.transfer.film import COMPOSITE, RESULT, Film, synthetic_tags
from motion_jax.transfer.fit import Body, boxes_of
from motion_jax.transfer.lingering import LINGER, lingering, nearest_found
from motion_jax.transfer.options import TransferOptions
from motion_jax.transfer.performance import (
    POSES_SHARE,
    laid_clip,
    source_frames,
    tell_beyond,
)
from motion_jax.transfer.pictures import check_drawable, driver_of
from motion_jax.transfer.player import Networks, Player, Shot
from motion_jax.transfer.roles import Cast, cast_of
from motion_jax.transfer.source import Clip, takes_frames_too, takes_poses
from motion_jax.transfer.spill import Spill
from motion_jax.transfer.stabilise import which_way
from motion_jax.video.reader import Frame, probe, read_frames

# What somebody does across within so many seconds (a standard deviation) is dancing, the rest is a
# way through the film.
WAYS = 0.4
# What a cast has nothing to do with, and what is said of it.
_NOT_WITH_CAST = ("method", "data", "ready_poses", "region", "face_boxes", "pose_pictures")


@dataclass(frozen=True)
class Part:
    """Somebody of the film whose place the person of a run takes.

    Attributes:
      shots: the run's pictures of all moments, with a matte.
      places: of each frame, from the run's picture to the film's.
      spill: of the run's own background.
      gains: of red, green and blue; None: colours stay.
    """

    name: str
    shots: Iterator[Shot]
    places: Float32[np.ndarray, "n 2 3"]
    spill: Spill
    gains: Float[np.ndarray, "3"] | None


@dataclass(frozen=True)
class Scene:
    """All that the pictures are made of.

    Attributes:
      tracks: of everybody whose role is known, by letter; near: how near they are in each frame.
      nearest: the frames in which they are found, see nearest_found; of those who stay 0 seconds
        away.
      size: (height, width) of the pictures.
      clean: the place without its people; None where it is not needed.
    """

    options: TransferOptions
    cast: Cast
    people: Everybody
    tracks: dict[str, PoseTrack]
    near: dict[str, Float[np.ndarray, " n"]]
    nearest: dict[str, Int[np.ndarray, " n"]]
    parts: dict[str, Part]
    size: tuple[int, int]
    clean: clean.Clean | None
    times: Float[np.ndarray, " n"]
    misfits: list[int] = field(default_factory=list)

    def pose(self, name: str, number: int) -> Float[np.ndarray, "137 3"] | None:
        """Where somebody is in a frame; of those who are replaced or taken out also shortly before
        they are found and after they are lost (lingering.py). None: not known."""
        track, nearest = self.tracks[name], self.nearest[name]
        if nearest[number] == number:
            return track.keypoints[number]
        if nearest[number] < 0:
            return None
        return lingering(track.keypoints, nearest, track.times, number)

    @property
    def in_place(self) -> bool:
        """Whether people stand where they do in the film."""
        return self.options.place == "source"


def transfer_cast(options: TransferOptions) -> int:
    """Writes the film; returns how many frames it has. Raises UserError as `command.transfer`."""
    check_cast_options(options)
    cast = cast_of(options)
    with events.stage("poses", 0.0, POSES_SHARE):
        scene = _scene(options, cast)
    tags = _tags(options, scene.cast)
    sound = options.source if _sounds(options) else None
    count = len(scene.times)
    with (
        events.stage("frames", POSES_SHARE, 1.0),
        Meter("Synthesizing", count) as meter,
        Film(options.out, tags, sound, provenance=options.provenance) as film,
    ):
        for time, picture in _pictures(scene):
            film.add(picture, time)
            meter.advance()
    _tell_misfits(scene)
    return count


def check_cast_options(options: TransferOptions) -> None:
    """Raises UserError for options that do not go with several people."""
    what = "cast" if options.cast is not None else "person"
    for name in _NOT_WITH_CAST:
        if getattr(options, name) not in (None, False):
            raise UserError(
                f"{option(name)} does not go with several people ({option(what)}); leave one of "
                "them out."
            )
    if options.identity is not None:
        raise UserError(
            f"{option('identity')} does not go with several people ({option(what)}); say who takes "
            f"whose place: A=RUN:{options.identity.replace(',', '+')}."
        )
    if options.place == "target" and options.background == SOURCE:
        raise UserError(
            f"{option('background')} {SOURCE} shows the film, in which people stand where they do "
            f"in it: use {option('place')} source."
        )
    if options.match_colours and options.background in (GREEN, ALPHA):
        raise UserError(
            f"{option('match_colours')} brings people into the light of the background, and "
            f"{option('background')} {options.background} has none; leave one of them out."
        )
    if options.side_by_side and options.background == ALPHA:
        raise UserError(
            f"{option('background')} {ALPHA} and {option('side_by_side')} do not go together; "
            "leave one of them out."
        )


def _sounds(options: TransferOptions) -> bool:
    return (
        options.audio == "keep"
        and not options.source.is_dir()
        and options.out.suffix.lower() in (".mp4", ".m4v", ".mov")
        and probe(options.source).has_audio
    )


# --- before the first picture ------------------------------------------------------------------


def _scene(options: TransferOptions, cast: Cast) -> Scene:
    if options.place == "target" and cast.keep:
        raise UserError(
            f"{option('cast')} keeps {', '.join(cast.keep)}, who stand where they do in the film: "
            f"use {option('place')} source."
        )
    # Whatever is wrong with a run is said before people are looked for, which takes longer.
    folders = dict.fromkeys([*cast.runs.values(), *([cast.everybody] if cast.everybody else [])])
    runs = {folder: _run(folder, options) for folder in folders}
    sizes = {run.size for run in runs.values()}
    if options.place == "target" and len(sizes) > 1:
        listed = ", ".join(f"{folder} {run.size[1]}x{run.size[0]}" for folder, run in runs.items())
        raise UserError(
            f"{option('place')} target puts the runs' pictures over one another, and they are not "
            f"of one size ({listed}); give runs of one size, or {option('place')} source."
        )
    people = everybody(options.source, _asked(options))
    cast = cast.of(people.names)
    tracks = {}
    for name in people.names:
        measured = track_of(people, name) if name in cast.runs else people.body_track(name)
        tracks[name] = mended(measured, options, f"{name} in {options.source.name}")
    times = people.seen.times
    near = {name: composite.standing(track.keypoints, times) for name, track in tracks.items()}
    size = people.seen.size if options.place == "source" else next(iter(sizes))
    place = _clean(options, cast, people, tracks)
    makers: dict[Path, Networks] = {}
    parts = {}
    for name, folder in cast.runs.items():
        run = runs[folder]
        maker = makers.get(folder)
        if maker is None:
            maker = makers[folder] = Networks(
                run, options.recurrent, options.face, options.chunk, before=False
            )
        else:
            maker = maker.another()
        parts[name] = _part(options, run, tracks[name], name, maker, place, size)
    gone = {*cast.runs, *cast.remove}
    nearest = {
        name: nearest_found(track.found, times, LINGER if name in gone else 0.0)
        for name, track in tracks.items()
    }
    return Scene(options, cast, people, tracks, near, nearest, parts, size, place, times)


def _asked(options: TransferOptions) -> TransferOptions:
    for each in options.at:
        if "=" not in each:
            raise UserError(
                f"{option('at')} {each} without a letter chooses one person; with several, say who "
                "it is, as in B=12.4s,350,200."
            )
    return options


def _run(folder: Path, options: TransferOptions) -> Run:
    """Raises UserError where its people cannot be put into a picture."""
    run = load_person(folder, options.step)
    run = run.tested(statistics=options.statistics, dropout_seed=options.dropout_seed)
    recipe = run.config.recipe
    if not takes_poses(run) or takes_frames_too(run) or driver_of(run) or recipe.wants_photo:
        raise UserError(
            f"{folder} is not driven by poses alone, as the people of {option('cast')} are; give a "
            "run of a recipe such as everybody_dance_now."
        )
    if recipe.background != "plate":
        raise UserError(
            f"{folder} makes whole pictures without a matte, so its person cannot be put into "
            f"another; train with {option('recipe.background')} plate."
        )
    check_drawable(run)
    tell_unfinished(run)
    return run


def _part(
    options: TransferOptions,
    run: Run,
    track: PoseTrack,
    name: str,
    maker: Networks,
    place: clean.Clean | None,
    size: tuple[int, int],
) -> Part:
    steadying = which_way(options, single_frames=not run.config.recipe.recurrent, has_poses=True)
    clip = laid_clip(track, Body.of_run(run), options, steady=steadying == "pose")
    if options.place == "source":
        clip = _centred(clip, run.size)
        places = composite.similarities(clip.keypoints, track.keypoints, track.times)
    else:
        places = np.tile(np.eye(2, 3, dtype=np.float32), (len(clip), 1, 1))
    tell_beyond(clip, run)
    shots = Player(maker, options.chunk).play(clip.moments())
    gains = None
    if options.match_colours:
        gains = composite.gains(run.plates[run.plate], _first_background(options, run, place, size))
        red, green, blue = gains
        say(f"Colours of {name} are matched: red x{red:.2f}, green x{green:.2f}, blue x{blue:.2f}.")
    return Part(name, shots, places, Spill(run.plates[run.plate]), gains)


def _centred(clip: Clip, size: tuple[int, int]) -> Clip:
    """The clip without the person's ways across: whoever walks through a film would leave the run's
    picture, and is put back to where they walk when the picture is laid into the film."""
    seen = clip.keypoints[:, :25, 2] > 0
    count = np.maximum(seen.sum(1), 1)
    across = (clip.keypoints[:, :25, 0] * seen).sum(1) / count
    across = np.where(seen.any(1), across, np.nan)
    if not seen.any():
        return clip
    shift = np.nanmedian(across) - composite.smoothed(across, clip.times, WAYS)
    keypoints = long_arrays.copied(clip.keypoints)
    for window in long_arrays.windows(keypoints):
        part = keypoints[window]
        part[..., 0] += np.where(part[..., 2] > 0, shift[window, None], 0)
    boxes = boxes_of(keypoints, size)
    boxes[clip.lost] = 0
    return dataclasses.replace(clip, keypoints=keypoints, boxes=boxes)


def _clean(
    options: TransferOptions, cast: Cast, people: Everybody, tracks: dict[str, PoseTrack]
) -> clean.Clean | None:
    """The film's place without its people, where it is needed."""
    if options.place == "target":
        return None
    taken_out = options.background == SOURCE and (cast.runs or cast.remove)
    if not (taken_out or options.background == PLATE or cast.keep):
        return None

    around = {name: nearest_found(track.found, track.times) for name, track in tracks.items()}
    bounds = np.searchsorted(people.seen.records["frame"], np.arange(len(people.seen) + 1))

    def poses(frame: int) -> list[np.ndarray]:
        seen = list(people.seen.records["pose"][bounds[frame] : bounds[frame + 1]])
        filled = [
            lingering(track.keypoints, around[name], track.times, frame)
            for name, track in tracks.items()
            if around[name][frame] >= 0
        ]
        return [*seen, *filled]

    name = options.source.name
    with Meter(f"The place of {name}", len(people.seen)) as meter:

        def told(frames: Iterable[Frame]) -> Iterator[Frame]:
            for frame in frames:
                yield frame
                meter.advance()

        found = clean.clean_plate(told(_frames(options)), len(people.seen), poses, name)
    if found.unseen > 0.001:
        say(
            f"{100 * found.unseen:.1f} % of the place of {name} is never seen without people in "
            "front of it; there it is painted in from around."
        )
    return found


def _frames(options: TransferOptions) -> Iterator[Frame]:
    return read_frames(options.source, start=options.start, end=options.end, fps=options.fps)


def _first_background(
    options: TransferOptions, run: Run, place: clean.Clean | None, size: tuple[int, int]
) -> UInt8[np.ndarray, "h w 3"]:
    """What people stand before, to measure its light."""
    if place is not None and options.background in (SOURCE, PLATE):
        return place.plate
    if options.background == PLATE:
        return run.plates[run.plate]
    if options.background == SOURCE:
        return next(iter(source_frames(options)))
    return next(shown_behind(iter([0.0]), options.background, size))


# --- the pictures ------------------------------------------------------------------------------


def _pictures(scene: Scene) -> Iterator[tuple[float, UInt8[np.ndarray, "h w c"]]]:
    options = scene.options
    files = options.background not in (PLATE, SOURCE, GREEN, ALPHA)
    behind: Iterator[np.ndarray | None] = itertools.repeat(None)
    if files:
        behind = shown_behind(iter(scene.times.tolist()), options.background, scene.size)
    with contextlib.closing(_frames(options)) as frames:  # type: ignore[type-var]
        for frame in frames:
            shots = {name: next(part.shots) for name, part in scene.parts.items()}
            picture = _picture(scene, frame, shots, next(behind))
            if options.side_by_side:
                picture = side_by_side([frame.image, picture], ["source", RESULT])
            yield frame.time, picture


def _picture(
    scene: Scene, frame: Frame, shots: dict[str, Shot], behind: UInt8[np.ndarray, "h w 3"] | None
) -> UInt8[np.ndarray, "h w c"]:
    number, options = frame.index, scene.options
    poses = {name: scene.pose(name, number) for name in scene.tracks}
    there = {name: pose for name, pose in poses.items() if pose is not None}
    order = sorted(
        there,
        key=lambda name: scene.near[name][number],
    )
    matte: dict[str, np.ndarray] = {}
    plate = None
    if scene.clean is not None:
        plate = scene.clean.at(number, scene.size)
        near = [scene.near[name][number] for name in order]
        found = clean.mattes(frame.image, plate, [there[name] for name in order], near)
        matte = dict(zip(order, found, strict=True))
    canvas = _canvas(scene, frame, plate, behind, matte, there)
    drawn = [name for name in order if name in shots and shots[name][0].shown is not None]
    if options.shadows and scene.in_place:
        for name in drawn:
            shadow = composite.contact_shadow(there[name], scene.near[name][number], scene.size)
            if shadow is not None:
                composite.darken(canvas, shadow)
    # In the film's own picture those who stay are there already; they come again where somebody
    # new might cover them.
    stay = scene.cast.keep
    if options.background == SOURCE:
        stay = tuple(n for n in order if n not in scene.cast.runs and n not in scene.cast.remove)
    for name in order:
        if name in drawn:
            part = scene.parts[name]
            picture = part.spill.out_of(shots[name][1])
            layer = composite.placed(picture, part.places[number], scene.size, part.gains)
            if layer is not None:
                layer.over(canvas)
        elif name in stay and name in matte and _is_drawn_behind(scene, name, drawn, number):
            composite.cut(frame.image, matte[name]).over(canvas)
    return composite.finished(canvas)


def _is_drawn_behind(scene: Scene, name: str, drawn: list[str], number: int) -> bool:
    """Whether somebody who stays must be laid over what was drawn: always before another
    background, in the film's own picture only over somebody new."""
    if scene.options.background != SOURCE:
        return True
    return any(scene.near[other][number] <= scene.near[name][number] for other in drawn)


def _canvas(
    scene: Scene,
    frame: Frame,
    plate: UInt8[np.ndarray, "h w 3"] | None,
    behind: UInt8[np.ndarray, "h w 3"] | None,
    matte: dict[str, np.ndarray],
    there: dict[str, np.ndarray],
) -> Float32[np.ndarray, "h w c"]:
    """What is behind everybody, to be drawn on. there: their poses."""
    background, size = scene.options.background, scene.size
    if background == ALPHA:
        return np.zeros((*size, 4), np.float32)
    if background == GREEN:
        return np.tile(np.array(KEY, np.float32), (*size, 1))
    if behind is not None:
        return behind.astype(np.float32)
    if background == PLATE:
        if plate is None:
            plate = covering(_plate_of_runs(scene), *size)
        return plate.astype(np.float32)
    image = frame.image
    if plate is None:
        return image.astype(np.float32)
    gone = {*scene.cast.runs, *scene.cast.remove}
    out = [alpha for name, alpha in matte.items() if name in gone]
    for name in gone & set(matte):
        out.append(clean.shadow_matte(image, plate, there[name]))
    kept = [alpha for name, alpha in matte.items() if name not in gone]
    if out:
        poses = [track.keypoints[frame.index] for track in scene.tracks.values()]
        if clean.misfit(image, plate, clean.covered(poses, size)) > clean.FITS:
            scene.misfits.append(frame.index)
    return clean.taken_out(image, plate, out, kept)


def _plate_of_runs(scene: Scene) -> UInt8[np.ndarray, "h w 3"]:
    """The background of the first run's film."""
    folder = next(iter(scene.cast.runs.values()), None)
    if folder is None:
        raise UserError(
            f"{option('background')} {PLATE} with {option('place')} target is that of the first "
            f"run, and {option('cast')} has none; name another background."
        )
    run = load_person(folder, scene.options.step)
    return run.plates[run.plate]


def _tell_misfits(scene: Scene) -> None:
    if not scene.misfits:
        return
    spans = list(clean.stretches_of(scene.misfits, scene.times))
    listed = ", ".join(f"{a:.1f}-{b:.1f}" for a, b in spans[:5])
    more = f" and {len(spans) - 5} more" if len(spans) > 5 else ""
    say(
        f"At {listed} s{more} the place without people does not fit what the film shows (the "
        "camera or the light changed otherwise than one picture can follow); look at what is "
        "filled in there."
    )


def _tags(options: TransferOptions, cast: Cast) -> dict[str, str]:
    who = ", ".join(dict.fromkeys(folder.resolve().name for folder in cast.runs.values()))
    roles = [f"{name} is now {folder.resolve().name}" for name, folder in cast.runs.items()]
    roles += [f"{name} was taken out" for name in cast.remove]
    comment = (
        "AI-generated, synthetic: motion_jax put people into this film or took them out "
        f"({'; '.join(roles)}); it is not a recording. Motion from {options.source.name}."
    )
    return synthetic_tags(
        who or "nobody",
        comment,
        options.source,
        kind=COMPOSITE,
        cast=",".join(
            [f"{name}={folder.resolve().name}" for name, folder in cast.runs.items()]
            + [f"{name}=keep" for name in cast.keep]
            + [f"{name}=remove" for name in cast.remove]
        ),
    )
