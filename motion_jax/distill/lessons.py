"""What a student learns from: a dataset of the teacher's pictures, of the poses that were filmed
and of poses that nobody filmed, beside the real frames.

The held-out frames are those of the teacher, real, so that both are measured on the same. Of a
teacher that knows several people, of whom one was chosen, all frames and poses are that person's.
Of a mixture there are no real frames: the poses are those of the person of the largest share, to
whose body poses are fitted, and all pictures, held out or not, are the teacher's.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from motion_jax import files
from motion_jax.data import records
from motion_jax.data.info import DatasetInfo
from motion_jax.data.pairs import stretches
from motion_jax.data.records import PoseFrames
from motion_jax.errors import UserError, option
from motion_jax.pose.face import face_boxes
from motion_jax.pose.joints import limits, perturbed
from motion_jax.pose.skeleton import INDEX, LEFT_HAND, RIGHT_HAND
from motion_jax.progress import track
from motion_jax.train.run import Run

# Each arm: the shoulder that it hangs from, and what moves with it.
_ARMS = (
    (INDEX["right_shoulder"], [INDEX["right_elbow"], INDEX["right_wrist"]], RIGHT_HAND),
    (INDEX["left_shoulder"], [INDEX["left_elbow"], INDEX["left_wrist"]], LEFT_HAND),
)


def with_arms_of(
    poses: Float[np.ndarray, "n 137 3"], others: Float[np.ndarray, "n 137 3"]
) -> Float32[np.ndarray, "n 137 3"]:
    """Poses with the arms and hands of other ones, hung at their own shoulders. Both are of one
    person and real, so that every joint stays within what it can do. An arm whose shoulder one of
    them does not show stays."""
    mixed = np.array(poses, np.float32)
    for shoulder, joints, hand in _ARMS:
        arm = [*joints, *range(hand.start, hand.stop)]
        both = (poses[:, shoulder, 2] > 0) & (others[:, shoulder, 2] > 0)
        shift = (poses[:, shoulder, :2] - others[:, shoulder, :2])[:, None]
        hung = others[:, arm].copy()
        hung[..., :2] += shift
        hung = np.where(hung[..., 2:] > 0, hung, 0)
        mixed[:, arm] = np.where(both[:, None, None], hung, mixed[:, arm])
    return mixed


def poses_to_draw(
    keypoints: Float[np.ndarray, "n 137 3"],
    parts: list[tuple[int, int]],
    rounds: int,
    seed: int,
    degrees: float = 0.0,
) -> list[Float32[np.ndarray, "_ 137 3"]]:
    """The training parts (first record, count) as they are, and `rounds` times with the arms of the
    same part at another time, in order, so that they move as arms do, and all joints turned by so
    many degrees within their limits (joints.py)."""
    random = np.random.default_rng(seed)
    within = limits(np.concatenate([keypoints[a : a + n] for a, n in parts]))
    found = [np.asarray(keypoints[first : first + count], np.float32) for first, count in parts]
    for _ in range(rounds):
        for first, count in parts:
            poses = keypoints[first : first + count]
            away = int(random.integers(1, max(2, count)))
            mixed = with_arms_of(poses, np.roll(poses, away, axis=0))
            found.append(perturbed(mixed, within, degrees, random) if degrees else mixed)
    return found


def write_lessons(
    folder: Path,
    teacher: Run,
    dataset: PoseFrames,
    rounds: int,
    seed: int,
    degrees: float = 0.0,
) -> Path:
    """The dataset, in a folder of its own; one that is there already is taken as it is.

    Raises UserError for a dataset of another size than the teacher's pictures, or without
    keypoints, and where another teacher's lessons are there.
    """
    whose = f"distilled from {teacher.name}"
    if records.is_dataset(folder):
        known = records.open_dataset(folder).info.sources[0]["file"]
        if known != whose:
            raise UserError(
                f"{folder} holds lessons that were {known}, and the teacher is {teacher.name} now; "
                f"name another {option('run')}, or remove that folder."
            )
        return folder
    if dataset.size != teacher.size or teacher.dataset.get("crop"):
        raise UserError(
            f"The dataset {dataset.folder} has frames of {dataset.size[1]}x{dataset.size[0]}, the "
            f"teacher makes {teacher.size[1]}x{teacher.size[0]}: {option('teacher')} takes runs "
            "whose last stage has the dataset's size."
        )
    if not dataset.has_keypoints or dataset.info.pose_pictures:
        raise UserError(
            f"The dataset {dataset.folder} has poses as pictures, which cannot be mixed; "
            f"{option('teacher')} takes runs that are driven by keypoints."
        )
    holdout = teacher.config.data.holdout
    real, held = (
        stretches(dataset, holdout, part, person=teacher.person) for part in ("train", "heldout")
    )
    keypoints = dataset.keypoints()
    drawn = poses_to_draw(keypoints, real, rounds, seed, degrees)
    kept, first_held = real + held, len(real)
    if teacher.mixture:
        kept, first_held = [], len(drawn)
        drawn += [keypoints[first : first + count] for first, count in held]
    lengths = [count for _, count in kept] + [len(poses) for poses in drawn]
    partial = files_beside(folder)
    files.remove_tree(partial)
    with records.ShardWriter(
        records.shard_path(partial, 0, 1), *dataset.size, dataset.info.picture
    ) as writer:
        total, clips = sum(lengths), []
        begin = 0
        for number, length in enumerate(lengths):
            clips.append((number, 0, begin, length))
            begin += length
        examples = _examples(teacher, dataset, kept, drawn)
        for example in track(examples, "The teacher draws", total):
            writer.write(example)
    info = DatasetInfo(
        *dataset.size,
        clips=tuple(clips),
        sources=({"file": whose},),
        picture=dataset.info.picture,
        held_out=tuple(range(first_held, first_held + len(held))),
        options={"made_by": "distill"},
    )
    records.finish_dataset(partial, info, [total])
    partial.rename(folder)
    return folder


def files_beside(folder: Path) -> Path:
    """Where a folder grows until it is whole."""
    return folder.with_name(f".{folder.name}.partial")


def _examples(
    teacher: Run,
    dataset: PoseFrames,
    parts: list[tuple[int, int]],
    drawn: list[Float32[np.ndarray, "_ 137 3"]],
) -> Iterator[dict[str, Any]]:
    clip = 0
    for first, count in parts:
        for i in range(count):
            kept = dataset.encoded(first + i)
            yield kept | {"clip": clip, "index": i}
        clip += 1
    times = [dataset.encoded(record)["time"] for record in range(min(2, len(dataset)))]
    interval = float(times[1] - times[0]) if len(times) == 2 and times[1] > times[0] else 0.04
    synthesizer = teacher.synthesizer(chunk=16)
    for poses in drawn:
        synthesizer.reset()
        boxes = face_boxes(poses, *dataset.size)
        for i, (pose, box) in enumerate(zip(poses, boxes, strict=True)):
            if not (pose[:, 2] > 0).any():
                synthesizer.reset()
            seen = teacher.seen({"keypoints": pose[None], "face_boxes": box[None]})
            yield {
                "frame": synthesizer.feed(seen)[0],
                "keypoints": pose,
                "face_box": box,
                "clip": clip,
                "index": i,
                "time": i * interval,
            }
        clip += 1
