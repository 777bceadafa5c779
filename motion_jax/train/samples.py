"""Sample grids and short videos of the same held-out poses, at intervals.

The training loop dispatches the pictures; a thread fetches, draws and writes them meanwhile.
Without PyAV, which a machine that only trains may lack, there are no videos.
"""

import importlib.util
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np

from motion_jax import events
from motion_jax.config import Config
from motion_jax.data.records import PoseFrames, encode_picture
from motion_jax.files import write_bytes
from motion_jax.progress import say
from motion_jax.provenance import xmp
from motion_jax.report import montage
from motion_jax.train.dataset import ShownPart
from motion_jax.train.journal import going_on
from motion_jax.train.synthesis import Synthesizer

# Frames in one compiled chunk, and moments in the grid: each is the last of CHUNK / MOMENTS frames,
# so that what is carried from frame to frame has settled.
CHUNK = 16
MOMENTS = 4


class Sampler:
    """Draws a run's samples. A context manager; leaving it waits for the last picture."""

    def __init__(self, folder: Path, config: Config, stage: str, dataset: PoseFrames | None):
        recipe, seconds = config.recipe, config.record.sample_seconds
        size = recipe.stages()[stage]
        self.folder, self.recipe = folder / "samples", recipe
        self.height, self.width = size.height, size.width
        part = ShownPart(config, stage, dataset)
        runs = part.runs("heldout") or part.runs("all")
        frames = np.concatenate([np.arange(first, first + count) for first, count in runs])
        # Noise needs no frames before it: as many pictures as a chunk has.
        settle = CHUNK // MOMENTS if part.domain is not None else 1
        starts = np.linspace(0, max(len(frames) - settle, 0), CHUNK // settle).astype(int)
        grid = np.minimum(starts[:, None] + np.arange(settle), len(frames) - 1)
        self._shown = np.arange(settle - 1, CHUNK, settle)
        self._grid = part.of(frames[grid.ravel()])
        # The video: the beginning of the longest run, at 25 pictures a second whatever the source's
        # rate.
        first, count = max(runs, key=lambda run: run[1])
        length = min(count, max(int(seconds * 25), 2))
        self._clip = part.of(np.arange(first, first + length))
        self._synthesizer = Synthesizer(recipe, stage, None, chunk=CHUNK)
        self._thread = ThreadPoolExecutor(1, initializer=events.inherit())
        self._writing: Future | None = None
        self._films = importlib.util.find_spec("av") is not None
        if not self._films:
            say("PyAV is not installed here: samples are pictures without videos.")

    def _run(self, params: Any, clip: dict[str, np.ndarray], seen: Any) -> list[jax.Array]:
        self._synthesizer.params = params
        self._synthesizer.reset(self.recipe.reference(clip))
        return self._synthesizer.dispatch(seen)

    def _rows(self, clip: dict[str, np.ndarray], fakes: np.ndarray) -> dict[str, list[np.ndarray]]:
        """The pictures to show of a clip, by label."""
        return self.recipe.rows(clip, list(fakes), self.height, self.width)

    def sample(self, params: Any, total_step: int) -> None:
        """Dispatches the pictures of these parameters; the thread writes them."""
        grid = self._run(params, self._grid, self.recipe.seen(self._grid))
        clip = []
        if self._films:
            clip = self._run(params, self._clip, self.recipe.film(self._clip))
        with going_on("The samples before these"):
            self.finish()
        self._writing = self._thread.submit(self._write, grid, clip, total_step)

    def _write(self, grid: list[jax.Array], clip: list[jax.Array], total_step: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"step-{total_step:07d}"
        fakes = np.concatenate([np.asarray(chunk) for chunk in grid])[self._shown]
        moments = {key: values[self._shown] for key, values in self._grid.items()}
        picture = np.concatenate(
            [
                montage.labelled(montage.grid([montage.enlarge(p) for p in row], MOMENTS), label)
                for label, row in self._rows(moments, fakes).items()
            ]
        )
        write_bytes(self.folder / f"{name}.png", xmp.declared(encode_picture(picture, "png")))
        events.emit(events.FileWritten(self.folder / f"{name}.png"))
        events.emit(events.PictureMade("sample", total_step, lambda: picture))
        if self._films:
            self._write_film(clip, name)

    def _write_film(self, clip: list[jax.Array], name: str) -> None:
        from motion_jax.video.writer import VideoWriter

        length = len(next(iter(self._clip.values())))
        frames = np.concatenate([np.asarray(chunk) for chunk in clip])[:length]
        by_label = self._rows(self._clip, frames)
        rows = [
            montage.side_by_side(list(pictures), list(by_label))
            for pictures in zip(*by_label.values(), strict=True)
        ]
        path, packet = self.folder / f"{name}.mp4", xmp.packet(xmp.TAGS)
        with VideoWriter(
            path,
            *rows[0].shape[:2],
            metadata=xmp.TAGS,
            finish=lambda made: xmp.add_to_film(made, packet),
        ) as writer:
            for i, row in enumerate(rows):
                writer.write(row, i / 25)
        events.emit(events.FileWritten(self.folder / f"{name}.mp4"))

    def finish(self) -> None:
        """Waits until the last samples are written; raises what went wrong with them."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def __enter__(self) -> "Sampler":
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        try:
            if kind is None:
                with going_on("The last samples"):
                    self.finish()
        finally:
            self._thread.shutdown()
