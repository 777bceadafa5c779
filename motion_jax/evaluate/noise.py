"""How far a difference of two methods may be chance: what is inside it is called a tie."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Real

# Neighbouring frames are alike: so many stretches of them, at most, count as one observation each.
BLOCKS = 10
# Differences that nobody sees, whatever the noise is (judgements): PSNR in dB, SSIM, LPIPS, change
# in grey levels.
UNSEEN = {"psnr": 0.1, "ssim": 0.003, "lpips": 0.003, "flicker": 0.1}


def noise(ours: Real[np.ndarray, " n"], theirs: Real[np.ndarray, " n"]) -> float:
    """Two standard errors of the mean difference of two methods' figures of the same frames, from
    the means of consecutive stretches; infinite where fewer than two frames have both."""
    apart = np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)
    apart = apart[np.isfinite(apart)]
    if len(apart) < 2:
        return float("inf")
    means = np.array([part.mean() for part in np.array_split(apart, min(BLOCKS, len(apart)))])
    return float(2 * means.std(ddof=1) / np.sqrt(len(means)))


def noises(
    ours: Mapping[str, Real[np.ndarray, " n"]], theirs: Mapping[str, Real[np.ndarray, " n"]]
) -> dict[str, float | None]:
    """`noise` of each figure that both have by frame; None where it cannot be told (JSON has no
    infinity)."""
    found = {name: noise(ours[name], theirs[name]) for name in ours if name in theirs}
    return {name: value if np.isfinite(value) else None for name, value in found.items()}


def least_difference(name: str, noise: float | None) -> float:
    """From which difference on a figure counts as better; infinite for a noise that is None."""
    kind = name.rpartition("_")[2]
    return max(float("inf") if noise is None else noise, UNSEEN.get(kind, 0.0))
