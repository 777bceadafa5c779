"""Poses in files: OpenPose's JSON, Everybody Dance Now's yml; a file (or four) a frame.

OpenPose: `<name>_<number>_keypoints.json` with "people", each with "pose_keypoints_2d" (BODY_25,
COCO with 18, or the early body of 23 points that Everybody Dance Now's data has), and optionally
"face_keypoints_2d" (70), "hand_left_keypoints_2d" and "hand_right_keypoints_2d" (21): flat lists of
x, y, confidence in pixels. A list may be empty, null or all zero: not observed. See pose.openpose.

Everybody Dance Now: `<name>_pose.yml`, `_face.yml`, `_hand_left.yml`, `_hand_right.yml`, each an
OpenCV matrix of people x points x 3.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from motion_jax.errors import UserError
from motion_jax.files import check_writable, entries, write_bytes
from motion_jax.pose import long_arrays, openpose, skeleton
from motion_jax.pose.select import follow
from motion_jax.pose.track import PoseTrack
from motion_jax.video.notes import note
from motion_jax.video.numbers import SeveralOrders, SeveralSequences, frame_numbers

_JSON, _YML = "_keypoints.json", "_pose.yml"
# Some tools leave out what OpenPose puts at the end of its names.
_SHORT_JSON = ".json"
# Faces of 68 points lack the two pupils.
_SHORT_FACE = 68


@dataclass(frozen=True)
class PoseFiles:
    """What a folder of pose files holds.

    Attributes:
      keypoints: float32 [N, 137, 3], pixels as in the files.
      reasons: for each frame "" or why there is no pose.
      estimator: kind, layout of the body, number of files.
    """

    keypoints: np.ndarray
    reasons: tuple[str, ...]
    estimator: dict


def read_poses(
    folder: Path, times: np.ndarray, size: tuple[int, int], person: str = "largest"
) -> PoseTrack:
    """Reads a folder of OpenPose JSON or Everybody Dance Now yml files for a video.

    Args:
      folder: the files, in the order of the numbers at the end of their names.
      times: [N] seconds of the video's frames; there must be as many poses.
      size: (height, width) of the video in pixels, in which the poses must be.
      person: whom to follow, see `select.follow`.

    Raises UserError: no such folder, no files of either kind or of both, malformed or missing ones,
    another number than the video has frames, coordinates that are not this video's pixels.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"There is no folder of poses {folder}; give one with OpenPose JSON files.")
    suffix = _suffix(folder)
    read = read_edn_yml if suffix == _YML else read_openpose
    poses = read(folder, len(times), person, size)
    _check_pixels(poses.keypoints, size, folder)
    return PoseTrack(
        keypoints=poses.keypoints,
        times=np.asarray(times, np.float64),
        size=(int(size[0]), int(size[1])),
        reasons=poses.reasons,
        estimator=poses.estimator,
    )


def _suffix(folder: Path) -> str:
    """What the names of a folder's pose files end in."""
    found = [suffix for suffix in (_JSON, _YML) if entries(folder, f"*{suffix}")]
    if len(found) > 1:
        raise UserError(
            f"The folder of poses {folder} holds both *_keypoints.json and *_pose.yml files; give "
            "a folder of one."
        )
    if found:
        return found[0]
    if entries(folder, f"*{_SHORT_JSON}"):
        return _SHORT_JSON
    raise UserError(
        f"The folder of poses {folder} holds neither *_keypoints.json (OpenPose) nor *_pose.yml "
        "(Everybody Dance Now) files; give a folder of one."
    )


def read_openpose(
    folder: Path,
    frame_count: int | None = None,
    person: str = "largest",
    size: tuple[int, int] | None = None,
) -> PoseFiles:
    """Reads OpenPose's JSON files (versions 1.0 to 1.7) of a folder; see `read_poses`. Poses on a
    canvas of their own (DWPose, ControlNet) are brought to `size` (height, width)."""
    folder = Path(folder)
    suffix = _JSON if entries(folder, f"*{_JSON}") else _SHORT_JSON
    files = _in_order(folder, suffix, frame_count)
    bodies: set[int] = set()
    people = (_people_of_json(file, bodies, size) for file in files)
    return _selected(people, person, folder, "OpenPose JSON", bodies)


