import jax
import numpy as np
import pytest

from motion_jax.errors import UserError
from motion_jax.metrics import lpips


def state(network, seed=0):
    """Seeded weights of the published shapes (and much smaller numbers than a trained network's,
    kept alive through the layers by He initialisation)."""
    rng = np.random.default_rng(seed)
    backbone, inputs = {}, 3
    for layer in lpips.BACKBONES[network].layers:
        shape = (layer.channels, inputs, layer.side, layer.side)
        weight = rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))
        backbone[f"features.{layer.index}.weight"] = weight.astype(np.float32)
        backbone[f"features.{layer.index}.bias"] = rng.normal(size=shape[0]).astype(np.float32) / 9
        inputs = layer.channels
    heads = {
        f"lin{k}.model.1.weight": rng.uniform(0, 0.2, (1, c, 1, 1)).astype(np.float32)
        for k, c in enumerate(lpips.BACKBONES[network].taps)
    }
    return backbone, heads


def pictures(height=48, width=40):
    rng = np.random.default_rng(1)
    real = rng.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    fake = np.clip(real + rng.normal(size=real.shape) * 30, 0, 255).astype(np.uint8)
    return real, fake


NO_BOXES = np.zeros((2, 0, 4), np.float32)


@pytest.mark.parametrize("network", ["vgg", "alex"])
def test_against_torch(network):
    torch = pytest.importorskip("torch", reason="the torch extra is the oracle")
    functional = torch.nn.functional
    backbone, heads = state(network)
    real, fake = pictures()

    def features(x):
        x = torch.tensor(x.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1)
        x = x - torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
        x = x / torch.tensor([0.458, 0.448, 0.450])[:, None, None]
        found = []
        # torchvision's `features`, module by module: (kind, arguments).
        if network == "vgg":
            plan = [64, 64, "t", "m", 128, 128, "t", "m", 256, 256, 256, "t", "m",
                    512, 512, 512, "t", "m", 512, 512, 512, "t"]  # fmt: skip
        else:
            plan = ["a", "t", "m", "b", "t", "m", 384, "t", 256, "t", 256, "t"]
        index = 0
        for step in plan:
            if step == "t":
                found.append(x)
            elif step == "m":
                x = functional.max_pool2d(x, 2 if network == "vgg" else 3, 2)
                index += 1
            else:
                stride, padding = {"a": (4, 2), "b": (1, 2)}.get(step, (1, 1))
                weight, bias = (
                    torch.tensor(backbone[f"features.{index}.{part}"])
                    for part in ("weight", "bias")
                )
                x = functional.relu(functional.conv2d(x, weight, bias, stride, padding))
                index += 2
        return found

    expected = torch.zeros(2)
    for k, (a, b) in enumerate(zip(features(real), features(fake), strict=True)):
        a, b = (v / (v.pow(2).sum(1, keepdim=True).sqrt() + 1e-10) for v in (a, b))
        head = torch.tensor(heads[f"lin{k}.model.1.weight"])
        expected = expected + functional.conv2d((a - b) ** 2, head).mean((1, 2, 3))
    found = lpips.from_state(network, backbone, heads)(real, fake, NO_BOXES)
    assert found.shape == (2, 1)
    np.testing.assert_allclose(np.asarray(found)[:, 0], expected.numpy(), rtol=2e-5)


def test_boxes_and_equal_pictures():
    metric = lpips.from_state("alex", *state("alex"))
    real, fake = pictures()
    fake[:, :, :20] = real[:, :, :20]  # only the right half differs
    boxes = np.array([[[0, 0, 48, 40], [0, 0, 0, 0]], [[0, 30, 48, 40], [0, 0, 48, 8]]], np.float32)
    found = np.asarray(metric(real, fake, boxes))
    assert found[0, 1] == pytest.approx(found[0, 0], rel=1e-5) and np.isnan(found[0, 2])
    assert found[1, 1] > found[1, 0] > found[1, 2] >= 0
    same = np.asarray(metric(real, real, boxes))
    assert np.nanmax(same) < 1e-12
    with pytest.raises(ValueError, match="too small"):
        metric(real[:, :20], fake[:, :20], NO_BOXES)


def test_cover_shares_cells():
    cover = np.asarray(lpips._cover(np.array([[0, 3, 4, 8]], np.float32), (8, 8), (2, 4)))
    assert cover[0].tolist() == [[0, 0.5, 1, 1], [0, 0, 0, 0]]


def test_absent_weights_are_absent_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setenv("MOTION_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MOTION_JAX_MODELS", str(tmp_path / "models"))
    metric, reason = lpips.load("vgg")
    assert metric is None
    assert "vgg16-397923af.pth" in reason and "lpips/vgg.pth" in reason
    assert str(tmp_path / "models") in reason and str(tmp_path / "cache") in reason
    with pytest.raises(UserError, match="alexnet-owt-7be5be79.pth.*lpips"):
        lpips.load("alex", tmp_path)


def test_wrong_shapes_are_named():
    backbone, heads = state("alex")
    with pytest.raises(ValueError, match=r"features.0.weight is"):
        lpips.from_state("vgg", backbone, heads)
    heads["lin2.model.1.weight"] = np.zeros((1, 7, 1, 1))
    with pytest.raises(ValueError, match=r"lin2.model.1.weight"):
        lpips.from_state("alex", backbone, heads)


def test_features_have_the_published_parameters():
    shapes = jax.eval_shape(
        lpips.Features(lpips.BACKBONES["vgg"]).init,
        jax.random.key(0),
        jax.ShapeDtypeStruct((1, 16, 16, 3), np.float32),
    )
    # VGG-16's convolutions: 14,714,688 parameters.
    assert sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes)) == 14_714_688


def test_published_heads_are_read(shared, tmp_path):
    """The real heads (legacy pickles) with a backbone that is not there: only that is missing."""
    folder = shared / "models" / "lpips"
    if not folder.is_dir():
        pytest.skip("no LPIPS heads among the shared models")
    from motion_jax.weights.torch import read_pth

    for network in ("vgg", "alex"):
        backbone, _ = state(network)
        metric = lpips.from_state(network, backbone, read_pth(folder / f"{network}.pth"))
        assert all((head >= 0).all() and head.max() > 0 for head in metric.heads)
    with pytest.raises(UserError) as caught:
        lpips.load("vgg", shared / "models")
    assert "vgg16-397923af.pth" in str(caught.value) and "lpips/vgg.pth" not in str(caught.value)
