"""A tiny run teaches a tinier one."""

import dataclasses
import json

import numpy as np
import pytest

from motion_jax.data.pairs import stretches
from motion_jax.data.records import open_dataset
from motion_jax.distill.command import distill
from motion_jax.distill.options import DistillOptions
from motion_jax.errors import UserError
from motion_jax.train.run import load_run


def test_distill(trained, dataset, tmp_path, capsys):
    options = DistillOptions(
        teacher=trained, run=tmp_path / "student", budget="60s", runtime="jax", mixed=1,
        step_limit=2,
    )  # fmt: skip
    result = distill(options)
    assert json.loads((options.run / "distill.json").read_text()) == result
    assert result["budget_ms"] == 60_000 and result["milliseconds"]["student"] <= 60_000
    assert result["psnr_below_teacher"] == pytest.approx(
        result["psnr"]["teacher"] - result["psnr"]["student"], abs=1e-3
    )
    student, teacher = load_run(options.run), load_run(trained)
    assert student.size == teacher.size and "face_generator" not in student.params

    # Its lessons: the real frames, held out as the teacher's, and the teacher's own pictures.
    lessons = open_dataset(tmp_path / "student.lessons" / "dataset")
    real = open_dataset(dataset)
    [(first, count)] = stretches(real, 0.25, "train")
    [(held, _)] = stretches(real, 0.25, "heldout")
    parts = stretches(lessons, 0.0, "train")
    assert [length for _, length in parts] == [count] * 3
    [(own_held, _)] = stretches(lessons, 0.0, "heldout")
    np.testing.assert_array_equal(lessons[own_held]["frame"], real[held]["frame"])
    np.testing.assert_array_equal(lessons[parts[0][0]]["frame"], real[first]["frame"])
    synthesizer = teacher.synthesizer()
    for i in range(3):
        lesson = lessons[parts[1][0] + i]
        shown = {"keypoints": lesson["keypoints"][None], "face_boxes": lesson["face_box"][None]}
        np.testing.assert_array_equal(lesson["frame"], synthesizer.feed(teacher.seen(shown))[0])
    # The same command again has nothing left to do, and says the same.
    assert distill(options)["psnr"] == result["psnr"]
    with pytest.raises(UserError, match="the smallest network takes"):
        distill(
            dataclasses.replace(options, run=tmp_path / "none", budget="0.000001ms"),
        )
    assert not list(tmp_path.glob("none*"))
