"""The small files of an Everybody Dance Now project: face texts and keypoints as OpenCV YAML.

A face text is one line, `top bottom left right`, whole pixels of the label picture. Keypoints lie
in pixels of the original frames; the labels are drawn on a canvas of 1920x1080, into which frames
of another size are letterboxed, and the canvas is squashed to the label's size.
"""

import json
import math
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Real

from motion_jax.errors import UserError
from motion_jax.files import entries, write_json, write_text
from motion_jax.pose import skeleton
from motion_jax.video.image_files import in_order

# (height, width)
CANVAS = (1080, 1920)
# Written by `export-data`: what the original's layout has no place for.
EXPORTED = "motion_jax.json"
# Where the keypoints of labels are. The original has no place for those of its test labels: the
# files in test/keypoints, as published, are of the video that the labels were normalised from.
KEYPOINTS = {"train": "keypoints", "test": "test_keypoints"}
PARTS = {
    "pose": skeleton.BODY,
    "face": skeleton.FACE,
    "hand_left": skeleton.LEFT_HAND,
    "hand_right": skeleton.RIGHT_HAND,
}
# Bytes of a face text that are read; four numbers have fewer.
_LONGEST = 1000


def read_face_text(path: Path) -> tuple[float, float, float, float]:
    """(top, left, bottom, right) of one face text, in pixels of its label.

    Raises UserError where it is not one line of four numbers."""
    try:
        with open(path, "rb") as file:
            words = file.read(_LONGEST).decode().split()
        top, bottom, left, right = map(float, words)
    except (OSError, ValueError) as error:
        raise UserError(
            f'The face text {path} is not four numbers "top bottom left right" '
            f"({str(error)[:100]}); mend it or remove it (a frame without one has no face)."
        ) from error
    if not (np.isfinite([top, bottom, left, right]).all() and bottom >= top and right >= left):
        raise UserError(
            f"The face text {path} is not a box: top {top:g}, bottom {bottom:g}, left {left:g}, "
            f"right {right:g}; mend it or remove it."
        )
    return top, left, bottom, right


def read_face_texts(folder: Path, count: int) -> Float32[np.ndarray, "{count} 4"]:
    """Boxes (top, left, bottom, right) from a folder of face texts, in order of their numbers.
    Raises UserError where there is another number of them."""
    folder = Path(folder)
    files = in_order(entries(folder, "*.txt")) if folder.is_dir() else []
    if len(files) != count:
        raise UserError(
            f"The folder {folder} holds {len(files)} face texts (*.txt) for {count} pose pictures; "
            "give one for each."
        )
    return np.array([read_face_text(file) for file in files], np.float32).reshape(-1, 4)


def face_text(box: Real[np.ndarray, "4"]) -> str:
    """The line for a box (top, left, bottom, right): a square of whole pixels, as its reader needs
    it."""
    top, left, bottom, right = (float(value) for value in box)
    rows, columns = round(bottom - top), round(right - left)
    return f"{round(top)} {round(top) + rows} {round(left)} {round(left) + columns}"


def on_label(
    keypoints: Float[np.ndarray, "*n 137 3"], original: tuple[int, int], label: tuple[int, int]
) -> Float[np.ndarray, "*n 137 3"]:
    """Keypoints of original frames (height, width) in pixels of their labels (height, width)."""
    height, width = original
    scale = min(CANVAS[0] / height, CANVAS[1] / width)
    down, right = (CANVAS[0] - scale * height) / 2, (CANVAS[1] - scale * width) / 2
    canvas = skeleton.shifted(skeleton.scaled(keypoints, scale, scale), right, down)
    return skeleton.scaled(canvas, label[1] / CANVAS[1], label[0] / CANVAS[0])


def write_aspect(folder: Path, aspect: float) -> None:
    """Writes into the exported `folder` the width of a label's pixel by its height."""
    write_json(Path(folder) / EXPORTED, {"pixel_aspect": aspect})


def read_aspect(folder: Path) -> float | None:
    """What `write_aspect` wrote; None where it did not: then the labels are the whole canvas.

    Raises UserError where it is not a number above 0."""
    path = Path(folder) / EXPORTED
    if not path.is_file():
        return None
    try:
        aspect = float(json.loads(path.read_text())["pixel_aspect"])
        if not (math.isfinite(aspect) and aspect > 0):
            raise ValueError(f"pixel_aspect {aspect:g}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} does not say the shape of the pictures' pixels ({error}); export the dataset "
            "again, or remove that file where the pictures are squashed from 16:9."
        ) from error
    return aspect


def write_yml(
    folder: Path, base: str, keypoints: Float[np.ndarray, "137 3"], body: str = "body25"
) -> None:
    """Writes `base`_pose.yml, _face.yml, _hand_left.yml, _hand_right.yml of one frame.

    keypoints: in pixels of the frame that they are read for; without any, the files hold no
    person. body: "body25", or "body23", the layout of the published data (no heels)."""
    people = int((keypoints[:, 2] > 0).any())
    for part, place in PARTS.items():
        points = keypoints[place]
        if part == "pose" and body == "body23":
            points = skeleton.to_body23(keypoints)
        written = points.ravel() if people else ()
        numbers = ", ".join(f"{float(value):.9g}" for value in written)
        # Its reader needs the spaces inside the brackets.
        text = (
            f"%YAML:1.0\n---\n{part}_0: !!opencv-nd-matrix\n"
            f"   sizes: [ {people}, {len(points)}, 3 ]\n   dt: f\n   data: [ {numbers} ]\n"
        )
        write_text(Path(folder) / f"{base}_{part}.yml", text)
