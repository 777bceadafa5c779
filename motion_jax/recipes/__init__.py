"""One system a file: its networks, stages and losses.

A recipe is a module here with a frozen dataclass `RECIPE`, a base.Recipe: its fields are
hyperparameters and its methods pure functions. Nothing outside asks for its name.
"""

import importlib
import pkgutil
from types import ModuleType

from motion_jax.errors import UserError


def recipe_names() -> list[str]:
    """Of all modules here that are recipes."""
    every = (module.name for module in pkgutil.iter_modules(__path__))
    return [name for name in every if hasattr(_module(name), "RECIPE")]


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")


def recipe_class(name: str) -> type:
    """The recipe dataclass of motion_jax/recipes/<name>.py. Raises UserError for an unknown
    name."""
    known = [module.name for module in pkgutil.iter_modules(__path__)]
    if name in known:
        module = _module(name)
        if hasattr(module, "RECIPE"):
            return module.RECIPE
    raise UserError(
        f"There is no recipe named {name!r} in this version of motion_jax; install the version "
        "that the run was made with (versions.json in the run folder)."
    )
