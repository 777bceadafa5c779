"""Options of `motion-jax import`, `export`, `inspect` and `parity`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

Format = Literal["torch", "safetensors", "orbax", "stablehlo", "onnx", "openvino"]


@dataclass(frozen=True)
class ImportOptions:
    """Make a run of the weights of an original PyTorch experiment, or of another run."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
    """Checkpoints folder of the experiment (latest_net_G.pth and so on, and opt.txt where there is
    one), one weight file (also StyleGAN2's .pt and NVIDIA's .pkl), a checkpoint of the First Order
    Motion Model (NAME.pth.tar), or a run folder."""
    run: Path
    """Run folder to make."""
    epoch: str = "latest"
    """Which of the saved epochs: "latest" or its number."""
    data: Path | None = None
    """Dataset of the target (motion-jax prepare or import-data): fits poses to the target's body in
    transfer, and is what train and evaluate take. Can be given to them later."""
    size: str | None = None
    """Size of the pictures, WIDTHxHEIGHT, where weights and options do not tell it (default: the
    dataset's, else the options', else the published one)."""
    face_size: int | None = None
    """Side of the square around the face in pixels (default: a quarter of the height)."""
    face: bool = True
    """Import the face networks where there are any."""
    yaml: Path | None = None
    """Of the First Order Motion Model: the settings that it was trained with (default: the only
    .yaml beside the checkpoint, if there is one)."""
    align_corners: Literal["auto", "yes", "no"] = "auto"
    """Of the First Order Motion Model: what lookups in pictures meant in training; "auto": yes for
    files written before PyTorch 1.6 (all published ones), else no."""


@dataclass(frozen=True)
class ExportOptions:
    """Write the networks of a run, or of a weight file, for other programs."""

    source: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[FILE]")] = None
    """One weight file (.pth, .pt, .safetensors; of StyleGAN2 also .pkl) in place of --run."""
    run: Path | None = None
    """Run folder whose newest checkpoint is exported; of one that knows several people RUN:WHO, as
    runs/both:anna or runs/both:anna:0.3+ben:0.7."""
    format: Format = "torch"
    """torch and safetensors: the original's files and keys; orbax: the generator's parameters;
    stablehlo, onnx and openvino: the generator as a program."""
    out: Path = Path("export")
    """Folder to write to; files that are there already are not written over."""
    weights: Literal["default", "averaged", "raw"] = "default"
    """The generators' averaged or raw parameters (default: averaged where the run keeps them, as
    transfer uses)."""
    half: bool = False
    """Store weights as float16, in half the space (torch, safetensors, onnx, openvino; the last two
    still compute in float32)."""
    layout: Literal["rosinality", "nvlabs"] = "rosinality"
    """Whose keys StyleGAN2's networks get with torch and safetensors: stylegan2-pytorch's or
    stylegan2-ada-pytorch's."""
    size: str | None = None
    """Size of the pictures, WIDTHxHEIGHT, for --format stablehlo of a weight file (a run's size is
    known; onnx takes any)."""


@dataclass(frozen=True)
class InspectOptions:
    """Show what weight files, checkpoint folders and runs hold; of two, what differs."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
    """A .pth, .pt, .safetensors or .pth.tar file, NVIDIA's .pkl of StyleGAN2, a checkpoints folder
    of the original code, or a run."""
    other: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[OTHER]")] = None
    """A second one, to compare with."""
    layers: bool = False
    """Show every layer, not the networks alone."""
    json: bool = False
    """Print JSON, every layer in it (nothing else goes to standard output)."""


@dataclass(frozen=True)
class ParityOptions:
    """Run two networks layer by layer on one input and name the first layer that differs."""

    a: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="A")]
    """A weight file (.pth, .pt, .safetensors, .pth.tar, StyleGAN2's .pkl) or a run."""
    b: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="B")]
    """Another one, or an .npz of layer outputs by PyTorch's module names, [N, C, H, W]."""
    input: str | None = None
    """A picture file (its channels are repeated where the network wants more), an .npy of
    [N, H, W, C] in [-1, 1], or random:SEED (default: the array "input" of B's .npz; of StyleGAN2
    and the First Order Motion Model, which take random:SEED alone, random:0)."""
    size: str = "256x256"
    """WIDTHxHEIGHT of a random input."""
    network: str = "generator"
    """Which network of a run, or of a file that holds several."""
    tolerance: float = 1e-4
    """Largest difference that counts as equal, of values up to 1; of a layer with larger ones, as a
    share of its largest."""
    json: bool = False
    """Print JSON (nothing else goes to standard output)."""
