"""What the figures of a prepared dataset mean for training on it, in plain words.

`advise` is a pure function of the figures. Its limits are judgements; each is a constant with its
reason.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64

from motion_jax.data.coverage import Coverage
from motion_jax.data.quality_json import PerFrame, Quality, VideoEntry

# Everybody Dance Now filmed 8-17 minutes a person; a minute gives something, seconds do not.
FEW_FRAMES = 300
SOME_FRAMES = 1500
# Below this share of kept frames it is worth looking at why.
KEPT = 0.8
# Share of the kept frames with a face, hands, legs, arms; below, the model sees too few of them.
FACE = 0.5
HANDS = 0.4
LEGS = 0.8
ARMS = 0.8
# A face lower than this (pixels) is left to the whole picture; at 15 the face stage was measured to
# pay (docs/results.md).
FACE_PIXELS = 14
# Body height in shares of the frame's: below, most of what is computed is background.
BODY_HEIGHT = 0.45
# Variance of the Laplacian at the dataset's size; sharp clips have hundreds.
SHARP = 40.0
# A frame with less than this share of the median sharpness is blurred by motion.
MOTION_BLUR = 0.35
MOTION_BLURRED = 0.15
# Frames. With shorter clips on average, few windows of consecutive frames fit into them.
CLIP_LENGTH = 60
# Shares of the frames whose pose was interpolated, or that show other people; above, it matters.
FILLED = 0.05
OTHERS = 0.05
# Share of the frames outside the film's picture, above which another shape is better.
BARS = 0.15
# Sides that the shipped configs can halve as often as they do: the configs for small frames, and
# those for frames of as many pixels as SMALL.
SIDES, LARGE_SIDES = 16, 32
SMALL = 512 * 512
# Of another shape's frames: pixels beside today's. More would be trained longer than was asked for,
# and fewer than half are another config's.
LEAST_PIXELS = 0.6
# Frames a second.
SLOW = 15.0
# Torso lengths (root mean square over the joints) from which two poses look different.
DIFFERENT = 0.25
# Share of the late poses that look different from all earlier ones.
LATE = 0.3

REMEDIES = {
    "no person": "start and end the video where the person is in view (--start, --end)",
    "implausible": "film the whole person, upright and large in the picture, or choose the person "
    "with --person",
    "lost": "keep other people out of the picture and the person inside it",
    "another person": "choose the person with --person, or cut the others out",
}


@dataclass(frozen=True)
class Advice:
    """One sentence or two; `urgent` where training will be visibly worse for it."""

    text: str
    urgent: bool = False


def percent(share: float) -> str:
    """0.314 → "31 %"; never 0 % or 100 % where it is not exactly that."""
    rounded = round(100 * share)
    if rounded == 0 and share > 0:
        return "less than 1 %"
    if rounded == 100 and share < 1:
        return "over 99 %"
    return f"{rounded} %"


def length(frames: int) -> Literal["few", "some", ""]:
    """Whether so many pictures of a person are too few to learn much from, few, or enough: the one
    rule, for whoever says it (before anything is prepared, of a dataset, before learning)."""
    if frames < FEW_FRAMES:
        return "few"
    return "some" if frames < SOME_FRAMES else ""


def kept_values(videos: Sequence[VideoEntry], key: PerFrame) -> Float64[np.ndarray, " n"]:
    """The list `key` of all videos, kept frames only, None as NaN."""
    values = [
        value
        for video in videos
        for value, record in zip(video[key], video["record"], strict=True)
        if record >= 0
    ]
    return np.array(values, np.float64)


def share(videos: Sequence[VideoEntry], key: PerFrame) -> float:
    """Share of the kept frames for which `key` is true."""
    values = kept_values(videos, key)
    return float(values.mean()) if len(values) else 0.0


def advise(quality: Quality, coverage: Coverage | None = None) -> list[Advice]:
    """The advice for a dataset, the urgent first; empty where there is none.

    quality: the contents of quality.json; coverage: of its poses, or None to leave those out.
    """
    found = [
        *_amount(quality), *_shape(quality), *_person(quality), *_pictures(quality["videos"]),
    ]  # fmt: skip
    if coverage is not None:
        found += _poses(coverage)
    return sorted(found, key=lambda advice: not advice.urgent)


def _amount(quality: Quality) -> Iterable[Advice]:
    records, frames = quality["records"], quality["frames"]
    if length(records) == "few":
        yield Advice(
            f"Only {records} frames: the result will look right only in poses close to these. "
            f"Film at least a minute of varied movement ({SOME_FRAMES:,} frames). Until then "
            "show real frames chosen by pose (transfer --method nearest): from so few a network "
            "learns little.",
            urgent=True,
        )
    elif length(records) == "some":
        yield Advice(
            f"{records} frames are few: few poses can be learnt from them; film longer for a "
            "better result."
        )
    if frames and records < KEPT * frames:
        text = f"{percent(records / frames)} of the frames were kept."
        if quality["rejected"]:
            reason, count = max(quality["rejected"].items(), key=lambda item: item[1])
            remedy = next((r for start, r in REMEDIES.items() if reason.startswith(start)), "")
            text += f" Most others ({count}): {reason}" + (f"; {remedy}." if remedy else ".")
        yield Advice(text, urgent=records < 0.5 * frames)
    clips = quality["clips"]
    if len(clips) > 3 * len(quality["videos"]) and records / len(clips) < CLIP_LENGTH:
        yield Advice(
            f"The video falls into {len(clips)} clips of {round(records / len(clips))} frames on "
            "average, because the person was lost in between: movement is learned only inside a "
            "clip. Keep the person in view throughout."
        )
    for video in quality["videos"]:
        if 0 < video["fps"] < SLOW:
            yield Advice(
                f"{video['name']} has {video['fps']:g} frames a second: between two frames the "
                "person moves far, and smooth movement is hard to learn. Film at 25 or more."
            )


def bars(video: VideoEntry) -> float:
    """Share of the dataset's frames that is black because it lies outside the film's picture."""
    crop = video["crop"]
    inside = 1.0
    for first, length, whole in (
        (crop["left"], crop["width"], video["width"]),
        (crop["top"], crop["height"], video["height"]),
    ):
        size = max(length, 1)
        inside *= max(min(first + size, whole) - max(first, 0), 0) / size
    return 1 - inside


def _shape(quality: Quality) -> Iterable[Advice]:
    """Bars at the sides of films that are upright, or wide, in frames that are not."""
    height, width = quality["size"]
    for video in quality["videos"]:
        share = bars(video)
        if share <= BARS or quality["fit"] == "squash":
            continue
        other = "{1}x{0}".format(*shaped(height, width, video["height"], video["width"]))
        yield Advice(
            f"{percent(share)} of each frame is black bars: {video['name']} is "
            f"{video['width']}x{video['height']}, and the frames are {width}x{height}. All of that "
            f"is computed in training. Prepare with --size {other}, or crop tighter "
            "(--margin 0, in another folder)."
        )


def shaped(height: int, width: int, film_height: int, film_width: int) -> tuple[int, int]:
    """(height, width) in pixels of frames that are shaped like the film, with at most as many
    pixels as height x width and sides that networks can halve: the nearest in shape, and of those
    as near the largest. height, width: at least 32."""
    pixels, wanted = height * width, film_width / film_height
    step = SIDES if pixels < SMALL else LARGE_SIDES
    sides = [
        (tall, wide)
        for tall in range(step, pixels // step + 1, step)
        for wide in range(step, pixels // tall + 1, step)
        if tall * wide >= LEAST_PIXELS * pixels
    ]
    # A hundredth more or less in shape is not seen.
    return min(sides, key=lambda s: (round(abs(math.log(s[1] / s[0] / wanted)), 2), -s[0] * s[1]))


def _person(quality: Quality) -> Iterable[Advice]:
    videos, faces = quality["videos"], share(quality["videos"], "face_visible")
    if quality["detail"] == "body":
        yield Advice(
            "Faces and hands were not looked for (--detail body): train without the face stage, or "
            "prepare again with --detail holistic."
        )
    elif faces < FACE:
        yield Advice(
            f"Face visible in {percent(faces)} of frames: train without the face stage or film "
            "closer.",
            urgent=True,
        )
    heights = kept_values(videos, "face_height")
    heights = heights[np.isfinite(heights)]
    if faces >= FACE and len(heights) and np.median(heights) < FACE_PIXELS:
        yield Advice(
            f"The face is only {np.median(heights):.0f} pixels high in the dataset's frames: the "
            "face stage has little to work on. Prepare at a larger --size or film closer."
        )
    if quality["detail"] == "holistic":
        hands = np.maximum(
            kept_values(videos, "left_hand_visible"), kept_values(videos, "right_hand_visible")
        )
        if len(hands) and hands.mean() < HANDS:
            yield Advice(
                f"A hand was seen in {percent(float(hands.mean()))} of frames: fingers will be "
                "blurred. More light and a shorter exposure help."
            )
    limbs = {
        part: _weighted([(v["body_visible"][part], v["kept"]) for v in videos])
        for part in ("legs", "arms")
    }
    if limbs["legs"] < LEGS:
        yield Advice(
            f"Both legs are in view in {percent(limbs['legs'])} of frames: the body is cut off or "
            "hidden. What was never seen cannot be drawn: film the whole body, or take driving "
            "videos that are cut the same way.",
            urgent=limbs["legs"] < 0.5,
        )
    if limbs["arms"] < ARMS:
        yield Advice(
            f"Both arms are in view in {percent(limbs['arms'])} of frames: arms will be uncertain. "
            "Face the camera more and keep the hands inside the picture."
        )
    people = kept_values(videos, "people")
    others = float((people > 1).mean()) if len(people) else 0.0
    if others > OTHERS:
        yield Advice(
            f"Other people are in the picture in {percent(others)} of frames: they will appear as "
            "ghosts in the background. Keep them out or cut them off with --start and --end."
        )
    filled = kept_values(videos, "filled")
    if len(filled) and (filled > 68).mean() > FILLED:  # more than half of the 137 points
        yield Advice(
            f"In {percent(float((filled > 68).mean()))} of frames the pose was interpolated, not "
            "measured; a smaller --max-gap leaves such frames out."
        )


def _weighted(pairs: list[tuple[float, int]]) -> float:
    weight = sum(count for _, count in pairs)
    return sum(value * count for value, count in pairs) / weight if weight else 1.0


def _pictures(videos: Sequence[VideoEntry]) -> Iterable[Advice]:
    sharpness = kept_values(videos, "blur")
    sharpness = sharpness[np.isfinite(sharpness)]
    if not len(sharpness):
        return
    middle = float(np.median(sharpness))
    if middle < SHARP:
        yield Advice(
            f"The pictures are blurry (sharpness {middle:.0f}, clear pictures have over "
            f"{SHARP:.0f}): the result will be too. Check the focus, use more light, or prepare at "
            "a smaller --size."
        )
    moved = float((sharpness < MOTION_BLUR * middle).mean())
    if moved > MOTION_BLURRED:
        yield Advice(
            f"{percent(moved)} of the frames are blurred by motion: fast limbs will smear. Film "
            "with a shorter exposure (more light, 60 or 120 frames a second)."
        )


def _poses(coverage: Coverage) -> Iterable[Advice]:
    if coverage.height < BODY_HEIGHT:
        yield Advice(
            f"The person fills {percent(coverage.height)} of the frame's height: most of what is "
            "learned is background. Film closer, or let prepare crop (--fit crop)."
        )
    if len(coverage.distances):
        far = float((coverage.distances > DIFFERENT).mean())
        if far > LATE:
            yield Advice(
                f"{percent(far)} of the poses in the last fifth of the clips resemble none before: "
                "figures on held-out frames will be low, and the movement is not varied enough to "
                "generalise. Film each kind of movement more than once."
            )
    arms = [share for name, share in coverage.directions.items() if "arm" in name]
    if np.mean(arms) < 0.35:
        yield Advice(
            f"The arms were seen in {percent(float(np.mean(arms)))} of all directions: raise, "
            "stretch and cross them while filming, or arms in other poses will be guessed."
        )
