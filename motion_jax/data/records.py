"""The record format: one frame and its pose a record, in ArrayRecord shards that TFDS reads.

A pose is keypoints, or a ready picture of the pose that was drawn elsewhere, or both.

A dataset is a folder with
  pose_frames-train.array_record-00000-of-00003 …   the shards, one random read a frame
  features.json, dataset_info.json                  what plain TFDS needs
  metadata.json                                     DatasetInfo: where it came from and how
metadata.json is written last: where it is, the dataset is whole. Nothing here needs TensorFlow.
"""

import bisect
import errno
import io
import json
import os
import re
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from motion_jax.data.example import read_example
from motion_jax.data.info import DatasetInfo
from motion_jax.data.plates import Plates
from motion_jax.errors import UserError
from motion_jax.files import atomic_path, check_name, write_json
from motion_jax.pose import skeleton

NAME = "pose_frames"
METADATA = "metadata.json"
JPEG_QUALITY = 95
PICTURES = ("jpeg", "png")
# What a record holds besides its pictures: type and shape.
FIELDS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "keypoints": (np.float32, (skeleton.COUNT, 3)),
    "filled": (np.bool_, (skeleton.COUNT,)),
    "face_box": (np.float32, (4,)),
    "clip": (np.int32, ()),
    "index": (np.int32, ()),
    "time": (np.float64, ()),
}


def features(
    height: int | None, width: int | None, picture: str = "jpeg", pose_picture: str | None = None
) -> Any:
    """The tfds.features.FeaturesDict of one record; None is a size that is not known yet.

    pose_picture: the format of the ready pose pictures, None where there are none.

    `time` is float64 here, but a TFRecord example holds floats in single precision: it comes back
    exact to one part in 10^7 (0.1 ms in an hour)."""
    import tensorflow_datasets as tfds

    for kind in (picture, pose_picture or picture):
        if kind not in PICTURES:
            raise ValueError(f"picture must be one of {PICTURES}, not {kind!r}")

    kinds = {"frame": picture} | ({"pose_picture": pose_picture} if pose_picture else {})
    found = {
        name: tfds.features.Image(shape=(height, width, 3), dtype=np.uint8, encoding_format=kind)
        for name, kind in kinds.items()
    }
    for name, (kind, shape) in FIELDS.items():
        tensor = tfds.features.Tensor(shape=shape, dtype=kind)
        found[name] = tensor if shape else tfds.features.Scalar(kind)
    return tfds.features.FeaturesDict(found)


def encode_picture(frame: UInt8[np.ndarray, "h w 3"], picture: str = "jpeg") -> bytes:
    """An RGB picture as the bytes of a JPEG (quality 95) or PNG."""
    bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    if picture == "jpeg":
        done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    else:
        done, data = cv2.imencode(".png", bgr)
    if not done:
        raise ValueError(f"a frame of shape {frame.shape} could not be encoded as {picture}")
    return data.tobytes()


