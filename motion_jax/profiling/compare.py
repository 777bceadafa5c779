"""What grew between two profiles."""

import json
from pathlib import Path
from typing import Any, cast

from rich.table import Table

from motion_jax.config import flatten
from motion_jax.errors import UserError
from motion_jax.files import write_json
from motion_jax.profiling.figures import scaled
from motion_jax.profiling.profile_json import FORMAT, Change, Comparison, Measure, ReadProfile
from motion_jax.profiling.scopes import Scope
from motion_jax.report import html

# What is compared of each scope, and the smallest change worth a line: a share of the step's total.
MEASURES: tuple[Measure, ...] = ("seconds", "flops", "bytes", "compiled_bytes")
WORTH = 0.002
# Rows shown of each measure that grew, and as many that shrank.
SHOWN = 5
# What is compared of the step, and what of the conditions under which it was profiled.
_STEP = {
    "seconds": "time",
    "flops": "FLOPs",
    "bytes": "bytes",
    "compiled_bytes": "compiled bytes",
    "mfu": "MFU",
    "input_wait": "waiting for input",
    "idle_seconds": "nothing under way",
}
_CONDITIONS = ("config", "stage", "size", "batch", "window", "dtype", "device", "devices", "data")


def read_profile(path: Path) -> ReadProfile:
    """A profile.json, or the one in a folder. Raises UserError for anything else."""
    path = Path(path)
    file = path / "profile.json" if path.is_dir() else path
    try:
        value = json.loads(file.read_text())
    except OSError as error:
        raise UserError(
            f"There is no profile {file} ({error.strerror}); give the folder that motion-jax "
            "profile wrote, or its profile.json."
        ) from error
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{file} is no profile ({error}); give a profile.json of motion-jax profile."
        ) from error
    if not isinstance(value, dict) or not {"rows", "step", "memory", "format"} <= value.keys():
        raise UserError(
            f"{file} is no profile of motion-jax (no rows in it); give the profile.json of one."
        )
    if value["format"] != FORMAT:
        raise UserError(
            f"{file} was written by another version of motion-jax (format {value['format']}, this "
            f"one reads {FORMAT}); profile again."
        )
    return cast(ReadProfile, value | {"file": str(file)})


def compare(before: ReadProfile, after: ReadProfile) -> Comparison:
    """Changes of the step and of each scope from one profile to another.

    Raises UserError for a measured and an estimated profile, and for two platforms; other
    differences are only named.
    """
    for name, a, b in (
        ("platform", before["platform"], after["platform"]),
        ("time", before["time"], after["time"]),
    ):
        if a != b:
            raise UserError(
                f"{before['file']} and {after['file']} cannot be compared: their {name} is {a!r} "
                f"and {b!r}; profile both in the same way."
            )
    changes: dict[Measure, list[Change]] = {}
    for measure in MEASURES:
        old, new = (_by_scope(profile, measure) for profile in (before, after))
        if old is None or new is None:
            continue
        least = WORTH * max(sum(old.values()), sum(new.values()))
        found = [
            Change(scope=scope, before=was, after=value, change=value - was)
            for scope in {**old, **new}
            if (value := new.get(scope, 0)) != (was := old.get(scope, 0))
            and abs(value - was) >= least
        ]
        changes[measure] = sorted(found, key=lambda row: -row["change"])
    # The profiles' keys do not depend on the kind of profile, but for one of "step".
    steps: list[dict[str, Any]] = [{**profile["step"]} for profile in (before, after)]
    kinds = [profile["memory"]["kinds"] for profile in (before, after)]
    return {
        "before": before["file"],
        "after": after["file"],
        "differences": _differences(before, after),
        "step": {name: [step.get(name) for step in steps] for name in _STEP},
        "memory": {
            kind: [sizes.get(kind, 0) for sizes in kinds] for kind in {**kinds[0], **kinds[1]}
        },
        "changes": changes,
    }


def _by_scope(profile: ReadProfile, measure: Measure) -> dict[str, float] | None:
    """None where one of the rows has no value."""
    values = {
        str(Scope(row["network"], row["layer"], row["backward"])): value
        for row in profile["rows"]
        if (value := row[measure]) is not None
    }
    return values if len(values) == len(profile["rows"]) else None


