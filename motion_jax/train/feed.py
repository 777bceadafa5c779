"""Where a stage's batches come from: this computer hands them over, or their pictures wait in the
devices' memory."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
from jax.sharding import Mesh

from motion_jax.config import Config
from motion_jax.data import inputs
from motion_jax.data.batches import Batches
from motion_jax.data.numbered import Numbered
from motion_jax.data.records import PoseFrames
from motion_jax.devices import mesh as meshes
from motion_jax.errors import UserError, setting
from motion_jax.progress import say
from motion_jax.train.dataset import open_batches
from motion_jax.train.resident import Resident, bytes_needed

# Of the memory that a step leaves free, what pictures may take. Samples are drawn in it, too.
SHARE = 0.7


class DoesNotFit(UserError):
    """Pictures that the devices' memory does not hold, in every process alike."""

    together = True


class Feed:
    """Endless batches of a stage's training part on its devices. A context manager.

    The first batch is handed over by this computer, so that the step can be compiled for it; after
    that `settle` decides where pictures wait. All batches are then made in the same way.

    Args:
      position: examples drawn before.
      mesh: the stage's.
    Raises UserError as inputs.open_batches.
    """

    def __init__(
        self,
        dataset: PoseFrames | None,
        config: Config,
        name: str,
        position: int,
        mesh: Mesh,
    ):
        self._dataset, self._config, self._name, self._mesh = dataset, config, name, mesh
        self._position = position
        reading = config.recipe.reading(name)
        self._rows = meshes.data_rows(mesh, reading.batch_size)
        self._resident: Resident | None = None
        self._batches = open_batches(dataset, config, name, position, self._rows)
        self._ahead: dict[str, jax.Array] | None = None

    def first(self) -> dict[str, jax.Array]:
        """A batch like those to come, which is not used up."""
        if self._ahead is None:
            self._ahead = meshes.place(next(self._batches), self._mesh)
        return self._ahead

    def settle(self, programs: Iterable[Any], agreed: Callable[[bool], bool]) -> None:
        """Puts the pictures onto the devices where data.cache says so.

        Args:
          programs: the stage's compiled steps, which leave so much of the memory free.
          agreed: process 0's answer in place of this one's.
        Raises UserError where data.cache = "device" and they do not fit.
        """
        cache = self._config.data.cache
        if cache == "host":
            return
        reading, data = self._config.recipe.reading(self._name), self._config.data
        load = inputs.numbered(self._dataset, reading, data, self._config.seed)
        if load is None:
            return
        needed, room = bytes_needed(load), room_beside(programs, self._mesh.local_devices[0])
        fits = needed <= room if room is not None else cache == "device"
        if not agreed(fits):
            if cache == "auto":
                return
            room_text = "less" if room is None or fits else f"{room / 1e9:.3g} GB"
            raise DoesNotFit(
                f"{setting('data.cache')} = device: the {len(load.kept):,} training pictures need "
                f"{needed / 1e9:.3g} GB of every device, and beside the {self._name} stage's step "
                f"there is room for {room_text}; use data.cache = host, or auto, which does so by "
                "itself."
            )
        say(
            f"Stage {self._name}: its {len(load.kept):,} training pictures go into the devices' "
            f"memory ({needed / 1e6:,.0f} MB) …"
        )
        self._batches.close()
        self._ahead = None
        self._resident = Resident(load, self._mesh)
        self._batches = _numbers(load, reading.batch_size, self._position, self._rows)

    def __next__(self) -> dict[str, jax.Array]:
        if self._ahead is not None:
            batch, self._ahead = self._ahead, None
            return batch
        placed = meshes.place(next(self._batches), self._mesh)
        return placed if self._resident is None else self._resident.batch(placed)

    def __iter__(self) -> "Feed":
        return self

    def __enter__(self) -> "Feed":
        return self

    def __exit__(self, *_: object) -> None:
        self._batches.close()


def _numbers(load: Numbered, batch_size: int, start: int, rows: list[int]) -> Batches:
    # They are small and made of what lies in memory: processes would only be in the way.
    return Batches(load, batch_size=batch_size, workers=0, start=start, rows=rows)


def room_beside(programs: Iterable[Any], device: Any) -> float | None:
    """Bytes of a device's memory that pictures may take beside the largest of the compiled
    programs; None where the device does not say how much it has (a computer's own memory)."""
    limit = (device.memory_stats() or {}).get("bytes_limit")
    if device.platform == "cpu" or not limit:
        return None
    found = [program.memory_analysis() for program in programs]
    if any(each is None for each in found):
        return None
    peak = max(
        each.argument_size_in_bytes
        + each.output_size_in_bytes
        - each.alias_size_in_bytes
        + each.temp_size_in_bytes
        for each in found
    )
    return SHARE * max(limit - peak, 0)
