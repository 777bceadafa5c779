"""What grew between two profiles."""

import json
from pathlib import Path
from typing import Any

from rich.table import Table

from motion_jax.config import flatten
from motion_jax.errors import UserError
from motion_jax.files import write_json
from motion_jax.profiling.figures import scaled
from motion_jax.profiling.result import FORMAT
from motion_jax.profiling.scopes import Scope
from motion_jax.report import html

# What is compared of each scope, and the smallest change worth a line: a share of the step's total.
MEASURES = {
    "seconds": "time",
    "flops": "FLOPs",
    "bytes": "bytes",
    "compiled_bytes": "compiled bytes",
}
WORTH = 0.002
# Rows shown of each measure that grew, and as many that shrank.
SHOWN = 5
# What must be the same for times to be comparable at all; other differences are only named.
_SAME = ("platform", "time")


def read_profile(path: Path) -> dict[str, Any]:
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
    return value | {"from": str(file)}


def compare(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Changes of the step and of each scope from one profile to another.

    Returns
      before, after: the files; differences: settings and conditions that differ, as sentences;
      step: {measure: [before, after]}; memory: {kind: [before, after]};
      changes: {measure: list of {scope, before, after, change}, the largest growth first}, without
        what changed less than 0.2 % of the step.
    Raises:
      UserError: a measured and an estimated profile, or two platforms.
    """
    for name in _SAME:
        if before[name] != after[name]:
            raise UserError(
                f"{before['from']} and {after['from']} cannot be compared: their {name} is "
                f"{before[name]!r} and {after[name]!r}; profile both in the same way."
            )
    changes = {}
    for measure in MEASURES:
        a, b = (_by_scope(profile, measure) for profile in (before, after))
        if a is None or b is None:
            continue
        least = WORTH * max(sum(a.values()), sum(b.values()))
        found: list[dict[str, Any]] = [
            {
                "scope": scope,
                "before": a.get(scope, 0),
                "after": b.get(scope, 0),
                "change": b.get(scope, 0) - a.get(scope, 0),
            }
            for scope in {**a, **b}
        ]
        found = [row for row in found if row["change"] and abs(row["change"]) >= least]
        changes[measure] = sorted(found, key=lambda row: -row["change"])
    steps = ("seconds", "flops", "bytes", "compiled_bytes", "mfu", "input_wait", "idle_seconds")
    kinds = [profile["memory"]["kinds"] for profile in (before, after)]
    return {
        "before": before["from"],
        "after": after["from"],
        "differences": _differences(before, after),
        "step": {name: [before["step"].get(name), after["step"].get(name)] for name in steps},
        "memory": {
            kind: [sizes.get(kind, 0) for sizes in kinds] for kind in {**kinds[0], **kinds[1]}
        },
        "changes": changes,
    }


def _by_scope(profile: dict[str, Any], measure: str) -> dict[str, float] | None:
    values = {
        str(Scope(row["network"], row["layer"], row["backward"])): row[measure]
        for row in profile["rows"]
    }
    if any(value is None for value in values.values()):
        return None
    return values


def _differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    names = ("config", "stage", "size", "batch", "window", "dtype", "device", "devices", "data")
    found = [
        f"{name}: {before[name]} → {after[name]}" for name in names if before[name] != after[name]
    ]
    chips = [(profile["chip"] or {}).get("name") for profile in (before, after)]
    if chips[0] != chips[1]:
        found.append(f"chip: {chips[0]} → {chips[1]}")
    a, b = (flatten(profile["settings"]) for profile in (before, after))
    found += [f"{k}: {a.get(k)} → {b.get(k)}" for k in {**a, **b} if a.get(k) != b.get(k)]
    a, b = before["versions"], after["versions"]
    found += [f"{k}: {a.get(k)} → {b.get(k)}" for k in {**a, **b} if a.get(k) != b.get(k)]
    return found


def verdict(result: dict[str, Any]) -> str:
    """One sentence: what happened to the step, and which scope did most of it."""
    before, after = result["step"]["seconds"]
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
    if measure == "seconds" or measure == "idle_seconds":
        return f"{value:.3g} s" if abs(value) >= 1 else f"{1e3 * value:.3g} ms"
    if measure == "flops":
        return scaled(value, "FLOP") if value >= 0 else "-" + scaled(-value, "FLOP")
    if measure in ("mfu", "input_wait"):
        return f"{100 * value:.1f} %"
    return scaled(value, "B") if value >= 0 else "-" + scaled(-value, "B")


def _rows(result: dict[str, Any]) -> list[tuple[str, list[list[str]]]]:
    """(title, rows of text) of each table."""
    labels = {**MEASURES, "seconds": "time", "mfu": "MFU", "input_wait": "waiting for input",
              "idle_seconds": "nothing under way"}  # fmt: skip
    tables = [
        (
            "The step",
            [
                [labels[name], _format(name, a), _format(name, b), _percent(a, b)]
                for name, (a, b) in result["step"].items()
                if a is not None and b is not None
            ],
        )
    ]
    for measure, rows in result["changes"].items():
        grew = [row for row in rows if row["change"] > 0][:SHOWN]
        shown = grew + [row for row in rows if row["change"] < 0][-SHOWN:]
        tables.append(
            (
                f"What changed: {MEASURES[measure]}",
                [
                    [
                        row["scope"],
                        _format(measure, row["before"]),
                        _format(measure, row["after"]),
                        _signed(measure, row["change"]),
                    ]
                    for row in shown
                ],
            )
        )
    changed = {kind: pair for kind, pair in result["memory"].items() if pair[0] != pair[1]}
    tables.append(
        (
            "What changed: memory",
            [
                [kind, _format("bytes", a), _format("bytes", b), _signed("bytes", b - a)]
                for kind, (a, b) in sorted(changed.items(), key=lambda i: i[1][0] - i[1][1])
            ],
        )
    )
    return [(title, rows) for title, rows in tables if rows]


def _signed(measure: str, change: float) -> str:
    return ("+" if change > 0 else "") + _format(measure, change)


def _percent(a: float, b: float) -> str:
    return f"{100 * (b / a - 1):+.1f} %" if a else ""


def print_comparison(result: dict[str, Any], console: Any) -> None:
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


def write_comparison(result: dict[str, Any], folder: Path) -> None:
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
