"""`motion-jax profile`: where a training step's time and memory go."""

import dataclasses
import difflib
import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import tyro
from rich.console import Console

from motion_jax.config import Config, load_config, unknown_option
from motion_jax.data.records import open_dataset
from motion_jax.devices import mesh as meshes
from motion_jax.errors import UserError, marked
from motion_jax.errors import option as named
from motion_jax.files import check_outputs, check_writable, write_json, write_text, writing
from motion_jax.parsing import one_sentence
from motion_jax.profiling import chips, gpu, topology, trace
from motion_jax.profiling.attribution import attribute
from motion_jax.profiling.compare import compare, print_comparison, read_profile, write_comparison
from motion_jax.profiling.measure import measure, synthetic_batches
from motion_jax.profiling.options import ProfileOptions
from motion_jax.profiling.profile_json import Comparison, Profile
from motion_jax.profiling.report import print_profile, write_page
from motion_jax.profiling.result import (
    add_compiled_bytes,
    analytic_table,
    memory_by_kind,
    result_of,
    summed,
)
from motion_jax.profiling.task import Task
from motion_jax.profiling.topology import sized
from motion_jax.progress import say
from motion_jax.train.checkpoint import Checkpoints, has_checkpoint
from motion_jax.train.dataset import check_data, fitted, open_batches, with_background
from motion_jax.train.run import check_whole, read_config, read_dataset
from motion_jax.train.step import laid_out_state


def run(options: ProfileOptions, settings: list[str], line: str) -> Any:
    """The verb: profiles and prints; arguments and result are those of `profile`."""
    result: Any = profile(options, settings, line)
    if options.json:
        print(json.dumps(result, indent=2))
        return result
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 120  # a file or pipe has no width; tables would be squeezed into 80
    if options.compare:
        print_comparison(result, console)
        return result
    print_profile(result, console)
    console.print(f"\nPage: {Path(result['folder']) / 'index.html'}", markup=False)
    if result["trace"]:
        console.print(f"Trace: {result['trace']}", markup=False)
    return result


def profile(
    options: ProfileOptions, settings: list[str] | None = None, line: str = ""
) -> Profile | Comparison:
    """Profiles a stage, or compares two profiles; writes the files.

    Args:
      settings: of the config, as command-line arguments.
      line: the command line, for the record.
    Returns:
      What profile.json holds, or what compare.json does.
    Raises:
      UserError: options that contradict each other or name what is not there.
    """
    settings = settings or []
    check_outputs(options, "out", own=("run",))
    if options.compare:
        if options.config or options.run or options.topology or settings:
            raise UserError(
                f"{named('compare')} takes two profiles and nothing else; leave the rest out."
            )
        comparison = compare(*(read_profile(path) for path in options.compare))
        if options.out:
            write_comparison(comparison, options.out)
        return comparison
    task = _task(options, settings)
    result = (_for_topology if options.topology else _measured)(options, task)
    result["command"] = line
    write_json(task.folder / "profile.json", result)
    write_page(result, task.folder / "index.html")
    return result


def _task(options: ProfileOptions, settings: list[str]) -> Task:
    if bool(options.config) == bool(options.run):
        raise UserError(
            f"motion-jax profile takes either a config or {named('run')} DIR; for example: "
            "motion-jax profile demo"
        )
    if options.topology and options.data:
        raise UserError(
            f"{named('topology')} compiles and runs nothing, so it takes no {named('data')}."
        )
    if gpu.is_card(options.topology):
        raise UserError(
            f"Only a TPU's compiler tells times by layer; for {options.topology} use motion-jax "
            f"compile {options.config or 'CONFIG'} {named('topology')} {options.topology}, which "
            "estimates them."
        )
    stage, data = options.stage, options.data
    if options.run:
        check_whole(options.run)
        config, name = read_config(options.run), str(options.run)
        if config is None:
            raise UserError(
                f"{options.run} is not a run directory (no config.json in it); give the folder "
                f"that motion-jax train wrote with {named('run')}."
            )
        if not has_checkpoint(options.run / "checkpoints"):
            raise UserError(
                f"The run {options.run} has no checkpoint yet; train it first, or profile its "
                "config."
            )
        if not options.topology and data is None:
            data = _dataset_of(options.run, read_dataset(options.run)["path"])
        stage = stage or _last_stage(options.run)
    else:
        config, name = load_config(options.config), Path(options.config).stem
    config = with_settings(config, settings, "profile", ProfileOptions)
    config.validate()
    stages = config.recipe.stages()
    stage = stage or next(iter(stages))
    if stage not in stages:
        raise UserError(f"The config has no stage {stage!r}; it has {', '.join(stages)}.")
    if options.batch:
        config = sized(config, stage, options.batch)
        config.validate()
    if data is not None:
        dataset = open_dataset(data)
        check_data(dataset, config, stage)
        config = fitted(config, dataset)
    if options.out:
        folder, traces = options.out, options.out / "trace"
    elif options.run:
        folder, traces = options.run / "profile" / stage, options.run / "trace" / stage
    else:
        folder = Path("out/profile") / f"{name}-{stage}"
        traces = folder / "trace"
    return Task(config, name, stage, folder, traces, data, options.run)


def with_settings(config: Config, settings: list[str], verb: str, own: type) -> Config:
    """The config with settings from a command line. own: the verb's options, for what is misspelt.

    Raises UserError for what is neither."""
    if not settings:
        return config
    prog = f"motion-jax {verb}"
    with one_sentence(verb, settings):
        config, unknown = tyro.cli(
            Config, prog=prog, args=settings, default=config, return_unknown_args=True
        )
    if unknown:
        if not unknown[0].startswith("-"):
            raise UserError(
                f"{unknown[0]!r} is one argument too many; see motion-jax {verb} --help."
            )
        raise UserError(_unknown(unknown[0], config, own))
    return config


