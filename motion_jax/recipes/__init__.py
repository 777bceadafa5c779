"""One system a file: its networks, stages and losses.

A recipe is a module here with a frozen dataclass `RECIPE`, a base.Recipe: its fields are
hyperparameters and its methods pure functions. Nothing outside asks for its name. Other packages
add theirs with entry points (motion_jax/entry_points.py).
"""

import importlib
import pkgutil
from types import ModuleType

from motion_jax import entry_points
from motion_jax.errors import UserError


def recipe_names() -> list[str]:
    """Of all modules here that are recipes, and of those that other packages add."""
    ours = [name for name in _modules() if hasattr(_module(name), "RECIPE")]
    added = [point.name for point in entry_points.added(entry_points.RECIPES)]
    return list(dict.fromkeys([*ours, *added]))


def _modules() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(__path__)]


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")


def recipe_class(name: str) -> type:
    """The recipe dataclass of motion_jax/recipes/<name>.py, or of another package's entry point of
    that name. Raises UserError for an unknown name, and for one that cannot be used."""
    ours = name in _modules() and hasattr(_module(name), "RECIPE")
    point = entry_points.named(entry_points.RECIPES, name, [name] if ours else [])
    if ours:
        return _module(name).RECIPE
    if point is None:
        raise UserError(
            f"There is no recipe named {name!r} in this version of motion_jax, nor in another "
            "package that is installed here; install the versions that the run was made with "
            "(versions.json in the run folder)."
        )
    from motion_jax.recipes.base import Recipe

    found = entry_points.load(point)
    found = getattr(found, "RECIPE", found)
    if not (isinstance(found, type) and issubclass(found, Recipe)):
        raise entry_points.refused(
            point,
            "it is neither a class of motion_jax.recipes.base.Recipe nor a module with one "
            "as RECIPE",
        )
    return found
