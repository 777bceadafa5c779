"""`motion-jax export`: a run, or one weight file, in the formats of other programs.

    torch         the original's files (latest_net_G.pth ..., opt.txt), which its programs load
    safetensors   the same keys and arrays as .safetensors
    orbax         the generator's parameters alone, as a plain tree
    stablehlo     the generator as a program for CPU, CUDA and TPU that jax alone runs
    onnx          the generator as a graph that ONNX Runtime runs
    openvino      the same as OpenVINO's XML and BIN

Everything goes into one folder; programs get a JSON beside them that says how they are called.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from motion_jax.errors import UserError, option
from motion_jax.files import check_outputs, check_writable, parted, write_json, write_text
from motion_jax.port import calling, export_first_order, onnx, openvino, stablehlo, stylegan2
from motion_jax.port.experiment import is_weight_file
from motion_jax.port.network import Network, load_network
from motion_jax.port.options import ExportOptions, Format
from motion_jax.port.run_networks import (
    departures,
    has_original,
    networks_of,
    options_of,
    options_text,
)
from motion_jax.port.run_state import all_params, newest_weights
from motion_jax.progress import say
from motion_jax.train.run import read_config
from motion_jax.weights.safetensors import write_safetensors
from motion_jax.weights.torch import write_pth


@dataclass(frozen=True)
class _Job:
    """What is to be written.

    Attributes:
      networks: by the original's file names, or the file's own stem.
      run: where they come from; None for a weight file.
      prefix: of the file names.
      about: where the weights came from.
      inputs: example inputs by network, where they are not the original's pictures.
    """

    networks: dict[str, Network]
    run: Any
    prefix: str
    about: dict[str, Any]
    inputs: dict[str, tuple[Any, ...]] = field(default_factory=dict)


# Formats that hold any network, of the original's or not.
_ANY_NETWORK = ("orbax", "stablehlo")
# Those that are written layer by layer, of the networks in onnx.py, of the original's or not.
_GRAPHS = ("onnx", "openvino")

# What will be written: by path, the function that writes it.
Files = dict[Path, Callable[[Path], Any]]


def export(options: ExportOptions) -> list[Path]:
    """Writes the files; returns their paths.

    Raises UserError for what the format cannot hold and for files that are there already, before
    anything is written.
    """
    if (options.source is None) == (options.run is None):
        raise UserError(
            f"motion-jax export takes either {option('run')} DIR or one weight file; for example: "
            "motion-jax export --run runs/target --format onnx --out exported"
        )
    if options.half and options.format in ("orbax", "stablehlo"):
        raise UserError(
            f"{option('half')} is not for {option('format')} {options.format}; leave it out."
        )
    # Files that are there already are not written over, see below.
    check_outputs(options, "out", adds=True)
    job = None
    if options.run is not None and export_first_order.wanted(options):
        files = export_first_order.files(options)
    elif (styled := _style_files(options)) is not None:
        files = styled
    else:
        job = _job_of_run(options) if options.run is not None else _job_of_file(options)
        files = _FILES[options.format](job, options)
    existing = [path for path in files if path.exists() or path.is_symlink()]
    if existing:
        more = f" (and {len(existing) - 1} more)" if existing[1:] else ""
        raise UserError(
            f"{existing[0]}{more} is there already: choose another {option('out')} or remove it."
        )
    check_writable(options.out)
    for path, write in files.items():
        write(path)
        say(f"Wrote {path}")
    weights_alone = options.format in ("torch", "safetensors")
    if weights_alone and job is not None and job.run is not None and "Dface" in job.networks:
        say(
            "The running statistics of Dface's batch norm are PyTorch's initial ones: neither "
            "program reads them, so motion-jax inspect shows them to differ from an original file."
        )
    if weights_alone and job is not None and job.run is not None and (found := departures(job.run)):
        say(found)
    return list(files)


def export_into(folder: Path, run: Path, form: Format) -> list[Path]:
    """Writes the generators of a run as programs into a folder, which may be one in the run itself;
    returns their paths. Raises UserError for what the format cannot hold."""
    options = ExportOptions(run=run, format=form, out=folder)
    found = _FILES[form](_job_of_run(options), options)
    folder.mkdir(parents=True, exist_ok=True)
    for path, write in found.items():
        write(path)
        say(f"Wrote {path}")
    return list(found)


def _style_files(options: ExportOptions) -> Files | None:
    """Of StyleGAN2's weights in the layout that is asked for; None for all other exports."""
    if options.run is None:
        assert options.source is not None, "one of the two is given"
        published = stylegan2.read(options.source)
        if published is None:
            return None
        networks = stylegan2.networks_of_file(published)
        return stylegan2.files(networks, options, options.source.stem)
    config = read_config(options.run)
    if config is None or config.recipe.name != "stylegan2":
        return None
    if options.format not in ("torch", "safetensors"):
        return None
    run, _ = all_params(options.run, options.weights)
    _, _, state = newest_weights(options.run, run.config)
    return stylegan2.files(stylegan2.of_run(run.config, state), options, "stylegan2")


