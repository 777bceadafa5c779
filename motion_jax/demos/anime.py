"""`motion-jax demo anime`: drawn characters that dance, from nothing, in minutes.

Paper dolls are made, a small network learns to draw them in any pose, its pictures are compared
with true ones on characters and poses that it has not seen, and characters dance as a drawn dancer
does.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from rich.console import Console

from motion_jax import files, puppet
from motion_jax.config import Config, load_config
from motion_jax.data.dolls import placed
from motion_jax.demos.options import DemoOptions
from motion_jax.evaluate.characters import (
    METHODS,
    PARTS_OF_TABLE,
    Case,
    measure,
    over_white,
    standing,
)
from motion_jax.progress import say
from motion_jax.puppet.doll import make_doll
from motion_jax.puppet.doll_draw import draw_doll
from motion_jax.puppet.joints_picture import draw_joints
from motion_jax.puppet.stances import rest, stances
from motion_jax.report import html, montage
from motion_jax.train.loop import train
from motion_jax.train.run import load_run
from motion_jax.transfer.character_options import CharacterOptions
from motion_jax.transfer.characters import perform
from motion_jax.transfer.performers import drawing_recipe

CONFIG = "demo_anime"
FPS, SECONDS, DANCER, DANCE = 25, 6, "ada", 1
# Rows and columns of the sheet of characters, and the side of each.
ROWS, COLUMNS, SIDE = 3, 8, 192
_PART = {
    "character": "new character, known pose",
    "pose": "known character, new pose",
    "both": "new character, new pose",
}


def demo_anime(
    options: DemoOptions, config: Config | None = None, cases: int = 32
) -> dict[str, Any]:
    """Runs it; returns the table (evaluate.characters.measure).

    config: another one than the demo's; cases: for each part of the table.
    """
    out = options.out / "anime"
    files.check_writable(out)
    config = config or load_config(CONFIG)
    say("1/4  Paper dolls")
    picture = sheet(ROWS, COLUMNS, SIDE)
    files.write_bytes(out / "dolls.png", _png(picture))
    folder = out / "videos" / DANCER
    if not (folder / "poses").is_dir():
        dance = puppet.dance(SECONDS * FPS, FPS, DANCE)
        puppet.make_video(folder, puppet.CHARACTERS[DANCER], dance, 256, 256)
    say("2/4  A network learns to draw them")
    run = out / "run"
    train(config, None, run, command="motion-jax demo anime")
    say("3/4  Its pictures beside true ones")
    result = measure(load_run(run), cases)
    examples = result.pop("examples")
    files.write_json(out / "table.json", result)
    say("4/4  They dance")
    films = _films(out, run, options.mark)
    _page(out, result, examples, films)
    _print(out, result)
    return result


def sheet(rows: int, columns: int, side: int) -> UInt8[np.ndarray, "h w 3"]:
    """Characters, the first row standing, the others dancing."""
    cells = []
    for number in range(rows * columns):
        doll = make_doll(number)
        stance = rest() if number < columns else stances([number + 100])
        cells.append(over_white(draw_doll(doll, placed(doll, stance, (side, side)), side, side)))
    lines = [np.concatenate(cells[i : i + columns], 1) for i in range(0, len(cells), columns)]
    return np.concatenate(lines)


def _png(picture: UInt8[np.ndarray, "h w c"]) -> bytes:
    order = [2, 1, 0, 3][: picture.shape[-1]]
    return cv2.imencode(".png", np.ascontiguousarray(picture[..., order]))[1].tobytes()


def _films(out: Path, run: Path, mark: bool) -> list[tuple[str, str]]:
    """(file, caption) of what is made: a character of the network's own, one that it is given as a
    picture, and the doll itself on its bones."""
    recipe = drawing_recipe(load_run(run))
    size, unseen = recipe.size[0], recipe.characters.characters - 1
    given = out / "given.png"
    files.write_bytes(given, _png(standing(make_doll(unseen), (size, size))[0]))
    source = out / "videos" / DANCER
    common: dict[str, Any] = {
        "source": source / "video.mp4", "poses": source / "poses", "side_by_side": True,
        "smooth": False, "swaps": False, "bones": False, "mark": mark,
    }  # fmt: skip
    made: list[tuple[str, str, dict[str, Any]]] = [
        ("seed.mp4", "made up by the network", {"run": run, "character": ("1",)}),
        ("given.mp4", "given as a picture", {"run": run, "character": (str(given),)}),
        ("rig.mp4", "the doll on its bones", {"method": "rig", "character": (str(unseen),)}),
    ]
    for name, _, settings in made:
        perform(CharacterOptions(**{**common, **settings, "out": out / name}))
    return [(name, caption) for name, caption, _ in made]


def rows(result: dict[str, Any]) -> list[list[Any]]:
    """Of the table: what is new, the method, and how near it is to the truth."""
    found = []
    for part in PARTS_OF_TABLE:
        for method in METHODS:
            each = result["parts"][part][method]
            found.append([_PART[part], method, each["l1"], each["iou"], each.get("r50")])
    return found


def facts(result: dict[str, Any]) -> dict[str, str]:
    """What else was measured, in words."""

    def share(name: str) -> str:
        mine, true = 100 * result[name], 100 * result[f"{name}_of_truth"]
        return f"{mine:.1f} % (of true pictures {true:.1f} %)"

    return {
        "joints found where they were asked for": share("pose"),
        "characters told by their colours": share("identity"),
        "change of colour between two poses": f"{result['colour']:.1f} (CIE76)",
        "two pictures of one pose differ by": f"{result['flicker']} grey levels",
    }


_HEAD = ["new to the network", "method", "L1 (grey levels)", "overlap of mattes", "ResNet-50"]


def _page(
    out: Path,
    result: dict[str, Any],
    examples: list[tuple[Case, dict[str, np.ndarray]]],
    films: list[tuple[str, str]],
) -> None:
    lines = []
    for case, made in examples:
        h, w = case.truth.shape[:2]
        shown = [over_white(case.given), draw_joints(case.found.joints[0], h, w)]
        shown += [over_white(picture) for picture in (case.truth, *(made[m] for m in METHODS))]
        lines.append(montage.side_by_side(shown, ["given", "pose", "truth", *METHODS]))
    sections = [
        html.section("Paper dolls", html.image(out / "dolls.png", "made from seeds 0 to 23")),
        html.section(
            "Beside the truth",
            html.table(_HEAD, rows(result)),
            *(html.paragraph(line) for line in explained(result)),
            html.facts(facts(result)),
            *(html.image(line) for line in lines),
        ),
        html.section("In motion", *(html.video(name, caption) for name, caption in films)),
        html.section("More", "<p>" + html.link("run/report/index.html", "the training") + "</p>"),
    ]
    html.write(out / "report.html", html.page("Demo: drawn characters dance", sections))


def explained(result: dict[str, Any]) -> list[str]:
    """What the table and the facts mean."""
    lines = [
        "Each method is given one picture of a character and the joints of another pose. Beside "
        "the true picture less L1 and more overlap are better. nearest: the most similar picture "
        "of training. Joints are found by a small network that learned from true pictures beside "
        "the generator, so it errs in true ones, too."
    ]
    if result["perceptual"]:
        lines.append(f"No distance by ResNet-50: {result['perceptual']}.")
    return lines


def _print(out: Path, result: dict[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for part, method, l1, iou, r50 in rows(result):
        more = "" if r50 is None else f", ResNet-50 {r50:.4f}"
        console.print(f"{part}, {method}: L1 {l1:.2f}, overlap {iou:.3f}{more}", markup=False)
    for name, words in facts(result).items():
        console.print(f"{name}: {words}", markup=False)
    console.print(f"Report: {out / 'report.html'}", markup=False)
