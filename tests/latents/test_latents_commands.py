"""blend, project and factors from files to pictures, on generators of 16 pixels."""

import re

import cv2
import jax
import numpy as np
import pytest
from tiny_generators import MODULE, written

from motion_jax.cli import main
from motion_jax.latents import blend, project
from motion_jax.latents.model import load_model
from motion_jax.nets import stylegan2 as nets
from motion_jax.nets.stylegan2_discriminator import Discriminator
from motion_jax.weights import stylegan2 as keys
from motion_jax.weights.torch import write_nested


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generators")
    return written(folder / "low.pt"), written(folder / "high.pt", seed=1)


def test_weights_blended_are_a_run(files, tmp_path):
    out = tmp_path / "run"
    words = [*map(str, files), "--out", str(out), "--resolution", "4", "--count", "2"]
    main(["blend", *words, "--width", "1"])
    low, high, mixed = (load_model(path) for path in (*files, out))
    sheet = cv2.imread(str(out / "blend.png"))
    assert sheet is not None and np.ptp(sheet) > 20
    for model, part in ((low, 1.0), (high, 0.0)):
        mapping = "mapping", "layer_0", "weight"
        same = np.array_equal(at(mixed, *mapping), at(model, *mapping))
        assert same == bool(part)
    # Logistic: two places after the second of 4x4 it is 1 / (1 + e^-1) of the high one.
    layer = "synthesis", "level_8_conv_1", "weight"
    share = blend.share(3, 4, 0, 1.0)
    expected = at(low, *layer) + share * (at(high, *layer) - at(low, *layer))
    np.testing.assert_allclose(at(mixed, *layer), expected, rtol=1e-6)


def at(model, *path):
    value = model.variables["params"]
    for name in path:
        value = value[name]
    return np.asarray(value)


def test_a_swap_makes_pictures(files, tmp_path):
    out = tmp_path / "swap"
    main(["blend", *map(str, files), "--out", str(out), "--method", "swap", "--resolution", "8",
          "--count", "2"])  # fmt: skip
    assert [path.name for path in out.iterdir()] == ["blend.png"]


def test_directions_are_of_the_layers_that_are_asked_for(files, tmp_path):
    main(["factors", str(files[0]), "--out", str(tmp_path), "--count", "2", "--first", "2"])
    assert cv2.imread(str(tmp_path / "factors.png")) is not None
    found = np.load(tmp_path / "factors.npz")
    rows = [at(load_model(files[0]), "synthesis", f"level_{r}_conv_{n}", "affine", "weight").T
            for r in (8, 16) for n in (0, 1)]  # fmt: skip
    _, values, turned = np.linalg.svd(np.concatenate(rows[1:]))
    np.testing.assert_allclose(found["values"], values, rtol=1e-5)
    np.testing.assert_allclose(np.abs(found["eigvec"]), np.abs(turned.T), atol=1e-4)


def test_a_picture_of_its_own_is_found(files, tmp_path):
    model = load_model(files[0])
    picture = model.drawn(model.mapped(model.latents(3, 1)))[0]
    cv2.imwrite(str(tmp_path / "given.png"), picture[..., ::-1])
    out = tmp_path / "found"
    main(["project", str(tmp_path / "given.png"), "--run", str(files[0]), "--out", str(out),
          "--steps", "60", "--blend", str(files[1]), "--noise-weight", "10"])  # fmt: skip
    found = np.load(out / "latents.npz")
    begun = model.drawn(nets.repeated(model.centre[None], 6))
    start = np.square(begun / 127.5 - picture / 127.5).mean()
    assert found["errors"][0] < 0.5 * start
    assert found["ws"].shape == (1, 6, 6) and found["noise_4"].shape == (1, 16, 16)
    assert cv2.imread(str(out / "given.png")).shape[1] > 3 * 16


