"""`motion-jax transfer --method`: a video out of a drawn dancer's frames, and what is refused."""

import av
import numpy as np
import pytest

from motion_jax import cli
from motion_jax.transfer.film import COMPOSITE
from motion_jax.transfer.retrieved import output_times
from motion_jax.video.reader import frame_times, probe, read_frames

GREY = np.array([0.299, 0.587, 0.114])


def transfer(dancer, ada, out, *more: str, method: str = "nearest") -> None:
    cli.main(
        ["transfer", "--method", method, "--data", str(dancer.folder), "--source",
         str(ada / "video.mp4"), "--poses", str(ada / "poses"), "--out", str(out), *more]
    )  # fmt: skip


@pytest.mark.parametrize("method", ["nearest", "nearest-angle"])
def test_a_video_of_the_targets_own_frames(dancer, ada, tmp_path, method):
    out = tmp_path / "out.mp4"
    transfer(dancer, ada, out, method=method)
    np.testing.assert_allclose(frame_times(out), np.arange(12) / 25, atol=1e-3)
    # Of colours an MP4 keeps a quarter; of greys all, up to a little.
    own = np.stack([dancer[r]["frame"] for r in range(60)]) @ GREY
    for frame in read_frames(out):
        assert np.abs(own - frame.image @ GREY).mean((1, 2)).min() < 3
    assert np.abs(own[0] - own[3]).mean() > 5, "another frame differs by more"
    with av.open(str(out)) as container:
        tags = dict(container.metadata)
    assert "Synthetic" in tags["comment"] and "not a recording" in tags["comment"]
    assert "optical flow" not in tags["comment"]
    assert tags["digital_source_type"] == COMPOSITE and tags["motion_jax_synthetic"] == "true"
    assert tags["motion_jax_method"] == method and tags["motion_jax_dataset"] == "ben"
    assert str(dancer.folder.parent) not in str(tags)


def test_another_frame_rate_side_by_side(dancer, ada, tmp_path):
    out = tmp_path / "out.mp4"
    transfer(dancer, ada, out, "--retrieval.fps", "60", "--retrieval.k", "2", "--side-by-side")
    np.testing.assert_allclose(frame_times(out), np.arange(29) / 60, atol=1e-3)
    info = probe(out)
    assert info.width > 2.5 * info.height * 0.8
    with av.open(str(out)) as container:
        assert "optical flow" in container.metadata["comment"]


def test_start_end_and_gaps(dancer, ada, tmp_path, capsys):
    """Poses that are lost for long: the picture is held."""
    import json
    import shutil

    poses = tmp_path / "poses"
    shutil.copytree(ada / "poses", poses)
    for file in sorted(poses.glob("*.json"))[5:9]:
        file.write_text(json.dumps({"version": 1.3, "people": []}))
    out = tmp_path / "out.mp4"
    cli.main(
        ["transfer", "--method", "nearest", "--data", str(dancer.folder), "--source",
         str(ada / "video.mp4"), "--poses", str(poses), "--out", str(out), "--max-gap", "0",
         "--start", "0.08", "--end", "0.44", "--no-smooth"]
    )  # fmt: skip
    shown = [frame.image.astype(int) for frame in read_frames(out)]
    assert (
        len(shown) == 9 and "lost in 4 of 9 frames; the picture is held" in capsys.readouterr().err
    )
    for held in (3, 4, 5, 6):
        assert np.abs(shown[held] - shown[2]).mean() < 1.5
    # Fewer frames a second: one of them falls on the gap.
    cli.main(
        ["transfer", "--method", "nearest", "--data", str(dancer.folder), "--source",
         str(ada / "video.mp4"), "--poses", str(poses), "--out", str(out), "--max-gap", "0",
         "--retrieval.fps", "10", "--gaps", "fade"]
    )  # fmt: skip
    assert len(list(read_frames(out))) == 5


def test_steadied_poses_choose_other_frames(dancer, ada, tmp_path):
    """A whole person that trembles: their path is smoothed before frames are looked for."""
    import json
    import shutil

    shutil.copytree(ada, tmp_path / "ada")
    for i, file in enumerate(sorted((tmp_path / "ada" / "poses").glob("*.json"))):
        poses = json.loads(file.read_text())
        body = np.array(poses["people"][0]["pose_keypoints_2d"]).reshape(-1, 3)
        body[body[:, 2] > 0, 0] += 5 * (-1) ** i
        poses["people"][0]["pose_keypoints_2d"] = body.ravel().tolist()
        file.write_text(json.dumps(poses))
    shown = []
    for way in ("none", "pose"):
        out = tmp_path / f"{way}.mp4"
        transfer(dancer, tmp_path / "ada", out, "--stabilise", way, "--no-smooth")
        shown.append(np.stack([frame.image for frame in read_frames(out)]))
    assert shown[0].shape == shown[1].shape and (shown[0] != shown[1]).any()


def test_times_of_another_rate():
    times = 2 + np.arange(50) / 25
    np.testing.assert_array_equal(output_times(times, None), times)
    np.testing.assert_allclose(output_times(times, 30), 2 + np.arange(60) / 30)
    np.testing.assert_allclose(output_times(times, 0.1), [2])
    np.testing.assert_allclose(output_times(times[:1], 30), [2])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Say who is to move: --run RUN .* or --method nearest with --data"),
        (["--method", "nearest"], "--method nearest needs the target's dataset: give --data"),
        (["--method", "nearest", "--data", "{data}", "--run", "r"], "leave one of them out"),
        (["--run", "r", "--data", "{data}"], "--data works only with --method"),
        (["--run", "r", "--retrieval.k", "2"], "--retrieval works only with --method"),
        (["--method", "nearest", "--data", "{data}", "--no-recurrent"], "--no-recurrent works"),
        (
            ["--method", "nearest", "--data", "{data}", "--step", "best"],
            "--step works only with --run",
        ),
        (["--method", "nearest", "--data", "{data}", "--stabilise", "face"], "--stabilise pose"),
        (["--method", "nearest", "--data", "nowhere"], "no dataset folder nowhere"),
        (
            ["--method", "nearest", "--data", "{data}", "--ready-poses"],
            "--ready-poses works only with --run",
        ),
        (
            ["--method", "nearest", "--data", "{data}", "--dropout-seed", "1"],
            "--dropout-seed works",
        ),
        (
            ["--method", "nearest", "--data", "{data}", "--retrieval.k", "99"],
            "k 99 is more than the 60",
        ),
        (
            ["--method", "nearest", "--data", "{data}", "--retrieval.every", "0"],
            "every 0 is not a number of 1",
        ),
        (["--method", "nearest", "--retrieval.lamda", "1"], "did you mean --retrieval.lambda"),
    ],
)
def test_a_mistake_is_one_sentence(dancer, ada, tmp_path, capsys, arguments, sentence):
    import re

    words = [word.format(data=dancer.folder) for word in arguments]
    out = tmp_path / "out" / "x.mp4"
    with pytest.raises(SystemExit) as stopped:
        cli.main(
            ["transfer", "--source", str(ada / "video.mp4"), "--poses", str(ada / "poses"),
             "--out", str(out), *words]
        )  # fmt: skip
    assert stopped.value.code == 2
    said = [line for line in capsys.readouterr().err.splitlines() if "motion-jax: error" in line]
    assert len(said) == 1 and re.search(sentence, said[0]), said
    assert not out.parent.exists()
