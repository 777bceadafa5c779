"""Poses of one person in a video, by MediaPipe.

Two detectors run side by side over the video. One looks for several people in a frame every 0.4 s
and in its mirror image; from its sightings `person.py` decides who is a person and where the one to
follow is. The other follows one body (and face and hands) through all frames. Where the two
disagree, or somebody else is in the picture, that stretch is done again with everything hidden but
the followed person. A frame in which the follower's pose is not where the person must be is a gap
with a reason, never somebody else.
"""

import hashlib
import importlib.metadata
import json
import zipfile
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from motion_jax import files
from motion_jax.errors import UserError, option
from motion_jax.pose import bundles, detect, skeleton
from motion_jax.pose import person as people
from motion_jax.pose.track import PoseTrack
from motion_jax.progress import say
from motion_jax.video.reader import frame_times, peculiarities
from motion_jax.workers import pool, worker_count

# Part of the key of cached poses: increase it when the same video would give other poses.
VERSION = 1
LOOK_SECONDS = 0.4
# A landmark less likely than this to be inside the frame is MediaPipe's guess.
LEAST_PRESENCE = 0.3
# Limits, in torso lengths, of how far a hand or a face may be from the wrist or nose it belongs to.
HAND_REACH = 0.4
FACE_REACH = 0.35
# MediaPipe's landmarks 0-6 are the nose and the eyes, 9 and 10 the mouth.
_NOSE_AND_EYES = [0, 1, 2, 3, 4, 5, 6, 9, 10]


def estimate_video(
    path: Path,
    *,
    detail: str = "holistic",
    person: str = "largest",
    model: Path | None = None,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
    workers: int | None = None,
) -> PoseTrack:
    """Estimates the poses of one person in a video.

    Args:
      path: the video.
      detail: "body", or "holistic" for face and hands too (twice the time).
      person: "largest", "leftmost", "rightmost" or a number from 1, counted from left to right.
      model: the .task bundle or a folder with it; None: see `bundles.find_bundle`.
      start, end: seconds; fps: frames a second to resample to.
      workers: processes; None: as many as there are cores. The result does not depend on it.

    Returns:
      PoseTrack; `estimator` says with what, and under "people" how many people each frame showed.

    Raises UserError for a file that is no video or damaged, a model that cannot be had, a video
    without a plausible person, and a `person` who is not in it.
    """
    path = Path(path)
    people.check_person(person)
    bundle = bundles.find_bundle(detail, model)
    return _estimate(path, bundle, detail, person, start, end, fps, workers)


def estimate_cached(
    path: Path,
    *,
    detail: str = "holistic",
    person: str = "largest",
    model: Path | None = None,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
    workers: int | None = None,
) -> PoseTrack:
    """As `estimate_video`, but what was estimated once from the same file content with the same
    model and options comes from the cache folder (`poses/` in it)."""
    path = Path(path)
    people.check_person(person)
    bundle = bundles.find_bundle(detail, model)
    if not path.is_file():
        return _estimate(path, bundle, detail, person, start, end, fps, workers)
    options = {
        "video": files.sha256(path),
        "model": bundle.sha256,
        "detail": detail,
        "person": person,
        "start": start,
        "end": end,
        "fps": fps,
        "version": VERSION,
        "mediapipe": _mediapipe_version(),
    }
    if differs := peculiarities(path):
        options["pictures"] = differs
    key = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()
    cached = files.cache_folder() / "poses" / f"{key}.npz"
    if cached.is_file():
        track = load_track(cached)
        if track is not None:
            say(f"Poses of {path.name}: from the cache ({cached}).")
            return track
    # Before the work, not after it.
    try:
        files.check_writable(cached.parent)
    except UserError as error:
        raise UserError(
            f"Estimated poses cannot be kept in {cached.parent}; set $MOTION_JAX_CACHE to a folder "
            "that you may write to."
        ) from error
    track = _estimate(path, bundle, detail, person, start, end, fps, workers)
    save_track(cached, track)
    return track


