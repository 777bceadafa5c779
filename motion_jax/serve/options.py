"""Options of `motion-jax serve`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from motion_jax.pose.options import Joints


@dataclass(frozen=True)
class ServeOptions:
    """Answer other programs with pictures of trained runs: HTTP and WebSockets, and the protocols
    of RunwayML, so that its Processing, p5, Max, Unity and Photoshop clients work (see
    docs/serve.md)."""

    run: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction]
    """Run folder made by `motion-jax train` or `motion-jax import`; give it several times for
    several runs, of which clients name one by its folder's name (the first without). Of a run that
    knows several people RUN:WHO, as runs/both:anna, which is then its name."""
    step: str = "latest"
    """Which checkpoint, as for transfer: "latest", "best", or its step."""
    input: Literal["auto", "ready", "person"] = "auto"
    """What clients' pictures show, for runs that are driven by poses: a drawn pose or DensePose
    ("ready"), or a person, whose pose is estimated ("person"). "auto": ready for runs that were
    trained on ready pose pictures, person for others."""
    normalize: Literal["global", "limbs", "none"] = "global"
    """How the pose of a person in a picture is fitted to the target's body, as for transfer."""
    joints: Joints = "free"
    """How far joints may bend: as for transfer, of poses in pictures and of keypoints."""
    detail: Literal["holistic", "body"] = "holistic"
    """Estimate body, face and hands of a person in a picture, or the body alone (twice as fast)."""
    pose_model: Path | None = None
    """MediaPipe model file or folder (default: $MOTION_JAX_MODELS, the cache, else a download)."""
    bars: Literal["auto", "white"] = "auto"
    """Bars beside pictures of other proportions, for runs that translate pictures: as in the run's
    training, or white, as RunwayML's DensePose and CycleGAN chains padded them."""
    host: str = "127.0.0.1"
    """Address to listen on. Others than this machine's own need --token."""
    port: int = 8000
    """Port of HTTP, WebSocket and Socket.IO (RunwayML's own); 0: any free one."""
    socket_port: int | None = None
    """A second port for the same, for Socket.IO clients of RunwayML that ask on 3000, 3002 or
    33000."""
    sdk_port: int | None = None
    """Port of the RunwayML model SDK's routes (its default is 9000); without: not served."""
    osc_port: int | None = None
    """UDP port of OSC (RunwayML's is 57100), on this machine alone; without: not served."""
    osc_client_port: int = 57200
    """UDP port to which OSC answers go."""
    hub_port: int | None = None
    """Port of the hub that the Unity and Photoshop plugins ask (theirs is 5142); needs --sdk-port;
    without: not served."""
    token: str | None = None
    """A secret that clients send as "Authorization: Bearer TOKEN" or ?token=TOKEN."""
    allow_host: tuple[str, ...] = ()
    """Further names by which clients may call this machine, as NAME or NAME:PORT. With --host its
    own addresses and host name are known."""
    allow_origin: tuple[str, ...] = ()
    """Web pages that may ask, besides those of this machine, such as https://editor.p5js.org;
    "null" allows pages opened from files."""
    input_key: str = "image"
    """Name of the picture in RunwayML's queries."""
    output_key: str = "image"
    """Name of the picture in RunwayML's answers."""
    command: str = "generate"
    """Name of the command in the model SDK's routes."""
    errors: Literal["status", "last"] = "status"
    """A failed RunwayML query is answered with its error and status 500, or with the last good
    picture ("last"), because old sketches die of the first answer without one; the error is then at
    /error alone."""
    jpeg_quality: int = 90
    """Of JPEG and WebP answers, 1 to 100. PNG is exact."""
    batch: int = 4
    """Pictures that wait are made together, at most so many (on a GPU; a CPU makes one after
    another)."""
    waiting: int = 16
    """Requests that may wait; further ones are answered 503 with Retry-After."""
    timeout: float = 60.0
    """Seconds after which a request that still waits is given up."""
    max_megapixels: float = 32.0
    """Largest picture that is decoded."""
    max_megabytes: float = 50.0
    """Largest request."""
