"""`motion-jax train`: its options, and what it prints with --dry-run."""

import contextlib
import json
import math
import os
import shlex
import socket
import sys
from dataclasses import dataclass, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from motion_jax.cli.signals import answered
from motion_jax.devices.roll_call import Presence, report, split_address, wrong_number
from motion_jax.errors import UserError, option, worded

# jax and all that needs it take seconds to import: obvious mistakes are reported before.
if TYPE_CHECKING:
    from motion_jax.config import Config

# Exit statuses that `train` has for other reasons (docs/scale.md): no stop may end with them.
TAKEN = {1: "a crash", 2: "an error that would come again", 130: "Ctrl-C"}
# How long a process with a wrong number tries to tell process 0, which may still be starting.
TELL_SECONDS = 20.0

USAGE = """usage: motion-jax train CONFIG --data DATASET --run DIR [options] [settings]

Trains what CONFIG describes: a Python file that defines `config = Config(...)`, or one of
{shipped}.
Run the same command again to go on where it stopped.

motion-jax train --run DIR --data DATASET [options] [settings] goes on with the config of an
existing run, for example one made by motion-jax import.

motion-jax train CONFIG --help explains every setting of that config."""


@dataclass(frozen=True)
class TrainOptions:
    """Train a config on a dataset; the same command again goes on where it stopped."""

    data: Path | None = None
    """Dataset folder made by `motion-jax prepare` or `motion-jax import-data`."""
    run: Path | None = None
    """Run directory: made, or continued where it holds this config's run."""
    vgg: Path | None = None
    """VGG-19 weights (.pth of torchvision) for configs with a perceptual loss; by default the ones
    that `motion-jax fetch vgg19` left."""
    width: int | None = None
    """Channels of the generator at its full size, short for --recipe.generator.ngf; the
    discriminator's (ndf) change in the same proportion, unless --recipe.discriminator.ndf is given
    too. The face stage's networks keep theirs."""
    blocks: int | None = None
    """Residual blocks at the generator's lowest resolution, short for --recipe.generator.n-blocks;
    an enhancer's are --recipe.generator.n-blocks-local."""
    downsamplings: int | None = None
    """Halvings in the generator, short for --recipe.generator.n-downsampling."""
    minutes: float | None = None
    """Spend at most so many minutes on training steps (compiling, saving and samples come besides):
    each stage ends after its share of them, with its learning rate lowered by then, however many of
    its steps are left. One process alone."""
    strategy: Literal["jit", "pmap"] | None = None
    """How a step runs on several devices, short for --devices.strategy."""
    coordinator: str | None = None
    """HOST:PORT (the host of process 0 and a free port there), where several processes train
    together and no cluster (Cloud TPU, Slurm, Open MPI, Kubernetes) tells them so."""
    process: int | None = None
    """With --coordinator: the number of this process, from 0."""
    processes: int | None = None
    """With --coordinator: how many there are. Alone, --processes 1: do not look for a cluster."""
    wait_seconds: float = 300.0
    """How long the processes may take to come together at the start (seconds)."""
    preempted_status: int = 0
    """Exit status after SIGTERM, SIGUSR1 or a preemption notice, once everything is saved, for a
    scheduler that starts the same command again (for example 75). 1, 2 and 130 mean something else;
    see docs/scale.md."""
    dry_run: bool = False
    """Print parameters, arithmetic, memory and measured time of each stage in a table, and stop;
    with --data also what to train on that dataset and this machine."""
    json: bool = False
    """With --dry-run: print JSON, the resolved config in it (nothing else goes to standard
    output)."""


