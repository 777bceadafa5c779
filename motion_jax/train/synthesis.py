"""Poses in, frames out: a trained generator run over any number of frames with one compilation."""

import itertools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from motion_jax.nets.conv import on_cpu
from motion_jax.pose.pose_pictures import is_ready
from motion_jax.recipes.pixels import to_uint8


class Synthesizer:
    """Runs a recipe's synthesis over a stream of poses, keeping the previous frame between calls.

    Args:
      recipe, stage: what was trained, and the stage whose networks and size are used.
      params: the generators' parameters by network name.
      recurrent: False shows the generator no previous frame.
      chunk: frames in one call of the compiled program; does not change the result.
    """

    def __init__(
        self, recipe: Any, stage: str, params: Any, recurrent: bool = True, chunk: int = 16
    ):
        size = recipe.stages()[stage]
        self.height, self.width, self.params = size.height, size.width, params
        # A loop around convolutions is slow on a CPU (see nets.conv): one frame a call there.
        self.chunk = 1 if on_cpu() else chunk

        def synthesize(params, poses, boxes, count, carry):
            frames, after = recipe.synthesize(params, poses, boxes, carry, stage, recurrent)
            # The state after the last real frame: what lies behind it in the chunk is padding.
            return to_uint8(frames), jax.lax.dynamic_slice_in_dim(after, count - 1, 1)

        self._synthesize = jax.jit(synthesize)
        self.reset()

    def reset(self) -> None:
        """Forgets the previous frame: the next one begins a new clip."""
        carry = jnp.zeros((1, self.height, self.width, 3))
        # Where the parameters are, as later carries will be: an array that is free to move would
        # make another program of the first call.
        places = [getattr(leaf, "sharding", None) for leaf in jax.tree.leaves(self.params)[:1]]
        self._carry = jax.device_put(carry, places[0]) if places and places[0] else carry

    def dispatch(self, poses: Any, face_boxes: np.ndarray) -> list[jax.Array]:
        """As feed, without waiting for the device: chunks whose frames together are the result, the
        last one perhaps longer than needed."""
        chunks = []
        poses = jax.tree.map(lambda x: x if is_ready(x) else x.astype(np.float32), poses)
        for start in range(0, len(face_boxes), self.chunk):
            boxes = face_boxes[start:][: self.chunk]
            count = len(boxes)
            padding = self.chunk - count

            def padded(values: np.ndarray, start: int = start, padding: int = padding) -> Any:
                part = values[start:][: self.chunk]
                return np.pad(part, ((0, padding), *[(0, 0)] * (part.ndim - 1)))

            part = jax.tree.map(padded, poses)
            boxes = padded(face_boxes).astype(np.float32)
            made, self._carry = self._synthesize(self.params, part, boxes, count, self._carry)
            chunks.append(made)
        return chunks

    def begin(self, poses: Any, face_boxes: np.ndarray) -> Iterator[np.ndarray]:
        """Starts the next n frames, and gives them one by one as they are ready: meanwhile the
        frames after them can be started.

        Args:
          poses: keypoints [n, 137, 3] in pixels of the run's size, or ready pose pictures uint8
            [n, H, W, 3], or what the recipe's `seen` gives; always the same kind, or another
            program is compiled.
          face_boxes: [n, 4] in pixels of the run's size.
        Returns:
          n pictures, uint8 [H, W, 3].
        """
        chunks = self.dispatch(poses, face_boxes)
        for chunk in chunks:
            chunk.copy_to_host_async()
        pictures = (picture for chunk in chunks for picture in np.asarray(chunk))
        return itertools.islice(pictures, len(face_boxes))

    def feed(self, poses: Any, face_boxes: np.ndarray) -> np.ndarray:
        """As begin, and waits for all of them: uint8 [n, H, W, 3]."""
        pictures = list(self.begin(poses, face_boxes))
        if not pictures:
            return np.zeros((0, self.height, self.width, 3), np.uint8)
        return np.stack(pictures)