def _differences(before: ReadProfile, after: ReadProfile) -> list[str]:
    def conditions(profile: ReadProfile) -> dict[str, Any]:
        return {
            **{name: value for name, value in profile.items() if name in _CONDITIONS},
            "chip": (profile["chip"] or {}).get("name"),
            **flatten(profile["settings"]),
            **profile["versions"],
        }

    old, new = conditions(before), conditions(after)
    return [
        f"{name}: {old.get(name)} → {new.get(name)}"
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]


def verdict(result: Comparison) -> str:
    """One sentence: what happened to the step, and which scope did most of it."""
    before, after = result["step"]["seconds"]
    assert before is not None and after is not None, "every profile has them"
    ratio = after / before
    text = f"A step took {_format('seconds', before)} and takes {_format('seconds', after)} "
    text += f"({100 * (ratio - 1):+.1f} %)."
    rows = result["changes"].get("seconds")
    if rows:
        row = max(rows, key=lambda row: row["change"] if ratio >= 1 else -row["change"])
        if (row["change"] > 0) == (ratio >= 1):
            word = "grew" if ratio >= 1 else "shrank"
            text += (
                f" Most of it: {row['scope']} {word} from {_format('seconds', row['before'])} to "
                f"{_format('seconds', row['after'])}."
            )
    return text


def _format(measure: str, value: float | None) -> str:
    if value is None:
        return "–"
    if measure in ("seconds", "idle_seconds"):
        return f"{value:.3g} s" if abs(value) >= 1 else f"{1e3 * value:.3g} ms"
    if measure in ("mfu", "input_wait"):
        return f"{100 * value:.1f} %"
    sign, unit = "-" if value < 0 else "", "FLOP" if measure == "flops" else "B"
    return sign + scaled(abs(value), unit)


def _rows(result: Comparison) -> list[tuple[str, list[list[str]]]]:
    """(title, rows of text) of each table."""
    step = [
        [_STEP[name], _format(name, a), _format(name, b), _percent(a, b)]
        for name, (a, b) in result["step"].items()
        if a is not None and b is not None
    ]
    tables = [("The step", step)]
    for measure, rows in result["changes"].items():
        grew = [row for row in rows if row["change"] > 0][:SHOWN]
        shown = grew + [row for row in rows if row["change"] < 0][-SHOWN:]
        changed = [_changed(row["scope"], measure, row["before"], row["after"]) for row in shown]
        tables.append((f"What changed: {_STEP[measure]}", changed))
    kinds = sorted(result["memory"].items(), key=lambda item: item[1][0] - item[1][1])
    memory = [_changed(kind, "bytes", a, b) for kind, (a, b) in kinds if a != b]
    tables.append(("What changed: memory", memory))
    return [(title, rows) for title, rows in tables if rows]


def _changed(label: str, measure: Measure, before: float, after: float) -> list[str]:
    sign = "+" if after > before else ""
    change = sign + _format(measure, after - before)
    return [label, _format(measure, before), _format(measure, after), change]


def _percent(a: float, b: float) -> str:
    return f"{100 * (b / a - 1):+.1f} %" if a else ""


def print_comparison(result: Comparison, console: Any) -> None:
    """To a rich console."""
    console.print(f"before: {result['before']}\nafter:  {result['after']}", markup=False)
    for text in result["differences"]:
        console.print(f"  {text}", markup=False)
    for title, rows in _rows(result):
        made = Table(title=title, title_justify="left")
        for column in ("", "before", "after", "change"):
            made.add_column(column, justify="right" if column else "left")
        for row in rows:
            made.add_row(*row)
        console.print(made)
    console.print(verdict(result), markup=False)


def write_comparison(result: Comparison, folder: Path) -> None:
    """compare.json and index.html in a folder."""
    sections = [html.section("In short", html.paragraph(verdict(result)))]
    if result["differences"]:
        sections[0] += html.section("What differs", html.bullets(result["differences"]))
    sections += [
        html.section(title, html.table(["", "before", "after", "change"], rows))
        for title, rows in _rows(result)
    ]
    write_json(folder / "compare.json", result)
    title = "Two profiles compared"
    html.write(folder / "index.html", html.page(title, sections, result["after"]))
