"""The figures of the First Order Motion Model's paper."""

import numpy as np
import pytest

from motion_jax.evaluate.paper import PaperProtocol, Totals, keypoint_figures, lines, section
from motion_jax.evaluate.report import title
from motion_jax.evaluate.score import Piece


def points(*rows):
    found = np.zeros((137, 3), np.float32)
    found[: len(rows)] = rows
    return found


def test_keypoint_distance_and_missing_rate():
    totals = Totals()
    real = points((1, 1, 1), (4, 4, 0.9), (7, 7, 0.8), (9, 9, 0.05))
    keypoint_figures(totals, real, points((4, 5, 1), (4, 4, 0.9), (0, 0, 0), (1, 1, 1)))
    found = totals.means()
    # 5 and 0 pixels; of three points one is missing; what is not in the real one does not count.
    assert found["akd"] == pytest.approx(2.5)
    assert found["mkr"] == pytest.approx(1 / 3)
    assert found["l1"] is None


def test_pictures_are_looked_at_large_and_figures_are_in_their_own_pixels():
    real = np.zeros((3, 32, 32, 3), np.uint8)
    fakes = {"trained": real + 51, "photo": real}
    seen = []

    def landmarks(picture):
        seen.append(picture.shape)
        return points((16 if picture.max() else 0, 8, 1.0))

    def embedding(pictures):
        return np.stack([[float(p.max() > 0), 0.0] for p in pictures])

    protocol = PaperProtocol(landmarks, embedding, most=2)
    piece = Piece(real, fakes, np.zeros((3, 137, 3)), np.zeros((3, 4)), True, ["a", "b", "c"])
    assert list(protocol.tap([piece])) == [piece]
    found = protocol.results({})
    assert set(seen) == {(256, 256, 3)} and found["frames_with_landmarks"] == 2
    assert found["methods"]["trained"] == {
        "l1": pytest.approx(0.2), "akd": pytest.approx(2.0), "mkr": 0.0, "identity": 1.0
    }  # fmt: skip
    assert found["methods"]["photo"]["identity"] == 0
    assert "AKD" in section(found, title) and "L1 0.2" in lines(found, title)[1]
