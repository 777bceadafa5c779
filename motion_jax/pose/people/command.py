"""`motion-jax people`: who is in a video."""

from motion_jax import events
from motion_jax.errors import UserError, option
from motion_jax.events import Observer, StopToken
from motion_jax.files import check_outputs, results_in
from motion_jax.pose.files import write_openpose
from motion_jax.pose.options import PoseOptions
from motion_jax.pose.people.choice import parse_at
from motion_jax.pose.people.everybody import everybody
from motion_jax.pose.people.options import PeopleOptions
from motion_jax.pose.people.sheet import write_sheet
from motion_jax.progress import say
from motion_jax.video.reader import read_frames
from motion_jax.video.tracks import follow_options


@follow_options
def people(
    options: PeopleOptions, *, observer: Observer | None = None, stop: StopToken | None = None
) -> tuple[str, ...]:
    """Writes the sheet and the report; returns the letters.

    Args:
      observer: is told what happens; stop: asks for an end (see motion_jax.events; None: those of
        the caller).
    Raises:
      UserError: for a video, files or corrections that cannot be used.
      Stopped: was asked to.
    """
    with events.watched(observer, stop):
        check_outputs(options, "out")
        if any(each.name is None for each in parse_at(options.at)):
            raise UserError(
                f"{option('at')} without a letter chooses one person, and here all are shown; say "
                "who it is, as in B=12.4s,350,200."
            )
        with results_in(options.out):
            names = _people(options)
        events.emit(events.Done("people", options.out), at=1.0)
    return names


def _people(options: PeopleOptions) -> tuple[str, ...]:
    names = ("same", "at", "poses", "boxes", "pose_model", "start", "end", "fps", "video_track")
    chosen = {name: getattr(options, name) for name in names}
    with events.stage("poses", 0.0, 0.9):
        asked = PoseOptions(person="all", detail="body", **chosen)
        found = everybody(options.video, asked, workers=options.workers)
    frames = read_frames(options.video, start=options.start, end=options.end, fps=options.fps)
    picture, report = write_sheet(found, frames, options.out)
    for doubt in found.found.doubts:
        say(f"Not sure at {doubt.time:.2f} s ({', '.join(doubt.people)}): {doubt.why}.")
    if options.write_poses:
        for name in found.names:
            write_openpose(options.out / "poses" / name, found.body_track(name).keypoints)
    for path in (picture, report):
        events.emit(events.FileWritten(path))
    say(f"Wrote {picture} and {report}.")
    return found.names
