"""Several people: who is who in drawn films, and what one picture of several people costs.

    python -m benchmarks.people --save

Drawn dancers cross, hide each other, leave and come back, so that it is known who is who. A
detector is stood in for by their true joints with noise, guesses of hidden joints and dropouts;
with --mediapipe N it is the real one, on N films. Counted are identity switches: how often somebody
is called otherwise than before.

The composite is measured against each person alone: a run's pictures are stood in for by true
drawings with blur and noise, once in a film in which nobody else is, before the true background,
and once in the film of all, where the people filmed are taken out first. benchmarks.cast times a
cast of four.
"""

import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

from benchmarks.drawn_people import (
    drawn_run,
    observed,
    poses_of,
    switches,
    write_film,
    write_poses,
)
from benchmarks.reporting import markdown, parse, report, sentences, table
from motion_jax.files import atomic_path
from motion_jax.metrics.frames import ssim
from motion_jax.pose.options import PoseOptions
from motion_jax.pose.people.everybody import Everybody, arranged, everybody
from motion_jax.pose.people.observations import body_distance
from motion_jax.progress import say, track
from motion_jax.puppet import company
from motion_jax.puppet.crowd import character
from motion_jax.report.montage import grid
from motion_jax.transfer.command import transfer
from motion_jax.transfer.options import TransferOptions
from motion_jax.video.reader import read_frames

FILMS = {
    "seed": "film",
    "dancers": "people",
    "detector": "detector",
    "switches": "identity switches",
    "letters": "letters",
    "followed": "share followed",
    "unsure": "unsure moments",
}
COMPOSITE = {
    "person": "person",
    "alone_db": "alone, dB",
    "together_db": "together, dB",
    "lost_db": "lost, dB",
    "alone_ssim": "alone, SSIM",
    "together_ssim": "together, SSIM",
}
# A pose is somebody's whose true body is so near (in sizes of the person).
NEAR = 0.15


@dataclass(frozen=True)
class Options:
    """Measure how well people are kept apart and put into one picture."""

    scenes: int = 24
    """Drawn films, with two, three and four dancers in turn."""
    first: int = 0
    """Seed of the first film."""
    frames: int = 200
    """Of each film, at 25 a second."""
    height: int = 240
    """Of the pictures, in pixels; they are 4:3."""
    noise: float = 0.012
    """Of each joint: standard deviation in sizes of the person."""
    dropout: float = 0.04
    """Share of people missed in a frame."""
    mediapipe: int = 0
    """So many films are also looked at by the real detector, at twice the height."""
    composite: bool = True
    """Measure composites against each person alone."""
    picture: Path | None = None
    """Also write the picture of docs/people.md to this file: a film, its cast, the true drawing."""
    json: bool = False
    """Print the result as JSON."""
    save: bool = False
    """Keep the result in benchmarks/results."""


def main(arguments: Sequence[str] | None = None) -> None:
    with sentences("people"):
        options = parse(Options, "people", arguments)
        result = measure(options)
        tables = [table(result["films"], FILMS)]
        if result.get("composite"):
            tables.append(table(result["composite"], COMPOSITE))
        report("people", result, tables, as_json=options.json, keep=options.save)


def section(result: dict[str, Any]) -> str:
    """Markdown for docs/performance.md."""
    parts = [markdown(result["films"], FILMS)] if result["films"] else []
    if "joints_switches_per_film" in result:
        parts.insert(
            0,
            f"Identity switches a film: {result['joints_switches_per_film']}; films without any: "
            f"{result['joints_films_without']}.",
        )
    if "composite" in result:
        parts += [
            "A composite of two who cross beside each person alone, where that person is seen (the "
            "runs are stood in for by true drawings, blurred and with noise):",
            markdown(result["composite"], COMPOSITE),
        ]
    return "\n\n".join(parts)


