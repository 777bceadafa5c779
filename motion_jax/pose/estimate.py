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
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np

from motion_jax import files
from motion_jax.errors import UserError, option
from motion_jax.pose import bundles, detect, long_arrays, skeleton
from motion_jax.pose import person as people
from motion_jax.pose.landmarks import RecordFile
from motion_jax.pose.smooth import filled_keypoints
from motion_jax.pose.track import PoseTrack
from motion_jax.progress import say
from motion_jax.video.reader import frame_times, peculiarities
from motion_jax.workers import pool, worker_count

# Part of the key of cached poses: increase it when the same video would give other poses.
VERSION = 1
LOOK_SECONDS = 0.4

# Start and end in seconds, frames a second to resample to; see `estimate_video`.
_Span = tuple[float | None, float | None, float | None]


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
    return _estimate(path, bundle, detail, person, (start, end, fps), workers)


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
    span = start, end, fps
    if not path.is_file():
        return _estimate(path, bundle, detail, person, span, workers)
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
    track = _estimate(path, bundle, detail, person, span, workers)
    save_track(cached, track)
    return track


def save_track(path: Path, track: PoseTrack) -> None:
    """Writes a PoseTrack as .npz, atomically."""
    words = {"reasons": track.reasons, "estimator": track.estimator}
    arrays = {
        "keypoints": track.keypoints,
        "times": np.asarray(track.times, np.float64),
        "size": np.asarray(track.size, np.int64),
        "filled": filled_keypoints(track),
        "has_filled": np.array(track.filled is not None),
        "words": np.array(json.dumps(words)),
    }
    with (
        files.atomic_path(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as stored,
    ):
        # As np.savez_compressed does, but in windows.
        for name, array in arrays.items():
            with stored.open(f"{name}.npy", "w", force_zip64=True) as file:
                header = np.lib.format.header_data_from_array_1_0(array)
                np.lib.format.write_array_header_1_0(file, header)
                parts = long_arrays.windows(array) if array.ndim else [...]
                for part in parts:
                    file.write(array[part].tobytes())


def load_track(path: Path) -> PoseTrack | None:
    """Reads what `save_track` wrote; None where the file is damaged or of another kind."""
    try:
        with zipfile.ZipFile(path) as stored:
            # Nothing is made of damaged bytes: their readers fail in ways of their own.
            if stored.testzip() is not None:
                return None
            words = json.loads(str(_read_array(stored, "words")))
            height, width = _read_array(stored, "size").tolist()
            track = PoseTrack(
                keypoints=_read_array(stored, "keypoints"),
                times=_read_array(stored, "times"),
                size=(height, width),
                reasons=tuple(words["reasons"]),
                estimator=words["estimator"],
                filled=_read_array(stored, "filled") if _read_array(stored, "has_filled") else None,
            )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    whole = track.keypoints.shape == (len(track.times), skeleton.COUNT, 3)
    return track if whole and len(track.reasons) == len(track.times) else None


def _read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """An array of an .npz file."""
    with archive.open(f"{name}.npy") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if not shape:
            return np.frombuffer(file.read(), dtype).reshape(())
        array = long_arrays.zeros(shape, dtype)
        for window in long_arrays.windows(array):
            part = array[window]
            part[...] = np.frombuffer(file.read(part.nbytes), dtype).reshape(part.shape)
    return array


def _mediapipe_version() -> str:
    return importlib.metadata.version("mediapipe")


def _estimate(
    path: Path,
    bundle: bundles.Bundle,
    detail: str,
    person: str,
    span: _Span,
    workers: int | None,
) -> PoseTrack:
    workers = worker_count(workers)
    with (
        # The processes start while the frames are counted.
        pool(workers, ("motion_jax.video.reader", "mediapipe")),
        tempfile.TemporaryDirectory(prefix="motion_jax-poses-") as folder,
    ):
        records = RecordFile(Path(folder) / "records")
        return _estimate_in_pool(path, bundle, detail, person, span, workers, records)


def _estimate_in_pool(
    path: Path,
    bundle: bundles.Bundle,
    detail: str,
    person: str,
    span: _Span,
    workers: int,
    records: RecordFile,
) -> PoseTrack:
    start, end, fps = span
    times = frame_times(path, start=start, end=end, fps=fps)
    count = len(times)
    source = detect.Source(path, start, end, fps, times)
    step = detect.look_step(times, LOOK_SECONDS)
    jobs = [
        detect.Job(source, detail, bundle.path, share, records, step)
        for share in detect.shared_pieces(count, workers)
    ]
    records.make(count)
    results = detect.run(jobs, workers, f"Poses of {path.name}")
    size = results[0].size
    found = records.read(count)
    looks = {
        frame: people.examine(frame, *seen, size)
        for result in results
        for frame, seen in sorted(result.looks.items())
    }
    looked_at = list(looks)

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
    unsure = _unsure_pieces(detect.pieces(count), followed, expected, looks, found)
    if unsure:
        boxes = np.where(expected.inside[:, None], expected.box, np.nan)
        jobs = [
            detect.Job(source, detail, bundle.path, (piece,), records, 0, boxes) for piece in unsure
        ]
        detect.run(jobs, workers, f"Poses of {path.name}, that person alone")
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
            **bundle.origin(),
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


def _unsure_pieces(
    pieces: list[tuple[int, int]],
    followed: people.Track,
    expected: people.Expected,
    looks: dict[int, list[people.Sighting]],
    found: np.ndarray,
) -> list[tuple[int, int]]:
    """Pieces in which the follower may have been on somebody or something else: a sighting of
    another person near the followed one's time, or the follower elsewhere or lost in a frame that
    was looked at."""
    seen = {sighting.frame: sighting for sighting in followed.sightings}
    unsure = []
    for first, last in pieces:
        wanted = False
        for frame in range(first, last):
            if frame not in looks or not expected.inside[frame]:
                continue
            others = any(s.confirmed and s is not seen.get(frame) for s in looks[frame])
            at = found[frame]
            astray = frame in seen and not (at["found"] and expected.fits(frame, at["pose"]))
            wanted = wanted or others or astray
        if wanted:
            unsure.append((first, last))
        long_arrays.release(found)
    return unsure


def _assemble(
    count: int,
    size: tuple[int, int],
    found: np.ndarray,
    expected: people.Expected,
    looks: dict[int, list[people.Sighting]],
    persons: list[people.Track],
    followed: people.Track,
) -> tuple[np.ndarray, list[str]]:
    """Keypoints [N, 137, 3] and a reason for every frame without."""
    keypoints = long_arrays.zeros((count, skeleton.COUNT, 3))
    others = [track for track in persons if track is not followed]
    near = _nearest_looks(count, looks)

    def reason(frame: int) -> str:
        at = found[frame]
        if not expected.inside[frame]:
            if any(track.frames[0] <= frame <= track.frames[-1] for track in others):
                return "another person"
            wrongs = sorted({sighting.wrong for sighting in looks[near[frame]] if sighting.wrong})
            if wrongs:
                return f"implausible: {wrongs[0]}"
            return "implausible: not confirmed by a second look" if at["found"] else "no person"
        if not at["found"]:
            return "lost: no pose found"
        if not expected.fits(frame, at["pose"]):
            return "lost: the pose is not where the person is"
        wrong = people.single_look(at["pose"], size)
        return f"implausible: {wrong}" if wrong else ""

    reasons = []
    for window in long_arrays.windows(keypoints, found):
        for frame in range(window.start, window.stop):
            reasons.append(reason(frame))
            if not reasons[-1]:
                keypoints[frame] = found[frame]["keypoints"]
    return keypoints, reasons


def _nearest_looks(count: int, looks: dict[int, list[people.Sighting]]) -> list[int]:
    """For each frame the number of the one nearest to it that was looked at; of two the earlier."""
    looked_at = np.array(sorted(looks))
    middles = (looked_at[1:] + looked_at[:-1]) / 2
    return looked_at[np.searchsorted(middles, np.arange(count))].tolist()


def _people(count: int, looks: dict[int, list[people.Sighting]]) -> list[int]:
    """For each frame the confirmed people at the nearest look."""
    numbers = {frame: sum(s.confirmed for s in look) for frame, look in looks.items()}
    return [numbers[frame] for frame in _nearest_looks(count, looks)]
