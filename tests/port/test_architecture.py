"""Architectures from keys and shapes; what training leaves in keys; options files; round trips."""

import json
import os
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from motion_jax.errors import UserError
from motion_jax.nets.initial import initialise
from motion_jax.port import Network, load_network, save_safetensors, save_torch
from motion_jax.port import original_options as options
from motion_jax.port.reference import network_from_description
from motion_jax.weights import names
from motion_jax.weights.architecture import architecture_of, layers, sentence
from motion_jax.weights.read import recognise, spectral_norm, weight_norm
from motion_jax.weights.safetensors import read_safetensors, write_safetensors
from motion_jax.weights.torch import read_pth, write_pth

ROLES = {
    "G": "generator", "D": "discriminator", "Gface": "face_generator",
    "Dface": "face_discriminator", "G_A": "generator", "G_B": "generator",
    "D_A": "discriminator", "D_B": "discriminator",
}  # fmt: skip


def fixtures() -> list[Path]:
    folder = os.environ.get("MOTION_JAX_PARITY")
    if folder is None:
        shared = os.environ.get("MOTION_JAX_SHARED", Path(__file__).resolve().parents[3] / "shared")
        folder = Path(shared) / "parity"
    return sorted(Path(folder).rglob("*.pth"))


def told(path: Path) -> dict:
    """What the .json beside a fixture says of its network."""
    network = path.stem.split("_net_")[-1] if "_net_" in path.stem else None
    description = json.loads((path.parent / f"{path.name.split('.')[0]}.json").read_text())
    return description["network" if network is None else ROLES[network]]


@pytest.mark.skipif(not fixtures(), reason="no parity fixtures beside the project")
@pytest.mark.parametrize("path", fixtures(), ids=lambda path: path.stem)
def test_a_fixture_tells_its_architecture_and_round_trips_bit_for_bit(path, tmp_path):
    weights = read_pth(path)
    description, plain = recognise(weights)
    expected = told(path)
    assert {key: description[key] for key in expected if key != "note"} == {
        key: value for key, value in expected.items() if key != "note"
    }
    network = load_network(path)
    assert network.name == description["class"] and network.config == description
    for save, read, name in (
        (save_torch, read_pth, "again.pth"),
        (save_safetensors, read_safetensors, "again.safetensors"),
    ):
        save(network, tmp_path / name)
        again = read(tmp_path / name)
        assert again.keys() == weights.keys()
        for key, value in weights.items():
            assert again[key].dtype == value.dtype and again[key].shape == value.shape, key
            assert again[key].tobytes() == value.tobytes(), key
        assert load_network(tmp_path / name).config == description
    first = (tmp_path / "again.pth").read_bytes()
    save_torch(load_network(tmp_path / "again.pth"), tmp_path / "again.pth")
    assert (tmp_path / "again.pth").read_bytes() == first


