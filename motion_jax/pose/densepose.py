"""DensePose pictures: which part of the body a pixel shows, and where on it (Güler, Neverova,
Kokkinos: DensePose; CVPR 2018). Read, checked, and drawn for a network.

A DensePose result is three numbers a pixel: the part's index I, 0 (background) ... 24, and its
place U, V on the part. It comes as

    raw IUV      the 8-bit PNG of the original tool, written by OpenCV in the order I, U, V, so that
                 readers of RGB see I in blue; or with I in red
    index        a grey PNG of I alone
    coloured     pictures or a video in which a colour map of OpenCV shows I * 255 / 24, Viridis
                 (MagicAnimate, vid2densepose) or Parula (detectron2): I without U and V

No detector is here: it is run elsewhere, and its output is what comes in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
from jaxtyping import UInt8

from motion_jax.errors import UserError, option

PARTS = 24
NAMES = (
    "background", "torso, back", "torso, front", "right hand", "left hand",
    "right foot", "left foot",
    "upper right leg, back", "upper left leg, back",
    "upper right leg, front", "upper left leg, front",
    "lower right leg, back", "lower left leg, back",
    "lower right leg, front", "lower left leg, front",
    "upper left arm, inside", "upper right arm, inside",
    "upper left arm, outside", "upper right arm, outside",
    "lower left arm, inside", "lower right arm, inside",
    "lower left arm, outside", "lower right arm, outside",
    "head, right", "head, left",
)  # fmt: skip

Drawing = Literal["iuv", "parts", "viridis", "parula"]
# Euclidean distance in RGB up to which a pixel has a colour of the map. Measured in videos: flat
# areas are 2 to 9 from theirs, watermarks and mixtures at edges mostly over 40.
TOLERANCE = 30.0
# A picture is coloured by a map where so much of what is not ground has colours of it.
LEAST_SHARE = 0.6
# Pixels without a colour of their own take the part of the nearest that has one, so far away.
REACH = 6.0
# Spots apart from the body that are smaller than this share of all that is shown are no person.
SPOT = 0.01
# And spots of a part smaller than this share of the body are mixtures at an edge.
CRUMB = 0.002
_STEP = 4  # Levels of a channel that share an entry of the lookup table.
_SCALE = np.array([i * 255 // PARTS for i in range(PARTS + 1)], np.uint8)


@lru_cache
def table(drawing: Literal["parts", "viridis", "parula"]) -> UInt8[np.ndarray, "25 3"]:
    """The colour of each part. "parts": the corners, edges' and faces' middles of
    the colour cube (levels 0, 128, 255), no two nearer than 127, the background black."""
    if drawing == "parts":
        numbers = np.arange(PARTS + 1)
        levels = np.array([0, 128, 255], np.uint8)
        return np.stack([levels[numbers // 3**k % 3] for k in range(3)], axis=-1)
    code = {"viridis": cv2.COLORMAP_VIRIDIS, "parula": cv2.COLORMAP_PARULA}[drawing]
    return np.ascontiguousarray(cv2.applyColorMap(_SCALE[:, None], code)[:, 0, ::-1])


@dataclass(frozen=True)
class Reading:
    """How the pictures of a source hold I, U and V.

    Attributes:
      kind: "iuv" (raw), "drawn-iuv" (as `draw` draws it: I times 255 / 24), "index", or the
        colour map ("parts", "viridis", "parula").
      index: of raw pictures, the channel (of RGB) that holds I; the others hold U and V, from it.
    """

    kind: Literal["iuv", "drawn-iuv", "index", "parts", "viridis", "parula"]
    index: int = 2

    @property
    def has_uv(self) -> bool:
        return self.kind in ("iuv", "drawn-iuv")

    @property
    def coloured(self) -> bool:
        return self.kind in ("parts", "viridis", "parula")

    def read(
        self, picture: UInt8[np.ndarray, "h w 3"], name: str = "The picture"
    ) -> UInt8[np.ndarray, "h w 3"]:
        """An RGB picture → I, U, V: I 0 ... 24, U and V 0 ... 255
        (0 where the pictures do not tell them).

        Raises UserError, beginning with `name`, where a raw picture is none.
        """
        if self.coloured:
            parts, _ = decode(picture, self.kind)
            return _alone(parts)
        order = _ORDERS[self.index]
        found = picture[..., order]
        if self.kind == "index":
            found = _alone(picture[..., 0])
        elif self.kind == "drawn-iuv":
            found = found.copy()
            found[..., 0] = np.rint(found[..., 0] * (PARTS / 255)).astype(np.uint8)
        problem = _problem(found)
        if problem:
            raise UserError(f"{name} is no DensePose IUV picture like the first: {problem}.")
        return np.ascontiguousarray(found)


# From RGB to I, U, V.
_ORDERS = {2: [2, 1, 0], 0: [0, 1, 2]}


def _alone(parts: np.ndarray) -> np.ndarray:
    return np.stack([parts, np.zeros_like(parts), np.zeros_like(parts)], axis=-1)


def _problem(iuv: np.ndarray) -> str:
    """Why this is not I, U, V; "" where it is."""
    index = iuv[..., 0]
    if index.max(initial=0) > PARTS:
        return f"it has part {index.max()}, and there are {PARTS}"
    if iuv[..., 1:][index == 0].any():
        return "it has U or V where there is no part"
    return ""


def recognise(pictures: Sequence[UInt8[np.ndarray, "_ _ 3"]], source: str) -> Reading:
    """How RGB pictures of one source are to be read.

    Raises UserError, naming `source`, where they show no DensePose.
    """
    shown = [picture for picture in pictures if np.ptp(picture, axis=(0, 1)).any()]
    if shown:
        if all((p == p[..., :1]).all() and p.max() <= PARTS for p in shown):
            return Reading("index")
        for channel, order in _ORDERS.items():
            ordered = [picture[..., order] for picture in shown]
            if not any(_problem(picture) for picture in ordered):
                return Reading("iuv", channel)
        if not any(_problem_of_drawn(picture) for picture in shown):
            return Reading("drawn-iuv", 0)
        drawings: tuple[Drawing, ...] = ("viridis", "parula", "parts")
        shares = {kind: _share(shown, kind) for kind in drawings}
        best = max(shares, key=lambda kind: shares[kind])
        if shares[best] >= LEAST_SHARE:
            return Reading(best)
    raise UserError(
        f"{source} shows no DensePose: neither I, U, V (a part's index of 0 to {PARTS} in the red "
        "or blue channel, nothing where it is 0) nor parts in the colours of Viridis or Parula "
        "without the photograph below; give a detector's IUV pictures, or say with "
        f"{option('region')} which part of the picture shows them."
    )


def _problem_of_drawn(picture: np.ndarray) -> bool:
    levels = np.isin(picture[..., 0], _SCALE).all()
    return not levels or bool(picture[..., 1:][picture[..., 0] == 0].any())


def _share(pictures: Sequence[np.ndarray], kind: str) -> float:
    """The share of what is not ground that has a colour of the map; 0 where under three parts are
    shown, which any picture of few colours might."""
    ground, known, seen = 0, 0, np.zeros(PARTS + 1, int)
    for picture in pictures:
        nearest, distance = _looked_up(picture, kind)
        near = distance <= TOLERANCE
        ground += int((near & (nearest == 0)).sum())
        known += int((near & (nearest > 0)).sum())
        seen += np.bincount(nearest[near], minlength=PARTS + 1)
    rest = sum(picture[..., 0].size for picture in pictures) - ground
    several = (seen[1:] > 0.02 * max(known, 1)).sum() >= 3
    return known / max(rest, 1) if several else 0.0


@lru_cache
def _lookup(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """(part uint8, distance float32), each [64**3], of the middle of every cell of 4x4x4 colours.
    Black is background in every map: videos often have it instead of the map's first colour."""
    colours = np.concatenate([table(kind), np.zeros((1, 3), np.uint8)]).astype(np.float32)
    axis = np.arange(0, 256, _STEP, dtype=np.float32) + (_STEP - 1) / 2
    cells = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    part = np.zeros(len(cells), np.uint8)
    distance = np.full(len(cells), np.inf, np.float32)
    for number, colour in enumerate(colours):
        away = np.linalg.norm(cells[:, 0] - colour, axis=-1)
        part[away < distance] = number % (PARTS + 1)
        distance = np.minimum(distance, away)
    return part, distance


