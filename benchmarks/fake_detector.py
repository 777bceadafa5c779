"""The detector of synthetic pictures on people and methods that it never saw.

    python -m benchmarks.fake_detector --run METHOD=RUN … --fold PERSON:METHOD … --keep FOLDER

Films are made of runs: each run's network draws its own dataset again, pose by pose, and the real
film is that of the dataset's frames, so that both show the same moments before the same background,
in one size; both went through JPEG (as the dataset's frames did) and one encoder of films. Nothing
but the making differs. A fold leaves one person and
one method out of training altogether. Of the others, the first part of each film is trained on and
the rest is tested.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.reporting import markdown, parse, place_to_work, report, sentences, table
from motion_jax.errors import UserError
from motion_jax.progress import say

# Of each film: the share that is trained on.
TRAINED = 0.7
COLUMNS = {
    "person": "person left out",
    "method": "method left out",
    "group": "measured on",
    "crf": "crf",
    "auc": "AUC",
    "found": "found at 5 % false alarms",
    "right": "right at 0.5",
    "synthetic": "synthetic pictures",
    "real": "real pictures",
}


@dataclass(frozen=True)
class Options:
    """The detector of synthetic pictures on people and methods that it never saw."""

    run: tuple[str, ...]
    """METHOD=RUN for each run folder; its person is named by its dataset's video. METHOD/PERSON=RUN
    names the person, of a run on pairs of two people's pictures."""
    fold: tuple[str, ...]
    """PERSON:METHOD that are left out of one training; PERSON alone or :METHOD for only one."""
    size: int = 128
    """Side of the pictures in pixels."""
    frames: int = 150
    """At most so many frames of each film."""
    steps: int = 600
    """Training steps of each detector."""
    again: int = 28
    """The tests are repeated on films that were compressed once more, with this crf."""
    keep: Path | None = None
    """Keep films, datasets and runs here, and use those that are there (default: nothing is
    kept)."""
    json: bool = False
    """Print the result as JSON, alone."""
    save: bool = False
    """Keep the result in benchmarks/results/, for docs/performance.md."""


def measure(options: Options) -> dict[str, Any]:
    """The result; see `main`."""
    runs = [word.partition("=") for word in options.run]
    if not all(method and path for method, _, path in runs):
        raise UserError("--run takes METHOD=RUN, as pix2pixhd=runs/anna.")
    with place_to_work(options.keep) as folder:
        return _measured(options, folder, [(m, Path(path)) for m, _, path in runs])


def _measured(options: Options, folder: Path, runs: list[tuple[str, Path]]) -> dict[str, Any]:
    films = folder / "films"
    for method, run in runs:
        make_films(films, method, run, options.size, options.frames)
    again = folder / f"films-crf{options.again}"
    if not again.is_dir():
        compressed_again(films, again, options.again)
    rows = []
    for word in options.fold:
        person, _, method = word.partition(":")
        name = f"{person or 'nobody'}-{method or 'nothing'}"
        data = dataset(folder / name, films, options.size, person, method)
        run = train(folder / f"run-{name}", data, options)
        for crf, source in ((18, films), (options.again, again)):
            tests = folder / f"{name}-crf{crf}"
            judged = dataset(tests, source, options.size, person, method, training=False)
            for group, figures in evaluate(run, judged, tests / "report").items():
                rows.append(
                    {"person": person, "method": method, "group": group, "crf": crf, **figures}
                )
                say(str(rows[-1]))
    return {
        "rows": rows,
        "means": means(rows),
        "people": sorted({film.stem.partition("#")[0] for film in (films / "real").iterdir()}),
        "methods": sorted(film.name for film in (films / "synthetic").iterdir()),
        "size": f"{options.size}x{options.size}",
        "frames": options.frames,
        "steps": options.steps,
    }


def make_films(films: Path, method: str, run: Path, size: int, most: int) -> None:
    """The films of a run: real/PERSON#part.mp4, where they are not there yet, and
    synthetic/METHOD/PERSON#part.mp4. Raises UserError for a run of another size."""
    import io

    import numpy as np
    from PIL import Image

    from motion_jax.data.records import encode_picture, open_dataset
    from motion_jax.train.dataset import ShownPart
    from motion_jax.train.run import load_run

    method, _, person = method.partition("/")
    if person and (films / "synthetic" / method / f"{person}#rest.mp4").is_file():
        return  # Of a run that need not be there any more.
    loaded = load_run(run)
    if loaded.size != (size, size):
        raise UserError(f"{run} draws {loaded.size[1]}x{loaded.size[0]}, not {size}x{size}.")
    data = loaded.plated(open_dataset(loaded.data_path))
    person = person or Path(data.info.sources[0]["file"]).stem
    if (films / "synthetic" / method / f"{person}#rest.mp4").is_file():
        return
    part = ShownPart(loaded.config, loaded.stage, data)
    records = np.concatenate([np.arange(a, a + n) for a, n in part.runs("all")])[:most]
    say(f"{method}: {person}, {len(records)} frames")
    synthesizer, first = loaded.synthesizer(), round(len(records) * TRAINED)
    for name, some in (("first", records[:first]), ("rest", records[first:])):
        made, real = [], []
        for start in range(0, len(some), 16):
            moments = part.of(some[start : start + 16])
            for picture in synthesizer.feed(loaded.seen(moments)):
                stored = encode_picture(picture, data.info.picture)
                made.append(np.asarray(Image.open(io.BytesIO(stored)).convert("RGB")))
            real += list(moments["frames"])
        write_film(films / "synthetic" / method / f"{person}#{name}.mp4", made)
        # A network that is shown pictures of somebody else has no true ones of its person.
        if loaded.config.recipe.shows == ("poses",) and not data.info.pose_pictures:
            write_film(films / "real" / f"{person}#{name}.mp4", real)


