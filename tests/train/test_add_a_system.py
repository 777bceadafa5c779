"""docs/training.md, "Add a system": its two files are all that it takes."""

import json
import re
from pathlib import Path

import numpy as np

from motion_jax import recipes
from motion_jax.cli import main
from motion_jax.train.record import read_metrics
from motion_jax.video.reader import read_frames
from motion_jax.video.writer import VideoWriter

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text()


def test_the_example_trains_transfers_and_is_evaluated(tmp_path, dataset, monkeypatch, capsys):
    section = PAGE.split("## Add a system")[1].split("\n## ")[0]
    found = dict(re.findall(r"<!-- (\S+) -->\n```python\n(.*?)```", section, re.S))
    assert list(found) == ["motion_jax/recipes/sketch.py", "configs/sketch.py"]
    lines = [line for text in found.values() for line in text.splitlines() if line.strip()]
    assert len(lines) < 40 and max(map(len, lines)) <= 100
    for name, text in found.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    place = str(tmp_path / "motion_jax" / "recipes")
    monkeypatch.setattr(recipes, "__path__", [*recipes.__path__, place])
    config, run = str(tmp_path / "configs" / "sketch.py"), str(tmp_path / "run")
    settings = {"recipe.main-stage.steps": 3, "recipe.main-stage.batch-size": 2,
                "recipe.main-stage.height": 32, "recipe.main-stage.width": 32,
                "record.sample-seconds": 0.1, "record.log-every": 1}  # fmt: skip
    words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    main(["train", config, "--data", str(dataset), "--run", run, *words, "--record.no-trace"])
    rows = read_metrics(Path(run))
    assert rows[-1]["G_L1"] < rows[0]["G_L1"]
    main(["evaluate", "--run", run, "--json", "--reestimate", "no"])
    result = json.loads(capsys.readouterr().out)
    assert set(result["methods"]) == {"trained", "nearest_frame"}
    skeletons, out = tmp_path / "skeletons.mp4", tmp_path / "out.mp4"
    with VideoWriter(skeletons, 32, 32) as writer:
        for i in range(3):
            picture = np.full((32, 32, 3), 255, np.uint8)
            picture[4:28, 8 + 4 * i : 11 + 4 * i] = (255, 0, 0)
            writer.write(picture, i / 25)
    words = ["--run", run, "--source", str(skeletons), "--out", str(out), "--ready-poses"]
    main(["transfer", *words])
    assert len(list(read_frames(out))) == 3
