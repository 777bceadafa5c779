"""Packages of this one that can be called: `motion_jax.train(...)` is the verb, and
`motion_jax.train.loop` the module in the package of the same name."""

import importlib
import sys
from types import ModuleType
from typing import Any


class Verb(ModuleType):
    """A package that does, when it is called, what the function of its name in
    motion_jax/library.py does."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return getattr(importlib.import_module("motion_jax.library"), self.__name__.split(".")[-1])(
            *arguments, **named
        )


def callable_package(name: str) -> None:
    """Makes the package of that name, which is being imported, a Verb."""
    sys.modules[name].__class__ = Verb
