"""The Fréchet and the kernel distance of features, against their formulas and known cases."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.linalg

from motion_jax.latents import distance
from motion_jax.latents.options import FrechetOptions
from motion_jax.metrics.frechet import frechet_distance, kernel_distance


def by_the_formula(a, b):
    """With whole covariances and a matrix root, as FID's published programs reckon it."""
    means = a.mean(0) - b.mean(0)
    one, two = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(one @ two).real
    return means @ means + np.trace(one + two - 2 * root)


@pytest.mark.parametrize("counts", [(60, 50), (9, 40), (7, 8)])
def test_it_is_the_frechet_distance(counts):
    """With more pictures than channels, and with fewer."""
    random = np.random.default_rng(0)
    mixing = random.normal(size=(12, 12))
    a = random.normal(size=(counts[0], 12)) @ mixing
    b = random.normal(size=(counts[1], 12)) * 1.5 + 0.3
    np.testing.assert_allclose(frechet_distance(a, b), by_the_formula(a, b), rtol=2e-3)
    np.testing.assert_allclose(frechet_distance(a, a), 0, atol=1e-9)


def test_of_normal_numbers_it_is_known():
    """Of one channel: (difference of means)^2 + (difference of deviations)^2."""
    a = np.array([[-1.0], [1.0]]) / np.sqrt(2)
    np.testing.assert_allclose(frechet_distance(a, 3 * a + 4), 16 + 4)


def test_the_kernel_distance_is_without_bias():
    random = np.random.default_rng(0)
    same = [
        kernel_distance(random.normal(size=(10, 6)), random.normal(size=(10, 6)))
        for _ in range(200)
    ]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(200)
    apart = kernel_distance(random.normal(size=(10, 6)), random.normal(size=(10, 6)) + 2)
    assert apart > 10 * np.std(same)


def test_too_few_have_no_distance():
    with pytest.raises(ValueError, match="covariance"):
        frechet_distance(np.zeros((1, 3)), np.zeros((5, 3)))


def test_the_verb_compares_made_with_true_pictures(monkeypatch, capsys):
    """Features are stood in for by mean colours: a generator of the dataset's colours is near."""
    random = np.random.default_rng(0)

    def pictures(count, shift):
        colours = np.clip(random.normal(100 + shift, 20, (count, 1, 1, 3)), 0, 255)
        return np.broadcast_to(colours, (count, 32, 32, 3)).astype(np.uint8)

    class Dataset(list):
        pass

    def model(shift):
        return SimpleNamespace(
            module=SimpleNamespace(channels=3, size=32),
            mapping=lambda truncation: lambda z: z,
            latents=lambda seed, count: count,
            drawing=lambda: lambda count: pictures(count, shift),
        )

    monkeypatch.setattr(distance, "load_resnet50", dict)
    monkeypatch.setattr(
        distance, "Features", lambda params: lambda p: p.mean((1, 2)).astype(np.float32)
    )
    true = Dataset({"frame": picture} for picture in pictures(80, 0))
    monkeypatch.setattr(distance, "open_dataset", lambda path: true)
    found = {}
    for shift in (0, 60):
        monkeypatch.setattr(distance, "load_model", lambda path, shift=shift: model(shift))
        options = FrechetOptions("run", "data", count=40, json=True)
        found[shift] = distance.frechet(options)
        assert json.loads(capsys.readouterr().out) == found[shift]
    assert found[0]["fd_r50"] < 0.2 * found[60]["fd_r50"]
    assert found[0]["fd_r50_floor"] < 0.2 * found[60]["fd_r50"]
    assert found[0]["made"] == 40 and found[0]["true"] == 80
    # With Inception's weights they are called what they are.
    monkeypatch.setattr(distance, "load_inception", lambda path: {})
    monkeypatch.setattr(distance, "InceptionFeatures", lambda _: distance.Features({}))
    distance.frechet(FrechetOptions("run", "data", count=40, inception="weights.pth"))
    told = capsys.readouterr().err
    assert "FID " in told and "KID " in told and "FD-R50" not in told and "50,000" in told
