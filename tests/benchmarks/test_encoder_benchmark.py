"""The benchmark of searches that begin at an encoder's answer, on a generator of 8 pixels."""

import cv2
import numpy as np
import pytest
from tiny_generators import written

from benchmarks import encoder as module
from benchmarks import reporting
from motion_jax.latents.encoder import Encoder
from motion_jax.latents.model import load_model
from motion_jax.nets import stylegan2 as nets


def test_searches_begin_at_the_mean_and_at_the_answer(tmp_path):
    tiny = nets.Generator((6, 4), latent=6, style=6, mapping_layers=1)
    run = written(tmp_path / "g.pt", tiny)
    model, file = load_model(run), tmp_path / "e.npz"
    Encoder.begun(model, 2, 0).save(file, {})
    module.heads(tmp_path / "heads", 1)
    options = module.Options(run, file, tmp_path / "heads", count=1, steps=(0, 9))
    result = module.measure(options)
    for mean, answer in (result["rows"][:2], result["rows"][2:]):
        # This encoder answers with the mean.
        assert mean["after_0"] == pytest.approx(answer["after_0"])
        assert mean["after_9"] < mean["after_0"] and answer["after_9"] < answer["after_0"]
    assert module.section(result).splitlines()[0] == "| pictures | begun at | 0 steps | 9 steps |"


def test_the_page_has_the_saved_result():
    page = (reporting.ROOT / "docs" / "stylegan2.md").read_text()
    assert module.section(reporting.load("encoder")) in page


def test_heads_are_pictures_of_one_size_and_differ(tmp_path):
    module.heads(tmp_path / "heads", 3)
    pictures = [cv2.imread(str(path)) for path in sorted((tmp_path / "heads").iterdir())]
    assert [picture.shape for picture in pictures] == [(32, 32, 3)] * 3
    assert len({picture.tobytes() for picture in pictures}) == 3
    assert all(np.std(picture) > 20 for picture in pictures)
