"""The benchmarks of the live path and of the server: what their sections say, and the runs that
they make up."""

import numpy as np

from benchmarks import live, live_page, soak
from benchmarks.untrained import student, write_run
from motion_jax import puppet
from motion_jax.train.run import load_run
from motion_jax.transfer.fit import Body


def test_sections():
    times = {"p50": 50.0, "p95": 81.25, "p99": 99.0}
    result = {
        "what": "The run ben",
        "precision": "float32",
        "live": [{"what": "age, by marks", "fps": 30.1, **times}, {"what": "pose", **times}],
        "generators": [
            {"runtime": "openvino float32", "alone": 8.0, "ours": 8.4, "ratio": 1.05, "whole": 12.0}
        ],
        "checks": {"all_go_up": True, "slowed_p95_ms": 400.0},
    }
    text = live.section(result)
    assert "| age, by marks | 30.1 | 50 | 81.2 | 99 |" in text
    assert "| openvino float32 | 8 | 8.4 | 1.05 | 12 |" in text
    assert "Checks: all go up True, slowed p95 ms 400.0." in text
    served = {
        "minutes": 20.0,
        "clients": [{"what": "4 x POST", "answers": 10, "lost": 0, **times}],
        "memory_mb": {"first": 600.4, "last": 601.2},
    }
    text = soak.section(served)
    assert text.startswith("20 minutes; memory 600 MB after the first minute, 601 MB at the end.")
    assert "| 4 x POST | 10 | 0 | 50 | 81.2 | 99 |" in text
    row = {"what": "undisturbed", "pictures": 300, "fps": 30.0, "p50": 60.0, "p95": 90.0}
    text = live_page.section({"what": "The run ben", "rows": [{**row, "most": 101.0}]})
    assert "| undisturbed | 300 | 30 | 60 | 90 | 101 |" in text


def test_ages_by_marks_that_come_again():
    """A mark is one of 256: the newest frame before the moment is meant, not a later one."""
    taken = [(3, 100.0), (4, 140.0), (3 + 256, 10_000.0), (9, 10_040.0)]
    seen = [(3, 150.0), (4, 180.0), (3, 9_900.0), (3, 10_050.0), (77, 10_060.0)]
    assert live_page.aged(seen, taken) == [
        (150.0, 50.0), (180.0, 40.0), (9_900.0, 9_800.0), (10_050.0, 50.0),
    ]  # fmt: skip


def test_a_made_up_run_can_be_driven(tmp_path):
    poses = puppet.pose(puppet.CHARACTERS["ben"], puppet.dance(10, 25), 32, 32)
    recipe = student(32, ngf=2, n_downsampling=1, n_blocks=0, shuffle=2)
    run = load_run(write_run(tmp_path / "run", recipe, poses))
    assert run.size == (32, 32) and run.config.recipe.generator.shuffle == 2
    assert Body.of_run(run).statistics is not None
    kernel = run.params["generator"]["params"]["first"]["kernel"]
    assert np.asarray(kernel).shape == (3, 3, 24, 2)
