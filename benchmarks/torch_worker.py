"""The PyTorch side of train_step and synthesis: a process that answers requests (workers.py).

Imports only torch, numpy and the standard library, besides its neighbours that do the same.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from benchmarks.torch_step import TwoFrameStep
from benchmarks.workers import memory, serve


def build(setup: Mapping[str, Any]) -> dict[str, Callable[..., dict[str, Any]]]:
    """setup: {"work": "train_step" or "synthesis", "description", "device", "mode", "batch",
    "height", "width"}."""
    after_imports = memory()
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True  # as the published program
    step = TwoFrameStep(setup["description"], setup["device"], setup["mode"])
    cuda = setup["device"] == "cuda"

    def wait() -> None:
        if cuda:
            torch.cuda.synchronize()

    generator = np.random.default_rng(0)
    shape = (setup["batch"], 3, setup["height"], setup["width"])

    def picture(low: float) -> torch.Tensor:
        values = low + (1.0 - low) * generator.random(shape, np.float32)
        return step.place(torch.from_numpy(values))

    poses, images = (picture(0.0), picture(0.0)), (picture(-1.0), picture(-1.0))
    state = {"previous": torch.zeros_like(images[0])}

    def train(count: int) -> None:
        for _ in range(count):
            step(*poses, *images)
        wait()

    @torch.no_grad()
    def synthesise(count: int) -> None:
        for _ in range(count):
            with step.precision():
                state["previous"] = step.generate(poses[0], state["previous"]).float()
        wait()

    work = {"train_step": train, "synthesis": synthesise}[setup["work"]]

    def run(count: int, repeats: int = 1) -> dict[str, Any]:
        """Seconds of `count` in one go, `repeats` times."""
        seconds = []
        for _ in range(repeats):
            started = time.perf_counter()
            work(count)
            seconds.append(time.perf_counter() - started)
        return {"seconds": seconds}

    def describe() -> dict[str, Any]:
        return {
            "versions": {"torch": torch.__version__},
            "threads": torch.get_num_threads(),
            "device": torch.cuda.get_device_name() if cuda else "cpu",
            "after_imports_gb": after_imports.get("resident_gb"),
        }

    def device_memory() -> dict[str, float]:
        return {"peak_gb": torch.cuda.max_memory_allocated() / 1e9} if cuda else {}

    return {"run": run, "describe": describe, "device_memory": device_memory}


if __name__ == "__main__":
    serve(build)