def read_people(
    folder: Path, frame_count: int, size: tuple[int, int]
) -> Iterator[list[np.ndarray]]:
    """Everybody in a folder of pose files of either kind, frame by frame: [137, 3] each, in pixels
    of a video of `size` (height, width). Raises UserError as `read_poses` does."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"There is no folder of poses {folder}; give one with OpenPose JSON files.")
    suffix = _suffix(folder)
    files = _in_order(folder, suffix, frame_count)
    parts = _yml_parts(folder) if suffix == _YML else []
    for file in files:
        if suffix == _YML:
            yield _people_of_yml(file, parts, set())
        else:
            yield _people_of_json(file, set(), size)


def read_edn_yml(
    folder: Path,
    frame_count: int | None = None,
    person: str = "largest",
    size: tuple[int, int] | None = None,
) -> PoseFiles:
    """Reads Everybody Dance Now's yml files of a folder; see `read_poses`. Face or hand files may
    be absent, but then from all frames. `size` changes nothing: they know no canvas."""
    folder = Path(folder)
    files = _in_order(folder, _YML, frame_count)
    parts = _yml_parts(folder)
    bodies: set[int] = set()
    people = (_people_of_yml(file, parts, bodies) for file in files)
    return _selected(people, person, folder, "Everybody Dance Now yml", bodies)


def _yml_parts(folder: Path) -> list[str]:
    return [part for part in openpose.PARTS[1:] if entries(folder, f"*_{part}.yml")]


def read_named(folder: Path, names: list[str], person: str = "largest") -> PoseFiles:
    """The poses of frames by their names: `<name>_keypoints.json` or `<name>_pose.yml` each, frames
    without a file having nobody. The folder may hold files of other frames too.

    Raises UserError: no such folder, no file of any of these names, malformed files.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"There is no folder of poses {folder}; give one with yml or JSON files.")
    bodies: set[int] = set()
    parts = _yml_parts(folder)

    def people_of(name: str) -> list[np.ndarray]:
        json_file, yml_file = folder / f"{name}{_JSON}", folder / f"{name}{_YML}"
        if yml_file.is_file():
            return _people_of_yml(yml_file, parts, bodies)
        return _people_of_json(json_file, bodies) if json_file.is_file() else []

    if not any((folder / f"{name}{end}").is_file() for name in names for end in (_YML, _JSON)):
        raise UserError(
            f"The folder of poses {folder} holds no file for any frame (such as {names[0]}{_YML} "
            f"or {names[0]}{_JSON}); name its files like the frames."
        )
    return _selected(map(people_of, names), person, folder, "files by name", bodies)


def _selected(
    people: Iterable[list[np.ndarray]], person: str, folder: Path, kind: str, bodies: set[int]
) -> PoseFiles:
    keypoints, reasons, most = follow(people, person, str(folder))
    estimator = {
        "name": kind,
        "files": len(reasons),
        "body_points": sorted(bodies),
        "most_people": most,
        "person": person,
    }
    return PoseFiles(keypoints, reasons, estimator)


def _in_order(folder: Path, suffix: str, frame_count: int | None) -> list[Path]:
    """The files of the frames, by the number that varies in their names, without holes in it."""
    files = entries(folder, f"*{suffix}")
    if not files:
        raise UserError(f"The folder of poses {folder} holds no *{suffix} files; give another.")
    try:
        numbers = frame_numbers([file.name.removesuffix(suffix) for file in files])
    except SeveralSequences as error:
        first, second = error.names
        raise UserError(
            f"The folder of poses {folder} holds more than one sequence ({first}{suffix} and "
            f"{second}{suffix}); give each its own folder."
        ) from error
    except SeveralOrders as error:
        raise UserError(
            f"The files of poses in {folder} can be ordered in two ways, {error}; rename them so "
            "that one number in their names counts the frames."
        ) from error
    if numbers is not None:
        order = sorted(range(len(files)), key=numbers.__getitem__)
        files = [files[i] for i in order]
        if all(len(number) == 1 for number in numbers):
            _check_holes(folder, files, [numbers[i][0] for i in order])
    if frame_count is not None and len(files) != frame_count:
        raise UserError(
            f"The folder of poses {folder} has {len(files)} frames and the video has "
            f"{frame_count}; give exactly one pose file for each frame of the video."
        )
    return files