def _job_of_run(options: ExportOptions) -> _Job:
    assert options.run is not None, "one of the two is given"
    folder, who = parted(options.run)
    run, params = all_params(folder, options.weights)
    if run.config.recipe.detects:
        raise UserError(
            f"The run {options.run} tells synthetic pictures and makes none, so there is no "
            f"generator to export; use motion-jax check FILE --detector {options.run}."
        )
    run = replace(run, params=params).as_identity(who)
    params = run.params
    weights = options.weights
    if weights == "default":
        weights = "averaged" if run.config.recipe.averaging else "raw"
    about = calling.about_run(run, weights)
    recipe = run.config.recipe
    modules, networks = recipe.tested_modules(run.stage), recipe.networks(run.stage)
    generators = [n for n, each in networks.items() if each.role == "generator" and n in params]
    if has_original(recipe):
        return _Job(networks_of(run, params), run, "latest_net_", about)
    if options.format in _GRAPHS and all(onnx.has_form(modules[name]) for name in generators):
        return _Job(_as_graphs(modules, networks, params, generators), run, "latest_net_", about)
    if options.format not in _ANY_NETWORK:
        return _Job(networks_of(run, params), run, "latest_net_", about)  # says what is wrong
    found = {
        name: Network(type(modules[name]).__name__, modules[name], params[name], {})
        for name in generators
    }
    inputs = {name: networks[name].inputs for name in found}
    return _Job(found, run, "latest_net_", about, inputs)


def _as_graphs(
    modules: Any, networks: Any, params: Any, generators: list[str]
) -> dict[str, Network]:
    """Generators of picture to picture that no original program has, for formats of graphs."""
    return {
        name: Network(
            type(modules[name]).__name__,
            modules[name],
            params[name],
            {"input_nc": networks[name].inputs[0].shape[-1], "output_nc": modules[name].output_nc},
        )
        for name in generators
    }


def _job_of_file(options: ExportOptions) -> _Job:
    if options.weights != "default":
        raise UserError(f"{option('weights')} is for runs; a weight file holds one set.")
    assert options.source is not None, "one of the two is given"
    if not is_weight_file(options.source):
        raise UserError(
            f"{options.source} is no weight file (.pth, .pt, .safetensors, StyleGAN2's .pkl); give "
            f"a run with {option('run')}, or make one of an experiment's folder or a .pth.tar with "
            "motion-jax import."
        )
    network = load_network(options.source)
    about = {"file": options.source.name, "network": dict(network.config)}
    return _Job({options.source.stem: network}, None, "", about)


# --- weights ------------------------------------------------------------------------------------


def _weight_files(job: _Job, options: ExportOptions) -> Files:
    write: Callable[..., None]
    other = ""
    if any(getattr(each.module, "identities", 0) for each in job.networks.values()):
        other = "has factors and shifts of who it is (recipe.identities)"
    elif job.run is not None and job.run.config.recipe.background == "plate":
        other = "draws the person and a matte"
    elif any(getattr(each.module, "up", "up") == "resize" for each in job.networks.values()):
        other = "makes its pictures larger in another way (recipe.generator.up = resize)"
    elif any(getattr(each.module, "shuffle", 1) > 1 for each in job.networks.values()):
        other = "takes blocks of pixels at once (recipe.generator.shuffle above 1)"
    if other:
        raise UserError(
            f"The run {options.run} {other}, for which the files of the original programs have no "
            f"place; choose {option('format')} onnx, stablehlo or orbax."
        )
    if options.format == "torch":
        suffix, write = ".pth", write_pth
    else:
        # By this entry the Transformers library and others know PyTorch's layout.
        suffix, write = ".safetensors", partial(write_safetensors, metadata={"format": "pt"})
    # All of them before the first is written: a network may have no such form.
    weights = {name: network.state_dict() for name, network in job.networks.items()}
    if options.half:
        weights = {name: _halved(arrays) for name, arrays in weights.items()}
    files: Files = {
        options.out / f"{job.prefix}{name}{suffix}": partial(write, weights=arrays)
        for name, arrays in weights.items()
    }
    if job.run is not None:
        files[options.out / "opt.txt"] = partial(write_text, text=options_text(options_of(job.run)))
    return files


def _halved(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        key: array.astype(np.float16) if array.dtype == np.float32 else array
        for key, array in arrays.items()
    }


def _orbax(job: _Job, options: ExportOptions) -> Files:
    return {
        options.out / name: partial(_write_orbax, network=network)
        for name, network in _generators(job).items()
    }


def _write_orbax(path: Path, network: Network) -> None:
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path.absolute(), jax.tree.map(np.asarray, dict(network.params)))


# --- programs -----------------------------------------------------------------------------------


def _onnx(job: _Job, options: ExportOptions) -> Files:
    files: Files = {}
    for name, network in _generators(job).items():
        convention = _convention(job, name, network, "NCHW", ("height", "width"))
        (output,) = convention["outputs"]
        inputs = calling.channels(convention)
        model = onnx.build(network.module, network.params, inputs, output["name"], options.half)
        path = options.out / f"{name}.onnx"
        about = {
            **onnx.heading(path, options.half),
            **convention,
            "from": job.about,
        }
        files[path] = partial(onnx.write, model=model, about=about)
        files[_beside(path)] = partial(write_json, value=about)
    return files


