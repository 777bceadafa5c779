"""Who can be made to dance: paper dolls, drawings, and characters that a network draws.

Each draws a stance into a square picture of its own, standing on the floor at FLOOR of its height,
the hips' place in the middle, TALL of its height high (data/dolls.py).
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from motion_jax.data.dolls import FLOOR, TALL
from motion_jax.errors import UserError, option
from motion_jax.puppet import rig
from motion_jax.puppet.bones import Body, Figure, Stance, figure
from motion_jax.puppet.doll import make_doll
from motion_jax.puppet.doll_draw import draw_doll, straight
from motion_jax.recipes.pose_stylegan import PoseStyleGAN
from motion_jax.train.run import Run


class Performer(Protocol):
    """Draws one character in any stance.

    Attributes:
      name: what to call it; body: its bones; side: of its pictures, in pixels.
    """

    name: str
    body: Body
    side: int

    def picture(self, found: Figure, frame: int) -> UInt8[np.ndarray, "s s 4"]:
        """RGBA of one stance of `stood`'s figure."""
        ...


def stood(performer: Performer, stance: Stance) -> Figure:
    """The performer's figure in its own square picture."""
    side = performer.side
    return figure(performer.body, stance, TALL * side, (side / 2, FLOOR * side))


class DollPerformer:
    """A paper doll."""

    def __init__(self, seed: int, side: int):
        self.doll, self.side, self.name = make_doll(seed), side, f"paper doll {seed}"
        self.body = self.doll.body

    def picture(self, found: Figure, frame: int) -> UInt8[np.ndarray, "s s 4"]:
        """See Performer."""
        return draw_doll(self.doll, found, self.side, self.side, frame)


class DrawingPerformer:
    """A drawing on bones."""

    def __init__(self, drawing: rig.Drawing, side: int):
        self.drawing, self.side, self.name = drawing, side, drawing.name
        self.body = drawing.body

    def picture(self, found: Figure, frame: int) -> UInt8[np.ndarray, "s s 4"]:
        """See Performer."""
        return rig.draw(self.drawing, found, self.side, self.side, frame)


class NetworkPerformer:
    """A character that a run of pose_stylegan draws.

    Args:
      w: which; body: the bones that it is drawn on.
    """

    def __init__(self, run: Run, w: Float[np.ndarray, "1 s"], body: Body, name: str):
        self.name, self.body, self.side = name, body, run.size[0]
        self._w, self._params = jnp.asarray(w), run.params
        self._drawn = _program(drawing_recipe(run))

    def picture(self, found: Figure, frame: int) -> UInt8[np.ndarray, "s s 4"]:
        """See Performer."""
        joints = jnp.asarray(found.joints[frame : frame + 1])
        return straight(np.array(self._drawn(self._params, self._w, joints)[0]))


@functools.cache
def _program(recipe: PoseStyleGAN) -> Any:
    """Draws any of a recipe's characters: (params, w [1, s], joints [1, k, 3]) -> RGBA uint8
    [1, s, s, 4]. All of a film's share it."""

    def drawn(params: Any, w: jax.Array, joints: jax.Array) -> jax.Array:
        made = recipe.drawn(params, w, joints)
        return jnp.clip(jnp.round((made + 1) * 127.5), 0, 255).astype(jnp.uint8)

    return jax.jit(drawn)


def drawing_recipe(run: Run) -> PoseStyleGAN:
    """The recipe of a run that draws characters. Raises UserError for another one."""
    recipe = run.config.recipe
    if not isinstance(recipe, PoseStyleGAN):
        raise UserError(
            f"The run {run.folder} is of the recipe {recipe.name}, which draws no characters; give "
            "one of pose_stylegan (motion-jax train pose_stylegan), or make its person move with "
            "motion-jax transfer."
        )
    return recipe


def mean_body(recipe: PoseStyleGAN) -> Body:
    """The bones of the average character of the recipe's training."""
    count = recipe.characters.characters
    seen = range(count - round(count * recipe.characters.holdout))
    bodies = [make_doll(seed).body for seed in seen]
    lengths = np.mean([body.lengths for body in bodies], axis=0)
    return Body(
        tuple(lengths.tolist()),
        float(np.mean([body.radius for body in bodies])),
        float(np.mean([body.ankle for body in bodies])),
    )


