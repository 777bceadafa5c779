"""How far two sets of pictures are apart by a network's features.

The Fréchet distance is that of two normal distributions with the sets' means and covariances. The
kernel distance is the squared maximum mean discrepancy with the kernel (x.y / c + 1)^3, without
bias whatever the number of pictures. By the features of Inception, whose weights the user must
have, they are FID (Heusel et al. 2017) and KID (Binkowski et al. 2018, "Demystifying MMD GANs"). By
those of ResNet-50 (the last stage's means over the picture, weights of the package imgsim) they are
called FD-R50 and KD-R50: their figures cannot be compared.
"""

from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from motion_jax.nets import inception
from motion_jax.nets.resnet50 import ResNet50
from motion_jax.nets.sampling import resize

# Pictures are shown to ResNet-50 at this side, whatever theirs is.
SIDE = 224
# Pictures of one call.
_CHUNK = 16


class Features:
    """Computes ResNet-50's; params: as weights.resnet50.load_resnet50 gives them."""

    def __init__(self, params: Any):
        def made(params: Any, pictures: Any) -> Any:
            last: Any = ResNet50().apply(params, pictures.astype(jnp.float32) / 127.5 - 1.0)
            return last[-1].mean((1, 2))

        self._params, self._made = params, jax.jit(made)

    def __call__(self, pictures: UInt8[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n c"]:
        """Of each picture."""
        return in_chunks(self._made, self._params, np.stack([_shown(one) for one in pictures]))


class InceptionFeatures:
    """Computes Inception's; params: as weights.inception.load_inception gives them. Pictures are
    resized as pytorch-fid does: bilinearly, and small ones of larger ones without a filter."""

    def __init__(self, params: Any):
        def made(params: Any, pictures: Any) -> Any:
            shown = resize(pictures.astype(jnp.float32) / 255, inception.SIDE, inception.SIDE)
            return inception.Inception().apply(params, 2 * shown - 1)

        self._params, self._made = params, jax.jit(made)

    def __call__(self, pictures: UInt8[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n 2048"]:
        """Of each picture."""
        return in_chunks(self._made, self._params, pictures)


def in_chunks(made: Any, params: Any, pictures: np.ndarray) -> np.ndarray:
    """What a compiled function of (params, pictures [_CHUNK, ...]) makes of any number of them."""
    found = []
    for first in range(0, len(pictures), _CHUNK):
        part = pictures[first : first + _CHUNK]
        full = np.concatenate([part, np.repeat(part[-1:], _CHUNK - len(part), axis=0)])
        found.append(np.asarray(made(params, full))[: len(part)])
    return np.concatenate(found)


def _shown(picture: np.ndarray) -> np.ndarray:
    how = cv2.INTER_AREA if picture.shape[0] > SIDE else cv2.INTER_CUBIC
    return cv2.resize(picture, (SIDE, SIDE), interpolation=how)


def frechet_distance(a: Float[np.ndarray, "n c"], b: Float[np.ndarray, "m c"]) -> float:
    """|mean a - mean b|^2 + tr(A + B - 2 (A B)^(1/2)), A and B the covariances. Raises ValueError
    for sets of fewer than 2."""
    if min(len(a), len(b)) < 2:
        raise ValueError(f"sets of {len(a)} and {len(b)} features have no covariance")
    means = [x.astype(np.float64).mean(0) for x in (a, b)]
    rows = [
        (x - mean) / np.sqrt(len(x) - 1)
        for x, mean in zip((a.astype(np.float64), b.astype(np.float64)), means, strict=True)
    ]
    # The trace of the root of A B is the sum of singular values of the product of what the
    # covariances are squares of; no matrix of all channels is needed where there are fewer rows.
    # Any: NumPy's stubs do not know what mode "r" gives.
    roots: list[Any] = [np.linalg.qr(x, mode="r") if len(x) > x.shape[1] else x for x in rows]
    shared = float(np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum())
    spread = sum(float(np.square(x).sum()) for x in rows)
    return max(float(np.square(means[0] - means[1]).sum() + spread - 2 * shared), 0.0)


def kernel_distance(a: Float[np.ndarray, "n c"], b: Float[np.ndarray, "m c"]) -> float:
    """See the module; near 0 (below it, too) for sets of one distribution. Raises ValueError for
    sets of fewer than 2."""
    n, m = len(a), len(b)
    if min(n, m) < 2:
        raise ValueError(f"sets of {n} and {m} features are too few")
    a, b = a.astype(np.float64), b.astype(np.float64)

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y.T / x.shape[1] + 1.0) ** 3

    own = [kernel(x, x) for x in (a, b)]
    inside = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in own]
    return float(inside[0] + inside[1] - 2 * kernel(a, b).mean())
