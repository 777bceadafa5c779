"""StyleGAN2 through the whole program: a folder of pictures imported, trained, stopped and gone on
with; samples, an interpolating film, the held-out score."""

import shutil
from dataclasses import replace

import cv2
import jax
import numpy as np
import pytest

from motion_jax.cli import main
from motion_jax.config import Config, Record
from motion_jax.data.records import open_dataset
from motion_jax.errors import UserError
from motion_jax.nets.stylegan2_discriminator import Discriminator
from motion_jax.recipes import stylegan2 as recipe
from motion_jax.train.checkpoint import Checkpoints
from motion_jax.train.loop import train
from motion_jax.train.record import read_metrics
from motion_jax.train.step import abstract_state
from motion_jax.video.reader import read_frames

RECIPE = recipe.StyleGAN2(
    generator=recipe.Generator(latent=4, style=4, mapping_layers=1, widths=(4, 2, 2)),
    losses=recipe.Losses(r1_every=1, path_every=1),  # one kind of step: one program
    augment=recipe.Augment("adaptive", "color", p=0.2, every=3, length=40),
    main_stage=recipe.Stage(4, height=16, width=16, batch_size=2, learning_rate=2e-3),
)
CONFIG = Config(
    recipe=RECIPE,
    record=Record(
        log_every=1, sample_every=4, checkpoint_every=2, sample_seconds=1.2, keep_best="heldout",
        trace=False,
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A dataset of a folder of pictures."""
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for i in range(8):
        name = ["train/one", "train/two", "test"][min(i // 3, 2)]
        (folder / name).mkdir(parents=True, exist_ok=True)
        picture = random.integers(0, 256, (18, 20, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / name / f"{i:03d}.png"), picture)
    out = folder.parent / "data"
    main(["import-data", str(folder), "--layout", "pictures", "--size", "16x16", "--fit", "crop",
          "--out", str(out), "--workers", "1"])  # fmt: skip
    return out


@pytest.fixture(scope="module")
def run(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "style"
    train(CONFIG, pictures, folder)
    return folder


def whole_state(folder, step):
    one = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    with Checkpoints(folder / "checkpoints", read_only=True) as checkpoints:
        return checkpoints.restore(step, abstract_state(CONFIG, "main", one))


def test_pictures_are_no_film(pictures):
    dataset = open_dataset(pictures)
    assert len(dataset) == 8 and len(dataset.info.held_out) == 2
    assert [length for *_, length in dataset.info.clips] == [1] * 8


def test_it_goes_on_exactly(run, pictures, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(run, again)
    shutil.rmtree(again / "checkpoints" / "4")
    train(CONFIG, pictures, again)
    one, two = (whole_state(folder, 4) for folder in (run, again))
    jax.tree.map(
        np.testing.assert_array_equal,
        *(jax.tree.map(np.asarray, s.replace(key=0)) for s in (one, two)),
    )
    # What the published program forgets when it goes on.
    assert float(one.path_mean) != 0 and float(one.augment.p) != pytest.approx(0.2)


def test_penalties_are_recorded(run):
    rows = read_metrics(run)
    assert all("r1" in row and "path" in row and "augment_p" in row for row in rows)
    assert all(np.isfinite(row["G"]) and np.isfinite(row["D"]) for row in rows)


def test_what_it_shows(run):
    sheet = cv2.imread(str(run / "samples" / "step-0000004.png"))
    assert sheet is not None and np.ptp(sheet) > 20
    film = [frame for frame in read_frames(run / "samples" / "step-0000004.mp4")]
    assert len(film) == 30


def test_no_video_drives_it(run, tmp_path, capsys):
    words = ["transfer", "--run", str(run), "--source", "a.mp4", "--out", str(tmp_path / "b.mp4")]
    (tmp_path / "a.mp4").touch()
    words[4] = str(tmp_path / "a.mp4")
    with pytest.raises(SystemExit):
        main(words)
    assert "makes pictures out of noise" in capsys.readouterr().err


def test_a_film_passes_through_its_latents(run):
    keys = np.arange(100, dtype=np.uint32).reshape(50, 2)
    film, seen = (f({"keys": keys}) for f in (RECIPE.film, RECIPE.seen))
    np.testing.assert_allclose(film[[0, 25]], seen[[0, 25]], atol=1e-6)
    steps = np.linalg.norm(np.diff(film, axis=0), axis=1)
    assert steps.max() < 0.2 * np.linalg.norm(seen[0] - seen[25])


def test_the_penalty_is_the_derivative(run):
    """R1's gradient in one direction against a finite difference, through the forms of convolutions
    that a CPU runs."""
    judge = Discriminator((4, 2))
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    params = judge.init(jax.random.key(1), x)

    def penalty(params):
        slope = jax.grad(lambda x: judge.apply(params, x).sum())(x)
        return (slope**2).sum((1, 2, 3)).mean()

    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    random = [jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    direction = jax.tree.unflatten(structure, random)

    @jax.jit
    def both(params):
        slope = jax.grad(penalty)(params)
        along = sum(jax.tree.leaves(jax.tree.map(lambda a, b: (a * b).sum(), slope, direction)))
        far, near = (
            penalty(jax.tree.map(lambda p, d, e=e: p + e * d, params, direction))
            for e in (5e-4, -5e-4)
        )
        return along, (far - near) / 1e-3

    along, measured = both(params)
    assert float(along) == pytest.approx(float(measured), rel=5e-2)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"main_stage": replace(RECIPE.main_stage, height=12, width=12)}, "are square, of 8, 16"),
        ({"main_stage": replace(RECIPE.main_stage, batch_size=6)}, "or a multiple of it"),
        ({"generator": recipe.Generator(widths=(4,))}, "has 1 entries"),
        ({"augment": recipe.Augment("fixed", "everything")}, "is none of blit"),
        ({"freeze": recipe.Freeze(False, 0, 1, 1)}, "two ways"),
    ],
)
def test_what_cannot_be_is_said(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        replace(RECIPE, **changes).validate()