def decode_picture(data: bytes | UInt8[np.ndarray, " n"]) -> UInt8[np.ndarray, "h w 3"] | None:
    """The RGB picture of JPEG or PNG bytes; None where they are damaged."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


def encode_example(
    example: dict[str, Any], picture: str = "jpeg", pose_picture: str | None = None
) -> dict[str, Any]:
    """The record as TFDS takes it: arrays of the right types, the pictures as encoded bytes.

    Args:
      example: frame uint8 RGB [H, W, 3]; keypoints [137, 3]; face_box [4]; clip, index, time;
        filled bool [137] (nothing filled where absent); pose_picture uint8 RGB [H, W, 3] where the
        dataset has them. A picture may be bytes that are encoded so already.
      picture, pose_picture: "jpeg" or "png"; pose_picture None: there is none.
    """
    kinds = {"frame": picture} | ({"pose_picture": pose_picture} if pose_picture else {})
    encoded = {
        name: example[name]
        if isinstance(example[name], bytes)
        else encode_picture(example[name], kind)
        for name, kind in kinds.items()
    }
    return as_features(example | encoded)


def as_features(example: dict[str, Any]) -> dict[str, Any]:
    """`encode_example` for an example whose pictures are encoded bytes already."""
    # TFDS encodes arrays with TensorFlow only; a file object of encoded bytes it takes as it is.
    names = [name for name in ("frame", "pose_picture") if name in example]
    found = {name: io.BytesIO(example[name]) for name in names}
    values = {"filled": np.zeros(skeleton.COUNT)} | example
    return found | {name: np.asarray(values[name], kind) for name, (kind, _) in FIELDS.items()}


def shard_path(folder: Path, shard: int, shards: int) -> Path:
    """Where shard number `shard` of `shards` lies in a dataset folder."""
    return Path(folder) / f"{NAME}-train.array_record-{shard:05d}-of-{shards:05d}"


class ShardWriter:
    """Writes one shard; a context manager. The file appears whole at the end, or not at all.

    Raises UserError where the disk is full or the folder cannot be written.
    """

    def __init__(
        self,
        path: Path,
        height: int,
        width: int,
        picture: str = "jpeg",
        pose_picture: str | None = None,
    ):
        from tensorflow_datasets.core import example_serializer

        self.path, self.size, self.count = Path(path), (height, width), 0
        self.picture, self.pose_picture = picture, pose_picture
        self._features = features(height, width, picture, pose_picture)
        specs = self._features.get_serialized_info()
        self._serializer = example_serializer.ExampleSerializer(specs)

    def __enter__(self) -> "ShardWriter":
        from array_record.python import array_record_module

        self._target = atomic_path(self.path)
        self._temporary = self._target.__enter__()
        # One record a chunk: any frame is one random read.
        self._writer = array_record_module.ArrayRecordWriter(str(self._temporary), "group_size:1")
        return self

    def write(self, example: dict[str, Any]) -> None:
        """One frame: see `encode_example`; pictures that are bytes are not looked into."""
        for name in ("frame", "pose_picture"):
            shape = np.shape(example.get(name, b""))
            if shape not in ((), (*self.size, 3)):
                raise ValueError(f"{self.path}: a {name} of shape {shape}, not {(*self.size, 3)}")
        encoded = encode_example(example, self.picture, self.pose_picture)
        record = self._serializer.get_tf_example(self._features.encode_example(encoded))
        # The features of an example have no order: without this each process has its own, and the
        # same frames are other bytes.
        self._writer.write(record.SerializeToString(deterministic=True))
        self.count += 1

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            self._writer.close()
            if kind is None and count_records(self._temporary) != self.count:
                raise OSError(errno.EIO, f"{self.path} did not keep what was written to it")
        except (RuntimeError, OSError) as failure:
            if kind is None:
                error = failure if isinstance(failure, OSError) else _system_error(failure)
                kind, trace = OSError, failure.__traceback__
        self._target.__exit__(kind, error, trace)
        if kind is OSError:
            raise error


def _system_error(failure: RuntimeError) -> OSError:
    """The operating system's error that ArrayRecord's message quotes."""
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EFBIG):
        if os.strerror(number) in str(failure):
            return OSError(number, os.strerror(number))
    return OSError(errno.EIO, str(failure))


def write_shard(
    path: Path,
    examples: Iterable[dict[str, Any]],
    height: int,
    width: int,
    picture: str = "jpeg",
    pose_picture: str | None = None,
) -> int:
    """Writes one shard, atomically; the number of records."""
    with ShardWriter(path, height, width, picture, pose_picture) as writer:
        for example in examples:
            writer.write(example)
    return writer.count


def count_records(path: Path) -> int:
    """Records in a shard, from its footer; 0 where it is cut short or not a shard."""
    from array_record.python import array_record_module

    try:
        reader = array_record_module.ArrayRecordReader(str(path))
        try:
            return reader.num_records()
        finally:
            reader.close()
    except RuntimeError:
        return 0


def finish_dataset(
    folder: Path, info: DatasetInfo, shard_lengths: Sequence[int], num_bytes: int | None = None
) -> None:
    """Adds the metadata to a folder whose shards lie at `shard_path(folder, i, len(lengths))`.

    num_bytes: of all shards, where they are not in that folder yet.
    Raises ValueError where clips and shards do not agree (a mistake of the caller)."""
    import tensorflow_datasets as tfds

    folder, total = Path(folder), sum(shard_lengths)
    at = 0
    for clip, _, start, length in info.clips:
        if start != at or length < 1:
            raise ValueError(f"clip {clip} starts at record {start}, expected {at}")
        at += length
    if at != total:
        raise ValueError(f"the clips have {at} records, the shards {total}")
    if num_bytes is None:
        count = len(shard_lengths)
        num_bytes = sum(shard_path(folder, n, count).stat().st_size for n in range(count))
    split = tfds.core.SplitInfo(
        name="train",
        shard_lengths=list(shard_lengths),
        num_bytes=num_bytes,
        filename_template=tfds.core.ShardedFileTemplate(
            dataset_name=NAME, split="train", filetype_suffix="array_record", data_dir=folder
        ),
    )
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=features(info.height, info.width, info.picture, info.pose_encoding),
        split_infos=[split],
        check_data=False,  # That check needs TensorFlow.
        description=f"Frames of people with their poses ({info.skeleton}), by motion_jax.",
    )
    write_json(folder / METADATA, info.to_json())


def maker(options: dict[str, Any]) -> str:
    """The verb that made a dataset with these options."""
    if "made_by" in options:
        return options["made_by"]
    return "import-data" if "layout" in options else "prepare"


def is_dataset(folder: Path) -> bool:
    """Whether the folder holds a finished dataset."""
    folder = Path(folder)
    return (folder / METADATA).is_file() and (folder / "dataset_info.json").is_file()


def open_dataset(folder: Path) -> "PoseFrames":
    """Opens a dataset; every shard is there and has its length, or a UserError names it."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"There is no dataset folder {folder}; make one with motion-jax prepare.")
    if not is_dataset(folder):
        raise UserError(
            f"{folder} is not a finished dataset (no {METADATA} or dataset_info.json in it); give "
            "the folder that motion-jax prepare VIDEO --out DATASET made."
        )
    check_name(folder, "The dataset ")
    try:
        info = DatasetInfo.from_json(json.loads((folder / METADATA).read_text()))
        splits = json.loads((folder / "dataset_info.json").read_text())["splits"]
        train = next(split for split in splits if split["name"] == "train")
        lengths = [int(length) for length in train["shardLengths"]]
    except (OSError, ValueError, KeyError, TypeError, StopIteration, RecursionError) as error:
        raise UserError(
            f"The metadata of the dataset {folder} are damaged ({error}); make it again with "
            "motion-jax prepare."
        ) from error
    return PoseFrames(folder, info, lengths)


