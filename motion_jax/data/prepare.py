"""`motion-jax prepare`: the verb, on one machine or on many (--shard, --merge)."""

import dataclasses
from pathlib import Path

from motion_jax import events, files
from motion_jax.data import clips, parts
from motion_jax.data.making import REPORT, UNTIL_REPORT, check_options, make, write_report
from motion_jax.data.prepare_options import PrepareOptions
from motion_jax.data.quality import Adviser
from motion_jax.errors import UserError, option
from motion_jax.events import Observer, StopToken
from motion_jax.pose.people.choice import ALL, is_named
from motion_jax.pose.people.everybody import everybody
from motion_jax.pose.people.sheet import write_sheet
from motion_jax.progress import say
from motion_jax.video.reader import read_frames
from motion_jax.video.tracks import follow_options


@follow_options
def prepare(
    options: PrepareOptions,
    *,
    advise: Adviser | None = None,
    observer: Observer | None = None,
    stop: StopToken | None = None,
) -> Path:
    """Makes the dataset `options.out`, or finds it made; returns the page of its quality report.

    Args:
      advise: says what to train on it (plan.words.advise); None: the report says nothing of that.
      observer: is told what happens; stop: asks for an end (see motion_jax.events; None: those of
        the caller).
    Raises:
      UserError: for everything a user can mend; nothing is left that looks like a dataset.
      Stopped: was asked to; the same call goes on from the poses and shards that are done.
    """
    with events.watched(observer, stop):
        page = _prepare(options, advise)
        events.emit(events.Done("prepare", options.out), at=1.0)
    return page


def _prepare(options: PrepareOptions, advise: Adviser | None) -> Path:
    files.check_outputs(options, "out")
    if options.layout == "clips":
        return clips.prepare_clips(options)
    if is_named(options.person) and (options.person == ALL or "," in options.person):
        return _of_several(options, advise)
    if options.shard is not None or options.merge:
        if options.shard is None:
            return parts.merge(options, advise)
        return parts.prepare_part(options)
    return _of_one(options, advise)


def _of_several(options: PrepareOptions, advise: Adviser | None) -> Path:
    """A dataset for each of several people of one video, OUT/A, OUT/B, ..., beside the sheet that
    shows who they are; returns the page of the first one's report."""
    if len(options.videos) != 1:
        raise UserError(
            f"{option('person')} {options.person} names people of one video, and "
            f"{len(options.videos)} are given; prepare one after another."
        )
    if options.shard is not None or options.merge:
        raise UserError(
            f"{option('person')} {options.person} makes several datasets, of one video; "
            f"{option('shard')} and {option('merge')} are for one dataset of many."
        )
    check_options(options)
    video = options.videos[0]
    with files.results_in(options.out):
        people = everybody(video, options, workers=options.workers)
        frames = read_frames(video, start=options.start, end=options.end, fps=options.fps)
        sheet, _ = write_sheet(people, frames, options.out)
    events.emit(events.FileWritten(sheet))
    say(f"{sheet} shows who they are.")
    names = people.chosen(options.person)
    pages = []
    for number, name in enumerate(names):
        own = dataclasses.replace(options, person=name, out=options.out / name)
        with events.part(number / len(names), (number + 1) / len(names)):
            pages.append(_of_one(own, advise))
    return pages[0]


def _of_one(options: PrepareOptions, advise: Adviser | None) -> Path:
    with events.part(0.0, UNTIL_REPORT):
        made = make(options)
    if made or not (options.out / REPORT).is_file():
        return write_report(options.out, advise)
    say(f"{options.out} is up to date: the same videos and options; nothing to do.")
    return options.out / REPORT