def test_features_of_a_network_are_compared_too(files, tmp_path, monkeypatch):
    """A perceptual loss beside that of the pixels leads to another code."""
    model = load_model(files[0])
    given = np.full((16, 16, 3), 200, np.uint8)
    monkeypatch.setattr(
        project, "feature_distance", lambda kind, dtype, w, a, b: w * (a - b).mean()
    )
    codes, search = [], project.Search(4, perceptual="resnet50", noise_weight=0)
    for weight in (0.0, 5.0):
        projector = project.Projector(model, "w", weights=jax.numpy.float32(weight))
        begun = project.Found.begun(projector.start(), projector.noise(0))
        codes.append(np.asarray(projector.look(begun, given, search, 0)[0].code))
    assert not np.allclose(*codes)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint of training: a generator and its discriminator."""
    judge = Discriminator((6, 4, 4))
    path = written(tmp_path_factory.mktemp("trained") / "both.pt")
    image = jax.numpy.zeros((1, 16, 16, 3))
    variables = jax.jit(judge.init)(jax.random.key(2), image)
    made = jax.jit(MODULE.init)(jax.random.key(0), jax.numpy.zeros((1, 6)))
    networks = {"g_ema": (MODULE, made), "d": (judge, variables)}
    write_nested(
        path,
        {
            name: keys.state_dict(tree, keys.described(module), "rosinality")
            for name, (module, tree) in networks.items()
        },
    )
    return path


def test_one_picture_is_a_style(trained, tmp_path, capsys):
    random = np.random.default_rng(0)
    cv2.imwrite(str(tmp_path / "style.png"), random.integers(0, 256, (16, 16, 3)).astype(np.uint8))
    out = tmp_path / "run"
    words = ["one-style", str(tmp_path / "style.png"), "--run", str(trained), "--out", str(out)]
    main([*words, "--steps", "40", "--search", "5", "--first", "2", "--count", "2",
          "--learning-rate", "0.02"])  # fmt: skip
    told = capsys.readouterr().err
    start, end = map(float, re.search(r"by ([\d.]+) at the start, ([\d.]+) now", told).groups())
    assert end < 0.9 * start
    assert cv2.imread(str(out / "style.png")).shape[1] > 2 * 16
    before, after = load_model(trained), load_model(out)
    assert np.array_equal(at(before, "mapping", "layer_0", "weight"),
                          at(after, "mapping", "layer_0", "weight"))  # fmt: skip
    moved = "synthesis", "level_16_conv_1", "weight"
    assert not np.allclose(at(before, *moved), at(after, *moved))


def test_the_search_ends_as_it_is_meant_to():
    search = project.Search(steps=100)
    rates = [search.rate(i) for i in range(100)]
    assert rates[0] == 0 and max(rates) == 0.1 and rates[-1] < 1e-3
    assert search.strength(0, 2.0) == 0.1 and search.strength(75, 2.0) == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["blend", "{low}", "{other}", "--out", "{new}"], "differ in widths"),
        (["blend", "{low}", "{high}", "--out", "{new}", "--resolution", "32"], "is none of the"),
        (["blend", "{low}", "{high}", "--out", "{new}", "--width", "0"], "more than 0"),
        (["factors", "{low}", "--out", "{new}", "--first", "7"], "holds no layer"),
        (["project", "{gone}", "--run", "{low}", "--out", "{new}"], "There is no"),
        (
            ["project", "{low}", "--run", "{low}", "--out", "{new}", "--perceptual", "resnet50"],
            "pixels or more",
        ),
        (["one-style", "{gone}", "--run", "{low}", "--out", "{new}"], "mixes none"),
        (["frechet", "{low}", "--data", "{gone}", "--count", "3"], "too few"),
        (
            ["one-style", "{gone}", "--run", "{low}", "--out", "{new}", "--first", "2"],
            "no discriminator",
        ),
    ],
)
def test_what_cannot_be_is_said(files, tmp_path, words, sentence, capsys):
    other = nets.Generator((6, 4), latent=6, style=6, mapping_layers=1)
    places = {name: tmp_path / name for name in ("new", "gone")}
    places |= {"low": files[0], "high": files[1], "other": written(tmp_path / "other.pt", other)}
    with pytest.raises(SystemExit) as stopped:
        main([word.format(**places) for word in words])
    assert stopped.value.code == 2 and sentence in capsys.readouterr().err
    assert not list((tmp_path / "new").glob("*"))
