"""A drawing that moves: a picture with joints, bent by its bones.

Drawings come as the folders of Animated Drawings (Smith et al., "A Method for Animating Children's
Drawings of the Human Figure", ACM TOG 2023), with texture.png, mask.png and char_cfg.yaml (16
joints); or as RGBA pictures whose joints are known. Each pixel follows the bones with weights by
heat that flows inside the drawing (Baran & Popovic, "Automatic Rigging and Animation of 3D
Characters", SIGGRAPH 2007, section 4): so a leg does not follow the other one that it touches.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import yaml
from jaxtyping import Bool, Float, Float32, UInt8

from motion_jax.errors import UserError
from motion_jax.puppet.bones import BONE, BONES, JOINT, SIDES, Body, Figure
from motion_jax.puppet.doll_draw import straight

FILES = ("texture.png", "mask.png", "char_cfg.yaml")
# Names of Animated Drawings for ours: its "torso" is between the shoulders, its "neck" on the face.
_THEIRS = {"hips": "root", "neck": "torso", "head": "neck"} | {
    f"{side}_{ours}": f"{side}_{theirs}"
    for side in SIDES
    for ours, theirs in (("shoulder", "shoulder"), ("elbow", "elbow"), ("wrist", "hand"),
                         ("hip", "hip"), ("knee", "knee"), ("ankle", "foot"))
}  # fmt: skip
# Bones that carry pixels, and the layer of each: 0 far, 2 near.
_CARRY = {
    "spine": 1, "head": 1, "pelvis": 1,
    **{f"{side}_{name}": layer for side in SIDES
       for name, layer in (("upper_arm", 2), ("forearm", 2), ("thigh", 0), ("shin", 0))},
}  # fmt: skip
# Heat is computed on the drawing at so many cells along its longer side.
_CELLS = 110
# A drawing is at least and at most so large, in pixels.
_SMALLEST, _LARGEST = 16, 4096


@dataclass(frozen=True)
class Drawing:
    """A drawing with joints.

    Attributes:
      name: what to call it.
      picture: RGBA.
      points: places by name, x and y in its pixels: of bones.JOINTS the body's, "hips" and "head".
    """

    name: str
    picture: UInt8[np.ndarray, "h w 4"]
    points: Mapping[str, Float[np.ndarray, "2"]]

    @cached_property
    def rows(self) -> tuple[float, float]:
        """The first and behind the last row that shows it."""
        shown = np.flatnonzero(self.picture[..., 3].max(1) > 127)
        return float(shown[0]), float(shown[-1] + 1)

    @cached_property
    def body(self) -> Body:
        """Its bones, in shares of its height."""
        top, bottom = self.rows
        lengths = []
        for _, start, end in BONES:
            if end.endswith("toe"):
                lengths.append(0.05)
                continue
            away = self.points[end] - self.points[start]
            lengths.append(max(float(np.linalg.norm(away)) / (bottom - top), 1e-3))
        ankle = np.mean([bottom - self.points[f"{side}_ankle"][1] for side in SIDES])
        return Body(tuple(lengths), 0.09, max(float(ankle) / (bottom - top), 0.0))

    @cached_property
    def weights(self) -> Float32[np.ndarray, "r c b"]:
        """How much each bone of _CARRY carries each cell of the drawing."""
        return _heat(self.picture[..., 3] > 127, self._ends)

    @cached_property
    def _ends(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        return _bone_ends({name: np.asarray(p, float) for name, p in self.points.items()})

    def samples(self, scale: float) -> "_Samples":
        """Its pixels, dense enough to be drawn at `scale` pixels of the result to one of its
        own."""
        kept: dict[int, _Samples] = self.__dict__.setdefault("_kept", {})
        fine = max(1, int(np.ceil(2.2 * scale)))
        if fine not in kept:
            kept[fine] = _Samples.of(self, fine)
        return kept[fine]


@dataclass(frozen=True)
class _Samples:
    places: np.ndarray  # [p, 3]: x, y, 1
    colours: np.ndarray  # [p, 4]: times opacity
    weights: np.ndarray  # [p, b]
    layer: np.ndarray  # [p]
    dense: float  # samples in an area of one pixel of the drawing

    @classmethod
    def of(cls, drawing: Drawing, fine: int) -> "_Samples":
        h, w = drawing.picture.shape[:2]
        solid = drawing.picture.astype(np.float32)
        solid[..., :3] *= solid[..., 3:] / 255
        large = cv2.resize(solid, (w * fine, h * fine), interpolation=cv2.INTER_LINEAR)
        rows, columns = np.nonzero(large[..., 3] > 8)
        places = np.column_stack([(columns + 0.5) / fine, (rows + 0.5) / fine, np.ones(len(rows))])
        smooth = cv2.resize(drawing.weights, (w, h), interpolation=cv2.INTER_LINEAR)
        weights = smooth[places[:, 1].astype(int), places[:, 0].astype(int)]
        weights = weights / weights.sum(-1, keepdims=True)
        layers = np.array(list(_CARRY.values()))
        return cls(
            places,
            large[rows, columns],
            weights.astype(np.float32),
            layers[weights.argmax(-1)],
            float(fine * fine),
        )


def load_drawing(folder: Path) -> Drawing:
    """The drawing of a folder of Animated Drawings. Raises UserError for anything else."""
    folder = Path(folder)
    for name in FILES:
        if not (folder / name).is_file():
            raise UserError(
                f"{folder} is no drawing's folder: it lacks {name}; it needs {', '.join(FILES)}, "
                "as Animated Drawings writes them."
            )
    texture = cv2.imread(str(folder / FILES[0]), cv2.IMREAD_UNCHANGED)
    mask = cv2.imread(str(folder / FILES[1]), cv2.IMREAD_GRAYSCALE)
    for name, picture in zip(FILES[:2], (texture, mask), strict=True):
        if picture is None:
            raise UserError(f"{folder / name} is no picture that can be read.")
    assert texture is not None and mask is not None  # as just said
    if texture.ndim != 3 or texture.dtype != np.uint8:
        raise UserError(f"{folder / FILES[0]} is no colour picture of 8 bits.")
    h, w = texture.shape[:2]
    if not _SMALLEST <= min(h, w) <= max(h, w) <= _LARGEST:
        raise UserError(
            f"{folder / FILES[0]} has {w}x{h} pixels; drawings have {_SMALLEST} to {_LARGEST} on "
            "each side."
        )
    if mask.shape != (h, w):
        raise UserError(
            f"{folder}: mask.png has {mask.shape[1]}x{mask.shape[0]} pixels and texture.png "
            f"{w}x{h}; they must be of one size."
        )
    if not (mask > 127).any():
        raise UserError(f"{folder / FILES[1]} is black all over; the drawing must be white in it.")
    colour = texture[..., 2::-1]
    points = _read_joints(folder / FILES[2], w, h)
    picture = np.dstack([colour, np.where(mask > 127, np.uint8(255), np.uint8(0))])
    return Drawing(folder.resolve().name, np.ascontiguousarray(picture), points)


def _read_joints(path: Path, width: int, height: int) -> dict[str, np.ndarray]:
    try:
        known = yaml.safe_load(path.read_text())
        joints = {each["name"]: np.array(each["loc"], float) for each in known["skeleton"]}
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise UserError(
            f"{path} is no character of Animated Drawings ({type(error).__name__}); it needs "
            "`skeleton`, a list of joints with name and loc."
        ) from error
    points = {}
    for ours, theirs in _THEIRS.items():
        place = joints.get(theirs)
        if place is None:
            raise UserError(
                f"{path} has no joint {theirs!r}; it needs {', '.join(_THEIRS.values())}."
            )
        if place.shape != (2,) or not ((place >= 0) & (place <= (width, height))).all():
            raise UserError(f"{path}: the joint {theirs!r} does not lie in the picture.")
        points[ours] = place
    return points


def of_figure(name: str, picture: UInt8[np.ndarray, "h w 4"], found: Figure) -> Drawing:
    """A picture of a character in a known stance, the figure's first, as a drawing."""
    joints = found.joints[0]
    points = {name: joints[number, :2].astype(float) for name, number in JOINT.items()}
    points |= {"hips": found.hips[0], "head": found.head[0]}
    return Drawing(name, picture, points)


