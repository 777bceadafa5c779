"""Every input, wrong in every way, and mutated files: the right result or one sentence."""

import subprocess
import sys
from pathlib import Path

import fuzz
import inventory
import pytest


@pytest.mark.parametrize("kind", inventory.KINDS)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_every_way_to_be_wrong(kind):
    wrong = {}
    for way in (None, *inventory.WRONGS):
        try:
            inventory.attempt(kind, way)
        except Exception as error:  # all of them at once
            wrong[way] = f"{type(error).__name__}: {error}"
    assert wrong == {}


def test_the_page_tells_of_all():
    page = inventory.written()
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0][2:] for row in rows] == ["input", *inventory.KINDS]
    assert rows[0].strip("| ").split(" | ")[1:] == list(inventory.WRONGS)
    count = len(inventory.KINDS) * len(inventory.WRONGS)
    assert count >= 150 and f"{count} cells." in page


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_some_mutations(kind):
    """`python tests/field/fuzz.py` tries ten thousand of each."""
    result = fuzz.run(kind, count=50, seed=1)
    assert result["faults"] == [] and result["tried"] == 50


def test_a_film_that_hangs_ffmpeg_is_one_sentence():
    """With threads that decode several frames at a time, FFmpeg's HEVC decoder never ends here
    (libavcodec 62.28; mutation 6647 of seed 0)."""
    path = Path(__file__).with_name("hangs-frame-threads.mp4")
    code = f"import fuzz; from pathlib import Path; print(fuzz.read('hevc', Path({str(path)!r})))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=path.parent, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "sentence\n", done.stderr
