"""A search for latents that begins at the mean of w, beside one that begins at an encoder's answer.

    python -m benchmarks.encoder [--run RUN --encoder FILE] [--json] [--save]

Given a generator and its encoder (motion-jax encoder), pictures of fresh latents are searched for,
and those of --pictures, with `motion-jax project`'s search in w_plus. Without --run a small
generator is trained first on the heads of drawn characters, of 32x32 pixels, and its encoder after
it (--keep keeps both); what is searched for besides are heads of other characters.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.reporting import in_one_table, markdown, place_to_work
from motion_jax.errors import UserError
from motion_jax.progress import say

SIZE = 32
# Side of a head's square, of the character's height.
SQUARE = 0.34
MEAN, ANSWER = "the mean of w", "the encoder's answer"
WHAT = {"latents": "of fresh latents", "real": "that it has not seen"}


@dataclass(frozen=True)
class Options:
    """A search for latents that begins at the mean of w, beside one at an encoder's answer."""

    run: Path | None = None
    """Run or weight file of a generator (default: one is trained here)."""
    encoder: Path | None = None
    """Its encoder; with --run."""
    pictures: Path | None = None
    """Folder of real pictures to look for besides; with --run."""
    count: int = 8
    """Pictures of each kind that are looked for."""
    steps: tuple[int, ...] = (0, 50, 200)
    """Of the searches; each begins anew, since the rate falls with its last steps."""
    train: int = 2000
    """Steps of 8 pictures of the generator that is trained here."""
    learn: int = 3000
    """Steps of its encoder."""
    keep: Path | None = None
    """Keep heads, run and encoder here, and use those that are there (default: nothing is kept)."""
    json: bool = False
    """Print the result as JSON, alone."""
    save: bool = False
    """Keep the result in benchmarks/results/."""


def columns(steps: Sequence[int]) -> dict[str, str]:
    return {"what": "pictures", "begun": "begun at", **{f"after_{n}": f"{n} steps" for n in steps}}


def measure(options: Options) -> dict[str, Any]:
    """{"rows": [{"what", "begun", "after_N": mean squared difference of the pictures, in [-1, 1]}],
    …}."""
    if (options.run is None) != (options.encoder is None):
        raise UserError("--run and --encoder go together; without both a generator is trained.")
    if options.count < 1 or not options.steps or min(options.steps) < 0:
        raise UserError("--count is at least 1, and --steps are 0 or more.")
    with place_to_work(options.keep) as kept:
        run, encoder, pictures = options.run, options.encoder, options.pictures
        if run is None or encoder is None:
            run, encoder, pictures = made(options, kept)
        return searched(options, run, encoder, pictures)


def heads(folder: Path, count: int, first: int = 0) -> None:
    """Writes pictures of the heads of 300 drawn characters, from this one on, from the front, in
    many stances."""
    import cv2
    import numpy as np

    from motion_jax.data.dolls import TALL, all_stances, placed
    from motion_jax.puppet.doll import make_doll
    from motion_jax.puppet.doll_draw import draw_doll

    folder.mkdir(parents=True)
    every, canvas = all_stances(200), 320
    half = round(SQUARE * TALL * canvas / 2)
    written = number = 0
    while written < count:
        doll, stance = make_doll(first + number % 300), number % 200
        number += 1
        here = placed(doll, every[stance : stance + 1], (canvas, canvas))
        x, y = np.rint(here.head[0]).astype(int)
        inside = half <= x < canvas - half and half <= y < canvas - half
        if here.back[0] or not inside:
            continue
        drawn = draw_doll(doll, here, canvas, canvas).astype(np.float32)
        alpha = drawn[..., 3:] / 255
        picture = drawn[..., :3] * alpha + 225 * (1 - alpha)
        cut = picture[y - half : y + half, x - half : x + half]
        small = np.rint(cv2.resize(cut, (SIZE, SIZE), interpolation=cv2.INTER_AREA))
        cv2.imwrite(str(folder / f"head-{written:05d}.png"), small[..., ::-1].astype(np.uint8))
        written += 1


def made(options: Options, kept: Path) -> tuple[Path, Path]:
    """(a run trained on such heads, its encoder)."""
    from motion_jax.cli import main as motion_jax

    names = ("heads", "others", "data", "run", "encoder.npz")
    pictures, others, data, run, encoder = (kept / name for name in names)
    if not pictures.exists():
        heads(pictures, 1200)
    if not others.exists():
        heads(others, 64, first=300)
    if not data.exists():
        words = ("--layout", "pictures", "--size", f"{SIZE}x{SIZE}", "--out", str(data))
        motion_jax(["import-data", str(pictures), *words])
    settings = {
        "main-stage.steps": options.train,
        "main-stage.height": SIZE,
        "main-stage.width": SIZE,
        "main-stage.batch-size": 8,
        "generator.latent": 64,
        "generator.style": 64,
        "generator.mapping-layers": 2,
        "generator.channel-base": 1024,
        "generator.channel-max": 64,
        "augment.mode": "none",
    }
    words = [word for k, v in settings.items() for word in (f"--recipe.{k}", str(v))]
    record = ("--record.sample-every", str(options.train), "--record.no-trace")
    motion_jax(["train", "stylegan2", "--data", str(data), "--run", str(run), *words, *record])
    if not encoder.exists():
        words = ["--steps", str(options.learn), "--width", "8"]
        motion_jax(["encoder", str(run), "--out", str(encoder), *words])
    return run, encoder, others


def searched(options: Options, run: Path, file: Path, folder: Path | None) -> dict[str, Any]:
    """The result for a generator and its encoder; folder: of real pictures."""
    import jax.numpy as jnp
    import numpy as np

    from motion_jax.latents.encoder import load_encoder
    from motion_jax.latents.model import load_model
    from motion_jax.latents.project import Found, Projector, Search, square
    from motion_jax.video.image_files import picture_files, read_picture

    model = load_model(run)
    answer = load_encoder(file, model).answering()
    projector = Projector(model, "w_plus")
    wanted = {"latents": model.drawn(model.mapped(model.latents((7, 7), options.count)))}
    if folder is not None:
        files = picture_files(folder)[: options.count]
        real = [np.asarray(read_picture(each).convert("RGB")) for each in files]
        wanted["real"] = np.stack([square(each, model.module.size) for each in real])
    rows = []
    for what, begun in itertools.product(wanted, (MEAN, ANSWER)):
        row: dict[str, Any] = {"what": WHAT[what], "begun": begun}
        for steps in options.steps:
            near = begun == ANSWER
            search = Search(steps, 0.05, noise=0.0) if near else Search(steps)
            apart = []
            for i, picture in enumerate(wanted[what]):
                code = projector.start(answer(picture[None]) if near else None)
                start = Found.begun(jnp.copy(code), projector.noise(i))
                found, _ = projector.look(start, picture, search, i)
                apart.append(np.square(projector.picture(found) / 127.5 - picture / 127.5).mean())
            row[f"after_{steps}"] = float(np.mean(apart))
            say(f"{row['what']}, {begun}, {steps} steps: {row[f'after_{steps}']:.4f}")
        rows.append(row)
    trained = None if options.run else {"generator": options.train, "encoder": options.learn}
    return {"rows": rows, "pictures": options.count, "steps": options.steps, "trained": trained}


def section(result: dict[str, Any]) -> str:
    """Markdown for docs/stylegan2.md."""
    return markdown(result["rows"], columns(result["steps"]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints and keeps the result."""
    in_one_table("encoder", Options, measure, columns(Options.steps), arguments)


if __name__ == "__main__":
    main()