def draw(
    drawing: Drawing, found: Figure, height: int, width: int, frame: int = 0
) -> UInt8[np.ndarray, "{height} {width} 4"]:
    """RGBA of the drawing in one stance of a figure of its body, in pixels of height x width."""
    top, bottom = drawing.rows
    scale = float(found.scale[frame]) / (bottom - top)
    samples = drawing.samples(scale)
    joints = found.joints[frame]
    points = {name: joints[number, :2].astype(float) for name, number in JOINT.items()}
    points |= {"hips": found.hips[frame], "head": found.head[frame]}
    new = _bone_ends(points)
    moves = np.stack([_moved(*drawing._ends[n], *new[n], scale) for n in _CARRY])  # [b, 2, 3]
    mixed = samples.weights @ moves.reshape(len(_CARRY), 6).astype(np.float32)
    places = np.einsum("pij,pj->pi", mixed.reshape(-1, 2, 3), samples.places)
    column, row = np.floor(places).astype(int).T
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    canvas: np.ndarray = np.zeros((height * width, 4), np.float32)
    expected = samples.dense / max(scale, 1e-6) ** 2
    for layer in range(3):
        chosen = inside & (samples.layer == layer)
        index = row[chosen] * width + column[chosen]
        count = np.bincount(index, minlength=height * width)
        sums = [
            np.bincount(index, samples.colours[chosen, c], minlength=height * width)
            for c in range(4)
        ]
        fallen = np.stack([*sums, count], -1).astype(np.float32).reshape(height, width, 5)
        each = _closed(fallen, 0.5 * expected).reshape(-1, 5)
        # A pixel that half as many samples as usual fall into is half covered.
        above = each[:, :4] / np.maximum(each[:, 4:], 0.7 * expected)
        canvas = canvas * (1 - above[:, 3:] / 255) + above
    picture = np.clip(np.rint(canvas), 0, 255).astype(np.uint8).reshape(height, width, 4)
    return straight(picture)