def run(arguments: list[str]) -> None:
    refuse_early(arguments)

    from motion_jax.config import config_names, load_config
    from motion_jax.files import check_outputs

    if arguments[:1] in (["-h"], ["--help"]):
        print(USAGE.format(shipped=", ".join(config_names())))
        return
    if arguments and not arguments[0].startswith("-"):
        default = load_config(arguments[0])
        options, config = parse(default, arguments[0], arguments[1:])
    else:
        options, config = parse(_config_of_run(arguments), "--run DIR", arguments)
    if options.json and not options.dry_run:
        raise UserError(f"{option('json')} goes with {option('dry_run')}.")
    if options.dry_run:
        dry_run(config, options.data, as_json=options.json)
        return
    needed = ("data", "run") if config.recipe.takes_dataset else ("run",)
    if lacking := [option(name) for name in needed if getattr(options, name) is None]:
        raise UserError(
            f"motion-jax train needs {' and '.join(lacking)}; see motion-jax train --help."
        )
    from motion_jax.cli.after import next_command
    from motion_jax.devices.processes import place
    from motion_jax.progress import say
    from motion_jax.train.loop import train

    assert options.run is not None, "it is needed by every recipe"
    check_outputs(options, "run")
    limits = _limits(config, options.minutes)
    if limits and not options.process:
        say(shared_out(limits))
    with answered(options.preempted_status):
        train(
            config,
            options.data,
            options.run,
            vgg=options.vgg,
            command="motion-jax train " + shlex.join(arguments),
            place=place(options.coordinator, options.process, options.processes),
            wait_seconds=options.wait_seconds,
            limits=limits,
        )
    if not options.process:
        say(f"Next: {next_command('train', options, config)}")


def _limits(config: "Config", minutes: float | None) -> dict[str, float] | None:
    """Seconds by stage, shared out by the pictures' pixels in all its steps; None without a limit.

    Raises UserError where the minutes are no time.
    """
    if minutes is None:
        return None
    if not (math.isfinite(minutes) and minutes > 0):
        raise UserError(f"{option('minutes')} {minutes:g} is no time to train; give more than 0.")
    pixels = {
        name: stage.steps * stage.batch_size * stage.height * stage.width
        for name, stage in config.recipe.stages().items()
    }
    whole = sum(pixels.values())
    return {name: 60 * minutes * part / whole for name, part in pixels.items()}


def shared_out(limits: dict[str, float]) -> str:
    """The seconds by stage in a sentence."""
    minutes = sum(limits.values()) / 60
    given = [(name, seconds) for name, seconds in limits.items() if seconds]

    def span(seconds: float) -> str:
        if seconds >= 600:
            return f"{seconds / 60:.0f} min"
        return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1g} s"

    shares = [f"{span(seconds)} {name}" for name, seconds in given]
    return (
        f"{minutes:g} minute{'' if minutes == 1 else 's'} of learning: {', '.join(shares)}; "
        "compiling, saving and samples come besides."
    )


def refuse_early(arguments: list[str]) -> None:
    """Ends with one sentence and status 2 where the given place, waiting time or exit status is
    impossible. Process 0 is told of a process number out of range, so that it need not wait. Values
    that are not numbers are left to the parser of all options.
    """
    if {"-h", "--help"} & set(arguments):
        return
    given = _given(arguments)

    def number(name: str, kind: type) -> Any:
        with contextlib.suppress(KeyError, ValueError):
            return kind(given[name])
        return None

    seconds = number("--wait-seconds", float)
    if seconds is not None and not (math.isfinite(seconds) and seconds >= 0):
        raise UserError(
            f"{option('wait_seconds')} {given['--wait-seconds']} is no time to wait; give 0 "
            "seconds or more."
        )
    status = number("--preempted-status", int)
    if status is not None and not 0 <= status <= 255:
        raise UserError(f"{option('preempted_status')} {status} is not between 0 and 255.")
    if status in TAKEN:
        raise UserError(
            f"{option('preempted_status')} {status} already means {TAKEN[status]}; give another "
            "one, for example 75."
        )
    index, count = number("--process", int), number("--processes", int)
    if index is None or count is None or count < 1 or 0 <= index < count:
        return
    me = Presence(index, count, socket.gethostname())
    me.error = wrong_number(index, count, me.host)
    if "--coordinator" not in given:
        raise UserError(me.error)
    address = given["--coordinator"]
    split_address(address)
    # Said here at once; the others hear it as soon as process 0 listens.
    print(f"motion-jax: error: {worded(me.error)}", file=sys.stderr, flush=True)
    if count > 1:
        limit = TELL_SECONDS if seconds is None else min(seconds, TELL_SECONDS)
        print(
            f"Telling process 0 at {address}, if it comes within {limit:.0f} s …", file=sys.stderr
        )
        with contextlib.suppress(UserError):
            report(address, me, limit, patient="KUBERNETES_SERVICE_HOST" in os.environ)
    sys.exit(2)


