"""An encoder of a generator: how it begins, what it learns, where its answers go, what is refused.
On generators of 8 pixels."""

import re
from types import SimpleNamespace

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_generators import written

from motion_jax import events
from motion_jax.cli import main
from motion_jax.latents import project, train_encoder
from motion_jax.latents.encoder import Encoder, load_encoder
from motion_jax.latents.model import load_model
from motion_jax.latents.options import EncoderOptions
from motion_jax.nets import stylegan2 as nets
from motion_jax.recipes.network import applied
from motion_jax.recipes.pixels import to_uint8
from motion_jax.weights import stylegan2 as keys
from motion_jax.weights.safetensors import write_safetensors

MODULE = nets.Generator((6, 4), latent=6, style=6, mapping_layers=1)
TRAINING = ("--steps", "150", "--width", "4", "--learning-rate", "0.01")


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    return written(tmp_path_factory.mktemp("generator") / "g.pt", MODULE)


@pytest.fixture(scope="module")
def model(generator):
    return load_model(generator)


@pytest.fixture(scope="module")
def trained(generator, tmp_path_factory):
    path = tmp_path_factory.mktemp("encoder") / "e.npz"
    main(["encoder", str(generator), "--out", str(path), *TRAINING])
    return path


@pytest.fixture(scope="module")
def pictures(model):
    """Of latents that no training has seen."""
    return model.drawn(model.mapped(model.latents(99, 16)))


def lessons(model, key, count):
    made = jax.jit(lambda key: train_encoder.lesson(model.module, model.variables, key, count))
    return made(key)


def test_an_untrained_encoder_answers_with_the_mean(model, pictures):
    begun = Encoder.begun(model, 4, 0)
    answer = begun.answering()(pictures[:3])
    mean = project.Projector(model, "w_plus").start()
    np.testing.assert_array_equal(answer, np.repeat(mean, 3, axis=0))
    # A number of w is on average as far from the mean as its unit says.
    z = jnp.asarray(model.latents(0, 4096))
    w = applied(model.module, model.variables, z, method="map")
    assert np.square((w - w.mean(0)) / begun.spread).mean() == pytest.approx(1.0, rel=1e-4)


def test_a_trained_one_is_nearer_to_fresh_pictures_than_the_mean(model, trained, pictures):
    answer = load_encoder(trained, model).answering()(pictures)
    mean = project.Projector(model, "w_plus").start()
    apart = [np.abs(model.drawn(ws) / 127.5 - pictures / 127.5).mean() for ws in (answer, mean)]
    assert apart[0] < 0.7 * apart[1]
    # Each layer has an answer of its own.
    assert all(np.ptp(np.asarray(answer), axis=1).max(axis=-1) > 0)


def test_the_same_seed_makes_the_same_file(generator, trained, tmp_path):
    main(["encoder", str(generator), "--out", str(tmp_path / "again.npz"), *TRAINING])
    assert (tmp_path / "again.npz").read_bytes() == trained.read_bytes()


def test_gradients_reach_all_weights(model, pictures):
    """Also where the picture alone is known."""
    begun = Encoder.begun(model, 2, 0)
    options = EncoderOptions(model.path, model.path)
    keyed = jax.random.key(1)
    known = lessons(model, keyed, 4)
    # With the first weights, 0 in the last layer, they reach none of the layers before it.
    leaves, tree = jax.tree.flatten(begun.variables)
    moved = [
        leaf + 0.1 * jax.random.normal(jax.random.fold_in(keyed, i), leaf.shape)
        for i, leaf in enumerate(leaves)
    ]
    real = jnp.asarray(pictures[:4] / 127.5 - 1, jnp.float32)

    @jax.jit
    def gradients(learned):
        def parts(learned):
            given = (model.variables, None)
            return train_encoder.distances(begun, model, options, learned, given, known, real)[1]

        found, pulled = jax.vjp(parts, learned)
        none = jax.tree.map(jnp.zeros_like, found)
        return [pulled(none | {name: jnp.float32(1.0)})[0] for name in ("latents", "real")]

    for gradient in jax.tree.leaves(gradients(jax.tree.unflatten(tree, moved))):
        assert np.abs(np.asarray(gradient)).max() > 0


