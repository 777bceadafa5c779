"""`motion-jax compare`: the whole of it on drawn dancers, and its parts."""

import dataclasses
import json
import shutil
import signal
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from motion_jax import cli, events, puppet
from motion_jax.compare import budget, command, page, score
from motion_jax.compare.command import compare
from motion_jax.compare.movers import RetrievalMover
from motion_jax.compare.options import CompareOptions
from motion_jax.compare.recommend import marked, recommend
from motion_jax.data.prepare import prepare
from motion_jax.data.prepare_options import PrepareOptions
from motion_jax.data.records import open_dataset
from motion_jax.errors import UserError
from motion_jax.metrics.frames import psnr
from motion_jax.plan import methods, suggest
from motion_jax.profiling import cost
from motion_jax.recipes import pix2pix
from motion_jax.retrieval.retriever import Retriever
from motion_jax.train import loop
from motion_jax.video.reader import frame_times, probe, read_frames
from motion_jax.video.writer import VideoWriter

SIZE, FPS = 32, 25
TARGET, SOURCE = 40, 18

TINY = {
    "recipe.generator.ngf": 4,
    "recipe.discriminator.ndf": 4,
    "recipe.discriminator.n_layers": 1,
    "data.augment.scale": 0.0,
    "data.augment.shift": 0.0,
}


