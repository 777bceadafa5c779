"""The options of `motion-jax animate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from motion_jax.pose.options import FilmPart, Sound, own_first
from motion_jax.provenance.options import HonestFilm

Crop = Literal["auto", "face", "person", "none"]


_THREE = """Make a photo, or a drawn character, move like the person in a film. Three ways:
  a photo, with a run of first_order:
    motion-jax animate --run RUN --photo PHOTO --driving VIDEO --out OUT.mp4
  a drawn character, with a run of pose_stylegan:
    motion-jax animate --run RUN --character 1 --source VIDEO --out OUT.mp4
  a paper doll or your own drawing, without any run:
    motion-jax animate --method rig --character 1 --source VIDEO --out OUT.mp4

"""
# What stands above the options of each form in its help.
WAYS = {
    "animate": _THREE
    + """Below are the options of the first; those of the other two:
    motion-jax animate --source --help""",
    "animate-character": _THREE
    + """Below are the options of the second and third; those of the first:
    motion-jax animate --photo --help""",
}


@own_first
@dataclass(frozen=True)
class AnimateOptions(FilmPart, Sound, HonestFilm):
    """Make a photo move like a film, with a run of the First Order Motion Model (trained with
    motion-jax train first_order, or imported from NAME.pth.tar)."""

    run: Path
    """Run folder made by `motion-jax train` or `motion-jax import`."""
    photo: Path
    """Picture of whom is to move."""
    driving: Path
    """Video whose motion is taken (any kind that FFmpeg reads), or with --fps a folder of numbered
    pictures."""
    out: Path
    """The video to write: FILE.mp4. One that is there is replaced when the new one is whole."""
    mode: Literal["relative", "absolute"] = "relative"
    """"relative": the photo's keypoints move as the film's do, from the frame --best-frame on;
    "absolute": the film's keypoints as they are (the film shows the person of the photo)."""
    best_frame: str = "auto"
    """With --mode relative: which frame of the film is in the pose of the photo: "auto" (the one
    whose face, or body, lies most like the photo's, as --crop found them; with --crop none, or
    where too little is seen, as "keypoints"), "keypoints" (by the model's own), "first", or a
    number counted from 0."""
    adapt_scale: bool = True
    """With --mode relative: scale movements by the sizes of the two people."""
    crop: Crop = "auto"
    """What photo and film are cut to, each by itself, with one fixed cut for the whole film:
    "face", "person", "none" (the largest part in the middle that has the right proportions), or
    "auto": the face where it is at least a sixth of the photo's height, else the person. Needs
    MediaPipe's models, "none" needs nothing."""
    paste: bool = False
    """Put the moving part back into the photo, with a soft edge, instead of showing it alone."""
    smooth: bool = True
    """Smooth the keypoints over time (1 euro filter), against trembling."""
    side_by_side: bool = False
    """Show the film and the photo, with their keypoints, and the result next to each other."""
    pose_model: Path | None = None
    """MediaPipe model file or folder (default: $MOTION_JAX_MODELS, the cache, else a download)."""
    step: str = "latest"
    """Which checkpoint of the run: "latest", "best", or its step."""
