"""The Python of README.md, docs/api.md, data.md, densepose.md and retrieval.md is executed, with a
drawn dancer for the films and a tiny run for the trained one."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import motion_jax as mj
from motion_jax import puppet
from motion_jax.pose.files import read_poses
from motion_jax.video.reader import frame_times

ROOT = Path(__file__).resolve().parents[2]


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)```", (ROOT / page).read_text(), flags=re.M | re.S)


@pytest.fixture
def place(tmp_path, monkeypatch, dataset, trained):
    """A folder with data/target, runs/target and two films, whose poses are read where a page would
    estimate them."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(dataset, tmp_path / "data" / "target")
    run = tmp_path / "runs" / "target"
    shutil.copytree(trained, run)
    about = json.loads((run / "dataset.json").read_text())
    (run / "dataset.json").write_text(json.dumps(about | {"path": str(dataset)}))
    puppet.make_video(tmp_path, puppet.CHARACTERS["ada"], puppet.dance(16, 25, 1), 48, 48)
    for name in ("dance.mp4", "source.mp4"):
        shutil.copy(tmp_path / "video.mp4", tmp_path / name)

    def estimated(video, **_):
        return read_poses(tmp_path / "poses", frame_times(video), (48, 48), "largest")

    monkeypatch.setattr("motion_jax.pose.motion.estimate_cached", estimated)
    return tmp_path


def execute(text: str, **scope) -> dict:
    exec(compile(text, "the page", "exec"), scope)
    return scope


def test_readme(place):
    (text,) = blocks("README.md")
    assert execute(text)["picture"].shape == (32, 32, 3)


def test_api(place, monkeypatch):
    drawn, all_verbs, watched = blocks("docs/api.md")
    scope = execute(drawn)
    assert scope["pictures"].shape == (16, 32, 32, 3) and scope["pictures"].dtype == np.uint8

    # Training is tested elsewhere: here the run is there already.
    def trained_before(config, data, folder, **_):
        assert config.recipe.local_stage.steps == 900 and folder == Path("runs/target")

    monkeypatch.setattr("motion_jax.library.loop.train", trained_before)
    scope = execute(all_verbs, video=Path("video.mp4"), data=Path("d"), dance=Path("dance.mp4"),
                    film=Path("film.mp4"))  # fmt: skip
    assert Path("film.mp4").is_file() and scope["found"]["frames"] == 6

    scope = execute(watched, video=Path("video.mp4"), folder=Path("again"))
    assert Path("again/report/index.html").is_file() and not scope["stop"].asked


def test_data(place):
    drawn, plain, ours, classic = blocks("docs/data.md")
    smaller = drawn.replace("400, 25", "12, 25").replace("64", "32")
    execute(smaller.replace("smooth=False", "smooth=False, workers=1"))
    assert Path("data/drawn/report/index.html").is_file()
    assert execute(plain)["keypoints"].shape == (137, 3)
    smaller = ours.replace("height=256, width=256", "height=32, width=32")
    scope = execute(smaller)
    assert scope["batch"]["frames"].shape == (4, 2, 32, 32, 3) and scope["position"] == 4
    execute(classic)


def test_densepose():
    (text,) = blocks("docs/densepose.md")
    scope = execute(text.replace("frames=50", "frames=2"))
    assert scope["picture"].shape == (256, 256, 3)


def test_retrieval(place):
    (text,) = blocks("docs/retrieval.md")
    assert execute(text)["picture"].shape == (32, 32, 3)
    assert mj.RetrievalOptions().k == 1
