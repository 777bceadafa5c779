"""The options of `motion-jax transfer`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from motion_jax.pose.options import NORMALIZE, Joints, Normalize, PoseOptions, Sound, own_first
from motion_jax.provenance.options import HonestFilm
from motion_jax.retrieval.options import RetrievalOptions

Stabilise = Literal["auto", "none", "face", "pose"]
Method = Normalize
Horizontal = Literal["center", "frame"]


@own_first
@dataclass(frozen=True)
class TransferOptions(PoseOptions, Sound, HonestFilm):
    """Make the person of a trained run, or of a dataset without training (--method), move like the
    person in a video; a CycleGAN of frames is shown the video's frames themselves."""

    source: Path
    """Video of the person whose motion is taken (any kind that FFmpeg reads), or with --fps a
    folder of numbered pictures. For CycleGAN runs: the frames that are translated; no pose is
    estimated."""
    out: Path
    """The video to write: FILE.mp4 (H.264 and AAC in MP4, which plays everywhere); with
    --background alpha FILE.mov (ProRes 4444), FILE.webm (VP9, no sound) or a new folder (numbered
    PNG files). One that is there is replaced when the new one is whole."""
    run: Path | None = None
    """Run folder made by `motion-jax train` or `motion-jax import`; of a run that knows several
    people RUN:WHO, as runs/both:anna or runs/both:anna:0.3+ben:0.7. Without it: --method."""
    cast: str | None = None
    """Who takes whose place in SOURCE's film: LETTER=RUN, LETTER=keep or LETTER=remove for the
    people of `motion-jax people SOURCE`, as A=runs/anna,B=runs/ben,C=keep,D=remove; runs must draw
    the person apart (--recipe.background plate); of one that knows several people A=RUN:WHO. With
    --person all (or A,C) and --run, that run takes the place of all. See docs/people.md."""
    identity: str | None = None
    """WHO of --run RUN:WHO, where it is not said there."""
    place: Literal["source", "target"] = "source"
    """With a cast: people stand where those of SOURCE do and are as large ("source"; the film has
    SOURCE's size), or where they stood in their own films ("target"; the film has the runs')."""
    shadows: bool = False
    """With a cast and --place source: draw soft shadows on the floor below those who are new."""
    match_colours: bool = False
    """With a cast: bring those who are new into the light of the background (one factor for each of
    red, green and blue, from both backgrounds by Shades of Grey)."""
    method: Literal["nearest", "nearest-angle"] | None = None
    """Instead of a run: real frames of --data, those whose poses are nearest by the places of the
    joints ("nearest") or by the directions of the limbs ("nearest-angle", whatever the bodies'
    size and place). See docs/retrieval.md."""
    data: Path | None = None
    """With --method: the target's dataset, made by `motion-jax prepare`."""
    retrieval: RetrievalOptions = field(default_factory=RetrievalOptions)
    """With --method: how frames are chosen and put together."""
    step: str = "latest"
    """Which checkpoint: "latest", "best" (by the held-out score of training, or by motion-jax
    evaluate --step all), or its step."""
    side_by_side: bool = False
    """Show the source, the pose given to the network and the result next to each other."""
    ready_poses: bool = False
    """SOURCE shows drawn poses (a skeleton video, or a folder of label pictures): they are given to
    the network as they are, without estimating, normalising or smoothing anything. For runs that
    were trained on ready pose pictures. Of DensePose, raw IUV pictures and videos in the colours of
    Viridis or Parula are taken, and shown to the network as it knows them."""
    region: str | None = None
    """With --ready-poses, and for CycleGAN runs: which part of SOURCE's pictures is meant, "left"
    or "right" (that half of a side by side video, without white bars) or X,Y,WIDTH,HEIGHT in
    pixels; default: all."""
    face_boxes: Path | None = None
    """With --ready-poses: folder of Everybody Dance Now's face texts, one for each picture, for the
    face stage (in pixels of SOURCE's pictures)."""
    normalize: Method = NORMALIZE
    """How the source's pose is fitted to the target's body: "limbs" (one scale and shift for all
    joints, and each limb gets the target's length), "global" (the scale and shift alone, Everybody
    Dance Now's way), "none" (the source's frame is only scaled into the target's)."""
    joints: Joints = "free"
    """How far joints may bend: "free", as far as the source's do; "seen", no further than the
    target's were seen to in training, because a network draws a limb badly, or twice, where it
    never saw one. The motion is then a smaller one."""
    horizontal: Horizontal = "center"
    """With --normalize global or limbs, where across the picture the person moves: "center", around
    the place where the target was filmed; "frame", as far from the middle of the picture as the
    source's person, for two films of one stage."""
    background: Literal["plate", "green", "alpha", "source"] | Path = "plate"
    """For runs that draw the person apart from the background (--recipe.background plate): "plate",
    the background of the target's film; "green", for keying; "alpha", none: transparency; or a
    PICTURE or VIDEO, which fills the frame (a video runs with the source's clock, and is repeated).
    With a cast: "source", SOURCE's film without those who are replaced or removed; "plate", its
    place without anybody (with --place target the background of the first run's film)."""
    gaps: Literal["hold", "fade"] = "hold"
    """While the source's person is lost: keep the last picture, or fade it out."""
    stabilise: Stabilise = "auto"
    """Against a trembling person: "pose" smooths the path of the trunk and moves the person back
    where limbs would leave the picture; "face" shifts the finished pictures so that the face stays
    in its place, and repeats their edges; "none"; "auto": "pose" for runs that make each frame by
    itself (pix2pix, CycleGAN), unless --no-smooth or no poses are known, else "none"."""
    chunk: int = 16
    """Frames synthesized per call (frames; bounds memory, does not change the result)."""
    pose_pictures: Path | None = None
    """Also write the pictures of the poses that the network is shown into this folder, as numbered
    PNG files and poses.json: for running an exported network elsewhere (docs/export.md)."""
    statistics: Literal["batch", "running"] | None = None
    """Batch norm (pix2pix) by each picture's own statistics or by the running ones of training
    (default: as the run's config says)."""
    dropout_seed: int | None = None
    """Dropout (pix2pix) on, the same in every frame, drawn from this seed (default: as the run's
    config says)."""
    face: bool = True
    """Use the face stage where the run has one and a face was found."""
    recurrent: bool = True
    """Show the generator its previous frame, as in training; without, each frame stands alone (try
    it where the background trembles: `motion-jax evaluate` measures both)."""
