"""ResNet-50's features: read, folded, compared in losses and figures, or a sentence on how to get
them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_jax import losses
from motion_jax.errors import UserError
from motion_jax.metrics import resnet
from motion_jax.nets import spatial
from motion_jax.nets.resnet50 import STAGES, ResNet50
from motion_jax.recipes.coarse_to_fine_settings import Stage
from motion_jax.recipes.picture_losses import Losses, feature_distance
from motion_jax.recipes.pix2pixhd import Pix2PixHD
from motion_jax.weights import resnet50


def published() -> dict[str, np.ndarray]:
    """A state_dict of the published names and shapes, seeded; batch norms that do something."""
    rng = np.random.default_rng(0)
    state = {}

    def layer(conv, norm, shape):
        scale = np.sqrt(2 / np.prod(shape[1:]))
        weight = rng.normal(size=shape).astype(np.float32) * np.float32(scale)
        state[f"{resnet50.PREFIX}{conv}.weight"] = weight
        values = {
            "weight": rng.uniform(0.5, 1.5, shape[0]),
            "bias": rng.normal(size=shape[0]) / 9,
            "running_mean": rng.normal(size=shape[0]) / 9,
            "running_var": rng.uniform(0.5, 1.5, shape[0]),
        }
        for name, value in values.items():
            state[f"{resnet50.PREFIX}{norm}.{name}"] = value.astype(np.float32)

    layer("conv1", "bn1", (64, 3, 7, 7))
    inputs = 64
    for stage, (blocks, width) in enumerate(STAGES):
        for block in range(blocks):
            name = f"layer{stage + 1}.{block}."
            for k, shape in enumerate([(inputs, 1), (width, 3), (width, 1)]):
                out = 4 * width if k == 2 else width
                layer(f"{name}conv{k + 1}", f"{name}bn{k + 1}", (out, *shape, shape[1])[:4])
            if not block:
                layer(f"{name}downsample.0", f"{name}downsample.1", (4 * width, inputs, 1, 1))
            inputs = 4 * width
    return state


@pytest.fixture(scope="module")
def state():
    return published()


@pytest.fixture(scope="module")
def metric(state):
    return resnet.ResNetDistance({"params": resnet50._folded(state)})


def pictures(size=48):
    rng = np.random.default_rng(1)
    real = rng.integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    fake = np.clip(real + rng.normal(size=real.shape) * 30, 0, 255).astype(np.uint8)
    return real, fake


def test_against_torch(state, metric):
    torch = pytest.importorskip("torch", reason="the torch extra is the oracle")
    functional = torch.nn.functional
    weights = {k.removeprefix(resnet50.PREFIX): torch.tensor(v) for k, v in state.items()}

    def conv(x, name, norm, stride=1):
        weight = weights[f"{name}.weight"]
        x = functional.conv2d(x, weight, None, stride, weight.shape[-1] // 2)
        names = "running_mean", "running_var", "weight", "bias"
        return functional.batch_norm(x, *(weights[f"{norm}.{each}"] for each in names))

    def features(x):
        x = torch.tensor(x.transpose(0, 3, 1, 2).astype(np.float32) / 255)
        x = x - torch.tensor([0.485, 0.456, 0.406])[:, None, None]
        x = x / torch.tensor([0.229, 0.224, 0.225])[:, None, None]
        x = functional.relu(conv(x, "conv1", "bn1", 2))
        x = functional.max_pool2d(x, 3, 2, 1)
        for stage, (blocks, _) in enumerate(STAGES):
            for block in range(blocks):
                at, stride = f"layer{stage + 1}.{block}.", 2 if stage and not block else 1
                y = functional.relu(conv(x, f"{at}conv1", f"{at}bn1"))
                y = functional.relu(conv(y, f"{at}conv2", f"{at}bn2", stride))
                y = conv(y, f"{at}conv3", f"{at}bn3")
                skip = (f"{at}downsample.0", f"{at}downsample.1", stride)
                x = functional.relu(y + (x if block else conv(x, *skip)))
            yield x

    real, fake = pictures()
    found = ResNet50().apply({"params": metric.params}, real / np.float32(127.5) - 1)
    expected = list(features(real))
    for ours, theirs in zip(found, expected, strict=True):
        theirs = theirs.numpy().transpose(0, 2, 3, 1)
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * theirs.max())


def test_a_distance_of_pictures_and_of_boxes(metric):
    real, fake = pictures()
    boxes = np.array([[[0, 0, 48, 48], [8, 8, 8, 20]]] * 2, np.float32)
    found = np.asarray(metric(real, fake, boxes))
    assert (found[:, 0] > 0.001).all() and (found[:, 0] < 2).all()
    np.testing.assert_allclose(found[:, 1], found[:, 0], rtol=1e-5)
    assert np.isnan(found[:, 2]).all(), "a box of no area"
    np.testing.assert_allclose(np.asarray(metric(real, real, boxes))[:, 0], 0, atol=1e-6)


def test_of_the_folded_norms_none_is_left_out(state, metric):
    """The first layer in NumPy, at one place."""
    real, _ = pictures()
    x = (real[0, 8:15, 9:16] / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    at = {k.removeprefix(resnet50.PREFIX): v for k, v in state.items()}
    y = np.einsum("hwc,ochw->o", x, at["conv1.weight"])
    y = (y - at["bn1.running_mean"]) / np.sqrt(at["bn1.running_var"] + 1e-5)
    y = y * at["bn1.weight"] + at["bn1.bias"]
    layer = metric.params["conv_0"]
    ours = np.einsum("hwc,hwco->o", x, layer["kernel"]) + layer["bias"]
    np.testing.assert_allclose(ours, y, rtol=1e-4, atol=1e-4)


def test_the_loss_and_its_gradient():
    rng = np.random.default_rng(2)
    a, b = ([rng.normal(size=(2, 3, 3, c)) for c in (4, 5)] for _ in range(2))
    with jax.enable_x64(True):
        a, b = ([jnp.asarray(x) for x in each] for each in (a, b))
        assert float(losses.unit_distance(a, a)) == 0
        value, gradient = jax.value_and_grad(lambda x: losses.unit_distance([x, a[1]], b))(a[0])
        angle = [
            np.sum(x * y, -1) / np.linalg.norm(x, axis=-1) / np.linalg.norm(y, axis=-1)
            for x, y in zip(a, b, strict=True)
        ]
        assert float(value) == pytest.approx(np.mean([(2 - 2 * c).mean() for c in angle]), rel=1e-4)
        step = 1e-3 * rng.normal(size=a[0].shape)
        up, down = (losses.unit_distance([a[0] + s, a[1]], b) for s in (step, -step))
        assert float(up - down) / 2 == pytest.approx(float(jnp.sum(gradient * step)), rel=0.02)
    assert not jax.grad(lambda x: losses.unit_distance(a, [x, b[1]]))(b[0]).any()


def test_a_recipe_asks_for_it(metric):
    recipe = Pix2PixHD(losses=Losses(perceptual="resnet50"))
    assert list(recipe.pretrained()) == ["resnet50"]
    assert "G_ResNet" in recipe.terms("global") and "G_VGG" not in recipe.terms("global")
    real, fake = (jnp.asarray(x[:1, :32, :32] / np.float32(127.5) - 1) for x in pictures())
    weights = {"params": metric.params}
    distance = partial(feature_distance, "resnet50", "float32", weights)
    value, gradient = jax.value_and_grad(lambda x: distance(x, real))(fake)
    shown = (np.asarray((x + 1) * 127.5) for x in (real, fake))
    expected = metric(*shown, np.zeros((1, 0, 4), np.float32))
    assert float(value) == pytest.approx(float(expected[0, 0]), rel=1e-2)
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


def test_bad_configs_and_missing_weights(monkeypatch, tmp_path, weight_files):
    stage = Stage(steps=1, height=64, width=64)
    with pytest.raises(UserError, match=r"perceptual.* = 'vgg16' is none of 'vgg19', 'resnet50'"):
        Pix2PixHD(losses=Losses(perceptual="vgg16"), global_stage=stage).validate()
    monkeypatch.setattr(resnet50, "installed", lambda: None)
    with pytest.raises(UserError, match="pip install --no-deps imgsim"):
        resnet50.load_resnet50()
    monkeypatch.setattr(resnet, "installed", lambda: None)
    assert resnet.load((64, 64)) == (
        None, "the weights of ResNet-50 are not installed: pip install --no-deps imgsim"
    )  # fmt: skip
    path = weight_files.legacy(
        tmp_path / "other.pth", *weight_files.as_tensors({"conv1.weight": np.zeros((2, 3, 3, 3))})
    )
    with pytest.raises(UserError, match="does not hold ResNet-50's weights"):
        resnet50.load_resnet50(path)
    monkeypatch.setattr(spatial, "shards", lambda: 2)
    with pytest.raises(UserError, match="cannot share the rows"):
        jax.eval_shape(ResNet50().init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))


@pytest.mark.skipif(resnet50.installed() is None, reason="the package imgsim is not installed")
def test_the_published_weights_mind_blur_more_than_a_shift():
    """As eyes do, at the same error in grey levels."""
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(3)
    large = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    picture = cv2.resize(large, (96, 96), interpolation=cv2.INTER_NEAREST)
    shifted = np.roll(picture, 1, axis=1)
    blurred = cv2.GaussianBlur(picture, (0, 0), 2.0)
    metric, why_not = resnet.load((96, 96))
    assert metric is not None, why_not
    none = np.zeros((2, 0, 4))
    found = metric(np.stack([picture] * 2), np.stack([shifted, blurred]), none)
    assert found[1, 0] > 2 * found[0, 0]
