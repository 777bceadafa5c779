"""`motion-jax live`: puts the live path together, shows it, and tells how it does."""

import contextlib
import json
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np

from motion_jax import events, files
from motion_jax.errors import UserError, option
from motion_jax.events import Observer, StopToken
from motion_jax.live import calibration, rungs
from motion_jax.live.camera import Capture, Frame, Source, check, devices, find
from motion_jax.live.faces import DrawnFaces, finder
from motion_jax.live.figures import Figures
from motion_jax.live.options import LiveOptions
from motion_jax.live.outputs import (
    Aged,
    Output,
    Picture,
    Record,
    Sink,
    VirtualCamera,
    Window,
    check_screen,
    check_virtual_camera,
    has_screen,
)
from motion_jax.live.people import Person, people
from motion_jax.live.photo import Look, MovingPhoto
from motion_jax.live.photo import check as check_photos
from motion_jax.live.retrieved import RealFrames
from motion_jax.live.rungs import Ladder
from motion_jax.live.session import AgeMeter, Estimate, Session, summary
from motion_jax.live.whom import Whom
from motion_jax.pose.files import read_poses
from motion_jax.pose.person import check_person
from motion_jax.pose.watcher import Watcher
from motion_jax.progress import say
from motion_jax.provenance.writer import check as check_provenance
from motion_jax.train.run import check_run
from motion_jax.transfer.film import COMPOSITE, synthetic_tags
from motion_jax.video.reader import frame_times, probe

# Seconds between lines for people, and between looks at the window, the clock and the token.
TELL, TURN = 5.0, 0.01
# Seconds without a picture after which a camera counts as gone.
QUIET = 2.0


class Nothing:
    """A sink for sessions that are only measured."""

    def show(self, picture: Picture) -> None:
        pass

    def close(self) -> None:
        pass


def live(
    options: LiveOptions,
    *,
    observer: Observer | None = None,
    stop: StopToken | None = None,
    more: Sink | None = None,
) -> dict[str, Any]:
    """Runs until the camera ends, --seconds are over, q is pressed, or the token asks for an end;
    returns the figures.

    more: a further output, for programs.

    Raises UserError for every bad input, before the camera opens where that can be.
    """
    with events.watched(observer, stop), contextlib.ExitStack() as stack:
        if options.list_cameras:
            return _listed()
        _check(options)
        window = _wants_window(options, more)
        if window:
            check_screen()
        listening = _listening(options, stack)
        look, watcher = _finder(options, stack)
        found, smaller = people(
            options, look, lambda: stack.enter_context(contextlib.closing(finder(options)))
        )
        source = find(options.camera, options.seconds is not None)
        for one in found:
            if isinstance(one.resident, DrawnFaces):
                one.resident.camera_size = source.size
        poses = found[0].body is not None
        _check_poses(options, poses)
        estimate, watcher = _estimate(options, source, stack) if poses else (None, watcher)
        fps = options.fps or source.fps
        session = _session(options, source, found, smaller, estimate, fps)
        outputs = _outputs(options, session, source, fps, more)
        if listening is not None:
            outputs.append(_page(listening, session, watcher))
        if not outputs and not window:
            outputs.append(Output("nothing", Nothing(), _meter(options, session)))
        session.outputs = outputs
        shown = Window(_meter(options, session)) if window else None
        if shown is not None:
            stack.callback(shown.close)
            session.windows = [shown]
        stack.enter_context(session.capture)
        begun = time.monotonic()
        with session.running():
            _until_the_end(options, session, watcher, shown, begun, source.returns)
        result = summary(session, time.monotonic() - begun)
        if watcher is not None:
            result["pose_process_restarts"] = watcher.restarts
        say(f"Live for {result['seconds']:.1f} s: {_line(session, watcher)}.")
        if options.calibration is not None and (session.measured is None or session.measured_anew):
            calibration.keep(options.calibration, session.fit)
        if options.record is not None:
            say(f"Wrote {options.record}.")
            events.emit(events.FileWritten(options.record))
        if options.stats is not None:
            files.write_json(options.stats, result)
            events.emit(events.FileWritten(options.stats))
    return result


# --- before -------------------------------------------------------------------------------------


def _listed() -> dict[str, Any]:
    found = devices()
    for line in found:
        print(line)
    if not found:
        say("No camera opens on this machine; a video file, a folder or a stream can be one.")
    return {"cameras": found}


