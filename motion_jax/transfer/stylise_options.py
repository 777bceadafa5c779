"""The options of `motion-jax stylise`."""

from dataclasses import dataclass
from pathlib import Path

from motion_jax.pose.options import FilmPart, Sound, own_first
from motion_jax.provenance.options import HonestFilm


@own_first
@dataclass(frozen=True)
class StyliseOptions(FilmPart, Sound, HonestFilm):
    """Draw every face of a film as a run draws faces (docs/faces.md): found, cut out as FFHQ's,
    translated, and laid back; sound and everything else stay."""

    run: Path
    """Run of face_style (motion-jax train face_style), or another one that translates aligned
    faces: cyclegan, or pix2pix on pairs of pictures."""
    source: Path
    """The video (any kind that FFmpeg reads), or with --fps a folder of numbered pictures."""
    out: Path
    """The video to write: FILE.mp4. One that is there is replaced when the new one is whole."""
    strength: float = 1.0
    """How far what is drawn covers the face, 0 to 1."""
    smooth: bool = True
    """Smooth the place, size and angle of each face over time, without lag (never the pictures):
    without it drawn faces tremble."""
    hands: bool = True
    """Look for hands in front of faces, which stay in front (needs MediaPipe's hand landmarker)."""
    match_colours: bool = True
    """Bring what is drawn into the light of the film (one factor for each of red, green and blue,
    at most 1.25, measured around the head)."""
    least_face: int = 32
    """Faces whose cut-out is smaller stay as they are (pixels; a face is about half of its
    cut-out)."""
    side_by_side: bool = False
    """Show the source and the result next to each other."""
    pose_model: Path | None = None
    """MediaPipe model file or folder (default: $MOTION_JAX_MODELS, the cache, else a download)."""
    step: str = "latest"
    """Which checkpoint of the run: "latest", "best", or its step."""
    workers: int | None = None
    """Processes that look for faces (default: one for each core)."""