def measure(options: Options) -> dict:
    size = options.height, round(options.height * 4 / 3)
    films = []
    for seed in track(range(options.first, options.first + options.scenes), "Films"):
        film = company.scene(seed, 2 + seed % 3, options.frames)
        seen, truth = observed(film, size, noise=options.noise, dropout=options.dropout, seed=seed)
        people = arranged(Path(f"film-{seed}"), seen, PoseOptions())
        films.append(_row(seed, film, "joints", people, truth))
    for seed in range(options.first, options.first + options.mediapipe):
        films.append(_looked_at(seed, options, (2 * size[0], 2 * size[1])))
    result: dict = {"films": films}
    for detector in dict.fromkeys(row["detector"] for row in films):
        rows = [row for row in films if row["detector"] == detector]
        counts = [row["switches"] for row in rows]
        result[f"{detector}_switches_per_film"] = round(sum(counts) / len(counts), 3)
        result[f"{detector}_films_without"] = f"{counts.count(0)} of {len(counts)}"
        say(f"{detector}: {sum(counts) / len(counts):.2f} identity switches a film.")
    if options.composite:
        result["composite"] = _composite()
    if options.picture is not None:
        _write_picture(options.picture)
    return result


def _row(
    seed: int, film: company.Company, detector: str, people: Everybody, truth: np.ndarray
) -> dict:
    of_record = people.found.of_record
    return {
        "seed": seed,
        "dancers": len(film.dancers),
        "detector": detector,
        "switches": switches(of_record, truth),
        "letters": len(people.names),
        "followed": round(float((of_record[truth >= 0] >= 0).mean()), 3),
        "unsure": len(people.found.doubts),
    }


def _looked_at(seed: int, options: Options, size: tuple[int, int]) -> dict:
    """A film as MediaPipe sees it."""
    film = company.scene(seed, 2 + seed % 3, options.frames)
    with tempfile.TemporaryDirectory() as folder:
        path = write_film(film, Path(folder) / f"film-{seed}.mp4", size, shadows=True, crf=18)
        people = everybody(path, PoseOptions(person="all", detail="body"))
    poses = poses_of(film, size)
    truth = np.full(len(people.seen.records), -1)
    for number, record in enumerate(people.seen.records):
        away = [
            body_distance(pose, record["pose"]) if (pose[:25, 2] > 0).sum() > 3 else np.inf
            for pose in poses[:, record["frame"]]
        ]
        if min(away) < NEAR:
            truth[number] = int(np.argmin(away))
    return _row(seed, film, "mediapipe", people, truth)


def _composite(size: tuple[int, int] = (192, 256), frames: int = 50) -> list[dict]:
    """Two dancers who cross, each replaced by somebody else."""
    film = company.scene(11, 2, frames)
    x = np.linspace(-0.42, 0.42, frames)
    paths = (x, -x)
    dancers = [dataclasses.replace(d, x=p) for d, p in zip(film.dancers, paths, strict=True)]
    film = dataclasses.replace(film, dancers=tuple(dancers))
    others = [character(501), character(502)]
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        together = _transferred(film, (0, 1), others, size, folder / "both", "source")
        for number in (0, 1):
            alone = _transferred(film, (number,), others, size, folder / f"{number}", "empty")
            rows.append(_compared(film, number, others, size, alone, together))
    return rows


def _transferred(
    film: company.Company,
    chosen: tuple[int, ...],
    others: list,
    size: tuple[int, int],
    folder: Path,
    background: str,
) -> list[np.ndarray]:
    """The film with these dancers replaced by runs' people; background: "source", or "empty": the
    true place without anybody."""
    folder.mkdir()
    shown = company.Company(tuple(film.dancers[i] for i in chosen), film.place)
    path = write_film(shown, folder / "film.mp4", size)
    poses = write_poses(poses_of(shown, size), folder / "poses")
    runs = {
        f"run{i}": drawn_run(shown, at, others[i], size, blur=1.2, noise=6.0)
        for at, i in enumerate(chosen)
    }
    people = everybody(path, PoseOptions(poses=poses, person="all"))
    letters = [_letter(people, poses_of(shown, size)[at]) for at in range(len(chosen))]
    cast = ",".join(f"{name}=run{i}" for name, i in zip(letters, chosen, strict=True))
    behind: str | Path = "source"
    if background == "empty":
        behind = folder / "empty.mp4"
        write_film(film, behind, size, without=tuple(range(len(film.dancers))))
    options = TransferOptions(
        path, folder / "out.mp4", cast=cast, poses=poses, background=behind, normalize="none",
        smooth=False, audio="drop",
    )  # fmt: skip
    with mock.patch(
        "motion_jax.transfer.several.load_person", lambda name, step: runs[Path(name).name]
    ):
        transfer(options)
    return [frame.image for frame in read_frames(folder / "out.mp4")]


