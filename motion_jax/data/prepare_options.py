"""The options of `motion-jax prepare`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from motion_jax.errors import UserError, option
from motion_jax.pose.options import PoseOptions, own_first
from motion_jax.pose.smooth import BETA, MIN_CUTOFF

# The generator halves the picture four times.
MULTIPLE = 16


@own_first
@dataclass(frozen=True)
class PrepareOptions(PoseOptions):
    """Turn videos of one person into a dataset to train on."""

    videos: Annotated[
        tuple[Path, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="VIDEO [VIDEO ...]", help_behavior_hint="(required)"),
    ]
    """Videos of the person (any kind that FFmpeg reads), or with --fps folders of numbered
    pictures."""
    out: Path
    """Folder of the dataset; new, or made by the same command before."""
    size: str = "256x256"
    """WIDTHxHEIGHT of the dataset's frames in pixels; both must be multiples of 16."""
    fit: Literal["crop", "letterbox", "squash"] = "crop"
    """How a video becomes frames of that size: "crop" around all places where the person goes,
    "letterbox" (all of it, with black bars), "squash" (all of it, stretched: Everybody Dance Now's
    way). It never changes within a video."""
    margin: float = 0.1
    """With "crop": what is added on each side (share of the person's extent)."""
    min_cutoff: float = MIN_CUTOFF
    """One-euro filter: cutoff at rest (Hz); lower trembles less."""
    beta: float = BETA
    """One-euro filter: what speed adds to the cutoff (Hz per person size a second); higher follows
    fast motion more closely."""
    max_gap: int = field(default=5, kw_only=True)
    """Gaps in the poses of up to this many frames are filled by interpolation and marked; longer
    ones cut the clip."""
    layout: Literal["person", "clips"] = "person"
    """"person": videos of one person, with poses. "clips": clips of many, of what a First Order
    Motion Model is to move, without poses: videos, folders of frames, wide pictures of frames side
    by side, or one folder of such things, whose folders train and test are kept apart."""
    tubes: Literal["auto", "face", "person", "none"] = "auto"
    """With --layout clips, what is cut out of a clip: stretches in which a face (or a person) stays
    in place, each in a square around all of it; "none": the middle; "auto": nothing of clips that
    have the proportions of --size already, faces of others."""
    tube_seconds: float = 3.0
    """With --layout clips: shorter stretches are left out (of tubes, not of ready clips)."""
    picture: Literal["jpeg", "png"] = "jpeg"
    """Format of the stored frames: JPEG of quality 95, or PNG (lossless, five times the size)."""
    workers: int | None = None
    """Processes (default: one a core). The result does not depend on it."""
    shard: str | None = None
    """I/N: make only part I of N (whole videos, in their order), for an array of jobs that share
    the folder --out; the same command with --merge then joins the parts."""
    merge: bool = False
    """Join the parts that --shard made; the dataset is that of one machine, byte for byte."""


def parse_size(text: str) -> tuple[int, int]:
    """ "WIDTHxHEIGHT" -> (height, width).

    Raises UserError where it is none, or not divisible as the networks need."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise UserError(
            f"{option('size')} {text} is not a size; give WIDTHxHEIGHT, for instance 256x256."
        )
    width, height = int(parts[0]), int(parts[1])
    if width % MULTIPLE or height % MULTIPLE or not width or not height:
        lower = [max(MULTIPLE, n // MULTIPLE * MULTIPLE) for n in (width, height)]
        upper = [max(MULTIPLE, -(-n // MULTIPLE) * MULTIPLE) for n in (width, height)]
        raise UserError(
            f"{option('size')} {text} does not fit the networks, which need multiples of "
            f"{MULTIPLE}; the nearest sizes are {lower[0]}x{lower[1]} and {upper[0]}x{upper[1]}."
        )
    return height, width
