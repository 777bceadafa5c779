"""Options of `motion-jax compare`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from motion_jax.plan.methods import METHODS
from motion_jax.pose.options import NORMALIZE, Normalize, PoseSource, own_first


@own_first
@dataclass(frozen=True)
class CompareOptions(PoseSource):
    """Train several methods under one budget and compare them in one table, page and video."""

    target: Path
    """Dataset of the person who is to move, made by `motion-jax prepare`."""
    source: Path
    """Video of the person whose motion is taken (any kind that FFmpeg reads), or with --fps a
    folder of numbered pictures."""
    out: Path
    """Folder of the page, the table, the runs and all else; the same command again goes on."""
    methods: str = ",".join(METHODS)
    """Methods, with commas between them; the order is that of the table's rows."""
    budget: str = "10m"
    """Training time of each method that is trained: 90s, 10m, 1h (a number alone is seconds).
    Seconds of training steps, the same for all; compiling comes besides, once for each method, and
    how long everything takes is said before it begins."""
    photo_run: Path | None = None
    """Run of first_order, trained on clips of other people or imported: adds the row first-order,
    which knows one photo of the target and no film. It gets none of the budget."""
    photo: Path | None = None
    """With --photo-run: that photo (default: the first frame that the others are trained on)."""
    truth: Path | None = None
    """Video of the target really performing the source's motion, frame by frame, where there is
    one (drawn dancers): measures the transfer itself. With --fps also a folder of pictures."""
    size: str | None = None
    """WIDTHxHEIGHT of all pictures (default: the target's; else a whole fraction of it)."""
    holdout: float = 0.2
    """Share of each clip, its end, that is kept out of training and scored on; 0...0.9."""
    normalize: Normalize = NORMALIZE
    """How the source's poses are fitted to the target's body, as in `motion-jax transfer`."""
    audio_track: int | None = None
    """Which sound track of the source, counted from 1, where it has several (default: the one that
    is marked as default)."""
    seed: int = 0
    """Of all training."""
    max_frames: int | None = None
    """At most so many held-out frames (default: all)."""
    reestimate: Literal["auto", "yes", "no"] = "auto"
    """Estimate poses again, on the results, as in `motion-jax evaluate`."""
    reestimate_frames: int = 100
    """At most so many frames of each method are estimated again."""
    lpips: Path | None = None
    """Folder with the LPIPS weights (default: looked for in $MOTION_JAX_MODELS and the cache)."""
    json: bool = False
    """Print the table and the recommendation as JSON (nothing else goes to standard output)."""
