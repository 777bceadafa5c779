"""Every setting of an experiment: frozen dataclasses, and how a config file becomes one.

A config is a Python file that defines `config = Config(...)`; its docstring says what it is for, on
what hardware, how long it takes and what came out.
"""

import contextlib
import dataclasses
import difflib
import hashlib
import json
import math
import numbers
import re
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from motion_jax import entry_points
from motion_jax.data.settings import Data
from motion_jax.devices.options import Devices
from motion_jax.errors import UserError, marked, setting
from motion_jax.errors import option as named
from motion_jax.recipes import recipe_class, recipe_names
from motion_jax.recipes.base import Recipe
from motion_jax.recipes.everybody_dance_now import EverybodyDanceNow


@dataclass(frozen=True)
class Record:
    """What a run writes down, and how often. May differ when a run is continued."""

    log_every: int = 20
    """Steps between logged metrics."""
    sample_every: int = 500
    """Steps between sample grids and short videos of the same held-out poses."""
    sample_seconds: float = 3.0
    """Length of the sample video."""
    checkpoint_minutes: float = 10.0
    """Minutes between checkpoints."""
    checkpoint_every: int = 0
    """Steps between checkpoints, besides those by time; 0: by time alone."""
    keep: int = 3
    """Most recent checkpoints kept, besides the last one of each stage."""
    keep_hours: float = 0.0
    """Besides, one checkpoint for every so many hours of training is kept for good; 0: none."""
    keep_best: str = ""
    """Besides, of each stage the checkpoint with the lowest score of this name: "heldout", measured
    on up to 64 held-out pictures at each checkpoint (1 - SSIM; of pictures without partners the
    sliced Wasserstein distance), or a loss of training ("G_GAN_Feat", say), the mean over the steps
    logged since the checkpoint before it. Empty: none. transfer and evaluate take it with --step
    best."""
    trace: bool = True
    """Trace steps 10 to 14 of each stage into RUN/trace, for XProf and TensorBoard."""


@dataclass(frozen=True)
class Guard:
    """When training has gone wrong, and what then. Part of what is trained."""

    on_failure: Literal["stop", "lower"] = "stop"
    """What to do about a NaN or a collapsed discriminator: stop with a sentence, or go back to the
    last good checkpoint and on with a lower learning rate, once in a run, and then stop."""
    factor: float = 0.5
    """What the stage's learning rate is then multiplied by."""
    collapsed_below: float = 1e-4
    """A discriminator that always wins teaches the generator nothing: it counts as collapsed when
    the sum of its losses is below this at every look for collapsed_steps steps; 0: not watched."""
    collapsed_steps: int = 2000
    """See collapsed_below."""
    every: int = 20
    """Steps between two looks at the losses for that."""


@dataclass(frozen=True)
class Config:
    """One experiment."""

    recipe: Recipe = field(default_factory=EverybodyDanceNow)
    """The system that is trained: networks, losses, stages."""
    data: Data = field(default_factory=Data)
    record: Record = field(default_factory=Record)
    guard: Guard = field(default_factory=Guard)
    devices: Devices = field(default_factory=Devices)
    seed: int = 0
    """Of the initial parameters, the order of the examples and the augmentation."""

    def validate(self) -> None:
        """Raises UserError for the first setting that cannot work."""
        check_values(self)
        self.recipe.validate()
        if not 0.0 <= self.data.holdout <= 0.9:
            raise UserError(
                f"{setting('data.holdout')} = {self.data.holdout} is not a share between 0 and "
                "0.9; 0.2 holds out the last fifth of each clip."
            )
        for name in ("log_every", "sample_every", "keep"):
            if getattr(self.record, name) < 1:
                raise UserError(f"{setting(f'record.{name}')} must be at least 1.")
        if not 0.0 < self.guard.factor < 1.0:
            raise UserError(
                f"{setting('guard.factor')} = {self.guard.factor} does not lower the learning "
                "rate; use a number between 0 and 1."
            )
        for name in ("collapsed_steps", "every"):
            if getattr(self.guard, name) < 1:
                raise UserError(f"{setting(f'guard.{name}')} must be at least 1.")


