"""A new person from little film: `motion-jax adapt` beside training from nothing.

    python -m benchmarks.adapt [--save]

A base is trained on a crowd of drawn people, and on filmed ones with --base-film (config
many_people, which tells them apart). Then, for films of several lengths of people that are none of
them (one who is drawn, and with --film filmed ones): the base is adapted, and the same networks are
trained from nothing, for the same steps and for a multiple of them. The drawn person is measured on
a dance that none of the films shows, with its true joints, against the person really drawn in it;
filmed people on the last fifth of their films, of which nothing is learnt. "person" is PSNR within
the person's box.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.reporting import in_one_table, markdown, place_to_work
from motion_jax.errors import UserError
from motion_jax.progress import say

FPS, TEST_FRAMES = 25, 75
# Of dances: the films' and the one that is asked for; and of the crowd's people.
FILM_DANCE, TEST_DANCE, CROWD = 1000, 2000, 7000
# Of a film, in its last part: what is measured.
TESTED = 0.2
COLUMNS = {
    "who": "new person",
    "seconds": "film, s",
    "way": "how",
    "steps": "steps",
    "minutes": "minutes of steps",
    "psnr": "PSNR",
    "person": "PSNR, person",
    "ssim": "SSIM",
}


@dataclass(frozen=True)
class Options:
    """A new person from little film: adapt beside training from nothing."""

    people: int = 200
    """Drawn people that the base is trained on."""
    each: float = 2.0
    """Seconds of film of each of them."""
    size: int = 128
    """Side of the pictures in pixels."""
    width: int | None = None
    """Channels of the generator at its full size (default: the config's)."""
    base_steps: int = 6000
    """Training steps of the base."""
    steps: int = 600
    """Of adapt, and of the shorter training from nothing."""
    longer: int = 6
    """How many times as many the longer training from nothing has."""
    seconds: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0)
    """Lengths of the new person's film; of a filmed one those that are there."""
    base_film: tuple[Path, ...] = ()
    """Datasets of filmed people (motion-jax prepare, square pictures) that the base is trained on,
    too."""
    film: tuple[Path, ...] = ()
    """Such datasets, each of another new person."""
    keep: Path | None = None
    """Keep datasets and runs here, and use those that are there (default: nothing is kept)."""
    json: bool = False
    """Print the result as JSON, alone."""
    save: bool = False
    """Keep the result in benchmarks/results/, for docs/performance.md."""


@dataclass(frozen=True)
class Film:
    """Somebody's film.

    Attributes:
      frames: uint8 [n, size, size, 3]; points: keypoints float32 [n, 137, 3] in their pixels.
      rate: frames a second.
    """

    name: str
    frames: Any
    points: Any
    rate: float = FPS

    def part(self, rows: Any) -> "Film":
        """Some of its frames."""
        return replace(self, frames=self.frames[rows], points=self.points[rows])


@dataclass(frozen=True)
class Newcomer:
    """A person that the base does not know.

    Attributes:
      film: of so many seconds to learn from; None where there is not so much.
      test: what is asked for.
    """

    name: str
    film: Callable[[float], Film | None]
    test: Film


def measure(options: Options) -> dict[str, Any]:
    """The result; see `main`."""
    if options.people < 1 or options.size % 16 or min(options.seconds, default=0) <= 0:
        raise UserError(
            "--people is at least 1, --size a multiple of 16, and --seconds are lengths above 0."
        )
    keep_programs()
    with place_to_work(options.keep) as folder:
        return _measured(options, folder)


