"""`prepare` on tiny generated videos with poses from files; no pose models are needed."""

import dataclasses
import json
import wave

import av
import numpy as np
import pytest

from motion_jax.data import making as room
from motion_jax.data import shards
from motion_jax.data.prepare import prepare
from motion_jax.data.prepare_options import PrepareOptions, parse_size
from motion_jax.data.records import is_dataset, open_dataset
from motion_jax.errors import UserError
from motion_jax.pose import skeleton
from motion_jax.pose.files import write_openpose
from motion_jax.workers import Stopped

HEIGHT, WIDTH, FPS = 96, 128, 25


def picture(number: int) -> np.ndarray:
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    image[20:90, 30 + number : 60 + number] = (200, 120, 40)
    image[0:10, 0:10] = (250, 0, 0)
    return image


def person(number: int) -> np.ndarray:
    """A small person whose joints are in the orange rectangle of `picture`."""
    points = np.zeros((137, 3), np.float32)
    places = {
        "nose": (15, 10), "neck": (15, 20), "right_shoulder": (7, 20), "left_shoulder": (23, 20),
        "right_elbow": (5, 30), "left_elbow": (25, 30), "right_wrist": (4, 38),
        "left_wrist": (26, 38), "mid_hip": (15, 40), "right_hip": (10, 40), "left_hip": (20, 40),
        "right_knee": (10, 52), "left_knee": (20, 52), "right_ankle": (10, 66),
        "left_ankle": (20, 66),
    }  # fmt: skip
    for name, (x, y) in places.items():
        points[skeleton.INDEX[name]] = (30 + number + x, 20 + y, 0.9)
    return points


def write_video(path, frames, times=None):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "10", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def make_clip(folder, name="clip", frames=24, lost=()):
    """A video and its pose files; in the frames `lost` nobody was found."""
    folder.mkdir(exist_ok=True)
    video = folder / f"{name}.mp4"
    write_video(video, frames)
    poses = np.stack([person(number) for number in range(frames)])
    poses[list(lost)] = 0
    write_openpose(folder / "poses" / name, poses)
    return video


# name: frames, those in which nobody is found.
CLIPS = {
    "one": (24, (4, *range(12, 19))),
    "two": (12, ()),
    "three": (20, range(7, 15)),
    "four": (14, (0, 1)),
}


def make_clips(folder, count):
    """The first `count` of CLIPS, made in `folder`."""
    return tuple(make_clip(folder, name, *CLIPS[name]) for name in list(CLIPS)[:count])


@pytest.fixture
def clip(tmp_path):
    """Options for a clip of 24 frames in which 3 frames, and later 7 frames, are lost."""
    video = make_clip(tmp_path / "in", lost=(4, 5, 6, *range(12, 19)))
    return PrepareOptions(
        videos=(video,),
        out=tmp_path / "dataset",
        size="64x64",
        poses=tmp_path / "in" / "poses" / "clip",
        smooth=False,
        workers=1,
    )


def test_dataset_has_the_frames_and_their_poses(clip):
    page = prepare(clip)
    assert page.is_file() and not (clip.out / ".partial").exists()
    dataset = open_dataset(clip.out)
    # Three lost frames are filled, seven cut the clip.
    assert dataset.clips == [(0, 12), (12, 5)]
    np.testing.assert_allclose(
        dataset.times(), np.array([*range(12), *range(19, 24)]) / FPS, atol=1e-4
    )
    assert dataset.filled()[4:7].any(axis=1).all() and not dataset.filled()[[0, 7, 12]].any()
    crop = dataset.info.sources[0]["crop"]
    scale = 64 / crop["width"]
    assert crop["width"] == crop["height"]
    for record, number in ((0, 0), (5, 5), (11, 11), (12, 19), (16, 23)):
        example = dataset[record]
        assert example["index"] == number - (0 if record < 12 else 19)
        expected = person(number)
        seen = expected[:, 2] > 0
        np.testing.assert_allclose(
            example["keypoints"][seen, :2],
            (expected[seen, :2] - (crop["left"], crop["top"])) * scale,
            atol=0.05,
        )
        # The pose is on the person, the camera does not follow it.
        x, y, _ = example["keypoints"][skeleton.INDEX["mid_hip"]]
        assert np.abs(example["frame"][int(y), int(x)].astype(int) - (200, 120, 40)).max() < 40
        assert example["face_box"][2] - example["face_box"][0] == pytest.approx(16)