DESCRIPTIONS = [
    {"class": "GlobalGenerator", "input_nc": 6, "output_nc": 3, "ngf": 4, "n_downsampling": 4,
     "n_blocks": 2},
    {"class": "GlobalGenerator", "input_nc": 3, "output_nc": 1, "ngf": 4, "n_downsampling": 1,
     "n_blocks": 0},
    {"class": "LocalEnhancer", "input_nc": 6, "output_nc": 3, "ngf": 2, "n_downsample_global": 1,
     "n_blocks_global": 3, "n_local_enhancers": 2, "n_blocks_local": 3},
    {"class": "MultiscaleDiscriminator", "input_nc": 12, "ndf": 4, "n_layers": 2, "num_D": 3,
     "intermediate_features": True},
    {"class": "MultiscaleDiscriminator", "input_nc": 4, "ndf": 4, "n_layers": 3, "num_D": 1,
     "intermediate_features": False},
    {"class": "NLayerDiscriminator", "input_nc": 6, "ndf": 4, "n_layers": 3, "norm": "batch",
     "intermediate_features": False, "prefix": "facemodel"},
    {"class": "NLayerDiscriminator", "input_nc": 6, "ndf": 200, "n_layers": 2, "norm": "batch",
     "intermediate_features": False},
    {"class": "NLayerDiscriminator", "input_nc": 3, "ndf": 2, "n_layers": 5, "norm": "instance"},
    {"class": "NLayerDiscriminator", "input_nc": 3, "ndf": 4, "n_layers": 1, "norm": "batch"},
    {"class": "NLayerDiscriminator", "input_nc": 3, "ndf": 4, "n_layers": 3, "norm": "none"},
    {"class": "UnetGenerator", "input_nc": 3, "output_nc": 2, "num_downs": 8, "ngf": 2,
     "norm": "batch", "dropout": False},
    {"class": "UnetGenerator", "input_nc": 1, "output_nc": 3, "num_downs": 6, "ngf": 2,
     "norm": "none", "dropout": False},
    {"class": "ResnetGenerator", "input_nc": 3, "output_nc": 3, "ngf": 2, "n_blocks": 9,
     "norm": "batch", "dropout": True},
    {"class": "ResnetGenerator", "input_nc": 3, "output_nc": 3, "ngf": 2, "n_blocks": 0,
     "norm": "none", "dropout": False},
    {"class": "PixelDiscriminator", "input_nc": 6, "ndf": 4, "norm": "batch"},
    {"class": "PixelDiscriminator", "input_nc": 6, "ndf": 4, "norm": "instance", "bias": True},
    {"class": "PixelDiscriminator", "input_nc": 6, "ndf": 4, "norm": "batch", "bias": False},
]  # fmt: skip


def weights_of(description: dict, seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    weights = {}
    for layer in layers(description):
        for key, shape in layer.keys().items():
            weights[key] = generator.standard_normal(shape).astype(np.float32)
            if key.endswith("num_batches_tracked"):
                weights[key] = np.array(3, np.int64)
    return weights


@pytest.mark.parametrize("description", DESCRIPTIONS, ids=lambda d: f"{d['class']}-{d['input_nc']}")
def test_every_size_is_read_from_keys_and_shapes(description):
    weights = weights_of(description)
    assert architecture_of(weights) == description
    assert sentence(description).startswith(description["class"])
    # The key tables that make our parameters know the same layers, in the same shapes.
    module, entries = network_from_description(description)
    side = 2 ** description.get("num_downs", 5)
    x = jnp.zeros((1, side, side, description["input_nc"]))
    shapes = jax.eval_shape(lambda key: module.init(key, x), jax.random.key(0))
    tree = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    ours = names.to_torch(tree, entries())
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in weights.items()}


GLOBAL = {"class": "GlobalGenerator", "input_nc": 6, "output_nc": 3, "ngf": 2, "n_downsampling": 3,
          "n_blocks": 2}  # fmt: skip
FACE = DESCRIPTIONS[5]


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module.", "module.module."])
def test_wrappers_names_are_taken_off(prefix):
    weights = weights_of(GLOBAL)
    found, plain = recognise({prefix + key: value for key, value in weights.items()})
    assert found == GLOBAL and plain.keys() == weights.keys()
    inside = {key.replace("model.", "model.module.", 1): value for key, value in weights.items()}
    assert recognise(inside)[1].keys() == weights.keys()
    with pytest.raises(UserError, match=r"holds model\.1\.weight twice"):
        recognise({**weights, "module.model.1.weight": weights["model.1.weight"]})


def test_statistics_that_instance_norm_once_kept_are_left_out():
    weights = weights_of(GLOBAL)
    old = {**weights}
    for layer in ("model.2", "model.5", "model.13.conv_block.2"):
        old |= {f"{layer}.running_mean": np.zeros(2), f"{layer}.running_var": np.ones(2)}
        old[f"{layer}.num_batches_tracked"] = np.array(5)
    found, plain = recognise(old)
    assert found == GLOBAL and plain.keys() == weights.keys()
    # Batch norm's are kept; its counter is absent in files of PyTorch 0.4.
    weights = weights_of(FACE)
    old = {k: v for k, v in weights.items() if not k.endswith("num_batches_tracked")}
    found, plain = recognise(old)
    assert found == FACE and "facemodel.3.running_mean" in plain


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_is_computed_in_float32(tmp_path, dtype):
    weights = {key: value.astype(dtype) for key, value in weights_of(GLOBAL).items()}
    write_pth(tmp_path / "half.pt", weights)
    network = load_network(tmp_path / "half.pt")
    leaves = jax.tree.leaves(network.params)
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}
    held = network.state_dict()
    assert held.keys() == weights.keys()
    for key, value in weights.items():
        np.testing.assert_array_equal(held[key], value.astype(np.float32))