def _given(arguments: list[str]) -> dict[str, str]:
    """Every word with the one after it, or after its =."""
    given = dict(zip(arguments, arguments[1:], strict=False))
    given |= dict(word.split("=", 1) for word in arguments if "=" in word)
    return {word.replace("_", "-"): value for word, value in given.items()}


def _config_of_run(arguments: list[str]) -> "Config":
    """The config of the run that the arguments name with --run. Raises UserError without one."""
    from motion_jax.config import config_names
    from motion_jax.train.run import read_config

    given = _given(arguments)
    config = read_config(Path(given["--run"])) if "--run" in given else None
    if config is None and not Path(given.get("--run", ".")).exists():
        raise UserError(
            f"There is no run {given['--run']} to go on with; a new one wants a config first: "
            f"motion-jax train CONFIG --data DATASET --run {given['--run']}. CONFIG is one of "
            f"{', '.join(config_names())}, or a file."
        )
    if config is None:
        raise UserError(
            "motion-jax train wants a config first, for example: motion-jax train small --data "
            f"DATASET --run DIR (there are {', '.join(config_names())}), or the {option('run')} of "
            "an existing run."
        )
    return config


def parse(default: "Config", name: str, arguments: list[str]) -> "tuple[TrainOptions, Config]":
    """The verb's options and the config with the command line's changes."""
    import tyro

    from motion_jax.config import Config, unknown_option
    from motion_jax.parsing import one_sentence, plain_kinds

    both = make_dataclass(
        "Train",
        [("settings", Annotated[Config, tyro.conf.arg(name="")], default)],
        bases=(TrainOptions,),
        frozen=True,
    )
    both.__doc__ = TrainOptions.__doc__
    with one_sentence(f"train {name}", arguments):
        parsed: Any = tyro.cli(
            both,
            prog=f"motion-jax train {name}",
            args=arguments,
            return_unknown_args=True,
            registry=plain_kinds(arguments),
        )
    options, unknown = parsed
    if unknown:
        if not unknown[0].startswith("-"):
            raise UserError(
                f"{unknown[0]!r} is one argument too many; see motion-jax train {name} --help."
            )
        raise UserError(unknown_option(unknown[0], default))
    config = options.settings
    if options.strategy:
        config = replace(config, devices=replace(config.devices, strategy=options.strategy))
    return options, _sized(config, options, arguments)


def _sized(config: "Config", options: TrainOptions, arguments: list[str]) -> "Config":
    """The config with --width, --blocks and --downsamplings in it.

    Raises UserError where one of them and the setting that it is short for are both given.
    """
    given = {argument.split("=")[0].replace("_", "-") for argument in arguments}
    recipe = config.recipe
    sizes: dict[str, int] = {}
    fields = {name: f"recipe.{field}" for name, field in recipe.size_fields.items()}

    def is_given(name: str) -> bool:
        return name in fields and f"--{fields[name].replace('_', '-')}" in given

    for short in ("width", "blocks", "downsamplings"):
        value = getattr(options, short)
        if value is None:
            continue
        if short not in fields:
            raise UserError(
                f"{option(short)} sets the generator's {short}, which the recipe {recipe.name} "
                "does not have; leave it out."
            )
        if is_given(short):
            raise UserError(
                f"{option(short)} and {option(fields[short])} set the same; give one of them."
            )
        if short != "width" and value == 0:
            what = "residual block" if short == "blocks" else "halving"
            raise UserError(
                f"{option(short)} {value} leaves no {what} in the generator; use 1 or more (the "
                f"config's is {recipe.network_size(short)})."
            )
        sizes[short] = value
    own = is_given("discriminator width")
    return replace(config, recipe=recipe.resized(sizes, discriminator=not own))


