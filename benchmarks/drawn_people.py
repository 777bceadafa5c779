"""Drawn films of several people, whose true answers are known: what a detector sees in them, and
runs that draw instead of synthesizing. For benchmarks and tests."""

import dataclasses
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, Int, UInt8

from motion_jax.config import Config
from motion_jax.pose.normalize import fit_target
from motion_jax.pose.people import observations
from motion_jax.puppet import company
from motion_jax.puppet.characters import Puppet
from motion_jax.recipes.everybody_dance_now import EverybodyDanceNow, Stage
from motion_jax.train.run import Run
from motion_jax.video.writer import VideoWriter


def poses_of(film: company.Company, size: tuple[int, int]) -> Float32[np.ndarray, "d n 137 3"]:
    """Everybody's true keypoints, hidden ones too."""
    return np.stack([company.keypoints(film, i, *size) for i in range(len(film.dancers))])


def observed(
    film: company.Company,
    size: tuple[int, int],
    *,
    least: float = 0.35,
    noise: float = 0.0,
    dropout: float = 0.0,
    seed: int = 0,
) -> tuple[observations.Observations, Int[np.ndarray, " m"]]:
    """What a detector would see, and the number of the dancer of each observation.

    Args:
      least: share of a dancer that must be seen.
      noise: standard deviation of each joint, in sizes of the person; hidden joints are guessed
        half of the time, four times as far off, and otherwise not reported (without noise: never
        reported).
      dropout: share of dancers that are missed in a frame.
    """
    random = np.random.default_rng((seed, 5))
    poses = poses_of(film, size)
    parts: list[np.ndarray] = []
    truth: list[int] = []
    for frame in range(len(film)):
        points = poses[:, frame].copy()
        points[..., :2] /= size[0]
        shown, share = company.seen(film, frame, points)
        found, whose = [], []
        for i in range(len(poses)):
            if share[i] < least or shown[i, :25].sum() < 8 or random.random() < dropout:
                continue
            pose = poses[i, frame].copy()
            there = pose[:, 2] > 0
            off = noise * observations.extent(pose)
            guessed = there & ~shown[i] & (random.random(137) < 0.5) & (noise > 0)
            pose[:, :2] += random.normal(0, 1, (137, 2)) * np.where(guessed, 4 * off, off)[:, None]
            pose[~(shown[i] | guessed) | ~there] = 0
            found.append(pose.astype(np.float32))
            whose.append(i)
        order = random.permutation(len(found))
        image = company.draw_frame(film, frame, *size)
        parts.append(observations.records_of(frame, image, [found[k] for k in order]))
        truth += [whose[k] for k in order]
    records = observations.together(parts)
    return observations.Observations(records, film.times, size), np.array(truth, int)


def switches(of_record: Int[np.ndarray, " m"], truth: Int[np.ndarray, " m"]) -> int:
    """How often a true person is given another identity than the one before (the identity switches
    of Bernardin & Stiefelhagen 2008, kept over absences); truth -1: nobody's."""
    last: dict[int, int] = {}
    count = 0
    for found, true in zip(of_record.tolist(), truth.tolist(), strict=True):
        if found < 0 or true < 0:
            continue
        count += last.get(true, found) != found
        last[true] = found
    return count


def write_film(
    film: company.Company,
    path: Path,
    size: tuple[int, int],
    without: tuple[int, ...] = (),
    shadows: bool = False,
    crf: float = 4,
) -> Path:
    """The film as MP4."""
    with VideoWriter(path, *size, crf=crf) as writer:
        for frame, time in enumerate(film.times):
            writer.write(company.draw_frame(film, frame, *size, without, shadows), float(time))
    return path


def write_poses(poses: Float32[np.ndarray, "d n 137 3"], folder: Path) -> Path:
    """Everybody's bodies as OpenPose JSON, a file a frame."""
    folder.mkdir()
    for frame in range(poses.shape[1]):
        people = [
            {"pose_keypoints_2d": pose[:25].ravel().tolist()}
            for pose in poses[:, frame]
            if (pose[:25, 2] > 0).sum() > 4
        ]
        file = folder / f"frame_{frame:012d}_keypoints.json"
        file.write_text(json.dumps({"version": 1.3, "people": people}))
    return folder


