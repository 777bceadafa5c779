"""Real commands, killed and begun again; `python tests/faults/kill.py` does it many more times."""

import kill


def test_a_killed_training_ends_as_an_uninterrupted_one(tmp_path):
    result = kill.train(tmp_path, ["save", "step"], seed=1, steps=150, every=25)
    assert result["kills"] == {"save": 1, "step": 1}
    assert set(result["parameters"]) >= {"generator", "discriminator"}


def test_a_killed_preparation_ends_as_an_uninterrupted_one(tmp_path):
    result = kill.prepare(tmp_path / "prepare", kills=1, seed=1)
    assert result["kills"] == 1 and result["files"] >= 3
