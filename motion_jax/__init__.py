"""Make a person in one video move like the person in another, trained and run with JAX.

    import motion_jax as mj

    person = mj.load("runs/target")
    for picture in person.frames(mj.poses("dance.mp4")):
        ...                                   # uint8 [H, W, 3]

The names below are stable: they change only with a note in CHANGELOG.md. Everything else in the
package may change from version to version. Nothing heavy is imported before it is used.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

# Every stable name, and the module that it comes from.
_STABLE = {
    # What is done, by functions as by the verbs of the command line.
    "prepare": "library",
    "poses": "library",
    "train": "library",
    "load": "library",
    "transfer": "library",
    "evaluate": "library",
    "compare": "library",
    "load_config": "config",
    "load_network": "port.network",
    # What they take and give.
    "Performer": "library",
    "Config": "config",
    "Network": "port.network",
    "PoseTrack": "pose.track",
    "PoseOptions": "pose.options",
    "PrepareOptions": "data.prepare_options",
    "TransferOptions": "transfer.options",
    "RetrievalOptions": "retrieval.options",
    "EvaluateOptions": "evaluate.options",
    "CompareOptions": "compare.options",
    # How work is watched and stopped, and what goes wrong.
    "events": "events",
    "StopToken": "events",
    "UserError": "errors",
    "Stopped": "events",
    "Interrupted": "events",
}

__all__ = ["__version__", *_STABLE]


def __getattr__(name: str) -> Any:
    if name not in _STABLE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_STABLE[name]}")
    return module if name == _STABLE[name] else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_STABLE})