def _write_picture(out: Path, size: tuple[int, int] = (180, 240), frames: int = 36) -> None:
    """Three dancers: one is replaced, who passes behind one who is kept; the third is removed."""
    base = company.scene(4, 3, frames)
    ways, floors = ((-0.45, 0.1), (0.1, -0.45), (0.35, 0.6)), (0.83, 0.89, 0.94)
    puppets = [character(seed) for seed in (3, 10, 17)]
    dancers = tuple(
        company.Dancer(who, dancer.motion, np.linspace(*way, frames), np.full(frames, floor))
        for who, dancer, way, floor in zip(puppets, base.dancers, ways, floors, strict=True)
    )
    film, new = company.Company(dancers, "studio"), character(99)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = write_film(film, folder / "film.mp4", size, shadows=True)
        poses = write_poses(poses_of(film, size), folder / "poses")
        people = everybody(path, PoseOptions(poses=poses, person="all"))
        a, b, c = (_letter(people, truth) for truth in poses_of(film, size))
        run = drawn_run(film, 0, new, size)
        options = TransferOptions(
            path, folder / "out.mp4", cast=f"{a}=run,{b}=keep,{c}=remove", poses=poses,
            background="source", normalize="none", smooth=False, audio="drop", shadows=True,
        )  # fmt: skip
        with mock.patch("motion_jax.transfer.several.load_person", lambda *_: run):
            transfer(options)
        rows = [[frame.image for frame in read_frames(p)] for p in (path, options.out)]
    answer = dataclasses.replace(
        film, dancers=(dataclasses.replace(dancers[0], puppet=new), *dancers[1:])
    )
    rows.append([company.draw_frame(answer, f, *size, without={2}) for f in range(frames)])
    shown = np.linspace(0, frames - 1, 5).round().astype(int)
    made = grid([row[f] for row in rows for f in shown], len(shown))
    with atomic_path(out) as temporary:
        Image.fromarray(made).save(temporary)


def _letter(people: Everybody, truth: np.ndarray) -> str:
    away = [np.abs(people.keypoints(n)[:, 8] - truth[:, 8]).mean() for n in people.names]
    return people.names[int(np.argmin(away))]


def _compared(
    film: company.Company,
    number: int,
    others: list,
    size: tuple[int, int],
    alone: list[np.ndarray],
    together: list[np.ndarray],
) -> dict:
    """Where the person is in front: the pictures alone and together beside the true drawing."""
    dancers = tuple(
        dataclasses.replace(dancer, puppet=who)
        for dancer, who in zip(film.dancers, others, strict=True)
    )
    answer = dataclasses.replace(film, dancers=dancers)
    own: dict[str, list] = {"alone": [], "together": []}
    pairs: dict[str, list] = {"alone": [], "together": []}
    for frame in range(len(film)):
        only = company.Company((dancers[number],), film.place)
        trues = {
            "alone": company.draw_frame(only, frame, *size, shadows=False),
            "together": company.draw_frame(answer, frame, *size, shadows=False),
        }
        layers = [company.layer(dancer, frame, *size)[..., 3] for dancer in dancers]
        front = film.far_to_near(frame)[-1] == number
        mask = layers[number] > 0.02
        if not front:
            mask &= layers[1 - number] < 0.02
        if mask.sum() < 50:
            continue
        for kind, pictures in (("alone", alone), ("together", together)):
            made, true = pictures[frame], trues[kind]
            error = np.mean((made[mask].astype(float) - true[mask]) ** 2)
            own[kind].append(10 * np.log10(255**2 / max(error, 1e-9)))
            pairs[kind].append((made, true))
    figures = {kind: float(np.mean(values)) for kind, values in own.items()}
    likeness = {}
    for kind, values in pairs.items():
        made, true = (np.stack([pair[i] for pair in values[::5]]) for i in (0, 1))
        likeness[kind] = float(np.mean(ssim(true, made)))
    return {
        "person": number + 1,
        "alone_db": round(figures["alone"], 2),
        "together_db": round(figures["together"], 2),
        "lost_db": round(figures["alone"] - figures["together"], 2),
        "alone_ssim": round(likeness["alone"], 4),
        "together_ssim": round(likeness["together"], 4),
    }


if __name__ == "__main__":
    main()
