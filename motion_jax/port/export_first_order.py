"""A run of the First Order Motion Model as the file that the original program loads, and the YAML
that it asks for; or as ONNX."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from motion_jax.errors import UserError, option, setting
from motion_jax.files import write_text
from motion_jax.port import first_order_config, onnx_first_order
from motion_jax.port.first_order_checkpoint import checkpoint_of
from motion_jax.port.options import ExportOptions
from motion_jax.port.run_state import all_params
from motion_jax.recipes.first_order import FirstOrder
from motion_jax.train.run import read_config
from motion_jax.weights.torch import write_nested


def wanted(options: ExportOptions) -> bool:
    """Whether this is what is to be written. Raises UserError for a format that the networks have
    no form in."""
    assert options.run is not None, "of a run"
    config = read_config(options.run)
    if config is None or not isinstance(config.recipe, FirstOrder):
        return False
    if options.format == "safetensors":
        raise UserError(
            f"A first-order model is not written as {options.format}; choose {option('format')} "
            "torch (the original's file), onnx or stablehlo (programs) or orbax."
        )
    ours = ""
    if config.recipe.background_moves:
        ours = f"moves the background ({setting('recipe.background_motion.kind')})"
    elif config.recipe.generator.skips:
        ours = f"shows the warped photo itself ({setting('recipe.generator.skips')})"
    elif config.recipe.generator.matte:
        ours = f"leaves the photo as it is around what moves ({setting('recipe.generator.matte')})"
    if options.format == "torch" and ours:
        raise UserError(
            f"The run {options.run} {ours}, which the original's networks cannot; choose "
            f"{option('format')} onnx, stablehlo or orbax."
        )
    return options.format in ("torch", "onnx")


def files(options: ExportOptions) -> dict[Path, Any]:
    """By path, the function that writes it."""
    assert options.run is not None, "of a run"
    if options.format == "onnx":
        return onnx_first_order.files(options)
    run, params = all_params(options.run, options.weights)
    recipe: Any = run.config.recipe
    content = checkpoint_of(recipe, params)
    if options.half:
        content = {name: _halved(part) for name, part in content.items()}
    # JSON is YAML.
    settings = json.dumps(first_order_config.original(recipe), indent=2) + "\n"
    return {
        options.out / "00000000-checkpoint.pth.tar": partial(write_nested, content=content),
        options.out / "config.yaml": partial(write_text, text=settings),
    }


def _halved(part: Any) -> Any:
    """A network's arrays as float16; optimisers and the epoch as they are."""
    if not isinstance(part, dict):
        return part
    return {
        key: value.astype(np.float16)
        if isinstance(value, np.ndarray) and value.dtype == np.float32
        else value
        for key, value in part.items()
    }
