"""From two generators to a film with drawn faces: pairs, training, export, and the film."""

import av
import cv2
import jax
import numpy as np
import pytest

from motion_jax.cli import main
from motion_jax.config import Config, Record
from motion_jax.data.records import open_dataset
from motion_jax.errors import UserError
from motion_jax.faces import align
from motion_jax.faces.find import in_pictures
from motion_jax.latents.pair_faces import likeness, oval_of
from motion_jax.live.command import live
from motion_jax.live.graphs import Elsewhere
from motion_jax.live.options import LiveOptions
from motion_jax.nets import stylegan2 as nets
from motion_jax.recipes import face_style
from motion_jax.train.loop import train
from motion_jax.train.record import read_metrics
from motion_jax.train.run import load_run
from motion_jax.transfer.stylise import stylise
from motion_jax.transfer.stylise_options import StyliseOptions
from motion_jax.transfer.translator import Translator, shown_as
from motion_jax.video.reader import read_frames
from motion_jax.weights import stylegan2 as keys
from motion_jax.weights.torch import write_nested

MODULE = nets.Generator((4, 4, 4, 4), latent=4, style=4, mapping_layers=1)
RECIPE = face_style.FaceStyle(
    generator=face_style.Generator(norm="instance", dropout=False, ngf=4, n_downsampling=5),
    discriminator=face_style.Discriminator(norm="instance", ndf=4, n_layers=1),
    losses=face_style.Losses(steady=5.0),
    main_stage=face_style.Stage(40, height=32, width=32, batch_size=2, learning_rate=2e-3),
)


def written(path, seed):
    """A file of a random generator."""
    variables = jax.jit(MODULE.init)(jax.random.key(seed), np.zeros((1, 4), np.float32))
    state = keys.state_dict(variables, keys.described(MODULE), "rosinality")
    write_nested(path, {"g_ema": state, "latent_avg": np.zeros(4, np.float32)})
    return path


@pytest.fixture(scope="module")
def generators(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generators")
    return [written(folder / f"{name}.pt", seed) for seed, name in enumerate(("a", "b"))]


@pytest.fixture(scope="module")
def pairs(generators, tmp_path_factory):
    out = tmp_path_factory.mktemp("pairs") / "data"
    words = ["pair-faces", *map(str, generators), "--out", str(out), "--faces", "aligned"]
    main([*words, "--count", "12", "--holdout", "0.25", "--least-likeness", "-1"])
    return out


@pytest.fixture(scope="module")
def run(pairs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "faces"
    record = Record(log_every=1, sample_every=40, checkpoint_every=40, trace=False)
    train(Config(recipe=RECIPE, record=record), pairs, folder)
    return folder


def test_pairs_show_the_photo_around_the_head(pairs):
    dataset = open_dataset(pairs)
    assert len(dataset) == 12 and len(dataset.info.held_out) == 3
    assert dataset.info.detection["kept"] == 12
    one = dataset[0]
    photo, wanted = one["pose_picture"].astype(int), one["frame"].astype(int)
    apart = np.abs(photo - wanted).mean(-1)
    # JPEG's own error is what is left at the corners.
    assert apart[14:20, 12:20].mean() > 5 * apart[:3, :3].mean()
    assert cv2.imread(str(pairs / "pairs.png")).shape[1] > 12 * 32


def test_the_same_pairs_again_are_found_made(pairs, generators, capsys):
    before = (pairs / "metadata.json").read_bytes()
    words = ["pair-faces", *map(str, generators), "--out", str(pairs), "--faces", "aligned"]
    main([*words, "--count", "12", "--holdout", "0.25", "--least-likeness", "-1"])
    assert "up to date" in capsys.readouterr().err
    assert (pairs / "metadata.json").read_bytes() == before


def test_likeness_is_that_of_the_heads():
    matte = np.zeros((32, 32), np.float32)
    matte[8:24, 8:24] = 1
    one = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    other = 255 - one
    assert likeness(one, one, matte) > 0.99 and likeness(one, other, matte) < -0.99
    other[8:24, 8:24] = one[8:24, 8:24]  # only the surroundings differ now
    assert likeness(one, other, matte) > 0.99


def test_what_is_drawn_lies_before_the_photo(run):
    """Samples, layers and training see one picture: what is drawn, over the photo."""
    trained = load_run(run)
    recipe, photo = trained.config.recipe, np.full((1, 32, 32, 3), 90, np.uint8)
    seen = trained.seen({"pose_pictures": photo})
    whole, _ = jax.jit(lambda p, s: recipe.synthesize(p, s, (), "main"))(trained.params, seen)
    layers = np.asarray(jax.jit(lambda p, s: recipe.layers(p, s, "main"))(trained.params, seen))
    alpha = layers[..., 3:]
    assert alpha.min() >= 0 and alpha.max() <= 1
    expected = alpha * layers[..., :3] + (1 - alpha) * (90 / 127.5 - 1)
    np.testing.assert_allclose(whole, expected, atol=1e-5)
    made = Translator(trained)(photo)
    np.testing.assert_allclose(made[..., 3], 255 * layers[..., 3], atol=1)


def test_losses_are_told_and_fall(run):
    told = list(read_metrics(run))
    assert set(RECIPE.metrics("main")) <= set(told[0])
    first, last = ({name: row[name] for name in ("G_L1", "G_matte")} for row in (told[0], told[-1]))
    assert last["G_L1"] < 0.8 * first["G_L1"] and last["G_matte"] < first["G_matte"]


def test_exported_it_makes_the_same(run, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    main(["export", "--run", str(run), "--format", "onnx", "--out", str(tmp_path)])
    session = runtime.InferenceSession(str(tmp_path / "generator.onnx"))
    photo = np.random.default_rng(0).uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32)
    (made,) = session.run(None, {"picture": photo})
    trained = load_run(run)
    shown = jax.numpy.asarray(photo.transpose(0, 2, 3, 1))
    ours = jax.jit(trained.config.recipe.drawn)(trained.params["generator"], shown)
    np.testing.assert_allclose(made.transpose(0, 2, 3, 1), ours, atol=2e-4)
    about = (tmp_path / "generator.onnx.json").read_text()
    assert "photo of a face" in about and "matte" in about


@pytest.fixture(scope="module")
def film(shared, tmp_path_factory):
    """A third of a second of a woman who signs, with sound."""
    path = tmp_path_factory.mktemp("film") / "woman.mp4"
    frames = read_frames(shared / "data" / "sign-woman-webcam.mp4", end=0.34)
    with av.open(str(path), "w") as container:
        video, sound = container.add_stream("libx264", 30), container.add_stream("aac", 48000)
        for i, frame in enumerate(frames):
            if i == 0:
                video.height, video.width = frame.image.shape[:2]
                video.options = {"crf": "12"}
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame.image, format="rgb24")))
        container.mux(video.encode())
        tone = (8000 * np.sin(np.arange(16384) / 20)).astype(np.int16)[None]
        for start in range(0, tone.shape[1], 1024):
            block = np.ascontiguousarray(tone[:, start : start + 1024])
            part = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            part.sample_rate, part.pts = 48000, start
            container.mux(sound.encode(part))
        container.mux(sound.encode())
    return path


