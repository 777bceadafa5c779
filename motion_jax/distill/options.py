"""Options of `motion-jax distill`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class DistillOptions:
    """Train a small network on a large one's pictures: the largest of its family that keeps a
    budget of milliseconds on this machine, in the runtime that will show it (docs/distill.md)."""

    teacher: Path
    """Run folder whose pictures are learned; driven by keypoints. Of one that knows several people
    RUN:WHO: the student draws that person, or that mixture, alone."""
    run: Path
    """Folder of the student, a run like any other; the same command goes on in it."""
    budget: str = "12ms"
    """What the generator may take for a picture, as 12ms or 0.012s."""
    runtime: Literal["auto", "jax", "onnxruntime", "openvino"] = "auto"
    """What will run it: "auto" is the fastest of those installed, as for motion-jax live."""
    data: Path | None = None
    """The teacher's dataset (default: where it was trained on)."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the arithmetic for which the budget is meant; bfloat16 only with OpenVINO."""
    step: str = "latest"
    """Which checkpoint of the teacher: "latest", "best", or its step."""
    mixed: int = 2
    """Rounds of mixed poses: the teacher draws each training clip so often with the arms of another
    part of it, poses that nobody filmed."""
    perturb: float = 8.0
    """Degrees by which every joint of mixed poses is turned besides, as a standard deviation,
    within what that joint does in the training clips; 0: not at all."""
    features: float = 10.0
    """Weight of the loss that compares where in the picture the two generators are active
    (Everybody Dance Now and pix2pixHD); 0: none."""
    trials: int = 3
    """The best networks within the budget are first trained for a short while, at most so many, and
    the one of the highest held-out PSNR is taken; 1: the one of the most arithmetic."""
    trial: float = 0.1
    """A trial's steps, as a share of the student's."""
    steps: float = 1.0
    """The student's training steps, as a share of those that the teacher made."""
    step_limit: int | None = None
    """At most so many steps in each stage, for trying out."""
    seed: int = 0
    """Of the mixed poses."""
