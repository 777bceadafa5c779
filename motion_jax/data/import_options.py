"""The options of `motion-jax import-data`, and the sizes that the layouts' programs begin with."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

VIDEO = "skeleton-video"
DENSEPOSE = "densepose"
LABELLED = "real-synthetic"
FPS = 25.0
# (load size, crop size, multiple) that the reference programs of a layout begin with.
DEFAULTS = {
    "edn": (1024, 512, 16),
    "aligned": (1024, 512, 16),
    "vid2vid": (512, 512, 16),
    "side-by-side": (286, 256, 4),
    "unpaired": (286, 256, 4),
    "pictures": (286, 256, 4),
    VIDEO: (1024, 512, 16),
    DENSEPOSE: (1024, 512, 16),
    LABELLED: (286, 256, 4),
}


@dataclass(frozen=True)
class ImportOptions:
    """Turn another project's data into a dataset to train on."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
    """Folder of an Everybody Dance Now, pix2pixHD, pix2pix, CycleGAN or vid2vid experiment's data,
    a video of drawn skeletons, or DensePose output (a folder of pictures or a video)."""
    out: Path
    """Folder of the dataset; new, or begun by the same command before."""
    layout: Literal[
        "auto", "edn", "aligned", "side-by-side", "unpaired", "vid2vid", "skeleton-video",
        "densepose", "pictures", "real-synthetic",
    ] = "auto"  # fmt: skip
    """How the data lies in SOURCE: "edn" (train_label, train_img), "aligned" (train_A, train_B),
    "side-by-side" (train/ with A|B pictures), "unpaired" (trainA, trainB), "vid2vid"
    (train_openpose, train_img), "skeleton-video", "densepose" (IUV pictures or a video of parts),
    "pictures" (any pictures, in folders, for stylegan2), "real-synthetic" (films or folders of
    pictures in real/PERSON and synthetic/METHOD/PERSON, for fake_detector); "auto" looks, and never
    takes data for DensePose or for mere pictures."""
    frames: Path | None = None
    """With a skeleton video or DensePose: the video that it was made from, frame by frame; with
    DensePose a folder of pictures too. Without it the drawn pictures stand for the frames too (to
    look at, to drive runs, or as CycleGAN's domain A)."""
    region: str | None = None
    """densepose: which part of SOURCE's pictures shows it: "left" or "right" (that half of a side
    by side video, without white bars), or X,Y,WIDTH,HEIGHT in pixels; default: all."""
    frames_region: str | None = None
    """densepose: the same for the pictures of --frames, which may be the same video."""
    densepose_as: Literal["auto", "iuv", "parts", "viridis", "parula"] = "auto"
    """densepose: how it is drawn for the network: "iuv" (part, U and V as red, green and blue),
    "parts" (each part in a colour far from all others'), or the colours of a map; auto: iuv where
    SOURCE tells U and V, else parts."""
    size: str | None = None
    """WIDTHxHEIGHT of the dataset's pictures: all are resized to it, see --fit."""
    fit: Literal["stretch", "letterbox", "crop"] = "stretch"
    """With --size, what happens to other proportions: "stretch"; "letterbox": bars, which are cut
    off again from results and are not measured; "crop": the middle."""
    resize: Literal["none", "resize_and_crop", "crop", "scale_width", "scale_width_and_crop"] = (
        "none"
    )
    """pix2pix's and pix2pixHD's ways to a size, without the randomness: a random crop and a flip
    are settings of training (--data.augment.crop, --data.augment.flip)."""
    load_size: int | None = None
    """Pixels for --resize (default 286 for side-by-side and unpaired, else 1024, vid2vid 512)."""
    crop_size: int | None = None
    """Pixels that training will cut out (default 256 for side-by-side and unpaired, else 512)."""
    label_interpolation: Literal["auto", "nearest", "bicubic"] = "auto"
    """How pose pictures are resized: nearest for edn, as there, else bicubic; label maps of class
    numbers want nearest."""
    direction: Literal["AtoB", "BtoA"] = "AtoB"
    """Which of two aligned pictures is the pose: A, or with BtoA the other."""
    sequence: Literal["auto", "frames", "pictures"] = "auto"
    """Numbered files are neighbouring frames of a video, or each picture stands alone; auto: frames
    for edn and vid2vid, elsewhere by the look of the names."""
    test: bool = True
    """Take test and val folders too, as the held-out part."""
    fps: float | None = None
    """Frames a second of numbered pictures (default 25); a video is resampled to it."""
    start: float | None = None
    """Begin at this second of the videos."""
    end: float | None = None
    """End before this second of the videos."""
    video_track: int | None = None
    """Which picture track of the videos, counted from 1, where there are several (default: the one
    that is marked as default, which players show)."""
    keypoints: Path | None = None
    """edn: folder of keypoint files (yml or OpenPose JSON named like the frames); default:
    keypoints or train/keypoints in SOURCE, where it is there."""
    keypoints_size: str = "1920x1080"
    """edn: WIDTHxHEIGHT of the original frames, in whose pixels the keypoints are."""
    person: str = "largest"
    """Whom to follow among several in keypoint files: "largest", "leftmost", "rightmost", or a
    number from 1."""
    drawn_as: Literal["auto", "unknown", "body25", "body23", "coco18"] = "auto"
    """How the pose pictures were drawn, so that keypoints can be drawn alike when a run is driven:
    Everybody Dance Now's drawing of that body, or unknown; auto: by edn's keypoint files."""
    face_points: Literal[0, 8, 9, 22, 70] = 8
    """Face points in that drawing."""
    picture: Literal["auto", "jpeg", "png"] = "auto"
    """Format of the stored frames; auto: JPEG where SOURCE's first picture is one (or a video),
    else PNG. A file of that format and of the right size is kept byte for byte."""
    pose_picture: Literal["png", "jpeg"] = "png"
    """Format of the stored pose pictures."""
    corrupt: Literal["stop", "skip"] = "stop"
    """What to do about a damaged picture: stop, or leave it out (its clip ends there) and say
    so."""
    workers: int | None = None
    """Processes (default: one a core). The result does not depend on it."""


