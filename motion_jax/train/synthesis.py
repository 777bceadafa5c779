"""A trained generator run over any number of frames with one compilation."""

import contextlib
import copy
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from motion_jax.nets.conv import on_cpu
from motion_jax.recipes.base import Recipe
from motion_jax.recipes.pixels import to_uint8
from motion_jax.recipes.state import Params


class Synthesizer:
    """Runs a recipe's synthesis over a stream of moments; between calls it keeps what is carried
    from frame to frame.

    Its input is what the recipe's `seen` makes of moments: a pytree of arrays [n, ...]. Another
    structure or other types than before compile another program.

    Args:
      recipe, stage: what was trained, and the stage whose networks and size are used.
      params: the generators' parameters by network name; may be set later.
      recurrent: False makes every frame as the first one of a clip.
      chunk: frames in one call of the compiled program; does not change the result.
      around: makes a context in which the program is traced, for one that runs networks elsewhere.
    """

    def __init__(
        self,
        recipe: Recipe,
        stage: str,
        params: Params | None,
        recurrent: bool = True,
        chunk: int = 16,
        around: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext,
    ):
        size = recipe.stages()[stage]
        self.height, self.width, self.params = size.height, size.width, params
        # A loop around convolutions is slow on a CPU (see nets.conv): one frame a call there.
        self.chunk = 1 if on_cpu() else chunk

        def start(params: Params, reference: Any) -> Any:
            return recipe.start(params, reference, stage)

        def synthesize(params: Params, seen: Any, count: Any, carry: Any) -> tuple[Any, Any]:
            with around():
                if not recurrent:
                    return to_uint8(recipe.each_alone(params, seen, carry, stage)), carry
                # The chunk's end may be padding, but not where it is one frame long.
                count = count if self.chunk > 1 else None
                frames, carry = recipe.synthesize(params, seen, carry, stage, count)
                return to_uint8(frames), carry

        self._carry: Any = None
        self._start, self._synthesize = jax.jit(start), jax.jit(synthesize)
        self.reset()

    def another(self) -> "Synthesizer":
        """One that begins a clip of its own with the same parameters and compiled programs."""
        other = copy.copy(self)
        other.reset()
        return other

    def go_on_from(self, other: "Synthesizer") -> None:
        """The next frame comes after the other's last one, where both carry the same on (arrays of
        the same shapes); else it begins a clip."""
        if not other._begun:
            self.reset()
            return
        self._begin()
        shapes = [
            [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(carry)]
            for carry in (self._carry, other._carry)
        ]
        if shapes[0] == shapes[1]:
            self._carry = other._carry
        else:
            self.reset()

    def reset(self, reference: UInt8[np.ndarray, "n h w 3"] | None = None) -> None:
        """The next frame begins a new clip. reference: pictures of the target, for recipes that
        begin with some."""
        self._reference, self._begun = reference, False

    def _begin(self) -> None:
        """Computes what is carried into the first frame, if it is the next one."""
        if self._begun:
            return
        carry = self._start(self.params, self._reference)
        # It lies where the parameters lie, as later ones will: an array that is free to move would
        # compile another program for the first call.
        places = [getattr(leaf, "sharding", None) for leaf in jax.tree.leaves(self.params)[:1]]
        self._carry = jax.device_put(carry, places[0]) if places and places[0] else carry
        self._begun = True

    def dispatch(self, seen: Any) -> list[jax.Array]:
        """As feed, without waiting for the device: chunks whose frames together are the result; the
        last one may be padded."""
        self._begin()
        chunks = []
        seen = jax.tree.map(_single, seen)
        total = _count(seen)
        for start in range(0, total, self.chunk):
            count = min(self.chunk, total - start)

            def padded(values: Any, start: int = start, count: int = count) -> Any:
                part = values[start : start + count]
                return np.pad(part, ((0, self.chunk - count), *[(0, 0)] * (part.ndim - 1)))

            part = jax.tree.map(padded, seen)
            made, self._carry = self._synthesize(self.params, part, count, self._carry)
            chunks.append(made)
        return chunks

    def begin(self, seen: Any) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """Starts the next n frames, and gives them one by one as they are ready; the frames after
        them can be started before. seen: what the recipe's `seen` gives, of n moments."""
        chunks = self.dispatch(seen)
        for chunk in chunks:
            chunk.copy_to_host_async()
        pictures = (picture for chunk in chunks for picture in np.asarray(chunk))
        return itertools.islice(pictures, _count(seen))

    def feed(self, seen: Any) -> UInt8[np.ndarray, "n h w 3"]:
        """As begin, and waits for all of them."""
        pictures = list(self.begin(seen))
        if not pictures:
            return np.zeros((0, self.height, self.width, 3), np.uint8)
        return np.stack(pictures)


def _count(seen: Any) -> int:
    """How many moments are seen."""
    return len(jax.tree.leaves(seen)[0])


def _single(values: Any) -> Any:
    """Floating-point numbers in single precision, as in training; others unchanged."""
    return values.astype(np.float32) if jnp.issubdtype(values.dtype, jnp.floating) else values
