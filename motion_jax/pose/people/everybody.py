"""Everybody in a video, kept apart: from the file to a track for each person.

What is seen in the frames is kept in the cache, because it takes long; who is who is found anew
each time, which does not, so that corrections by hand cost nothing.
"""

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from motion_jax import files
from motion_jax.errors import UserError, option
from motion_jax.pose import bundles, detect, long_arrays
from motion_jax.pose.files import read_people
from motion_jax.pose.landmarks import RecordFile
from motion_jax.pose.options import PoseOptions
from motion_jax.pose.people.boxes import read_boxes
from motion_jax.pose.people.choice import At, is_named, named, parse_at, parse_same
from motion_jax.pose.people.colours import unit
from motion_jax.pose.people.detector import observe
from motion_jax.pose.people.identities import (
    Identities,
    check_names,
    corrected,
    identities,
    record_at,
)
from motion_jax.pose.people.link import stretches
from motion_jax.pose.people.observations import (
    RECORD,
    Observations,
    body_distance,
    records_of,
    together,
)
from motion_jax.pose.track import PoseTrack
from motion_jax.progress import say
from motion_jax.video.reader import (
    choose,
    frame_times,
    nothing_between,
    peculiarities,
    probe,
    read_frames,
)
from motion_jax.workers import pool, worker_count

# Part of the key of cached observations: increase it when a video would give others.
VERSION = 1
# Face and hands are those of a person whose body is the same within so much of its size.
SAME_BODY = 0.1
NOT_THERE, HIDDEN = "not in the picture", "lost: hidden or not told apart"


@dataclass(frozen=True)
class Everybody:
    """The people of a video.

    Attributes:
      path: the video; seen: what was seen in its frames; found: who is who.
      options: with which poses were looked for.
    """

    path: Path
    seen: Observations
    found: Identities
    options: PoseOptions

    @property
    def names(self) -> tuple[str, ...]:
        """The letters: A is who fills most of the picture for longest."""
        return self.found.names

    def chosen(self, person: str) -> tuple[str, ...]:
        """The letters that a `--person` names. Raises UserError for one that nobody has."""
        if not is_named(person):
            raise ValueError(f"{person} names no letters")
        letters = named(person)
        if letters is None:
            return self.names
        check_names(letters, self.names, "person")
        return letters

    def keypoints(self, name: str) -> Float32[np.ndarray, "n 137 3"]:
        """A person's, as they were seen; zeros where they were not."""
        poses = long_arrays.zeros((len(self.seen), 137, 3))
        mine = np.flatnonzero(self.found.of_record == self.names.index(name))
        for first in range(0, len(mine), long_arrays.WINDOW):
            part = mine[first : first + long_arrays.WINDOW]
            records = self.seen.records[part]
            poses[records["frame"]] = records["pose"]
            long_arrays.release(poses, self.seen.records)
        return poses

    def body_track(self, name: str) -> PoseTrack:
        """A person's track by what was seen of everybody (with MediaPipe: the body alone)."""
        poses = self.keypoints(name)
        (found,) = long_arrays.gathered(lambda part: ((part[..., 2] > 0).any(1),), poses)
        there = np.flatnonzero(found)
        reasons = [
            "" if found[frame] else HIDDEN if there[0] < frame < there[-1] else NOT_THERE
            for frame in range(len(poses))
        ]
        detail = {} if self.options.poses else {"detail": self.options.detail}
        named = self.seen.records["frame"][self.found.of_record >= 0]
        estimator = {
            **self.seen.estimator,
            "options": {"person": name, **detail},
            "persons": len(self.names),
            "people": np.bincount(named, minlength=len(poses)).tolist(),
        }
        return PoseTrack(poses, self.seen.times, self.seen.size, tuple(reasons), estimator)


def everybody(path: Path, options: PoseOptions, *, workers: int | None = None) -> Everybody:
    """Finds everybody in a video, or reads them (`--poses`, `--boxes`), and keeps them apart.

    Raises UserError: a video or files that cannot be used, nobody in it, corrections that fit
    nobody.
    """
    path = Path(path)
    same, at = parse_same(options.same), parse_at(options.at)
    if options.poses is not None:
        if options.boxes is not None:
            raise UserError(
                f"{option('boxes')} and {option('poses')} do not go together: poses say where "
                "people are; leave one of them out."
            )
        seen = _read(path, options)
    else:
        seen = _cached(path, options, workers)
    return arranged(path, seen, options, same, at)


