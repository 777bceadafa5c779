"""How well a network draws characters in poses: measured on paper dolls, whose true picture is
known in every pose.

Each method is given one picture of a character, standing, and the joints of another pose:

  trained   the run's encoder sees the picture, its generator draws the pose
  rig       the picture itself is bent by its bones (puppet/rig.py)
  nearest   of all training pictures the one of the character that looks most like the picture, in
            the stance whose joints are nearest
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from motion_jax.data.dolls import Cast, all_stances, placed
from motion_jax.metrics import resnet
from motion_jax.puppet import rig
from motion_jax.puppet.bones import Figure
from motion_jax.puppet.doll import Doll, make_doll
from motion_jax.puppet.doll_draw import draw_doll, part_map
from motion_jax.puppet.doll_lines import PARTS
from motion_jax.puppet.stances import rest
from motion_jax.train.run import Run
from motion_jax.transfer.performers import drawing_recipe

METHODS = ("trained", "rig", "nearest")
# What is new to the network, by the name of a part of the table.
PARTS_OF_TABLE = ("character", "pose", "both")
# A joint counts as right within this share of the character's height.
NEAR = 0.05
BATCH = 16


@dataclass(frozen=True)
class Case:
    """One thing to draw.

    Attributes:
      doll, stance: numbers of character and stance.
      found: the figure; truth: its picture, RGBA; given: the picture that methods are given, RGBA,
        and its figure.
    """

    doll: Doll
    stance: int
    found: Figure
    truth: UInt8[np.ndarray, "h w 4"]
    given: UInt8[np.ndarray, "h w 4"]
    given_figure: Figure


def measure(run: Run, count: int = 32, seed: int = 0) -> dict[str, Any]:
    """The table of a run of pose_stylegan.

    count: cases in each part: characters, poses, or both that training has not seen.
    Returns {"parts": {part: {method: {"l1", "iou", "r50"}}}, "pose", "pose_of_truth", "identity",
    "identity_of_truth", "colour", "flicker", "examples"}: L1 over white in grey levels, overlap of
    mattes, perceptual distance where its weights are installed, shares of joints within NEAR of the
    height, shares of characters that are told among all of the cast, difference in colour of the
    parts between two poses of one character (CIE76), the largest difference of two pictures of one
    pose in grey levels, and some cases with their pictures. Raises UserError for another recipe.
    """
    recipe = drawing_recipe(run)
    c = recipe.characters
    cast, size = Cast(c.characters, c.poses, c.holdout), run.size
    draw = _Network(run)
    nearest = _Nearest(cast, size)
    distance, why = resnet.load(size)
    parts: dict[str, dict[str, dict[str, float]]] = {}
    made_all: list[tuple[Case, UInt8[np.ndarray, "h w 4"]]] = []
    examples: list[tuple[Case, dict[str, np.ndarray]]] = []
    for number, part in enumerate(PARTS_OF_TABLE):
        cases = _cases(cast, size, part, count, np.random.default_rng((seed, number)))
        trained = draw.cases(cases)
        pictures = {
            "trained": trained,
            "rig": [_bent(case, size) for case in cases],
            "nearest": [nearest.picture(case) for case in cases],
        }
        parts[part] = {name: _compared(cases, made, distance) for name, made in pictures.items()}
        if part != "pose":
            # Identity and pose are asked of characters that training has not seen.
            made_all += list(zip(cases, trained, strict=True))
        examples += [
            (case, {name: made[i] for name, made in pictures.items()})
            for i, case in enumerate(cases[:3])
        ]
    told = _Told(cast, size)
    cases, made = [case for case, _ in made_all], [picture for _, picture in made_all]
    truths = [case.truth for case in cases]
    held = draw.cases([cases[0], cases[0]])
    return {
        "parts": parts,
        "perceptual": "" if distance is not None else why,
        "pose": draw.obeyed(cases, made),
        "pose_of_truth": draw.obeyed(cases, truths),
        "identity": told.share(cases, made),
        "identity_of_truth": told.share(cases, truths),
        "colour": _colour_change(draw, cases[:count], cast, size),
        "flicker": int(np.abs(held[0].astype(int) - held[1]).max()),
        "cases": count,
        "examples": examples,
    }


def standing(doll: Doll, size: tuple[int, int]) -> tuple[UInt8[np.ndarray, "h w 4"], Figure]:
    """The picture of a character that methods are given: standing, arms off the body."""
    found = placed(doll, rest(arms=0.8), size)
    return draw_doll(doll, found, *size), found


def _cases(
    cast: Cast, size: tuple[int, int], part: str, count: int, random: np.random.Generator
) -> list[Case]:
    dolls = cast.part("characters", part == "pose")
    poses = cast.part("poses", part == "character")
    every = all_stances(cast.poses)
    found = []
    for _ in range(count):
        doll, pose = make_doll(int(random.choice(dolls))), int(random.choice(poses))
        here = placed(doll, every[pose : pose + 1], size)
        found.append(Case(doll, pose, here, draw_doll(doll, here, *size), *standing(doll, size)))
    return found


def over_white(picture: UInt8[np.ndarray, "h w 4"]) -> UInt8[np.ndarray, "h w 3"]:
    """RGBA over white."""
    alpha = picture[..., 3:].astype(np.float32) / 255
    return np.rint(picture[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def _compared(
    cases: Sequence[Case], made: Sequence[np.ndarray], distance: resnet.ResNetDistance | None
) -> dict[str, float]:
    truths = np.stack([over_white(case.truth) for case in cases])
    others = np.stack([over_white(picture) for picture in made])
    overlap = []
    for case, picture in zip(cases, made, strict=True):
        a, b = case.truth[..., 3] > 127, picture[..., 3] > 127
        overlap.append((a & b).sum() / max((a | b).sum(), 1))
    found = {
        "l1": float(np.abs(truths.astype(np.float32) - others).mean()),
        "iou": float(np.mean(overlap)),
    }
    if distance is not None:
        boxes = np.zeros((len(cases), 0, 4), np.float32)
        found["r50"] = float(np.asarray(distance(truths, others, boxes))[:, 0].mean())
    return found


def _bent(case: Case, size: tuple[int, int]) -> UInt8[np.ndarray, "h w 4"]:
    drawing = rig.of_figure("given", case.given, case.given_figure)
    # The rig's unit is what is seen of the drawing from top to bottom.
    top, bottom = drawing.rows
    share = (bottom - top) / float(case.given_figure.scale[0])
    return rig.draw(drawing, _scaled(case.found, share), *size)


def _scaled(found: Figure, share: float) -> Figure:
    return Figure(
        found.joints, found.hips, found.head, found.up, found.yaw, found.pitch, found.scale * share
    )


class _Network:
    """The run, in batches of one size."""

    def __init__(self, run: Run):
        recipe, self.size, self.params = drawing_recipe(run), run.size, run.params

        def drawn(params: Any, given: jax.Array, joints: jax.Array) -> jax.Array:
            made = recipe.drawn(params, recipe.recognised(params, given), joints)
            opacity = (made[..., 3:] + 1) / 2
            colour = (made[..., :3] + 1) / 2 / jnp.maximum(opacity, 1e-3)
            both = jnp.concatenate([jnp.clip(colour, 0, 1), opacity], -1)
            return jnp.round(255 * both).astype(jnp.uint8)

        def read(params: Any, pictures: jax.Array) -> jax.Array:
            opacity = pictures[..., 3:] / 255.0
            solid = jnp.concatenate([pictures[..., :3] / 255.0 * opacity, opacity], -1)
            seen: Any = recipe.reader.apply(params["reader"], 2 * solid - 1)
            return seen

        self._drawn, self._read = jax.jit(drawn), jax.jit(read)

    def cases(self, cases: Sequence[Case]) -> list[UInt8[np.ndarray, "h w 4"]]:
        """What the network makes of the given pictures in the cases' poses."""
        joints = np.stack([case.found.joints[0] for case in cases])
        return self.pictures([case.given for case in cases], joints)

    def pictures(self, given: Sequence[np.ndarray], joints: np.ndarray) -> list[np.ndarray]:
        """Of pictures of characters, in poses."""
        made: list[np.ndarray] = []
        for first in range(0, len(given), BATCH):
            some = np.stack(given[first : first + BATCH])
            count = len(some)
            some, places = _padded(some), _padded(joints[first : first + BATCH])
            made += list(np.asarray(self._drawn(self.params, some, places))[:count])
        return made

    def obeyed(self, cases: Sequence[Case], made: Sequence[np.ndarray]) -> float:
        """The share of joints that the run's reader finds where they were asked for."""
        right, all_ = 0, 0
        for first in range(0, len(cases), BATCH):
            some = np.stack(made[first : first + BATCH])
            places = np.asarray(self._read(self.params, _padded(some)))[: len(some)]
            for case, found in zip(cases[first : first + BATCH], places, strict=True):
                joints = case.found.joints[0]
                away = np.linalg.norm(found * self.size[0] - joints[:, :2], axis=-1)
                seen = joints[:, 2] > 0
                right += int((away[seen] < NEAR * case.found.scale[0]).sum())
                all_ += int(seen.sum())
        return right / max(all_, 1)


