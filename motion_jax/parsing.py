"""What is wrong with options, in one sentence: tyro explains it in a box of several lines."""

import ast
import contextlib
import dataclasses
import functools
import inspect
import io
import os
import re
import shutil
import textwrap
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.constructors import (
    MISSING_NONPROP,
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from motion_jax.errors import UserError
from motion_jax.errors import option as marked

# The box is not wrapped at this width, so that a line is a statement.
_WIDE = "4000"
_KINDS = (
    ("INT", "a whole number"), ("FLOAT", "a number"), ("PATH", "a path"),
    ("{True,False}", "True or False"),
)  # fmt: skip


# What options that may be left out are of, and how help names it.
_PLAIN: dict[Any, str] = {Path: "PATH", int: "INT", float: "FLOAT", str: "STR"}


# Defaults that say nothing to a reader: what they mean is in the text.
_NOTHING: tuple[Any, ...] = (None, (), "")


def plain_kinds(arguments: Sequence[str] = ()) -> ConstructorRegistry:
    """For tyro: an option that may be None is shown as what it takes, "--run PATH" and not
    "--run {None}|PATH". Where the arguments ask for help, its texts are paragraphs, and no default
    stands behind them that says nothing, "(default: None)"."""
    registry = ConstructorRegistry()
    if {"-h", "--help"} & set(arguments):
        registry.struct_rule(_explained)

    @registry.primitive_rule
    def optional(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
        if typing.get_origin(info.type) not in (typing.Union, types.UnionType):
            return None
        kinds = [kind for kind in typing.get_args(info.type) if kind is not type(None)]
        if len(kinds) != 1 or len(typing.get_args(info.type)) != 2:
            return None
        kind: Any = kinds[0]
        if typing.get_origin(kind) is Literal:
            words = typing.get_args(kind)
            if not all(isinstance(word, str) for word in words):
                return None
            return _optional(str, f"{{{','.join(words)}}}", (*words, "None"))
        return _optional(kind, _PLAIN[kind]) if kind in _PLAIN else None

    return registry


def _explained(info: StructTypeInfo) -> StructConstructorSpec | None:
    """A dataclass as tyro reads it, its texts without the line breaks of the source."""
    if not dataclasses.is_dataclass(info.type):
        return None
    texts = documented(info.type)
    types_ = typing.get_type_hints(info.type, include_extras=True)
    fields = []
    for field in dataclasses.fields(info.type):
        default: Any = MISSING_NONPROP
        if dataclasses.is_dataclass(info.default):
            default = getattr(info.default, field.name)
        elif field.default is not dataclasses.MISSING:
            default = field.default
        elif field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        kind = types_[field.name]
        if any(default is nothing or default == nothing for nothing in _NOTHING):
            kind = Annotated[kind, tyro.conf.arg(help_behavior_hint="")]
        text = " ".join(texts.get(field.name, "").split())
        fields.append(StructFieldSpec(field.name, kind, default, text or None))
    return StructConstructorSpec(info.type, tuple(fields))


@functools.cache
def documented(kind: type) -> dict[str, str]:
    """The text below each field of a dataclass and of those that it inherits from, by name."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        try:
            source = inspect.getsource(base)
        except (OSError, TypeError):  # made by a program
            continue
        body = ast.parse(textwrap.dedent(source)).body[0]
        assert isinstance(body, ast.ClassDef)
        for node, after in zip(body.body, body.body[1:], strict=False):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                text = after.value if isinstance(after, ast.Expr) else None
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    found[node.target.id] = text.value
    return found


def _optional(
    kind: Any, metavar: str, choices: tuple[str, ...] | None = None
) -> PrimitiveConstructorSpec[Any]:
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda words: None if words[0] == "None" else kind(words[0]),
        is_instance=lambda value: value is None or isinstance(value, kind),
        str_from_instance=lambda value: [str(value)],
        choices=choices,
    )


@contextlib.contextmanager
def one_sentence(verb: str, arguments: Sequence[str]) -> Iterator[None]:
    """Around a call of tyro: what tyro refuses becomes a UserError. Help stays tyro's own."""
    if {"-h", "--help"} & set(arguments):
        yield
        return
    before, said = os.environ.get("COLUMNS"), io.StringIO()
    os.environ["COLUMNS"] = _WIDE
    try:
        with contextlib.redirect_stderr(said):
            yield
    except SystemExit as end:
        if end.code in (None, 0) or not said.getvalue():
            raise
        raise UserError(sentence(verb, said.getvalue())) from None
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before


def wrapped(text: str) -> str:
    """Paragraphs in lines as wide as the boxes of tyro's help below them. All but the first are
    indented: tyro joins lines that begin with a letter."""
    lines = textwrap.TextWrapper(
        min(shutil.get_terminal_size().columns, 80), subsequent_indent="  ", break_on_hyphens=False
    )
    return "\n\n".join(lines.fill(" ".join(part.split())) for part in text.split("\n\n"))


def sentence(verb: str, box: str) -> str:
    """tyro's box → one sentence; of a box of an unknown kind its first statement."""
    lines = [line.strip("│|╭╮╰╯─+ \t") for line in re.sub(r"\x1b\[[0-9;]*m", "", box).splitlines()]
    lines = [line for line in lines if re.search(r"\w", line)]
    text = "\n".join(lines)
    help_ = f"see motion-jax {verb} --help"
    choice = r"invalid choice '(.*)' for argument '(\S+)'\. Expected one of \((.*)\)"
    if match := re.search(choice, text):
        given, option, choices = match.groups()
        known = [word for word in re.findall(r"'([^']*)'", choices) if word != "None"]
        return f"{_named(option)} {given} is no choice; give {_either(known)}."
    if match := re.search(r"Missing value for argument '(\S+)'", text):
        return f"{_named(match[1])} wants a value; {help_}."
    if match := re.search(r"Error parsing (\S+): (.*)", text):
        option, why = match.groups()
        found = re.findall(r"'([^']*)'", why)
        usage = re.search(rf"^(?:-\w, )?{re.escape(option)}(?:, \S+)* (\S.*)$", text, re.M)
        wanted = dict(_KINDS).get(usage[1].strip()) if usage else None
        given = " ".join(found) or why
        if wanted is None:
            kind = re.search(r"^(?:-\w, )?--\S+ (.*)$", text, re.M)
            kind_ = kind[1] if kind else why
            return f"{_named(option)} {given} is no value for it ({kind_}); {help_}."
        return f"{_named(option)} {given} is not {wanted}; {help_}."
    if "Missing from" in text:
        # The options stand alone on their lines; what they mean follows.
        alone = r"^(?:-\w, )?((?:--[\w.-]+|[A-Z][A-Z _\[\].]*|\{[\w,]+\})(?: [^a-z\s]\S*)?)$"
        needed = re.findall(alone, text, re.M)
        return f"motion-jax {verb} needs {' and '.join(needed) or 'more options'}; {help_}."
    first = [*lines[1:], *lines, "they cannot be read"][0]
    return f"The options of motion-jax {verb} are wrong ({first.rstrip('.')}); {help_}."


def _named(flag: str) -> str:
    """A flag as an error names an option, so that a page can word it as its label."""
    if not flag.startswith("--"):
        return flag
    return marked(flag.removeprefix("--").replace("-", "_"))


def _either(words: Sequence[str]) -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} or {words[-1]}"
