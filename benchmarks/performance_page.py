"""Makes docs/performance.md from benchmarks/results/*.json.

    python -m benchmarks.performance_page           # writes the page
    python -m benchmarks.performance_page --check   # says whether it is up to date

A result NAME.json or NAME-….json belongs to the module benchmarks.NAME, which describes it with
`sections(results) -> str` (all of them together) or `section(result) -> str` (each alone), as
Markdown without a heading. The text that explains a section is in benchmarks/notes/NAME.md; there
{RESULT:KEY} stands for a figure of a result, e.g. {train_step-256x256-64:ratio}, so that no figure
on the page is written by hand.
"""

import importlib
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import reporting
from motion_jax.errors import UserError
from motion_jax.files import write_text
from motion_jax.progress import say

PAGE = reporting.ROOT / "docs" / "performance.md"
NOTES = reporting.ROOT / "benchmarks" / "notes"
# In the order of the page; modules that are not here come last, under their own names.
TITLES = {
    "train_step": "Training step",
    "synthesis": "Synthesis",
    "first_order": "A photo that moves",
    "stylegan2": "StyleGAN2",
    "cpu_convolutions": "Forms of a convolution on a CPU",
    "transfer": "Transfer of a video",
    "retrieval": "Nearest poses",
    "retrieval_video": "Transfer by nearest frames",
    "retrieval_quality": "Ways of retrieval on held-out frames",
    "live": "Live",
    "live_page": "Live in a browser",
    "soak": "A server under full load",
    "loader": "Loader",
    "card": "On a card",
    "gpu_compile": "Compiled for GPUs",
    "cards": "Several cards of one machine",
    "tpu_compile": "Compiled for TPUs",
    "first_order_compile": "A photo that moves, compiled for TPUs and GPUs",
    "pod": "A pod on a laptop",
    "compile_time": "Time to the first step",
    "separable_blocks": "Separable residual blocks",
    "pose_ablation": "Repairs of poses",
    "people": "Several people",
    "cast": "Four people at once",
    "mark": "The invisible mark",
    "dolls": "Drawn characters",
    "studio": "The studio",
    "adapt": "A new person from little film",
    "identities": "Several people in one run",
    "fake_detector": "A detector of synthetic pictures",
    "background_motion": "A photo that moves before a moving camera",
    "encoder": "Latents by an encoder",
}
INTRODUCTION = """# Performance

<!-- Made by `python -m benchmarks.performance_page` from benchmarks/results/*.json. Do not edit:
change benchmarks/notes/*.md or measure again, and make the page again. -->

Every figure in a table was measured by a command that stands below it, in the environment that is
named there (A, B and so on: machine and installed versions, at the end of the page); what is said
in prose is from notes made on the same machine.
[benchmarks/README.md](../benchmarks/README.md) says what each command measures and how to run it
elsewhere.

**Not measured: GPUs and TPUs.** The benchmarks run on them (images/s beside PyTorch eager, autocast
and compiled; MFU; latency of one frame; `benchmarks.card` does it all in minutes), but no figure in
a table here comes from one. For both there are estimates from compiled programs.
"""


@dataclass(frozen=True)
class Options:
    """Make docs/performance.md from benchmarks/results/*.json."""

    check: bool = False
    """Write nothing: exit with status 1 where the page is not what would be made."""


def results() -> dict[str, dict[str, Any]]:
    """Every saved result by its name.

    Raises UserError for a file that is no result.
    """
    found = {}
    for path in sorted(reporting.RESULTS.glob("*.json")):
        try:
            found[path.stem] = json.loads(path.read_text())
            missing = {"benchmark", "commit", "command", "machine", "versions"} - set(
                found[path.stem]
            )
        except (ValueError, TypeError) as error:
            raise UserError(f"{path} is no JSON object ({error}); measure it again.") from error
        if missing:
            raise UserError(
                f"{path} does not say where it comes from ({', '.join(sorted(missing))} missing); "
                "measure it again with --save."
            )
    return found