def _closed(sums: Float32[np.ndarray, "h w 5"], least: float) -> Float32[np.ndarray, "h w 5"]:
    """Pixels that no sample fell into, where the drawing is stretched, as those around them.

    sums: of samples, the last channel how many there are.
    """
    covered = (sums[..., 4] >= least).astype(np.float32)
    around = cv2.blur(covered, (5, 5), borderType=cv2.BORDER_CONSTANT)
    hole = (covered == 0) & (around > 0.5)
    if not hole.any():
        return sums
    sums = sums.copy()
    near = cv2.blur(sums, (5, 5), borderType=cv2.BORDER_CONSTANT)[hole]
    sums[hole] = near * (2 * least / np.maximum(near[:, 4:], 1e-6))
    return sums


def _bone_ends(points: Mapping[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Both ends of what carries pixels. The pelvis lies between the hips."""
    ends = {"pelvis": (points["right_hip"], points["left_hip"])}
    for name in _CARRY:
        if name != "pelvis":
            _, start, end = BONES[BONE[name]]
            ends[name] = points[start], points[end]
    return {name: ends[name] for name in _CARRY}


def _moved(
    start: np.ndarray, end: np.ndarray, new_start: np.ndarray, new_end: np.ndarray, scale: float
) -> Float[np.ndarray, "2 3"]:
    """From a bone's old place to its new one: turned, as long as it is now, as wide as before
    times the scale."""
    old, new = end - start, new_end - new_start
    length = max(float(np.hypot(*old)), 1e-6)
    along = old / length
    now = float(np.hypot(*new))
    towards = new / now if now > 1e-6 else along
    stretch = max(now / length, 0.15 * scale)
    across, beside = np.array([-along[1], along[0]]), np.array([-towards[1], towards[0]])
    turn = stretch * np.outer(towards, along) + scale * np.outer(beside, across)
    return np.column_stack([turn, new_start - turn @ start])


def _heat(
    inside: Bool[np.ndarray, "h w"], ends: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> Float32[np.ndarray, "r c b"]:
    """Heat that each bone, kept at 1 while the others are at 0, gives to cells inside."""
    from scipy import sparse
    from scipy.ndimage import distance_transform_edt
    from scipy.sparse.linalg import splu

    h, w = inside.shape
    shrink = min(_CELLS / max(h, w), 1.0)
    size = max(round(w * shrink), 2), max(round(h * shrink), 2)
    cells = cv2.resize(inside.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.4
    rows, columns = np.nonzero(cells)
    number = np.full(cells.shape, -1)
    number[rows, columns] = np.arange(len(rows))
    places = np.column_stack([(columns + 0.5) * w / size[0], (rows + 0.5) * h / size[1]])
    cell = w / size[0]
    far = np.stack([_distance(places, *pair) for pair in ends.values()], -1) / cell
    nearest = far.argmin(-1)
    pairs = []
    for dr, dc in ((0, 1), (1, 0)):
        a = number[: cells.shape[0] - dr, : cells.shape[1] - dc]
        b = number[dr:, dc:]
        both = (a >= 0) & (b >= 0)
        pairs.append(np.column_stack([a[both], b[both]]))
    edge = np.concatenate(pairs)
    n = len(rows)
    ones = np.ones(len(edge))
    flow = sparse.coo_matrix((ones, (edge[:, 0], edge[:, 1])), (n, n))
    flow = flow + flow.T
    given = 1.0 / np.maximum(far.min(-1), 0.5) ** 2
    system = sparse.diags(np.asarray(flow.sum(1)).ravel() + given) - flow
    source = np.zeros((n, len(ends)))
    source[np.arange(n), nearest] = given
    weights = splu(system.tocsc()).solve(source)
    # Cells outside have what the nearest one inside has: edges of the drawing lie between cells.
    near = distance_transform_edt(~cells, return_distances=False, return_indices=True)
    return weights[number[near[0], near[1]]].astype(np.float32)


def _distance(
    places: Float[np.ndarray, "p 2"], start: Float[np.ndarray, "2"], end: Float[np.ndarray, "2"]
) -> Float[np.ndarray, " p"]:
    """Of places from the line between two points."""
    line = end - start
    share = np.clip((places - start) @ line / max(float(line @ line), 1e-9), 0, 1)
    return np.linalg.norm(places - start - share[:, None] * line, axis=-1)
