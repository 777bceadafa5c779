"""Forms come from the options of the command line, and their words go back to it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from motion_jax.cli import VERBS, _options
from motion_jax.cli.completion import options_of
from motion_jax.errors import UserError
from motion_jax.studio import forms
from motion_jax.studio.actions import ACTIONS, Desk


@dataclass(frozen=True)
class Inner:
    depth: int = 3
    """How deep."""


@dataclass(frozen=True)
class Base:
    smooth: bool = True
    """Smooth
    it."""


@dataclass(frozen=True)
class Options(Base):
    """A verb."""

    films: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Some films."""
    out: Path | None = None
    """Where to."""
    way: Literal["a", "b"] = "a"
    """Which way."""
    rate: float | None = None
    """How fast."""
    inner: Inner = field(default_factory=Inner)


def test_a_new_option_is_in_the_form_by_itself():
    found = {each.name: each for each in forms.fields(Options)}
    assert list(found) == ["smooth", "films", "out", "way", "rate", "inner.depth"]
    assert found["smooth"].help == "Smooth it." and found["smooth"].kind == "switch"
    assert found["films"].flag == "" and found["films"].is_path
    assert found["way"].choices == ("a", "b") and found["way"].default == "a"
    assert found["rate"].kind == "number" and found["inner.depth"].flag == "--inner.depth"


@pytest.mark.parametrize("verb", ACTIONS)
def test_the_forms_have_every_option_of_the_command_line(verb):
    """So a new one appears in the page without a line there; all have a text."""
    kind = options_of(verb)
    flags = {each.flag for each in forms.fields(kind) if each.flag}
    placed = [each for each in forms.fields(kind) if not each.flag]
    assert len(flags) + len(placed) == len(_options(kind))
    assert flags <= set(_options(kind))
    assert all(each.help for each in forms.fields(kind))
    shown = {each.name for each in Desk(options_of, VERBS, paths=True).fields(verb)}
    left_out = {each.name for each in forms.fields(kind)} - shown
    assert left_out <= {ACTIONS[verb].option, "json"}


def test_words_are_those_that_the_command_line_reads():
    values = {
        "films": ["a b.mp4", "c.mp4"], "smooth": False, "way": "b", "rate": "2.5", "out": "x",
        "inner.depth": "7",
    }  # fmt: skip
    words = forms.words(Options, values)
    assert words == [
        "a b.mp4", "c.mp4", "--no-smooth", "--out", "x", "--way", "b", "--rate", "2.5",
        "--inner.depth", "7",
    ]  # fmt: skip
    found = forms.checked(Options, "verb", words)
    assert found == Options(False, (Path("a b.mp4"), Path("c.mp4")), Path("x"), "b", 2.5, Inner(7))
    # What stands at its default is left out.
    assert forms.words(Options, {"way": "a", "smooth": True, "rate": "", "inner.depth": "3"}) == []


@pytest.mark.parametrize(
    "values", [{"out": "--help"}, {"out": "-h"}, {"films": "-x"}, {"nothing": "1"}, {"out": "a\nb"}]
)
def test_values_cannot_be_options(values):
    with pytest.raises(UserError):
        forms.words(Options, values)


def test_a_wrong_value_is_one_sentence():
    with pytest.raises(UserError, match="rate fast is not a number"):
        forms.checked(Options, "verb", ["--rate", "fast"])
    assert forms.words(Options, {"rate": "-1.5"}) == ["--rate", "-1.5"]
