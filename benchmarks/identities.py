"""One run that knows several people beside a run for each of them.

    python -m benchmarks.identities [--save]

The same network (config many_people) is trained on films of several drawn people, told who it is
(recipe.identities), and on each film by itself. All are measured as in benchmarks.adapt, on a dance
that no film shows, against the person really drawn in it. Mixtures have no true answer; --picture
shows some.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import adapt
from benchmarks.reporting import in_one_table, markdown, place_to_work
from motion_jax.errors import UserError
from motion_jax.progress import say

COLUMNS = {
    "person": "person",
    "way": "run",
    "steps": "steps",
    "psnr": "PSNR",
    "within": "PSNR, person",
    "ssim": "SSIM",
}


@dataclass(frozen=True)
class Options:
    """One run that knows several people beside a run for each of them."""

    people: int = 3
    """Drawn people."""
    seconds: float = 10.0
    """Of film of each of them."""
    size: int = 128
    """Side of the pictures in pixels."""
    width: int | None = None
    """Channels of the generator at its full size (default: the config's)."""
    steps: int = 600
    """Training steps of each run."""
    keep: Path | None = None
    """Keep datasets and runs here, and use those that are there (default: nothing is kept)."""
    picture: Path | None = None
    """Also write a picture: each person, and mixtures of the first two."""
    json: bool = False
    """Print the result as JSON, alone."""
    save: bool = False
    """Keep the result in benchmarks/results/, for docs/performance.md."""


def measure(options: Options) -> dict[str, Any]:
    """The result; see `main`."""
    if options.people < 2 or options.size % 16 or not options.seconds > 0:
        raise UserError("--people is at least 2, --size a multiple of 16, --seconds above 0.")
    adapt.keep_programs()
    with place_to_work(options.keep) as folder:
        return _measured(options, folder)


def _measured(options: Options, folder: Path) -> dict[str, Any]:
    from motion_jax import puppet
    from motion_jax.puppet.crowd import character
    from motion_jax.train.loop import train

    size, fps = options.size, adapt.FPS
    people = [character(adapt.CROWD + number) for number in range(options.people)]
    films = [
        adapt.drawn(
            one, puppet.dance(round(options.seconds * fps), fps, adapt.FILM_DANCE + number), size
        )
        for number, one in enumerate(people)
    ]
    alone = adapt.config_of(adapt.Options(size=size, width=options.width), options.steps)
    together = replace(alone, recipe=replace(alone.recipe, identities=len(people)))
    adapt.write(folder / "all", films)
    train(together, folder / "all", folder / "together")
    rows = []
    for number, (one, film) in enumerate(zip(people, films, strict=True)):
        run = folder / f"alone-{number}"
        adapt.write(folder / f"film-{number}", [film])
        train(alone, folder / f"film-{number}", run)
        for way, its, name in (
            ("of all", folder / "together", one.name),
            ("of its own", run, None),
        ):
            found = adapt.scores(its, adapt.asked_for(one, size), name)
            found["within"] = found.pop("person")
            rows.append({"person": one.name, "way": way, "steps": options.steps, **found})
            say(str(rows[-1]))
    if options.picture is not None:
        picture(options.picture, folder / "together", people, size)
    return {
        "rows": rows,
        "means": {
            way: {
                key: round(sum(row[key] for row in rows if row["way"] == way) / len(people), 4)
                for key in ("psnr", "within", "ssim")
            }
            for way in ("of all", "of its own")
        },
        "parameters": {
            "of all": parameters(folder / "together"),
            "of its own": parameters(folder / "alone-0"),
        },
        "people": options.people,
        "seconds": options.seconds,
        "size": f"{size}x{size}",
        "width": alone.recipe.network_size("width"),
        "steps": options.steps,
        "frames": adapt.TEST_FRAMES,
    }


def parameters(run: Path) -> int:
    """Numbers in a run's generator."""
    from motion_jax.profiling.arithmetic import count_parameters
    from motion_jax.train.run import load_run

    return count_parameters(load_run(run).params)


def picture(path: Path, folder: Path, people: Sequence[Any], size: int) -> None:
    """A row of pictures for each of three poses: every person drawn, every person by the run, and
    mixtures of the first two."""
    from motion_jax import puppet
    from motion_jax.data.records import encode_picture
    from motion_jax.files import write_bytes
    from motion_jax.pose.face import face_boxes
    from motion_jax.report import montage
    from motion_jax.train.run import load_run

    dance, shown = puppet.dance(adapt.TEST_FRAMES, adapt.FPS, adapt.TEST_DANCE), [10, 35, 60]
    run, (first, second) = load_run(folder), [one.name for one in people[:2]]
    mixtures = [f"{first}:{1 - share:g},{second}:{share:g}" for share in (0.25, 0.5, 0.75)]
    columns: list[tuple[str, Any]] = []
    for one in people:
        columns.append(("drawn", puppet.draw(one, dance, size, size)))
    # The joints of the first one: only who it is changes.
    points = puppet.pose(people[0], dance, size, size)
    boxes = face_boxes(points, size, size)
    for name in [*(one.name for one in people), *mixtures]:
        chosen = run.as_identity(name)
        seen = chosen.seen({"keypoints": points, "face_boxes": boxes})
        columns.append((name, chosen.synthesizer().feed(seen)))
    cells = [
        montage.labelled(montage.enlarge(pictures[at]), label if row == 0 else "")
        for row, at in enumerate(shown)
        for label, pictures in columns
    ]
    write_bytes(path, encode_picture(montage.grid(cells, len(columns)), "png"))


def section(result: dict[str, Any]) -> str:
    """Markdown for docs/performance.md."""
    own, both = result["parameters"]["of its own"], result["parameters"]["of all"]
    return (
        f"{result['people']} drawn people, {result['seconds']:g} s of film of each, "
        f"{result['steps']} steps of each run at {result['size']}, {result['width']} channels; "
        f"{result['frames']} frames of a dance that no film shows. One generator of all has "
        f"{both:,} parameters, one of one person {own:,}.\n\n" + markdown(result["rows"], COLUMNS)
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints and keeps {"rows": [{"person", "way", "psnr", …}], "means", "parameters", …}."""
    in_one_table("identities", Options, measure, COLUMNS, arguments)


if __name__ == "__main__":
    main()