def _check(options: LiveOptions) -> None:
    """Raises UserError for options that are wrong whatever the camera and the run."""
    if options.method is None and not options.run:
        raise UserError(f"Say who is to move: {option('run')} RUN.")
    if options.method is not None and options.photo:
        raise UserError(
            f"{option('method')} shows real frames and moves no {option('photo')}; leave one out."
        )
    if options.method is not None and (options.run or options.smaller):
        raise UserError(
            f"{option('run')} and {option('method')} are two ways to the pictures; leave one of "
            "them out."
        )
    if options.faces and (options.photo or options.method):
        raise UserError(
            f"{option('faces')} is for a {option('run')} that draws faces; leave it out with "
            f"{option('photo')} and {option('method')}."
        )
    if options.method is not None and options.background != "plate":
        raise UserError(
            f"{option('background')} works only with {option('run')}; real frames have theirs."
        )
    if options.photo:
        check_photos(options)
    for place in options.run:
        check_run(files.parted(place)[0])
    if options.person is not None:
        check_person(options.person)
        if options.detail != "body":
            raise UserError(
                f"{option('person')} looks at bodies alone; leave out {option('detail')} "
                f"{options.detail}."
            )
    if options.seconds is not None and not options.seconds > 0:
        raise UserError(f"{option('seconds')} {options.seconds:g} is not above 0.")
    if options.fps is not None and not 0 < options.fps <= 240:
        raise UserError(f"{option('fps')} {options.fps:g} is not between 0 and 240.")
    suffix = ".mov" if options.background == "alpha" else ".mp4"
    if options.record is not None and options.record.suffix.lower() != suffix:
        raise UserError(f"{option('record')} {options.record} does not end in {suffix}.")
    if options.background == "alpha" and options.side_by_side:
        raise UserError(
            f"{option('background')} alpha and {option('side_by_side')} do not go together; leave "
            "one of them out."
        )
    if options.marks and not options.side_by_side:
        raise UserError(
            f"{option('marks')} are read beside the result: add {option('side_by_side')}."
        )
    if options.precision != "float32" and options.runtime not in ("openvino", "auto"):
        raise UserError(
            f"{option('precision')} {options.precision} works only with {option('runtime')} "
            "openvino."
        )
    check(options.camera)
    if options.virtual_camera:
        check_virtual_camera()
    if options.record is not None:
        check_provenance(options.provenance, options.record)
    files.check_outputs(options, "record", "stats", any_name=True)
    for path in (options.record, options.stats, options.calibration):
        if path is not None:
            files.check_writable(path.parent)


def _check_poses(options: LiveOptions, poses: bool) -> None:
    """Raises UserError for options of poses where the runs are shown the camera's pictures."""
    given = [name for name in ("person", "calibration", "poses") if getattr(options, name)]
    if given and not poses:
        raise UserError(
            f"{option(given[0])} is for runs that are driven by estimated poses; this one is shown "
            "the camera's pictures."
        )
    if options.calibration is not None and options.normalize == "none":
        raise UserError(
            f"{option('calibration')} has no use with {option('normalize')} none; leave one out."
        )


def _wants_window(options: LiveOptions, more: Sink | None) -> bool:
    if options.window is not None:
        return options.window
    other = options.record or options.virtual_camera or options.port is not None or more
    return has_screen() and not other


def _listening(options: LiveOptions, stack: contextlib.ExitStack) -> socket.socket | None:
    """The page's port. Raises UserError where it is taken."""
    if options.port is None:
        return None
    made = stack.enter_context(contextlib.closing(socket.socket()))
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("127.0.0.1", options.port))
    except (OSError, OverflowError) as error:
        raise UserError(
            f"{option('port')} {options.port} cannot be opened "
            f"({getattr(error, 'strerror', None) or error}); choose another, or 0 for any free one."
        ) from error
    return made


def _finder(
    options: LiveOptions, stack: contextlib.ExitStack
) -> tuple[Look | None, Watcher | None]:
    """What finds the person in the camera's pictures, for photos."""
    if not options.photo or options.crop == "none":
        return None, None
    watcher = stack.enter_context(Watcher("holistic", options.pose_model))
    watcher.look(np.full((120, 160, 3), 127, np.uint8), 0.0)

    def look(image: np.ndarray, time: float) -> np.ndarray | None:
        return watcher.look(image, time + 1.0)

    return look, watcher


