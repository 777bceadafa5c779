"""The notebooks run from end to end, here with tiny networks."""

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
# In place of what the cell "parameters" says.
TINY = {
    "drawn_dancers": "SIZE, FRAMES, STEPS, WIDTH = 32, 24, 2, 4",
    "port_a_checkpoint": "SIZE, WIDTH, CHECKPOINT = 32, 4, None",
}


def cells(name: str) -> list[str]:
    """The code of a notebook, its parameters made tiny."""
    found = []
    for cell in json.loads((FOLDER / f"{name}.ipynb").read_text())["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None, "kept without results"
            text = "".join(cell["source"])
            if "parameters" in cell["metadata"].get("tags", ()):
                text += f"\n{TINY[name]}\n"
            found.append(text)
    return found


def test_all_are_tested():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(TINY)


@pytest.mark.parametrize("name", TINY)
def test_runs_from_end_to_end(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scope: dict = {}
    for number, text in enumerate(cells(name)):
        exec(compile(text, f"{name}, cell {number}", "exec"), scope)
    if name == "drawn_dancers":
        assert len(scope["pictures"]) == 50 and scope["pictures"][0].shape == (32, 32, 3)
        assert "nearest training frame" in scope["found"]["verdict"]
    else:
        assert scope["found"]["first"] and scope["made"].shape == (1, 32, 32, 3)
