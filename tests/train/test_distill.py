"""A tiny run teaches a tinier one."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from motion_jax.data.pairs import stretches
from motion_jax.data.records import open_dataset
from motion_jax.distill import command, family
from motion_jax.distill.command import _taught, distill
from motion_jax.distill.options import DistillOptions
from motion_jax.errors import UserError
from motion_jax.port.run_state import all_params
from motion_jax.recipes.coarse_to_fine import CoarseToFine
from motion_jax.train.run import load_run


def test_distill(trained, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(family, "TRIES", 1)
    monkeypatch.setattr(family, "WIDTHS", (1,))
    forms = {"generator.shuffle": (1, 2), "generator.n_downsampling": (1,)}
    monkeypatch.setattr(CoarseToFine, "variants", forms)
    # One of the two trials is left out, and loses: the other's program is the student's.
    tried = command._tried

    def one_tried(teacher, options, member, lessons):
        if member.form["generator.shuffle"] == 1:
            return 0.0
        return tried(teacher, options, member, lessons)

    monkeypatch.setattr(command, "_tried", one_tried)
    options = DistillOptions(
        teacher=trained, run=tmp_path / "student", budget="60s", mixed=1,
        step_limit=2, trials=2, trial=0.5,
    )  # fmt: skip
    result = distill(options)
    assert json.loads((options.run / "distill.json").read_text()) == result
    assert result["budget_ms"] == 60_000 and result["milliseconds"]["student"] <= 60_000
    assert result["psnr_below_teacher"] == pytest.approx(
        result["psnr"]["teacher"] - result["psnr"]["student"], abs=1e-3
    )
    skipped, taken = result["trials"]
    assert skipped["psnr"] == 0 < taken["psnr"] and result["form"] == taken["form"]
    assert {one["form"]["generator.shuffle"] for one in result["trials"]} == {1, 2}
    assert result["forms"][0]["runtime"] == "jax" and result["forms"][0]["levels"] == 0
    plain = result["forms"][0]["ssim_to_teacher"]
    for row in result["forms"]:
        assert -1 <= row["ssim_to_teacher"] <= 1 and row["milliseconds_p95"] >= row["milliseconds"]
        if row["precision"] == "float32":
            assert row["ssim_to_teacher"] == pytest.approx(plain, abs=0.01)
        assert row["psnr_to_teacher"] > 0 and row["precision"] != "float32" or row["levels"] <= 1
    student, teacher = load_run(options.run), load_run(trained)
    assert student.size == teacher.size and "face_generator" not in student.params

    assert (options.run / "onnx" / "generator.onnx").is_file()

    # The teacher's discriminator judged it from the first step.
    config, losses = student.config, (options.run / "metrics.jsonl").read_text()
    assert "G_teacher" in losses and config.recipe.name == teacher.config.recipe.name
    before = all_params(trained)[1]["discriminator"]
    begun = _taught(config, teacher, options).recipe.init(jax.random.key(0), "global")
    jax.tree.map(np.testing.assert_array_equal, begun.params["discriminator"], before)

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