def test_the_loss_is_the_sum_of_what_is_asked_for(model, monkeypatch):
    monkeypatch.setattr(
        train_encoder, "feature_distance", lambda kind, dtype, w, a, b: w * jnp.square(a - b).mean()
    )
    options = EncoderOptions(
        model.path, model.path, picture_weight=3.0, perceptual="resnet50", perceptual_weight=5.0
    )
    begun = Encoder.begun(model, 2, 0)
    known = lessons(model, jax.random.key(1), 4)
    given = (model.variables, jnp.float32(2.0))
    loss, parts = jax.jit(
        lambda learned: train_encoder.distances(begun, model, options, learned, given, known, None)
    )(begun.variables)
    mean = jnp.broadcast_to(model.spread()[0], known.ws.shape)
    made = applied(model.module, model.variables, mean, known.noise, method="draw")
    expected = {
        "latents": np.square((mean - known.ws) / begun.spread).mean(),
        "pictures": np.abs(made - known.images).mean(),
        "pictures_features": 2 * np.square(made - known.images).mean(),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(parts[name], value, rtol=1e-4)
    weighted = zip((1.0, 3.0, 5.0), expected.values(), strict=True)
    np.testing.assert_allclose(loss, sum(w * value for w, value in weighted), rtol=1e-4)


def test_lessons_mix_two_latents_at_a_layer(model):
    ws = np.asarray(lessons(model, jax.random.key(0), 64).ws)
    changes = (ws[:, 1:] != ws[:, :-1]).any(-1)
    assert set(changes.sum(1)) == {0, 1} and changes.any(0).all()
    assert 0.5 < changes.any(1).mean() < 1


def test_real_pictures_are_learned_too(generator, pictures, tmp_path, capsys):
    folder = tmp_path / "real"
    folder.mkdir()
    for i, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"{i}.png"), picture[..., ::-1])
    words = ["encoder", str(generator), "--out", str(tmp_path / "e.npz"), "--width", "4"]
    main([*words, "--pictures", str(folder), "--steps", "60", "--learning-rate", "0.01"])
    told = capsys.readouterr().err
    before, after = map(float, re.search(r"real pictures.*: ([\d.]+), ([\d.]+)\.\n", told).groups())
    assert after < 0.9 * before
    assert '"pictures": 16' in str(np.load(tmp_path / "e.npz")["about"])


def searched(model, trained, tmp_path, source, *words):
    """(what project wrote, the encoder's answers)."""
    main(["project", str(source), "--run", str(model.path), "--encoder", str(trained),
          "--out", str(tmp_path / "found"), *words])  # fmt: skip
    return np.load(tmp_path / "found" / "latents.npz"), load_encoder(trained, model).answering()


@pytest.mark.parametrize("space", ["w_plus", "w"])
def test_without_a_search_the_answer_is_what_is_found(model, trained, pictures, tmp_path, space):
    folder = tmp_path / "given"
    folder.mkdir()
    for i in range(2):
        cv2.imwrite(str(folder / f"{i}.png"), pictures[i][..., ::-1])
    words = ("--steps", "0", "--space", space)
    found, answer = searched(model, trained, tmp_path, folder, *words)
    expected = np.concatenate([answer(pictures[i : i + 1]) for i in range(2)])
    if space == "w":
        expected = np.repeat(expected.mean(1, keepdims=True), 4, axis=1)
    np.testing.assert_allclose(found["ws"], expected, rtol=1e-6)
    noise = [jnp.asarray(found[f"noise_{i}"]) for i in range(3)]
    assert [maps.shape for maps in noise] == [(1, 4, 4), (1, 8, 8), (1, 8, 8)]
    made = to_uint8(
        applied(model.module, model.variables, jnp.asarray(found["ws"]), noise, method="draw")
    )
    apart = np.square(np.asarray(made) / 127.5 - pictures[:2] / 127.5).mean((1, 2, 3))
    np.testing.assert_allclose(found["errors"], apart, rtol=1e-4)


def test_frames_of_a_film_are_answered_each_by_itself(
    model, trained, pictures, tmp_path, monkeypatch
):
    film = tmp_path / "film.mp4"
    film.touch()
    frames = [SimpleNamespace(image=each) for each in pictures[:3]]
    monkeypatch.setattr(project, "read_frames", lambda path: iter(frames))
    words = ("--steps", "0", "--space", "w_plus", "--max-frames", "3")
    found, answer = searched(model, trained, tmp_path, film, *words)
    expected = np.concatenate([answer(pictures[i : i + 1]) for i in range(3)])
    np.testing.assert_array_equal(found["ws"], expected)


def test_a_search_begins_at_the_answer(model, trained, pictures, tmp_path):
    """The rate of its first step is 0."""
    cv2.imwrite(str(tmp_path / "given.png"), pictures[0][..., ::-1])
    words = ("--steps", "1", "--space", "w_plus")
    found, answer = searched(model, trained, tmp_path, tmp_path / "given.png", *words)
    np.testing.assert_array_equal(found["ws"], answer(pictures[:1]))


