"""All that a film is made of, and the way from a source's video to its poses in the target's
picture, which all ways to make pictures share."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from motion_jax import events
from motion_jax.data.advice import percent
from motion_jax.data.records import PoseFrames
from motion_jax.errors import UserError, option
from motion_jax.pose import long_arrays
from motion_jax.pose.motion import motion_of
from motion_jax.pose.skeleton import NAME
from motion_jax.pose.track import PoseTrack
from motion_jax.progress import say
from motion_jax.train.run import Run
from motion_jax.transfer.film import Part
from motion_jax.transfer.fit import Body, boxes_of, fit_clip, kept_within
from motion_jax.transfer.options import TransferOptions
from motion_jax.transfer.player import Player, Shot
from motion_jax.transfer.source import Clip, Moment
from motion_jax.transfer.stabilise import steadied
from motion_jax.transfer.unseen import sentence
from motion_jax.video.reader import read_frames

# The share of the whole work that the poses are.
POSES_SHARE = 0.5


@dataclass(frozen=True)
class Performance:
    """All that a film is made of.

    Attributes:
      moments: of the source, in order; count: how many.
      player: makes the pictures.
      beside: puts the source beside each picture.
      part: of the pictures, without bars.
      tags: the film's metadata.
      sound: whether the source has sound.
      made: what the frames are called in the last message.
      aligned: whether faces are brought to one place.
    """

    moments: Iterable[Moment]
    count: int
    player: Player
    beside: Callable[[Iterator[Shot]], Iterator[Shot]]
    part: Part
    tags: dict[str, str]
    sound: bool
    made: str = "synthetic frames"
    aligned: bool = False


@events.stage("poses", 0.0, POSES_SHARE)
def source_track(options: TransferOptions) -> PoseTrack:
    """The source's poses, mended. Raises UserError where no frame has a person."""
    motion = motion_of(options.source, options)
    if not motion.measured.found.any():
        reason, count = Counter(motion.measured.reasons).most_common(1)[0]
        raise UserError(
            f"No person was found in any of the {len(motion.track)} frames of {options.source} "
            f"(mostly: {reason}, {count} frames); use a video that shows one person from head to "
            f"foot, or give the poses with {option('poses')}."
        )
    return motion.track


def laid_clip(track: PoseTrack, body: Body, options: TransferOptions, steady: bool) -> Clip:
    """The source's poses in the target's picture; steady: without trembling. Says how they were
    fitted, and in how many frames there are none."""
    clip = fit_clip(track, body, options.normalize, options.horizontal)
    if clip.how:
        say(clip.how)
    if clip.lost.any():
        say(
            f"The person is lost in {int(clip.lost.sum())} of {len(clip)} frames; the picture is "
            f"{'held' if options.gaps == 'hold' else 'faded'} there."
        )
    if options.joints == "seen":
        clip, count = kept_within(clip, body)
        share = percent(count / max(int((~clip.lost).sum()), 1))
        say(
            f"In {share} of the frames a joint bends further than the target's was ever seen to; "
            "it is brought back there."
        )
    if not steady:
        return clip
    keypoints = steadied(clip.keypoints, clip.times, clip.lost, *body.size)
    return dataclasses.replace(clip, keypoints=keypoints, boxes=boxes_of(keypoints, body.size))


def tell_unseen(clip: Clip, dataset: PoseFrames, advice: str = "") -> None:
    """Says which poses of the source the target's film has no frame like, if any, and then the
    advice."""
    if dataset.info.skeleton != NAME or not dataset.has_keypoints:
        return
    if text := sentence(clip.keypoints, clip.lost, clip.times, dataset.keypoints()):
        say(f"{text} {advice}".rstrip())


def tell_beyond(clip: Clip, run: Run) -> None:
    """Says how many poses of the source reach farther than the run draws, if any."""
    recipe, keypoints = run.config.recipe, clip.keypoints
    found = [recipe.beyond(keypoints[part], run.stage) for part in long_arrays.windows(keypoints)]
    cut = np.concatenate(found)[~clip.lost] if found else np.zeros(0, bool)
    if cut.any():
        say(
            f"{percent(cut.mean())} of the source's poses reach farther than the run draws around "
            "the person (recipe.area); what is beyond is cut off there. Choose another stretch of "
            f"the source, or {option('normalize')} limbs."
        )


def source_frames(options: TransferOptions) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """The source's chosen frames."""
    start, end, fps = options.start, options.end, options.fps
    reading = read_frames(options.source, start=start, end=end, fps=fps)
    return (frame.image for frame in reading)
