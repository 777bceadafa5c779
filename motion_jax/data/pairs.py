"""Training batches of a dataset: windows of T consecutive frames, in an order that is a pure
function of (seed, global index) and does not depend on the number of processes and workers.

The state of the input is one integer, the number of examples drawn by all processes together: a run
that continues asks for `start=` that number and gets what would have come next.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, Int, Int64

from motion_jax.data.augment import AugmentConfig, augment, cut
from motion_jax.data.batches import Batches
from motion_jax.data.fitting import Box, in_frame
from motion_jax.data.published_clips import person_of
from motion_jax.data.records import PoseFrames
from motion_jax.errors import UserError, option
from motion_jax.memory import keep_freed_memory
from motion_jax.pose import skeleton

# Decoded frames are kept in memory where all of them, at the size asked for, fit into this many
# bytes (of all workers together): decoding JPEG is most of the work of reading.
CACHE_BYTES = 1 << 30

# Frame, keypoints, face box, ready pose picture, plate.
Row = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]


def stretches(
    dataset: PoseFrames,
    holdout: float,
    part: str,
    domain: str | None = None,
    person: str | None = None,
) -> list[tuple[int, int]]:
    """The runs of consecutive frames of one part: list of (first record, number of records).

    Args:
      holdout: share of each clip, its end by time, that is held out of training; 0...1. It does not
        count where the dataset itself marks clips as held out (imported test_* folders): those are
        held out whole, and nothing else is.
      part: "train" (each clip's beginning), "heldout" (its end) or "all".
      domain: "A" or "B": only clips of sources of that domain (unpaired datasets); None: all.
      person: only clips of that person, by the names of the sources (published_clips.person_of);
        None: of all.
    """
    if part not in ("train", "heldout", "all"):
        raise ValueError(f'part must be "train", "heldout" or "all", not {part!r}')
    if not 0 <= holdout <= 1:
        raise ValueError(f"holdout is a share from 0 to 1, not {holdout}")
    result, marked = [], set(dataset.info.held_out)
    for clip, source, start, length in dataset.info.clips:
        if domain is not None and dataset.info.sources[source].get("domain") != domain:
            continue
        if person is not None and person_of(dataset.info.sources[source]["file"]) != person:
            continue
        held = round(length * holdout)
        if marked:
            held = length if clip in marked else 0
        first, count = {
            "train": (start, length - held),
            "heldout": (start + length - held, held),
            "all": (start, length),
        }[part]
        if count > 0:
            result.append((first, count))
    return result


def records_of(runs: Sequence[tuple[int, int]]) -> Int64[np.ndarray, " k"]:
    """All records of runs (first record, number of records), in their order."""
    records = [np.arange(first, first + count, dtype=np.int64) for first, count in runs]
    return np.concatenate([np.zeros(0, np.int64), *records])


def windows(
    dataset: PoseFrames, length: int, holdout: float, part: str = "train"
) -> Int64[np.ndarray, " k"]:
    """First records of all windows of `length` consecutive frames of a part.

    No window reaches across clips (cuts, gaps) or from one part into the other; a run that is
    shorter than a window has none."""
    runs = stretches(dataset, holdout, part)
    return records_of([(first, max(count - length + 1, 0)) for first, count in runs])


def reduction(dataset: PoseFrames, height: int, width: int, crop: bool = False) -> int:
    """The whole number by which the dataset's frames are divided to be height x width.

    crop: height x width is cut out of the frames, which are not made smaller.
    Raises UserError for a size that is not the dataset's or a whole fraction of it, or with `crop`
    one that is larger."""
    have_height, have_width = dataset.size
    if crop:
        if height > have_height or width > have_width or min(height, width) < 1:
            raise UserError(
                f"The dataset {dataset.folder} has frames of {have_width}x{have_height}, from "
                f"which {width}x{height} cannot be cut; choose a smaller size in the config or "
                "switch data.augment.crop off."
            )
        return 1
    factor = have_height // height if height > 0 else 0
    if factor < 1 or (height * factor, width * factor) != dataset.size:
        raise UserError(
            f"The dataset {dataset.folder} has frames of {have_width}x{have_height}, the config "
            f"wants {width}x{height}, which is not that size or a whole fraction of it; prepare "
            f"the dataset again with {option('size')} {width}x{height} or change the config's "
            "size (--recipe.STAGE-stage.height and .width, STAGE being main, local or another; of "
            f"imported weights: motion-jax import again, with {option('data')} or "
            f"{option('size')})."
        )
    return factor


class Frames:
    """The dataset's frames at a training size, kept in memory where they fit. Random access,
    thread-safe, and can be pickled (without what it keeps).

    crop: height x width is cut out of the frames at their own scale: at a random place in training
    (`augment`), in the middle elsewhere. Without, the frames are made smaller by `factor`.
    followed: plates lie in each frame as the camera saw them there (see plates.Plates).
    """

    def __init__(
        self,
        dataset: PoseFrames,
        height: int,
        width: int,
        cache_bytes: int = 0,
        crop: bool = False,
        followed: bool = False,
    ):
        self.dataset, self.height, self.width, self.crop = dataset, height, width, crop
        self.factor = reduction(dataset, height, width, crop)
        rows, columns = (side // self.factor for side in dataset.size)
        self._followed = followed
        self._plates = dataset.plates and dataset.plates.resized(rows, columns)
        own = self._plates is not None and followed and self._plates.follows
        each = rows * columns * 3 * (len(dataset.pictures) + own)
        self._keeps = len(dataset) * each <= cache_bytes
        self._kept: dict[int, Row] = {}
        nearest = dataset.info.pose_interpolation == "nearest"
        # The exact one takes the pixel in the middle, as Pillow does.
        self._pose_resize = cv2.INTER_NEAREST_EXACT if nearest else cv2.INTER_AREA

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": {}}

    def read(self, record: int) -> Row:
        """(frame uint8 [H, W, 3], keypoints float32 [137, 3], face box float32 [4], pose picture
        uint8 [H, W, 3] or None, plate likewise) in pixels of the training size (with `crop`: whole
        frames)."""
        if (kept := self._kept.get(record)) is not None:
            return kept
        example = self.dataset[record]
        frame, keypoints, box = (example[name] for name in ("frame", "keypoints", "face_box"))
        pose = example.get("pose_picture")
        if self.factor > 1:
            size = self.width, self.height
            frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
            keypoints = keypoints / np.array([self.factor, self.factor, 1], np.float32)
            box = box / np.float32(self.factor)
            if pose is not None:
                pose = cv2.resize(pose, size, interpolation=self._pose_resize)
        plate = None if self._plates is None else self._plates.of(record, self._followed)
        row = frame, keypoints, box, pose, plate
        return self._kept.setdefault(record, row) if self._keeps else row

    @property
    def whole(self) -> tuple[int, int]:
        """(height, width) of what `read` gives."""
        return self.dataset.size if self.crop else (self.height, self.width)

    def points(
        self, records: Int[np.ndarray, "*n"]
    ) -> tuple[Float32[np.ndarray, "*n 137 3"], Float32[np.ndarray, "*n 4"]]:
        """Keypoints and face boxes as `read` gives them, without decoding pictures."""
        factor = np.float32(self.factor)
        keypoints = self.dataset.keypoints()[records] / np.array([factor, factor, 1], np.float32)
        return keypoints, self.dataset.face_boxes()[records] / factor

    def window(self, start: int, length: int) -> dict[str, np.ndarray]:
        """frames uint8 [T, H, W, 3], keypoints float32 [T, 137, 3], face_boxes float32 [T, 4], and
        where the dataset has them pose_pictures and plates uint8 [T, H, W, 3]."""
        batch = self.batch(np.arange(start, start + length)[None])
        return {name: values[0] for name, values in batch.items()}

    def batch(
        self, windows: Int[np.ndarray, "b t"], change: Callable[[int, Any], Any] | None = None
    ) -> dict[str, np.ndarray]:
        """Several windows: frames uint8 [B, T, H, W, 3] and so on.

        Args:
          windows: the records of each.
          change: (number in the batch, window) -> window; None leaves them as they are. With `crop`
            it is given whole frames and makes them height x width.
        """
        batch = self._empty(*windows.shape)
        for number, records in enumerate(windows.tolist()):
            # Each picture is decoded and then copied once, to where the batch wants it.
            window = {name: values[number] for name, values in batch.items()}
            if self.crop:
                whole = self._empty(len(records), size=self.dataset.size)
                self._fill(whole, records)
                if change is None:
                    changed = cut(whole, self.height, self.width)
                else:
                    changed = change(number, whole)
            else:
                self._fill(window, records)
                changed = {} if change is None else change(number, window)
            for name, values in changed.items():
                window[name][...] = values
        if self.dataset.identities is not None:
            batch["identities"] = self.dataset.identities[windows]
        return batch

    def _empty(self, *shape: int, size: tuple[int, int] | None = None) -> dict[str, np.ndarray]:
        height, width = size or (self.height, self.width)
        empty: dict[str, np.ndarray] = {
            "frames": np.empty((*shape, height, width, 3), np.uint8),
            "keypoints": np.empty((*shape, skeleton.COUNT, 3), np.float32),
            "face_boxes": np.empty((*shape, 4), np.float32),
        }
        if self.dataset.info.pose_pictures:
            empty["pose_pictures"] = np.empty((*shape, height, width, 3), np.uint8)
        if self._plates is not None:
            empty["plates"] = np.empty((*shape, height, width, 3), np.uint8)
        return empty

    def _fill(self, window: dict[str, np.ndarray], records: Sequence[int]) -> None:
        for i, record in enumerate(records):
            frame, keypoints, box, pose, plate = self.read(record)
            window["frames"][i] = frame
            window["keypoints"][i] = keypoints
            window["face_boxes"][i] = box
            if pose is not None:
                window["pose_pictures"][i] = pose
            if plate is not None:
                window["plates"][i] = plate


class Load:
    """Grain's map from (global indices [B], numbers of examples [B]) to the batch itself; all
    randomness comes from (seed, global index) alone.

    Attributes:
      starts: the first record of each example of a pass over the data, int64 [K].
    """

    def __init__(
        self,
        frames: Frames,
        starts: Int64[np.ndarray, " k"],
        config: AugmentConfig,
        seed: int,
        length: int = 1,
    ):
        self.frames, self.starts, self.length = frames, starts, length
        self.config, self.seed = config, seed

    def __call__(self, examples: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
        indices, numbers = examples
        keep_freed_memory()  # Here, because it concerns worker processes too.

        size = self.frames.height, self.frames.width

        def change(number: int, window: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            random = np.random.default_rng((self.seed, int(indices[number])))
            return augment(window, self.config, random, size)

        records = self.records(indices, numbers)
        return self.frames.batch(records, change if self.config.active else None)

    def records(
        self, indices: Int[np.ndarray, " b"], numbers: Int[np.ndarray, " b"]
    ) -> Int64[np.ndarray, "b t"]:
        """Of each example its records."""
        return self.starts[numbers][:, None] + np.arange(self.length)

    def __repr__(self) -> str:
        # Grain names its worker's stages by this.
        name = type(self).__name__
        return f"{name}({self.frames.dataset.folder.name}, {len(self.starts)} x {self.length})"


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """How batches are drawn and read, for every kind of example.

    Attributes:
      height, width: of the frames given; the dataset's size or a whole fraction of it, or with
        `augment.crop` what is cut out of the dataset's frames.
      batch_size: examples in a batch, of all processes together.
      seed: of the order and of all that is drawn; each pass over the data has its own order.
      augment: how examples are varied.
      workers: processes that read and decode; 0 does it in threads of this process, which is
        better for data that fits into `cache_bytes`.
      start: examples already drawn, the `position` of an earlier iterator.
      rows: of each batch, the examples that are read here: a process's share (mesh.data_rows).
        None: all of them.
      cache_bytes: decoded frames are kept in memory where they fit into this many bytes.
    """

    height: int
    width: int
    batch_size: int
    seed: int
    augment: AugmentConfig = AugmentConfig()
    workers: int = 0
    start: int = 0
    rows: Sequence[int] | None = None
    cache_bytes: int = CACHE_BYTES

    def frames(self, dataset: PoseFrames, datasets: int = 1) -> Frames:
        """A dataset's frames at the size; `datasets` of them share the memory.

        Raises UserError for a size that does not fit."""
        share = self.cache_bytes // (datasets * max(self.workers, 1))
        return Frames(dataset, self.height, self.width, share, self.augment.crop, followed=True)

    def batches(self, load: Any) -> Batches:
        """Endless batches of what `load` makes (see Batches)."""
        return Batches(
            load,
            batch_size=self.batch_size,
            workers=self.workers,
            start=self.start,
            rows=self.rows,
        )


def batches(dataset: PoseFrames, *, window: int, holdout: float, **settings: Any) -> Batches:
    """Endless shuffled batches of windows from the training part.

    Args:
      dataset: where the frames come from.
      window: frames in a window (T), which is an example.
      holdout: share of each clip, its end, that is kept out of training.
      **settings: see BatchSettings.
    Returns:
      Batches: each a dict of frames uint8 [B, T, H, W, 3], keypoints float32 [B, T, 137, 3] in
      pixels of the size given, face_boxes float32 [B, T, 4], and for a dataset of ready pose
      pictures pose_pictures uint8 [B, T, H, W, 3]; B is batch_size, or the number of rows.
    Raises:
      UserError: no clip is as long as a window, a size that does not fit; while iterating, a
        damaged shard.
    """
    common = BatchSettings(**settings)
    frames = common.frames(dataset)
    starts = training_windows(dataset, window, holdout)
    return common.batches(Load(frames, starts, common.augment, common.seed, window))


def training_windows(dataset: PoseFrames, window: int, holdout: float) -> Int64[np.ndarray, " k"]:
    """First records of the windows that are trained on. Raises UserError where there are none."""
    starts = windows(dataset, window, holdout)
    if not len(starts):
        longest = max((count for _, count in stretches(dataset, holdout, "train")), default=0)
        raise UserError(
            f"The source is shorter than needed: training needs {window} consecutive frames, the "
            f"longest clip of {dataset.folder} leaves {longest} for training; prepare a longer "
            "video, hold out less, or use a shorter window."
        )
    return starts


def one_box(frames: Frames) -> Box | None:
    """Where in the pictures of `frames` the letterboxed picture is; None where it fills them or
    where records differ."""
    box = frames.dataset.info.one_content
    if box is None:
        return None
    return in_frame(box, frames.dataset.size, (frames.height, frames.width), frames.crop)


def limit(held: list[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """Shortens every stretch by the same share, so that together they have at most `most` frames;
    where there are more stretches than frames, the last ones are left out."""
    total = sum(count for _, count in held)
    if total <= most:
        return held
    shares = [count * most // total for _, count in held]
    for i in range(len(held)):
        if sum(shares) < most and shares[i] < held[i][1]:
            shares[i] += 1
    return [(first, share) for (first, _), share in zip(held, shares, strict=True) if share]
