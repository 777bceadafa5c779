"""The house: who may import whom.

A module imports only from its own room and from lower floors, inside functions and for type
checking too, and no modules import each other in a circle. Imports inside functions are for
start-up time alone: they stand in modules that `motion-jax VERB --help` reads.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "motion_jax"

# Lowest first. A name is a room (a folder) or a module of the package's root; those on one line
# stand side by side and do not know each other.
FLOORS = (
    ("errors", "memory"),
    ("events", "parsing", "entry_points"),
    ("files",),
    ("progress",),
    ("download", "workers", "devices"),
    # What is seen, and how people stand in it.
    ("video", "report"),
    ("pose",),
    ("puppet", "nets"),
    ("losses", "weights"),
    ("metrics",),
    # Records and examples; systems; a whole experiment.
    ("data",),
    ("recipes",),
    ("config",),
    ("train",),
    # What is done with a dataset or a run.
    ("retrieval",),
    ("pairing",),
    ("transfer",),
    ("evaluate", "port"),
    ("profiling",),
    ("plan",),
    ("compare",),
    # What a person starts.
    ("demo", "fetch"),
    ("cli",),
)


class Import(NamedTuple):
    """One import of a module of this package by another."""

    importer: str
    imported: str
    line: int
    inside: bool  # a function


def modules() -> dict[str, Path]:
    """Of the package, by dotted name."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports() -> Iterator[Import]:
    known = modules()
    for name, path in known.items():
        tree = ast.parse(path.read_text())
        functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.Lambda)]
        inside = {id(node) for function in functions for node in ast.walk(function)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}:{node.lineno}: a relative import"
                targets = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            else:
                continue
            for target in targets:
                if target.split(".")[0] != PACKAGE:
                    continue
                while target not in known:
                    target = target.rpartition(".")[0]
                if target not in (name, PACKAGE):
                    yield Import(name, target, node.lineno, id(node) in inside)


def room(module: str) -> str:
    """ "pose" of "motion_jax.pose.draw"."""
    return module.split(".")[1]


def floor(module: str) -> int:
    for number, rooms in enumerate(FLOORS):
        if room(module) in rooms:
            return number
    raise AssertionError(f"{module} is in no room of FLOORS: say where it stands")


def test_every_room_has_a_floor():
    there = {room(name) for name in modules() if name != PACKAGE}
    named = {name for rooms in FLOORS for name in rooms}
    assert named == there


def test_nothing_is_imported_upwards():
    upwards = [
        f"{each.importer}:{each.line} imports {each.imported}"
        for each in imports()
        if room(each.importer) != room(each.imported)
        and floor(each.imported) >= floor(each.importer)
    ]
    assert not upwards, "\n".join(upwards)


def test_no_circles():
    graph = defaultdict(set)
    for each in imports():
        graph[each.importer].add(each.imported)
    circles = [sorted(circle) for circle in _circles(graph)]
    assert not circles, "\n".join(map(" <-> ".join, circles))


def _circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected components of more than one module (Tarjan 1972)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        number[node] = lowest[node] = len(number)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in number:
                visit(other)
                lowest[node] = min(lowest[node], lowest[other])
            elif other in stack:
                lowest[node] = min(lowest[node], number[other])
        if lowest[node] == number[node]:
            circle = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(circle) > 1:
                found.append(circle)

    for node in sorted(graph):
        if node not in number:
            visit(node)
    return found
