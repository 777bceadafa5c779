"""`prepare` watched by another observer than the terminal, stopped by its token, and twice at once
in one process."""

import dataclasses
import threading

import pytest
from test_prepare import make_clips

from motion_jax import events
from motion_jax.data.prepare import prepare
from motion_jax.data.prepare_options import PrepareOptions
from motion_jax.data.records import METADATA, is_dataset
from motion_jax.events import Stopped, StopToken


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Options for two clips, and for two others."""
    folder = tmp_path_factory.mktemp("watched")
    videos = make_clips(folder / "in", 4)
    both = PrepareOptions(
        videos=videos[:2], out=folder / "whole", size="64x64", poses=folder / "in" / "poses",
        smooth=False, workers=1,
    )  # fmt: skip
    others = dataclasses.replace(both, videos=videos[2:], out=folder / "others")
    for options in (both, others):
        prepare(options)
    return both, others


def contents(out):
    """{name: bytes} of what describes and holds the frames."""
    names = [path for path in out.iterdir() if path.is_file()]
    return {path.name: path.read_bytes() for path in names}


def elsewhere(options, out):
    return dataclasses.replace(options, out=out)


def test_another_observer_sees_it(clips, tmp_path, capfd):
    seen = []
    page = prepare(elsewhere(clips[0], tmp_path / "out"), observer=seen.append)
    names = [event.name for event in seen if isinstance(event, events.StageBegun)]
    assert names == ["poses", "frames"]
    going = [event for event in seen if isinstance(event, events.Progress)]
    assert going[-1].done == going[-1].total > 12 and going[-1].state == "ended"
    shares = [event.share for event in seen]
    assert shares == sorted(shares) and shares[-1] == 1.0
    # Of the poses, of the frames, of the report.
    assert len({round(share, 3) for share in shares} - {0.0, 1.0}) >= 2
    written = [event.path for event in seen if isinstance(event, events.FileWritten)]
    assert written == [tmp_path / "out" / METADATA, page]
    assert any("frames kept" in event.message for event in seen if isinstance(event, events.Said))
    assert seen[-1] == events.Done("prepare", tmp_path / "out", share=1.0)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("stage", ["poses", "frames"])
def test_a_token_stops_it_and_the_same_call_goes_on(clips, tmp_path, stage):
    options, stop = elsewhere(clips[0], tmp_path / "out"), StopToken()

    def watch(event):
        if isinstance(event, events.StageBegun) and event.name == stage:
            stop.stop("the page")

    with pytest.raises(Stopped, match="Stopped by the page"):
        prepare(options, observer=watch, stop=stop)
    assert not is_dataset(options.out)
    assert options.out.exists() == (stage == "frames"), "without shards nothing is left"
    prepare(options)
    assert contents(options.out) == contents(clips[0].out)
    assert not (options.out / ".partial").exists()


def test_two_at_once_in_two_threads_make_what_each_makes_alone(clips, tmp_path):
    heard, failed = ([], []), []
    meet = threading.Barrier(2)

    def go(number):
        out = tmp_path / str(number)
        try:
            meet.wait()
            prepare(elsewhere(clips[number], out), observer=heard[number].append)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=go, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    for number in (0, 1):
        assert contents(tmp_path / str(number)) == contents(clips[number].out)
        totals = {e.total for e in heard[number] if isinstance(e, events.Progress)}
        done = [e.done for e in heard[number] if isinstance(e, events.Progress)]
        # Each counts its own frames.
        assert totals == {done[-1]}
