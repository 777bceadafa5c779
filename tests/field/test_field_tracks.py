"""Several picture and sound tracks: the default ones, and those that are asked for."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from field_films import RATE, beep, beep_in, film_of_tracks, pictures, poses

from motion_jax.cli import main
from motion_jax.data.prepare import prepare
from motion_jax.data.prepare_options import PrepareOptions
from motion_jax.data.records import open_dataset
from motion_jax.errors import UserError
from motion_jax.video import tracks
from motion_jax.video.reader import peculiarities, probe, read_frames
from motion_jax.video.writer import VideoWriter

SECONDS = 24 / RATE
SILENT, LOUD = beep(0, 0, SECONDS), beep(1.0, 1.2, SECONDS)
SMALL = [image[:32, :48] for image in pictures(24)]


def sounds(path, audio_from):
    """The beep in a film that takes its sound from another."""
    with VideoWriter(path, 48, 64, audio_from=audio_from) as writer:
        for number, image in enumerate(pictures(24)):
            writer.write(image, number / RATE)
    return beep_in(path)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_default_sound(tmp_path, capsys, suffix, place):
    heard = [(LOUD if number == place else SILENT, number == place) for number in range(3)]
    source = film_of_tracks(tmp_path / f"a.{suffix}", [(pictures(24), True)], heard)
    found = sounds(tmp_path / "out.mp4", source)
    assert found == pytest.approx((1.0, 1.2), abs=0.06)
    said = capsys.readouterr().err
    assert f"3 tracks (1; 2; 3) of sound; number {place + 1} is taken, the one marked" in said
    with tracks.chosen(None, place + 1):
        assert sounds(tmp_path / "out.mp4", source)
    with tracks.chosen(None, 1 + (place + 1) % 3):
        assert sounds(tmp_path / "out.mp4", source) is None


def test_no_default_and_one_track_alone(tmp_path, capsys):
    one = film_of_tracks(tmp_path / "one.mkv", [(pictures(24), True)], [(LOUD, False)])
    assert sounds(tmp_path / "out.mp4", one) and probe(one).has_audio
    assert "track" not in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_the_default_picture(tmp_path, capsys, suffix):
    path = tmp_path / f"a.{suffix}"
    film_of_tracks(path, [(SMALL, False), (pictures(24), True)], [(LOUD, True)])
    assert (probe(path).width, probe(path).height) == (64, 48)
    said = capsys.readouterr().err
    assert "2 tracks (1: 48x32; 2: 64x48) of picture; number 2 is taken" in said
    found = np.stack([frame.image for frame in read_frames(path)])
    assert np.abs(found - np.stack(pictures(24)).astype(float)).mean() < 6
    assert peculiarities(path) == "track 1"
    assert sounds(tmp_path / "out.mp4", path) == pytest.approx((1.0, 1.2), abs=0.06)
    with tracks.chosen(1):
        assert (probe(path).width, probe(path).height) == (48, 32)
        assert peculiarities(path) == ""
    assert probe(path).width == 64
    with tracks.chosen(3), pytest.raises(UserError, match=r"no picture track 3.*2 tracks"):
        probe(path)
    with pytest.raises(UserError, match="video_track 0"), tracks.chosen(0):
        pass


def test_within_a_choice_another_adds_to_it():
    with tracks.chosen(2, rate=5), tracks.chosen(None, 3):
        assert tracks.current() == tracks.Choice(2, 3, 5)
    assert tracks.current() == tracks.Choice()


def test_threads_and_their_workers_have_choices_of_their_own(tmp_path, capsys):
    """Two calls at the same time, each with a track, and with processes that read it."""
    source = film_of_tracks(
        tmp_path / "a.mkv", [(pictures(24), True), ([255 - i for i in pictures(24)], False)], []
    )
    folder, chosen_both = poses(tmp_path / "poses", 24), Barrier(2, timeout=60)

    def make(number):
        with tracks.chosen(number):
            chosen_both.wait()
            means = []
            for frame in read_frames(source):
                means.append(frame.image.mean())
                chosen_both.wait()
        out = tmp_path / str(number)
        prepare(PrepareOptions((source,), out, poses=folder, size="32x32", workers=1,
                               video_track=number))  # fmt: skip
        return np.mean(means), open_dataset(out)[0]["frame"].mean()

    with ThreadPoolExecutor(2) as pool:
        (first, first_made), (second, second_made) = pool.map(make, (1, 2))
    expected = np.mean(pictures(24))
    assert first == pytest.approx(expected, abs=3) and second == pytest.approx(255 - first, abs=3)
    # A dataset's picture may reach beyond the film's, where it is black.
    assert second - first > 30 and second_made - first_made > 30


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracks")
    source = film_of_tracks(
        folder / "a.mp4", [(pictures(24), True)], [(SILENT, False), (LOUD, True)]
    )
    main(["prepare", str(source), "--poses", str(poses(folder / "poses", 24)), "--out",
          str(folder / "data"), "--size", "32x32", "--workers", "1"])  # fmt: skip
    return folder


def test_transfer_takes_the_tracks_that_are_asked_for(dataset, tmp_path, capsys):
    def transfer(name, *more):
        main(["transfer", "--method", "nearest", "--data", str(dataset / "data"), "--source",
              str(dataset / "a.mp4"), "--poses", str(dataset / "poses"), "--out",
              str(tmp_path / name), *more])  # fmt: skip
        return beep_in(tmp_path / name)

    assert transfer("default.mp4") == pytest.approx((1.0, 1.2), abs=0.06)
    assert "number 2 is taken" in capsys.readouterr().err
    assert transfer("first.mp4", "--audio-track", "1") is None
    for option, sentence in (("--audio-track", "no sound track 7"),
                             ("--video-track", "no picture track 7")):  # fmt: skip
        with pytest.raises(SystemExit) as end:
            transfer("never.mp4", option, "7")
        assert end.value.code == 2 and sentence in capsys.readouterr().err
    assert not (tmp_path / "never.mp4").exists()
