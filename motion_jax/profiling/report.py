"""A profile as text for the terminal and as a page."""

import json
from pathlib import Path
from typing import Any

from rich.table import Table as Rich

from motion_jax.profiling.cost_table import Cost, Table
from motion_jax.profiling.figures import Point, roofline, scaled, stacked
from motion_jax.profiling.scopes import REST, Scope
from motion_jax.report import html

DIRECTIONS = ("forward", "backward")
IDLE = "nothing under way"
# The function that makes the initial state (measure.py).
STATE = "initial_state"
# Layers in the terminal; in the page before the rest is folded away.
SHOWN_IN_TEXT, SHOWN_IN_PAGE = 12, 20


def table_of(result: dict[str, Any]) -> Table:
    """The cost table that a profile holds."""
    rows = {
        Scope(row["network"], row["layer"], row["backward"]): Cost(
            row["flops"], row["bytes"], row["compiled_bytes"], row["seconds"]
        )
        for row in result["rows"]
    }
    return Table(rows, result["step"]["idle_seconds"])


def heading(result: dict[str, Any]) -> str:
    return f"Profile of {result['config']}, {result['stage']} stage"


def summary(result: dict[str, Any]) -> str:
    """One line: sizes and machine."""
    machine = result["device"]
    if result["platform"] == "cpu":
        machine = result["chip"]["name"]
    elif result["devices"] > 1 and ":" not in machine:
        machine = f"{result['devices']} x {machine}"
    return (
        f"{result['size']}, batch {result['batch']} x {result['window']} frames, "
        f"{result['dtype']}, on {machine}; jax {result['versions']['jax']}"
    )


def facts(result: dict[str, Any]) -> dict[str, str]:
    """The figures of the whole step, as name and text."""
    step, chip = result["step"], result["chip"]
    estimated = result["time"] != "trace"
    said = " (the compiler's estimate)" if estimated else ""
    found = {
        "one step": f"{_ms(step['seconds'])}{said}",
        "images/s": _plain(step["images_per_second"]),
        "arithmetic": f"{scaled(step['flops'], 'FLOP')} a step, "
        f"{scaled(step['flops'] / step['seconds'], 'FLOP')}/s",
    }
    if chip:
        peak = chip["peak_flops_bf16" if result["dtype"] == "bfloat16" else "peak_flops_f32"]
        found["MFU"] = (
            f"{100 * step['mfu']:.1f} % of {scaled(peak * result['chips'], 'FLOP')}/s "
            f"({chip['name']}, {result['dtype']})"
        )
        found["limit"] = (
            f"{_ms(step['limit_seconds'])} by arithmetic and memory, layer by layer; the step "
            f"takes {_plain(step['seconds'] / step['limit_seconds'])} times that "
            f"({_plain(step['seconds'] / step['flop_limit_seconds'])} times its arithmetic alone)"
        )
    if step["input_wait"] is not None:
        found["waiting for input"] = f"{100 * step['input_wait']:.1f} % ({result['data']})"
    if step["traced_seconds"] is not None:
        idle = step["idle_seconds"] / step["traced_seconds"]
        found[IDLE] = f"{100 * idle:.1f} % of the traced steps"
        found["traced step"] = f"{_ms(step['traced_seconds'])} (tracing itself takes time)"
    cold, warm = result["start"].get("cold"), result["start"].get("warm")
    if warm:
        found["time to first step"] = (
            f"{cold['total']:.1f} s (compiling {cold['compiling']:.1f} s), from the cache "
            f"{warm['total']:.1f} s"
        )
        later = sum(result["start"]["recompilations"].values())
        names = ", ".join(result["start"]["recompilations"])
        found["compilations after it"] = f"{later} ({names})" if later else "none"
    elif cold:
        found["compiling"] = f"{cold['compiling']:.1f} s"
    kinds = result["memory"]["kinds"]
    found["memory"] = f"{scaled(sum(kinds.values()), 'B')} reckoned by the compiler"
    if "peak_in_use" in result["memory"]:
        found["memory"] += f", {scaled(result['memory']['peak_in_use'], 'B')} at most in use"
    return found


def findings(result: dict[str, Any], count: int = 3) -> list[str]:
    """What could be gained most, in words."""
    rows = [row for row in result["rows"] if row["seconds"] and row["limit_seconds"] is not None]
    rows.sort(key=lambda row: row["limit_seconds"] - row["seconds"])
    total = sum(row["seconds"] for row in rows) or 1.0
    said = []
    for row in rows[:count]:
        name = str(Scope(row["network"], row["layer"], row["backward"]))
        limit = row["limit_seconds"]
        above = f"{row['seconds'] / limit:.0f} times its limit" if limit > 1e-7 else "no arithmetic"
        said.append(
            f"{name}: {_ms(row['seconds'])}, {100 * row['seconds'] / total:.0f} % of the step; "
            f"{above}."
        )
    return said