def _estimate(
    options: LiveOptions, source: Source, stack: contextlib.ExitStack
) -> tuple[Estimate, Watcher | None]:
    """What finds poses: the process, or files."""
    if options.poses is not None:
        return _of_files(options, source), None
    watcher = stack.enter_context(Watcher(options.detail, options.pose_model))
    # MediaPipe is imported and its networks are built before the camera counts.
    empty = np.full((120, 160, 3), 127, np.uint8)
    if options.person is not None:
        whom = Whom(options.person)
        watcher.look_at_all(empty, 0.0)

        def chosen(frame: Frame, detail: str) -> np.ndarray | None:
            return whom.next(watcher.look_at_all(frame.image, frame.time + 1.0))

        return chosen, watcher
    watcher.look(empty, 0.0)

    def estimate(frame: Frame, detail: str) -> np.ndarray | None:
        return watcher.look(frame.image, frame.time + 1.0, detail)

    return estimate, watcher


def _of_files(options: LiveOptions, source: Source) -> Estimate:
    path = Path(options.camera)
    if not path.is_file():
        raise UserError(
            f"{option('poses')} are of a file's frames; name a video with {option('camera')}."
        )
    info = probe(path)
    assert options.poses is not None, "asked for"
    if options.mirror:
        raise UserError(f"{option('poses')} and {option('mirror')} do not go together.")
    size = info.height, info.width
    whom = options.person or "largest"
    keypoints = read_poses(options.poses, frame_times(path), size, person=whom).keypoints

    def estimate(frame: Frame, detail: str) -> np.ndarray | None:
        pose = np.array(keypoints[frame.index], np.float32)
        pose[:, :2] *= frame.image.shape[0] / info.height
        return pose if (pose[:, 2] > 0).any() else None

    return estimate


def _session(
    options: LiveOptions,
    source: Source,
    found: list[Person],
    smaller: Person | None,
    estimate: Estimate | None,
    fps: float,
) -> Session:
    steps = []
    if options.degrade and estimate is not None:
        steps += [rungs.HANDS] if options.detail == "holistic" else []
        steps += [rungs.EVERY_SECOND]
    if options.degrade and smaller is not None:
        steps += [rungs.SMALLER]
    return Session(
        Capture(source, options.mirror, options.marks, whole=estimate is None),
        found,
        smaller,
        estimate,
        [],
        Ladder(1 / fps, tuple(steps)),
        Figures(),
        options.normalize,
        options.smooth,
        options.detail,
        options.side_by_side,
        measured=calibration.read(options.calibration),
        joints=options.joints,
    )


def _outputs(
    options: LiveOptions,
    session: Session,
    source: Source,
    fps: float,
    more: Sink | None,
) -> list[Output]:
    meter = _meter(options, session)
    made: list[Output] = []
    if options.record is not None:
        record = Record(options.record, _tags(session), source.sound, options.provenance)
        made.append(Output("record", record, meter))
    if options.virtual_camera:
        if options.side_by_side:
            raise UserError(
                f"{option('virtual_camera')} shows the result alone; leave out "
                f"{option('side_by_side')}."
            )
        height, width = session.people[0].resident.size
        made.append(Output("virtual_camera", VirtualCamera(height, width, fps), meter))
    if more is not None:
        made.append(Output("more", more, meter))
    return made


def _meter(options: LiveOptions, session: Session) -> Aged:
    """Measures the ages at an output."""
    return AgeMeter(session.figures, session.capture if options.marks else None)


def _page(listening: socket.socket, session: Session, watcher: Watcher | None) -> Output:
    try:
        from motion_jax.live.page import Page
    except ModuleNotFoundError as error:
        raise UserError(
            f"{option('port')} needs the package {error.name}: pip install 'motion-jax[serve]'."
        ) from error

    def stats() -> dict[str, Any]:
        return {**_now(session, watcher), "line": _line(session, watcher)}

    names = [person.resident.name for person in session.people]
    page = Page(listening, stats, session.press, names)
    say(f"Live picture at http://127.0.0.1:{page.port}/ (motion JPEG: /stream.mjpg).")
    return Output("page", page, AgeMeter(session.figures, None))