def arranged(
    path: Path,
    seen: Observations,
    options: PoseOptions,
    same: list[tuple[str, ...]] | None = None,
    at: list[At] | None = None,
) -> Everybody:
    """Who is who in what was seen. Raises UserError where it is nobody."""
    found = identities(seen, stretches(seen))
    if not found.names:
        raise UserError(
            f"No person found in {path}; choose a stretch that shows some with {option('start')} "
            f"and {option('end')}, or give poses of your own with {option('poses')}."
        )
    found = corrected(found, seen, same or [], at or [])
    people = Everybody(path, seen, found, options)
    count = len(found.names)
    doubts = len(found.doubts)
    say(
        f"{path.name} shows {'one person' if count == 1 else f'{count} people'}: "
        f"{', '.join(found.names)}"
        + (f"; it is not sure who is who at {doubts} moments." if doubts > 1 else "")
        + ("; it is not sure who is who at one moment." if doubts == 1 else "")
        + ("." if not doubts else "")
    )
    return people


def track_of(people: Everybody, name: str, workers: int | None = None) -> PoseTrack:
    """A person's track with all that the options ask for: with MediaPipe and `detail` holistic the
    face and the hands too, found with everybody else hidden."""
    options = people.options
    body = people.body_track(name)
    if options.poses is not None or options.detail == "body":
        return body
    return _with_face_and_hands(people, body, workers)


def whoever_is_meant(people: Everybody, options: PoseOptions) -> str:
    """The one letter that `--person A` or `--at 12.4s,350,200` names. Raises UserError where it is
    nobody, or several."""
    at = [each for each in parse_at(options.at) if each.name is None]
    if at:
        number = record_at(people.seen, people.found.of_record, at[0])
        return people.names[int(people.found.of_record[number])]
    letters = people.chosen(options.person)
    if len(letters) > 1:
        raise UserError(
            f"{option('person')} {options.person} names {len(letters)} people "
            f"({', '.join(letters)}), and one is followed here; name one of them."
        )
    return letters[0]


def wants_everybody(options: PoseOptions) -> bool:
    """Whether the options name one of all people by a letter or a place."""
    if is_named(options.person) or options.at:
        return True
    for name in ("same", "boxes"):
        if getattr(options, name):
            raise UserError(
                f"{option(name)} works only with people who are kept apart: {option('person')} all "
                f"or letters ({option('person')} A), or {option('at')}."
            )
    return False


# --- what is seen ---------------------------------------------------------------------------


def _read(path: Path, options: PoseOptions) -> Observations:
    """From files of several people's poses; colours from the video."""
    assert options.poses is not None, "asked for"
    info, times = probe(path), frame_times(path)
    size = info.height, info.width
    indices, chosen = choose(times, options.start, options.end, options.fps)
    if not len(indices):
        first, last = options.start or 0.0, options.end or np.inf
        after = times[times >= first]
        raise nothing_between(path, after[0] if len(after) else times[-1], first, last)
    people = enumerate(read_people(options.poses, len(times), size))
    frames = read_frames(path, start=options.start, end=options.end, fps=options.fps)

    def parts() -> Iterator[np.ndarray]:
        at, poses = next(people)
        for number, (index, frame) in enumerate(zip(indices, frames, strict=True)):
            while at < index:
                at, poses = next(people)
            yield records_of(number, frame.image, poses)

    return Observations(together(parts()), chosen, size, {"name": "pose files"})


