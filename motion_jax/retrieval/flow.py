"""Pictures between pictures, by dense optical flow (OpenCV's DIS, Kroeger et al., ECCV 2016).

Pictures are uint8 RGB [H, W, 3]; a flow is float32 [H, W, 2], in pixels (x, y): what `a` shows at
p, `b` shows at p + flow(p).
"""

import functools
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float32, Shaped, UInt8

# DIS needs so many pixels a side for its coarsest scale; smaller pictures count as standing still.
SMALLEST = 32
# Warped pictures that differ, once blurred, by more grey levels than this show different things.
DIFFERENT = 20


def flow(
    a: UInt8[np.ndarray, "h w 3"], b: UInt8[np.ndarray, "h w 3"]
) -> Float32[np.ndarray, "h w 2"]:
    """The flow (x, y) from one picture to another; zero where they are smaller than `SMALLEST`."""
    if min(a.shape[:2]) < SMALLEST:
        return np.zeros((*a.shape[:2], 2), np.float32)
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (a, b)]
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    return method.calc(grey[0], grey[1], None)  # type: ignore[call-overload]  # None: a new flow


class Between:
    """The pictures between two pictures.

    At time t (0: a, 1: b) the flow to each of them is put together from the flows a → b and b → a
    as in Jiang et al., Super SloMo (CVPR 2018), equation 4; both are warped by it and mixed. Where
    they then still show different things the flow has failed, and the one nearer in time is taken:
    an arm that jumps looks better than two half transparent ones.
    """

    def __init__(self, a: UInt8[np.ndarray, "h w 3"], b: UInt8[np.ndarray, "h w 3"]):
        self.a, self.b = a, b
        self._flows: tuple[np.ndarray, np.ndarray] | None = None

    def __call__(self, t: float) -> UInt8[np.ndarray, "h w 3"]:
        """The picture at a time t, 0...1; at the ends `a` and `b` themselves."""
        if t <= 0 or t >= 1 or self.a is self.b:
            return self.a if t <= 0 or self.a is self.b else self.b
        if self._flows is None:
            self._flows = flow(self.a, self.b), flow(self.b, self.a)
        there, back = self._flows
        to_a = cv2.addWeighted(there, -t * (1 - t), back, t * t, 0)
        to_b = cv2.addWeighted(there, (1 - t) ** 2, back, -t * (1 - t), 0)
        a, b = warp(self.a, to_a), warp(self.b, to_b)
        apart = cv2.cvtColor(cv2.absdiff(a, b), cv2.COLOR_RGB2GRAY)
        apart = cv2.GaussianBlur(apart, (0, 0), max(1.0, a.shape[0] / 128))
        # 0 up to DIFFERENT grey levels, then rising to 255 over 21 more.
        failed = cv2.cvtColor(cv2.subtract(apart, np.full(4, float(DIFFERENT))), cv2.COLOR_GRAY2RGB)
        failed = cv2.multiply(failed, np.full(4, 12.0))
        mixed = cv2.addWeighted(a, 1 - t, b, t, 0)
        nearer = a if t < 0.5 else b
        return cv2.add(
            cv2.multiply(nearer, failed, scale=1 / 255),
            cv2.multiply(mixed, cv2.bitwise_not(failed), scale=1 / 255),
        )


def warp(
    picture: Shaped[np.ndarray, "h w c"], by: Float32[np.ndarray, "h w 2"]
) -> Shaped[np.ndarray, "h w c"]:
    """What `picture` shows at p + by(p), for every pixel p; beyond its edge what is at the edge."""
    places = by + _grid(*picture.shape[:2])
    settings = {"interpolation": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REPLICATE}
    # OpenCV's stubs do not know that None stands for y where x and y are in one array.
    return cv2.remap(picture, places, None, **settings)  # type: ignore[call-overload]


@functools.lru_cache(maxsize=4)
def _grid(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    grid = np.stack([x, y], -1).astype(np.float32)
    grid.setflags(write=False)
    return grid


def blend(
    pictures: Sequence[UInt8[np.ndarray, "h w 3"]], weights: Sequence[float]
) -> UInt8[np.ndarray, "h w 3"]:
    """The mean of several similar pictures, their parts first moved to the mean of their places.

    pictures: where they do not agree, the first one's outline counts. weights: of each, not
    negative, with a sum above 0.
    """
    shares = np.asarray(weights, np.float64) / np.sum(weights)
    kept = [(p, w) for p, w in zip(pictures, shares, strict=True) if w > 1e-3]
    if len(kept) == 1:
        return kept[0][0]
    first = pictures[0]
    still = np.zeros((*first.shape[:2], 2), np.float32)
    flows = [still if picture is first else flow(first, picture) for picture, _ in kept]
    mean = np.zeros_like(still)
    for (_, share), way in zip(kept, flows, strict=True):
        mean += np.float32(share) * way
    # A pixel p of the first goes to p + mean(p). Which one comes to p is found in two steps back.
    back = -mean
    for _ in range(2):
        back = -warp(mean, back)
    total = np.zeros(first.shape, np.float32)
    for (picture, share), way in zip(kept, flows, strict=True):
        total += np.float32(share) * warp(picture, back + warp(way, back))
    return np.clip(np.rint(total), 0, 255).astype(np.uint8)
