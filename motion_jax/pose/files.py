"""Poses in files: OpenPose's JSON, Everybody Dance Now's yml; a file (or four) a frame.

OpenPose: `<name>_<number>_keypoints.json` with "people", each with "pose_keypoints_2d" (BODY_25,
COCO with 18, or the early body of 23 points that Everybody Dance Now's data has), and optionally
"face_keypoints_2d" (70), "hand_left_keypoints_2d" and "hand_right_keypoints_2d" (21): flat lists of
x, y, confidence in pixels. A list may be empty or all zero: not observed.

Everybody Dance Now: `<name>_pose.yml`, `_face.yml`, `_hand_left.yml`, `_hand_right.yml`, each an
OpenCV matrix of people x points x 3.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from motion_jax.errors import UserError
from motion_jax.files import check_writable, write_bytes
from motion_jax.pose import skeleton
from motion_jax.pose.select import follow
from motion_jax.pose.track import PoseTrack

_JSON, _YML = "_keypoints.json", "_pose.yml"
_FROM_BODY = {
    25: skeleton.from_body25,
    23: skeleton.from_body23,
    18: skeleton.from_body18,
}


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
    kinds = [read for read, suffix in ((read_openpose, _JSON), (read_edn_yml, _YML))
             if any(folder.glob(f"*{suffix}"))]  # fmt: skip
    if len(kinds) != 1:
        found = "both *_keypoints.json and *_pose.yml" if kinds else "neither *_keypoints.json"
        found += "" if kinds else " (OpenPose) nor *_pose.yml (Everybody Dance Now)"
        raise UserError(f"The folder of poses {folder} holds {found} files; give a folder of one.")
    poses = kinds[0](folder, len(times), person)
    _check_pixels(poses.keypoints, size, folder)
    return PoseTrack(
        keypoints=poses.keypoints,
        times=np.asarray(times, np.float64),
        size=(int(size[0]), int(size[1])),
        reasons=poses.reasons,
        estimator=poses.estimator,
    )


def read_openpose(
    folder: Path, frame_count: int | None = None, person: str = "largest"
) -> PoseFiles:
    """Reads OpenPose's JSON files (versions 1.0 to 1.7) of a folder; see `read_poses`."""
    folder = Path(folder)
    files = _in_order(folder, _JSON, frame_count)
    bodies: set[int] = set()
    people = [_people_of_json(file, bodies) for file in files]
    return _selected(people, person, folder, "OpenPose JSON", bodies)


def read_edn_yml(
    folder: Path, frame_count: int | None = None, person: str = "largest"
) -> PoseFiles:
    """Reads Everybody Dance Now's yml files of a folder; see `read_poses`. Face or hand files may
    be absent, but then from all frames."""
    folder = Path(folder)
    files = _in_order(folder, _YML, frame_count)
    parts = [
        part for part in ("face", "hand_left", "hand_right") if any(folder.glob(f"*_{part}.yml"))
    ]
    bodies: set[int] = set()
    people = [_people_of_yml(file, parts, bodies) for file in files]
    return _selected(people, person, folder, "Everybody Dance Now yml", bodies)


