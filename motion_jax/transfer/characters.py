"""`motion-jax animate --source VIDEO`: drawn characters move like the people in a video.

video → poses → performance (directions, standing feet) → the character's joints → pictures
      → over a background → film
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from motion_jax import events
from motion_jax.errors import UserError, option
from motion_jax.events import Observer, StopToken
from motion_jax.files import check_outputs
from motion_jax.progress import Meter, say
from motion_jax.provenance.writer import check as check_provenance
from motion_jax.puppet.bones import JOINT, SIDES, Figure
from motion_jax.puppet.joints_picture import draw_joints
from motion_jax.report.montage import side_by_side, to_height
from motion_jax.train.run import load_run
from motion_jax.train.unfinished import tell_unfinished
from motion_jax.transfer.background import KEY, covering
from motion_jax.transfer.character_options import CharacterOptions
from motion_jax.transfer.dancers import Dancer, Make, dancers, far_to_near
from motion_jax.transfer.film import RESULT, Film, synthetic_tags
from motion_jax.transfer.performers import FLOOR, TALL, drawing_recipe, of_network, of_rig
from motion_jax.video.image_files import is_picture, read_picture
from motion_jax.video.reader import probe, read_frames
from motion_jax.video.tracks import follow_options

# Behind a character where nothing else is asked for.
PAPER = (236, 240, 246)
POSES_SHARE = 0.5
# Frames of the source whose middle values are its background.
_PLATE_FRAMES = 60


@follow_options
def perform(
    options: CharacterOptions, *, observer: Observer | None = None, stop: StopToken | None = None
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
        info = probe(options.source)
        height = options.height or info.height
        height, width = (
            2 * max(round(v / 2), 1) for v in (height, height * info.width / info.height)
        )
        make = _maker(options, height)
        with events.stage("poses", 0.0, POSES_SHARE):
            everyone, times = dancers(options, make)
        with events.stage("frames", POSES_SHARE, 1.0):
            _write(options, everyone, times, (height, width), height / info.height)
        names = ", ".join(each.performer.name for each in everyone)
        say(f"Wrote {options.out}: {len(times)} synthetic frames of {names}.")
        events.emit(events.FileWritten(options.out))
        events.emit(events.Done("animate", options.out), at=1.0)
    return options.out


def _check(options: CharacterOptions) -> None:
    check_provenance(options.provenance, options.out)
    if not options.source.exists():
        raise UserError(f"There is no {options.source}; check {option('source')}.")
    if (options.run is None) == (options.method is None):
        raise UserError(
            f"Say who draws: {option('run')} RUN (a run of pose_stylegan) or {option('method')} "
            "rig, and not both."
        )
    suffix = ".mov" if options.background == "alpha" else ".mp4"
    if options.out.suffix.lower() != suffix:
        raise UserError(
            f"{option('out')} {options.out}: with {option('background')} {options.background} the "
            f"film is FILE{suffix}."
        )
    if options.background == "alpha" and options.side_by_side:
        raise UserError(
            f"{option('background')} alpha and {option('side_by_side')} do not go together; leave "
            "one of them out."
        )
    known = ("plain", "green", "alpha", "source")
    if options.background not in known and not Path(options.background).is_file():
        raise UserError(
            f"{option('background')} {options.background} is neither a picture nor a video that is "
            f"there, nor {', '.join(known)}."
        )
    if options.height is not None and not 16 <= options.height <= 4096:
        raise UserError(f"{option('height')} {options.height} is not between 16 and 4096 pixels.")
    if not 0.05 <= options.tall <= 5.0:
        raise UserError(f"{option('tall')} {options.tall} is not between 0.05 and 5.")
    if not options.character:
        raise UserError(f"Name who dances with {option('character')}.")


def _maker(options: CharacterOptions, height: int) -> Make:
    """What makes the characters; the network is loaded once."""
    if options.run is None:
        # As large as it is shown when the person fills the frame.
        return partial(of_rig, side=min(max(height, 64), 1024))
    run = load_run(options.run, options.step)
    drawing_recipe(run)
    tell_unfinished(run)
    return partial(of_network, run)


def laid(
    picture: UInt8[np.ndarray, "s s 4"],
    onto: Float[np.ndarray, "h w c"],
    x: float,
    floor: float,
    tall: float,
) -> None:
    """A performer's picture laid over another one, in place: standing at x on the floor, so many
    pixels tall. onto: RGB, or RGBA times opacity."""
    side = picture.shape[0]
    scale = tall / (TALL * side)
    height, width = onto.shape[:2]
    left, top = x - scale * side / 2, floor - scale * FLOOR * side
    # Only the part of the frame that it covers.
    y0, y1 = max(int(np.floor(top)), 0), min(int(np.ceil(top + scale * side)), height)
    x0, x1 = max(int(np.floor(left)), 0), min(int(np.ceil(left + scale * side)), width)
    if y1 <= y0 or x1 <= x0:
        return
    solid: np.ndarray = picture.astype(np.float32)
    solid[..., :3] *= solid[..., 3:] / 255
    move = np.array([[scale, 0, left - x0], [0, scale, top - y0]])
    if scale < 0.75:
        size = max(round(side * scale), 1)
        solid = cv2.resize(solid, (size, size), interpolation=cv2.INTER_AREA)
        move[:, :2] *= side / size
    move[:, 2] += move[:, :2].sum(1) * 0.5 - 0.5
    way = cv2.INTER_CUBIC if scale > 1.5 else cv2.INTER_LINEAR
    moved = cv2.warpAffine(solid, move, (x1 - x0, y1 - y0), flags=way)
    moved = np.clip(moved, 0, 255)
    part = onto[y0:y1, x0:x1]
    part *= 1 - moved[..., 3:] / 255
    part += moved[..., : part.shape[-1]]


def _shadowed(
    onto: Float[np.ndarray, "h w c"], found: Figure, frame: int, x: float, floor: float, tall: float
) -> None:
    """A soft shadow on the floor, wider and paler for a foot that is high."""
    side = found.scale[frame] / TALL
    ankles = found.joints[frame, [JOINT[f"{name}_ankle"] for name in SIDES], :2]
    away = (ankles - [side / 2, FLOOR * side]) / found.scale[frame]
    shadow: np.ndarray = np.zeros(onto.shape[:2], np.float32)
    for dx, dy in away:
        high = max(-float(dy) - 0.05, 0.0)
        size = 0.075 * (1 + 2 * high) * tall, 0.016 * (1 + 2 * high) * tall
        place = round(16 * (x + dx * tall)), round(16 * floor)
        axes = round(16 * size[0]), max(round(16 * size[1]), 1)
        strength = 0.32 * np.exp(-high / 0.12)
        spot = np.zeros_like(shadow)
        cv2.ellipse(spot, place, axes, 0, 0, 360, (float(strength),), -1, cv2.LINE_AA, 4)
        shadow = np.maximum(shadow, spot)
    sigma = max(0.012 * tall, 0.6)
    shadow = cv2.GaussianBlur(shadow, (0, 0), sigma)[..., None]
    onto[..., :3] *= 1 - shadow
    if onto.shape[-1] == 4:
        onto[..., 3:] += (255 - onto[..., 3:]) * shadow


def _write(
    options: CharacterOptions,
    everyone: Sequence[Dancer],
    times: np.ndarray,
    size: tuple[int, int],
    scale: float,
) -> None:
    who = options.run.resolve().name if options.run else "rig"
    names = ", ".join(each.performer.name for each in everyone)
    comment = (
        "AI-generated, synthetic: a drawn character, made by motion_jax, it is not a recording. "
        f"Drawn by {who}, {names}, motion from {options.source.name}."
    )
    tags = synthetic_tags(names, comment, options.source, method=who)
    has_sound = not options.source.is_dir() and probe(options.source).has_audio
    sound = options.source if options.audio == "keep" and has_sound else None
    beside = (
        read_frames(options.source, start=options.start, end=options.end, fps=options.fps)
        if options.side_by_side
        else None
    )
    with (
        Meter("Animating", len(times)) as meter,
        Film(options.out, tags, sound, provenance=options.provenance) as film,
    ):
        for frame, behind in zip(range(len(times)), _behind(options, times, size), strict=False):
            onto = behind.astype(np.float32)
            for each in far_to_near(everyone, frame):
                _drawn(options, each, frame, scale, onto)
            picture = np.clip(np.rint(onto), 0, 255).astype(np.uint8)
            if beside is not None:
                picture = _beside(next(beside).image, everyone, frame, picture)
            elif picture.shape[-1] == 4:
                picture = _divided(picture)
            film.add(picture, float(times[frame]))
            meter.advance()


def _drawn(
    options: CharacterOptions,
    dancer: Dancer,
    frame: int,
    scale: float,
    onto: Float[np.ndarray, "h w c"],
) -> None:
    """Draws one character where its person stands, in place."""
    tall = options.tall * dancer.act.height * scale
    x = dancer.act.place[frame, 0] * scale + dancer.aside[frame] * tall
    floor = float(dancer.act.place[frame, 1] * scale)
    if options.shadow:
        _shadowed(onto, dancer.found, frame, x, floor, tall)
    laid(dancer.performer.picture(dancer.found, frame), onto, x, floor, tall)


def _beside(
    source: UInt8[np.ndarray, "_ _ 3"],
    everyone: Sequence[Dancer],
    frame: int,
    picture: UInt8[np.ndarray, "h w 3"],
) -> UInt8[np.ndarray, "_ _ 3"]:
    """The source, the joints of each character, and the result."""
    height = picture.shape[0]
    panels, titles = [to_height(source, height)], ["source"]
    for dancer in everyone:
        side = dancer.performer.side
        joints = dancer.found.joints[frame] * [height / side, height / side, 1]
        panels.append(draw_joints(joints, height, height))
        titles.append(f"joints {dancer.name}".strip())
    shown = side_by_side([*panels, picture], [*titles, RESULT])
    rows, columns = (length // 2 * 2 for length in shown.shape[:2])
    return np.ascontiguousarray(shown[:rows, :columns])


def _divided(picture: UInt8[np.ndarray, "h w 4"]) -> UInt8[np.ndarray, "h w 4"]:
    """Colours without opacity in them."""
    alpha = np.maximum(picture[..., 3:].astype(np.float32), 1)
    colour = np.minimum(picture[..., :3] * (255 / alpha), 255)
    return np.dstack([np.rint(colour).astype(np.uint8), picture[..., 3]])


def _behind(
    options: CharacterOptions, times: np.ndarray, size: tuple[int, int]
) -> Iterator[UInt8[np.ndarray, "h w c"]]:
    """What is behind the character at each time."""
    height, width = size
    background = options.background
    if background == "alpha":
        still: np.ndarray = np.zeros((*size, 4), np.uint8)
    elif background in ("plain", "green"):
        colour = PAPER if background == "plain" else KEY
        still = np.broadcast_to(np.array(colour, np.uint8), (*size, 3))
    elif background == "source":
        still = _plate(options, size)
    elif is_picture(Path(background).name):
        still = covering(np.asarray(read_picture(Path(background)).convert("RGB")), height, width)
    else:
        yield from _film_behind(Path(background), times, size)
        return
    for _ in times:
        yield still


def _film_behind(path: Path, times: np.ndarray, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """A film that runs with the source, and begins again after its end."""
    begun, offset, shown = 0.0, 0.0, None
    frames = read_frames(path)
    for time in times - times[0]:
        while shown is None or begun + offset <= time + 1e-6:
            frame = next(frames, None)
            if frame is None:
                frames, offset = read_frames(path), float(time)
                frame = next(frames)
            shown, begun = covering(frame.image, *size), frame.time
        yield shown


def _plate(options: CharacterOptions, size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    """The source's background: of every pixel the middle value over time."""
    kept: list[np.ndarray] = []
    every = 1
    frames = read_frames(options.source, start=options.start, end=options.end, fps=options.fps)
    for number, frame in enumerate(frames):
        if number % every == 0:
            kept.append(covering(frame.image, *size))
        if len(kept) > _PLATE_FRAMES:
            kept, every = kept[::2], 2 * every
    return np.median(np.stack(kept), axis=0).astype(np.uint8)