@pytest.fixture(scope="session")
def dancers(tmp_path_factory) -> Path:
    """ben_data (dataset), ada/video.mp4 with sound and ada/poses, truth/video.mp4: ben dancing
    ada's dance."""
    folder = tmp_path_factory.mktemp("dancers")
    for name, who, frames, seed in (
        ("ben", "ben", TARGET, 0), ("silent", "ada", SOURCE, 1), ("truth", "ben", SOURCE, 1)
    ):  # fmt: skip
        dance = puppet.dance(frames, FPS, seed)
        puppet.make_video(folder / name, puppet.CHARACTERS[who], dance, SIZE, SIZE)
    prepare(
        PrepareOptions(
            videos=(folder / "ben" / "video.mp4",), poses=folder / "ben" / "poses",
            out=folder / "ben_data", size=f"{SIZE}x{SIZE}", fit="squash", smooth=False, workers=1,
        )
    )  # fmt: skip
    voice = folder / "voice.wav"
    with av.open(str(voice), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        wave = (np.sin(np.arange(16000) * 0.2) * 9000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
        frame.rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    ada = folder / "ada"
    with VideoWriter(ada / "video.mp4", SIZE, SIZE, audio_from=voice, crf=4) as writer:
        for frame in read_frames(folder / "silent" / "video.mp4"):
            writer.write(frame.image, frame.time)
    (folder / "silent" / "poses").rename(ada / "poses")
    return folder


def options(dancers: Path, out: Path, **changes) -> CompareOptions:
    values = {
        "target": dancers / "ben_data", "source": dancers / "ada" / "video.mp4",
        "poses": dancers / "ada" / "poses", "truth": dancers / "truth" / "video.mp4",
        "methods": "nearest,pose2pics", "budget": "0.5s", "smooth": False, "out": out,
    }  # fmt: skip
    return CompareOptions(**values | changes)


@pytest.fixture(scope="module")
def tiny():
    """pose2pics with networks of a few channels."""
    with pytest.MonkeyPatch.context() as patch:
        small = dataclasses.replace(methods.METHODS["pose2pics"], cpu=("pix2pix", TINY))
        patch.setitem(methods.METHODS, "pose2pics", small)
        yield


@pytest.fixture(scope="module")
def made(dancers, tmp_path_factory, tiny) -> Path:
    out = tmp_path_factory.mktemp("compared") / "out"
    compare(options(dancers, out), "motion-jax compare …")
    return out


def test_the_table(made):
    result = json.loads((made / "table.json").read_text())
    assert list(result["methods"]) == ["nearest", "pose2pics"]
    assert (result["frames"], result["moments"]) == (round(0.2 * TARGET), SOURCE)
    near, trained = result["methods"].values()
    for figures in (near, trained):
        assert 8 < figures["psnr"] < 60 and 0 < figures["frame_seconds"] < 10
    assert near["parameters"] == 0 and "train_seconds" not in near
    assert trained["parameters"] > 1000 and trained["compile_seconds"] > 0
    steps = trained["steps"]["main"]
    # The clock ended it, whatever was planned; the last step went beyond it.
    assert steps >= 1 and trained["train_seconds"] >= 0.5
    assert "retrieval" not in trained["made"] and f": {steps} steps of" in trained["made"]
    assert any("nearest, pose2pics" in note for note in result["notes"])


def test_the_transfer_is_measured_against_the_true_answer(made, dancers):
    """The same figure, put together from the parts."""
    ben = open_dataset(dancers / "ben_data")
    training = np.arange(TARGET - round(0.2 * TARGET))
    source = open_dataset(made / "source")
    setup = score.set_up(ben, source, (SIZE, SIZE), [(32, 8)], training, "limbs")
    shown = np.stack(list(Retriever(ben, "nearest", records=training).pictures(setup.poses)))
    real = np.stack([frame.image for frame in read_frames(dancers / "truth" / "video.mp4")])
    expected = float(np.mean(psnr(real, shown)))
    figures = json.loads((made / "table.json").read_text())["methods"]["nearest"]
    assert figures["transfer_psnr"] == pytest.approx(expected, abs=1e-3)


def test_the_page_and_the_video(made):
    text = (made / "index.html").read_text()
    assert "data:video/mp4;base64," in text and text.count("data:image/jpeg") == 2
    assert "http://" not in text and "https://" not in text and "<script" not in text
    for word in ("nearest", "pose2pics", "Held-out frames", "0.5s of training", "transfer PSNR"):
        assert word in text, word
    film = probe(made / "side_by_side.mp4")
    assert film.has_audio and "with the source&#x27;s sound" in text
    # source, true answer and two methods, 32 pixels enlarged to 192, in one row.
    assert film.width == 4 * 192 + 3 * 4
    assert sum(1 for _ in read_frames(made / "side_by_side.mp4")) == SOURCE
    lines = (made / "table.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in lines[4:6]] == ["nearest", "pose2pics"]
    advice = json.loads((made / "table.json").read_text())["recommendation"]["text"]
    assert advice.startswith("Whether a person is seen in the pictures was not measured: ")
    assert lines[0] == advice and "Which method" in text


def steps_of(seconds: float):
    """What measures every step as so long."""
    return lambda config, data=None: budget.Measured({"main": seconds})


def test_a_token_stops_it_midway_and_the_same_call_goes_on(tmp_path, dancers, tiny, monkeypatch):
    """Watched by another observer than the terminal. 120 steps are planned, however slow they are,
    so that a step is reported before the last one is made."""
    monkeypatch.setattr(budget, "measure", steps_of(1.0))
    out, stop, seen = tmp_path / "out", events.StopToken(), []

    def watch(event):
        seen.append(event)
        if isinstance(event, events.Step):
            stop.stop("the page")

    with pytest.raises(events.Interrupted, match="Stopped by the page after step .* saved"):
        compare(options(dancers, out, budget="60s"), observer=watch, stop=stop)
    assert not any((out / name).exists() for name in ("table.json", "index.html"))
    begun = [event.name for event in seen if isinstance(event, events.StageBegun)]
    assert begun == ["source", "poses", "frames", "training", "main"]
    seen.clear()
    compare(options(dancers, out, budget="60s"), observer=seen.append)
    begun = [event.name for event in seen if isinstance(event, events.StageBegun)]
    assert begun[0] == "source" and begun[-1] == "scores" and "poses" not in begun
    shares = [event.share for event in seen]
    assert shares == sorted(shares) and len(set(shares)) > 20
    pictures = [event for event in seen if isinstance(event, events.PictureMade)]
    assert [event.number for event in pictures if event.what == "frame"] == list(range(SOURCE))
    written = [event.path for event in seen if isinstance(event, events.FileWritten)]
    assert written[-1] == out / "table.json" and out / "side_by_side.mp4" in written
    assert seen[-1] == events.Done("compare", out, share=1.0)


def test_a_second_call_reuses_what_is_there(made, dancers, capsys):
    begun = (made / "runs" / "pose2pics" / "command.txt").read_text()
    before = json.loads((made / "table.json").read_text())["methods"]["pose2pics"]
    again = compare(options(dancers, made, methods="pose2pics,nearest-angle"))
    said = capsys.readouterr().err
    assert "pose2pics is trained already" in said and "compiling" not in said
    assert (made / "runs" / "pose2pics" / "command.txt").read_text() == begun
    assert list(again["methods"]) == ["pose2pics", "nearest-angle"]
    for name in ("psnr", "train_seconds", "steps", "transfer_psnr"):
        assert again["methods"]["pose2pics"][name] == before[name]
    with pytest.raises(UserError, match=r"holds a comparison with budget 0\.5s; choose another"):
        compare(options(dancers, made, budget="2s"))
    other = {**TINY, "recipe.generator.ngf": 6}
    changed = dataclasses.replace(methods.METHODS["pose2pics"], cpu=("pix2pix", other))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(methods.METHODS, "pose2pics", changed)
        patch.setattr(budget, "measure", steps_of(0.01))
        with pytest.raises(UserError, match=r"other settings \(recipe\.generator\.ngf: 4 -> 6\)"):
            compare(options(dancers, made, methods="pose2pics"))


def test_a_photo_is_a_row(dancers, tmp_path, monkeypatch):
    """With a mover that shows the photo as it is; the real one: train/test_first_order_runs.py."""

    class Still:
        parameters = 7

        def __init__(self, run, photo):
            assert (run, photo.shape) == ("run", (SIZE, SIZE, 3))
            self.photo = photo

        def move(self, clip):
            return (self.photo for _ in range(len(clip)))

    monkeypatch.setattr(command, "PhotoMover", Still)
    monkeypatch.setattr(command, "load_run", lambda folder: "run")
    monkeypatch.setattr(command, "animating", lambda run: None)
    asked = options(dancers, tmp_path / "out", methods="nearest", photo_run=Path("faces"))
    result = compare(asked)
    row = result["methods"]["first-order"]
    assert list(result["methods"]) == ["nearest", "first-order"] and row["parameters"] == 7
    assert row["made"].startswith("The First Order Motion Model of faces moves frame 0 of the")
    assert any("first-order knows one photo" in note for note in result["notes"])
    assert row["psnr"] > 8 and row["frame_seconds"] < 10


def test_a_budget_too_small_is_said_before_anything_is_trained(tmp_path, dancers, monkeypatch):
    monkeypatch.setattr(budget, "measure", steps_of(7.5))
    with pytest.raises(UserError) as caught:
        compare(options(dancers, tmp_path / "out", budget="5s"))
    assert str(caught.value) == (
        "budget 5s is too small for pose2pics: one step takes 7.5 s on this machine; give 8s or "
        "more (minutes, for a result worth seeing), or leave the method out."
    )
    assert not (tmp_path / "out" / "runs").exists()
    # Nothing was trained, so another budget may be tried in the same folder.
    with pytest.raises(UserError, match="budget 7s is too small"):
        compare(options(dancers, tmp_path / "out", budget="7s"))


def test_a_signal_ends_it_with_a_sentence(tmp_path, monkeypatch, capsys):
    def interrupted(options, command):
        events.emit(events.Stoppable(1))
        signal.raise_signal(signal.SIGINT)
        raise events.Interrupted("Stopped by SIGINT; saved.", events.stop_token().reason)

    monkeypatch.setattr(command, "compare", interrupted)
    with pytest.raises(SystemExit) as ended:
        cli.main(["compare", "--target", "x", "--source", "y", "--out", str(tmp_path)])
    assert ended.value.code == 130
    assert "Stopped by SIGINT; saved." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"methods": "nearest,pose2pic"}, "no method 'pose2pic'; did you mean 'pose2pics'"),
        ({"methods": "nearest,nearest"}, "names 'nearest' twice"),
        ({"methods": " , "}, "names no method; there are nearest"),
        ({"budget": "ten"}, "budget ten is no time to train"),
        ({"source": Path("nowhere.mp4")}, "no file nowhere.mp4; check source"),
        ({"truth": Path("nowhere.mp4")}, "no file nowhere.mp4; check truth"),
        ({"photo": Path("nowhere.png")}, "no file nowhere.png; check photo"),
        ({"photo": Path(__file__)}, "say which: photo_run RUN"),
        ({"target": Path("nowhere")}, "no dataset folder nowhere"),
        ({"holdout": 0.0}, "has no held-out frames at holdout 0"),
        ({"holdout": 1.0}, "holdout 1 is not a share"),
        ({"size": "48x48"}, "size 48x48 is not the size of the target's frames"),
        ({"max_frames": 0}, "max_frames 0 is less than 1"),
        ({"end": 0.5}, "leave start and end out"),
        ({"source": Path(__file__)}, "test_compare.py"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, dancers, changes, sentence):
    with pytest.raises(UserError) as caught:
        compare(options(dancers, tmp_path / "out", **changes))
    assert sentence in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path, dancers):
    (tmp_path / "letter.txt").write_text("Dear Ada")
    with pytest.raises(UserError, match="holds other files, and no comparison; choose another"):
        compare(options(dancers, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_truth_of_other_moments(tmp_path, dancers):
    wrong = options(dancers, tmp_path / "out", truth=dancers / "ben" / "video.mp4")
    with pytest.raises(UserError, match="has 40 frames and source .* 18, or at other times"):
        compare(dataclasses.replace(wrong, methods="nearest"))
    assert not (tmp_path / "out" / "table.json").exists()


def test_the_command_line(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["compare", "--target", "x", "--source", "y", "--out", "z", "--methods", "all"])
    assert ended.value.code == 2
    assert "there is no method 'all'" in capsys.readouterr().err


def test_held_out_frames_are_never_shown(dancers, made):
    ben, source = open_dataset(dancers / "ben_data"), open_dataset(made / "source")
    held, training = score.check_target(ben, 0.2)
    setup = score.set_up(ben, source, (SIZE, SIZE), held, training, "limbs")
    clip = setup.held_out(*held[0])
    allowed = {ben[int(record)]["frame"].tobytes() for record in training}
    for name in ("nearest", "nearest-angle"):
        shown = list(RetrievalMover(ben, name, training, setup.size).move(clip))
        assert len(shown) == len(clip) and all(x.tobytes() in allowed for x in shown)
    # What methods that see pictures are shown then: the source's of the nearest pose.
    gap = np.linalg.norm(
        setup.poses[None, :, :15, :2] - clip.keypoints[:, None, :15, :2], axis=-1
    ).mean(-1)
    given = clip.pictures(0, len(clip))
    for i, picture in enumerate(given):
        chosen = [n for n in range(SOURCE) if (source[n]["frame"] == picture).all()]
        assert gap[i, chosen].min() < gap[i].min() + 0.5


def test_steps_are_planned_by_what_they_take_just_before(tmp_path, dancers, monkeypatch):
    class Planned(Exception):
        pass

    def train_within(name, made, *_):
        raise Planned(made.config.recipe.main_stage.steps)

    monkeypatch.setattr(budget, "measure", steps_of(0.5))
    monkeypatch.setattr(
        budget,
        "timed",
        lambda config, known: dataclasses.replace(known, step_seconds={"main": 0.04}),
    )
    monkeypatch.setattr(budget, "train_within", train_within)
    with pytest.raises(Planned) as planned:
        compare(options(dancers, tmp_path / "out", methods="pose2pics", budget="2s"))
    assert planned.value.args == (100,), "twice those of 2 s at 0.04 s a step"


def test_the_time_left_is_that_of_all_methods(tmp_path, dancers, monkeypatch):
    class Trained(Exception):
        pass

    def train_within(*_):
        raise Trained

    monkeypatch.setattr(budget, "measure", steps_of(0.5))
    monkeypatch.setattr(budget, "timed", lambda config, known: known)
    monkeypatch.setattr(budget, "train_within", train_within)
    seen = []
    with pytest.raises(Trained):
        chosen = "nearest,pose2pics,cyclegan"
        asked = options(dancers, tmp_path / "out", methods=chosen, budget="50s")
        compare(asked, observer=seen.append)
    told = [event.seconds for event in seen if isinstance(event, events.Expected)]
    # Two stages to compile, two methods to train, three to score; and before the first is trained.
    assert told == [2 * 40 + 2 * 50 + 3 * 60] * 2 + [2 * 50 + 3 * 60]


def test_what_is_trained_already_takes_no_time(made, tmp_path):
    run = made / "runs" / "pose2pics"
    assert budget.left([run, tmp_path / "absent"], 50.0) == 50.0
    # Begun, and nothing saved yet.
    begun = tmp_path / "begun"
    shutil.copytree(run, begun, ignore=shutil.ignore_patterns("checkpoints"))
    assert budget.left([begun], 50.0) == 50.0
    record = json.loads((made / "table.json").read_text())["methods"]["pose2pics"]
    assert 0 < record["train_seconds"] < 50


class Rhythmic(pix2pix.Pix2Pix):
    """pix2pix that does more in every fourth step."""

    def rhythm(self, name):
        return {"more": 4}

    def train_step(self, state, batch, name, frozen, kind=()):
        state, metrics = super().train_step(state, batch, name, frozen)
        return state, metrics | dict.fromkeys(kind, 0.0)


def test_a_step_is_timed_in_its_rhythm(monkeypatch):
    """The usual step takes 0.1 s here, every fourth one 0.5 s, by a clock that looks at what the
    compiled step gives."""
    monkeypatch.setattr(cost, "mean", lambda run, least: 0.5 if "more" in run()[1] else 0.1)
    small = methods.base_config(
        dataclasses.replace(methods.METHODS["pose2pics"], cpu=("pix2pix", TINY)),
        (32, 32), on_cpu=True, holdout=0.2, seed=0,
    )  # fmt: skip
    assert small.recipe.main_stage.steps < 4, "how many steps fit is not known yet"
    recipe = Rhythmic(
        **{f.name: getattr(small.recipe, f.name) for f in dataclasses.fields(small.recipe)}
    )
    took = budget.measure(dataclasses.replace(small, recipe=recipe))
    assert set(took.programs) == {("main", ()), ("main", ("more",))} and took.compile_seconds > 0
    assert took.step_seconds == {"main": pytest.approx(suggest.LOOP * (0.75 * 0.1 + 0.25 * 0.5))}


def test_a_folder_of_pictures_is_a_source(tmp_path, dancers, capsys):
    """As for transfer: with --fps, and without it one sentence."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for frame in read_frames(dancers / "ada" / "video.mp4"):
        Image.fromarray(frame.image).save(folder / f"{frame.index}.png")
    call = options(dancers, tmp_path / "out", source=folder, methods="nearest")
    with pytest.raises(UserError, match=r"pictures is a folder; .* say with fps"):
        compare(call)
    assert not (tmp_path / "out").exists()
    made = compare(dataclasses.replace(call, fps=FPS))
    assert made["moments"] == SOURCE and not made["sound"]
    assert made["methods"]["nearest"]["transfer_psnr"] > 8
    times = frame_times(tmp_path / "out" / "side_by_side.mp4")
    np.testing.assert_allclose(times, np.arange(SOURCE) / FPS, atol=1e-3)
    with pytest.raises(UserError, match=r"holds a comparison with fps 25; choose another"):
        compare(dataclasses.replace(call, fps=2 * FPS))


def test_the_best_of_each_column_is_marked():
    result = {
        "methods": {
            "a": {"psnr": 20.0, "flicker": 2.0, "parameters": 0, "train_seconds": None},
            "b": {"psnr": 25.5, "flicker": 3.0, "parameters": 12345, "train_seconds": 60.0},
        },
        "notes": ["One note."],
        "absent": {"lpips": "no weights"},
    }
    assert page.markdown(result).splitlines()[2:6] == [
        "| method | PSNR, dB | flicker | training, s | parameters |",
        "|---|---|---|---|---|",
        "| a | 20.0 | **2.00** | – | – |",
        "| b | **25.5** | 3.00 | 60.0 | 12,345 |",
    ]
    assert page.notes(result) == ["No LPIPS: no weights.", "One note."]
    result["methods"]["b"] |= {"person_found": 0.0, "pose_distance": None}
    assert "finds nobody in the pictures of b, so" in page.notes(result)[1]


FOUND = {
    "nearest": {"person_found": 0.98, "pose_distance": 9.0, "sharpness": 1.0},
    "pose2pics": {"person_found": 0.95, "pose_distance": 4.0, "sharpness": 0.3},
    "cyclegan": {"person_found": 0.04, "pose_distance": 30.0, "sharpness": 0.2},
    "pix2pixhd": {"person_found": 0.7, "pose_distance": 6.0, "sharpness": 0.6},
}


def test_the_recommendation_says_which_and_why():
    table = {"methods": FOUND, "reestimated_real": {"person_found": 0.99}}
    found = recommend(table)
    assert (found["person"], found["pose"]) == (["nearest"], ["pose2pics"])
    assert (found["nobody"], found["others"]) == (["cyclegan"], ["cyclegan", "pix2pixhd"])
    assert found["text"] == (
        "Most like a person: nearest. Follows the pose best: pose2pics, blurred (4.000 pixels "
        "off). nearest shows real frames, in poses that are only near. Hardly anybody is "
        "recognised in those of cyclegan (at most 4 %). More time or more film is what cyclegan "
        "and pix2pixhd would need."
    )
    assert "cyclegan (nobody seen)" in marked(table)["methods"]
    # The dance counts as much as held-out frames, and its poses are what is wanted.
    danced = {"dance_person_found": 1.0, "dance_pose_distance": 3.0}
    methods = FOUND | {"cyclegan": FOUND["cyclegan"] | danced}
    found = recommend(table | {"methods": methods})
    assert found["nobody"] == [] and found["pose"] == ["cyclegan"]
    none = {"methods": {"pose2pics": {"person_found": 0.0}}}
    assert recommend(none)["text"].startswith(
        "In the pictures of no method a person is recognised."
    )


def test_every_method_gets_its_time_from_one_program(dancers, tmp_path, tiny, capsys, monkeypatch):
    """Steps that are measured as much slower than they are: no time is left over. What was timed is
    what trains."""
    compiled = []

    def compile_ahead(step, *inputs):
        compiled.append(inputs)
        return step.lower(*inputs).compile()

    monkeypatch.setattr(budget, "compile_ahead", compile_ahead)
    monkeypatch.setattr(loop, "compile_ahead", compile_ahead)
    monkeypatch.setattr(budget, "step_seconds", lambda *_, **__: 0.5 * 0.02)
    monkeypatch.setattr(budget, "PLANNED", 50.0)
    # As the command line does it.
    cli.main([
        "compare", "--target", str(dancers / "ben_data"), "--no-smooth", "--methods", "pose2pics",
        "--source", str(dancers / "ada" / "video.mp4"), "--poses", str(dancers / "ada" / "poses"),
        "--budget", "0.4s", "--out", str(tmp_path / "out"), "--json",
    ])  # fmt: skip
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert len(compiled) == 1
    assert "1 method is trained for 0.4s" in err and "compiled before" in err
    row = result["methods"]["pose2pics"]
    assert row["train_seconds"] >= 0.4 and row["compile_seconds"] > 0
    assert result["recommendation"]["text"]