def _ms(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{1e3 * seconds:.3g} ms" if seconds >= 1e-4 else f"{1e6 * seconds:.3g} µs"


def _plain(value: float) -> str:
    """Three significant digits, never as a power of ten."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _gib(size: float) -> str:
    return f"{size / 2**30:.3g} GiB"


def layer_names(table: Table) -> dict[tuple[str, str], str]:
    """What (network, layer) is called: what lies between the layers of a network says so."""
    layered = {scope.network for scope in table.rows if scope.layer}
    return {
        (scope.network, scope.layer): " / ".join(
            (scope.network, *([scope.layer or REST] if scope.network in layered else []))
        )
        for scope in table.rows
    }


# --- terminal ----------------------------------------------------------------------------------


def print_profile(result: dict[str, Any], console: Any) -> None:
    """To a rich console."""
    table = table_of(result)
    console.print(f"[bold]{heading(result)}[/bold]")
    console.print(summary(result), markup=False)
    width = max(map(len, facts(result)))
    for name, text in facts(result).items():
        console.print(f"  {name.ljust(width)}  {text}", markup=False)
    console.print()
    console.print(_text_table(result, table.by_network(), "By network", console))
    layers = dict(list(table.by_layer().items())[:SHOWN_IN_TEXT])
    names = layer_names(table)
    named = {names[key]: both for key, both in layers.items()}
    console.print(_text_table(result, named, f"The {len(layers)} dearest layers", console))
    gains = findings(result)
    if table.total.seconds is None:
        console.print("The trace holds no times of layers.")
    if gains:
        console.print("Most time above what the chip allows:")
        for text in gains:
            console.print(f"  {text}", markup=False)


def _text_table(result: dict[str, Any], rows: dict[str, Any], title: str, console: Any) -> Any:
    made = Rich(title=title, title_justify="left")
    made.add_column("", no_wrap=not console.is_terminal)
    for column in ("forward", "backward", "share", "GFLOP", "GFLOP/s", "MB"):
        made.add_column(column, justify="right")
    whole = table_of(result).total.seconds
    for name, (forward, backward) in rows.items():
        both = forward + backward
        made.add_row(
            name,
            _time(forward),
            _time(backward),
            _percent(both.seconds, whole),
            f"{both.flops / 1e9:.3g}" if both.flops else "",
            _plain(both.flops / both.seconds / 1e9) if both.flops and both.seconds else "",
            f"{both.bytes / 1e6:.3g}" if both.bytes else "",
        )
    return made


def _time(cost: Cost) -> str:
    return _ms(cost.seconds) if cost.seconds else ""


def _percent(part: float | None, whole: float | None) -> str:
    return f"{100 * part / whole:.1f} %" if part and whole else ""


# --- page --------------------------------------------------------------------------------------


def write_page(result: dict[str, Any], path: Path) -> None:
    """One HTML file that opens offline."""
    table = table_of(result)
    networks = table.by_network()
    estimated = result["time"] != "trace"
    bars = {name: [1e3 * (cost.seconds or 0) for cost in both] for name, both in networks.items()}
    bars = {name: values for name, values in bars.items() if sum(values) > 0}
    if table.idle:
        bars[IDLE] = [1e3 * table.idle, 0.0]
    source = (
        "The compiler's estimates; nothing was run."
        if estimated
        else "From the trace of steps 10 to 14; where several instructions were under way at once, "
        "the moment is shared among them, so that the bars add up to the traced step."
    )
    parts = [html.paragraph(source), stacked(bars, DIRECTIONS, " ms")]
    if not bars:
        parts = [html.notice("The trace holds no times of layers.")]
    if gains := findings(result, 5):
        parts += [html.paragraph("Most time above what the chip allows:"), html.bullets(gains)]
    sections = [
        html.section("At a glance", html.facts(facts(result))),
        html.section("Where the time goes", *parts),
        html.section("By layer", *_layer_tables(result, table)),
    ]
    if result["chip"]:
        sections.append(html.section("Roofline", _roofline(result, table)))
    sections.append(html.section("Memory", *_memory(result)))
    if "warm" in result["start"]:
        sections.append(html.section("Start", *_start(result)))
    sections.append(html.section("What it is", *_about(result)))
    html.write(path, html.page(heading(result), sections, summary(result)))


def _layer_tables(result: dict[str, Any], table: Table) -> list[str]:
    header = [
        "layer",
        "forward, ms",
        "backward, ms",
        "share, %",
        "GFLOP",
        "MB",
        "FLOP/byte",
        "GFLOP/s",
        "times its limit",
    ]
    limits: dict[tuple[str, str], float] = {}
    for row in result["rows"]:
        key = (row["network"], row["layer"])
        limits[key] = limits.get(key, 0.0) + (row["limit_seconds"] or 0.0)
    whole, names = table.total.seconds, layer_names(table)
    rows = []
    for key, (forward, backward) in table.by_layer().items():
        both = forward + backward
        if both.seconds is not None and whole and both.seconds / whole < 5e-5 and not both.flops:
            continue
        rows.append(
            [
                names[key],
                _rounded(forward.seconds, 1e3),
                _rounded(backward.seconds, 1e3),
                _rounded(both.seconds, 100 / whole) if whole else None,
                _rounded(both.flops, 1e-9),
                _rounded(both.bytes, 1e-6),
                _rounded(both.intensity if both.flops else None),
                _rounded(both.flops / both.seconds, 1e-9) if both.flops and both.seconds else None,
                _rounded(both.seconds / limits[key])
                if both.seconds and limits[key] > 1e-7
                else None,
            ]
        )
    made = [html.table(header, rows[:SHOWN_IN_PAGE], digits=3)]
    if rest := rows[SHOWN_IN_PAGE:]:
        made.append(html.details(f"{len(rest)} more layers", html.table(header, rest, digits=3)))
    return made


def _rounded(value: float | None, factor: float = 1.0) -> float | None:
    """Three significant digits; None for none."""
    return float(f"{value * factor:.3g}") if value else None


def _roofline(result: dict[str, Any], table: Table) -> str:
    chip, count = result["chip"], result["chips"]
    peak = chip["peak_flops_bf16" if result["dtype"] == "bfloat16" else "peak_flops_f32"]
    whole = table.total.seconds or 1.0
    points = [
        Point(
            f"{scope.network} / {scope.layer}" if scope.layer else scope.network,
            cost.intensity,
            cost.flops / cost.seconds / count,
            cost.seconds / whole,
            int(scope.backward),
        )
        for scope, cost in table.rows.items()
        if cost.flops and cost.seconds and cost.intensity
    ]
    return roofline(points, peak, chip["bandwidth_bytes_s"], DIRECTIONS)


def _memory(result: dict[str, Any]) -> list[str]:
    kinds, chip = result["memory"]["kinds"], result["chip"]
    sizes = {name: size / 1e6 for name, size in kinds.items()}
    sizes = dict(sorted(sizes.items(), key=lambda item: -item[1]))
    text = f"Together {scaled(sum(kinds.values()), 'B')} on each device, reckoned by the compiler"
    if chip:
        text += f"; it has {_gib(chip['memory_bytes'])}"
    if "peak_in_use" in result["memory"]:
        text += f"; {scaled(result['memory']['peak_in_use'], 'B')} were at most in use"
    return [html.bars(sizes, unit=" MB"), html.paragraph(text + ".")]


def _start(result: dict[str, Any]) -> list[str]:
    parts = ("state", "tracing", "compiling")
    rows = {}
    for name, label in (("cold", "with an empty cache"), ("warm", "from the cache")):
        start = result["start"][name]
        known = [start[part] for part in parts]
        rows[label] = [*known, max(start["total"] - sum(known), 0.0)]
    programs = dict(result["start"]["programs"])
    counts = {"the step": programs.pop("step", 0), "the initial state": programs.pop(STATE, 0)}
    counts["small ones of jax itself"] = sum(programs.values())
    compiled = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    later = result["start"]["recompilations"]
    told = ", ".join(f"{name} {count}" for name, count in later.items()) or "none"
    series = ("initial state", "tracing", "compiling the step", "first step and the rest")
    return [
        html.paragraph("Seconds from the start of a stage to its first finished step."),
        stacked(rows, series, " s"),
        html.paragraph(f"Programs compiled until then: {compiled}; in the steps after it: {told}."),
    ]


def _about(result: dict[str, Any]) -> list[str]:
    chip, compiler = result["chip"], result["compiler"]
    known: dict[str, object] = {}
    if chip:
        known = {
            "chip": chip["name"],
            "its peak": f"{scaled(chip['peak_flops_bf16'], 'FLOP')}/s bfloat16, "
            f"{scaled(chip['peak_flops_f32'], 'FLOP')}/s float32",
            "its memory": f"{_gib(chip['memory_bytes'])}, "
            f"{scaled(chip['bandwidth_bytes_s'], 'B')}/s",
            "source of these": chip["source"],
        }
    step = result["step"]
    for name, key in (("FLOPs", "flops"), ("bytes", "bytes")):
        if compiler[key]:
            unit = "FLOP" if key == "flops" else "B"
            known[f"{name} by the compiler"] = (
                f"{scaled(compiler[key], unit)} (analytic: {scaled(step[key], unit)})"
            )
    known["operands and results of the compiled instructions in its memory"] = scaled(
        step["compiled_bytes"], "B"
    )
    known["batches"] = result["data"]
    if result["trace"]:
        known["trace"] = result["trace"]
    return [
        html.facts(known),
        html.details(
            "How the figures are made",
            html.bullets(
                [
                    "FLOPs: of convolutions and matrix products as they are written; a "
                    "multiply-add is two.",
                    "MB: what a layer must at least move if it were one kernel: results of other "
                    "layers that it reads, results of its own that others read, each once.",
                    "Limit: the longer of FLOPs at the chip's peak and bytes at its bandwidth.",
                    "MFU: FLOPs of the step by its time (without a trace) and the chip's peak.",
                ]
            ),
        ),
        html.details("Command", html.preformatted(result.get("command", ""))),
        html.details("Versions", html.preformatted(json.dumps(result["versions"], indent=2))),
        html.details("Settings", html.preformatted(json.dumps(result["settings"], indent=2))),
    ]