def read_named(folder: Path, names: list[str], person: str = "largest") -> PoseFiles:
    """The poses of frames by their names: `<name>_keypoints.json` or `<name>_pose.yml` each, frames
    without a file having nobody. The folder may hold files of other frames too.

    Raises UserError: no such folder, no file of any of these names, malformed files.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"There is no folder of poses {folder}; give one with yml or JSON files.")
    bodies: set[int] = set()
    found, people = 0, []
    parts = [
        part for part in ("face", "hand_left", "hand_right") if any(folder.glob(f"*_{part}.yml"))
    ]
    for name in names:
        json_file, yml_file = folder / f"{name}{_JSON}", folder / f"{name}{_YML}"
        if yml_file.is_file():
            people.append(_people_of_yml(yml_file, parts, bodies))
        elif json_file.is_file():
            people.append(_people_of_json(json_file, bodies))
        else:
            people.append([])
            continue
        found += 1
    if not found:
        raise UserError(
            f"The folder of poses {folder} holds no file for any frame (such as {names[0]}{_YML} "
            f"or {names[0]}{_JSON}); name its files like the frames."
        )
    return _selected(people, person, folder, "files by name", bodies)


def _selected(
    people: list[list[np.ndarray]], person: str, folder: Path, kind: str, bodies: set[int]
) -> PoseFiles:
    keypoints, reasons = follow(people, person, str(folder))
    estimator = {
        "name": kind,
        "files": len(people),
        "body_points": sorted(bodies),
        "most_people": max(map(len, people)),
        "person": person,
    }
    return PoseFiles(keypoints, reasons, estimator)


def _in_order(folder: Path, suffix: str, frame_count: int | None) -> list[Path]:
    """The files of the frames, by the number at the end of their names, without holes in it."""
    files = sorted(folder.glob(f"*{suffix}"))
    if not files:
        raise UserError(f"The folder of poses {folder} holds no *{suffix} files; give another.")
    matches = [re.fullmatch(r"(.*?)(\d+)", file.name.removesuffix(suffix)) for file in files]
    if all(matches):
        names = {match[1] for match in matches}
        if len(names) > 1:
            first, second, *_ = sorted(names)
            raise UserError(
                f"The folder of poses {folder} holds more than one sequence ({first}*{suffix} and "
                f"{second}*{suffix}); give each its own folder."
            )
        numbers = [int(match[2]) for match in matches]
        order = np.argsort(numbers, kind="stable")
        files = [files[i] for i in order]
        numbers = np.array(numbers)[order]
        steps, counts = np.unique(np.diff(numbers), return_counts=True)
        # Files may be numbered in steps, as the published sample data is; the commonest one counts.
        step = steps[counts.argmax()] if len(steps) else 1
        wrong = np.flatnonzero(np.diff(numbers) != step)
        if len(wrong):
            before = files[wrong[0]].name
            after = files[wrong[0] + 1].name
            raise UserError(
                f"The folder of poses {folder} has a hole: between {before} and {after} the file "
                f"of number {numbers[wrong[0]] + step} is missing; a frame without a person needs "
                'a file too (with "people": []).'
            )
    if frame_count is not None and len(files) != frame_count:
        raise UserError(
            f"The folder of poses {folder} has {len(files)} frames and the video has "
            f"{frame_count}; give exactly one pose file for each frame of the video."
        )
    return files


def _people_of_json(file: Path, bodies: set[int]) -> list[np.ndarray]:
    try:
        value = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(
            f"The pose file {file} is no readable JSON ({error}); write it again with OpenPose."
        ) from error
    people = value.get("people") if isinstance(value, dict) else None
    if not isinstance(people, list) or not all(isinstance(one, dict) for one in people):
        raise UserError(
            f'The pose file {file} is not OpenPose\'s: it has no list "people" of objects; write '
            "it again with OpenPose's --write_json."
        )
    poses = []
    for number, one in enumerate(people):
        place = f"person {number} of the pose file {file}"
        parts = {}
        for part in ("pose", "face", "hand_left", "hand_right"):
            # The first versions of OpenPose did not say "_2d".
            key = f"{part}_keypoints_2d"
            points = one.get(key, one.get(f"{part}_keypoints", []))
            parts[part] = _points(points, f'"{key}" of {place}')
        pose = _compose(parts, place, bodies)
        if pose is not None:
            poses.append(pose)
    return poses


def _points(values: object, place: str) -> np.ndarray | None:
    """A flat list of x, y, confidence -> [n, 3], or None for an empty one."""
    if not isinstance(values, list) or not all(
        isinstance(v, int | float) and not isinstance(v, bool) for v in values
    ):
        raise UserError(f"The points in {place} are no list of numbers; write the file again.")
    if not values:
        return None
    if len(values) % 3:
        raise UserError(
            f"The points in {place} are {len(values)} numbers, not threes of x, y, confidence; "
            "write the file again."
        )
    points = np.array(values, np.float32).reshape(-1, 3)
    if not np.isfinite(points).all():
        raise UserError(f"The points in {place} are not all finite numbers; write the file again.")
    return points


def _compose(
    parts: dict[str, np.ndarray | None], place: str, bodies: set[int]
) -> np.ndarray | None:
    """The parts of one person -> [137, 3], or None where nothing of it was observed."""
    body = parts["pose"]
    if body is None:
        body = np.zeros((25, 3), np.float32)
    elif len(body) not in _FROM_BODY:
        raise UserError(
            f"The body of {place} has {len(body)} points; bodies of 25 (BODY_25), 18 (COCO) and 23 "
            "points can be read."
        )
    else:
        bodies.add(len(body))
    for part, count in (("face", 70), ("hand_left", 21), ("hand_right", 21)):
        if parts[part] is not None and len(parts[part]) != count:
            raise UserError(
                f"The part {part} of {place} has {len(parts[part])} points instead of {count}; "
                "write the file again."
            )
    pose = _FROM_BODY[len(body)](body, parts["face"], parts["hand_left"], parts["hand_right"])
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
        pose = _compose(person, f"person {number} of the pose file {file}", bodies)
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
    points = keypoints[keypoints[..., 2] > 0]
    if not len(points):
        return
    x, y = points[:, 0], points[:, 1]
    height, width = size
    if max(np.abs(x).max(), np.abs(y).max()) <= 2 and min(size) > 8:
        raise UserError(
            f"The poses in {folder} lie between {points[:, :2].min():.2f} and "
            f"{points[:, :2].max():.2f}: shares of the frame, not pixels; write them with "
            "OpenPose's --keypoint_scale 0."
        )
    outside = (x < 0) | (y < 0) | (x > width) | (y > height)
    if outside.mean() > 0.5:
        raise UserError(
            f"The poses in {folder} lie mostly outside the video's {width}x{height} pixels (up to "
            f"{x.max():.0f}, {y.max():.0f}); give the poses of this video, in its pixels."
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