def test_every_face_of_a_film_is_drawn(run, film, shared, monkeypatch, tmp_path):
    monkeypatch.setenv("MOTION_JAX_MODELS", str(shared / "models"))
    out = tmp_path / "drawn.mp4"
    told = stylise(StyliseOptions(run, film, out, workers=1, mark=False, match_colours=False))
    assert told.people == 1 and told.faces == told.frames >= 10
    assert told.flicker > 0 and told.source_flicker > 0
    with av.open(str(out)) as container:
        assert container.streams.audio and container.metadata["motion_jax_synthetic"] == "true"
    before, after = ([f.image.astype(int) for f in read_frames(path)] for path in (film, out))
    assert len(before) == len(after)
    for one, two in zip(before, after, strict=True):
        apart = np.abs(one - two).mean(-1)
        # The face is in the middle of the upper half; the lower corners are as they were.
        assert apart[250:380, 200:320].mean() > 12 and apart[-100:, :80].mean() < 3


def test_a_camera_drives_it(run, film, shared, monkeypatch, tmp_path):
    """What `live` shows of a film is what `stylise` makes of it, but for the lag of the square."""
    monkeypatch.setenv("MOTION_JAX_MODELS", str(shared / "models"))
    out = tmp_path / "live.mp4"
    told = live(LiveOptions(run=(run,), camera=str(film), record=out, runtime="jax", mark=False))
    assert told["frames"]["made"] == told["frames"]["record"] >= 1
    before = np.array([shot.image for shot in read_frames(film)], int)
    for shot in read_frames(out):
        apart = np.abs(before - shot.image).mean(-1)
        # Whichever frame it was: the face is another, and the lower corners are as they were.
        assert apart[:, 250:380, 200:320].mean((1, 2)).min() > 12
        assert apart[:, -100:, :80].mean((1, 2)).min() < 3
    with av.open(str(out)) as container:
        assert "faces in this film were drawn" in container.metadata["comment"]


def test_another_runtime_draws_the_same_face(run):
    pytest.importorskip("onnxruntime")
    trained = load_run(run)
    face = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    ours, other = Translator(trained), Translator(trained, Elsewhere(trained, "onnxruntime"))
    assert np.abs(ours(face).astype(int) - other(face)).max() <= 1


