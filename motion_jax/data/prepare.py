"""`motion-jax prepare`: the verb, on one machine or on many (--shard, --merge)."""

from pathlib import Path

from motion_jax import events, files
from motion_jax.data import parts
from motion_jax.data.making import REPORT, UNTIL_REPORT, make, write_report
from motion_jax.data.prepare_options import PrepareOptions
from motion_jax.data.quality import Adviser
from motion_jax.events import Observer, StopToken
from motion_jax.progress import say
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
      advise: says what to train on it (plan.suggest.advise); None: the report says nothing of that.
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
    if options.shard is not None or options.merge:
        if options.shard is None:
            return parts.merge(options, advise)
        return parts.prepare_part(options)
    with events.part(0.0, UNTIL_REPORT):
        made = make(options)
    if made or not (options.out / REPORT).is_file():
        return write_report(options.out, advise)
    say(f"{options.out} is up to date: the same videos and options; nothing to do.")
    return options.out / REPORT
