"""Who watches work and who stops it: shares of the whole, tokens, threads, and no observer."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from motion_jax import events
from motion_jax.errors import option
from motion_jax.events import Progress, Said, StopToken, watched
from motion_jax.progress import Meter, say, track, warn


def units(count: int, description: str = "Units") -> None:
    for _ in track(range(count), description):
        pass


def test_shares_are_of_the_whole_and_never_fall():
    seen = []
    with watched(seen.append):
        with events.stage("first", 0.0, 0.5):
            units(2)
        with events.stage("second", 0.5, 1.0):
            with events.part(0.0, 0.5):
                units(1, "a")
                # What comes in a part that is done takes none of it back.
                units(4, "b")
            with events.part(0.5, 1.0):
                units(2, "c")
    going = [event for event in seen if isinstance(event, Progress) and event.state == "going"]
    assert [event.share for event in going] == [
        0.25, 0.5, 0.75, 0.75, 0.75, 0.75, 0.75, 0.875, 1.0
    ]  # fmt: skip
    assert [event.done for event in going] == [1, 2, 1, 1, 2, 3, 4, 1, 2]
    stages = [event for event in seen if isinstance(event, events.StageBegun | events.StageEnded)]
    assert [(type(event).__name__, event.name, event.share) for event in stages] == [
        ("StageBegun", "first", 0.0), ("StageEnded", "first", 0.5),
        ("StageBegun", "second", 0.5), ("StageEnded", "second", 1.0),
    ]  # fmt: skip
    shares = [event.share for event in seen]
    assert shares == sorted(shares)
    assert len({event.task for event in seen if isinstance(event, Progress)}) == 4


def test_tasks_begin_and_end_also_where_they_fail():
    seen = []
    with watched(seen.append), pytest.raises(ZeroDivisionError), Meter("Work", None) as meter:
        meter.advance(3)
        raise ZeroDivisionError
    assert [(event.state, event.done, event.total) for event in seen] == [
        ("begun", 0, None), ("going", 3, None), ("ended", 3, None)
    ]  # fmt: skip


def test_an_inner_verb_is_watched_by_the_outer_ones_observer():
    outer, inner = [], []
    with watched(outer.append), events.part(0.5, 1.0):
        with watched():
            units(2)
        with watched(inner.append):
            units(2)
        # The token of its own stops it, and the observer stays.
        stop = StopToken()
        stop.stop()
        with watched(stop=stop), pytest.raises(events.Stopped):
            units(2)
        say("still watched")
    assert [event.share for event in outer][:4] == [0.5, 0.75, 1.0, 1.0]
    assert [event.share for event in inner] == [0.0, 0.5, 1.0, 1.0]
    assert outer[-1].message == "still watched"


def test_a_token_stops_at_the_next_unit_and_keeps_the_first_reason():
    stop, seen = StopToken(), []
    assert not stop.asked and stop.reason == ""

    def watch(event):
        seen.append(event)
        if isinstance(event, Progress) and event.done == 2:
            stop.stop("the button")
            stop.stop("another one")

    by_the_button = pytest.raises(events.Stopped, match=r"^Stopped by the button\.$")
    with by_the_button as stopped, watched(watch, stop):
        units(5)
    assert stopped.value.reason == "the button" and stop.asked
    assert [event.done for event in seen] == [0, 1, 2, 2]


def test_threads_that_a_verb_starts_are_watched_too():
    seen, elsewhere = [], []
    with watched(seen.append):
        with ThreadPoolExecutor(1, initializer=events.inherit()) as pool:
            pool.submit(say, "from a thread").result()
        # A thread of nobody's work says nothing here.
        thread = threading.Thread(target=lambda: elsewhere.append(events.now()._whole.observer))
        thread.start()
        thread.join()
    assert [event.message for event in seen] == ["from a thread"]
    assert elsewhere == [None]


def test_another_process_tells_the_rest():
    seen = []
    with watched(seen.append):
        events.mute()
        say("not heard")
        units(1)
        events.emit(events.Stoppable(2))
        events.emit(events.Ending("It failed.", 2))
    assert seen == [events.Stoppable(2, share=1.0), events.Ending("It failed.", 2, share=1.0)]


def test_without_an_observer_only_logging_hears(caplog, capfd):
    def silently():
        say(f"use {option('max_gap')}")
        warn("a picture could not be written")
        units(2)

    with caplog.at_level(logging.INFO, "motion_jax"):
        thread = threading.Thread(target=silently)
        thread.start()
        thread.join()
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert said == [("INFO", "use max_gap"), ("WARNING", "a picture could not be written")]
    assert capfd.readouterr() == ("", "")


def test_an_observer_reads_fields_and_the_terminal_flags(capsys):
    seen = []
    say(f"use {option('max_gap')}")
    assert capsys.readouterr().err == "use --max-gap\n"
    with watched(seen.append):
        say(f"use {option('max_gap')}")
    assert [event.message for event in seen] == ["use max_gap"]
    with watched(events.lines(lambda text: seen.append(text))):
        say(f"use {option('max_gap')}")
        units(1)
    assert seen[1:] == ["use --max-gap\n"]


def test_what_an_observer_raises_ends_the_work():
    def watch(event):
        if isinstance(event, Said):
            raise RuntimeError("the page is gone")

    with watched(watch), pytest.raises(RuntimeError, match="the page is gone"):
        say("hello")
