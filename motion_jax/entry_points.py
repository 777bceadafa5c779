"""What other packages add to this one: entry points, by name, in one sentence where they are
broken.

A package that is installed says in its metadata what it adds, for example in its pyproject.toml:

    [project.entry-points."motion_jax.recipes"]
    tint = "tint.recipe"            # a module with RECIPE, or "tint.recipe:Tint", the class itself
    [project.entry-points."motion_jax.configs"]
    tiny_tint = "tint.tiny"         # a module that defines `config = Config(...)`
"""

import importlib.metadata
import importlib.util
from collections.abc import Collection
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from motion_jax.errors import UserError

RECIPES, CONFIGS = "motion_jax.recipes", "motion_jax.configs"


def added(group: str) -> list[EntryPoint]:
    """The entry points of a group, by name; nothing is imported."""
    found = importlib.metadata.entry_points(group=group)
    # One package may be found in two places of the path, of which Python imports the first.
    unique = {(point.name, point.value, _package(point)): point for point in found}
    return sorted(unique.values(), key=lambda point: point.name)


def named(group: str, name: str, ours: Collection[str] = ()) -> EntryPoint | None:
    """The entry point of that name; None where there is none.

    ours: names that this package has itself. Raises UserError where two have one name.
    """
    found = [point for point in added(group) if point.name == name]
    owners = [f"the package {_package(point)}" for point in found]
    if name in ours and found:
        owners.insert(0, "motion_jax")
    if len(owners) > 1:
        raise UserError(
            f"{' and '.join(owners)} both have {_kind(group)} named {name!r}; uninstall one of "
            "them."
        )
    return found[0] if found else None


def load(point: EntryPoint) -> Any:
    """What it points to. Raises UserError where that cannot be imported."""
    try:
        return point.load()
    except UserError:
        raise
    except Exception as error:  # whatever another package's code does when it is imported
        raise refused(point, error) from error


def file_of(point: EntryPoint) -> Path:
    """The Python file of a module that it points to. Raises UserError where there is none."""
    try:
        spec = importlib.util.find_spec(point.module)
    except Exception as error:  # as above: packages around the module are imported
        raise refused(point, error) from error
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        raise refused(point, "there is no such module")
    return Path(spec.origin)


def refused(point: EntryPoint, why: Exception | str) -> UserError:
    """The error that what it points to cannot be used."""
    reason = why if isinstance(why, str) else f"{type(why).__name__}: {why}"
    return UserError(
        f"{_kind(point.group).capitalize()} named {point.name!r} of the package {_package(point)} "
        f"({point.value}) cannot be used: {reason}."
    )


def _kind(group: str) -> str:
    return "a recipe" if group == RECIPES else "a config"


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "?"
