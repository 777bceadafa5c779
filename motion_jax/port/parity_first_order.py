"""`motion-jax parity` of the First Order Motion Model: checkpoints of the original program
(NAME.pth.tar) and runs."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from motion_jax.errors import UserError, option
from motion_jax.nets.packed import Packed, unpacked
from motion_jax.port import import_first_order
from motion_jax.port.export_run import parse_size
from motion_jax.port.first_order_checkpoint import PARTS, named, parts_of
from motion_jax.port.options import ImportOptions, ParityOptions
from motion_jax.port.run_state import all_params
from motion_jax.recipes.first_order import FirstOrder
from motion_jax.train.run import read_config
from motion_jax.weights.torch import read_tree

Layers = dict[str, np.ndarray]


def layers_of_both(options: ParityOptions) -> tuple[Layers, Layers, str] | None:
    """(what each layer of A gives, of B, the input in words), by the names of our modules, in the
    order of execution; None where neither is of the First Order Motion Model.

    The settings that weights do not tell are those of the run, where one of the two is one. Raises
    UserError where only one is of this model, or has no such network.
    """
    paths = (options.a, options.b)
    found = [import_first_order.fits(path) or _of_run(path) is not None for path in paths]
    if not any(found):
        return None
    if not all(found):
        raise UserError(
            f"Of {options.a} and {options.b} only one is of the First Order Motion Model, so they "
            "have no layer in common; compare two of one kind. motion-jax inspect shows what each "
            "is."
        )
    recipes = [_of_run(path) for path in paths]
    recipe: Any = next((each for each in recipes if each is not None), None)
    if recipe is None:
        about = ImportOptions(options.a, Path("run"))
        recipe = import_first_order.plan(about, parse_size(options.size))[0].config.recipe
    assert isinstance(recipe, FirstOrder), "the import makes no other"
    networks = recipe.networks("main")
    name = PARTS.get(options.network, options.network)
    if name not in networks:
        raise UserError(
            f"{options.a} has no network {options.network!r}; give {option('network')} one of "
            f"{', '.join(networks)}."
        )
    module = recipe.tested_modules("main").get(name, networks[name].module)
    text = options.input or "random:0"
    inputs = _random(text, networks[name].inputs)
    one, two = (module_layers(module, _params(path, recipe)[name], *inputs) for path in paths)
    return one, two, text


def _of_run(path: Path) -> FirstOrder | None:
    """The recipe of a run of this model; None for anything else."""
    config = read_config(path) if (path / "config.json").is_file() else None
    return config.recipe if config and isinstance(config.recipe, FirstOrder) else None


def _params(path: Path, recipe: FirstOrder) -> Any:
    if path.is_dir():
        return all_params(path)[1]
    content = read_tree(path)
    named(content, path)
    return parts_of(content, recipe, path.name)


def _random(text: str, examples: Any) -> Any:
    """Inputs of these shapes: of jacobians, near the identity; all else in [-1, 1]."""
    kind, _, seed = text.partition(":")
    if kind != "random" or not seed.isdigit():
        raise UserError(
            f"{option('input')} {text}: networks of the First Order Motion Model take keypoints "
            "beside pictures; give random:SEED, as in random:0."
        )
    generator = np.random.default_rng(int(seed))

    def drawn(like: Any) -> Any:
        values = generator.uniform(-1, 1, like.shape).astype(np.float32)
        if like.shape[-2:] == (2, 2) and len(like.shape) == 4:
            values = np.eye(2, dtype=np.float32) + values / 4
        return jnp.asarray(values)

    return jax.tree.map(drawn, examples)


def module_layers(module: nn.Module, variables: Any, *inputs: Any) -> Layers:
    """What each layer of a module gives, by its place among its modules, in the order of execution;
    pictures [N, H, W, C] as [N, C, H, W]. Of a result of several arrays each has a name."""
    names: list[str] = []

    def run(variables: Any, *inputs: Any) -> list[Any]:
        names.clear()
        outputs = []

        def watch(call: Any, arguments: Any, keywords: Any, context: Any) -> Any:
            value = call(*arguments, **keywords)
            if context.method_name != "__call__":
                return value
            place = ".".join(context.module.path) or "output"
            whole = unpacked(value) if isinstance(value, Packed) else value
            for path, leaf in jax.tree_util.tree_flatten_with_path(whole)[0]:
                name = place + jax.tree_util.keystr(path)
                if name not in names:
                    names.append(name)
                    outputs.append(jnp.asarray(leaf, jnp.float32))
            return value

        with nn.intercept_methods(watch):
            module.apply(variables, *inputs, mutable=True)
        return outputs

    # Traced before the names are looked at.
    found = [np.asarray(value) for value in jax.jit(run)(variables, *inputs)]
    return {
        name: value.transpose(0, 3, 1, 2) if value.ndim == 4 else value
        for name, value in zip(names, found, strict=True)
    }
