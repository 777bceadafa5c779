"""How well scores tell two classes apart: the receiver operating characteristic (Fawcett 2006)."""

import numpy as np
from jaxtyping import Bool, Float


def curve(
    scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """(false positive rates, true positive rates) of all thresholds, from (0, 0) to (1, 1).

    Examples of one score pass a threshold together: between them the curve is a straight line.
    Raises ValueError where one class is missing.
    """
    _check(positive)
    order = np.argsort(-scores, kind="stable")
    scores, positive = scores[order], positive[order]
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    true = np.cumsum(positive)[last]
    false = 1 + last - true
    return (
        np.concatenate([[0.0], false / (~positive).sum()]),
        np.concatenate([[0.0], true / positive.sum()]),
    )


def area(scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> float:
    """The area under the curve: the probability that a positive example scores above a negative
    one, where equal scores count half (Hanley & McNeil 1982). Raises ValueError as `curve`."""
    false, true = curve(scores, positive)
    return float(np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2))


def found_at(
    scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"], false_rate: float
) -> float:
    """The largest true positive rate of a threshold with at most this false positive rate. Raises
    ValueError as `curve`."""
    false, true = curve(scores, positive)
    return float(true[false <= false_rate].max())


def _check(positive: Bool[np.ndarray, " n"]) -> None:
    if positive.all() or not positive.any():
        raise ValueError("both classes are needed, positive and negative examples")
