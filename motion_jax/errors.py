"""The one error that a user is meant to read, and how it names what the user may change.

Library code names an option by its field: `option("max_gap")`. Who reads the message decides how
it is shown: `str(error)` says max_gap, as a caller of the library wrote it; the command line says
--max-gap. Until then the names are marked in the text.
"""

import re
from collections.abc import Callable

# Private characters of Unicode: no message has them otherwise, and they pass through JSON.
_OPTION, _SETTING, _END = "\ue000", "\ue001", "\ue002"
_MARKS = re.compile(f"([{_OPTION}{_SETTING}])(.*?){_END}", re.DOTALL)


def option(name: str, value: bool | None = None) -> str:
    """An option for a message: marked, so that a command line can word it as its flag.

    Args:
      name: of the field, with underscores; of a field of a field with a dot
        ("retrieval.neighbours").
      value: where the message asks for a switch to be off, False ("--no-smooth", smooth=False).
    """
    return f"{_OPTION}{name}{'' if value is None else f'={value}'}{_END}"


def setting(name: str) -> str:
    """A setting of a config for a message ("recipe.face_stage.steps"): reads the same everywhere,
    and the error knows which one it is about."""
    return f"{_SETTING}{name}{_END}"


def flag(name: str) -> str:
    """How a command line writes an option: --max-gap, --no-smooth."""
    name, _, value = name.partition("=")
    above, dot, last = name.rpartition(".")
    return "--" + f"{above}{dot}{'no-' if value == 'False' else ''}{last}".replace("_", "-")


def worded(text: str, word: Callable[[str], str] = flag) -> str:
    """Marked text with its options worded, for example as flags."""
    return _MARKS.sub(lambda mark: word(mark[2]) if mark[1] == _OPTION else mark[2], text)


def plain(text: str) -> str:
    """Marked text with its options named as fields."""
    return worded(text, lambda name: name)


def marked(error: BaseException) -> str:
    """An error's message with its marks, to be part of another message."""
    return error.marked if isinstance(error, UserError) else str(error)


class UserError(Exception):
    """One sentence: what is wrong, where (file, place), and what to do about it.

    The command line prints it after ``motion-jax: error:`` and exits with status 2. Raise it before
    anything is written, or remove what was begun.

    Attributes:
      marked: the sentence with its options marked; str(error) names them as fields.
      field: of the options that it is about ("max_gap", "recipe.face_stage.steps"): the first one
        that it names; None where it names none.
    """

    def __init__(self, message: str = "", field: str | None = None):
        super().__init__(message)
        found = _MARKS.search(message)
        self.field = field or (found[2].partition("=")[0] if found else None)

    @property
    def marked(self) -> str:
        return self.args[0]

    def __str__(self) -> str:
        return plain(self.marked)
