"""The library as its users import it: `import motion_jax as mj`."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import motion_jax as mj
from motion_jax.transfer.command import prepared

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """(a video, folder of its poses): the dancer of the dataset on grey, 20 frames."""
    from motion_jax import puppet

    folder = tmp_path_factory.mktemp("film")
    puppet.make_video(folder, puppet.CHARACTERS["ada"], puppet.dance(20, 25, 1), 48, 48)
    return folder / "video.mp4", folder / "poses"


def test_frames_are_those_of_transfer_bit_for_bit(trained, film, tmp_path):
    video, poses = film
    person = mj.load(trained)
    assert person.size == (32, 32)
    track = mj.poses(video, mj.PoseOptions(poses=poses))
    made = np.stack(list(person.frames(track)))
    assert made.shape == (20, 32, 32, 3) and made.dtype == np.uint8
    options = mj.TransferOptions(source=video, poses=poses, run=trained, out=tmp_path / "o.mp4")
    performance = prepared(options)
    film = [picture for _, picture in performance.player.play(performance.moments)]
    np.testing.assert_array_equal(made, np.stack(film))
    # From plain arrays, whose size is said.
    plain = person.frames(np.array(track.keypoints), size=track.size, times=track.times)
    np.testing.assert_array_equal(np.stack(list(plain)), made)
    alone = np.stack(list(person.frames(track, recurrent=False, face=False)))
    assert (alone != made).any()


def test_what_cannot_be_drawn_is_one_sentence(trained, unchecked):
    person = mj.load(trained)
    for keypoints, named, sentence in (
        (np.zeros((2, 25, 3)), {}, r"keypoints of shape \[2, 25, 3\]: give \[frames, 137, 3\]"),
        (np.zeros((2, 137, 3)), {}, "None of the poses shows a body joint"),
        (np.ones((2, 137, 3)), {"times": np.zeros(3)}, "2 poses and 3 times"),
        (np.ones((2, 137, 3)), {"background": "green"}, "needs a run that draws the person apart"),
    ):
        with pytest.raises(mj.UserError, match=sentence):
            person.frames(keypoints, **named)
    with pytest.raises(mj.UserError, match="is not a run directory"):
        mj.load("nowhere")


def test_train_and_evaluate_are_functions_and_packages(config, dataset, tmp_path):
    seen = []
    few = {f"recipe.{stage}_stage.{what}": 0 for stage in ("local", "face")
           for what in ("steps", "decay_steps")}  # fmt: skip
    settings = few | {"recipe.global_stage.steps": 2, "recipe.global_stage.decay_steps": 0}
    run = mj.train(config, dataset, tmp_path / "run", settings=settings, observer=seen.append)
    assert run == tmp_path / "run" and isinstance(seen[-1], mj.events.Done)
    found = mj.evaluate(
        mj.EvaluateOptions(run, reestimate="no", max_frames=2), observer=seen.append
    )
    assert found["methods"]["trained"]["psnr"] > 0 and found["verdict"]
    assert (run / "evaluation" / "index.html").is_file()
    import motion_jax.train.loop

    assert motion_jax.train.loop.train is not mj.train
    stop = mj.StopToken()
    stop.stop("the test")
    with pytest.raises(mj.Stopped, match="Stopped by the test"):
        mj.evaluate(mj.EvaluateOptions(run, reestimate="no", out=tmp_path / "again"), stop=stop)
    assert not (tmp_path / "again").exists()


def test_a_stop_while_a_stage_ends_is_answered_before_the_next(config, dataset, tmp_path):
    """The next stage would compile for a minute first."""
    stop, said = mj.StopToken(), []
    settings = {
        f"recipe.{stage}_stage.{what}": steps
        for stage, steps in (("global", 1), ("local", 1), ("face", 0))
        for what, steps in (("steps", steps), ("decay_steps", 0))
    }

    def observer(event):
        said.append(getattr(event, "marked", ""))
        if isinstance(event, mj.events.FileWritten) and event.path.name == "index.html":
            stop.stop("the test")

    with pytest.raises(mj.Stopped, match="after step 1 of the global stage; saved"):
        mj.train(config, dataset, tmp_path / "run", settings=settings, observer=observer, stop=stop)
    stages = [text.split(":")[0] for text in said if text.startswith("Stage ")]
    assert stages == ["Stage global"]


def test_stable_names_are_there_documented_and_typed():
    for name in mj.__all__:
        assert getattr(mj, name) is not None, name
    stub = (ROOT / "motion_jax" / "__init__.pyi").read_text()
    page = (ROOT / "docs" / "api.md").read_text()
    for name in mj._STABLE:
        assert f" {name}\n" in stub, name
        assert name in page, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mj.nothing


def test_importing_it_is_light():
    """jax, mediapipe and the rest come with the first call that needs them."""
    heavy = ("jax", "flax", "mediapipe", "av", "cv2", "numpy", "tyro", "rich")
    code = "import motion_jax as mj, sys; mj.__version__; dir(mj); "
    code += f"print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_types_are_seen_by_who_checks_them(tmp_path):
    mypy = pytest.importorskip("mypy.api")
    program = tmp_path / "program.py"
    program.write_text(
        "import motion_jax as mj\n"
        "person = mj.load('run')\n"
        "reveal_type(person.size)\n"
        "reveal_type(mj.train('small', None, 'run'))\n"
        "mj.load(3)\n"
    )
    arguments = [
        str(program),
        "--follow-imports=silent",
        "--config-file",
        str(ROOT / "pyproject.toml"),
    ]
    out, _, status = mypy.run(arguments)
    assert "tuple[int, int]" in out or "tuple[builtins.int, builtins.int]" in out, out
    assert "Path" in out and 'Argument 1 to "load" has incompatible type "int"' in out and status