def save_track(path: Path, track: PoseTrack) -> None:
    """Writes a PoseTrack as .npz, atomically."""
    filled = np.zeros(track.keypoints.shape[:2], bool) if track.filled is None else track.filled
    with files.atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file,
            keypoints=track.keypoints.astype(np.float32),
            times=np.asarray(track.times, np.float64),
            size=np.asarray(track.size, np.int64),
            filled=filled,
            has_filled=np.array(track.filled is not None),
            words=np.array(json.dumps({"reasons": track.reasons, "estimator": track.estimator})),
        )


def load_track(path: Path) -> PoseTrack | None:
    """Reads what `save_track` wrote; None where the file is damaged or of another kind."""
    try:
        # Opened here: np.load leaves a damaged file open.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            words = json.loads(str(stored["words"]))
            track = PoseTrack(
                keypoints=stored["keypoints"],
                times=stored["times"],
                size=(int(stored["size"][0]), int(stored["size"][1])),
                reasons=tuple(words["reasons"]),
                estimator=words["estimator"],
                filled=stored["filled"] if stored["has_filled"] else None,
            )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    whole = track.keypoints.shape == (len(track.times), skeleton.COUNT, 3)
    return track if whole and len(track.reasons) == len(track.times) else None


def _mediapipe_version() -> str:
    return importlib.metadata.version("mediapipe")


def _estimate(
    path: Path,
    bundle: bundles.Bundle,
    detail: str,
    person: str,
    start: float | None,
    end: float | None,
    fps: float | None,
    workers: int | None,
) -> PoseTrack:
    # The processes start while the frames are counted.
    with pool(worker_count(workers), ("motion_jax.video.reader", "mediapipe")):
        return _estimate_in_pool(path, bundle, detail, person, start, end, fps, workers)


def _estimate_in_pool(
    path: Path,
    bundle: bundles.Bundle,
    detail: str,
    person: str,
    start: float | None,
    end: float | None,
    fps: float | None,
    workers: int | None,
) -> PoseTrack:
    workers = worker_count(workers)
    times = frame_times(path, start=start, end=end, fps=fps)
    count = len(times)
    source = detect.Source(path, start, end, fps, times)
    step = detect.look_step(times, LOOK_SECONDS)
    pieces = detect.pieces(count)
    shares = np.array_split(np.arange(len(pieces)), min(workers, len(pieces)))
    jobs = [
        detect.Job(source, detail, bundle.path, tuple(pieces[i] for i in share), step)
        for share in shares
    ]
    results = detect.run(jobs, workers, f"Poses of {path.name}")
    size = results[0].size
    found, raw = {}, {}
    for result in results:
        found.update(result.found)
        raw.update(result.looks)
    looked_at = sorted(raw)
    looks = {frame: people.examine(frame, *raw[frame], size) for frame in looked_at}

    interval = float(times[-1] - times[0]) / (count - 1) if count > 1 else 0.04
    tracks = people.link([looks[frame] for frame in looked_at], interval)
    verdicts = [people.plausible(track, looked_at) for track in tracks]
    persons = [track for track, wrong in zip(tracks, verdicts, strict=True) if not wrong]
    if not persons:
        raise _nobody(path, looks, tracks, verdicts)
    follow = people.choose(persons, person, str(path), interval)
    if len(persons) > 1:
        say(
            f"{path.name} shows {len(persons)} people or visits; following number "
            f"{_number(persons, follow)} from the left ({option('person')} chooses another)."
        )
    followed = persons[follow]
    expected = people.expect(followed, count, step)
    again = _pieces_to_do_again(pieces, followed, expected, looks, found)
    if again:
        boxes = np.where(expected.inside[:, None], expected.box, np.nan)
        jobs = [detect.Job(source, detail, bundle.path, (piece,), 0, boxes) for piece in again]
        for first, last in again:
            for frame in range(first, last):
                found.pop(frame, None)
        for result in detect.run(jobs, workers, f"Poses of {path.name}, that person alone"):
            found.update(result.found)
    keypoints, reasons = _assemble(count, size, found, expected, looks, persons, followed)
    if not any(reason == "" for reason in reasons):
        raise _nobody(path, looks, tracks, verdicts)
    return PoseTrack(
        keypoints=keypoints,
        times=times,
        size=(int(size[0]), int(size[1])),
        reasons=tuple(reasons),
        estimator={
            "name": "mediapipe",
            "version": _mediapipe_version(),
            "task": "holistic_landmarker" if detail == "holistic" else "pose_landmarker",
            **bundle.describe(),
            "options": {"detail": detail, "person": person, "start": start, "end": end, "fps": fps},
            "looks": len(looked_at),
            "sightings": sum(len(look) for look in looks.values()),
            "confirmed": sum(s.confirmed for look in looks.values() for s in look),
            "persons": len(persons),
            "people": _people(count, looks),
        },
    )


