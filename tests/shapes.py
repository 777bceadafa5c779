"""Checks the annotated shapes of arrays while the tests run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, install_import_hook

# An int will do where a float is asked for, as in Python's own typing.
_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))


def _has_array(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    parts = hint if isinstance(hint, list) else get_args(hint)
    return any(_has_array(part) for part in parts)


def checked(function: Callable) -> Callable:
    """The function with its annotations of arrays checked at every call. All others are the type
    checker's, and tests of bad input break them on purpose."""
    hints = {name: hint for name, hint in function.__annotations__.items() if _has_array(hint)}
    function.__annotations__ = hints
    return _beartype(function) if hints else function


def check_shapes() -> None:
    """From now on, modules that annotate arrays with their shapes are checked when imported: every
    function at every call, and every dataclass when one is made."""
    root = Path(__file__).resolve().parents[1]
    files = [file for file in root.glob("motion_jax/**/*.py") if "jaxtyping" in file.read_text()]
    modules = [".".join(file.relative_to(root).with_suffix("").parts) for file in files]
    install_import_hook([name.removesuffix(".__init__") for name in modules], "shapes.checked")