def _cached(path: Path, options: PoseOptions, workers: int | None) -> Observations:
    bundle = bundles.find_bundle(options.detail, options.pose_model)
    key = {
        "video": files.sha256(path) if path.is_file() else str(path.resolve()),
        "model": bundle.sha256,
        "start": options.start,
        "end": options.end,
        "fps": options.fps,
        "boxes": None if options.boxes is None else _digest(options.boxes),
        "pictures": peculiarities(path),
        "version": VERSION,
    }
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    cached = files.cache_folder() / "people" / f"{name}.npz"
    if path.is_file() and cached.is_file() and (seen := _load(cached)) is not None:
        say(f"People of {path.name}: from the cache ({cached}).")
        return seen
    files.check_writable(cached.parent)
    times = frame_times(path, start=options.start, end=options.end, fps=options.fps)
    source = detect.Source(path, options.start, options.end, options.fps, times)
    boxes = None
    if options.boxes is not None:
        info, every = probe(path), frame_times(path)
        given = read_boxes(options.boxes, len(every), (info.height, info.width))
        indices, _ = choose(every, options.start, options.end, options.fps)
        boxes = {k: given[int(index)] for k, index in enumerate(indices) if int(index) in given}
    seen = observe(source, bundle, path.name, workers, boxes)
    estimator = {"name": "mediapipe", "task": "pose_landmarker", **bundle.origin()}
    seen = dataclasses.replace(seen, estimator=estimator)
    if path.is_file():
        _save(cached, seen)
    return seen


def _digest(path: Path) -> str:
    try:
        return files.sha256(path)
    except OSError as error:
        raise UserError(
            f"{option('boxes')} {path} cannot be read ({error.strerror}); give a file in the text "
            "of the MOT challenge."
        ) from error


def _save(path: Path, seen: Observations) -> None:
    words = json.dumps({"estimator": seen.estimator, "size": seen.size})
    with files.atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, records=seen.records, times=seen.times, words=np.array(words))


def _load(path: Path) -> Observations | None:
    """None where the file is damaged or of another kind."""
    try:
        with np.load(path) as stored:
            records, words = stored["records"], json.loads(str(stored["words"]))
            height, width = words["size"]
            if records.dtype != RECORD:
                return None
            kept = together([records])
            return Observations(kept, stored["times"], (height, width), words["estimator"])
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    except Exception as error:  # zipfile and zlib fail in ways of their own on damaged bytes
        if type(error).__module__ in ("zipfile", "zlib"):
            return None
        raise


# --- face and hands -------------------------------------------------------------------------


def _with_face_and_hands(people: Everybody, body: PoseTrack, workers: int | None) -> PoseTrack:
    options, path = people.options, people.path
    bundle = bundles.find_bundle("holistic", options.pose_model)
    times = people.seen.times
    boxes = np.full((len(times), 4), np.nan)
    for frame in np.flatnonzero(body.found):
        pose = body.keypoints[frame]
        points = pose[pose[:, 2] > 0, :2]
        margin = 0.5 * unit(pose)
        boxes[frame] = np.concatenate([points.min(0) - margin, points.max(0) + margin])
    source = detect.Source(path, options.start, options.end, options.fps, times)
    workers = worker_count(workers)
    pieces = detect.pieces(len(times))
    shares = np.array_split(np.arange(len(pieces)), min(workers, len(pieces)))
    with (
        pool(workers, ("motion_jax.video.reader", "mediapipe")),
        tempfile.TemporaryDirectory(prefix="motion_jax-poses-") as folder,
    ):
        records = RecordFile(Path(folder) / "records")
        records.make(len(times))
        jobs = [
            detect.Job(
                source, "holistic", bundle.path, tuple(pieces[i] for i in s), records, 0, boxes
            )
            for s in shares
        ]
        name = body.estimator["options"]["person"]
        detect.run(jobs, workers, f"Face and hands of {name} in {path.name}")
        found = records.read(len(times))
        keypoints = long_arrays.copied(body.keypoints)
        for frame in np.flatnonzero(body.found):
            if found[frame]["found"]:
                whole = np.array(found[frame]["keypoints"])
                if (whole[:25, 2] > 0).any() and body_distance(
                    body.keypoints[frame], whole
                ) < SAME_BODY:
                    keypoints[frame] = whole
            if frame % long_arrays.WINDOW == 0:
                long_arrays.release(found, keypoints)
    estimator = {**body.estimator, "task": "holistic_landmarker"}
    return dataclasses.replace(body, keypoints=keypoints, estimator=estimator)
