"""The runs of a live session, each in the fastest runtime, and what is behind their people."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8

from motion_jax.errors import UserError, option
from motion_jax.live.graphs import Elsewhere, Runtime, installed, milliseconds
from motion_jax.live.options import LiveOptions
from motion_jax.progress import say
from motion_jax.train.run import Run, load_run
from motion_jax.transfer.background import ALPHA, GREEN, KEY, check_matte
from motion_jax.transfer.player import Networks
from motion_jax.transfer.resident import Resident, Seen, cut
from motion_jax.transfer.source import Moment


@dataclass(eq=False)
class Person:
    """One run, ready.

    Attributes:
      resident: what it is shown; networks: in their runtime.
      runtime: which; speeds: milliseconds of a picture in those that were tried.
      background: what is shown when nobody is there, as the pictures are; None: the last picture.
    """

    resident: Resident
    networks: Networks
    runtime: Runtime
    speeds: dict[str, float]
    background: UInt8[np.ndarray, "h w c"] | None
    plate: UInt8[np.ndarray, "h w 3"] | None = None

    def picture(self, seen: Seen) -> UInt8[np.ndarray, "h w c"]:
        """The next picture, after the one before it."""
        shown: Mapping[str, np.ndarray] = seen.shown
        if self.plate is not None:
            shown = {**shown, "plates": self.plate}
        return cut(next(iter(self.networks.begin([Moment(0.0, shown)]))), seen)


def people(options: LiveOptions) -> tuple[list[Person], Person | None]:
    """The runs, and the smaller one. Raises UserError where they do not fit together."""
    found = [_person(load_run(folder, options.step), options) for folder in options.run]
    smaller = None if options.smaller is None else _person(load_run(options.smaller), options)
    every = [*found, *([] if smaller is None else [smaller])]
    first = every[0].resident
    for one in every[1:]:
        if one.resident.size != first.size or one.resident.takes != first.takes:
            sizes = [f"{each.name} {each.size[1]}x{each.size[0]}" for each in (first, one.resident)]
            raise UserError(
                f"The runs {sizes[0]} and {sizes[1]} are not of one size, or one is shown poses "
                f"and the other frames; {option('run')} takes runs that are alike."
            )
    return found, smaller


def _person(run: Run, options: LiveOptions) -> Person:
    check_matte(options.background, run)
    resident = Resident(run)
    if resident.densepose:
        raise UserError(
            f"The run {resident.name} is driven by DensePose, which no camera gives here; use "
            "motion-jax serve, to which another program sends DensePose pictures."
        )
    if options.normalize != "none" and resident.takes == "poses" and not resident.body_known:
        raise UserError(
            f"The body of the run {resident.name} is not known, so that poses cannot be fitted to "
            f"it; use {option('normalize')} none."
        )
    networks, runtime, speeds = _fastest(run, resident, options)
    words = ", ".join(f"{name} {value:.1f} ms" for name, value in speeds.items())
    say(f"{run.folder}: {run.size[1]}x{run.size[0]}, a picture takes {words}; taking {runtime}.")
    plate = None
    if options.background == GREEN:
        plate = np.ascontiguousarray(np.broadcast_to(np.array(KEY, np.uint8), (*run.size, 3)))
    return Person(resident, networks, runtime, speeds, _background(run, resident, options), plate)


def _fastest(
    run: Run, resident: Resident, options: LiveOptions
) -> tuple[Networks, Runtime, dict[str, float]]:
    """Tries the runtimes that may be taken. Raises UserError where the one that was asked for
    cannot run it."""
    asked = options.runtime
    if asked == "auto":
        others: list[Runtime] = [name for name in installed() if name != "jax"]
        # On a GPU our own program stays on it.
        tried = others if jax.default_backend() == "cpu" else []
        if options.precision != "float32":
            tried = [name for name in tried if name == "openvino"]
    else:
        tried = [] if asked == "jax" else [asked]
    if options.precision != "float32" and not tried:
        raise UserError(
            f"{option('precision')} {options.precision} needs OpenVINO: pip install "
            "'motion-jax[live]'."
        )
    before = options.background != ALPHA
    made: dict[Runtime, Networks] = {}
    for name in tried:
        try:
            elsewhere: Callable[[], Any] = Elsewhere(run, name, options.precision)
        except UserError:
            if asked == "auto":
                continue  # A network that has no such form runs in jax.
            raise
        made[name] = Networks(run, chunk=1, before=before, around=elsewhere)
    if not made:
        made["jax"] = Networks(run, chunk=1, before=before)
    speeds = {name: _speed(networks, resident) for name, networks in made.items()}
    best = min(speeds, key=lambda name: speeds[name])
    return made[best], best, {str(name): value for name, value in speeds.items()}


def _speed(networks: Networks, resident: Resident) -> float:
    height, width = resident.size
    if resident.takes == "poses":
        pose = np.zeros((137, 3), np.float32)
        pose[:25] = (width / 2, height / 2, 1)
        seen = resident.pose(pose)
    else:
        seen = resident.picture(np.full((height, width, 3), 127, np.uint8))

    def make() -> np.ndarray:
        return next(iter(networks.begin([Moment(0.0, seen.shown)])))

    spent = milliseconds(make)
    networks.reset()
    return spent


def _background(run: Run, resident: Resident, options: LiveOptions) -> np.ndarray | None:
    """What is shown when nobody is there. Raises UserError for a plate that is not there."""
    plated = run.config.recipe.background == "plate"
    if options.lost == "hold":
        return None
    if options.lost == "plate" and not plated:
        raise UserError(
            f"{option('lost')} plate needs a run with a background plate (train with "
            f"{option('recipe.background')} plate); use black or hold."
        )
    if options.background == ALPHA:
        return np.zeros((*run.size, 4), np.uint8)
    if options.background == GREEN:
        return np.ascontiguousarray(np.broadcast_to(np.array(KEY, np.uint8), (*run.size, 3)))
    if plated and options.lost != "black":
        return run.plates[0]
    return np.zeros((*run.size, 3), np.uint8)
