"""The detector of synthetic pictures through the whole program: films and folders imported,
trained, gone on with, measured by person and method, and asked about a file."""

import json
import shutil

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_jax.cli import main
from motion_jax.config import Config, Data, Record
from motion_jax.data.labels import label_of
from motion_jax.data.records import open_dataset
from motion_jax.errors import UserError
from motion_jax.evaluate.detector import GROUPS
from motion_jax.port.export_run import export
from motion_jax.port.options import ExportOptions
from motion_jax.recipes.fake_detector import Blur, Discriminator, FakeDetector, Stage, blurred
from motion_jax.train.checkpoint import Checkpoints
from motion_jax.train.loop import train
from motion_jax.train.step import abstract_state
from motion_jax.video.writer import VideoWriter

CONFIG = Config(
    recipe=FakeDetector(
        detector=Discriminator(ndf=4, n_layers=1, norm="instance"),
        main_stage=Stage(12, height=16, width=16, batch_size=4, learning_rate=1e-2),
    ),
    data=Data(holdout=0.25),
    record=Record(log_every=4, sample_every=12, checkpoint_every=6, trace=False),
)


def picture(random, synthetic):
    """Noise; of a method with stripes."""
    made = random.integers(60, 190, (20, 24, 3)).astype(np.uint8)
    made[:, ::2] += 60 * np.uint8(synthetic)
    return made


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Real and synthetic pictures; in test/ of a person and of a method that are new."""
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for name in ("real/ann", "synthetic/stripes/ann", "test/real/ann", "test/synthetic/stripes/ann",
                 "test/real/bob", "test/synthetic/new/bob"):  # fmt: skip
        (folder / name).mkdir(parents=True)
        for i in range(6):
            drawn = picture(random, "synthetic" in name)
            cv2.imwrite(str(folder / name / f"{i:03d}.png"), drawn)
    with VideoWriter(folder / "synthetic" / "stripes" / "cid#1.mp4", 20, 24) as film:
        for i in range(5):
            film.write(picture(random, True), i / 25)
    out = folder.parent / "labelled"
    main(["import-data", str(folder), "--layout", "real-synthetic", "--size", "16x16", "--fit",
          "crop", "--out", str(out), "--workers", "1"])  # fmt: skip
    return out


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "detector"
    train(CONFIG, dataset, folder)
    return folder


def test_names_say_method_and_person():
    assert label_of("synthetic/stripes/cid#1.mp4") == ("stripes", "cid")
    assert label_of("synthetic/stripes/ann") == ("stripes", "ann")
    assert label_of("real/ann#2.mp4") == label_of("real/ann/film.mov") == ("", "ann")


def test_films_and_folders_become_sources(dataset):
    info = open_dataset(dataset).info
    kept = {source["file"]: (source["domain"], source["kept"]) for source in info.sources}
    assert kept["synthetic/stripes/cid#1.mp4"] == ("A", 5)
    assert kept["real/bob"] == ("B", 6)
    assert len(info.held_out) == 4


def test_pictures_of_nobody_are_refused(tmp_path, capsys):
    (tmp_path / "real").mkdir()
    cv2.imwrite(str(tmp_path / "real" / "1.png"), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(SystemExit):
        main(["import-data", str(tmp_path), "--layout", "real-synthetic", "--out", "x"])
    assert "does not lie in a folder that says whose it is" in " ".join(
        capsys.readouterr().err.split()
    )


def test_loss_and_gradient_are_those_of_the_formula():
    recipe = FakeDetector(
        CONFIG.recipe.detector, Blur(share=0.0), Stage(1, height=16, width=16, batch_size=2)
    )
    random = np.random.default_rng(1)
    batch = {name: random.integers(0, 256, (2, 16, 16, 3)).astype(np.uint8) for name in "AB"}
    state = recipe.init(jax.random.key(0), "main")
    new, losses = jax.jit(recipe.train_step, static_argnums=(2,))(state, batch, "main", {})
    pictures = np.concatenate([batch["A"], batch["B"]]).astype(np.float32) / 127.5 - 1

    @jax.jit
    def logits(params):
        return recipe.logits({"detector": params}, jnp.asarray(pictures))

    def loss(params):
        chance = 1 / (1 + np.exp(-np.asarray(logits(params), np.float64)))
        return -np.log(chance[:2]).mean(), -np.log(1 - chance[2:]).mean()

    synthetic, real = loss(state.params["detector"])
    np.testing.assert_allclose(losses["synthetic"], synthetic, rtol=1e-5)
    np.testing.assert_allclose(losses["real"], real, rtol=1e-5)
    # Adam's first mean is half of the gradient; along it, the loss grows by its squared length.
    gradient = jax.tree.map(lambda mean: 2 * mean, new.optimizer["detector"].mu)
    length = np.sqrt(sum(float((leaf**2).sum()) for leaf in jax.tree.leaves(gradient)))

    def along(amount):
        moved = jax.tree.map(
            lambda p, g: p + amount / length * g, state.params["detector"]["params"], gradient
        )
        return sum(loss({"params": moved})) / 2

    assert (along(1e-3) - along(-1e-3)) / 2e-3 == pytest.approx(length, rel=0.02)


def test_blur_is_a_gaussian():
    dot = np.zeros((17, 17, 1), np.float32)
    dot[8, 8] = 1
    blur = jax.jit(blurred)
    np.testing.assert_array_equal(blur(jnp.asarray(dot), jnp.float32(0)), dot)
    made = np.asarray(blur(jnp.asarray(dot), jnp.float32(1.0)))[..., 0]
    away = np.arange(17) - 8
    kernel = np.exp(-0.5 * away**2) * (abs(away) <= 6)
    np.testing.assert_allclose(made, np.outer(kernel, kernel) / kernel.sum() ** 2, atol=1e-6)


def test_it_goes_on_exactly(run, dataset, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(run, again)
    shutil.rmtree(again / "checkpoints" / "12")
    train(CONFIG, dataset, again)
    one = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    states = []
    for folder in (run, again):
        with Checkpoints(folder / "checkpoints", read_only=True) as checkpoints:
            states.append(checkpoints.restore(12, abstract_state(CONFIG, "main", one)))
    jax.tree.map(
        np.testing.assert_array_equal,
        *(jax.tree.map(lambda leaf: np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(
            leaf.dtype, jax.dtypes.prng_key) else leaf), state) for state in states),
    )  # fmt: skip
    assert (run / "samples" / "step-0000012.png").is_file()


def test_what_is_new_is_measured_by_itself(run, capsys):
    main(["evaluate", "--run", str(run), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert set(found["groups"]) == {"all", GROUPS[False, False], GROUPS[True, True]}
    seen = found["groups"][GROUPS[False, False]]
    assert (seen["synthetic"], seen["real"]) == (6, 6)
    assert set(found["methods"]) == {"stripes", "new"} and set(found["people"]) == {"ann", "bob"}
    # Stripes are easily told from none, also those of a method of another name.
    assert found["groups"]["all"]["auc"] > 0.9
    assert (run / "evaluation" / "roc.png").is_file()


def test_check_asks_it(run, tmp_path, capsys):
    picture = tmp_path / "grey.png"
    cv2.imwrite(str(picture), np.full((120, 120, 3), 128, np.uint8))
    with pytest.raises(SystemExit):  # nothing in the file says that it is synthetic
        main(["check", str(picture), "--detector", str(run)])
    assert "synthetic with a probability of" in capsys.readouterr().out


def test_it_makes_no_films(run, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["transfer", "--run", str(run), "--source", "x.mp4", "--out", str(tmp_path / "x.mp4")])
    assert "judges pictures and makes none" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(UserError, match="there is no generator to export"):
        export(ExportOptions(run=run, format="onnx", out=tmp_path / "onnx"))


def test_other_datasets_are_refused(dataset):
    with pytest.raises(UserError, match="a detector makes none"):
        train(
            Config(CONFIG.recipe, record=Record(keep_best="heldout"), data=CONFIG.data),
            dataset,
            dataset.parent / "none",
        )
