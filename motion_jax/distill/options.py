"""Options of `motion-jax distill`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class DistillOptions:
    """Train a small network on a large one's pictures: the largest of its family that keeps a
    budget of milliseconds on this machine, in the runtime that will show it (docs/distill.md)."""

    teacher: Path
    """Run folder whose pictures are learned; driven by keypoints."""
    run: Path
    """Folder of the student, a run like any other; the same command goes on in it."""
    budget: str = "12ms"
    """What the generator may take for a picture, as 12ms or 0.012s."""
    runtime: Literal["auto", "jax", "onnxruntime", "openvino"] = "auto"
    """What will run it: "auto" is the fastest of those installed, as for motion-jax live."""
    data: Path | None = None
    """The teacher's dataset (default: where it was trained on)."""
    step: str = "latest"
    """Which checkpoint of the teacher: "latest", "best", or its step."""
    mixed: int = 2
    """Rounds of mixed poses: the teacher draws each training clip so often with the arms of another
    part of it, poses that nobody filmed."""
    steps: float = 1.0
    """The student's training steps, as a share of the teacher's."""
    step_limit: int | None = None
    """At most so many steps in each stage, for trying out."""
    seed: int = 0
    """Of the mixed poses."""