def _measured(options: Options, folder: Path) -> dict[str, Any]:
    from motion_jax import puppet
    from motion_jax.data.identities import ALL
    from motion_jax.puppet.crowd import character
    from motion_jax.train.adapt import adapt
    from motion_jax.train.adapt_options import AdaptOptions
    from motion_jax.train.loop import train

    size, new = options.size, [_drawn_newcomer(options.size)]
    new += [_filmed_newcomer(filmed(each, size)) for each in options.film]
    known = [filmed(each, size) for each in options.base_film]
    if both := {one.name for one in known} & {one.name for one in new}:
        raise UserError(f"--film {', '.join(both)} is in --base-film, too, and would not be new.")
    many, base = folder / "many", folder / "base"
    say(f"Drawing {options.people} people")
    crowd = [character(CROWD + number) for number in range(options.people)]
    dances = [puppet.dance(round(options.each * FPS), FPS, i) for i in range(options.people)]
    known += [drawn(one, dance, size) for one, dance in zip(crowd, dances, strict=True)]
    write(many, known)
    train(config_of(options, options.base_steps, len(known)), many, base)
    rows = []
    lengths = [
        (one, seconds, film)
        for one in new
        for seconds in options.seconds
        if (film := one.film(seconds)) is not None
    ]
    for one, seconds, shown in lengths:
        film = folder / f"film-{one.name}-{seconds:g}"
        write(film, [shown])
        for way, steps in (
            ("adapt", options.steps),
            ("from nothing", options.steps),
            ("from nothing", options.steps * options.longer),
        ):
            run = folder / f"{way.split()[0]}-{one.name}-{steps}-{seconds:g}"
            begin = time.perf_counter()
            if way == "adapt":
                adapt(AdaptOptions(base, film, run, steps))
            else:
                train(config_of(options, steps), film, run)
            rows.append(
                {
                    "who": one.name,
                    "seconds": seconds,
                    "way": way,
                    "steps": steps,
                    "minutes": round(minutes_of(run), 2),
                    "whole_minutes": round((time.perf_counter() - begin) / 60, 2),
                    **scores(run, one.test),
                }
            )
            say(str(rows[-1]))
    first = {**rows[0], "way": "the base itself", "steps": 0, "minutes": 0.0, "seconds": 0.0}
    rows.insert(0, {**first, **scores(base, new[0].test, ALL)})
    return {
        "rows": rows,
        "people": options.people,
        "each": options.each,
        "filmed": [path.name for path in options.base_film],
        "size": f"{size}x{size}",
        "width": config_of(options, 1).recipe.network_size("width"),
        "base_steps": options.base_steps,
        "frames": TEST_FRAMES,
    }


def config_of(options: Options, steps: int, people: int = 0) -> Any:
    """many_people at this size, for so many steps. people: whom it tells apart."""
    from motion_jax.config import load_config

    config = load_config("many_people")
    recipe: Any = config.recipe
    if options.width is not None:
        recipe = recipe.resized({"width": options.width})
    stage = replace(
        recipe.global_stage,
        steps=steps,
        decay_steps=steps // 2,
        height=options.size,
        width=options.size,
    )
    style = replace(recipe.pose_style, stroke=recipe.pose_style.stroke * options.size / 128)
    record = replace(config.record, sample_every=10**6, trace=False)
    return replace(
        config,
        recipe=replace(recipe, global_stage=stage, pose_style=style, identities=people),
        record=record,
        # Nothing is held out: what is measured is another film, or another part of it.
        data=replace(config.data, holdout=0.0),
    )


def drawn(person: Any, dance: Any, size: int) -> Film:
    """A drawn person's film, with the true joints."""
    from motion_jax import puppet

    points = puppet.pose(person, dance, size, size)
    return Film(person.name, puppet.draw(person, dance, size, size), points)


def asked_for(person: Any, size: int) -> Film:
    """A drawn person in the dance that is asked for."""
    from motion_jax import puppet

    return drawn(person, puppet.dance(TEST_FRAMES, FPS, TEST_DANCE), size)


def filmed(folder: Path, size: int) -> Film:
    """The longest clip of a dataset of square pictures, made as large. Raises UserError for another
    one."""
    import cv2
    import numpy as np

    from motion_jax.data.records import open_dataset

    data = open_dataset(folder)
    if data.size[0] != data.size[1] or not data.has_keypoints:
        raise UserError(f"{folder} has no poses, or its pictures are not square.")
    _, source, first, count = max(data.info.clips, key=lambda clip: clip[3])
    rows = range(first, first + count)
    frames = [
        cv2.resize(data[row]["frame"], (size, size), interpolation=cv2.INTER_AREA) for row in rows
    ]
    points = data.keypoints()[first : first + count].copy()
    points[..., :2] *= size / data.size[0]
    entry = data.info.sources[source]
    return Film(Path(entry["file"]).stem, np.stack(frames), points, entry.get("fps", FPS))


