"""The list of slow tests names tests that exist, and the others touch every room."""

import ast
from pathlib import Path

TESTS = Path(__file__).parent
ROOMS = {path.parent.name for path in (TESTS.parent / "motion_jax").glob("*/__init__.py")}


def functions_of(file: Path) -> set[str]:
    nodes = ast.parse(file.read_text()).body
    return {n.name for n in nodes if isinstance(n, ast.FunctionDef) and n.name[:5] == "test_"}


def rooms_of(file: Path) -> set[str]:
    """The rooms that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        parts = [name.split(".") for name in names]
        found |= {part[1] for part in parts if part[0] == "motion_jax" and len(part) > 1}
    return found & ROOMS


def test_each_line_names_a_test_that_exists(slow_tests):
    for name, seconds in slow_tests.items():
        file, _, function = name.partition("::")
        path = TESTS.parent / file
        assert path.is_file(), f"tests/slow.txt: there is no {file}"
        assert not function or function in functions_of(path), f"tests/slow.txt: no test {name}"
        assert seconds > 0


def test_the_quick_ones_touch_every_room(slow_tests):
    touched = set()
    for path in TESTS.rglob("test_*.py"):
        file = str(path.relative_to(TESTS.parent))
        left = {one for one in functions_of(path) if f"{file}::{one}" not in slow_tests}
        if file not in slow_tests and left:
            touched |= rooms_of(path)
    assert len(ROOMS) > 10 and touched == ROOMS, f"not touched: {sorted(ROOMS - touched)}"
