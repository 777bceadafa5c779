"""The house: who may import whom.

A module imports only from its own room and from lower floors, inside functions and for type
checking too, and no modules import each other in a circle. Imports inside functions are for
libraries that a module must do without: because `--help` reads it and they take long to import,
because worker processes read it, or because a machine may lack them.
"""

import ast
import functools
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "motion_jax"

# Lowest first. A name is a room (a folder) or a module of the package's root; those on one line
# stand side by side and do not know each other.
FLOORS = (
    ("errors", "memory", "interrupt", "verbs"),
    ("events", "parsing", "entry_points"),
    ("files",),
    ("progress",),
    ("download", "workers", "devices", "jobs"),
    # What is seen, and how people stand in it.
    ("video", "report"),
    ("pose", "provenance"),
    ("puppet", "nets", "faces"),
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
    ("latents",),
    ("profiling",),
    ("plan",),
    ("compare",),
    # What other programs ask, and what a camera drives.
    ("serve",),
    ("live",),
    ("distill",),
    ("studio",),
    # What a person starts, or a program of theirs.
    ("demos", "fetch", "library"),
    ("cli",),
    ("start",),
    ("__main__",),
)


# What a machine may lack, or what only some of the work needs.
EXTRAS = {
    "apache_beam", "array_record", "c2pa", "cryptography", "grain", "libtpu", "mediapipe", "onnx",
    "onnxruntime",
    "tensorboardX", "tensorflow", "tensorflow_datasets", "torch", "absl", "fastapi", "openvino",
    "pyvirtualcam", "starlette", "uvicorn", "jinja2", "nncf",
}  # fmt: skip
# Half a second or more.
JAX = {"flax", "jax", "optax", "orbax", "safetensors"}
# Rooms whose modules work in processes without jax, and those that need no video files: they run
# where PyAV is not installed.
WITHOUT_JAX = {"data", "faces", "jobs", "pose", "puppet", "report", "studio", "video"}
WITHOUT_VIDEO = {
    "devices", "evaluate", "metrics", "nets", "plan", "port", "profiling", "puppet", "recipes",
    "train", "weights",
}  # fmt: skip
# Of the data room: what makes datasets from videos.
MAKES_DATASETS = ("assemble", "import", "making", "parts", "prepare", "quality", "shards")
# Read before a verb's options are known, in roots and rooms that need not be light.
LIGHT = {
    "devices.processes", "devices.roll_call", "download", "entry_points", "errors", "events",
    "files", "memory", "parsing", "plan.methods", "progress", "recipes", "workers",
}  # fmt: skip
# The command line's own modules that only come after the options.
AFTER_OPTIONS = {"cli.beam", "cli.terminal"}


class Import(NamedTuple):
    """One import of a module of this package by another, or of another package's."""

    importer: str
    imported: str
    line: int
    inside: bool  # a function
    typing: bool  # for type checking alone


def modules() -> dict[str, Path]:
    """Of the package, by dotted name."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports() -> Iterator[Import]:
    """Of this package's modules."""
    return (each for each in all_imports() if each.imported.split(".")[0] == PACKAGE)


@functools.cache
def all_imports() -> tuple[Import, ...]:
    """Of other packages their names alone, the standard library left out."""
    return tuple(_imports())


def _imports() -> Iterator[Import]:
    known = modules()
    for name, path in known.items():
        tree = ast.parse(path.read_text())
        functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.Lambda)]
        inside = {id(node) for function in functions for node in ast.walk(function)}
        checked = [n for n in ast.walk(tree) if isinstance(n, ast.If) and _is_typing(n.test)]
        typing = {id(node) for block in checked for node in ast.walk(block)}
        for node in ast.walk(tree):
            where = id(node) in inside, id(node) in typing
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}:{node.lineno}: a relative import"
                targets = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            else:
                continue
            for target in targets:
                package = target.split(".")[0]
                if package != PACKAGE:
                    if package not in sys.stdlib_module_names:
                        yield Import(
                            name, package, node.lineno, id(node) in inside, id(node) in typing
                        )
                    continue
                while target not in known:
                    target = target.rpartition(".")[0]
                if target not in (name, PACKAGE):
                    yield Import(name, target, node.lineno, *where)


def _is_typing(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


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


def does_without(module: str) -> set[str]:
    """The libraries that the module must not import at its top, nor what it imports there."""
    name = module.partition(".")[2]
    if name in LIGHT or name.endswith("options"):
        return EXTRAS | JAX | {"av", "cv2", "rich", "scipy"}
    if room(module) in WITHOUT_JAX:
        makes = any(part in name for part in MAKES_DATASETS)
        reads_only = room(module) == "data" and not makes
        jax = JAX | {"rich", "scipy"}
    else:
        jax, reads_only = set(), False
    video = {"av"} if reads_only or room(module) in WITHOUT_VIDEO else set()
    return EXTRAS | jax | video


@functools.cache
def brought(name: str) -> frozenset[str]:
    """The other packages that are imported when the module is; of a package, itself."""
    above = defaultdict(set)
    for each in all_imports():
        if not (each.inside or each.typing):
            above[each.importer].add(each.imported)
    seen, left = set(), [name]
    while left:
        one = left.pop()
        if one not in seen:
            seen.add(one)
            parts = one.split(".")
            packages = {".".join(parts[:end]) for end in range(1, len(parts))}
            left += above[one] | (packages if parts[0] == PACKAGE else set())
    return frozenset(one for one in seen if one.split(".")[0] != PACKAGE)


def test_imports_stand_at_the_top_but_for_a_reason():
    """In the command line itself every import waits until it is needed."""
    needless = [
        f"{each.importer}:{each.line} imports {each.imported}"
        for each in all_imports()
        if each.inside
        and room(each.importer) not in ("cli", "start")
        and not (brought(each.imported) - brought(each.importer)) & does_without(each.importer)
    ]
    assert not needless, "\n".join(needless)


def test_what_help_reads_is_light():
    """`motion-jax VERB --help` reads the command line and the verb's options. Those of train,
    profile and compile are the config's, which needs jax."""
    heavy = {
        name: sorted(found)
        for name in modules()
        if name.endswith("options")
        or (name.startswith("motion_jax.cli") and name.partition(".")[2] not in AFTER_OPTIONS)
        if (found := brought(name) & (JAX | EXTRAS | {"av", "cv2", "scipy"}))
    }
    assert not heavy


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
