"""`motion-jax demo photo`: a photo moves like a film, with people who are all drawn.

Hundreds of faces and dancers, each another person, are drawn and a First Order Motion Model learns
from them, from nothing. Then people whom it never saw: their films are made again from the first
frame, and a photo of one is moved by the film of another, beside that person really drawn so.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from motion_jax import files
from motion_jax.config import load_config
from motion_jax.data import records
from motion_jax.data.info import DatasetInfo, SourceEntry
from motion_jax.demos.options import DemoOptions
from motion_jax.evaluate.measure import measure
from motion_jax.evaluate.options import EvaluateOptions
from motion_jax.metrics.frames import body_boxes, frame_scores
from motion_jax.pose.face import face_boxes
from motion_jax.progress import say
from motion_jax.provenance.options import Provenance
from motion_jax.puppet import crowd
from motion_jax.puppet.motion import Motion
from motion_jax.report import html, montage
from motion_jax.train.loop import train
from motion_jax.train.run import load_run
from motion_jax.transfer.animator import Animator, drawn
from motion_jax.transfer.film import RESULT, Film, synthetic_tags
from motion_jax.workers import advance, run_jobs, worker_count

CONFIG = "demo_photo"
SIZE = 64
# People to learn from, and people to be tried on; half of them faces, half dancers.
PEOPLE, HELD_OUT = 400, 24
# Pictures of a person: few and far apart to learn from, a film to be tried on.
FRAMES, FPS = 10, 1.5
FILM_FRAMES, FILM_FPS = 24, 12.5
# Of the held-out people: who is moved (photo) by whom (film), two of each framing.
PAIRS = ((PEOPLE, PEOPLE + 2), (PEOPLE + 4, PEOPLE + 6), (PEOPLE + 1, PEOPLE + 3),
         (PEOPLE + 5, PEOPLE + 7))  # fmt: skip
# Columns of the picture of animations.
SHOWN = 8
SHOWN_FIGURES = ("psnr", "ssim", "body_psnr")


@dataclass(frozen=True)
class _Job:
    path: Path
    people: tuple[int, ...]


def demo_photo(options: DemoOptions) -> dict[str, Any]:
    """Runs it; returns the contents of photo.json."""
    out = options.out / "photo"
    files.check_writable(out)
    say(f"1/4  {PEOPLE} drawn people to learn from, {HELD_OUT} to be tried on")
    if not records.is_dataset(out / "dataset"):
        draw_people(out / "dataset", PEOPLE, HELD_OUT)
    say("2/4  Training")
    run = out / "run"
    train(load_config(CONFIG), out / "dataset", run, command="motion-jax demo photo")
    say("3/4  Films of people it never saw, made again from their first frames")
    made_again = measure(EvaluateOptions(run, reestimate="no"))
    say("4/4  Photos of some, moved by films of others")
    moved = animate_pairs(out, run, options.mark)
    result = {
        "made_again": {
            name: {key: figures[key] for key in SHOWN_FIGURES}
            for name, figures in made_again["methods"].items()
        },
        "moved": moved,
        "step": made_again["step"],
    }
    files.write_json(out / "photo.json", result)
    _page(out, result)
    return result


def draw_people(
    folder: Path, people: int, held_out: int, size: int = SIZE, moving: bool = False
) -> None:
    """A dataset of drawn people 0 to people + held_out - 1, a clip each, the last ones held out.

    moving: before cameras that turn and zoom.
    """
    everyone = range(people + held_out)
    workers = worker_count(None)
    # Parts do not depend on the number of processes.
    parts = np.array_split(np.array(everyone), max(1, len(everyone) // 20))
    with files.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    jobs = [
        _Job(records.shard_path(folder, i, len(parts)), tuple(map(int, part)))
        for i, part in enumerate(parts)
    ]
    clips, first = [], 0
    for seed in everyone:
        count = _count(seed, people)
        clips.append((seed, seed, first, count))
        first += count
    run_jobs(_Draw(people, size, moving), jobs, workers, "Drawing people", first)
    lengths = [sum(_count(seed, people) for seed in job.people) for job in jobs]
    info = DatasetInfo(
        height=size,
        width=size,
        clips=tuple(clips),
        sources=tuple(
            SourceEntry(file=crowd.character(seed).name, width=size, height=size)
            for seed in everyone
        ),
        detection={"frames": first, "kept": first, "rejected": {}},
        options={"made_by": "demo photo"},
        held_out=tuple(range(people, people + held_out)),
    )
    records.finish_dataset(folder, info, lengths)


def _count(seed: int, people: int) -> int:
    return FRAMES if seed < people else FILM_FRAMES


def motion_of(take: crowd.Take, seed: int, people: int) -> Motion:
    """What the clip of a person of `draw_people` shows."""
    return take.motion(_count(seed, people), FPS if seed < people else FILM_FPS, seed)


@dataclass(frozen=True)
class _Draw:
    """Draws the people of a job into its shard."""

    people: int
    size: int
    moving: bool

    def __call__(self, job: _Job) -> None:
        with records.ShardWriter(job.path, self.size, self.size) as writer:
            for seed in job.people:
                take, count = crowd.take(seed, self.moving), _count(seed, self.people)
                motion = motion_of(take, seed, self.people)
                keypoints = take.keypoints(motion, self.size)
                boxes = face_boxes(keypoints, self.size, self.size)
                for i, frame in enumerate(take.frames(motion, self.size)):
                    writer.write(
                        {
                            "frame": frame,
                            "keypoints": keypoints[i],
                            "face_box": boxes[i],
                            "clip": seed,
                            "index": i,
                            "time": motion.times[i],
                        }
                    )
                advance(count)


def animate_pairs(out: Path, folder: Path, mark: bool = True) -> dict[str, Any]:
    """Moves a photo of one held-out person by the film of another, for each of PAIRS; writes
    moved.mp4 and moved.png; returns the means over all of them of what `frame_scores` has, of the
    animation and of the photo as it is, against the person drawn in the film's motion."""
    run = load_run(folder)
    scores: dict[str, list] = {"animated": [], "photo": []}
    films, rows = [], []
    for who, by in PAIRS:
        photo, film, truth, keypoints = pair(who, by, run.size[0])
        boxes = body_boxes(keypoints, *run.size)
        animator = Animator(run, photo, "relative", adapt_scale=True)
        points = animator.points(iter(film))
        # The photo shows the pose of the film's first frame, so that there is a true answer.
        animator.begin(points[:1])
        made = np.stack(list(animator.pictures(points)))
        still = np.repeat(photo[None], len(film), axis=0)
        for name, pictures in (("animated", made), ("photo", still)):
            found = frame_scores(truth, pictures, boxes, boxes)
            scores[name].append({k: float(np.mean(v[1:])) for k, v in found.items()})
        beside = drawn(photo, animator.photo_points.value[0], 3)
        films.append(
            [
                [drawn(film[i], points.value[i], 3), beside, *map(_large, (made[i], truth[i]))]
                for i in range(len(film))
            ]
        )
        chosen = np.linspace(0, len(film) - 1, SHOWN).round().astype(int)
        for pictures in (film, made, truth):
            rows += [_large(photo if pictures is made else pictures[0])]
            rows += [_large(pictures[i]) for i in chosen]
    with files.atomic_path(out / "moved.png") as path:
        Image.fromarray(montage.grid(rows, SHOWN + 1)).save(path, "PNG")
    comment = "AI-generated, synthetic: this picture was made by motion_jax, it is not a recording."
    tags = synthetic_tags("drawn people", comment, Path("drawn people"))
    with Film(out / "moved.mp4", tags, provenance=Provenance.of(mark)) as movie:
        for i in range(FILM_FRAMES):
            labels = ["film", "photo", RESULT, "true answer"]
            columns = [montage.side_by_side(shown[i], labels) for shown in films]
            movie.add(np.concatenate(columns, axis=0), i / FILM_FPS)
    return {
        method: {name: float(np.mean([each[name] for each in found])) for name in SHOWN_FIGURES}
        for method, found in scores.items()
    }