# What a setting of each type holds, in words.
_HELD: dict[type, tuple[type | tuple[type, ...], str]] = {
    float: (numbers.Real, "number"),
    int: (numbers.Integral, "whole number"),
    bool: (bool, "True or False"),
    str: (str, "text"),
}


def check_values(value: Any, where: str = "") -> None:
    """Raises UserError for the first setting of the dataclass `value` that is of another type than
    its field, no finite number, or a learning rate or a loss's weight below 0. Configs are Python,
    which takes anything. where: the name of `value` among the settings."""
    kinds = typing.get_type_hints(type(value))
    for each in dataclasses.fields(value):
        kind = kinds[each.name]
        held: Any = getattr(value, each.name)
        name = f"{where}.{each.name}".lstrip(".")
        if dataclasses.is_dataclass(held):
            check_values(held, name)
            continue
        wanted, words = _HELD.get(kind, (object, ""))
        boolean = isinstance(held, bool) and wanted is not bool
        if not isinstance(held, wanted) or (words and boolean):
            raise UserError(f"{setting(name)} = {held!r} is no {words}.")
        if kind is not float:
            continue
        amount = typing.cast(float, held)
        if not math.isfinite(amount):
            raise UserError(f"{setting(name)} = {held!r} is no finite number.")
        if (where.endswith("losses") or each.name == "learning_rate") and amount < 0:
            raise UserError(f"{setting(name)} = {held!r} is negative; use 0 or more.")


def shipped() -> dict[str, Path]:
    """The configs that come with the package, by name."""
    here = Path(__file__).resolve().parent
    for folder in (here / "shipped_configs", here.parent / "configs"):
        if folder.is_dir():
            files = sorted(folder.glob("*.py"))
            return {file.stem: file for file in files if not file.stem.startswith("_")}
    return {}


def config_names() -> list[str]:
    """Of the shipped configs, and then of those that other packages add (entry_points.py)."""
    added = [point.name for point in entry_points.added(entry_points.CONFIGS)]
    return list(dict.fromkeys([*shipped(), *added]))


def _named(name: str) -> Path:
    """The file of a config that is shipped or added; else the name as a path."""
    ours = shipped()
    if Path(name).suffix == ".py":
        return Path(name)
    added = entry_points.named(entry_points.CONFIGS, name, ours)
    if added is not None:
        return entry_points.file_of(added)
    return ours.get(name, Path(name))


def load_config(name: str) -> Config:
    """The config of a file, or of a shipped or added one by its name.

    Raises UserError where there is none, it does not run, or it names a field that does not exist,
    and where its recipe would not be found again.
    """
    path = _named(name)
    if not path.is_file():
        known = config_names()
        near = difflib.get_close_matches(path.stem, known, 1)
        hint = f"; did you mean {near[0]}?" if near else "."
        raise UserError(
            f"There is no config {name}: give a Python file or one of {', '.join(known)}{hint}"
        )
    scope: dict[str, Any] = {"__name__": "motion_jax_config", "__file__": str(path)}
    try:
        exec(compile(path.read_text(), str(path), "exec"), scope)
    except TypeError as error:
        raise UserError(f"{path}: {explain_type_error(error)}") from error
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"The config {path} does not run: {type(error).__name__}: {error}."
        ) from error
    config = scope.get("config")
    if not isinstance(config, Config):
        raise UserError(f"The config {path} must define `config = Config(...)`; it does not.")
    _check_found_again(config, path)
    return config


def _check_found_again(config: Config, path: Path) -> None:
    """Raises UserError where config.json, which names the recipe, would not lead back to it."""
    name, here = config.recipe.name, type(config.recipe)
    try:
        there = recipe_class(name)
    except UserError as error:
        reason = marked(error)
        raise UserError(
            f"The recipe of {path} calls itself {name!r}, but {reason[0].lower()}{reason[1:]}"
        ) from error
    if there is not here:
        raise UserError(
            f"The recipe of {path} ({here.__module__}) calls itself {name!r}, but the one of that "
            f"name is that of {there.__module__}; its name must be that of its module or of its "
            "entry point."
        )


def explain_type_error(error: TypeError) -> str:
    """A misspelt field, with the right one suggested; other errors as they are."""
    found = re.search(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error))
    if not found:
        return str(error)
    owner, name = found.groups()
    fields = _fields_by_class().get(owner, [])
    return f"{owner} has no field {name!r}; {_suggest(name, fields)}"