def _looked_up(picture: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    cells = (picture // _STEP).astype(np.int32)
    count = 256 // _STEP
    cells = (cells[..., 0] * count + cells[..., 1]) * count + cells[..., 2]
    part, distance = _lookup(kind)
    return part[cells], distance[cells]


def decode(
    picture: UInt8[np.ndarray, "h w 3"], kind: str
) -> tuple[UInt8[np.ndarray, "h w"], float]:
    """The parts in a coloured RGB picture, also one that a video compressed.

    Each pixel has the part whose colour is nearest. Where none is near, or where the part forms a
    line thinner than three pixels (the mixtures at edges hit colours between theirs), the nearest
    surer pixel decides, and far from any it is background: so watermarks go. So do small spots.

    Returns (the parts, the share of pixels that another pixel decided).
    """
    exact = _exact(picture, kind)
    if exact is not None:
        return exact, 0.0
    parts, distance = _looked_up(picture, kind)
    near = distance <= TOLERANCE
    sure = np.zeros(parts.shape, np.uint8)
    square = np.ones((3, 3), np.uint8)
    crumb = CRUMB * float((near & (parts > 0)).sum())
    for number in np.unique(parts[near]):
        mask = (near & (parts == number)).astype(np.uint8)
        sure |= _without_crumbs(cv2.morphologyEx(mask, cv2.MORPH_OPEN, square), crumb)
    sure[_spots(sure, parts)] = 0
    if not sure.any():
        return np.zeros_like(parts), 1.0
    away, labels = cv2.distanceTransformWithLabels(
        1 - sure, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros(labels.max() + 1, np.uint8)
    owner[labels[sure > 0]] = parts[sure > 0]
    parts = np.where(away <= REACH, owner[labels], 0).astype(np.uint8)
    return parts, float((sure == 0).mean())


def _exact(picture: np.ndarray, kind: str) -> np.ndarray | None:
    """The parts of a picture that has no colours but the map's (a PNG); else None."""
    colours = table(kind).astype(np.int32)
    packed = picture.astype(np.int32) @ (65536, 256, 1)
    known = {int(colour @ (65536, 256, 1)): i for i, colour in enumerate(colours)}
    known.setdefault(0, 0)
    present, inverse = np.unique(packed, return_inverse=True)
    if len(present) > PARTS + 2 or not all(int(value) in known for value in present):
        return None
    values = np.array([known[int(value)] for value in present], np.uint8)
    return values[inverse].reshape(packed.shape)


def _without_crumbs(mask: np.ndarray, least: float) -> np.ndarray:
    _, labels, figures, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = figures[:, cv2.CC_STAT_AREA]
    kept = areas >= least
    kept[0] = False
    return mask if kept[1:].all() else kept[labels].astype(np.uint8)


def _spots(sure: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """bool [H, W]: what lies apart from the body and is too small for one."""
    shown = ((sure > 0) & (parts > 0)).astype(np.uint8)
    # Parts of one body have unsure edges between them.
    joined = cv2.morphologyEx(shown, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    _, labels, figures, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    areas = figures[:, cv2.CC_STAT_AREA]
    small = areas < SPOT * areas[1:].sum()
    small[0] = False
    return small[labels]


def draw(iuv: UInt8[np.ndarray, "*picture 3"], drawing: Drawing) -> UInt8[np.ndarray, "*picture 3"]:
    """I, U, V as a picture for a network, RGB.

    drawing: "iuv": red I times 255 / 24, green U, blue V; "parts", "viridis", "parula": the part in
    its colour of `table`.
    """
    if drawing != "iuv":
        return table(drawing)[iuv[..., 0]]
    picture = iuv.copy()
    picture[..., 0] = _SCALE[iuv[..., 0]]
    return picture


def default_drawing(reading: Reading) -> Drawing:
    """All that the source tells: I, U, V, or the parts in colours that are far apart."""
    return "iuv" if reading.has_uv else "parts"


def check_drawing(reading: Reading, drawing: Drawing, source: str) -> None:
    """Raises UserError where I, U, V are wanted of a source that holds I alone."""
    if drawing == "iuv" and not reading.has_uv:
        raise UserError(
            f"{source} shows parts without U and V, and I, U, V are wanted; give raw IUV "
            f"pictures, or draw parts (import-data {option('densepose_as')} parts)."
        )
