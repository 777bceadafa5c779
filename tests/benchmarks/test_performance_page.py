"""docs/performance.md is what the saved results make, and figures in its notes come from them."""

import pytest

pytest.importorskip("jax", reason="needs JAX: the sections are described by the benchmarks")

from benchmarks import performance_page, reporting
from motion_jax.errors import UserError
from motion_jax.files import write_json, write_text

ORIGIN = {
    "benchmark": "train_step",
    "date": "2025-01-01 00:00 UTC",
    "commit": "abc",
    "command": "python -m benchmarks.train_step",
    "machine": {"cpu": "a CPU", "cores": 3, "memory_gb": 5.0},
    "versions": {"jax": "1"},
}
RESULT = {
    "ours_s": 1.5,
    "torch_s": 2.0,
    "ratio": 0.75,
    "settings": {
        "stage": "global",
        "width": 64,
        "height": 32,
        "filters": 4,
        "batch": 1,
        "device": "cpu",
        "ours": "float32",
        "torch": "eager",
    },
    "ours": {"min": 1.4, "max": 1.6},
    "torch": {"min": 1.9, "max": 2.25},
}


def test_committed_page_is_up_to_date() -> None:
    assert performance_page.PAGE.read_text() == performance_page.page(), (
        "run: python -m benchmarks.performance_page"
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(reporting, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(performance_page, "NOTES", tmp_path / "notes")
    write_json(tmp_path / "results" / "train_step-64x32-4.json", ORIGIN | RESULT)
    return tmp_path


def test_page_tells_figures_and_their_origin(folder) -> None:
    write_text(folder / "notes" / "train_step.md", "Bound by {train_step-64x32-4:torch.max} s.")
    page = performance_page.page()
    assert "| 64x32 | global | 4 | 1 | cpu | float32 | eager | 1.5 | 1.4 – 1.6 | 2 |" in page
    assert "Bound by 2.25 s." in page
    assert "`python -m benchmarks.train_step`, commit abc, 2025-01-01 00:00 UTC, machine A" in page
    assert "- **A**: a CPU" in page and "jax 1" in page


def test_a_figure_that_no_result_has_is_refused(folder) -> None:
    write_text(folder / "notes" / "train_step.md", "{train_step-64x32-4:speed}")
    with pytest.raises(UserError, match="which no result has"):
        performance_page.page()


def test_a_result_of_unknown_origin_is_refused(folder) -> None:
    write_json(folder / "results" / "loader.json", RESULT)
    with pytest.raises(UserError, match="does not say where it comes from"):
        performance_page.page()
