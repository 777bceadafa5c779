"""What each repair of the poses does: on real clips, on drawn dancers, and to a network.

    python -m benchmarks.pose_ablation VIDEO [VIDEO ...] --train 2 --train-video VIDEO --save

Real clips tell how much the poses tremble before and after, what was repaired, and how far a filter
lags behind and moves the poses. They do not tell what is right. For that there are drawn dancers,
whose joints are known, to which noise, exchanged sides, joints far away and missing joints are
added. --train trains a small network on the same clip once with each kind of poses, each for as
many steps as the first made in that time, and measures it on the held-out end. Runs are kept in
--out; the same command resumes them. Lengths are in thousandths of the person's size (the larger
side of the box around the body, median over the clip).
"""

import contextlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from benchmarks.reporting import markdown, parse, report, sentences, table
from motion_jax.cli.signals import answered
from motion_jax.errors import UserError
from motion_jax.pose.mend import mend
from motion_jax.pose.sides import moved_with
from motion_jax.pose.skeleton import BODY, INDEX
from motion_jax.pose.smooth import fill_gaps, person_size, smooth_track
from motion_jax.pose.track import PoseTrack
from motion_jax.pose.zero_lag import zero_lag_track
from motion_jax.progress import say

FILTERS = {
    "one-euro, forwards (live)": lambda track: smooth_track(track, zero_phase=False),
    "one-euro, both ways": smooth_track,
    "zero-lag": zero_lag_track,
}
# What the drawn dancers' poses get: one step after the other.
STEPS = {
    "as they come": {"swaps": False, "bones": False, "max_gap": 0, "filter": None},
    "+ swaps": {"bones": False, "max_gap": 0, "filter": None},
    "+ bones": {"max_gap": 0, "filter": None},
    "+ gaps filled": {"filter": None},
    "+ one-euro": {},
    "+ zero-lag (instead)": {"filter": "zero-lag"},
    "one-euro alone": {"swaps": False, "bones": False},
    "zero-lag alone": {"swaps": False, "bones": False, "filter": "zero-lag"},
}
# Options of prepare for each network.
POSES = {
    "as estimated": {"swaps": False, "bones": False, "smooth": False},
    "mended, one-euro": {},
    "mended, zero-lag": {"filter": "zero-lag"},
}
METRICS = ("psnr", "ssim", "body_psnr", "body_ssim")

CLIPS = {
    "clip": "clip",
    "frames": "frames",
    "swapped": "frames with sides put right (arms, legs)",
    "dropped": "joints of impossible bones",
    "filled": "keypoints filled",
    "raw": "jitter as estimated",
    "repaired": "repaired",
    "one_euro": "and one-euro",
    "zero_lag": "and zero-lag",
}
LAG = {
    "filter": "filter",
    "lag_ms": "lag, ms",
    "distance": "moves joints by, mean",
    "far": "99 %",
    "jitter": "jitter left, %",
}
DRAWN = {"step": "poses", "error": "error, mean", "far": "99 %", "missing": "joints missing, %"}
RETARGET = {
    "from_to": "motion of, body of",
    "method": "--normalize",
    "error": "error, mean",
    "wrists": "wrists",
    "bones": "bones too long or short by, %",
    "feet": "standing feet off the floor",
}
QUALITY = {
    "poses": "poses",
    "steps": "steps",
    "psnr": "PSNR",
    "ssim": "SSIM",
    "body_psnr": "body PSNR",
    "body_ssim": "body SSIM",
}