def _tags(session: Session) -> dict[str, str]:
    resident, camera = session.people[0].resident, Path(session.capture.name)
    if isinstance(resident, RealFrames):
        comment = (
            f"Synthetic: motion_jax put real frames of {resident.name} into the order of the "
            "motion before a camera; it is not a recording of what it shows."
        )
        return synthetic_tags(resident.name, comment, camera, kind=COMPOSITE, live="true")
    run = resident.run.name
    photo = f", photo {resident.path.name}" if isinstance(resident, MovingPhoto) else ""
    faces = isinstance(resident, DrawnFaces)
    what = "the faces in this film were drawn" if faces else "this picture was made"
    comment = (
        f"AI-generated, synthetic: {what} by motion_jax, it is not a recording. "
        f"Run {run}, step {resident.run.step}{photo}, live."
    )
    return synthetic_tags(
        resident.name,
        comment,
        camera,
        **({"kind": COMPOSITE} if faces else {}),
        run=run,
        step=str(resident.run.step),
        checkpoint=str(resident.run.checkpoint),
        live="true",
    )


# --- while it runs ------------------------------------------------------------------------------


def _until_the_end(
    options: LiveOptions,
    session: Session,
    watcher: Watcher | None,
    window: Window | None,
    begun: float,
    returns: bool,
) -> None:
    token = events.stop_token()
    told = printed = came = begun
    restarts = frames = 0
    away = False
    while not (session.over or token.asked):
        now = time.monotonic()
        if options.seconds is not None and now - begun >= options.seconds:
            break
        if window is not None:
            key = window.turn(lambda: [*_lines(session, watcher), _keys(session)])
            if key == "q":
                break
            if key:
                session.press(key)
        if watcher is not None and watcher.restarts != restarts:
            restarts = watcher.restarts
            say("The process that estimates poses had ended; it was started again.")
        if session.capture.count != frames:
            if away:
                say("The camera is back.")
            frames, came, away = session.capture.count, now, False
        elif returns and not away and now - came >= QUIET:
            away = True
            say("No pictures come from the camera; it is tried again until they do.")
        if options.json and now - printed >= 1:
            printed = now
            print(json.dumps(_now(session, watcher)), flush=True)
        elif not options.json and now - told >= TELL:
            told = now
            say(_line(session, watcher))
        time.sleep(TURN)


def _now(session: Session, watcher: Watcher | None) -> dict[str, Any]:
    """The figures at the moment."""
    now = time.monotonic()
    return {
        "fps": round(session.figures.rate(now, 3.0), 1),
        "age_ms": session.figures.ages(),
        "dropped": sum(session.dropped().values()),
        "state": session.presence.state if session.estimate is not None else "live",
        "left_out": [rung.name for rung in session.ladder.taken],
        "stages": session.figures.summary()["stages"],
        "pose_process_restarts": 0 if watcher is None else watcher.restarts,
    }


def _line(session: Session, watcher: Watcher | None) -> str:
    return "; ".join(_lines(session, watcher))


def _lines(session: Session, watcher: Watcher | None) -> list[str]:
    """How it does: rates and ages; where the time goes; what is left out, if anything."""
    stats = _now(session, watcher)
    age = stats["age_ms"]
    shown = "nothing shown yet"
    if age:
        shown = f"age {age['p50']:.0f} ms, p95 {age['p95']:.0f}, p99 {age['p99']:.0f}"
    lines = [f"{stats['fps']:.1f} frames/s, {shown}, dropped {stats['dropped']}, {stats['state']}"]
    if spent := [f"{name} {times['p50']:.0f}" for name, times in stats["stages"].items()]:
        lines.append(f"{', '.join(spent)} ms")
    if stats["left_out"]:
        lines.append(f"to keep up: {', '.join(stats['left_out'])}")
    return lines


def _keys(session: Session) -> str:
    """The keys of the window."""
    people = [f"{n} {one.resident.name}" for n, one in enumerate(session.people[:9], 1)]
    resident = session.people[0].resident
    if isinstance(resident, MovingPhoto):
        measured = ["x begins anew from the pose of now"]
    elif isinstance(resident, DrawnFaces):
        measured = ["x looks for faces anew"]
    else:
        measured = ["x measures the person anew"] if session.estimate is not None else []
    return "; ".join([*measured, *(people if len(people) > 1 else ()), "q ends"])