class PoseFrames:
    """Random access to the frames of a dataset. Can be pickled (for worker processes) and read
    from several threads.

    Attributes:
      folder: the dataset's folder.
      info: DatasetInfo.
      clips: list of (first record, number of records).
      plates: the backgrounds of its clips (plates.with_plates); None: not known.
      identities: float32 [records, people], who is in each (identities.with_identities); None: not
        asked for.
    """

    def __init__(self, folder: Path, info: DatasetInfo, shard_lengths: Sequence[int]):
        self.folder, self.info = Path(folder), info
        self.plates: Plates | None = None
        self.identities: np.ndarray | None = None
        self.clips = [(start, length) for _, _, start, length in info.clips]
        self._lengths = list(shard_lengths)
        self._ends = list(np.cumsum(self._lengths, dtype=int).tolist())
        if sum(length for _, length in self.clips) != len(self):
            raise UserError(
                f"{self.folder / METADATA} lists {sum(n for _, n in self.clips)} frames and "
                f"dataset_info.json of {len(self)}; make the dataset again with motion-jax prepare."
            )
        for shard, expected in enumerate(self._lengths):
            path = self._path(shard)
            if not path.is_file():
                raise UserError(f"The shard {path} is missing; {self._remedy(shard)}")
            found = count_records(path)
            if found != expected:
                raise UserError(
                    f"The shard {path} is damaged: it has {found} of {expected} readable frames; "
                    f"{self._remedy(shard)}"
                )
        self._restore()

    def _restore(self) -> None:
        self._readers: list[Any] = [None] * len(self._lengths)
        self._lock = threading.Lock()
        self._table: dict[str, np.ndarray] | None = None
        self._posed: bool | None = None

    def __getstate__(self) -> dict[str, Any]:
        kept = ("folder", "info", "plates", "identities", "clips", "_lengths", "_ends")
        return {name: self.__dict__[name] for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._restore()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @property
    def shard_lengths(self) -> list[int]:
        """Records in each shard."""
        return list(self._lengths)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the frames."""
        return self.info.height, self.info.width

    def __getitem__(self, record: int) -> dict[str, Any]:
        """One frame: frame uint8 RGB [H, W, 3], keypoints float32 [137, 3], filled bool [137],
        face_box float32 [4], clip, index (frame number in the clip), time (seconds), and where the
        dataset has them pose_picture uint8 RGB [H, W, 3].

        Raises UserError, naming the shard, where the record is damaged."""
        example, shard = self._read(record)
        for name in self.pictures:
            picture = decode_picture(example[name])
            if picture is None or picture.shape != (*self.size, 3):
                raise UserError(
                    f"The picture of record {record} in {self._path(shard)} is damaged; "
                    f"{self._remedy(shard)}"
                )
            example[name] = picture
        return example

    @property
    def pictures(self) -> tuple[str, ...]:
        """The features of a record that are pictures."""
        return ("frame", "pose_picture") if self.info.pose_pictures else ("frame",)

    @property
    def has_keypoints(self) -> bool:
        """Whether any frame has a keypoint; where none has, poses are known only as pictures."""
        if self._posed is None:
            self._posed = bool((self.keypoints()[..., 2] > 0).any())
        return self._posed

    def encoded(self, record: int) -> dict[str, Any]:
        """One frame whose pictures are the encoded bytes, as they lie in the shard."""
        example, _ = self._read(record)
        return example | {name: example[name].tobytes() for name in self.pictures}

    def keypoints(self) -> Float32[np.ndarray, "n 137 3"]:
        """Of all frames, without decoding pictures."""
        return self._read_table()["keypoints"]

    def face_boxes(self) -> Float32[np.ndarray, "n 4"]:
        """Of all frames, without decoding pictures."""
        return self._read_table()["face_box"]

    def filled(self) -> Bool[np.ndarray, "n 137"]:
        """Keypoints that were interpolated."""
        return self._read_table()["filled"]

    def times(self) -> Float64[np.ndarray, " n"]:
        """Seconds from the start of each frame's video."""
        return self._read_table()["time"]

    def _read_table(self) -> dict[str, np.ndarray]:
        if self._table is None:
            names = ("keypoints", "face_box", "filled", "time")
            columns: dict[str, list] = {name: [] for name in names}
            for record in range(len(self)):
                example, _ = self._read(record)
                for name, column in columns.items():
                    column.append(example[name])
            self._table = {name: np.stack(column) for name, column in columns.items()}
        return self._table

    def _read(self, record: int) -> tuple[dict[str, Any], int]:
        """The record with its picture still encoded (uint8 [n]), and the number of its shard."""
        if not 0 <= record < len(self):
            raise IndexError(f"record {record} of {len(self)}")
        shard = bisect.bisect_right(self._ends, record)
        position = int(record) - (self._ends[shard] - self._lengths[shard])
        try:
            values = read_example(self._reader(shard).read([position])[0])
            example = _typed(values, self.pictures)
        except Exception as error:  # ArrayRecord and protobuf raise errors of several kinds.
            raise UserError(
                f"The shard {self._path(shard)} is damaged at its record {position} "
                f"({_first_words(error)}); {self._remedy(shard)}"
            ) from error
        return example, shard

    def _reader(self, shard: int) -> Any:
        with self._lock:
            if self._readers[shard] is None:
                from array_record.python import array_record_module

                self._readers[shard] = array_record_module.ArrayRecordReader(str(self._path(shard)))
            return self._readers[shard]

    def _path(self, shard: int) -> Path:
        return shard_path(self.folder, shard, len(self._lengths))

    def _remedy(self, shard: int) -> str:
        verb = maker(self.info.options)
        return f"delete that file if it is there and run the same motion-jax {verb} command again."

    def close(self) -> None:
        """Closes the shards; reading opens them again."""
        with self._lock:
            for reader in self._readers:
                if reader is not None:
                    reader.close()
            self._readers = [None] * len(self._lengths)


def _typed(values: dict[str, Any], pictures: tuple[str, ...]) -> dict[str, Any]:
    """The features of a record with the types and shapes of FIELDS, the pictures encoded."""
    found = {name: values[name][0] for name in pictures}
    # [()] makes a scalar of an array without axes and leaves others alone.
    return found | {
        name: np.array(values[name], kind).reshape(shape)[()]
        for name, (kind, shape) in FIELDS.items()
    }


def _first_words(error: Exception) -> str:
    """The beginning of a library's message, up to its first bracket or semicolon."""
    words = re.split(r"[;(\n]", str(error), maxsplit=1)[0].strip()
    return words or type(error).__name__
