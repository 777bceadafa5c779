"""Options of `motion-jax live`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from motion_jax.pose.options import Joints, own_first
from motion_jax.provenance.options import HonestFilm
from motion_jax.retrieval.options import RetrievalOptions
from motion_jax.transfer.animate_options import Crop


@own_first
@dataclass(frozen=True)
class LiveOptions(HonestFilm):
    """A camera drives the person of a trained run, while it happens: in a window, a virtual camera,
    a page in the browser, a file."""

    run: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction] = ()
    """Run folder made by `motion-jax train`, `motion-jax distill` or `motion-jax import`; give it
    several times to switch between people with the keys 1, 2, ... All make pictures of one size. Of
    a run that knows several people RUN:WHO, as runs/both:anna. Without it: --method."""
    photo: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction] = ()
    """Picture of whom is to move, with a run of first_order; give it several times to switch
    between photos with the keys 1, 2, ... (docs/first-order.md)."""
    mode: Literal["relative", "absolute"] = "relative"
    """With --photo, as for animate: "relative" counts movement from the frame of the first two
    seconds that lies most like the photo, and anew with the key x."""
    crop: Crop = "auto"
    """With --photo: what photo and camera are cut to, as for animate; the camera's cut is that of
    the first picture that shows somebody, until the key x."""
    adapt_scale: bool = True
    """With --photo, as for animate: scale movements by the sizes of the two people."""
    paste: bool = False
    """With --photo: put the moving part back into the photo."""
    faces: bool = False
    """Draw the faces in the camera's picture alone, as `motion-jax stylise` does, everything else
    stays: runs of face_style do so by themselves; say it for cyclegan, or pix2pix on pairs, that
    learned faces (docs/faces.md)."""
    method: Literal["nearest", "nearest-angle"] | None = None
    """Instead of a run: real frames of --data, as for transfer (docs/retrieval.md)."""
    data: Path | None = None
    """With --method: the target's dataset, made by `motion-jax prepare`."""
    retrieval: RetrievalOptions = field(default_factory=RetrievalOptions)
    """With --method: how frames are chosen; "path" weighs each jump when it comes."""
    camera: str = "0"
    """Number of a camera, or any part of its name (on Linux); a video FILE, which is played at its
    own pace; the address of a stream (rtsp://, http://); or a FOLDER into which pictures come."""
    list_cameras: bool = False
    """List the cameras of this machine, and end."""
    step: str = "latest"
    """Which checkpoint, as for transfer: "latest", "best", or its step."""
    smaller: Path | None = None
    """A smaller run of the same person and size (motion-jax distill), which takes over while the
    machine is too slow for the first one."""
    record: Path | None = None
    """Also write FILE.mp4, with the times at which pictures were taken, and a file camera's sound;
    FILE.mov with --background alpha."""
    port: int | None = None
    """Also show it on a page at this port of this machine, as motion JPEG and by WebSocket, which
    OBS and browsers take (needs the extra serve); 0: any free port."""
    virtual_camera: bool = False
    """Also show it as a camera, which other programs can choose (needs pyvirtualcam and its
    driver)."""
    window: bool | None = None
    """Show it in a window. Default: where there is a screen and no other output."""
    side_by_side: bool = False
    """Show the camera's picture beside the result."""
    seconds: float | None = None
    """Stop after so long; a file camera then begins again at its end."""
    stats: Path | None = None
    """Write the figures into FILE.json at the end."""
    json: bool = False
    """Print the figures as a line of JSON every second."""
    mirror: bool = False
    """Mirror the camera's picture, as in a looking glass."""
    detail: Literal["body", "holistic"] = "body"
    """Estimate the body alone, or face and hands, too (twice the time). For drawn faces
    "holistic" looks for hands, which stay in front of them."""
    person: str | None = None
    """Whom to follow where several people are before the camera: "largest", "leftmost",
    "rightmost", or a number from 1, counted from left to right (all bodies are then estimated,
    which takes longer, and --detail is body). Default: one person is looked for."""
    ready_poses: bool = False
    """The camera shows drawn poses, or DensePose in any of its forms, made by another program: they
    are given to the run as they are. For runs that were trained on such pictures."""
    poses: Path | None = None
    """Of a file camera: folder of OpenPose JSON or Everybody Dance Now yml files, one for each
    frame, instead of estimating poses."""
    pose_model: Path | None = None
    """MediaPipe model file or folder (default: $MOTION_JAX_MODELS, the cache, else a download)."""
    normalize: Literal["global", "limbs", "none"] = "global"
    """How poses are fitted to the target's body, as for transfer, by what was seen since the person
    came; measured for the first second, and anew with the key x and for another person."""
    joints: Joints = "free"
    """How far joints may bend: as for transfer."""
    calibration: Path | None = None
    """FILE.json with the measures of the person before the camera: used where it is there, until
    the key x; written at the end where it is not, or where x was pressed."""
    smooth: bool = True
    """Smooth the poses against jitter, by the past alone."""
    background: Literal["plate", "green", "alpha"] = "plate"
    """For runs that draw the person apart from the background: the background of the target's film,
    green for keying, or none (for --record FILE.mov)."""
    lost: Literal["auto", "hold", "plate", "black"] = "auto"
    """What is shown when nobody is there, or no face: the last picture, the background plate, or
    black; "auto": the plate where the run has one, else black. Never the camera's own picture."""
    fps: float | None = None
    """Frames a second to keep up with (default: the camera's); docs/live.md says what is left out
    for it, and in which order."""
    degrade: bool = True
    """Leave out something where the machine is too slow; without, only frames are."""
    runtime: Literal["auto", "jax", "onnxruntime", "openvino"] = "auto"
    """What runs the generator: "auto" takes the fastest on this machine of those installed, by
    trying them. All give the same pixels within one level in 255 (jax: those of transfer)."""
    precision: Literal["float32", "bfloat16", "int8"] = "float32"
    """Of the generator's arithmetic; bfloat16 and int8 only with OpenVINO. The scales of int8 are
    measured once, on the poses that the run was trained on, and kept in RUN/openvino (needs the
    extra int8)."""
    marks: bool = False
    """Draw the number of each frame into the camera's picture, and measure the age of what is shown
    by reading it from the finished picture (needs --side-by-side)."""