# --- weights in parts -----------------------------------------------------------------------------


def test_spectral_norm_divides_by_the_norm_of_the_stored_vectors():
    generator = np.random.default_rng(0)
    weight = generator.standard_normal((4, 3, 2, 2)).astype(np.float32)
    left, singular, right = np.linalg.svd(weight.reshape(4, -1))
    folded = spectral_norm(weight, left[:, 0], right[0])
    np.testing.assert_allclose(folded, weight / singular[0], rtol=1e-5)
    # Of a transposed convolution, whose outputs are the second axis.
    matrix = weight.swapaxes(0, 1).reshape(3, -1)
    left, singular, right = np.linalg.svd(matrix)
    folded = spectral_norm(weight, left[:, 0], right[0], transposed=True)
    np.testing.assert_allclose(folded, weight / singular[0], rtol=1e-5)
    with pytest.raises(UserError, match="3 and 16 entries"):
        spectral_norm(weight, left[:, 0], np.zeros(16))
    with pytest.raises(UserError, match="has the norm 0"):
        spectral_norm(weight, np.zeros(4), np.zeros(12))


def test_weight_norm_has_the_stored_lengths():
    generator = np.random.default_rng(0)
    direction = generator.standard_normal((4, 3, 2, 2)).astype(np.float32)
    length = generator.uniform(1, 2, (4, 1, 1, 1)).astype(np.float32)
    folded = weight_norm(direction, length)
    lengths = np.linalg.norm(folded.reshape(4, -1), axis=1)
    np.testing.assert_allclose(lengths, length.ravel(), rtol=1e-5)
    np.testing.assert_allclose(
        folded[0] / length[0], direction[0] / np.linalg.norm(direction[0]), rtol=1e-5
    )


PATCH = DESCRIPTIONS[7]
UNET = {"class": "UnetGenerator", "input_nc": 3, "output_nc": 3, "num_downs": 5, "ngf": 2,
        "norm": "instance", "dropout": False}  # fmt: skip