def _drawn_newcomer(size: int) -> Newcomer:
    from motion_jax import puppet

    ben = puppet.CHARACTERS["ben"]
    return Newcomer(
        ben.name,
        lambda seconds: drawn(ben, puppet.dance(round(seconds * FPS), FPS, FILM_DANCE), size),
        asked_for(ben, size),
    )


def _filmed_newcomer(film: Film) -> Newcomer:
    import numpy as np

    count = len(film.frames)
    first = round((1 - TESTED) * count)
    rows = np.linspace(first, count - 1, min(TEST_FRAMES, count - first)).round().astype(int)

    def of_length(seconds: float) -> Film | None:
        wanted = round(seconds * film.rate)
        return film.part(slice(0, wanted)) if wanted <= first else None

    return Newcomer(film.name, of_length, film.part(rows))


def write(folder: Path, films: Sequence[Film]) -> None:
    """A dataset of films of one size, a clip each."""
    from motion_jax.data import records
    from motion_jax.data.info import DatasetInfo
    from motion_jax.pose.face import face_boxes

    if (folder / records.METADATA).is_file():
        return
    clips, rows, start = [], [], 0
    size = films[0].frames.shape[1]
    for clip, film in enumerate(films):
        boxes = face_boxes(film.points, size, size)
        for index, frame in enumerate(film.frames):
            rows.append(
                {
                    "frame": frame,
                    "keypoints": film.points[index],
                    "face_box": boxes[index],
                    "clip": clip,
                    "index": index,
                    "time": index / film.rate,
                }
            )
        clips.append((clip, clip, start, len(film.frames)))
        start += len(film.frames)
    records.write_shard(records.shard_path(folder, 0, 1), rows, size, size)
    sources = tuple({"file": f"{film.name}.mp4"} for film in films)
    records.finish_dataset(folder, DatasetInfo(size, size, tuple(clips), sources), [len(rows)])


def minutes_of(run: Path) -> float:
    """Of the steps alone, without compiling."""
    from motion_jax.train.checkpoint import newest_record

    return sum(newest_record(run / "checkpoints").get("step_seconds", {}).values()) / 60


def scores(folder: Path, test: Film, identity: str | None = None) -> dict[str, float]:
    """Of a run's pictures of what is asked for; identity: of a run that knows several people."""
    import numpy as np

    from motion_jax.metrics.frames import body_boxes, psnr, ssim
    from motion_jax.pose.face import face_boxes
    from motion_jax.train.run import load_person

    run, points, real = load_person(folder, identity=identity), test.points, test.frames
    size = real.shape[1]
    seen = run.seen({"keypoints": points, "face_boxes": face_boxes(points, size, size)})
    made = np.asarray(run.synthesizer().feed(seen))
    inside = []
    for one, other, box in zip(real, made, body_boxes(points, size, size), strict=True):
        top, left, bottom, right = (int(round(float(side))) for side in box)
        part = slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1))
        error = np.mean(np.square(one[part].astype(np.float32) - other[part]))
        inside.append(10 * np.log10(255**2 / max(float(error), 1e-6)))
    return {
        "psnr": round(float(np.mean(np.asarray(psnr(real, made)))), 2),
        "person": round(float(np.mean(inside)), 2),
        "ssim": round(float(np.mean(np.asarray(ssim(real, made)))), 4),
    }


def section(result: dict[str, Any]) -> str:
    """Markdown for docs/performance.md."""
    filmed = f" and the films {', '.join(result['filmed'])}" if result["filmed"] else ""
    return (
        f"The base: {result['people']} drawn people, {result['each']:g} s of each{filmed}; "
        f"{result['base_steps']} steps at {result['size']}, {result['width']} channels. The drawn "
        f"person, {result['rows'][0]['who']}, is measured on {result['frames']} frames of a dance "
        f"that no film shows, by the true joints; filmed people on up to {result['frames']} of the "
        "last fifth of their films. PSNR, person: within the person's box.\n\n"
        + markdown(result["rows"], COLUMNS)
    )


def keep_programs() -> None:
    """Compiled programs are kept, as motion-jax keeps them: all runs of so many steps have the same
    one. Before jax is imported."""
    from motion_jax.files import cache_folder

    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder() / "xla"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints and keeps {"rows": [{"who", "seconds", "way", "steps", "psnr", …}], …}."""
    in_one_table("adapt", Options, measure, COLUMNS, arguments)


if __name__ == "__main__":
    main()
