"""The PyTorch side of benchmarks.stylegan2: a process that answers requests (workers.py).

Imports only torch, numpy and the standard library, besides its neighbours that do the same.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from benchmarks.torch_stylegan2 import Discriminator, Generator, TrainingStep
from benchmarks.workers import answers_of_torch, serve


def build(setup: Mapping[str, Any]) -> dict[str, Callable[..., dict[str, Any]]]:
    """setup: of benchmarks.stylegan2."""
    torch.manual_seed(0)
    widths, batch, size = setup["widths"], setup["batch"], setup["size"]
    generator = Generator(widths, setup["style"], setup["mapping_layers"])
    work: Callable[[], None]
    if setup["work"] == "step":
        step = TrainingStep(generator, Discriminator(widths), setup["settings"])
        real = torch.rand(batch, 3, size, size) * 2 - 1

        def work() -> None:
            step(real)

    else:
        generator.eval()
        z, noise = torch.randn(batch, setup["style"]), generator.fixed()

        @torch.no_grad()
        def work() -> None:
            generator(generator.repeated(generator.style(z)), noise).numpy()

    return answers_of_torch(work)


if __name__ == "__main__":
    serve(build)
