"""One system a file: its networks, stages and losses.

A recipe is a module here with a frozen dataclass `RECIPE` whose fields are hyperparameters and
whose methods are pure functions: stages, validate, init, train_step, synthesize, synthesis_params.
"""

import importlib
import pkgutil

from motion_jax.errors import UserError


def recipe_class(name: str) -> type:
    """The recipe dataclass of motion_jax/recipes/<name>.py. Raises UserError for an unknown
    name."""
    known = [module.name for module in pkgutil.iter_modules(__path__)]
    if name in known:
        module = importlib.import_module(f"{__name__}.{name}")
        if hasattr(module, "RECIPE"):
            return module.RECIPE
    raise UserError(
        f"There is no recipe named {name!r} in this version of motion_jax; install the version "
        "that the run was made with (versions.json in the run folder)."
    )