def test_quality_figures(clip):
    prepare(clip)
    quality = json.loads((clip.out / "quality.json").read_text())
    (video,) = quality["videos"]
    assert (quality["records"], quality["frames"], quality["detail"]) == (17, 24, "files")
    assert video["kept"] == 17 and sum(quality["rejected"].values()) == 7
    assert [reason == "" for reason in video["reasons"]] == [not 12 <= n < 19 for n in range(24)]
    assert video["record"] == [*range(12), *[-1] * 7, *range(12, 17)]
    assert [c["first_frame"] for c in quality["clips"]] == [0, 19]
    assert quality["clips"][0]["ended_by"] and not quality["clips"][1]["ended_by"]
    assert video["confidence"]["nose"][3:8] == [0.9, 0, 0, 0, 0.9]
    assert video["filled"][4] == 15 and video["filled"][3] == 0
    assert all((value is None) == (12 <= n < 19) for n, value in enumerate(video["blur"]))
    assert not any(video["face_visible"]) and video["body_visible"]["legs"] == 1
    for name in (
        "times",
        "clip",
        "left_hand_visible",
        "right_hand_visible",
        "face_height",
        "people",
    ):
        assert len(video[name]) == 24


def test_second_run_does_nothing_and_other_options_spoil_nothing(clip, capsys):
    page = prepare(clip)
    before = {p.name: p.stat().st_mtime_ns for p in clip.out.iterdir()}
    # The number of workers and the place of the video do not matter.
    moved = clip.videos[0].rename(clip.out.parent / "clip.mp4")
    again = dataclasses.replace(clip, videos=(moved,), workers=2)
    assert prepare(again) == page
    assert "up to date" in capsys.readouterr().err
    for change, said in (
        ({"size": "64x80"}, "size 64x64, not 64x80"),
        ({"max_gap": 9}, "max-gap 5, not 9"),
        ({"poses": None}, "poses"),
    ):
        with pytest.raises(UserError, match=f"other options .*{said}.*out"):
            prepare(dataclasses.replace(again, **change))
    assert {p.name: p.stat().st_mtime_ns for p in clip.out.iterdir()} == before


def test_interrupted_it_goes_on(clip, monkeypatch, capsys):
    written = shards.write

    def stop_after_one(jobs, workers, description):
        first = dataclasses.replace(jobs[0], shards=jobs[0].shards[:1])
        written([first], 1, description)
        raise KeyboardInterrupt

    monkeypatch.setattr(shards, "write", stop_after_one)
    with pytest.raises(KeyboardInterrupt):
        prepare(clip)
    assert not is_dataset(clip.out) and not list(clip.out.glob("*.array_record*"))
    with pytest.raises(UserError, match="unfinished dataset made with other options"):
        prepare(dataclasses.replace(clip, size="32x32"))

    seen = []

    def watch(jobs, workers, description):
        seen.extend(shard.clip for job in jobs for shard in job.shards)
        written(jobs, workers, description)

    monkeypatch.setattr(shards, "write", watch)
    # Stopped again, between the shards' moving and the metadata.
    with monkeypatch.context() as patch:
        patch.setattr(room.records, "finish_dataset", lambda *_: (_ for _ in ()).throw(Stopped()))
        with pytest.raises(Stopped):
            prepare(clip)
    assert not is_dataset(clip.out)
    prepare(clip)
    assert seen == [1]
    assert len(open_dataset(clip.out)) == 17
    assert "Going on" in capsys.readouterr().err


def test_a_damaged_dataset_is_made_again(clip):
    prepare(clip)
    shard = sorted(clip.out.glob("*.array_record*"))[1]
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(UserError):
        open_dataset(clip.out)
    prepare(clip)
    assert len(open_dataset(clip.out)) == 17