def _check_holes(folder: Path, files: Sequence[Path], numbers: Sequence[int]) -> None:
    """Files may be numbered in steps, as the published sample data is, or by milliseconds, whose
    steps are not all alike; the commonest step counts."""
    steps = [after - before for before, after in zip(numbers, numbers[1:], strict=False)]
    step = max(sorted(set(steps)), key=steps.count)
    for number, found in enumerate(steps):
        if round(found / step) != 1:
            raise UserError(
                f"The folder of poses {folder} has a hole: between {files[number].name} and "
                f"{files[number + 1].name} the file of number {numbers[number] + step} is missing; "
                'a frame without a person needs a file too (with "people": []).'
            )


def _people_of_json(
    file: Path, bodies: set[int], size: tuple[int, int] | None = None
) -> list[np.ndarray]:
    read = openpose.read(file)
    poses = []
    for number, parts in enumerate(read.people):
        pose = composed(parts, f"person {number} of the pose file {file}", bodies)
        if pose is not None:
            poses.append(pose)
    if size is not None and read.canvas is not None and read.canvas != size:
        note(
            file.parent,
            f"The poses in {file.parent} are on a canvas of {read.canvas[1]}x{read.canvas[0]}; "
            f"they are brought to the video's {size[1]}x{size[0]}.",
        )
        right, down = size[1] / read.canvas[1], size[0] / read.canvas[0]
        poses = [skeleton.scaled(pose, right, down) for pose in poses]
    return poses


def composed(
    parts: dict[str, np.ndarray | None], place: str, bodies: set[int]
) -> np.ndarray | None:
    """The parts of one person (openpose.PARTS) -> [137, 3], or None where nothing of it was
    observed; bodies: the numbers of joints that were met. Raises UserError."""
    body = parts["pose"]
    if body is None:
        body = np.zeros((25, 3), np.float32)
    elif len(body) not in skeleton.OF_COUNT:
        raise UserError(
            f"The body of {place} has {len(body)} points; bodies of 25 (BODY_25), 18 (COCO) and 23 "
            "points can be read."
        )
    else:
        bodies.add(len(body))
    face = parts["face"]
    if face is not None and len(face) == _SHORT_FACE:
        face = np.concatenate([face, np.zeros((70 - _SHORT_FACE, 3), np.float32)])
        parts = {**parts, "face": face}
    for part, count in (("face", 70), ("hand_left", 21), ("hand_right", 21)):
        points = parts[part]
        if points is not None and len(points) != count:
            raise UserError(
                f"The part {part} of {place} has {len(points)} points instead of {count}; "
                "write the file again."
            )
    pose = skeleton.from_body(body, parts["face"], parts["hand_left"], parts["hand_right"])
    return pose if (pose[:, 2] > 0).any() else None


_MATRIX = re.compile(
    r"!!opencv-(?:nd-)?matrix\s+(?:sizes:\s*\[(?P<sizes>[^\]]*)\]|rows:\s*(?P<rows>\d+)\s+"
    r"cols:\s*(?P<columns>\d+))\s+dt:\s*\S+\s+data:\s*\[(?P<data>[^\]]*)\]"
)


def _people_of_yml(file: Path, parts: list[str], bodies: set[int]) -> list[np.ndarray]:
    base = file.name.removesuffix(_YML)
    matrices = {"pose": _matrix(file)}
    for part in parts:
        matrices[part] = _matrix(file.with_name(f"{base}_{part}.yml"))
    count = len(matrices["pose"])
    for part, matrix in matrices.items():
        if len(matrix) not in (0, count):
            raise UserError(
                f"The pose file {file.with_name(f'{base}_{part}.yml')} holds {len(matrix)} people "
                f"and {file.name} holds {count}; write them again together."
            )
    poses = []
    for number in range(count):
        person = {part: m[number] if len(m) else None for part, m in matrices.items()}
        person = {part: person.get(part) for part in ("pose", "face", "hand_left", "hand_right")}
        pose = composed(person, f"person {number} of the pose file {file}", bodies)
        if pose is not None:
            poses.append(pose)
    return poses


