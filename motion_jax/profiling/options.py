"""Options of `motion-jax profile` and `motion-jax compile`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class ProfileOptions:
    """Show where the time and memory of a training step go, by network and layer. Settings of the
    config can be given as with `motion-jax train`: --recipe.dtype bfloat16."""

    config: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[CONFIG]")] = ""
    """A config: the name of a shipped one or a Python file. Not with --run."""
    run: Path | None = None
    """Run directory of `motion-jax train`: its config, its newest checkpoint, its dataset."""
    data: Path | None = None
    """Dataset to load batches from, so that waiting for input is real. Default with --run: the
    run's; else one made-up batch again and again."""
    stage: str = ""
    """Stage to profile. Default: the config's first, with --run that of the newest checkpoint."""
    batch: int = 0
    """Windows a step over all devices, instead of the config's; 0: the config's."""
    topology: str = ""
    """Compile for a TPU topology such as v5e:2x2 instead of running here: times are then the
    compiler's estimates (needs the extra `tpu`)."""
    compare: Annotated[tuple[Path, Path] | None, tyro.conf.arg(metavar="BEFORE AFTER")] = None
    """Two profiles (profile.json or its folder), before and after: show what grew."""
    hlo: bool = False
    """Also write the optimised program (step.hlo) and the memory profile (memory.pprof)."""
    json: bool = False
    """Print the result as JSON, alone on stdout."""
    out: Path | None = None
    """Folder to write to. Default: RUN/profile/STAGE (the trace into RUN/trace/STAGE), without a
    run out/profile/CONFIG-STAGE."""


@dataclass(frozen=True)
class CompileOptions:
    """Compile the training step for TPU chips or NVIDIA cards that you do not have, and say whether
    it fits, what it communicates and moves, and an estimated time. Needs the extra `tpu` or `cuda`;
    takes minutes for large networks. Settings of the config can be given as with `motion-jax
    train`, for instance --recipe.rematerialise. Exit status: 0 all stages fit, 1 one does not, 2
    bad input."""

    config: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="CONFIG")] = ""
    """A config: the name of a shipped one or a Python file."""
    topology: str = ""
    """TPU chips, as generation:shape: v5e:4x4, v4:2x2x1, v5p:2x2x2, v6e:8x8. Or NVIDIA cards of one
    machine: a100, h100, h200, b200 or rtx4090; h200:4 for four."""
    mesh: str = ""
    """How they are laid out, for instance data=4,space=4; short for --devices.data and
    --devices.space. Default: the config's."""
    stage: str = ""
    """Stage to compile. Default: all of them."""
    shard_optimizer: bool = False
    """Keep a share of the optimiser's state on each chip (--devices.shard-optimizer)."""
    batch_per_chip: int | None = None
    """Windows a step, by chip, in each stage. Default: the config's batch, shared among the
    chips."""
    save: Path | None = None
    """File for the compiled steps, which `motion_jax.profiling.saved` loads again."""
    json: bool = False
    """Print the result as JSON, alone on stdout."""


def split_settings(arguments: list[str]) -> tuple[list[str], list[str]]:
    """(the verb's own arguments, the config's settings with their values): settings have a dot in
    their names, and otherwise their values could be taken for a config."""
    own: list[str] = []
    settings: list[str] = []
    into = own
    for argument in arguments:
        if argument.startswith("-"):
            name = argument.split("=")[0]
            into = settings if "." in name or name == "--seed" else own
        into.append(argument)
    return own, settings
