"""The options of `motion-jax evaluate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from motion_jax.pose.options import NORMALIZE, Joints, Normalize


@dataclass(frozen=True)
class EvaluateOptions:
    """Measure a trained run on held-out frames."""

    run: Path
    """Run folder made by `motion-jax train`; of one that knows several people RUN:WHO measures one
    of them alone (RUN: all of them, each drawn as who it is)."""
    step: str = "latest"
    """Which checkpoint: "latest", "best" (by the held-out score of training, or by an evaluation of
    all before), its step, or "all": every one that is kept, and a table."""
    data: Path | None = None
    """Dataset folder (default: the one that the run was trained on)."""
    json: bool = False
    """Print the figures as JSON (nothing else goes to standard output)."""
    out: Path | None = None
    """Folder for evaluation.json, frames.csv and index.html (default: RUN/evaluation, of RUN:WHO
    RUN/evaluation/WHO)."""
    max_frames: int | None = None
    """At most so many held-out frames, from the beginning of each clip's part (default: all)."""
    batch: int = 16
    """Frames computed at once (bounds memory, does not change the figures)."""
    lpips: Path | None = None
    """Folder with the LPIPS weights (default: looked for in $MOTION_JAX_MODELS and the cache)."""
    lpips_network: Literal["alex", "vgg"] = "alex"
    """Network of LPIPS; alex is the one that its authors recommend for measuring."""
    reestimate: Literal["auto", "yes", "no"] = "auto"
    """Estimate poses again, on the results, for pose distance and missed detections; auto: where
    the dataset's poses were estimated and the model is on this machine."""
    reestimate_frames: int = 300
    """At most so many frames of each method are estimated again."""
    pose_model: Path | None = None
    """MediaPipe model file or folder (default: $MOTION_JAX_MODELS or the cache)."""
    source: tuple[Path, ...] = ()
    """Also make films in which the person moves like those in these videos, and ask the detector
    what it sees in them: is a person found, and where the pose was asked to be?"""
    film_frames: int = 300
    """At most so many frames of each such film are looked at by the detector."""
    normalize: Normalize = NORMALIZE
    """How the poses of --source are fitted to the target's body: see motion-jax transfer."""
    joints: Joints = "free"
    """How far joints may bend in those films: see motion-jax transfer."""
    statistics: Literal["batch", "running"] | None = None
    """Batch norm (pix2pix) by each picture's own statistics or by the running ones of training
    (default: as the run's config says)."""
    dropout_seed: int | None = None
    """Dropout (pix2pix) on, drawn from this seed (default: as the run's config says)."""