def _matrix(file: Path) -> np.ndarray:
    """OpenCV's YAML matrix of one file -> float32 [people, points, 3]."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"The pose file {file} is missing or not readable; every frame needs the same files."
        ) from error
    match = _MATRIX.search(text)
    problem = "it holds no OpenCV matrix"
    if match:
        try:
            if match["sizes"] is not None:
                sizes = [int(size) for size in match["sizes"].split(",")]
            else:
                sizes = [int(match["rows"]), int(match["columns"]) // 3, 3]
            # OpenCV writes numbers as "1." and ".Nan".
            data = [float(number.replace(".N", "n")) for number in match["data"].split(",")
                    if number.strip()]  # fmt: skip
        except ValueError as error:
            problem = str(error)
        else:
            if 0 in sizes or not data:
                return np.zeros((0, 0, 3), np.float32)
            if len(sizes) == 3 and sizes[2] == 3 and np.prod(sizes) == len(data):
                if np.isfinite(data).all():
                    return np.array(data, np.float32).reshape(sizes)
                problem = "its numbers are not all finite"
            else:
                problem = f"it holds {len(data)} numbers for the sizes {sizes}"
    raise UserError(f"The pose file {file} is malformed ({problem}); write it again.")


def _check_pixels(keypoints: np.ndarray, size: tuple[int, int], folder: Path) -> None:
    """Poses of another picture size are a common mistake, and would give nonsense, silently."""
    height, width = size
    outside = seen = 0
    low, high = np.full(2, np.inf, np.float32), np.full(2, -np.inf, np.float32)
    for window in long_arrays.windows(keypoints):
        points = keypoints[window][keypoints[window, :, 2] > 0, :2]
        low = np.minimum(low, points.min(0, initial=np.inf))
        high = np.maximum(high, points.max(0, initial=-np.inf))
        outside += int(((points < 0) | (points > (width, height))).any(1).sum())
        seen += len(points)
    if not seen:
        return
    if max(-low.min(), high.max()) <= 2 and min(size) > 8:
        raise UserError(
            f"The poses in {folder} lie between {low.min():.2f} and {high.max():.2f}: shares of "
            "the frame, not pixels; write them with OpenPose's --keypoint_scale 0."
        )
    if high[0] <= width / 2 and high[1] <= height / 2:
        note(
            folder,
            f"Warning: all poses in {folder} lie in the upper left quarter of the video's "
            f"{width}x{height} pixels, as those of a film of half the size would; if they are, "
            "give the poses of this video, in its pixels.",
        )
    if outside / seen > 0.5:
        raise UserError(
            f"The poses in {folder} lie mostly outside the video's {width}x{height} pixels (up to "
            f"{high[0]:.0f}, {high[1]:.0f}); give the poses of this video, in its pixels."
        )


def write_openpose(folder: Path, keypoints: np.ndarray, name: str = "frame") -> None:
    """Writes [N, 137, 3] keypoints as OpenPose 1.3 JSON (BODY_25, face 70, hands 21), a file a
    frame: `<name>_000000000000_keypoints.json` and so on. A frame without any observed point gets
    no people. Raises UserError where the folder cannot be written."""
    folder = Path(folder)
    check_writable(folder)
    parts = (
        ("pose", skeleton.BODY),
        ("face", skeleton.FACE),
        ("hand_left", skeleton.LEFT_HAND),
        ("hand_right", skeleton.RIGHT_HAND),
    )
    for number, pose in enumerate(skeleton.observed_only(keypoints)):
        people = []
        if (pose[:, 2] > 0).any():
            person = {"person_id": [-1]}
            for part, place in parts:
                values = pose[place].astype(np.float64).round(4)
                seen = bool((values[:, 2] > 0).any())
                person[f"{part}_keypoints_2d"] = values.ravel().tolist() if seen else []
            people.append(person)
        file = folder / f"{name}_{number:012d}{_JSON}"
        write_bytes(file, json.dumps({"version": 1.3, "people": people}).encode())
