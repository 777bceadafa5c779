"""The options of `motion-jax animate` for drawn characters."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from motion_jax.pose.options import PoseOptions, Sound, own_first
from motion_jax.provenance.options import HonestFilm


@own_first
@dataclass(frozen=True)
class CharacterOptions(PoseOptions, Sound, HonestFilm):
    """Make a drawn character move like the person in a video (docs/anime.md): a made-up one, one
    that is given as a picture, or your own drawing; with --person all one for everybody."""

    source: Path
    """Video of the person whose motion is taken."""
    out: Path
    """The video to write: FILE.mp4, or FILE.mov with --background alpha."""
    run: Path | None = None
    """Run of pose_stylegan that draws the character (motion-jax train pose_stylegan)."""
    method: Literal["rig"] | None = None
    """Instead of a run: "rig" moves the drawing itself by its bones."""
    character: tuple[str, ...] = ("0",)
    """Who dances: the SEED of a made-up character (a number), with --run also one or more PICTUREs
    of a character (PNG with a clear background, from head to foot), with --method rig a SEED or the
    folder of a drawing with texture.png, mask.png and char_cfg.yaml (Animated Drawings). With
    --person all (or A,C) one for each person, in the order of their letters or as A=7 C=girl.png;
    who is left gets a made-up one."""
    background: Literal["plain", "green", "alpha", "source"] | Path = "plain"
    """Behind the character: "plain", "green" for keying, "alpha" (ProRes 4444 with transparency,
    --out FILE.mov), "source" (the video's own background: of every pixel the middle value over
    time, in which a person who stands still remains), or a PICTURE or VIDEO, which fills the
    frame."""
    height: int | None = None
    """Of the result in pixels (default: the source's); its width follows."""
    tall: float = 1.0
    """Height of the character, in that of the person."""
    pin: bool = True
    """Keep feet that stand on the floor where they stand."""
    shadow: bool = True
    """Draw a soft shadow under the feet."""
    side_by_side: bool = False
    """Show the source, the joints and the result next to each other."""
    step: str = "latest"
    """Which checkpoint of the run: "latest", "best", or its step."""