def _number(persons: list[people.Track], chosen: int) -> int:
    """The chosen one's number from the left, as `people.choose` counts."""
    for number in range(1, len(persons) + 1):
        if people.choose(persons, str(number), "", 0.0) == chosen:
            return number
    raise AssertionError("choose() gives every track a number")


def _nobody(path: Path, looks: dict, tracks: list, verdicts: list[str]) -> UserError:
    sightings = [sighting for look in looks.values() for sighting in look]
    if not sightings:
        why = "the detector saw nobody"
    else:
        wrongs = [sighting.wrong for sighting in sightings if sighting.wrong] + [
            verdict
            for track, verdict in zip(tracks, verdicts, strict=True)
            for _ in track.sightings
        ]
        most = max(sorted(set(wrongs)), key=wrongs.count) if wrongs else "lost at once"
        why = f"what the detector took for one is implausible: {most}"
    return UserError(
        f"No person found in {path} ({why}); choose a stretch that shows one with "
        f"{option('start')} and {option('end')}, or give poses of your own with {option('poses')}."
    )


def _pieces_to_do_again(
    pieces: list[tuple[int, int]],
    followed: people.Track,
    expected: people.Expected,
    looks: dict[int, list[people.Sighting]],
    found: dict[int, detect.Found],
) -> list[tuple[int, int]]:
    """Pieces in which the follower may have been on somebody or something else: a sighting of
    another person near the followed one's time, or the follower elsewhere or lost at a look."""
    seen = {sighting.frame: sighting for sighting in followed.sightings}
    again = []
    for first, last in pieces:
        wanted = False
        for frame in range(first, last):
            if frame not in looks or not expected.inside[frame]:
                continue
            others = any(s.confirmed and s is not seen.get(frame) for s in looks[frame])
            at = found.get(frame)
            astray = frame in seen and (at is None or not expected.fits(frame, at.pose))
            wanted = wanted or others or astray
        if wanted:
            again.append((first, last))
    return again


def _assemble(
    count: int,
    size: tuple[int, int],
    found: dict[int, detect.Found],
    expected: people.Expected,
    looks: dict[int, list[people.Sighting]],
    persons: list[people.Track],
    followed: people.Track,
) -> tuple[np.ndarray, list[str]]:
    """Keypoints [N, 137, 3] and a reason for every frame without."""
    keypoints = np.zeros((count, skeleton.COUNT, 3), np.float32)
    reasons = []
    others = [track for track in persons if track is not followed]
    looked_at = np.array(sorted(looks))
    for frame in range(count):
        at = found.get(frame)
        if not expected.inside[frame]:
            near = looks[int(looked_at[np.abs(looked_at - frame).argmin()])]
            wrongs = sorted({sighting.wrong for sighting in near if sighting.wrong})
            if any(track.frames[0] <= frame <= track.frames[-1] for track in others):
                reason = "another person"
            elif wrongs:
                reason = f"implausible: {wrongs[0]}"
            elif at is not None:
                reason = "implausible: not confirmed by a second look"
            else:
                reason = "no person"
        elif at is None:
            reason = "lost: no pose found"
        elif not expected.fits(frame, at.pose):
            reason = "lost: the pose is not where the person is"
        elif wrong := people.single_look(at.pose, size):
            reason = f"implausible: {wrong}"
        else:
            reason = ""
            keypoints[frame] = to_keypoints(at, size)
        reasons.append(reason)
    return keypoints, reasons


