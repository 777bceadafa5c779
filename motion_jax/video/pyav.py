"""PyAV, or where it is not installed what stands for it: machines that only train and import
pictures may lack it.

Everything of the stand-in is one class, so that modules which name PyAV's types can be imported;
calling anything of it raises a UserError.
"""

from typing import Any

from motion_jax.errors import UserError


class _Lacking(type):
    """Of a class whose attributes are itself, and which cannot be called."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return cls

    def __call__(cls, *_: Any, **__: Any) -> Any:
        raise UserError(
            "Films are read and written by PyAV, which is not installed here: pip install av."
        )


class Absent(Exception, metaclass=_Lacking):
    """An exception, because what PyAV raises is named where it is caught."""


try:
    import av as av
    import av.filter
    import av.sidedata.sidedata
    import av.video.reformatter
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition(".")[0] != "av":
        raise
    av = Absent  # type: ignore[assignment]
