"""Forms from the dataclasses of the command line's options, and back: a new option of a verb is in
its form without a line here."""

import ast
import dataclasses
import functools
import inspect
import re
import shlex
import textwrap
import threading
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from motion_jax.errors import UserError, option
from motion_jax.parsing import one_sentence, plain_kinds

Kind = Literal["switch", "choice", "whole", "number", "text", "path", "list"]
# parsing.one_sentence changes the whole process's stderr for a moment.
_parsing = threading.Lock()


@dataclass(frozen=True)
class Field:
    """One option.

    Attributes:
      name: of the dataclass's field, those of dataclasses in it with a dot.
      flag: "--max-gap"; "" of one that has its place in the command instead.
      help: its documentation. default: as text; "" where there is none.
      required: whether it must be given. choices: of a choice; of a text that may be a path, the
        words that it may be instead. is_path: whether it names files.
    """

    name: str
    flag: str
    kind: Kind
    help: str
    default: str
    required: bool
    choices: tuple[str, ...] = ()
    is_path: bool = False


@functools.cache
def fields(kind: type, before: str = "") -> tuple[Field, ...]:
    """The options of a verb's dataclass, in the order of its --help."""
    hints, docs = typing.get_type_hints(kind, include_extras=True), documentation(kind)
    found: list[Field] = []
    described: Any = kind
    for each in dataclasses.fields(described):
        hint = hints[each.name]
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            found += fields(hint, f"{before}{each.name}.")
            continue
        found.append(_field(each, hint, docs.get(each.name, ""), before))
    return tuple(found)


def _field(each: Any, hint: Any, help_: str, before: str) -> Field:
    marks = getattr(hint, "__metadata__", ())
    positional = any(mark is tyro.conf.Positional or "Positional" in repr(mark) for mark in marks)
    hint = typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint
    kind, choices, is_path = _kind(hint)
    required = each.default is each.default_factory is dataclasses.MISSING
    default = None if required else each.default
    if each.default_factory is not dataclasses.MISSING:
        default = each.default_factory()
    # Annotated with tyro.conf.arg(name=...) where the name is no identifier.
    name = next(filter(None, (getattr(mark, "name", None) for mark in marks)), each.name)
    flag = "--" + f"{before}{name}".replace("_", "-")
    return Field(
        before + each.name,
        "" if positional else flag,
        kind,
        help_,
        _text(default),
        required,
        choices,
        is_path,
    )


def _kind(hint: Any) -> tuple[Kind, tuple[str, ...], bool]:
    """(kind, choices, whether it is a path) of an annotation."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        inner = [one for one in typing.get_args(hint) if one is not type(None)]
        if len(inner) == 1:
            return _kind(inner[0])
        # Words or a path ("plate", or a picture): free text.
        told = [word for one in inner for word in typing.get_args(one)]
        return "text", tuple(map(str, told)), Path in inner
    if typing.get_origin(hint) is Literal:
        return "choice", tuple(str(word) for word in typing.get_args(hint)), False
    if typing.get_origin(hint) is tuple:
        return "list", (), Path in typing.get_args(hint)
    simple: dict[Any, Kind] = {bool: "switch", int: "whole", float: "number", Path: "path"}
    return simple.get(hint, "text"), (), hint is Path


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple | list):
        return shlex.join(map(str, value))
    return str(value)


@functools.cache
def documentation(kind: type) -> Mapping[str, str]:
    """The text under each field of a dataclass, those that it inherits among them, as one line."""
    found: dict[str, str] = {}
    for parent in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(parent):
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(parent)))
        except (OSError, SyntaxError):  # A class without a file.
            continue
        body = typing.cast(ast.ClassDef, tree.body[0]).body
        for line, below in zip(body, body[1:], strict=False):
            if not isinstance(line, ast.AnnAssign) or not isinstance(line.target, ast.Name):
                continue
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                found[line.target.id] = " ".join(str(below.value.value).split())
    return found


def words(kind: type, values: Mapping[str, str | bool | Sequence[str]]) -> list[str]:
    """The command's words for what a form holds; what stands at its default is left out.

    Args:
      values: by Field.name: text, of switches a bool, of lists also a list of texts. "" is: not
        given.
    Raises UserError for a name that is no option, and where something is missing.
    """
    known = {each.name: each for each in fields(kind)}
    if unknown := set(values) - set(known):
        raise UserError(f"There is no option {sorted(unknown)[0]}.")
    placed: list[str] = []
    given: list[str] = []
    for name, each in known.items():
        made = _words(each, values.get(name, "" if each.kind != "switch" else each.default))
        if each.required and not made:
            raise UserError(f"{option(name)} is missing; choose it first.")
        if each.flag:
            given += made
        else:
            placed += made
    return [*placed, *given]


def _words(each: Field, value: Any) -> list[str]:
    flag = [each.flag] if each.flag else []
    if each.kind == "switch":
        on = value if isinstance(value, bool) else str(value).lower() in ("true", "on", "1")
        if str(on) == each.default:
            return []
        above, dot, last = each.flag.removeprefix("--").rpartition(".")
        return [each.flag if on else f"--{above}{dot}no-{last}"]
    if each.kind == "list":
        parts = _split(each.name, value) if isinstance(value, str) else [str(one) for one in value]
        return [*flag, *map(_plain, parts)] if parts else []
    text = str(value).strip()
    if not text or text == each.default:
        return []
    return [*flag, _plain(text)]


def _split(name: str, text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UserError(
            f"{option(name)} {text[:40]} has a quotation mark without its second one."
        ) from error


def _plain(text: str) -> str:
    """Text that cannot be taken for an option. Raises UserError for one that could."""
    if re.match(r"-(?![\d.])", text) or "\0" in text or "\n" in text:
        raise UserError(f"{text[:40]!r} cannot be a value here.")
    return text


def checked(kind: type, verb: str, given: Sequence[str]) -> Any:
    """What the command line would make of the words: an instance of the options. Raises UserError
    as it would."""
    with _parsing, one_sentence(verb, list(given)):
        return tyro.cli(kind, prog=f"motion-jax {verb}", args=list(given), registry=plain_kinds())