def pair(
    who: int, by: int, size: int
) -> tuple[
    UInt8[np.ndarray, "h w 3"],
    UInt8[np.ndarray, "n h w 3"],
    UInt8[np.ndarray, "n h w 3"],
    Float32[np.ndarray, "n 137 3"],
]:
    """(a photo of one person, a film of another, the one person in the film's motion, and its
    joints)."""
    of_photo, of_film = crowd.take(who), crowd.take(by)
    motion = of_film.motion(FILM_FRAMES, FILM_FPS, by)
    truth = of_photo.frames(motion, size)
    return truth[0], of_film.frames(motion, size), truth, of_photo.keypoints(motion, size)


def _large(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "_ _ 3"]:
    return montage.enlarge(picture, 3 * len(picture))


def _rows(figures: dict[str, dict[str, float]]) -> Iterator[list[Any]]:
    for name, found in figures.items():
        yield [name.replace("_", " "), *(found[figure] for figure in SHOWN_FIGURES)]


def _page(out: Path, result: dict[str, Any]) -> None:
    head = ["", "PSNR", "SSIM", "PSNR of the person"]
    better = dict.fromkeys((1, 2, 3), "max")
    sections = [
        html.section(
            "Photos moved by films of others",
            html.paragraph(
                "Nobody of them was in training. In each third row the person of the photo is "
                "really drawn in the film's motion."
            ),
            html.table(head, list(_rows(result["moved"])), best=better),
            html.video("moved.mp4", "film, photo, result, true answer"),
            html.image(out / "moved.png", "film; photo and results; true answers"),
        ),
        html.section(
            "Films made again from their first frames",
            html.table(head, list(_rows(result["made_again"])), best=better),
            "<p>" + html.link("run/evaluation/index.html", "the evaluation") + "</p>",
        ),
    ]
    files.write_text(out / "index.html", html.page("Demo: photos that move", sections))
    for name, figures in (("made again", "made_again"), ("moved", "moved")):
        parts = [f"{m} {f['psnr']:.2f} dB" for m, f in result[figures].items()]
        say(f"{name}: " + ", ".join(parts))
    say(f"Film: {out / 'moved.mp4'}")
    say(f"Page: {out / 'index.html'}")
