"""What the detector sees in the source's dance by all methods."""

import numpy as np
import pytest

from motion_jax.compare import dance
from motion_jax.compare.movers import Clip
from motion_jax.compare.score import ComparedMoment
from motion_jax.evaluate.reestimate import Reestimation
from motion_jax.video.reader import read_frames

COUNT, SIZE = 14, 32


def clip(seed: int) -> Clip:
    random = np.random.default_rng(seed)
    keypoints = random.uniform(2, SIZE - 2, (COUNT, 137, 3)).astype(np.float32)
    keypoints[..., 2] = 1
    times = np.arange(COUNT) / 25 + seed
    return Clip(keypoints, np.zeros((COUNT, 4), np.float32), lambda a, b: None, times)


def test_each_method_is_asked_for_the_pose_that_was_wanted(monkeypatch):
    """Two clips, two methods: one's person is two pixels off, the other has none in the second."""
    clips = [clip(0), clip(1)]
    grey = {"a": 40, "b": 200}
    moments = [
        ComparedMoment(
            float(time),
            np.zeros((SIZE, SIZE, 3), np.uint8),
            {name: np.full((SIZE, SIZE, 3), level, np.uint8) for name, level in grey.items()},
            None,
        )
        for each in clips
        for time in each.times
    ]

    ended = []

    def filmed():
        yield from moments
        ended.append(True)

    def estimate(self, path, count):
        """By the video's brightness it is known whose it is."""
        assert count == COUNT
        level = next(read_frames(path)).image.mean()
        number = int(path.name.split("-")[0])
        found = clips[number].keypoints * np.float32([8, 8, 1])
        if abs(level - grey["a"]) < 5:
            return found + np.float32([16, 0, 0])
        assert abs(level - grey["b"]) < 5
        return found if number == 0 else np.zeros_like(found)

    monkeypatch.setattr(Reestimation, "_estimate", estimate)
    with Reestimation(None, "body", 100) as estimation:
        passed = list(dance.estimated(filmed(), clips, estimation))
        found = dance.figures(estimation, list(grey))
    assert [moment.time for moment in passed] == [moment.time for moment in moments]
    assert passed[3] is moments[3] and ended
    assert found["a"]["dance_person_found"] == 1.0
    assert found["a"]["dance_pose_distance"] == pytest.approx(2.0, abs=1e-3)
    assert found["b"]["dance_person_found"] == 0.5
    assert found["b"]["dance_pose_distance"] == pytest.approx(0.0, abs=1e-3)