def test_a_generator_is_known_in_any_file(model, tmp_path):
    state = keys.state_dict(model.variables, keys.described(model.module), "nvlabs")
    write_safetensors(tmp_path / "same.safetensors", state)
    other = written(tmp_path / "other.pt", MODULE, seed=1)
    assert load_model(tmp_path / "same.safetensors").fingerprint() == model.fingerprint()
    assert load_model(other).fingerprint() != model.fingerprint()


def test_nothing_half_made_is_left(model, tmp_path, monkeypatch):
    def interrupted(path, **arrays):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    options = EncoderOptions(
        model.path, tmp_path / "new" / "e.npz", steps=150, width=4, learning_rate=0.01
    )
    stop = events.StopToken()
    stop.stop()
    with events.watched(None, stop), pytest.raises(events.Stopped):
        train_encoder.encoder(options)
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Encoder.begun(model, 2, 0).save(options.out, {})
    assert not list((tmp_path / "new").iterdir())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["encoder", "{g}", "--out", "{new}/e.pt"], "ends in .npz"),
        (["encoder", "{g}", "--out", "{e}"], "is there already"),
        (["encoder", "{g}", "--out", "{new}/e.npz", "--steps", "0"], "must be 1 or more"),
        (["encoder", "{g}", "--out", "{new}/e.npz", "--seed", "-1"], "must be 0 or more"),
        (["encoder", "{g}", "--out", "{new}/e.npz", "--learning-rate", "0"], "must be above 0"),
        (["encoder", "{g}", "--out", "{new}/e.npz", "--picture-weight", "-1"], "0 or more"),
        (["encoder", "{g}", "--out", "{new}/e.npz", "--perceptual", "vgg19"], "pixels or more"),
        (["encoder", "{g}", "--out", "{new}/e.npz", "--pictures", "{gone}"], "There is no folder"),
        (["encoder", "{g}", "--out", "{new}/e.npz", "--pictures", "{empty}"], "no pictures"),
        (
            ["encoder", "{g}", "--out", "{new}/e.npz", "--pictures", "{empty}",
             "--picture-weight", "0"],
            "nothing to learn",
        ),
        (
            ["encoder", "{g}", "--out", "{new}/e.npz", "--steps", "3", "--width", "4",
             "--learning-rate", "1e38"],
            "lower --learning-rate",
        ),
        (["encoder", "{grey}", "--out", "{new}/e.npz"], "1 channels"),
        (["encoder", "{e}", "--out", "{new}/e.npz"], "{e}"),
        (["project", "{p}", "--run", "{g}", "--out", "{new}", "--steps", "0"], "1 or more"),
        (["project", "{empty}", "--run", "{g}", "--out", "{new}"], "holds no pictures"),
        (
            ["project", "{p}", "--run", "{g}", "--out", "{new}", "--encoder", "{e}",
             "--steps", "-1"],
            "0 or more",
        ),
        (
            ["project", "{p}", "--run", "{g}", "--out", "{new}", "--encoder", "{e}",
             "--space", "z"],
            "no z is known",
        ),
        (
            ["project", "{p}", "--run", "{other}", "--out", "{new}", "--encoder", "{e}"],
            "encoder of another generator",
        ),
        (
            ["project", "{p}", "--run", "{g}", "--out", "{new}", "--encoder", "{gone}"],
            "There is no encoder",
        ),
        (
            ["project", "{p}", "--run", "{g}", "--out", "{new}", "--encoder", "{latents}"],
            "no encoder",
        ),
        (["project", "{p}", "--run", "{g}", "--out", "{new}", "--encoder", "{half}"], "damaged"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(generator, trained, tmp_path, words, sentence, capsys):
    places = {name: tmp_path / name for name in ("new", "gone", "empty")}
    places |= {"g": generator, "e": trained, "p": tmp_path / "p.png"}
    places |= {"latents": tmp_path / "latents.npz", "half": tmp_path / "half.npz"}
    places["empty"].mkdir()
    cv2.imwrite(str(places["p"]), np.zeros((8, 8, 3), np.uint8))
    np.savez(places["latents"], names=np.array(["a"]), ws=np.zeros((1, 4, 6)))
    places["half"].write_bytes(trained.read_bytes()[:-500])
    if "{other}" in words:
        places["other"] = written(tmp_path / "other.pt", MODULE, seed=1)
    if "{grey}" in words:
        places["grey"] = written(tmp_path / "grey.pt", MODULE.copy(channels=1))
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([word.format(**places) for word in words])
    told = capsys.readouterr().err
    assert stopped.value.code == 2 and sentence.format(**places) in told
    assert "Traceback" not in told and not list(places["new"].glob("*"))
