"""Comparing on the film of a camera that moves: nobody is stopped by it."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from motion_jax.compare import command
from motion_jax.compare.options import CompareOptions
from motion_jax.data.find_plates import CameraMoves
from motion_jax.plan.methods import METHODS


def _config(name):
    options = CompareOptions(target=Path("target"), source=Path("a.mp4"), out=Path("out"))
    dataset = SimpleNamespace(face_boxes=lambda: np.float32([[0, 0, 30, 30]]))
    setup = SimpleNamespace(
        target=SimpleNamespace(dataset=dataset, factor=1), training=np.array([0]), size=(128, 128)
    )
    return command._config(options, METHODS[name], setup)


def test_where_the_camera_moves_whole_pictures_are_drawn(monkeypatch, capsys):
    asked = []

    def moves(dataset, config):
        asked.append(config.recipe.background)
        raise CameraMoves("The camera moves in clip 0")

    monkeypatch.setattr(command, "with_background", moves)
    assert _config("everybody-dance-now").recipe.background == "drawn"
    assert asked == ["plate"]
    said = capsys.readouterr()
    assert "The camera of target moves: everybody-dance-now draws the room" in said.out + said.err


@pytest.mark.parametrize("name", ["everybody-dance-now", "pix2pixhd", "cyclegan"])
def test_where_it_stands_nothing_changes(monkeypatch, name):
    monkeypatch.setattr(command, "with_background", lambda dataset, config: dataset)
    wanted = "plate" if name == "everybody-dance-now" else "drawn"
    assert _config(name).recipe.background == wanted