@dataclass(frozen=True)
class Options:
    """Pose repairs one by one: jitter, lag, error, held-out quality."""

    videos: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Real clips of a person."""
    frames: int = 500
    """Frames of each drawn dance."""
    seeds: int = 3
    """Drawn dances of each dancer."""
    train: float = 0.0
    """Minutes for the first network; 0: train none."""
    train_video: Path | None = None
    """The clip that the networks learn."""
    size: int = 64
    """Width and height of its pictures in pixels."""
    held_out: int = 160
    """Held-out frames to measure on, at most."""
    out: Path = Path("out/pose_ablation")
    """Folder of the datasets and the runs."""
    json: bool = False
    """Print the result as JSON (nothing else goes to standard output)."""
    save: bool = False
    """Keep the result in benchmarks/results."""


def measure(options: Options) -> dict[str, Any]:
    """Raises UserError for an option that makes no sense."""
    if options.frames < 50 or options.seeds < 1 or options.train < 0:
        raise UserError("--frames must be at least 50, --seeds 1 and --train 0 or more.")
    if options.train and options.train_video is None:
        raise UserError("--train needs the clip to train on: name it with --train-video.")
    tracks = [_estimated(path) for path in options.videos]
    clips = [clip(path.name, track) for path, track in zip(options.videos, tracks, strict=True)]
    return {
        "frames": options.frames,
        "seeds": options.seeds,
        "clips": clips,
        "filters": filters(tracks) if tracks else [],
        "drawn": drawn(options.frames, options.seeds),
        "retarget": retarget(options.frames, options.seeds),
        "quality": quality(options) if options.train else [],
        "train_minutes": options.train,
    }


def _estimated(path: Path) -> PoseTrack:
    from motion_jax.pose.estimate import estimate_cached

    return estimate_cached(path)


def present(track: PoseTrack) -> np.ndarray:
    """bool [N, 25]: body joints that a usable frame shows."""
    return (track.keypoints[:, BODY, 2] > 0) & track.found[:, None]


def jitter(track: PoseTrack, where: np.ndarray, size: float) -> float:
    """Mean length of the second difference of the joints' places, in thousandths of `size`, over
    all three frames in a row in which a joint is present and `where` [N, 25] is true."""
    seen = where & present(track)
    seen = seen[2:] & seen[1:-1] & seen[:-2]
    second = np.diff(track.keypoints[:, BODY, :2].astype(np.float64), 2, axis=0)
    return float(1e3 * np.linalg.norm(second, axis=-1)[seen].mean() / size)


def clip(name: str, track: PoseTrack) -> dict[str, Any]:
    """What is repaired in one clip, and its jitter before and after."""
    size, where = person_size(track.keypoints), present(track)
    repaired, repairs = mend(track, filter=None)
    mended = {name: mend(track, filter=name)[0] for name in ("one-euro", "zero-lag")}
    return {
        "clip": name,
        "frames": len(track),
        "swapped": f"{repairs.swapped['arms']}, {repairs.swapped['legs']}",
        "dropped": sum(repairs.dropped.values()),
        "filled": repairs.filled,
        "raw": jitter(track, where, size),
        "repaired": jitter(repaired, where, size),
        "one_euro": jitter(mended["one-euro"], where, size),
        "zero_lag": jitter(mended["zero-lag"], where, size),
    }


def filters(tracks: Sequence[PoseTrack]) -> list[dict[str, Any]]:
    """Lag, distance and jitter of each filter against its input, the repaired poses."""
    rows = []
    inputs = [fill_gaps(mend(track, filter=None)[0], 5) for track in tracks]
    for name, run in FILTERS.items():
        lags, distances, left = [], [], []
        for track in inputs:
            size, where, result = person_size(track.keypoints), present(track), run(track)
            moved = np.linalg.norm(_bodies(result) - _bodies(track), axis=-1)[where] / size
            distances.append(1e3 * moved)
            lags.append(lag(track, result))
            left.append(100 * jitter(result, where, size) / jitter(track, where, size))
        every = np.concatenate(distances)
        rows.append(
            {
                "filter": name,
                "lag_ms": round(float(np.mean(lags)), 1),
                "distance": float(every.mean()),
                "far": float(np.quantile(every, 0.99)),
                "jitter": float(np.mean(left)),
            }
        )
    return rows


def _bodies(track: PoseTrack) -> np.ndarray:
    return track.keypoints[:, BODY, :2].astype(np.float64)


def lag(track: PoseTrack, result: PoseTrack) -> float:
    """Milliseconds by which `result` lags behind `track`: the least-squares fit of their difference
    to the speed."""
    seen = present(track)
    seen = seen[2:] & seen[1:-1] & seen[:-2]
    times = np.asarray(track.times)
    body = _bodies(track)
    speed = ((body[2:] - body[:-2]) / (times[2:] - times[:-2])[:, None, None])[seen]
    behind = (body - _bodies(result))[1:-1][seen]
    return float(1e3 * (behind * speed).sum() / (speed**2).sum())


def spoil(truth: np.ndarray, seed: int) -> np.ndarray:
    """[N, 137, 3] keypoints with an estimator's mistakes: 0.4 % noise; every 20 to 60 frames the
    arms or legs (all, from the middle on, or their ends) exchanged for 1 to 15 frames; 1 % of
    elbows, wrists, knees and ankles 0.25 to 0.5 person sizes away; each joint lost for 1 to 5
    frames every 50 to 150."""
    rng = np.random.default_rng(seed)
    size = person_size(truth)
    wrong = truth.copy()
    wrong[..., :2] += rng.normal(0, 0.004 * size, truth[..., :2].shape)
    for limb in (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")):
        first = int(rng.integers(5, 30))
        while first < len(wrong) - 20:
            length = int(rng.integers(1, 16))
            for name in limb[int(rng.integers(3)) :]:
                left, right = moved_with(name)
                part = wrong[first : first + length]
                part[:, left], part[:, right] = part[:, right], part[:, left]
            first += length + int(rng.integers(20, 61))
    for name in ("elbow", "wrist", "knee", "ankle"):
        for side in ("left", "right"):
            frames = rng.random(len(wrong)) < 0.01
            angle = rng.uniform(0, 2 * np.pi, len(wrong))
            away = rng.uniform(0.25, 0.5, len(wrong)) * size * frames
            wrong[:, INDEX[f"{side}_{name}"], 0] += away * np.cos(angle)
            wrong[:, INDEX[f"{side}_{name}"], 1] += away * np.sin(angle)
    for joint in range(BODY.stop):
        first = int(rng.integers(0, 100))
        while first < len(wrong):
            length = int(rng.integers(1, 6))
            wrong[first : first + length, joint] = 0
            first += length + int(rng.integers(50, 151))
    wrong[truth[..., 2] <= 0] = 0
    return wrong


def _dances(frames: int, seeds: int) -> list[np.ndarray]:
    from motion_jax import puppet

    return [
        puppet.pose(character, puppet.dance(frames, 25, seed), 256, 256)
        for character in puppet.CHARACTERS.values()
        for seed in range(seeds)
    ]


def _track(keypoints: np.ndarray) -> PoseTrack:
    times = np.arange(len(keypoints)) / 25
    return PoseTrack(keypoints, times, (256, 256), ("",) * len(keypoints))


def drawn(frames: int, seeds: int) -> list[dict[str, Any]]:
    """The distance from the true joints after each step of the repairs."""
    dances = _dances(frames, seeds)
    spoiled = [spoil(truth, seed) for seed, truth in enumerate(dances)]
    rows = []
    for name, options in STEPS.items():
        errors, missing, there = [], 0, 0
        for truth, wrong in zip(dances, spoiled, strict=True):
            found, _ = mend(_track(wrong), **options)
            seen, known = present(found), truth[:, BODY, 2] > 0
            off = np.linalg.norm(_bodies(found) - truth[:, BODY, :2], axis=-1)[seen & known]
            errors.append(1e3 * off / person_size(truth))
            missing, there = missing + int((known & ~seen).sum()), there + int(known.sum())
        every = np.concatenate(errors)
        rows.append(
            {
                "step": name,
                "error": float(every.mean()),
                "far": float(np.quantile(every, 0.99)),
                "missing": round(100 * missing / there, 2),
            }
        )
    return rows


_BONES = [
    (INDEX[a if a in INDEX else f"{side}_{a}"], INDEX[f"{side}_{b}"])
    for side in ("left", "right")
    for a, b in (
        ("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"),
        ("neck", "shoulder"), ("mid_hip", "hip"), ("ankle", "big_toe"),
    )
] + [(INDEX["mid_hip"], INDEX["neck"])]  # fmt: skip


def retarget(frames: int, seeds: int) -> list[dict[str, Any]]:
    """One drawn dancer's motion on the other's body, beside the truth, by both methods."""
    from motion_jax import puppet
    from motion_jax.pose.normalize import fit_target, normalize

    rows = []
    ankles = [INDEX["left_ankle"], INDEX["right_ankle"]]
    for source, target in (("ada", "ben"), ("ben", "ada")):
        for method in ("global", "limbs"):
            figures = []
            for seed in range(seeds):
                motion = puppet.dance(frames, 25, seed)
                poses, truth = (
                    puppet.pose(puppet.CHARACTERS[name], motion, 256, 256)
                    for name in (source, target)
                )
                size = person_size(truth)
                found = normalize(poses, fit_target(poses), fit_target(truth), method)
                off = (found - truth)[:, BODY, :2]
                away = 1e3 * np.linalg.norm(off, axis=-1) / size
                ratios = [_length(found, bone) / _length(truth, bone) for bone in _BONES]
                standing = poses[:, ankles, 1] > poses[:, ankles, 1].max() - 0.5
                figures.append(
                    {
                        "error": away.mean(),
                        "wrists": away[:, [INDEX["left_wrist"], INDEX["right_wrist"]]].mean(),
                        "bones": 100 * np.abs(np.array(ratios) - 1).mean(),
                        "feet": 1e3 * np.abs(off[:, ankles, 1][standing]).mean() / size,
                    }
                )
            means = {key: round(float(np.mean([f[key] for f in figures])), 2) for key in figures[0]}
            rows.append({"from_to": f"{source}, {target}", "method": method, **means})
    return rows


def _length(poses: np.ndarray, bone: tuple[int, int]) -> float:
    return float(np.median(np.linalg.norm(poses[:, bone[0], :2] - poses[:, bone[1], :2], axis=-1)))


def network(size: int) -> Any:
    """The config `two_cores` with its global stage alone, at this size, ended by steps or the
    clock."""
    from motion_jax.config import load_config
    from motion_jax.data.augment import AugmentConfig

    config = load_config("two_cores")
    recipe = config.recipe
    stage = replace(
        recipe.global_stage, steps=100_000, decay_steps=0, height=size, width=size, batch_size=2
    )
    recipe = replace(
        recipe,
        global_stage=stage,
        local_stage=replace(recipe.local_stage, steps=0),
        face_stage=replace(recipe.face_stage, steps=0),
        averaging=0.99,
    )
    return replace(config, recipe=recipe, data=replace(config.data, augment=AugmentConfig()))


def quality(options: Options) -> list[dict[str, Any]]:
    """Held-out figures of a network for each kind of poses."""
    import jax

    from motion_jax.data.prepare import prepare
    from motion_jax.data.prepare_options import PrepareOptions
    from motion_jax.evaluate.evaluate import evaluate
    from motion_jax.evaluate.options import EvaluateOptions
    from motion_jax.train.checkpoint import newest_record
    from motion_jax.train.loop import train

    rows, steps, config = [], None, network(options.size)
    for name, changes in POSES.items():
        place = name.replace(", ", "_").replace(" ", "_")
        data, folder = options.out / "datasets" / place, options.out / "runs" / place
        size = f"{options.size}x{options.size}"
        prepare(PrepareOptions(videos=(options.train_video,), out=data, size=size, **changes))
        say(f"Poses {name}: {folder}")
        limits = {"global": 60 * options.train}
        if steps is not None:
            # As many steps as the first: on a machine that is busy now and then, time is not equal.
            stage = replace(config.recipe.global_stage, steps=steps)
            config = replace(config, recipe=replace(config.recipe, global_stage=stage))
            limits = None
        with answered():
            train(config, data, folder, command="benchmarks.pose_ablation", limits=limits)
        record = newest_record(folder / "checkpoints")
        steps = record["step"]
        measured = folder / "evaluation" / "evaluation.json"
        if not measured.is_file() or json.loads(measured.read_text())["step"] != steps:
            with contextlib.redirect_stdout(sys.stderr):
                evaluate(EvaluateOptions(run=folder, reestimate="no", max_frames=options.held_out))
        found = json.loads(measured.read_text())
        jax.clear_caches()  # the programs of a run are of no use to the next
        method = found["methods"]["frame_by_frame"]
        rows.append(
            {
                "poses": name,
                "steps": steps,
                "seconds": sum(record.get("step_seconds", {}).values()),
                "frames": found["frames"],
                "size": size,
                "recurrent": {key: found["methods"]["trained"][key] for key in METRICS},
                **{key: method[key] for key in METRICS},
            }
        )
    return rows


def section(result: dict[str, Any]) -> str:
    """For docs/performance.md."""
    parts = ["Lengths are in thousandths of the person's size."]
    if result["clips"]:
        parts += [
            "Real clips, poses by MediaPipe. Jitter is the mean second difference of the body's "
            "joints from frame to frame:",
            markdown(result["clips"], CLIPS),
            "The filters on these clips, against their input:",
            markdown(result["filters"], LAG),
        ]
    parts += [
        f"Drawn dancers ({result['seeds']} dances of {result['frames']} frames each) with noise, "
        "exchanged sides, joints far away and losses put in: distance from the truth:",
        markdown(result["drawn"], DRAWN),
        "A dancer's motion on the body of the other, who is taller or smaller, beside the truth:",
        markdown(result["retarget"], RETARGET),
    ]
    if result["quality"]:
        first = result["quality"][0]
        parts += [
            f"Networks trained on one clip ({first['size']}, the first for "
            f"{result['train_minutes']:g} minutes of steps, the others for as many steps), on "
            f"{first['frames']} held-out frames, frame by frame:",
            markdown(quality_rows(result), QUALITY),
        ]
    return "\n\n".join(parts)


def quality_rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Two digits for decibels, three for the SSIM."""
    return [
        row | {key: f"{row[key]:.3f}" if "ssim" in key else f"{row[key]:.2f}" for key in METRICS}
        for row in result["quality"]
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    with sentences("pose_ablation"):
        options = parse(Options, "pose_ablation", arguments)
        result = measure(options)
        tables = [
            table(rows, columns, title)
            for rows, columns, title in (
                (result["clips"], CLIPS, "Real clips"),
                (result["filters"], LAG, "Filters on them"),
                (result["drawn"], DRAWN, "Drawn dancers"),
                (result["retarget"], RETARGET, "Another's body"),
                (quality_rows(result), QUALITY, "Held-out quality"),
            )
            if rows
        ]
        report(
            "pose_ablation",
            result,
            tables,
            as_json=options.json,
            keep=options.save,
            arguments=arguments,
        )


if __name__ == "__main__":
    main()
