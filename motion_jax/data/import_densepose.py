"""Makes pose pictures and frames of a dataset from DensePose output and the frames it belongs to.

The output of any detector: a folder of raw IUV pictures, or a coloured video or folder
(pose/densepose.py). It is decoded once, here; what is stored is one drawing of it.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image

from motion_jax import files
from motion_jax.data.fitting import place
from motion_jax.data.folders import Group
from motion_jax.data.import_options import ImportOptions
from motion_jax.data.import_shards import ImportJob, Item
from motion_jax.errors import UserError, marked, option
from motion_jax.pose import densepose
from motion_jax.pose.densepose import Drawing, Reading
from motion_jax.pose.reel import Reel, open_reel
from motion_jax.progress import say
from motion_jax.video.image_files import BICUBIC, NEAREST, Unreadable
from motion_jax.video.numbers import missing_files

# Proportions this close are the same: sizes are rounded to whole pixels.
SAME_SHAPE = 0.02


@dataclass(frozen=True)
class Dense:
    """The items of one shard.

    Attributes:
      plan: where and how they are read.
      items: what becomes records.
      first: number of the first item among the pictures.
    """

    plan: "DensePlan"
    items: tuple[Item, ...]
    first: int

    def rows(self, job: ImportJob, digest: "hashlib._Hash") -> Iterator[dict | Unreadable]:
        """For each item its pictures at the dataset's size, or what is wrong with them."""
        plan, last, size = self.plan, self.first + len(self.items), (job.height, job.width)
        ground = densepose.draw(np.zeros(3, np.uint8), plan.drawing)
        poses = plan.pose.read(self.first, last)
        frames = plan.frame.read(self.first, last) if plan.frame else None
        for number in range(self.first, last):
            pictures = [next(poses), *([next(frames)] if frames else [])]
            bad = next((each for each in pictures if isinstance(each, Unreadable)), None)
            if bad is None:
                for each in pictures:
                    digest.update(np.ascontiguousarray(each).data)
                try:
                    # None of them is Unreadable.
                    picture = cast(np.ndarray, pictures[0])
                    iuv = plan.reading.read(picture, plan.pose.name(number))
                except UserError as error:
                    bad = Unreadable(marked(error))
            if bad is not None:
                yield bad
                continue
            drawn = Image.fromarray(densepose.draw(iuv, plan.drawing))
            placed = place(iuv.shape[:2], size, job.fit)
            picture = np.asarray(placed.picture(drawn, NEAREST, ground))
            row = {"pose_picture": picture, "frame": picture, "content": placed.content}
            row["figures"] = {"nobody": int(not iuv[..., 0].any())}
            if frames:
                frame = Image.fromarray(np.ascontiguousarray(pictures[1]))
                # The frame, of the same shape up to rounding, goes exactly where its pose is.
                if job.fit == "crop":
                    fitted = place((frame.height, frame.width), size, job.fit)
                else:
                    fitted = replace(placed, part=(0, 0, *frame.size))
                row["frame"] = np.asarray(fitted.picture(frame, BICUBIC))
            yield row


@dataclass(frozen=True)
class DensePlan:
    """What an import of DensePose will read.

    Attributes:
      pose: where the DensePose pictures are.
      frame: where the frames are; None: the drawn poses stand for them.
      reading: how the pose pictures are read; drawing: how they are drawn.
      size: (height, width) of what counts of a DensePose picture.
      options: the resolved options that only this layout has.
    """

    pose: Reel
    frame: Reel | None
    reading: Reading
    drawing: Drawing
    size: tuple[int, int]
    options: dict[str, Any]

    @property
    def group(self) -> Group:
        names = tuple(
            Path(self.pose.files[i]).name if self.pose.files else str(i)
            for i in range(len(self.pose))
        )
        return Group(self.pose.path.name, "train", names, names, clips=((0, len(names)),))

    @property
    def times(self) -> np.ndarray:
        """float64 [N]: of the video among the two, the frames' first."""
        films = [reel for reel in (self.frame, self.pose) if reel and reel.film]
        return (films[0] if films else self.pose).times


def plan_densepose(options: ImportOptions) -> DensePlan:
    """Looks at both sources. Raises UserError: no DensePose, other lengths or proportions."""
    span = {"start": options.start, "end": options.end, "fps": options.fps}
    pose = open_reel(options.source, **span).cut_to(options.region)
    _tell_missing(pose)
    frame = None
    if options.frames is not None:
        frame = open_reel(options.frames, **span).cut_to(options.frames_region, "--frames-region")
        _tell_missing(frame)
        if len(pose) != len(frame):
            raise UserError(
                f"{options.source} has {len(pose)} DensePose pictures and {options.frames} "
                f"{len(frame)} frames, so they do not belong together one by one; give the frames "
                "that DensePose was made from, or stretches of equal length with "
                f"{option('start')} and {option('end')}."
            )
    elif options.frames_region is not None:
        raise UserError(
            f"{option('frames_region')} goes with {option('frames')}; give both or neither."
        )
    samples = pose.samples()
    size = samples[0].shape[:2]
    if frame is not None:
        other = frame.samples()[0].shape[:2]
        if abs(size[1] * other[0] / (size[0] * other[1]) - 1) > SAME_SHAPE:
            raise UserError(
                f"The DensePose pictures are {size[1]}x{size[0]} and the frames "
                f"{other[1]}x{other[0]}, which are other proportions; say with {option('region')} "
                f"and {option('frames_region')} which parts of them show the same."
            )
    reading = densepose.recognise(samples, str(options.source))
    drawing = options.densepose_as
    if drawing == "auto":
        drawing = densepose.default_drawing(reading)
    densepose.check_drawing(reading, drawing, str(options.source))
    if options.label_interpolation == "bicubic":
        raise UserError(
            f"Parts of a body have no mixtures, so {option('label_interpolation')} bicubic does "
            "not go with DensePose; leave it out."
        )
    resolved = {
        "densepose_as": drawing,
        "region": options.region,
        "frames_region": options.frames_region,
        "contents": [_contents(reel) for reel in (pose, frame) if reel is not None],
    }
    return DensePlan(pose, frame, reading, drawing, size, resolved)


def _tell_missing(reel: Reel) -> None:
    if missing := missing_files(reel.files):
        say(f"{reel.path}: {missing}; those two are taken for neighbours.")


def shows_densepose(options: ImportOptions) -> bool:
    """Whether SOURCE holds DensePose in all of its pictures."""
    reel = open_reel(options.source, start=options.start, end=options.end, fps=options.fps)
    try:
        densepose.recognise(reel.samples(), str(options.source))
    except UserError:
        return False
    return True


def _contents(reel: Reel) -> str:
    """Of a video its bytes, of a folder names and sizes."""
    if reel.film is not None:
        return files.sha256(reel.path)
    digest = hashlib.sha256()
    for file in reel.files:
        digest.update(os.fsencode(f"{file.name}\0{os.stat(file).st_size}\n"))
    return digest.hexdigest()


def summary(plan: DensePlan) -> str:
    """One line that says what was found."""
    kinds = {
        "iuv": "raw I, U, V",
        "drawn-iuv": "I, U, V as drawn by motion_jax",
        "index": "part numbers",
        "parts": "parts in motion_jax's colours",
        "viridis": "parts in the colours of Viridis",
        "parula": "parts in the colours of Parula",
    }
    cut = f" at {plan.pose.cut.text}" if plan.pose.cut else ""
    return (
        f"{plan.pose.path}: {len(plan.pose)} DensePose pictures, {kinds[plan.reading.kind]}{cut}; "
        f"stored as {plan.drawing}."
    )