def test_without_a_face_nothing_is_written(run, shared, monkeypatch, tmp_path):
    monkeypatch.setenv("MOTION_JAX_MODELS", str(shared / "models"))
    source, out = shared / "data" / "hands-only-no-person.mp4", tmp_path / "drawn.mp4"
    with pytest.raises(UserError, match="No face was found"):
        stylise(StyliseOptions(run, source, out, end=0.1, workers=1))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["pair-faces", "{a}", "{b}", "--out", "{new}", "--count", "1"], "less than 2"),
        (["pair-faces", "{a}", "{b}", "--out", "{new}", "--holdout", "1"], "no share|not a share"),
        (["pair-faces", "{a}", "{a}", "--out", "{new}", "--count", "2", "--faces", "aligned"],
         "hardly changed"),
        (["stylise", "--run", "{run}", "--source", "{gone}", "--out", "{new}.mp4"], "There is no"),
        (["stylise", "--run", "{run}", "--source", "{a}", "--out", "{new}.avi"], "FILE.mp4"),
        (["stylise", "--run", "{run}", "--source", "{a}", "--out", "{new}.mp4", "--strength", "0"],
         "strength"),
        (["live", "--run", "{run}", "--camera", "{film}", "--lost", "plate"], "background plate"),
        (["live", "--run", "{run}", "--camera", "{film}", "--smaller", "{run}"], "draws faces"),
        (["live", "--run", "{run}", "--camera", "{film}", "--background", "green"], "draws faces"),
        (["live", "--faces", "--method", "nearest", "--data", "{pairs}", "--camera", "{film}"],
         "--faces is for"),
        (["train", "face_style", "--run", "{new}", "--data", "{pairs}",
          "--recipe.generator.norm", "batch"], "instance or none"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(words, sentence, generators, pairs, run, tmp_path, capsys):
    import re

    places = {"a": generators[0], "b": generators[1], "run": run, "pairs": pairs}
    places |= {name: tmp_path / name for name in ("new", "gone")}
    places["film"] = tmp_path / "film.mp4"
    places["film"].write_bytes(b"")
    with pytest.raises(SystemExit) as stopped:
        main([word.format(**places) for word in words])
    assert stopped.value.code == 2
    assert re.search(sentence, capsys.readouterr().err)
    assert not (tmp_path / "new" / "metadata.json").exists()


def test_a_run_that_translates_no_faces_is_refused(tmp_path):
    from motion_jax.recipes import stylegan2

    recipe = stylegan2.StyleGAN2(main_stage=stylegan2.Stage(1, height=16, width=16))

    class Made:
        folder, config, dataset, size, stage = tmp_path, Config(recipe=recipe), {}, (16, 16), "main"

    with pytest.raises(UserError, match="pair-faces"):
        Translator(Made())


def test_a_photo_is_taken_where_its_face_is_in_its_place(shared):
    """A face cut out as FFHQ's is; the same one moved aside, and a wall, are not."""
    (frame,) = (f.image for f in read_frames(shared / "data" / "sign-woman-webcam.mp4", end=0.03))
    # Found by hand: the middle of her face's square, and its side.
    numbers = np.array([287.0, 243.0, np.log(298.0), 0.03])
    shifted = numbers + (70, 0, 0, 0)
    photos = np.stack([align.cut(frame, n, 256) for n in (numbers, shifted)])
    photos = np.concatenate([photos, np.full_like(photos[:1], 120)])
    bundle = shared / "models" / "holistic_landmarker.task"
    found = in_pictures(photos, bundle, 1)
    reasons = [oval_of(points, 256)[1] for points in found]
    assert reasons == ["", "with a face out of its place", "without one face"]
    oval, _ = oval_of(found[0], 256)
    assert oval.min() > 0.1 and oval.max() < 0.95


def test_other_recipes_draw_the_whole_square(tmp_path):
    """CycleGAN of frames is shown faces as frames; what has no matte covers everything."""
    from motion_jax.recipes.base import Recipe
    from motion_jax.recipes.cyclegan import CycleGAN

    class Made:
        folder, config, dataset = tmp_path, Config(recipe=CycleGAN()), {}

    assert shown_as(Made()) == "frames"

    class Same(Recipe):
        def synthesize(self, params, seen, carry, name, count=None):
            return seen, carry

    layers = Same().layers({}, jax.numpy.full((1, 2, 2, 3), 0.5), "main")
    np.testing.assert_array_equal(layers[..., :3], 0.5)
    np.testing.assert_array_equal(layers[..., 3], 1.0)
