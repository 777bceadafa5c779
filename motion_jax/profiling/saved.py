"""Compiled train steps in a file, and back.

A program compiled where no TPU or card is can be started where one is, at once: on the same chips
in the same topology, with the same versions of jax and its plugin. The file is a zip: about.json
says what is in it, STAGE.bin holds the program. Loading runs what the file says: load only what you
made.
"""

import contextlib
import importlib.metadata
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from jax.experimental.serialize_executable import deserialize_and_load, serialize

from motion_jax.config import Config, from_json, to_json
from motion_jax.devices import mesh as meshes
from motion_jax.errors import UserError
from motion_jax.files import atomic_path
from motion_jax.profiling.topology import devices_of
from motion_jax.train.step import step_inputs

FORMAT = 1


def versions() -> dict[str, str]:
    """Versions that a compiled program is bound to, as far as installed."""
    found = {}
    for package in ("jax", "jaxlib", "libtpu", "jax-cuda13-plugin", "jax-cuda12-plugin"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def save(path: Path, executables: Mapping[str, tuple[Config, jax.stages.Compiled]]) -> None:
    """Writes the compiled steps of stages (each with the config that it was compiled for).

    Raises UserError where the file cannot be written.
    """
    about: dict[str, Any] = {"format": FORMAT, "versions": versions(), "stages": {}}
    programs = {}
    for name, (config, compiled) in executables.items():
        programs[name], _, out_tree = serialize(compiled)
        devices = devices_of(compiled)
        _, metrics = out_tree.unflatten([0] * out_tree.num_leaves)
        about["stages"][name] = {
            "config": to_json(config),
            "kind": devices[0].device_kind,
            "devices": len(devices),
            "metrics": sorted(metrics),
        }
    with (
        atomic_path(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        archive.writestr("about.json", json.dumps(about, indent=2))
        for name, program in programs.items():
            archive.writestr(f"{name}.bin", program)


def load_step(
    path: Path, stage: str, devices: Sequence[Any] | None = None
) -> tuple[Config, jax.stages.Compiled]:
    """(config, step) of a stage that `save` wrote: step(state, batch, frozen) -> (state, metrics),
    for arguments that lie as train.step.compiled_step wants them; state is donated.

    devices: default: all of this job. Raises UserError where the file is none, has no such stage,
    or was made for other devices or versions.
    """
    about, program = _read(Path(path), stage)
    entry = about["stages"][stage]
    made = about["versions"]
    here = {name: version for name, version in versions().items() if name in made}
    if any(made[name] != version for name, version in here.items()):
        theirs, ours = (
            ", ".join(f"{name} {version}" for name, version in found.items())
            for found in (made, here)
        )
        raise UserError(
            f"{path} was compiled with {theirs}, and here is {ours}; compile it again with these."
        )
    devices = list(jax.devices() if devices is None else devices)
    if (devices[0].device_kind, len(devices)) != (entry["kind"], entry["devices"]):
        raise UserError(
            f"{path} was compiled for {entry['devices']} x {entry['kind']}, and here is "
            f"{len(devices)} x {devices[0].device_kind}; run it on the topology that it was "
            "compiled for."
        )
    config = from_json(entry["config"], f"about.json in {path}")
    mesh = meshes.of_stage(config.devices, config.recipe.stages()[stage], stage, devices)
    inputs = step_inputs(config, stage, mesh)
    results = (inputs[0], dict.fromkeys(entry["metrics"], 0))
    step = deserialize_and_load(
        program,
        jax.tree.structure((inputs, {})),
        jax.tree.structure(results),
        backend=devices[0].client,
        execution_devices=list(mesh.devices.flat),
    )
    return config, step


def _read(path: Path, stage: str) -> tuple[dict[str, Any], bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            about = json.loads(archive.read("about.json"))
            if about.get("format") != FORMAT or stage not in about["stages"]:
                raise UserError(
                    f"{path} has no compiled stage {stage!r}; it has "
                    f"{', '.join(about.get('stages', {})) or 'none'}."
                )
            return about, archive.read(f"{stage}.bin")
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read as compiled steps ({error}); make it with motion-jax compile "
            "--save."
        ) from error