def _openvino(job: _Job, options: ExportOptions) -> Files:
    openvino.openvino_package()
    files: Files = {}
    for name, network in _generators(job).items():
        convention = _convention(job, name, network, "NCHW", ("height", "width"))
        (output,) = convention["outputs"]
        model = onnx.build(
            network.module, network.params, calling.channels(convention), output["name"]
        )
        path = options.out / f"{name}.xml"
        about = {
            "file": path.name,
            "format": "openvino",
            "stored": "float16" if options.half else "float32",
            **convention,
            "from": job.about,
        }
        files[path] = partial(_write_openvino, model=model.SerializeToString(), half=options.half)
        files[_beside(path)] = partial(write_json, value=about)
    return files


def _write_openvino(path: Path, model: bytes, half: bool) -> None:
    openvino.write(path, openvino.read(model), half)


def _stablehlo(job: _Job, options: ExportOptions) -> Files:
    files: Files = {}
    for name, network in _generators(job).items():
        if name in job.inputs:
            convention = calling.any_network(job.inputs[name])
            program = stablehlo.build_any(network.module, network.params, job.inputs[name])
        else:
            height, width = _size(job, name, options)
            network.check_input((1, height, width, network.config["input_nc"]))
            convention = _convention(job, name, network, "NHWC", (height, width))
            inputs = calling.channels(convention)
            program = stablehlo.build(network.module, network.params, inputs, height, width)
        path = options.out / f"{name}.stablehlo"
        weights = path.with_suffix(".npz")
        about = {
            "file": path.name,
            "format": "jax.export",
            "jax": jax.__version__,
            "calling_convention_version": program.calling_convention_version,
            "platforms": list(program.platforms),
            "weights": {
                "file": weights.name,
                "meaning": "arrays by name; the program's first argument, as a dictionary",
            },
            **convention,
            "from": job.about,
        }
        files[path] = partial(stablehlo.write, exported=program)
        files[weights] = partial(stablehlo.write_weights, params=network.params)
        files[_beside(path)] = partial(write_json, value=about)
    return files


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _generators(job: _Job) -> dict[str, Network]:
    """By the names of the files to write: generator, face_generator, or a weight file's own."""
    ours = {"G": "generator", "Gface": "face_generator", "G_A": "generator_A", "G_B": "generator_B"}
    found = {
        ours.get(name, name): network
        for name, network in job.networks.items()
        if "Discriminator" not in network.name
    }
    if not found:
        raise UserError(
            f"{', '.join(job.networks)} is a discriminator; this format is for generators: use "
            f"{option('format')} torch or safetensors."
        )
    return found


def _size(job: _Job, name: str, options: ExportOptions) -> tuple[int, int]:
    """(height, width) that a program takes."""
    if job.run is None:
        if options.size is None:
            raise UserError(
                "A StableHLO program has one size of picture, which a weight file does not tell; "
                f"give {option('size')} WIDTHxHEIGHT."
            )
        return parse_size(options.size)
    height, width = job.run.config.recipe.networks(job.run.stage)[name].inputs[0].shape[1:3]
    return height, width


def parse_size(text: str) -> tuple[int, int]:
    """ "512x256" (WIDTHxHEIGHT) -> (height, width). Raises UserError."""
    try:
        width, height = (int(side) for side in text.lower().split("x"))
    except ValueError as error:
        raise UserError(
            f"{option('size')} {text} is no size; give WIDTHxHEIGHT, for example 512x256."
        ) from error
    return height, width


def _convention(
    job: _Job, name: str, network: Network, layout: str, size: tuple[Any, Any]
) -> dict[str, Any]:
    inputs, outputs = network.config["input_nc"], network.config.get("output_nc", 3)
    if job.run is None:
        if inputs == 6 and outputs == 3 and network.name in ("GlobalGenerator", "LocalEnhancer"):
            return calling.recurrent_generator(layout, size)
        return calling.plain_network(layout, inputs, outputs, size)
    recipe: Any = job.run.config.recipe
    if name == "face_generator":
        found = calling.face_generator(layout, recipe.face.size, recipe.clamp_face)
    elif inputs == 6:
        found = calling.recurrent_generator(layout, size)
    else:
        dropout = {"dropout": "off"} if network.config.get("dropout") else {}
        found = calling.one_picture(layout, size, recipe.given) | dropout
    if getattr(recipe, "in_areas", False):
        found = calling.in_area(found, recipe.drawn_size(job.run.stage), job.run.size)
    return calling.with_matte(found) if outputs == 4 else found


_FILES = {
    "torch": _weight_files,
    "safetensors": _weight_files,
    "orbax": _orbax,
    "stablehlo": _stablehlo,
    "onnx": _onnx,
    "openvino": _openvino,
}
