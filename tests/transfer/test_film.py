"""The one writer of films."""

import av
import numpy as np
import pytest

from motion_jax.transfer.film import COMPOSITE, SYNTHETIC, Film, cropped, synthetic_tags
from motion_jax.transfer.source import Moment
from motion_jax.video.reader import frame_times


def test_a_film_begins_with_its_first_picture(tmp_path):
    path = tmp_path / "out" / "film.mp4"
    with Film(path, {"title": "A title"}) as film:
        assert not path.parent.exists(), "nothing is known of it yet"
        for i in range(4):
            film.add(np.full((16, 18, 3), 60 * i, np.uint8), 7.0 + i / 10)
    np.testing.assert_allclose(frame_times(path), np.arange(4) / 10, atol=1e-3)
    with av.open(str(path)) as container:
        assert container.metadata["title"] == "A title"


def test_a_failure_leaves_nothing(tmp_path):
    path = tmp_path / "film.mp4"
    with pytest.raises(RuntimeError, match="no more"), Film(path, {}) as film:
        film.add(np.zeros((16, 16, 3), np.uint8), 0.0)
        raise RuntimeError("no more")
    with Film(path, {}):
        pass
    assert not list(tmp_path.iterdir())


def test_what_a_film_says_of_itself(tmp_path):
    tags = synthetic_tags("ben", "Made.", tmp_path / "ada.mp4", run="r")
    assert tags["title"] == "Synthetic video: ben moving like ada.mp4"
    assert tags["digital_source_type"] == SYNTHETIC and tags["motion_jax_run"] == "r"
    assert str(tmp_path) not in str(tags) and tags["motion_jax_synthetic"] == "true"
    tags = synthetic_tags("ben", "Made.", tmp_path / "ada.mp4", kind=COMPOSITE)
    assert tags["digital_source_type"] == COMPOSITE


def test_bars_are_cut_off():
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    [(moment, cut)] = cropped([(Moment(1.0, None), picture)], (1, 0, 4, 3))
    np.testing.assert_array_equal(cut, picture[1:, :3])
    assert moment.time == 1.0 and cut.flags.c_contiguous
    [(_, same)] = cropped([(moment, picture)], (0, 0, 4, 4))
    assert same is picture