@pytest.mark.parametrize("form", ["old", "new", "whole", "weight_norm", "new_weight_norm"])
@pytest.mark.parametrize("description", [PATCH, UNET], ids=lambda d: d["class"])
def test_weights_in_parts_are_put_together(form, description):
    weights = weights_of(description)
    up = {layer.prefix for layer in layers(description) if layer.kind == "up"}
    generator = np.random.default_rng(1)
    stored, expected = {}, dict(weights)
    for key, value in weights.items():
        layer, _, name = key.rpartition(".")
        if name != "weight":
            stored[key] = value
            continue
        outputs = value.shape[1 if layer in up else 0]
        u = generator.standard_normal(outputs).astype(np.float32)
        v = generator.standard_normal(value.size // outputs).astype(np.float32)
        if form.endswith("weight_norm"):
            shape = [1] * 4
            shape[0] = value.shape[0]
            g = generator.uniform(1, 2, shape).astype(np.float32)
            pair = ("weight_g", "weight_v")
            if form.startswith("new"):
                pair = ("parametrizations.weight.original0", "parametrizations.weight.original1")
            stored |= {f"{layer}.{pair[0]}": g, f"{layer}.{pair[1]}": value}
            expected[key] = weight_norm(value, g)
            continue
        expected[key] = spectral_norm(value, u, v, layer in up)
        if form == "old":
            stored |= {f"{layer}.weight_orig": value, f"{layer}.weight_u": u}
            stored[f"{layer}.weight_v"] = v
        elif form == "new":
            stored |= {f"{layer}.parametrizations.weight.original": value}
            stored |= {f"{layer}.parametrizations.weight.0._{n}": p for n, p in zip("uv", (u, v))}  # noqa: B905
        else:  # PyTorch 0.4: the finished weight, u, and no v
            stored |= {f"{layer}.weight_orig": 3 * value, f"{layer}.weight_u": u, key: value}
            expected[key] = value
    found, plain = recognise(stored)
    assert found == description and plain.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(plain[key], value)


def test_parts_that_are_missing_are_said():
    weights = weights_of(PATCH)
    weights["model.2.weight_orig"] = weights.pop("model.2.weight")
    with pytest.raises(UserError, match=r"weight of model\.2 is stored in parts .* missing"):
        recognise(weights)


# --- what does not fit ----------------------------------------------------------------------------


def test_keys_that_do_not_fit_are_listed(tmp_path):
    weights = weights_of(GLOBAL)
    del weights["model.14.conv_block.1.bias"]
    weights["netE.0.weight"] = np.zeros(3)
    weights["model.7.weight"] = weights["model.7.weight"][:5]
    write_pth(tmp_path / "w.pth", weights)
    with pytest.raises(UserError) as error:
        load_network(tmp_path / "w.pth")
    message = str(error.value)
    assert "w.pth" in message and "GlobalGenerator" in message
    assert "missing model.14.conv_block.1.bias" in message
    assert "unknown netE.0.weight" in message
    assert "model.7.weight is [5, 4, 3, 3] instead of [8, 4, 3, 3]" in message


@pytest.mark.parametrize(
    ("weights", "why"),
    [
        ({}, "0 keys: none"),
        ({"fc.weight": np.zeros((2, 2))}, r"not the weights of a network .* fc\.weight"),
        ({"model.1.weight": np.zeros((2, 3, 7, 7))}, "lacks model.5.weight"),
        ({"model1_1.1.weight": np.zeros((2, 3, 7, 7))}, "lacks model1_2.4.weight"),
        ({"model2_1.1.weight": np.zeros((2, 3, 7, 7))}, r"enhancers \[2\]"),
        ({"scale0_layer0.0.weight": np.zeros((2, 3))}, "lacks scale0_layer0.0.weight"),
        ({"model.model.0.weight": np.zeros((2, 3, 4, 4))}, "lacks model.model.3.weight"),
        ({"model.0.weight": np.zeros((0, 3, 4, 4))}, "lacks model.0.weight"),
    ],
)
def test_what_is_no_known_network_is_said(weights, why):
    with pytest.raises(UserError, match=why):
        recognise(weights)


def test_keys_and_shapes_at_random_give_a_description_or_one_sentence():
    """Two thousand state_dicts with keys renamed, dropped, doubled, and of other shapes."""
    generator = np.random.default_rng(0)
    templates = [weights_of(description) for description in DESCRIPTIONS]
    everything = sorted({key for weights in templates for key in weights})
    found = 0
    for _ in range(2000):
        weights = dict(templates[int(generator.integers(len(templates)))])
        for _ in range(int(generator.integers(1, 4))):
            key = list(weights)[int(generator.integers(len(weights)))]
            change, value = int(generator.integers(5)), weights[key]
            if change == 0 and len(weights) > 1:
                del weights[key]
            elif change == 1:
                weights[everything[int(generator.integers(len(everything)))]] = value
            elif change == 2:
                weights[key] = np.zeros(generator.integers(0, 9, int(generator.integers(6))))
            elif change == 3:
                weights[re.sub(r"\d+", lambda _: str(generator.integers(99)), key)] = value
            else:
                tail = ("_orig", "_u", "_v", "_g", "s")[int(generator.integers(5))]
                weights[key + tail] = weights.pop(key)
        try:
            description, plain = recognise(weights)
            found += 1
            assert sum(len(layer.keys()) for layer in layers(description)) >= len(plain)
        except UserError as error:
            assert len(str(error)) < 6000 and "\n" not in str(error)
    assert 0 < found < 1000


def test_batch_norm_in_networks_of_pix2pixhd_is_said():
    for description, norm in (
        (GLOBAL, "model.2.weight"),
        (DESCRIPTIONS[2], "model.2.weight"),
        (DESCRIPTIONS[3], "scale0_layer1.1.weight"),
        (DESCRIPTIONS[4], "layer0.3.weight"),
    ):
        weights = {**weights_of(description), norm: np.ones(4)}
        with pytest.raises(UserError, match=r"batch norm \(norm batch\)"):
            recognise(weights)


# --- options --------------------------------------------------------------------------------------

OPT = """------------ Options -------------
label_nc: 6
input_nc: 3
output_nc: 3
netG: global
ngf: 2
n_downsample_global: 3
n_blocks_global: 2
no_instance: True
norm: instance
-------------- End ----------------
"""
TRAIN_OPT = """----------------- Options ---------------
               batch_size: 1
                 input_nc: 3                             
                     netG: unet_256                      	[default: resnet_9blocks]
               no_dropout: False                         
----------------- End -------------------
"""


def test_options_files_are_read():
    found = options.parse_options(TRAIN_OPT)
    assert found == {"batch_size": "1", "input_nc": "3", "netG": "unet_256", "no_dropout": "False"}
    assert options.parse_options(OPT)["n_blocks_global"] == "2"
    for name, expected in (
        ("latest_net_G.pth", "G"), ("40_net_Dface.pt", "Dface"), ("5_net_G_A.safetensors", "G_A"),
        ("weights.pth", None),
    ):  # fmt: skip
        assert options.network_of(Path(name)) == expected


def test_options_beside_the_file_are_checked_against_the_weights(tmp_path):
    path = tmp_path / "latest_net_G.pth"
    write_pth(path, weights_of(GLOBAL))
    (tmp_path / "opt.txt").write_text(OPT)
    assert load_network(path).config == GLOBAL
    for old, new, why in (
        ("ngf: 2", "ngf: 64", "with ngf 2, .* say ngf = 64, which makes ngf 64"),
        ("netG: global", "netG: local", "class GlobalGenerator, .* netG = local"),
        ("n_blocks_global: 2", "n_blocks_global: 9", "n_blocks 2.*n_blocks_global = 9"),
        ("label_nc: 6", "label_nc: 35", "input_nc 6.*label_nc = 35"),
        ("no_instance: True", "no_instance: False", "input_nc 6.*input_nc 7"),
        ("norm: instance", "norm: batch", "norm instance.*norm = batch"),
        ("ngf: 2", "ngf: many", "ngf = many, which is no whole number"),
    ):
        (tmp_path / "opt.txt").write_text(OPT.replace(old, new))
        with pytest.raises(UserError, match=why):
            load_network(path)
        assert load_network(path, {}).config == GLOBAL
    (tmp_path / "opt.txt").write_text("nothing here")
    with pytest.raises(UserError, match="holds no options"):
        load_network(path)
    (tmp_path / "opt.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="cannot be read"):
        load_network(path)


def test_options_settle_what_no_weight_tells():
    resnet = {"class": "ResnetGenerator", "input_nc": 3, "output_nc": 3, "ngf": 2, "n_blocks": 4,
              "norm": "instance", "dropout": False}  # fmt: skip
    assert architecture_of(weights_of(resnet)) == resnet

    def applied(description, network="G", **given):
        return options.apply(description, given, network, "w.pth")

    twin = applied(resnet, netG="global", n_downsample_global="2", n_blocks_global="4")
    assert twin == {"class": "GlobalGenerator", "input_nc": 3, "output_nc": 3, "ngf": 2,
                    "n_blocks": 4, "n_downsampling": 2}  # fmt: skip
    # The same network, computed alike.
    weights = weights_of(resnet)
    x = np.random.default_rng(0).uniform(-1, 1, (1, 8, 8, 3)).astype(np.float32)
    outputs = []
    for description in (resnet, twin):
        module, entries = network_from_description(description)
        params = names.from_torch(weights, entries(), "")
        outputs.append(Network(description["class"], module, params, description)(x))
    np.testing.assert_allclose(*outputs, atol=1e-5)
    assert applied(UNET, no_dropout="False")["dropout"] is True
    assert applied(UNET, no_dropout="True")["dropout"] is False
    with pytest.raises(UserError, match=r"num_downs 5.*netG = unet_256.*num_downs 8"):
        applied(UNET, netG="unet_256")
    with pytest.raises(UserError, match=r"dropout False.*no_dropout = False"):
        applied(resnet, no_dropout="False")
    with pytest.raises(UserError, match=r"n_layers 5.*netD = basic"):
        applied(PATCH, "D", netD="basic", n_layers_D="5")
    assert applied(PATCH, "D", netD="n_layers", n_layers_D="5", ngf="64") == PATCH
    with pytest.raises(UserError, match=r"intermediate_features True.*no_ganFeat_loss = True"):
        applied(DESCRIPTIONS[3], "D", no_ganFeat_loss="True")
    # The face networks have sizes of their own, whatever the options say.
    assert applied(FACE, "Dface", ndf="64", norm="instance") == FACE
    # --direction BtoA exchanges the channels.
    assert applied({**UNET, "input_nc": 3, "output_nc": 1}, input_nc="1", output_nc="3")


# --- networks -------------------------------------------------------------------------------------


def test_a_network_gives_what_the_reference_gives(shared):
    folder = shared / "parity" / "cyclegan-and-pix2pix"
    arrays = np.load(folder / "pixel_discriminator.npz")
    (scale,) = load_network(folder / "pixel_discriminator.pth")(
        arrays["input"].transpose(0, 2, 3, 1)
    )
    (logits,) = scale
    expected = arrays["output"].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_a_network_says_what_it_cannot_take_or_write(tmp_path):
    write_safetensors(tmp_path / "w.safetensors", weights_of(GLOBAL))
    (tmp_path / "other").touch()
    # The rights of every other file.
    assert (tmp_path / "w.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode
    (tmp_path / "other").unlink()
    network = load_network(tmp_path / "w.safetensors")
    x = np.zeros((1, 8, 8, 6))
    assert network.multiple == 8
    with pytest.raises(UserError, match=r"6 input channels.*\[1, 8, 8, 3\]"):
        network(x[..., :3])
    with pytest.raises(UserError, match="5x8; its sizes must be divisible by 8"):
        network(x[:, :, :5])
    with pytest.raises(UserError, match=r"must end in \.pth"):
        save_torch(network, tmp_path / "w.bin")
    with pytest.raises(UserError, match=r"must end in \.safetensors"):
        save_safetensors(network, tmp_path / "w.pth")
    with pytest.raises(UserError, match="is no weight file"):
        load_network(tmp_path / "w.bin")


def test_discriminators_give_scales_of_layers():
    for description, lengths in (
        ({**DESCRIPTIONS[3], "num_D": 2, "n_layers": 1}, [3, 3]),
        ({**DESCRIPTIONS[4], "n_layers": 1}, [1]),
        ({**FACE, "n_layers": 1}, [1]),
        (DESCRIPTIONS[8], [1]),
    ):
        module, entries = network_from_description(description)
        params = names.from_torch(weights_of(description), entries(), "")
        network = Network(description["class"], module, params, description)
        x = np.zeros((1, 16, 16, description["input_nc"]))
        output = jax.eval_shape(network, x)
        assert [len(scale) for scale in output] == lengths
        assert all(scale[-1].shape[-1] == 1 for scale in output)


def test_running_statistics_of_a_network_without_them_are_pytorchs_first(tmp_path):
    module, entries = network_from_description(FACE)
    params = initialise(module, jax.random.key(0), jnp.zeros((1, 32, 32, 6)))
    held = Network(FACE["class"], module, params, FACE).state_dict()
    assert held["facemodel.3.num_batches_tracked"].dtype == np.int64
    np.testing.assert_array_equal(held["facemodel.3.running_mean"], np.zeros(8))
    np.testing.assert_array_equal(held["facemodel.3.running_var"], np.ones(8))
