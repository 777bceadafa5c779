"""The colour of a run's own background, taken out of its people before they are put into another.

A network is judged before one background alone, its plate's. There the edge of a person may as well
be opaque and of the plate's colour as clear, and so may a shadow: before another background both
show as a fringe of the wrong colour. Such a pixel is a mixture of the person's colour and the
plate's (as in blue-screen matting, Smith & Blinn 1996); here the person's colour is that of what
is around it and unlike the plate. The share of the plate leaves the opacity, so that the picture
before its own plate hardly changes. Only where the plate is plain: elsewhere a colour is like it by
chance.
"""

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

# How far around a pixel the person's colour is looked for (a standard deviation), and how wide the
# edge is in which the plate's colour is taken out, in heights of the picture.
AROUND, EDGE = 0.05, 0.05
# A person's colour that differs from the plate by less (grey levels, over the three colours) tells
# no mixture; from the second on it tells it fully. So does the cosine between the ways from the
# plate to the pixel and to the person's colour.
ALIKE, UNLIKE = 50.0, 100.0
ASIDE, STRAIGHT = 0.8, 0.95
# Up to the first standard deviation around a pixel the plate is plain, from the second on it is not
# (grey levels).
PLAIN, MIXED = 10.0, 20.0
# A pixel with so much of the plate's colour takes the person's.
SURE = 0.4


class Spill:
    """Takes the colour of a run's plate out of its pictures.

    Args:
      plate: as large as the pictures.
    """

    def __init__(self, plate: UInt8[np.ndarray, "h w 3"]):
        self._plate = plate.astype(np.float32)
        self._spread = max(0.5, AROUND * len(plate))
        self._wide = max(1, round(EDGE * len(plate)))
        mean = cv2.GaussianBlur(self._plate, (0, 0), self._spread)
        square = cv2.GaussianBlur(self._plate**2, (0, 0), self._spread)
        varies = np.sqrt(np.maximum(square - mean**2, 0)).max(-1)
        self._plain = np.clip((MIXED - varies) / (MIXED - PLAIN), 0, 1)

    def out_of(self, picture: UInt8[np.ndarray, "h w 4"]) -> UInt8[np.ndarray, "h w 4"]:
        """The picture (RGB and opacity) with less of the plate's colour at the edges of the person
        and in their shadow, and as much less opacity there."""
        rows, columns = (np.flatnonzero(picture[..., 3].any(axis)) for axis in (1, 0))
        if not len(rows) or not self._plain.any():
            return picture
        wide = 2 * self._wide
        there = tuple(slice(max(0, at[0] - wide), at[-1] + 1 + wide) for at in (rows, columns))
        cleaned = picture.copy()
        cleaned[there] = self._cleaned(picture[there], self._plate[there], self._plain[there])
        return cleaned

    def _cleaned(
        self,
        picture: UInt8[np.ndarray, "h w 4"],
        plate: Float32[np.ndarray, "h w 3"],
        plain: Float32[np.ndarray, "h w"],
    ) -> UInt8[np.ndarray, "h w 4"]:
        shown, alpha = picture[..., :3].astype(np.float32), picture[..., 3].astype(np.float32) / 255
        off = shown - plate
        apart = np.linalg.norm(off, axis=-1)
        # Whatever is most unlike the plate counts most.
        weight = alpha * apart**2
        own = cv2.GaussianBlur(shown * weight[..., None], (0, 0), self._spread)
        own /= np.maximum(cv2.GaussianBlur(weight, (0, 0), self._spread), 1e-3)[..., None]
        way = own - plate
        pure = np.linalg.norm(way, axis=-1)
        along = (way * off).sum(-1) / np.maximum(pure * apart, 1e-3)
        share = np.clip(1 - apart / np.maximum(pure, 1e-3), 0, 1) * plain * self._edge(alpha)
        share *= np.clip((pure - ALIKE) / (UNLIKE - ALIKE), 0, 1)
        share *= np.clip((along - ASIDE) / (STRAIGHT - ASIDE), 0, 1)
        # Without single pixels; nothing is known where the picture is clear.
        share = cv2.GaussianBlur(share * alpha, (0, 0), 0.7)
        share = (share / np.maximum(cv2.GaussianBlur(alpha, (0, 0), 0.7), 1e-3))[..., None]
        colours = shown + np.clip(share / SURE, 0, 1) * (own - shown)
        whole = np.concatenate([colours, 255 * alpha[..., None] * (1 - share)], axis=-1)
        return np.clip(np.rint(whole), 0, 255).astype(np.uint8)

    def _edge(self, alpha: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
        """1 where it is not opaque, or nearly at such a place; 0 inside."""
        wide = self._wide
        shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * wide + 1, 2 * wide + 1))
        inside = cv2.erode((alpha > 0.9).astype(np.float32), shape, borderValue=1)
        return 1 - cv2.GaussianBlur(inside, (0, 0), max(0.5, wide / 2))