def _padded(values: np.ndarray) -> np.ndarray:
    """To a whole batch, by its last example."""
    return np.concatenate([values, np.repeat(values[-1:], BATCH - len(values), axis=0)])


class _Nearest:
    """The nearest training picture."""

    def __init__(self, cast: Cast, size: tuple[int, int]):
        self.size, self.poses = size, cast.part("poses", True)
        self.every = all_stances(cast.poses)
        self.dolls = [make_doll(int(number)) for number in cast.part("characters", True)]
        self.looks = np.stack([standing(doll, size)[0] for doll in self.dolls]).astype(np.float32)

    def picture(self, case: Case) -> UInt8[np.ndarray, "h w 4"]:
        """For a case."""
        away = np.abs(self.looks - case.given).mean((1, 2, 3))
        doll = self.dolls[int(away.argmin())]
        found = placed(doll, self.every[self.poses], self.size)
        both = (found.joints[..., 2] > 0) & (case.found.joints[..., 2] > 0)
        far = np.linalg.norm(found.joints[..., :2] - case.found.joints[..., :2], axis=-1)
        mean = (far * both).sum(1) / np.maximum(both.sum(1), 1)
        return draw_doll(doll, found, *self.size, int(mean.argmin()))


def part_colours(
    picture: UInt8[np.ndarray, "h w 4"], parts: UInt8[np.ndarray, "h w"]
) -> Float[np.ndarray, "p 3"]:
    """Mean colour (CIE Lab) of each part of the body where the map says it is; NaN for parts of few
    pixels."""
    lab = cv2.cvtColor(over_white(picture).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    found = np.full((len(PARTS), 3), np.nan)
    for part in range(1, len(PARTS)):
        where = parts == part
        if where.sum() >= 6:
            found[part] = lab[where].mean(0)
    return found


def _difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean distance of the parts that both know, [..., p, 3] each."""
    return np.nanmean(np.linalg.norm(a - b, axis=-1), axis=-1)


class _Told:
    """Tells a character among all of the cast by the colours of its parts."""

    def __init__(self, cast: Cast, size: tuple[int, int]):
        self.size, known = size, []
        for number in range(cast.characters):
            doll = make_doll(number)
            picture, found = standing(doll, size)
            known.append(part_colours(picture, part_map(doll, found, *size)))
        # A part that a character lacks is no difference.
        self.known = np.stack(known)

    def share(self, cases: Sequence[Case], made: Sequence[np.ndarray]) -> float:
        """The share of pictures whose nearest character is the one that was given."""
        right = 0
        for case, picture in zip(cases, made, strict=True):
            parts = part_map(case.doll, case.found, *self.size)
            away = _difference(self.known, part_colours(picture, parts)[None])
            right += int(np.nanargmin(away)) == case.doll.seed
        return right / max(len(cases), 1)


def _colour_change(
    draw: _Network, cases: Sequence[Case], cast: Cast, size: tuple[int, int]
) -> float:
    """Mean difference of the parts' colours between a character in its case's pose and in another
    case's pose."""
    every = all_stances(cast.poses)
    others = [cases[(i + 1) % len(cases)].stance for i in range(len(cases))]
    second = [
        placed(case.doll, every[other : other + 1], size)
        for case, other in zip(cases, others, strict=True)
    ]
    given = [case.given for case in cases]
    one = draw.cases(cases)
    two = draw.pictures(given, np.stack([found.joints[0] for found in second]))
    changes = []
    for case, found, a, b in zip(cases, second, one, two, strict=True):
        first = part_colours(a, part_map(case.doll, case.found, *size))
        then = part_colours(b, part_map(case.doll, found, *size))
        changes.append(float(_difference(first, then)))
    return float(np.nanmean(changes))
