"""Options of `motion-jax blend`, `project` and `factors`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class BlendOptions:
    """Put two generators of StyleGAN2 together that were trained from one another: shapes of one,
    drawing of the other."""

    low: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="A")]
    """Run or weight file whose low resolutions are taken: pose and shape."""
    high: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="B")]
    """Run or weight file whose high resolutions are taken: line and colour."""
    out: Path
    """Run folder to make; with --method swap a folder of pictures."""
    method: Literal["weights", "swap"] = "weights"
    """weights: one network with the layers of both; swap: A's picture half done is handed to B,
    which goes on with it (UI2I), for the same latents."""
    resolution: int = 16
    """Where one ends and the other begins. weights: this resolution is still A's."""
    level: Literal[0, 1] = 0
    """weights: with 1 its second half counts as the place, half a resolution later."""
    width: float | None = None
    """weights: how gradually, in half resolutions; default: at once."""
    mapping: Literal["low", "high"] = "low"
    """weights: whose mapping from z to w. The published script takes A's."""
    seed: int = 0
    """Of the latents on the sheet of pictures."""
    count: int = 8
    """How many."""
    truncation: float = 0.7
    """Of these pictures."""


@dataclass(frozen=True)
class ProjectOptions:
    """Find the latent with which a generator of StyleGAN2 makes given pictures."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE|VIDEO")]
    """Picture, folder of pictures, or video; faces as the generator's pictures show them. They are
    cut to their middle square and resized."""
    run: Path
    """Run or weight file of the generator."""
    out: Path
    """Folder to write to: latents.npz, and for each picture what was found beside it."""
    space: Literal["z", "w", "w_plus", "factors"] = "w"
    """What is looked for: z, one w, a w for each layer (nearest to the picture, worst to edit), or
    coefficients of the directions of `motion-jax factors` (UI2I)."""
    steps: int = 1000
    """Steps of Adam for the first picture."""
    steps_next: int = 200
    """For each frame of a video after the first, which begins where the one before ended."""
    learning_rate: float = 0.1
    """Highest of its steps: it rises over the first twentieth and falls over the last quarter."""
    noise_weight: float = 1e5
    """Of what keeps pictures out of the noise maps."""
    blend: Path | None = None
    """Another generator (motion-jax blend makes one): what was found is shown through it too."""
    seed: int = 0
    """Of the noise."""
    max_frames: int | None = None
    """Of a video, at most so many frames."""


@dataclass(frozen=True)
class FactorsOptions:
    """The directions of w along which a generator's pictures change most (SeFa), with a sheet."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run or weight file of the generator."""
    out: Path
    """Folder to write to: factors.npz and factors.png."""
    first: int = 0
    """First entry of w that counts (0: the 4x4 layer) and is moved."""
    last: int | None = None
    """Last one (default: all)."""
    count: int = 8
    """Directions on the sheet."""
    degree: float = 5.0
    """How far they go to both sides."""
    truncation: float = 0.7
    """Of the pictures on it."""
    seed: int = 0
    """Of the latent that is moved."""
