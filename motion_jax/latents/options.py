"""Options of the verbs about generators of StyleGAN2."""

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
    encoder: Path | None = None
    """Begin at the answer of this encoder of the generator (motion-jax encoder), not at the mean of
    w. It answers with a w for each layer: --space w_plus takes them all, w their mean."""
    steps: int = 1000
    """Steps of Adam for the first picture. With an encoder 0: its answer alone, also for each frame
    of a video by itself."""
    steps_next: int = 200
    """For each frame of a video after the first, which begins where the one before ended."""
    learning_rate: float = 0.1
    """Highest of its steps: it rises over the first twentieth and falls over the last quarter. What
    begins near, at an encoder's answer or at the frame before, moves half as fast."""
    noise_weight: float = 1e5
    """Of what keeps pictures out of the noise maps."""
    perceptual: Literal["none", "resnet50", "vgg19"] = "none"
    """Compare features of a network, too, besides the pixels: ResNet-50 (pip install --no-deps
    imgsim), or VGG-19 (motion-jax fetch vgg19). The published program compares LPIPS alone."""
    perceptual_weight: float = 1.0
    """Of that."""
    blend: Path | None = None
    """Another generator (motion-jax blend makes one): what was found is shown through it too."""
    seed: int = 0
    """Of the noise."""
    max_frames: int | None = None
    """Of a video, at most so many frames."""


@dataclass(frozen=True)
class EncoderOptions:
    """Train an encoder of a generator of StyleGAN2 on the generator's own pictures: it answers a
    picture with latents at once, where motion-jax project searches."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run or weight file of the generator."""
    out: Path
    """File to write, FILE.npz; it may lie in the run."""
    steps: int = 10000
    """Steps of Adam, whose rate falls to 0 as a cosine."""
    batch: int = 8
    """Pictures a step; with --pictures as many of these besides."""
    learning_rate: float = 0.002
    """Of the first step."""
    width: int = 32
    """Channels of the encoder at the picture's size; up to 16 times as many further in."""
    pictures: Path | None = None
    """Folder of real pictures, framed as the generator's, to learn besides: their latents are not
    known, so only what is drawn of the answer is compared with them. They are held in memory."""
    picture_weight: float = 1.0
    """Of the mean absolute difference of the pictures. That of the latents, squared and in units of
    their spread, has weight 1."""
    perceptual: Literal["none", "resnet50", "vgg19"] = "none"
    """Compare features of the pictures, too, as in motion-jax project."""
    perceptual_weight: float = 1.0
    """Of that."""
    seed: int = 0
    """Of first weights and latents."""


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


@dataclass(frozen=True)
class PairFacesOptions:
    """Make pairs of a photo and a drawing with two generators of StyleGAN2, for a small network
    that learns to draw faces (motion-jax train face_style; docs/faces.md)."""

    photos: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="A")]
    """Run or weight file that makes the photos."""
    drawings: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="BLEND")]
    """Run or weight file that makes drawings of the same latents (motion-jax blend A B)."""
    out: Path
    """Dataset folder to make."""
    count: int = 2000
    """Pairs that are kept."""
    faces: Literal["found", "aligned"] = "found"
    """found: of each photo the face is looked for (MediaPipe), pairs without one are left out, and
    the head is cut out by it. aligned: nothing is looked for, the head is where FFHQ's alignment
    puts it: for generators of drawn faces, which MediaPipe does not see."""
    whole: bool = False
    """Keep the drawing's own surroundings. By default the pair shows the photo around the head, so
    that the network learns what to leave alone."""
    truncation: float = 0.8
    """Of the latents: less makes usual faces and fewer faults, 1 the whole variety (profiles,
    glasses, closed eyes)."""
    least_likeness: float = 0.2
    """Pairs are left out whose drawing is nowhere like the photo: correlation of the coarse
    brightness of both heads, -1 to 1."""
    least_change: float = 4.0
    """And those that hardly change anything: mean difference of the heads, in grey levels."""
    holdout: float = 0.1
    """Share of the pairs that is held out of training."""
    seed: int = 0
    """Of the latents."""
    pose_model: Path | None = None
    """MediaPipe model file or folder (default: $MOTION_JAX_MODELS, the cache, else a download)."""
    workers: int | None = None
    """Processes that look for faces (default: one for each core)."""


@dataclass(frozen=True)
class OneStyleOptions:
    """Teach a generator of StyleGAN2 the style of one picture (JoJoGAN), by the features of its
    own discriminator: nothing is downloaded."""

    style: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PICTURE")]
    """The picture: a face, framed as the generator's pictures are."""
    run: Path
    """Run or weight file of the generator, with its discriminator."""
    out: Path
    """Run folder to make."""
    steps: int = 300
    """Steps of Adam; more make every face the picture's."""
    learning_rate: float = 2e-3
    """Of these steps."""
    first: int = 7
    """The entries of w from this one on are mixed: the layers that make colour and line."""
    keep_colour: bool = False
    """Mix only the entries 9, 11, 15, 16 and 17, so that faces keep colours of their own."""
    alpha: float = 0.0
    """Of the mixed entries this share stays the picture's own, 0 to 1."""
    search: int = 500
    """Steps of the search for the picture (motion-jax project --space w_plus)."""
    batch: int = 4
    """Pictures a step."""
    count: int = 6
    """Faces on the sheet."""
    truncation: float = 0.7
    """Of these."""
    seed: int = 0
    """Of all latents."""


@dataclass(frozen=True)
class FrechetOptions:
    """Measure how far a generator's pictures are from those of a dataset: FID with --inception
    FILE, else the Fréchet distance of ResNet-50's features (FD-R50), which is none: the network
    that FID is defined by comes with no package."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run or weight file of a generator of StyleGAN2."""
    data: Path
    """Dataset of pictures (motion-jax import-data --layout pictures)."""
    count: int = 2000
    """Pictures that are made; and of the dataset at most twice as many are taken."""
    truncation: float = 1.0
    """Of the latents; 1 for the whole variety."""
    seed: int = 0
    """Of the latents, and of which pictures are taken."""
    inception: Path | None = None
    """The weights by which FID and KID are defined: pytorch-fid's file
    pt_inception-2015-12-05-6726825d.pth."""
    json: bool = False
    """Print the figures as JSON."""
