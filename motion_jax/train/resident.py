"""Training pictures that stay in the memory of the devices: a batch is taken from them there, and
this computer hands over which pictures it has (data/numbered.py)."""

import functools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float32, Int32, Shaped, UInt8

from motion_jax.data.augment import COLOURED
from motion_jax.data.batches import MOST_THREADS
from motion_jax.data.numbered import COLOUR_UNITS, Numbered
from motion_jax.devices import mesh as meshes
from motion_jax.workers import worker_count

# What Numbered makes that is part of a batch as it is.
POINTS = ("keypoints", "face_boxes", "identities")
# Pictures that are decoded and handed over together.
TOGETHER = 64


class Resident:
    """The pictures of `load`'s training part on every device of a mesh.

    They are read when it is made. Raises UserError for a damaged shard.
    """

    def __init__(self, load: Numbered, mesh: Mesh):
        self._pictures = _on_devices(load, mesh)
        self._program = program(mesh)

    def batch(self, placed: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """What pairs.batches makes, as mesh.place lays it; placed: what `load` makes, laid out by
        mesh.place."""
        return self._program(self._pictures, placed)


def bytes_needed(load: Numbered) -> int:
    """Of each device's memory, by the pictures of `load`."""
    height, width = load.frames.whole
    dataset = load.frames.dataset
    pictures = len(load.kept) * len(dataset.pictures)
    if dataset.plates is not None:
        pictures += len(dataset.plates.pictures) if load.plates_stand else len(load.kept)
    return pictures * height * width * 3


def _on_devices(load: Numbered, mesh: Mesh) -> dict[str, UInt8[Array, "n h w 3"]]:
    height, width = load.frames.whole
    everywhere = meshes.replicated(mesh)
    result: dict[str, jax.Array] = {}

    def empty(count: int) -> jax.Array:
        zeros = jax.jit(
            lambda: jnp.zeros((count, height, width, 3), jnp.uint8), out_shardings=everywhere
        )
        return zeros()

    @functools.partial(jax.jit, donate_argnums=0, out_shardings=everywhere)
    def filled(whole: jax.Array, piece: jax.Array, at: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice_in_dim(whole, piece, at, axis=0)

    def handed(array: np.ndarray) -> jax.Array:
        return jax.make_array_from_process_local_data(everywhere, array, array.shape)

    for first, pieces in _decoded(load):
        for name, piece in pieces.items():
            if name not in result:
                result[name] = empty(len(load.kept))
            result[name] = filled(result[name], handed(piece), np.int32(first))
    if load.plates_stand:
        assert load.frames.dataset.plates is not None
        result["plates"] = handed(load.frames.dataset.plates.resized(height, width).pictures)
    return result


def _decoded(load: Numbered) -> Iterator[tuple[int, dict[str, UInt8[np.ndarray, "n h w 3"]]]]:
    """(place of the first, pictures by name) of the records that training sees, a piece at a
    time."""
    plated = load.frames.dataset.plates is not None and not load.plates_stand
    with ThreadPoolExecutor(min(worker_count(None), MOST_THREADS)) as threads:
        for first in range(0, len(load.kept), TOGETHER):
            records = load.kept[first : first + TOGETHER].tolist()
            rows = list(threads.map(load.frames.read, records))
            pieces = {"frames": np.stack([row[0] for row in rows])}
            poses = [row[3] for row in rows if row[3] is not None]
            if poses:
                pieces["pose_pictures"] = np.stack(poses)
            if plated:
                pieces["plates"] = np.stack([row[4] for row in rows if row[4] is not None])
            yield first, pieces


def program(mesh: Mesh) -> jax.stages.Wrapped:
    """The jitted (pictures, what Numbered makes) -> batch, as mesh.place lays it."""

    def made(pictures: dict[str, jax.Array], given: dict[str, jax.Array]) -> dict[str, jax.Array]:
        batch = batch_of(pictures, given)
        return jax.lax.with_sharding_constraint(batch, meshes.over_batch(mesh, batch))

    return jax.jit(made)


def batch_of(
    pictures: dict[str, UInt8[Array, "n h w 3"]], given: dict[str, Shaped[Array, "b ..."]]
) -> dict[str, Shaped[Array, "b ..."]]:
    """The batch of pairs.batches. pictures: all of them, by name; given: what Numbered makes."""
    batch: dict[str, jax.Array] = {name: given[name] for name in POINTS if name in given}
    for name, kept in pictures.items():
        stand = name == "plates" and "plate_numbers" in given
        taken = kept[given["plate_numbers" if stand else "numbers"]]
        if "rows" in given:
            taken = jax.vmap(moved)(
                taken,
                given["rows"],
                given["rows_share"],
                given["columns"],
                given["columns_share"],
            )
        if "colours" in given and name in COLOURED:
            taken = jax.vmap(coloured)(taken, given["colours"])
        batch[name] = taken
    return batch


def moved(
    frames: UInt8[Array, "t h w 3"],
    rows: Int32[Array, "2 a"],
    rows_share: Float32[Array, " a"],
    columns: Int32[Array, "2 b"],
    columns_share: Float32[Array, " b"],
) -> UInt8[Array, "t a b 3"]:
    """Frames interpolated between the given rows and columns, as augment.move_frames with
    OpenCV but for rounding: at most one grey level."""
    values = frames[:, rows].astype(jnp.float32)  # [T, 2, A, W, 3]
    between = values[:, 0] + (values[:, 1] - values[:, 0]) * rows_share[:, None, None]
    values = between[:, :, columns]  # [T, A, 2, B, 3]
    across = values[:, :, 1] - values[:, :, 0]
    return _levels(values[:, :, 0] + across * columns_share[:, None])


def coloured(
    frames: UInt8[Array, "t h w 3"], matrix: Int32[Array, "3 4"]
) -> UInt8[Array, "t h w 3"]:
    """Frames under an affine map of RGB in units of 1 / COLOUR_UNITS, as augment.colour with
    OpenCV, whose vectors reckon so; what they leave over may differ by one grey level."""
    values = frames.astype(jnp.int32)
    mixed = sum(values[..., i : i + 1] * matrix[:, i] for i in range(3)) + matrix[:, 3]
    nearest = (mixed + COLOUR_UNITS // 2) // COLOUR_UNITS
    return jnp.clip(nearest, 0, 255).astype(jnp.uint8)


def _levels(values: Float32[Array, "*n"]) -> UInt8[Array, "*n"]:
    return jnp.clip(jnp.rint(values), 0, 255).astype(jnp.uint8)