def difference(options: ImportOptions, earlier: dict[str, Any], now: dict[str, Any]) -> str:
    """How a dataset of the resolved options `earlier` was made otherwise than `now`: from another
    SOURCE; or with other options, all of `options` that were given, else one that was not."""
    before, after = _flat(earlier), _flat(now)
    files = [(side.get("source") or {}).get("file", "?") for side in (earlier, now)]
    kind = "video" if now["layout"] == VIDEO else "folder"
    if files[0] != files[1]:
        return f"from another {kind} ({files[0]}, not {files[1]})"
    given = {
        field.name for field in fields(options) if getattr(options, field.name) != field.default
    }
    differ = [n for n in {**after, **before} if n != "source" and before.get(n) != after.get(n)]
    shown = [name for name in differ if name in given] or differ[:1]
    if not shown:
        if earlier.get("source") == now.get("source"):
            return "by another version of motion_jax"
        if kind == "video":
            return f"from another video of the name {files[0]}, or with another --frames"
        return f"from other files in {files[0]}, or from another folder of that name"
    texts = [
        "other keypoint files"
        if name == "keypoints"
        else f"{name.replace('_', '-')} {before.get(name)}, not {after.get(name)}"
        for name in shown
    ]
    return f"with other options ({'; '.join(texts)})"


def _flat(resolved: dict[str, Any]) -> dict[str, Any]:
    """Resolved options by the names of the options; what follows from others comes last."""
    value = dict(resolved)
    how = value.pop("resize", None) or {}
    start, end = value.pop("span", None) or (None, None)
    size, poses = value.pop("size", None), value.pop("poses", None)
    stretched = how.get("mode") == "size"
    first = {"resize": "none" if stretched else how.get("mode"), "start": start, "end": end}
    last = {
        "keypoints": poses,
        "size": size if stretched else f"unset ({size})",
        "load_size": how.get("load_size"),
        "crop_size": how.get("crop_size"),
    }
    return first | value | last
