"""A run that knows several people, told who it is: measured as one of them, and their teacher."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.drawn_people import write_poses
from motion_jax.cli.after import next_command
from motion_jax.data.pairs import stretches
from motion_jax.data.records import open_dataset
from motion_jax.distill import command, family
from motion_jax.distill.command import distill
from motion_jax.distill.options import DistillOptions
from motion_jax.errors import UserError
from motion_jax.evaluate import films
from motion_jax.evaluate.evaluate import evaluate
from motion_jax.evaluate.held_out import default_folder
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.files import check_outputs, parted
from motion_jax.port.import_run import import_run
from motion_jax.port.inspect import inspect
from motion_jax.port.options import ImportOptions, InspectOptions, ParityOptions
from motion_jax.port.parity import parity
from motion_jax.profiling.options import ProfileOptions
from motion_jax.profiling.profile import profile
from motion_jax.recipes.coarse_to_fine import CoarseToFine
from motion_jax.serve.pictures import Refused
from motion_jax.serve.service import Service
from motion_jax.train.run import load_person, load_run
from motion_jax.train.which_checkpoint import steps_of
from motion_jax.transfer.options import TransferOptions
from motion_jax.video.writer import VideoWriter

SIZE = 16
HOLDOUT = 0.25  # two of a clip's six frames


def measured(run, out, **options):
    return evaluate(EvaluateOptions(Path(run), out=out, reestimate="no", **options))


def test_one_of_them_is_measured_alone(run_of_both, tmp_path, capsys):
    found = {name: measured(f"{run_of_both}:{name}", tmp_path / name) for name in ("ann", "bob")}
    every = measured(run_of_both, tmp_path / "all")
    counts = {name: (each["frames"], each["training_frames"]) for name, each in found.items()}
    assert counts == {"ann": (2, 4), "bob": (4, 8)} and every["frames"] == 6
    # All of them together are the mean of all frames, each drawn as who it is, and compared with
    # the nearest frame of the same person.
    for method in ("trained", "nearest_frame"):
        for figure, within in (("psnr", 0.02), ("ssim", 1e-3)):
            ann, bob = (found[name]["methods"][method][figure] for name in ("ann", "bob"))
            both = every["methods"][method][figure]
            assert both == pytest.approx((2 * ann + 4 * bob) / 6, abs=within) and ann != bob
    # The nearest frame is one of their own: the same pose in the same colour.
    nearest = found["ann"]["methods"]["nearest_frame"]["psnr"]
    data = open_dataset(load_run(run_of_both).data_path)
    frames = [data[record]["frame"].astype(float) for record in (6, 7, 8, 9, 10, 11)]
    best = [max(_psnr(true, other) for other in frames[:4]) for true in frames[4:]]
    assert nearest == pytest.approx(np.mean(best), abs=0.01)

    assert found["ann"]["who"] == "ann" and "who" not in every
    assert any(note.startswith("Only ann is measured") for note in found["ann"]["notes"])
    assert "2 frames of ann" in capsys.readouterr().out
    page = (tmp_path / "ann" / "index.html").read_text()
    assert (
        "Means over 2 frames of ann" in page
        and "Evaluation of both:ann" in page
        and "clip 1" in page
        and "clip 0" not in page
    )


def _psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a - b) ** 2))


def test_where_it_is_written_and_which_checkpoints(run_of_both, tmp_path):
    place = Path(f"{run_of_both}:ann")
    assert default_folder(EvaluateOptions(place)) == run_of_both / "evaluation" / "ann"
    assert default_folder(EvaluateOptions(run_of_both)) == run_of_both / "evaluation"
    found = measured(place, tmp_path / "steps", step="all", max_frames=1)
    assert [row["step"] for row in found["steps"]] == steps_of(run_of_both)
    page = (tmp_path / "steps" / "steps.html").read_text()
    assert "Checkpoints of both:ann" in page and "--step best" not in page
    with pytest.raises(UserError, match="of a mixture of people .all. there are none"):
        measured(f"{run_of_both}:all", tmp_path / "none", step="all")


def test_who_cannot_be_measured_is_said(run_of_both, write_people, tmp_path):
    none = tmp_path / "none"
    with pytest.raises(UserError, match="'carl', whom the run does not know: it knows ann, bob"):
        measured(f"{run_of_both}:carl", none)
    with pytest.raises(
        UserError, match="no true frames.*source VIDEO, or one person alone.*both:bob"
    ):
        measured(f"{run_of_both}:ann:1+bob:3", none)
    other = write_people(tmp_path / "other", "bob.mp4")
    with pytest.raises(UserError, match="shows nobody called ann.*bob.*data"):
        measured(f"{run_of_both}:ann", none, data=other)
    assert measured(f"{run_of_both}:bob", tmp_path / "bob", data=other)["frames"] == 2
    with pytest.raises(UserError, match=r"source makes films of one of them.*both:ann"):
        measured(run_of_both, none, source=(tmp_path / "film.mp4",))
    with pytest.raises(UserError, match="is the input"):
        measured(f"{run_of_both}:ann", run_of_both)
    assert not none.exists()


@pytest.fixture
def dance(both, tmp_path, monkeypatch):
    """A film, whose poses are given."""
    film = tmp_path / "film.mp4"
    with VideoWriter(film, SIZE, SIZE) as writer:
        for i in range(4):
            writer.write(np.full((SIZE, SIZE, 3), 99, np.uint8), i / 25)
    poses = write_poses(open_dataset(both).keypoints()[None, :4], tmp_path / "poses")
    given = films.TransferOptions
    monkeypatch.setattr(
        films, "TransferOptions",
        lambda **o: given(**o, poses=poses, smooth=False, swaps=False, bones=False),
    )  # fmt: skip
    return film


def test_films_are_drawn_as_who_was_chosen(run_of_both, dance, tmp_path, monkeypatch, capsys):
    greys, before = set(), films._before
    monkeypatch.setattr(
        films, "_before", lambda picture, plate: greys.add(plate[0, 0, 0]) or before(picture, plate)
    )
    for who, places in {"ann": {100}, "ann:1+bob:3": {90, 110}}.items():
        out = tmp_path / who
        found = measured(f"{run_of_both}:{who}", out, source=(dance,), normalize="none")
        assert found["who"] == who and found["films"]["film.mp4"]["background_flicker"] >= 0
        # Each before their own place.
        assert greys <= places and len(greys) == 1
        greys.clear()
        page = (out / "index.html").read_text()
        assert f"Evaluation of both:{who}" in page and "film.mp4: frames at even" in page
        assert json.loads((out / "evaluation.json").read_text()) == found
    assert found["methods"] == {} and found["frames"] == 0
    assert any("there are no true frames" in note for note in found["notes"])
    said = capsys.readouterr().out
    assert "Moving like film.mp4" in said and "there are no true frames" in said
    assert "0 frames" not in said


@pytest.fixture
def tiny_family(monkeypatch):
    """One network alone."""
    monkeypatch.setattr(family, "TRIES", 1)
    monkeypatch.setattr(family, "WIDTHS", (1,))
    forms = {"generator.shuffle": (1,), "generator.n_downsampling": (1,)}
    monkeypatch.setattr(CoarseToFine, "variants", forms)
    # The exports and their forms are those of any run.
    monkeypatch.setattr(command, "installed", lambda: ["jax"])


def taught_by(teacher, student):
    return DistillOptions(
        teacher=Path(teacher), run=student, budget="60s", runtime="jax", mixed=1, step_limit=2,
        trials=1,
    )  # fmt: skip


def test_a_student_of_one_of_them(run_of_both, both, tiny_family, tmp_path, capsys):
    options = taught_by(f"{run_of_both}:ann", tmp_path / "student")
    result = distill(options)
    assert result["who"] == "ann" and result["teacher"] == str(run_of_both)
    assert "Student of ann: " in capsys.readouterr().err
    student, teacher = load_run(options.run), load_person(options.teacher)
    # A run like any other, which nobody needs to tell who it is.
    assert student.people == [] and student.config.recipe.identities == 0
    assert not any("identity" in layer for layer in student.params["generator"]["params"])
    [source] = student.dataset["info"]["sources"]
    assert source["file"] == "distilled from both:ann"

    # Ann's one clip, real; held out as the teacher holds it out; and as the teacher draws her.
    lessons = open_dataset(tmp_path / "student.lessons" / "dataset")
    real = open_dataset(both)
    parts, held = (stretches(lessons, 0.0, part) for part in ("train", "heldout"))
    assert [count for _, count in parts] == [4, 4, 4] and [count for _, count in held] == [2]
    for i in range(4):
        np.testing.assert_array_equal(lessons[parts[0][0] + i]["frame"], real[6 + i]["frame"])
    for i in range(2):
        np.testing.assert_array_equal(lessons[held[0][0] + i]["frame"], real[10 + i]["frame"])
    assert_drawn_by(teacher, lessons, parts[1])

    # The teacher is measured as her alone, on the same frames.
    alone = measured(options.teacher, tmp_path / "alone")["methods"]["trained"]["psnr"]
    assert result["psnr"]["teacher"] == pytest.approx(alone, abs=1e-3)
    # Not a student of somebody else in the same place.
    with pytest.raises(UserError, match="distilled from both:ann, and the teacher is both:bob now"):
        distill(dataclasses.replace(options, teacher=Path(f"{run_of_both}:bob")))


def test_a_student_of_a_mixture(run_of_both, both, tiny_family, tmp_path, capsys):
    options = taught_by(f"{run_of_both}:ann:1+bob:3", tmp_path / "student")
    result = distill(options)
    assert result["who"] == "ann:1+bob:3" and result["truth"] == "teacher"
    assert set(result["psnr"]) == {"student"} and "psnr_below_teacher" not in result
    assert "to the teacher's pictures" in capsys.readouterr().err
    # Nobody has filmed them: all is the teacher's, in the poses of the larger share.
    lessons, real = open_dataset(tmp_path / "student.lessons" / "dataset"), open_dataset(both)
    parts, held = (stretches(lessons, 0.0, part) for part in ("train", "heldout"))
    assert [count for _, count in parts] == [4, 4, 4, 4] and [n for _, n in held] == [2, 2]
    teacher = load_person(options.teacher)
    for part in (parts[0], *held):
        assert_drawn_by(teacher, lessons, part)
    np.testing.assert_array_equal(lessons.keypoints()[held[1][0] :][:2], real.keypoints()[16:18])
    assert load_run(options.run).config.recipe.identities == 0


def assert_drawn_by(teacher, lessons, part):
    first, count = part
    rows = slice(first, first + count)
    moments = {"keypoints": lessons.keypoints()[rows], "face_boxes": lessons.face_boxes()[rows]}
    made = teacher.synthesizer().feed(teacher.seen(moments))
    for i, picture in enumerate(made):
        np.testing.assert_array_equal(lessons[first + i]["frame"], picture)


def test_teachers_that_do_not_fit_are_refused(run_of_both, write_people, tmp_path):
    run = tmp_path / "student"
    with pytest.raises(UserError, match="knows ann, bob; say who it is, as in .*both:ann"):
        distill(taught_by(run_of_both, run))
    with pytest.raises(UserError, match="'carl', whom the run does not know"):
        distill(taught_by(f"{run_of_both}:carl", run))
    other = write_people(tmp_path / "other", "bob.mp4")
    with pytest.raises(UserError, match="shows nobody called ann"):
        distill(dataclasses.replace(taught_by(f"{run_of_both}:ann", run), data=other))
    with pytest.raises(UserError, match="is the input"):
        distill(taught_by(f"{run_of_both}:ann", run_of_both))
    assert not list(tmp_path.glob("student*"))


def test_what_takes_a_run_as_a_whole_says_so(run_of_both, tmp_path):
    place = Path(f"{run_of_both}:ann")
    for ask in (
        lambda: inspect(InspectOptions(place)),
        lambda: parity(ParityOptions(place, run_of_both)),
        lambda: profile(ProfileOptions(run=place, json=True), []),
        lambda: import_run(ImportOptions(place, tmp_path / "new")),
        lambda: load_run(place),
    ):
        with pytest.raises(UserError, match="both:ann is one person of the run .*; give .*both.$"):
            ask()


def test_an_output_is_not_the_run_of_which_one_was_chosen(run_of_both, tmp_path, monkeypatch):
    @dataclasses.dataclass
    class Options:
        run: Path
        out: Path

    for out in (run_of_both, run_of_both / "checkpoints"):
        with pytest.raises(UserError, match="the input"):
            check_outputs(Options(Path(f"{run_of_both}:ann"), out), "out")
    check_outputs(Options(Path(f"{run_of_both}:ann"), tmp_path / "out"), "out")
    # From within the run itself.
    assert parted(Path(".:ann")) == (Path("."), "ann")
    monkeypatch.chdir(run_of_both)
    assert load_person(Path(".:ann")).name == "both:ann"


def test_a_mixture_is_served_by_its_name_in_an_address():
    served = SimpleNamespace(residents={"both:ann": 1, "both:ann:1+bob:3": 2})
    for name, resident in (("both:ann", 1), ("both:ann:1+bob:3", 2), ("both:ann:1 bob:3", 2)):
        assert Service.resident(served, name) == resident
    with pytest.raises(Refused, match="no run of that name here; there is both:ann, both:ann:1"):
        Service.resident(served, "both:bob")


def test_the_next_command_says_who(run_of_both):
    place, film = Path(f"{run_of_both}:ann"), Path("film.mp4")
    transferred = TransferOptions(source=film, out=Path("o.mp4"), run=run_of_both, identity="ann")
    wanted = f"motion-jax evaluate --run {run_of_both}:ann --source film.mp4"
    assert next_command("transfer", transferred) == wanted
    for run, said in ((place, place), (run_of_both, f"{run_of_both}:WHO")):
        assert f"transfer --run {said} --source" in next_command("evaluate", EvaluateOptions(run))
    held = next_command("inspect", InspectOptions(run_of_both), {"kind": "run"})
    assert held == f"motion-jax export --run {run_of_both}:WHO --format onnx --out FOLDER"