def of_network(run: Run, character: Sequence[str]) -> NetworkPerformer:
    """The character of a seed, or of pictures. Raises UserError for what is neither."""
    recipe = drawing_recipe(run)
    if len(character) == 1 and character[0].isdigit():
        seed = int(character[0])
        z = np.random.default_rng(seed).normal(size=(1, recipe.sizes.latent)).astype(np.float32)
        w = np.asarray(jax.jit(recipe.made_up)(run.params, z))
        return NetworkPerformer(run, w, mean_body(recipe), f"character {seed}")
    pictures = np.stack([framed(Path(each), run.size[0]) for each in character])
    found = np.asarray(jax.jit(recipe.recognised)(run.params, pictures))
    w = found.mean(0, keepdims=True)
    return NetworkPerformer(run, w, mean_body(recipe), Path(character[0]).stem)


def framed(path: Path, side: int) -> UInt8[np.ndarray, "s s 4"]:
    """A picture of a character as the network was shown its characters: as tall, standing on the
    same floor. Raises UserError where it shows none."""
    if not path.is_file():
        raise UserError(
            f"{option('character')} {path} is neither a number nor a picture that is there."
        )
    read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if read is None or read.dtype != np.uint8:
        raise UserError(f"{path} is no picture of 8 bits that can be read; give a PNG.")
    if read.ndim != 3 or read.shape[-1] != 4:
        raise UserError(
            f"{path} has no clear background: give a PNG of the character alone, cut out of its "
            "background."
        )
    picture = np.ascontiguousarray(read[..., [2, 1, 0, 3]])
    shown = picture[..., 3] > 127
    if shown.all() or not shown.any():
        what = "no clear background" if shown.all() else "nothing that is not clear"
        raise UserError(
            f"{path} has {what}: give a PNG of the character alone, cut out of its background."
        )
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    scale = TALL * side / (bottom - top)
    middle = (left + right) / 2
    move = np.array(
        [[scale, 0, side / 2 - scale * middle], [0, scale, FLOOR * side - scale * bottom]]
    )
    return placed(picture, move, side, side)


def placed(
    picture: UInt8[np.ndarray, "h w 4"], move: Float[np.ndarray, "2 3"], height: int, width: int
) -> UInt8[np.ndarray, "h2 w2 4"]:
    """RGBA moved by a scale and a shift (from pixels' edges) into a clear picture."""
    solid: np.ndarray = picture.astype(np.float32)
    solid[..., :3] *= solid[..., 3:] / 255
    scale = float(move[0, 0])
    if scale < 0.75:
        rows, columns = picture.shape[:2]
        size = max(round(columns * scale), 1), max(round(rows * scale), 1)
        solid = cv2.resize(solid, size, interpolation=cv2.INTER_AREA)
        move = move.copy()
        move[0, :2] *= columns / size[0]
        move[1, :2] *= rows / size[1]
    shift = move.copy()
    shift[:, 2] += move[:, :2].sum(1) * 0.5 - 0.5
    moved = cv2.warpAffine(solid, shift, (width, height), flags=cv2.INTER_LINEAR)
    return straight(np.clip(np.rint(moved), 0, 255).astype(np.uint8))


def of_rig(character: Sequence[str], side: int) -> DollPerformer | DrawingPerformer:
    """The paper doll of a seed, or the drawing of a folder. Raises UserError for what is
    neither."""
    if len(character) != 1:
        raise UserError(
            f"{option('method')} rig moves one drawing; give one {option('character')}."
        )
    if character[0].isdigit():
        return DollPerformer(int(character[0]), side)
    folder = Path(character[0])
    if not folder.is_dir():
        raise UserError(
            f"{option('character')} {folder} is neither a number nor the folder of a drawing "
            f"({', '.join(rig.FILES)})."
        )
    return DrawingPerformer(rig.load_drawing(folder), side)
