"""The classic TFDS builder of pose_frames: the same records through TFDS's own machinery.

`motion-jax prepare` writes the same shards, faster (in parallel, resumable). This builder is for
data that is kept in TFDS: it puts a prepared folder, or videos that it prepares first, into TFDS's
data_dir with versions and checksums. It needs no TensorFlow (the `tfds` command does):

    builder = motion_jax.data.tfds_builder.load_builder()(
        data_dir="~/tensorflow_datasets", prepared="data/dancer")
    builder.download_and_prepare()
    builder.as_data_source("train")[0]["keypoints"]

or `tfds build datasets/pose_frames --manual_dir data/dancer` where TensorFlow is installed. The
folder that it makes can be given to `motion-jax train --data` as well.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from motion_jax.data import records
from motion_jax.errors import UserError


class PoseFrames(tfds.core.GeneratorBasedBuilder):
    """Frames of people with their poses. See motion_jax/data/records.py for the record.

    Args:
      prepared: a folder made by `motion-jax prepare` or `import-data`; its pictures are copied as
        they are.
      videos: instead, videos to prepare first.
      options: further fields of motion_jax.data.prepare_options.PrepareOptions, for videos.
      **kwargs: of every TFDS builder (data_dir, ...).
    Without `prepared` and `videos` the folder is TFDS's `manual_dir`.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Frame, 137 keypoints, face box, clip, index, time."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Give as manual_dir a folder that `motion-jax prepare VIDEO --out FOLDER` made."
    )

    def __init__(
        self,
        *,
        prepared: Path | str | None = None,
        videos: Sequence[Path | str] = (),
        options: dict[str, Any] | None = None,
        **kwargs: Any,
    ):
        if prepared is not None and videos:
            raise UserError("Give a prepared folder or videos to pose_frames, not both.")
        self._prepared = None if prepared is None else Path(prepared)
        self._videos, self._options = tuple(Path(video) for video in videos), dict(options or {})
        super().__init__(file_format="array_record", **kwargs)

    @property
    def manual_download_instructions(self) -> str | None:
        # TFDS demands a manual_dir of builders that have instructions.
        if self._prepared is not None or self._videos:
            return None
        return self.MANUAL_DOWNLOAD_INSTRUCTIONS

    def _info(self) -> tfds.core.DatasetInfo:
        height = width = ready = None
        picture = "jpeg"
        if self._prepared is not None:
            info = records.open_dataset(self._prepared).info
            height, width, picture = info.height, info.width, info.picture
            ready = info.pose_encoding
        return tfds.core.DatasetInfo(
            builder=self,
            description="Frames of people with their poses, by motion_jax.",
            features=records.features(height, width, picture, ready),
            disable_shuffling=True,  # clips stay together, in order of time
            # TFDS writes this as metadata.json, where motion_jax looks for it.
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        return {"train": self._generate_examples(dl_manager)}

    def _generate_examples(self, dl_manager: Any) -> Iterator[tuple[int, dict[str, Any]]]:
        if self._videos:
            from motion_jax.data.prepare import prepare
            from motion_jax.data.prepare_options import PrepareOptions

            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / records.NAME
                prepare(PrepareOptions(videos=self._videos, out=out, **self._options))
                yield from self._repack(records.open_dataset(out))
        else:
            folder = self._prepared or Path(dl_manager.manual_dir)
            yield from self._repack(records.open_dataset(folder))

    def _repack(self, dataset: records.PoseFrames) -> Iterator[tuple[int, dict[str, Any]]]:
        self.info.metadata.update(dataset.info.to_json())
        for record in range(len(dataset)):
            yield record, records.as_features(dataset.encoded(record))
        dataset.close()
