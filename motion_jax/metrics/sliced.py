"""How far two sets of pictures are apart where no picture has a partner: the sliced Wasserstein
distance of their patches (Karras, Aila, Laine, Lehtinen: Progressive Growing of GANs; ICLR 2018).

Patches of each level of a Laplacian pyramid are projected on random directions; along a direction
the distance of two sets is the mean difference of their sorted values. No weights are needed, and
the same pictures always give the same number.
"""

import cv2
import numpy as np
from jaxtyping import UInt8

# Side of a patch, patches of each picture on each level, directions.
PATCH, PATCHES, DIRECTIONS = 7, 64, 128
# Levels are halved down to this side.
LEAST = 16
SEED = 0


def sliced_wasserstein(
    pictures: UInt8[np.ndarray, "n _ _ 3"], others: UInt8[np.ndarray, "m _ _ 3"]
) -> float:
    """Mean over the levels, in units of the patches' standard deviation.

    pictures, others: of one size. Raises ValueError for different sizes, for none, and for pictures
    smaller than a patch.
    """
    if pictures.shape[1:] != others.shape[1:]:
        raise ValueError(f"pictures of {pictures.shape[1:]} and {others.shape[1:]}")
    if not len(pictures) or not len(others):
        raise ValueError("a set holds no picture")
    if min(pictures.shape[1:3]) < PATCH:
        raise ValueError(f"pictures of {pictures.shape[1:3]} are smaller than a patch of {PATCH}")
    levels = [_levels(each) for each in (pictures, others)]
    distances = []
    for number, (mine, theirs) in enumerate(zip(*levels, strict=True)):
        random = np.random.default_rng((SEED, number))
        a, b = _patches(mine, random), _patches(theirs, random)
        # Each colour channel by the true pictures' mean and deviation, so that levels weigh alike.
        mean, deviation = b.mean((0, 1)), b.std((0, 1)) + 1e-6
        a, b = (((x - mean) / deviation).reshape(len(x), -1) for x in (a, b))
        directions = random.standard_normal((a.shape[1], DIRECTIONS))
        directions /= np.linalg.norm(directions, axis=0)
        share = (np.arange(min(len(a), len(b))) + 0.5) / min(len(a), len(b))
        sorted_a, sorted_b = (np.quantile(x @ directions, share, axis=0) for x in (a, b))
        distances.append(np.abs(sorted_a - sorted_b).mean())
    return float(np.mean(distances))


def _levels(pictures: np.ndarray) -> list[np.ndarray]:
    """The Laplacian pyramid of each picture, the coarsest level last; float32 in 0...1."""
    rest, found = [p.astype(np.float32) / 255 for p in pictures], []
    while min(rest[0].shape[:2]) >= 2 * LEAST:
        smaller = [cv2.pyrDown(p) for p in rest]
        size = rest[0].shape[1], rest[0].shape[0]
        found.append(
            np.stack([p - cv2.pyrUp(s, dstsize=size) for p, s in zip(rest, smaller, strict=True)])
        )
        rest = smaller
    return [*found, np.stack(rest)]


def _patches(pictures: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """[N * PATCHES, PATCH * PATCH, 3] at random places."""
    count, height, width = pictures.shape[:3]
    top = random.integers(height - PATCH + 1, size=(count, PATCHES))
    left = random.integers(width - PATCH + 1, size=(count, PATCHES))
    rows = top[..., None, None] + np.arange(PATCH)[:, None]
    columns = left[..., None, None] + np.arange(PATCH)[None, :]
    chosen = pictures[np.arange(count)[:, None, None, None], rows, columns]
    return chosen.reshape(count * PATCHES, PATCH * PATCH, 3)