def page() -> str:
    """The page's text."""
    every = results()
    by_module: dict[str, list[str]] = {}
    for name in every:
        by_module.setdefault(name.split("-")[0], []).append(name)
    unknown = [module for module in by_module if module not in TITLES]
    machines = _Machines()
    parts = [INTRODUCTION]
    for module in [*TITLES, *unknown]:
        if module in by_module:
            # The plain one first, then its variants.
            names = sorted(by_module[module], key=lambda name: (len(name) > len(module), name))
            parts += _section(module, {name: every[name] for name in names}, machines)
    parts += ["## Machines and versions", machines.text()]
    text = "\n\n".join(part.strip() for part in parts) + "\n"
    return _figures(text, every)


def _section(module: str, own: dict[str, dict[str, Any]], machines: "_Machines") -> list[str]:
    try:
        describing = importlib.import_module(f"benchmarks.{module}")
    except ModuleNotFoundError as error:
        if error.name != f"benchmarks.{module}":
            raise
        describing = None
    if hasattr(describing, "sections"):
        body = [describing.sections(list(own.values()))]
    elif hasattr(describing, "section"):
        body = [describing.section(result) for result in own.values()]
    else:
        say(f"Left out: {', '.join(own)} (there is no benchmarks.{module} with a section)")
        return []
    origin = [
        f"- `{result['command']}`, commit {result['commit']}, {result.get('date', 'no date')}, "
        f"machine {machines.letter(result)}"
        for result in own.values()
    ]
    notes = NOTES / f"{module}.md"
    return [
        f"## {TITLES.get(module, module.replace('_', ' ').capitalize())}",
        *body,
        *([notes.read_text()] if notes.is_file() else []),
        "Measured by:\n\n" + "\n".join(origin),
    ]


class _Machines:
    """Gives each machine with its versions a letter, in the order of their first mention."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, str]] = []

    def letter(self, result: dict[str, Any]) -> str:
        machine, versions = result["machine"], result["versions"]
        parts = [
            f"{machine.get('cpu')} ({', '.join(machine.get('cpu_features') or [])})",
            f"{machine.get('cores')} cores",
            f"{machine.get('memory_gb')} GiB",
            *([machine["accelerator"]] if machine.get("accelerator") else []),
            *([machine["system"].split()[0]] if machine.get("system") else []),
        ]
        shown = (", ".join(parts), ", ".join(f"{k} {v}" for k, v in sorted(versions.items())))
        if shown not in self._seen:
            self._seen.append(shown)
        return chr(ord("A") + self._seen.index(shown))

    def text(self) -> str:
        return "\n".join(
            f"- **{chr(ord('A') + i)}**: {machine}. {versions}."
            for i, (machine, versions) in enumerate(self._seen)
        )


def _figures(text: str, every: dict[str, dict[str, Any]]) -> str:
    """Puts the figures of results where {RESULT:KEY.KEY} stands."""

    def figure(match: re.Match) -> str:
        name, keys = match.groups()
        value: Any = every.get(name)
        for key in keys.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is None:
            raise UserError(
                f"The notes name the figure {match.group()}, which no result has; "
                f"measure {name} with --save or correct benchmarks/notes."
            )
        return reporting.shown(value)

    return re.sub(r"\{([A-Za-z]\w*(?:[-.]\w+)*):(\w+(?:\.\w+)*)\}", figure, text)


def main(arguments: Sequence[str] | None = None) -> None:
    with reporting.sentences("performance_page"):
        options = reporting.parse(Options, "performance_page", arguments)
        text, shown = page(), PAGE.relative_to(reporting.ROOT)
        if not options.check:
            write_text(PAGE, text)
            say(f"Wrote {shown}")
        elif not PAGE.is_file() or PAGE.read_text() != text:
            print(
                f"{shown} is not what benchmarks/results make; run python -m "
                "benchmarks.performance_page",
                file=sys.stderr,
            )
            sys.exit(1)
        else:
            say(f"{shown} is up to date")


if __name__ == "__main__":
    main()