def _people(count: int, looks: dict[int, list[people.Sighting]]) -> list[int]:
    """For each frame the confirmed people at the nearest look."""
    looked_at = np.array(sorted(looks))
    numbers = np.array([sum(s.confirmed for s in looks[frame]) for frame in looked_at])
    nearest = np.abs(looked_at[None] - np.arange(count)[:, None]).argmin(axis=1)
    return [int(n) for n in numbers[nearest]]


def to_keypoints(found: detect.Found, size: tuple[int, int]) -> Float32[np.ndarray, "137 3"]:
    """Landmarks of one frame of (height, width) as keypoints.

    Confidence of the body is MediaPipe's visibility. What lies outside the frame, or is there with
    a probability (presence) under 0.3, was not observed. Face and hands have no confidence of
    their own: a face has the mean visibility of the head, a hand the visibility of its wrist
    (0.3 at least, because the hand itself was found), and neither is kept where it hangs far from
    the nose or wrist of the body or has an impossible size. MediaPipe reports nose and eyes of
    people seen from behind as visible; where no face was found and the person's left shoulder is on
    the left of the picture, they were not observed.
    """
    height, width = size
    pose = found.pose.copy()
    pose[pose[:, 3] < LEAST_PRESENCE] = 0
    unit = people.torso(found.pose)
    head = float(found.pose[:11, 2].mean())
    wrists = {"left": found.pose[15], "right": found.pose[16]}
    hands = {
        "left": _believed(found.left, 0, wrists["left"], unit, HAND_REACH, (0.05, 0.9)),
        "right": _believed(found.right, 0, wrists["right"], unit, HAND_REACH, (0.05, 0.9)),
    }
    # Vertex 1 of the face mesh is the tip of the nose.
    face = _believed(found.face, 1, found.pose[people.NOSE], unit, FACE_REACH, (0.1, 1.5))
    across = found.pose[people.LEFT_SHOULDER, 0] - found.pose[people.RIGHT_SHOULDER, 0]
    if face is None and across < -0.15 * unit:
        pose[_NOSE_AND_EYES] = 0
    keypoints = skeleton.from_mediapipe(
        pose, face, hands["left"], hands["right"], face_confidence=float(np.clip(head, 0.3, 1.0))
    )
    for part, side in ((skeleton.LEFT_HAND, "left"), (skeleton.RIGHT_HAND, "right")):
        if hands[side] is not None:
            keypoints[part, 2] = np.clip(wrists[side][2], 0.3, 1.0)
    x, y = keypoints[:, 0], keypoints[:, 1]
    keypoints[(x < 0) | (x >= width) | (y < 0) | (y >= height)] = 0
    return keypoints


def _believed(
    points: np.ndarray | None,
    root: int,
    at: np.ndarray,
    unit: float,
    reach: float,
    sizes: tuple[float, float],
) -> np.ndarray | None:
    """The points of a hand or face, or None where their root is farther than `reach` torso lengths
    from the body's landmark `at`, or their extent is not within `sizes` torso lengths."""
    if points is None:
        return None
    away = np.linalg.norm(points[root] - at[:2]) / unit
    extent = float(np.max(np.ptp(points, axis=0))) / unit
    return points if away <= reach and sizes[0] <= extent <= sizes[1] else None
