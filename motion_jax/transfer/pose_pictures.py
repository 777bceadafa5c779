"""The pose pictures of a transfer as files, for programs that run an exported generator."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from motion_jax.data.records import encode_picture
from motion_jax.errors import UserError, option
from motion_jax.files import check_writable, write_bytes, write_json
from motion_jax.pose import long_arrays
from motion_jax.pose.pose_pictures import drawn
from motion_jax.pose.ready import ReadyPoses
from motion_jax.progress import track
from motion_jax.recipes.crops import crop_corners
from motion_jax.train.run import Run

DESCRIPTION = "poses.json"


def write_pose_pictures(
    folder: Path,
    run: Run,
    poses: np.ndarray | ReadyPoses,
    boxes: Float[np.ndarray, "n 4"],
    lost: Bool[np.ndarray, " n"],
    times: Float[np.ndarray, " n"],
) -> None:
    """Writes 000000.png ... (8-bit RGB) and poses.json.

    poses.json: height, width; times (seconds); lost: numbers of the frames without a pose (white
    pictures; start with zeros again after them); faces: for each frame [top, left] of the square
    that a face generator gets, or null where no face is seen, and face_size, where the run has one;
    areas: for each frame [top, left] of the area around the person, or null, and area_size [height,
    width], where the run draws areas.

    Args:
      folder: made if need be.
      run: its size and config say how poses are drawn.
      poses, boxes, lost, times: of a `source.Clip`, or ready pictures; N of each.

    Raises UserError for a folder that holds poses or cannot be written, and for a run that is shown
    more than drawn poses.
    """
    check_writable(folder)
    if (folder / DESCRIPTION).exists():
        raise UserError(f"{folder} holds pose pictures already; choose another folder.")
    height, width = run.size
    recipe: Any = run.config.recipe  # one that draws poses
    if len(recipe.shows) > 1:
        raise UserError(
            f"{option('pose_pictures')} writes only drawn poses, and the run is shown other "
            "channels, too (recipe.conditions); leave it out."
        )

    @jax.jit
    def picture(pose: jax.Array) -> jax.Array:
        shown = drawn(pose, recipe.pose_style, height, width)
        return jnp.clip(jnp.round(255.0 * shown), 0, 255).astype(jnp.uint8)

    white = np.full((height, width, 3), 255, np.uint8)
    for i in track(range(len(poses)), "Writing pose pictures"):
        shown = white if lost[i] else np.asarray(picture(poses[i]))
        write_bytes(folder / f"{i:06d}.png", encode_picture(shown, "png"))
        if i % long_arrays.WINDOW == 0:
            long_arrays.release(poses)
    about = {
        "frames": len(poses),
        "height": height,
        "width": width,
        "times": [float(time) for time in times],
        "lost": [int(i) for i in np.flatnonzero(lost)],
    }
    place = np.zeros((len(poses), 2), np.float32)
    if getattr(recipe, "in_areas", False):
        place = np.asarray(recipe.place_of(jnp.asarray(poses)[:, None], run.stage))
        height, width = recipe.drawn_size(run.stage)
        areas = [None if gone else at.tolist() for at, gone in zip(place, lost, strict=True)]
        about |= {"area_size": [height, width], "areas": areas}
    if "face_generator" in run.params:
        size = recipe.networks(run.stage)["face_generator"].inputs[0].shape[1]
        shifted = jnp.asarray(boxes - np.concatenate([place, place], -1))
        corners, seen = map(np.asarray, crop_corners(shifted, size, height, width))
        corners = corners + place.astype(int)
        faces = [
            corner.tolist() if here else None for corner, here in zip(corners, seen, strict=True)
        ]
        about |= {"face_size": size, "faces": faces}
    write_json(folder / DESCRIPTION, about)
