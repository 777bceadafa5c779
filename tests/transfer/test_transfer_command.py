"""Transfer: chunks, gaps, times, sound and tags, with a run that draws instead of synthesizing."""

from pathlib import Path

import av
import numpy as np
import pytest
from walker import a_source

from motion_jax.errors import UserError
from motion_jax.transfer.command import transfer
from motion_jax.transfer.options import TransferOptions
from motion_jax.video.reader import frame_times, probe, read_frames

IRREGULAR = np.cumsum([0.0] + [0.04, 0.0331, 0.1, 0.02, 0.0333] * 4)[:19]


def options(tmp_path, source, **others) -> TransferOptions:
    return TransferOptions(
        run=tmp_path / "my-run", source=source, out=tmp_path / "out" / "result.mp4",
        normalize="none", smooth=False, chunk=8, **others,
    )  # fmt: skip


def test_times_sound_tags_and_chunks(tmp_path, run, estimated):
    source = a_source(tmp_path, IRREGULAR)
    out = transfer(options(tmp_path, source))
    np.testing.assert_allclose(frame_times(out), IRREGULAR, atol=1e-3)
    info = probe(out)
    assert (info.height, info.width, info.has_audio) == (64, 64, True)
    assert info.duration == pytest.approx(IRREGULAR[-1] + np.diff(IRREGULAR)[-1], abs=0.01)
    expected = [((n, 137, 3), (n, 4)) for n in (8, 8, 3)]
    assert run.made.shapes == expected, "19 frames: two whole chunks of 8, and none made in vain"
    assert run.asked == {"recurrent": True, "face": True, "chunk": 8}
    # The nose starts at x = 0.5 * 96 in a frame 128 wide, which is scaled to 64.
    seen = [frame.image.mean() for frame in read_frames(out)]
    expected = [round((48 + i) / 2) * 4 + i for i in range(19)]
    np.testing.assert_allclose(seen, expected, atol=2)
    with av.open(str(out)) as container:
        tags = dict(container.metadata)
    assert "synthetic" in tags["comment"].lower() and "AI-generated" in tags["comment"]
    assert tags["motion_jax_run"] == "my-run"
    assert tags["motion_jax_step"] == "1234"
    assert tags["motion_jax_checkpoint"] == run.checkpoint
    assert tags["motion_jax_synthetic"] == "true"
    assert str(tmp_path) not in str(tags)
    assert [file.name for file in out.parent.iterdir()] == ["result.mp4"]


def test_each_frame_by_itself_and_without_the_face_stage(tmp_path, run, estimated):
    transfer(options(tmp_path, a_source(tmp_path, IRREGULAR), recurrent=False, face=False))
    assert run.asked == {"recurrent": False, "face": False, "chunk": 8}


def test_short_gaps_are_filled(tmp_path, run, estimated):
    source = a_source(tmp_path, np.arange(20) / 25, sound=False)
    estimated["lost"] = (7, 8)
    transfer(options(tmp_path, source, max_gap=3))
    assert run.made.resets == 1
    run.made.resets = 0
    transfer(options(tmp_path, source, max_gap=1))
    assert run.made.resets == 2


def test_start_end_and_fps(tmp_path, run, estimated):
    source = a_source(tmp_path, np.arange(50) / 25)
    out = transfer(options(tmp_path, source, start=0.5, end=1.5, fps=10, audio="drop"))
    np.testing.assert_allclose(frame_times(out), np.arange(10) / 10, atol=1e-3)
    assert not probe(out).has_audio


def test_side_by_side(tmp_path, run, estimated):
    source = a_source(tmp_path, np.arange(10) / 25, sound=False)
    out = transfer(options(tmp_path, source, side_by_side=True))
    info = probe(out)
    assert info.width > 3 * info.height / 2 and info.height % 2 == 0 and info.width % 2 == 0
    frames = list(read_frames(out))
    assert len(frames) == 10
    # Left the source's grey, right the synthesizer's, between them the pose on white.
    height, width = frames[8].image.shape[:2]
    assert abs(frames[8].image[-40:, 20:100].mean() - 40) < 3
    expected = round((48 + 8) / 2) * 4 + 8
    assert abs(frames[8].image[-40:, width - 100 : width - 20].mean() - expected) < 3
    middle = frames[8].image[-180:, width - 380 : width - 220]
    assert (middle > 240).mean() > 0.5 and (middle < 200).mean() > 0.01


def test_nobody_in_the_source(tmp_path, run, estimated):
    source = a_source(tmp_path, np.arange(5) / 25, sound=False)
    estimated["lost"] = range(5)
    with pytest.raises(UserError, match=r"No person.*source\.mp4.*no person"):
        transfer(options(tmp_path, source))
    assert not (tmp_path / "out").exists()


def test_source_shorter_than_needed(tmp_path, run, estimated):
    source = a_source(tmp_path, np.arange(5) / 25, sound=False)
    with pytest.raises(UserError, match=r"shorter than needed.*start 7"):
        transfer(options(tmp_path, source, start=7.0))
    assert not (tmp_path / "out").exists()


def test_out_not_writable(tmp_path, run, estimated):
    source = a_source(tmp_path, np.arange(5) / 25, sound=False)
    (tmp_path / "out").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="out"):
        transfer(options(tmp_path, source))
    assert run.made.shapes == [], "found out before any work"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out", "source.mp4"]


def test_a_failure_leaves_nothing(tmp_path, run, estimated, monkeypatch):
    source = a_source(tmp_path, np.arange(30) / 25, sound=False)
    feed = run.made.feed

    def failing(seen):
        if len(run.made.shapes) == 2:
            raise UserError("The disk is full: x could not be written; free some space.")
        return feed(seen)

    monkeypatch.setattr(run.made, "feed", failing)
    with pytest.raises(UserError, match="disk is full"):
        transfer(options(tmp_path, source))
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"out": Path("x.avi")}, r"x\.avi does not end in \.mp4"),
        ({"chunk": 0}, "chunk 0"),
        ({"max_gap": -1}, "max_gap -1"),
    ],
)
def test_senseless_options(tmp_path, run, change, message):
    import dataclasses

    chosen = dataclasses.replace(options(tmp_path, tmp_path / "source.mp4"), **change)
    with pytest.raises(UserError, match=message):
        transfer(chosen)


def test_source_that_is_no_video(tmp_path, run):
    text = tmp_path / "source.mp4"
    text.write_text("not a film " * 30)
    with pytest.raises(UserError, match="not a video"):
        transfer(options(tmp_path, text))
    with pytest.raises(UserError, match="no file"):
        transfer(options(tmp_path, tmp_path / "absent.mp4"))
    assert not (tmp_path / "out").exists()


def test_a_run_of_another_version(tmp_path, run, estimated):
    import dataclasses

    run.dataset["target_statistics"] = {"height": 3}
    source = a_source(tmp_path, np.arange(5) / 25, sound=False)
    chosen = dataclasses.replace(options(tmp_path, source), normalize="global")
    with pytest.raises(UserError, match=r"dataset\.json.*normalize none"):
        transfer(chosen)
    assert not (tmp_path / "out").exists()


def test_the_options_are_documented():
    import dataclasses
    import inspect

    text = "".join(inspect.getsource(kind) for kind in TransferOptions.__mro__[:-1])
    for field in dataclasses.fields(TransferOptions):
        after = text.split(f"    {field.name}: ")[1].split("\n")[1]
        assert after.strip().startswith('"""'), f"{field.name} has no help text"