def _unknown(option: str, config: Config, own: type) -> str:
    """As for the config's settings; a misspelt option of the verb itself is looked for first."""
    known = [f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(own)]
    near = difflib.get_close_matches(option.split("=")[0], known, 1)
    if near:
        return f"There is no option {option.split('=')[0]}; did you mean {near[0]}?"
    return unknown_option(option, config)


def _dataset_of(run: Path, path: str) -> Path:
    folder = Path(os.path.normpath(run / path))
    if not folder.is_dir():
        raise UserError(
            f"The dataset of the run {run} is no longer at {folder}; say where it is with "
            f"{named('data')}."
        )
    return folder


def _last_stage(run: Path) -> str:
    with Checkpoints(run / "checkpoints", read_only=True) as checkpoints:
        return checkpoints.record(checkpoints.latest())["stage"]


# --- measured here -----------------------------------------------------------------------------


def _measured(options: ProfileOptions, task: Task) -> Profile:
    check_writable(task.folder)
    mesh = meshes.of_stage(task.config.devices, task.config.recipe.stages()[task.stage], task.stage)
    if task.data is None:
        batches, source = synthetic_batches(task.config, task.stage), "one made-up batch"
        measured = measure(task.config, task.stage, batches, task.trace)
    else:
        source = str(task.data)
        dataset = with_background(open_dataset(task.data), task.config)
        with open_batches(dataset, task.config, task.stage) as batches:
            measured = measure(task.config, task.stage, batches, task.trace, _restoring(task, mesh))
    device = jax.devices()[0]
    if device.platform == "cpu":
        say("Measuring what this CPU can do at best …")
        chip: chips.Chip | None = chips.measure_host()
    else:
        chip = chips.chip_of(device)
    text = measured.executable.as_text() or ""
    attribution = attribute(text)
    table = analytic_table(task)
    traced = _add_traced_time(table, task, attribution)
    add_compiled_bytes(table, text, attribution)
    if options.hlo:
        write_text(task.folder / "step.hlo", text)
        with writing(task.folder / "memory.pprof"):
            jax.profiler.save_device_memory_profile(task.folder / "memory.pprof")
    stats = device.memory_stats() or {}
    memory = memory_by_kind(task, measured.executable)
    if "peak_bytes_in_use" in stats:
        memory["peak_in_use"] = stats["peak_bytes_in_use"]
    return result_of(
        task,
        table,
        chip,
        {"platform": device.platform, "device": device.device_kind, "devices": mesh.size},
        {
            "seconds": measured.step_seconds,
            "traced_seconds": traced,
            "input_wait": measured.input_wait,
        },
        {
            "cold": asdict(measured.cold),
            "warm": asdict(measured.warm),
            "programs": dict(measured.compilations),
            "recompilations": dict(measured.recompilations),
        },
        memory,
        measured.executable,
        time_source="trace",
        data=source,
        trace=str(task.trace),
    )


def _add_traced_time(table: Any, task: Task, attribution: Any) -> float | None:
    """Returns the seconds of a traced step; None, and says so, where the device left no instruction
    in the trace."""
    try:
        found = trace.read(task.trace, "jit_step")
    except UserError as error:
        say(f"{marked(error)} Layers have no times.")
        return None
    seconds, idle = trace.shared_time(found.events, attribution.opcodes, found.begin, found.end)
    table.add_seconds(
        summed((attribution.scope(name), value / found.steps) for name, value in seconds.items())
    )
    table.idle = idle / found.steps
    trace.write_perfetto(task.trace, found, attribution)
    return (found.end - found.begin) / found.steps


def _restoring(task: Task, mesh: Any) -> Any:
    """A function that restores the run's newest state; None without a run, or where the checkpoint
    is of another stage."""
    if task.run is None or _last_stage(task.run) != task.stage:
        return None

    folder = task.run / "checkpoints"

    def restore() -> Any:
        with Checkpoints(folder, read_only=True) as checkpoints:
            abstract, latest = laid_out_state(task.config, task.stage, mesh), checkpoints.latest()
            assert latest is not None, "a task's run has a checkpoint"
            return checkpoints.restore(latest, abstract)

    return restore


# --- estimated for a topology ------------------------------------------------------------------


def _for_topology(options: ProfileOptions, task: Task) -> Profile:
    _, mesh = topology.laid_out(task.config, task.stage, options.topology)
    check_writable(task.folder)
    say(f"Compiling the {task.stage} stage for {options.topology} (minutes for large networks) …")
    begun = time.perf_counter()
    executable = topology.compile_step(task.config, task.stage, mesh)
    compiling = time.perf_counter() - begun
    estimate = topology.estimate(executable)
    text = executable.as_text() or ""
    attribution, table = attribute(text), analytic_table(task)
    table.add_seconds(
        summed(
            (attribution.scope(each.name), each.total_cycles / estimate["clock_hz"])
            for each in estimate["instructions"]
        )
    )
    add_compiled_bytes(table, text, attribution)
    if options.hlo:
        write_text(task.folder / "step.hlo", text)
    memory = memory_by_kind(task, executable)
    memory["peak"] = estimate["memory"]["peak"]
    seconds = table.total.seconds
    assert seconds is not None, "they were added"
    return result_of(
        task,
        table,
        chips.chip(topology.generation(options.topology)),
        {"platform": "tpu", "device": options.topology, "devices": mesh.size},
        {"seconds": seconds, "traced_seconds": None, "input_wait": None},
        {"cold": {"compiling": compiling}},
        memory,
        executable,
        time_source="compiler's estimate",
        data="nothing was run",
        trace=None,
    )
