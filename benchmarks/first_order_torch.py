"""The PyTorch side of benchmarks.first_order: a process that answers requests (workers.py).

Imports only torch, numpy and the standard library, besides its neighbours that do the same.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from benchmarks.torch_first_order import TrainingStep, Warp, moved
from benchmarks.workers import answers_of_torch, serve


def build(setup: Mapping[str, Any]) -> dict[str, Callable[..., dict[str, Any]]]:
    """setup: of benchmarks.first_order."""
    torch.manual_seed(0)
    step = TrainingStep(
        setup["detector"], setup["generator"], setup["weights"], tuple(setup["scales"])
    )
    count = setup["batch"] if setup["work"] == "step" else 1
    source, driving = (torch.rand(count, 3, setup["size"], setup["size"]) for _ in range(2))

    def train() -> None:
        affine = torch.eye(2, 3) + 0.05 * torch.randn(count, 2, 3)
        step(source, driving, Warp(affine, 0.005 * torch.randn(count, 25)))

    if setup["work"] == "animation":
        step.detector.eval()
        step.generator.eval()
        with torch.no_grad():
            photo = step.detector(source)

    @torch.no_grad()
    def animate() -> None:
        points = moved(photo, step.detector(driving), photo)
        step.generator(source, photo, points)["prediction"].numpy()

    work = {"step": train, "animation": animate}[setup["work"]]

    return answers_of_torch(work)


if __name__ == "__main__":
    serve(build)
