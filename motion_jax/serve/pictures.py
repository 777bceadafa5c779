"""Clients' pictures and poses: decoded with limits, and answers encoded."""

import base64
import binascii
import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from motion_jax.errors import UserError, worded
from motion_jax.pose.files import composed
from motion_jax.pose.openpose import parsed
from motion_jax.pose.skeleton import COUNT, INDEX, midpoint, observed_only
from motion_jax.provenance import xmp
from motion_jax.video.image_files import Unreadable, read_picture

FORMATS = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
READ = ("PNG", "JPEG", "WEBP")
# The order of PoseNet's points.
_COCO_17 = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee",
    "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip


class Refused(UserError):
    """A request that cannot be answered; status: HTTP's; retry: seconds to wait before another."""

    def __init__(self, message: str, status: int = 400, retry: int | None = None):
        super().__init__(message)
        self.status, self.retry = status, retry

    def __str__(self) -> str:
        """Options are named as the server's command line has them."""
        return worded(self.marked)


@contextlib.contextmanager
def refusing(status: int = 400) -> Iterator[None]:
    """Turns a UserError of the block into a Refused."""
    try:
        yield
    except Refused:
        raise
    except UserError as error:
        raise Refused(error.marked, status) from error


@dataclass(frozen=True)
class Limits:
    """pixels: of the largest picture; side: its longest side."""

    pixels: int = 32_000_000
    side: int = 16384


def decoded(data: bytes, limits: Limits) -> UInt8[np.ndarray, "h w 3"]:
    """A PNG, JPEG or WebP as RGB, as `transfer` reads picture files. The size is read before memory
    is taken. Raises Refused: 413 too large, 415 another kind, 400 damaged."""
    try:
        with Image.open(io.BytesIO(data), formats=READ) as image:
            columns, rows = image.size
    except Image.DecompressionBombError as error:
        raise Refused(
            f"The picture is far larger than {limits.pixels / 1e6:g} megapixels, which is the most "
            "that is taken; send a smaller one.",
            413,
        ) from error
    except (OSError, ValueError, SyntaxError) as error:
        raise Refused("The picture is no PNG, JPEG or WebP; send one of these.", 415) from error
    if rows * columns > limits.pixels or max(rows, columns) > limits.side:
        raise Refused(
            f"The picture is {columns}x{rows}; at most {limits.pixels / 1e6:g} megapixels and "
            f"{limits.side} pixels a side are taken: send a smaller one.",
            413,
        )
    try:
        return np.asarray(read_picture(Path("picture"), data))
    except Unreadable as error:
        raise Refused("The picture is damaged or cut short; send it again.") from error


def of_uri(text: Any, limits: Limits) -> UInt8[np.ndarray, "h w 3"]:
    """A picture of a data URI, or of bare base64, url-safe or with line breaks, too. Raises
    Refused."""
    if not isinstance(text, str):
        raise Refused("A picture is given as a data URI (data:image/jpeg;base64,...).")
    body = text.partition(",")[2] if "," in text else text
    body = "".join(body.split()).replace("-", "+").replace("_", "/")
    body += "=" * (-len(body) % 4)
    try:
        data = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(
            "The picture is no base64; send a data URI (data:image/jpeg;base64,...)."
        ) from error
    return decoded(data, limits)


def encoded(picture: UInt8[np.ndarray, "h w c"], form: str, quality: int) -> bytes:
    """A picture, RGB or RGBA, as a file's bytes that say that it is synthetic; form: one of
    FORMATS."""
    if form == "jpeg":
        picture = picture[..., :3]
    code = cv2.COLOR_RGB2BGR if picture.shape[-1] == 3 else cv2.COLOR_RGBA2BGRA
    turned = cv2.cvtColor(picture, code)
    settings = {
        "png": (".png", [cv2.IMWRITE_PNG_COMPRESSION, 1]),
        "jpeg": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality]),
        "webp": (".webp", [cv2.IMWRITE_WEBP_QUALITY, quality]),
    }[form]
    done, data = cv2.imencode(settings[0], turned, settings[1])
    assert done, "OpenCV writes these formats"
    return xmp.declared(data.tobytes())


def uri(picture: UInt8[np.ndarray, "h w c"], form: str, quality: int) -> str:
    """A picture as a data URI."""
    data = base64.b64encode(encoded(picture, form, quality)).decode()
    return f"data:{FORMATS[form]};base64,{data}"


def keypoints_of(value: Any, size: tuple[int, int]) -> Float32[np.ndarray, "137 3"]:
    """A pose from JSON, in pixels of a picture of `size` (height, width).

    Taken are 137 triples (x, y, confidence) of our skeleton or the first 25 of them (BODY_25),
    OpenPose's {"people": [...]}, and {"poses": [[[x, y] * 17]]} with x and y from 0 to 1, as
    RunwayML's PoseNet gives them. Of several people the first. Raises Refused.
    """
    if isinstance(value, dict) and "poses" in value:
        return _of_coco(value["poses"], size)
    if isinstance(value, dict):
        with refusing():
            people = parsed(value, "the request").people
            pose = composed(people[0], "the request's person", set()) if people else None
        if pose is None:
            raise Refused("The request shows nobody; give one person with confidence above 0.")
        return _checked(pose)
    try:
        points = np.array(value, np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise Refused("keypoints are no lists of numbers.") from error
    if points.shape not in ((COUNT, 3), (25, 3)):
        raise Refused(
            f"keypoints are {list(points.shape)}; give 137 or 25 triples of x, y and confidence "
            "(docs/poses.md)."
        )
    whole = np.zeros((COUNT, 3), np.float32)
    whole[: len(points)] = points
    return _checked(whole)


def _of_coco(poses: Any, size: tuple[int, int]) -> np.ndarray:
    try:
        points = np.array(poses[0], np.float32)
    except (TypeError, ValueError, IndexError, KeyError, OverflowError) as error:
        raise Refused('"poses" holds no pose; give [[[x, y], ... 17 points]].') from error
    if points.shape != (17, 2):
        raise Refused(
            f"The pose has the shape {list(points.shape)}; give 17 points [x, y] from 0 to 1."
        )
    seen = np.isfinite(points).all(-1, keepdims=True)
    triples = np.concatenate([points * np.array(size[::-1], np.float32), seen], -1)
    triples = observed_only(triples)
    pose = np.zeros((COUNT, 3), np.float32)
    for name, point in zip(_COCO_17, triples, strict=True):
        pose[INDEX[name]] = point
    for middle, part in (("neck", "shoulder"), ("mid_hip", "hip")):
        pose[INDEX[middle]] = midpoint(pose[INDEX[f"right_{part}"]], pose[INDEX[f"left_{part}"]])
    return _checked(pose)


def _checked(points: np.ndarray) -> np.ndarray:
    points = observed_only(points)
    if np.abs(points).max() > 1e6:
        raise Refused("The keypoints lie in no picture; give pixels.")
    if not (points[:, 2] > 0).any():
        raise Refused("The pose shows no joint; give one with confidence above 0.")
    return points
