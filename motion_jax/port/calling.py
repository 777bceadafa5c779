"""How an exported generator is called, written beside it as JSON for people and programs without
this package."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax

from motion_jax import __version__

FROM_FRAME = "uint8 = round((frame + 1) * 127.5), clipped to 0...255"


def picture(name: str, layout: str, size: tuple[Any, Any], low: float, what: str) -> dict[str, Any]:
    """One input or output; layout "NCHW" or "NHWC"; size (height, width), numbers or names."""
    height, width = size
    shape = ["batch", 3, height, width] if layout == "NCHW" else ["batch", height, width, 3]
    return {
        "name": name,
        "shape": shape,
        "layout": layout,
        "dtype": "float32",
        "range": [low, 1.0],
        "meaning": what,
    }


POSE = "pose picture, RGB, white ground = 1 (uint8 / 255)"
PREVIOUS = (
    "the frame that the call before returned, unchanged (where a face generator is used: after its "
    "residual was added); zeros for the first frame of a video and after a cut"
)
FRAME = f"the frame, RGB; {FROM_FRAME}"


def recurrent_generator(layout: str, size: tuple[Any, Any]) -> dict[str, Any]:
    """pose, previous -> frame."""
    return {
        "inputs": [
            picture("pose", layout, size, 0.0, POSE),
            picture("previous", layout, size, -1.0, PREVIOUS),
        ],
        "outputs": [picture("frame", layout, size, -1.0, FRAME)],
    }


def face_generator(layout: str, size: int, clamp: bool) -> dict[str, Any]:
    """pose_crop, frame_crop -> residual."""
    square = (size, size)
    after = ", clipped to [-1, 1]" if clamp else ""
    return {
        "inputs": [
            picture("pose_crop", layout, square, 0.0, "square of the pose picture at the face"),
            picture("frame_crop", layout, square, -1.0, "the same square of the generator's frame"),
        ],
        "outputs": [picture("residual", layout, square, -1.0, "what the square lacks")],
        "crop": {
            "size": size,
            "corner": "top and left of the square: faces in the poses.json of motion-jax transfer "
            "--pose-pictures; where it is null the face generator is left out",
        },
        "use": f"frame[corner] = frame_crop + residual{after}; then it is shown and is the next "
        "call's previous",
    }


MATTE = (
    "the person, RGB, and as the fourth channel the matte; alpha = (matte + 1) / 2; laid over a "
    "background of the same range: picture = alpha * RGB + (1 - alpha) * background, and "
    "uint8 = round((picture + 1) * 127.5), clipped to 0...255"
)
CUT_OUT = (
    "alpha * RGB of what the call before returned (where a face generator is used: after its "
    "residual was added to the RGB); zeros for the first frame of a video and after a cut"
)


def with_matte(convention: dict[str, Any]) -> dict[str, Any]:
    """How the generator of a run with a background plate is called: four channels come out, and the
    person before grey goes in."""
    meanings = {"previous": CUT_OUT, "frame_crop": "the same square of alpha * RGB"}
    inputs = [
        entry | ({"meaning": meanings[entry["name"]]} if entry["name"] in meanings else {})
        for entry in convention["inputs"]
    ]
    outputs = []
    for entry in convention["outputs"]:
        if entry["name"] == "frame":
            shape = list(entry["shape"])
            shape[1 if entry["layout"] == "NCHW" else 3] = 4
            entry = entry | {"shape": shape, "meaning": MATTE}
        outputs.append(entry)
    found = convention | {"inputs": inputs, "outputs": outputs}
    if "use" in found:
        found["use"] = "RGB[corner] = RGB[corner] + residual; the matte stays"
    return found


def in_area(
    convention: dict[str, Any], size: tuple[int, int], frame: tuple[int, int]
) -> dict[str, Any]:
    """How the generator of a run that draws an area around the person is called.

    size, frame: (height, width) of the area and of the frame.
    """
    area = {
        "height": size[0],
        "width": size[1],
        "frame": {"height": frame[0], "width": frame[1]},
        "use": "every picture here is the area of a frame; its corner (top, left) is in the "
        "areas of the poses.json of motion-jax transfer --pose-pictures, whose pictures are whole: "
        "what comes out is laid over the background there",
    }
    return convention | {"area": area}


def one_picture(layout: str, size: tuple[Any, Any], what: str) -> dict[str, Any]:
    """picture -> frame; what: the kind of picture."""
    meaning = f"{what}, RGB (uint8 / 127.5 - 1)"
    return {
        "inputs": [picture("picture", layout, size, -1.0, meaning)],
        "outputs": [picture("frame", layout, size, -1.0, FRAME)],
    }


def plain_network(
    layout: str, channels: int, outputs: int, size: tuple[Any, Any]
) -> dict[str, Any]:
    """input -> output, of a network whose channels have no known meaning."""

    def entry(name: str, count: int) -> dict[str, Any]:
        found = picture(name, layout, size, -1.0, f"{count} channels, as the original has them")
        found["shape"][1 if layout == "NCHW" else 3] = count
        return found

    return {"inputs": [entry("input", channels)], "outputs": [entry("output", outputs)]}


def any_network(inputs: tuple[Any, ...]) -> dict[str, Any]:
    """Of a network whose arguments are any pytrees: their arrays, one after the other, each named
    by its place among the arguments.

    inputs: examples, as recipes.network.Network has them.
    """
    leaves = jax.tree_util.tree_flatten_with_path(inputs)[0]
    return {
        "inputs": [
            {
                "name": jax.tree_util.keystr(path),
                "shape": ["batch", *leaf.shape[1:]],
                "dtype": str(leaf.dtype),
            }
            for path, leaf in leaves
        ],
        "outputs": "the arrays of the network's result, one after the other, each with a batch",
    }


def about_run(run: Any, weights: str) -> dict[str, Any]:
    """Where exported weights came from."""
    about = {
        "run": run.name,
        "stage": run.stage,
        "step": run.step,
        "weights": weights,
        "motion_jax": __version__,
        "height": run.size[0],
        "width": run.size[1],
    }
    style = getattr(run.config.recipe, "pose_style", None)
    return about | ({"pose_style": dataclasses.asdict(style)} if style is not None else {})


def channels(convention: Mapping[str, Any]) -> dict[str, int]:
    """Names and channels of the inputs."""
    return {
        entry["name"]: entry["shape"][1 if entry["layout"] == "NCHW" else 3]
        for entry in convention["inputs"]
    }