def dry_run(config: "Config", data: Path | None = None, as_json: bool = False) -> None:
    """Prints what would be trained and what it costs: compiles each stage's step and runs it a few
    times. data: also what would fit that dataset and this machine.

    Raises UserError, before all this, where the settings cannot work or the dataset is none.
    """
    from motion_jax.config import to_json
    from motion_jax.plan.suggest import LOOP
    from motion_jax.plan.words import duration
    from motion_jax.profiling.cost import describe_stage
    from motion_jax.progress import say

    config.validate()
    dataset = None
    if data is not None:
        from motion_jax.data.records import open_dataset
        from motion_jax.train.dataset import fitted

        dataset = open_dataset(data)
        config = fitted(config, dataset)
        if text := config.recipe.found_out():
            say(text)
    stages, costs = config.recipe.stages(), {}
    for name in stages:
        say(f"Compiling the {name} stage to see what it needs …")
        costs[name] = describe_stage(config, name, timed=True)
    times = {name: cost["seconds_per_step"] for name, cost in costs.items()}
    result: dict[str, Any] = {"config": to_json(config), "stages": costs, "hours": None}
    if None in times.values():
        lines = ["A stage does not fit into this machine's memory, so no time could be measured."]
    else:
        seconds = LOOP * sum(times[name] * stage.steps for name, stage in stages.items())
        result["hours"] = seconds / 3600
        lines = [f"All steps of this config together: about {duration(seconds)}."]
    if dataset is not None and data is not None:
        result["suggestion"] = suggestion(config, dataset, data, times)
        lines.append(result["suggestion"]["text"])
    if as_json:
        for line in lines:
            say(line)
        print(json.dumps(result, indent=2))
        return
    _show(stages, costs, lines, result.get("suggestion", {}).get("recommended", ""))


def _show(stages: Any, costs: dict[str, dict[str, Any]], lines: list[str], following: str) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    # Stages side by side: nine columns would not fit a terminal of 80 characters.
    table = Table("")
    rows: dict[str, list[str]] = {}
    for name, cost in costs.items():
        table.add_column(name, justify="right")
        stage, seconds = stages[name], cost["seconds_per_step"]
        cells = {
            "size": f"{stage.width}x{stage.height}",
            "batch": str(stage.batch_size),
            "steps": f"{stage.steps:,}",
            "parameters": f"{sum(cost['parameters'].values()) / 1e6:.1f} million",
            "GFLOP a step": f"{cost['gflop_per_step']:,.1f}",
            "state": f"{cost['state_mb']:,.0f} MB",
            "temporary": f"{cost['temporary_mb']:,.0f} MB",
            "s a step": "does not fit" if seconds is None else f"{seconds:.3g}",
        }
        for title, cell in cells.items():
            rows.setdefault(title, []).append(cell)
    for title, values in rows.items():
        table.add_row(title, *values)
    console.print(table)
    for line in lines:
        console.print(line, markup=False)
    console.print("The resolved config and all figures as JSON: the same with --json.")
    if following:
        console.print(f"Next: {following}", markup=False)


def suggestion(
    config: "Config", dataset: Any, place: Path, times: dict[str, float | None]
) -> dict[str, Any]:
    """What would fit a dataset and this machine, by the time that this config's steps took here."""
    from motion_jax.plan import machine, suggest, words
    from motion_jax.profiling.size import has_formula, stage_size

    stages = config.recipe.stages()
    flops = 0.0
    if None not in times.values() and has_formula(config.recipe):
        flops = sum(stage_size(config.recipe, n).flops * stages[n].steps for n in stages)
    if flops < machine.TELLING_FLOPS * sum(stage.steps for stage in stages.values()):
        here = machine.measured_machine()
    else:
        rate = flops / sum(times[n] * stages[n].steps for n in stages)
        how = "calculated from the steps of this config, just measured"
        here = machine.this_machine({config.recipe.dtype: rate}, how)
    described = suggest.facts_of(dataset, config.data.holdout, str(place))
    return words.to_json(suggest.propose(described, here))