def straight(layer: Float32[np.ndarray, "h w 4"]) -> UInt8[np.ndarray, "h w 4"]:
    """RGBA of colours times opacity (company.layer)."""
    alpha = layer[..., 3:]
    colours = layer[..., :3] / np.maximum(alpha, 1e-3)
    whole = np.concatenate([colours, 255 * alpha], axis=-1)
    return np.clip(np.rint(whole), 0, 255).astype(np.uint8)


class Given(EverybodyDanceNow):
    """Of runs whose networks are never run: what is seen of moments are the moments."""

    recurrent = True

    def seen(self, moments: Any) -> Any:
        return moments


@dataclasses.dataclass(frozen=True, kw_only=True)
class DrawnRun(Run):
    """In the place of a trained run with a matte: its picture is the true one of each moment, `who`
    in the place of a dancer of the film. See `drawn_run`.

    across: where the poses that were shown are, in pixels from the left.
    """

    film: company.Company
    number: int
    who: Puppet
    blur: float
    noise: float
    across: list[float] = dataclasses.field(default_factory=list)

    checkpoint = "cd" * 16

    @cached_property
    def true_poses(self) -> Float32[np.ndarray, "n 137 3"]:
        return company.keypoints(self.film, self.number, *self.size)

    @cached_property
    def plates(self) -> UInt8[np.ndarray, "1 h w 3"]:
        return np.full((1, *self.size, 3), 90, np.uint8)

    def picture(
        self, frame: int, shown: Float32[np.ndarray, "137 3"]
    ) -> UInt8[np.ndarray, "h w 4"]:
        """Of the film's frame, the dancer as far across as the pose that is shown."""
        self.across.append(float(shown[shown[:, 2] > 0, 0].mean()))
        dancer = self.film.dancers[self.number]
        true = self.true_poses[frame]
        both = (true[:25, 2] > 0) & (shown[:25, 2] > 0)
        across = float((shown[:25, 0] - true[:25, 0])[both].mean()) if both.any() else 0.0
        dancer = dataclasses.replace(dancer, puppet=self.who, x=dancer.x + across / self.size[0])
        layer = company.layer(dancer, frame, *self.size)
        if self.blur:
            layer = cv2.GaussianBlur(layer, (0, 0), self.blur)
        made = straight(layer)
        if self.noise:
            random = np.random.default_rng((self.number, frame))
            off = random.normal(0, self.noise, (*self.size, 3))
            made[..., :3] = np.clip(made[..., :3] + off, 0, 255)
        return made

    def synthesizer(self, *_: Any, **settings: Any) -> "DrawnSynthesizer":
        return DrawnSynthesizer(self)


def drawn_run(
    film: company.Company,
    number: int,
    who: Puppet,
    size: tuple[int, int],
    *,
    times: int = 2,
    blur: float = 0.0,
    noise: float = 0.0,
    background: str = "plate",
) -> DrawnRun:
    """A run of the film's dancer of that number, whose pictures are `times` as high and wide as
    `size`.

    blur, noise: how far it is from the truth (pixels; grey levels), as a network's pictures are.
    """
    height, width = times * size[0], times * size[1]
    stage = Stage(steps=1, height=height, width=width)
    poses = company.keypoints(film, number, height, width)
    return DrawnRun(
        folder=Path("runs/drawn"),
        config=Config(Given(background=background, global_stage=stage)),
        stage="global",
        step=7,
        params={},
        dataset={
            "path": "data/drawn",
            "info": {"height": height, "width": width},
            "target_statistics": fit_target(poses).to_json(),
        },
        film=film,
        number=number,
        who=who,
        blur=blur,
        noise=noise,
    )


class DrawnSynthesizer:
    """Gives a DrawnRun's pictures one after another, from the film's first frame on."""

    def __init__(self, run: DrawnRun):
        self._run, self._at = run, 0

    def reset(self) -> None:
        """A gap changes nothing."""

    def another(self) -> "DrawnSynthesizer":
        return DrawnSynthesizer(self._run)

    def begin(self, seen: dict[str, np.ndarray]) -> Iterator[UInt8[np.ndarray, "h w 4"]]:
        first, self._at = self._at, self._at + len(seen["keypoints"])
        shown = zip(range(first, self._at), seen["keypoints"], strict=True)
        return (self._run.picture(frame, pose) for frame, pose in shown)