def write_film(path: Path, pictures: Sequence[Any], crf: float = 18) -> None:
    """Pictures as a film of 25 a second, where it is not there yet."""
    from motion_jax.video.writer import VideoWriter

    if path.is_file():
        return
    with VideoWriter(path, *pictures[0].shape[:2], crf=crf) as writer:
        for number, picture in enumerate(pictures):
            writer.write(picture, number / 25)


def compressed_again(films: Path, out: Path, crf: float) -> None:
    """Copies of all films, compressed once more."""
    from motion_jax.video.reader import read_frames

    for film in sorted(films.rglob("*.mp4")):
        pictures = [frame.image for frame in read_frames(film)]
        write_film(out / film.relative_to(films), pictures, crf)


def dataset(
    out: Path, films: Path, size: int, person: str, method: str, training: bool = True
) -> Path:
    """A fold's dataset to train on, or of what is tested: all that is new, and the rest of what is
    not."""
    from motion_jax.data.import_data import import_data
    from motion_jax.data.import_options import ImportOptions

    folder = out / "films"
    if not folder.is_dir():
        for film in sorted(films.rglob("*.mp4")):
            path = film.relative_to(films)
            new = film.name.startswith(f"{person}#") if person else False
            new = new or (len(path.parts) == 3 and path.parts[1] == method)
            first = film.stem.endswith("#first")
            if (first and not new) if training else (new or not first):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(film, folder / path)
    options = ImportOptions(folder, out / "data", layout="real-synthetic", size=f"{size}x{size}")
    import_data(options)
    return out / "data"


def train(run: Path, data: Path, options: Options) -> Path:
    """The run, trained where it is not yet."""
    from motion_jax.config import load_config
    from motion_jax.train import loop

    config = load_config("fake_detector")
    recipe: Any = config.recipe
    stage = replace(
        recipe.main_stage,
        steps=options.steps,
        decay_steps=options.steps // 2,
        height=options.size,
        width=options.size,
    )
    record = replace(config.record, sample_every=10**6, trace=False)
    # Nothing is held out: what is tested lies in a dataset of its own.
    config = replace(
        config,
        recipe=replace(recipe, main_stage=stage),
        record=record,
        data=replace(config.data, holdout=0.0),
    )
    loop.train(config, data, run)
    return run


def evaluate(run: Path, data: Path, out: Path) -> dict[str, dict[str, Any]]:
    """The figures of each group of `motion-jax evaluate`, and of whole films."""
    from motion_jax.evaluate.detector import measure_detector
    from motion_jax.evaluate.options import EvaluateOptions

    found = measure_detector(EvaluateOptions(run, data=data, out=out))
    rows = found["groups"] | {"all, whole films": found["films"]}
    digits = {"auc": 4, "found": 3, "right": 3}
    return {
        name: {k: round(v, digits[k]) if k in digits and v is not None else v for k, v in r.items()}
        for name, r in rows.items()
    }


def means(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Over the folds, of each group."""
    import numpy as np

    found = []
    for group, crf in dict.fromkeys((row["group"], row["crf"]) for row in rows):
        of = [row for row in rows if (row["group"], row["crf"]) == (group, crf)]
        found.append(
            {
                "group": group,
                "crf": crf,
                **{
                    name: round(float(np.mean([row[name] for row in of])), 3)
                    for name in ("auc", "found", "right")
                },
                "auc_least": min(row["auc"] for row in of),
                "folds": len(of),
            }
        )
    return found


MEANS = {
    "group": "measured on",
    "crf": "crf",
    "auc": "AUC",
    "auc_least": "least AUC",
    "found": "found at 5 % false alarms",
    "right": "right at 0.5",
    "folds": "folds",
}


def section(result: dict[str, Any]) -> str:
    """Markdown for docs/performance.md."""
    return (
        f"{len(result['people'])} people and the methods {', '.join(result['methods'])}; up to "
        f"{result['frames']} frames of each film at {result['size']}; {result['steps']} steps. "
        "Means over folds, each of which leaves one person and one method out; pictures one by "
        "one, and whole films by the mean of their logits.\n\n" + markdown(result["means"], MEANS)
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints and keeps {"rows": [{"person", "method", "group", "crf", "auc", …}], "means", …}."""
    with sentences("fake_detector"):
        options = parse(Options, "fake_detector", arguments)
        result = measure(options)
        report(
            "fake_detector",
            result,
            [table(result["rows"], COLUMNS), table(result["means"], MEANS)],
            as_json=options.json,
            keep=options.save,
            arguments=arguments,
        )


if __name__ == "__main__":
    main()