def _suggest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.5)
    return f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}."


def unknown_option(option: str, config: Config) -> str:
    """The sentence for a command-line option that is no field of the config."""
    name = option.split("=")[0].lstrip("-").replace("-", "_")
    known = list(flatten(to_json(config)))
    near = difflib.get_close_matches(name, known, 1, 0.65)
    if not near:  # the last part alone may be right, in another place
        last = name.split(".")[-1]
        ends = {path.split(".")[-1]: path for path in known}
        near = [ends[match] for match in difflib.get_close_matches(last, ends, 1, 0.6)]
    hint = f"did you mean {named(near[0])}?" if near else "see --help for all of them."
    return f"There is no option {option.split('=')[0]}; {hint}"


def _fields_by_class() -> dict[str, list[str]]:
    """Fields by their class's name; where recipes share that, the fields of all of them."""
    found: dict[str, list[str]] = {}
    seen: set[type] = set()

    def visit(kind: type) -> None:
        seen.add(kind)
        known = found.setdefault(kind.__name__, [])
        known += [f.name for f in dataclasses.fields(kind) if f.name not in known]
        for hint in typing.get_type_hints(kind).values():
            if isinstance(hint, type) and dataclasses.is_dataclass(hint) and hint not in seen:
                visit(hint)

    visit(Config)
    for name in recipe_names():
        # A broken recipe of another package must not keep a field from being explained.
        with contextlib.suppress(UserError):
            visit(recipe_class(name))
    return found


def to_json(config: Config) -> dict[str, Any]:
    """Plain values, as config.json keeps them; recipe.type names the recipe's module."""
    value = json.loads(json.dumps(dataclasses.asdict(config)))
    return value | {"recipe": {"type": config.recipe.name, **value["recipe"]}}


def from_json(value: dict[str, Any], where: str = "config.json") -> Config:
    """The inverse of to_json. Raises UserError for entries that this version does not know."""
    try:
        value = dict(value)
        recipe = dict(value["recipe"])
        kind = recipe_class(recipe.pop("type"))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{where} is no config of motion_jax (no recipe.type in it); give the folder of a run "
            "that motion-jax train wrote."
        ) from error
    try:
        value["recipe"] = _build(kind, recipe)
        return _build(Config, value)
    except TypeError as error:
        raise UserError(f"{where}: {explain_type_error(error)}") from error


def _build(kind: type | None, value: Any) -> Any:
    if typing.get_origin(kind) is tuple and isinstance(value, list):
        return tuple(value)  # JSON knows lists alone
    if not dataclasses.is_dataclass(kind) or not isinstance(value, dict):
        return value
    hints = typing.get_type_hints(kind)
    return kind(**{name: _build(hints.get(name), entry) for name, entry in value.items()})


def flatten(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for name, entry in value.items():
        if isinstance(entry, dict):
            flat |= flatten(entry, f"{prefix}{name}.")
        else:
            flat[prefix + name] = entry
    return flat


# Settings of how data are read, which change nothing of what is trained.
HOW_READ = ("data.workers", "data.cache")


def differences(a: Config, b: Config) -> list[str]:
    """The settings that change what is trained and differ, as "name: a -> b"."""
    flat_a, flat_b = (
        {
            k: v
            for k, v in flatten(to_json(c)).items()
            if not k.startswith(("record.", "devices.")) and k not in HOW_READ
        }
        for c in (a, b)
    )
    names = [*flat_a, *(name for name in flat_b if name not in flat_a)]
    return [
        f"{name}: {flat_a.get(name)} -> {flat_b.get(name)}"
        for name in names
        if flat_a.get(name) != flat_b.get(name)
    ]


def config_hash(config: Config) -> str:
    """SHA-256 of what is trained (the settings of record and devices, and HOW_READ, left out), in
    hexadecimal."""
    value = {k: v for k, v in to_json(config).items() if k not in ("record", "devices")}
    # As in configs that did not have the one and left the other alone: their hashes stay.
    value["data"] = {k: v for k, v in value["data"].items() if k != "cache"} | {"workers": 0}
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