def test_several_videos_workers_span_and_rate(tmp_path):
    videos = tuple(make_clip(tmp_path / "in", name, 24) for name in ("one", "two"))
    options = PrepareOptions(
        videos=videos, out=tmp_path / "a", size="48x32", poses=tmp_path / "in" / "poses",
        start=0.2, end=0.8, fps=12.5, fit="letterbox", picture="png", workers=1,
    )  # fmt: skip
    prepare(options)
    prepare(dataclasses.replace(options, out=tmp_path / "b", workers=2))
    one, two = open_dataset(tmp_path / "a"), open_dataset(tmp_path / "b")
    assert one.clips == [(0, 8), (8, 8)] and one.size == (32, 48)
    np.testing.assert_allclose(one.times()[:8], 0.2 + np.arange(8) / 12.5, atol=1e-4)
    np.testing.assert_array_equal(one.keypoints(), two.keypoints())
    for record in (0, 15):
        np.testing.assert_array_equal(one[record]["frame"], two[record]["frame"])
    # The whole picture, black bars left and right.
    frame = one[0]["frame"]
    assert frame[:, :2].max() == 0 and frame[:, -2:].max() == 0 and frame[16, 5:43].min() > 20


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("250x250", "multiples of 16; the nearest sizes are 240x240 and 256x256"),
        ("8x64", "nearest sizes are 16x64 and 16x64"),
        ("256", "WIDTHxHEIGHT"),
        ("0x16", "multiples of 16"),
        ("-16x16", "WIDTHxHEIGHT"),
    ],
)
def test_bad_sizes(text, said):
    with pytest.raises(UserError, match=said):
        parse_size(text)
    assert parse_size("512x256") == (256, 512)


def test_bad_input_leaves_nothing(tmp_path, clip):
    sound = tmp_path / "sound.wav"
    with wave.open(str(sound), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(8000))
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    whole = clip.videos[0].read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) // 2])
    nobody = make_clip(tmp_path / "nobody", "nobody", 6, lost=range(6))
    short = make_clip(tmp_path / "short", "short", 6)
    one = np.zeros((6, 137, 3), np.float32)
    one[2] = person(2)
    write_openpose(tmp_path / "alone", one)
    cases = [
        ({"videos": (sound,)}, "sound but no pictures"),
        ({"videos": (text,)}, "text.mp4 is not a video"),
        ({"videos": (cut,)}, "cut.mp4 is (damaged or )?cut short"),
        ({"videos": (tmp_path / "none.mp4",)}, "no file"),
        ({"videos": ()}, "No video was named"),
        ({"videos": (short,)}, "short|6"),
        ({"videos": (nobody,), "poses": tmp_path / "nobody" / "poses" / "nobody"}, "no 2 frames"),
        ({"videos": (short,), "poses": tmp_path / "alone", "max_gap": 0}, "no 2 frames in a row"),
        ({"poses": tmp_path / "nowhere"}, "no folder .*nowhere"),
        ({"start": 9.0}, "shorter than needed"),
        ({"start": 0.5, "end": 0.2}, "end"),
        ({"margin": -1.0}, "margin"),
        ({"max_gap": -1}, "max_gap"),
        ({"min_cutoff": 0.0}, "min_cutoff"),
        ({"workers": 0}, "workers 0"),
        ({"person": "tall"}, "person tall"),
        ({"size": "100x100"}, "nearest sizes are 96x96 and 112x112"),
        ({"out": text}, "is a file; name a folder"),
        ({"out": tmp_path / "short"}, "is not empty"),
        ({"out": text / "dataset"}, "Cannot write .*output folder"),
    ]
    for change, said in cases:
        with pytest.raises(UserError, match=said) as error:
            prepare(dataclasses.replace(clip, **change))
        assert "\n" not in str(error.value)
        assert not is_dataset(clip.out) and not list(clip.out.glob("*"))


def test_a_pose_file_is_missing(clip):
    (sorted(clip.poses.iterdir())[3]).unlink()
    with pytest.raises(UserError):
        prepare(clip)
    assert not is_dataset(clip.out)
