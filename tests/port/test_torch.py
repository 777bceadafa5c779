"""Weight files made by hand, without PyTorch: both formats; damaged files and malicious ones."""

import os
import pickle
import zipfile
from collections import OrderedDict

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_jax.errors import UserError
from motion_jax.nets.initial import initialise
from motion_jax.nets.pix2pix import PixelDiscriminator, ResnetGenerator, UnetGenerator
from motion_jax.nets.pix2pixhd import (
    GlobalGenerator,
    LocalEnhancer,
    MultiscaleDiscriminator,
    NLayerDiscriminator,
)
from motion_jax.port.reference import network_from_description
from motion_jax.weights import names
from motion_jax.weights.torch import read_pth, write_nested

ARRAYS = {
    "model.1.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "model.1.bias": np.array([0.5, -2], np.float16),
    "count": np.array(7, np.int64),
    "flags": np.array([True, False]),
}


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_both_formats_give_the_arrays(tmp_path, weight_files, form):
    write = getattr(weight_files, form)
    found = read_pth(write(tmp_path / "w.pth", *weight_files.as_tensors(ARRAYS)))
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_views_share_a_storage(tmp_path, weight_files, form):
    array = np.arange(12, dtype=np.float32)
    storage, tensor = weight_files.Storage("0", array), weight_files.Tensor
    state = OrderedDict(
        transposed=tensor(storage, (3, 2), (1, 3), 6), empty=tensor(storage, (0, 4), (4, 1))
    )
    found = read_pth(getattr(weight_files, form)(tmp_path / "w.pth", state, {"0": array}))
    np.testing.assert_array_equal(found["transposed"], array[6:].reshape(2, 3).T)
    assert found["empty"].shape == (0, 4)


class Hostile:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_a_file_that_wants_to_run_something_is_refused(tmp_path, weight_files, form):
    marker = tmp_path / "executed"
    state, storages = weight_files.as_tensors(ARRAYS)
    state["model.1.weight"] = Hostile(marker)
    path = getattr(weight_files, form)(tmp_path / "w.pth", state, storages)
    with pytest.raises(UserError, match=r"w\.pth cannot be read.*refers to (posix|nt)\.system"):
        read_pth(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("shape", "strides", "offset", "why"),
    [
        ((4, 4), (4, 1), 0, "larger than its storage"),
        ((3, 4), (4, 1), 1, "beyond its storage"),
        ((3,), (1,), -1, "broken shape"),
        ((3,), (-1,), 5, "broken shape"),
        ((3, 4), (4,), 0, "broken shape"),
        # Twelve numbers as 4 TB.
        ((1 << 20, 1 << 20), (0, 0), 0, "far larger than the file"),
    ],
)
def test_a_tensor_that_does_not_fit_its_storage_is_refused(
    tmp_path, weight_files, shape, strides, offset, why
):
    array = np.zeros(12, np.float32)
    storage = weight_files.Storage("0", array)
    state = {"weight": weight_files.Tensor(storage, shape, strides, offset)}
    with pytest.raises(UserError, match=why):
        read_pth(weight_files.zip(tmp_path / "w.pth", state, {"0": array}))


def test_whole_files_of_other_kinds_are_told_what_to_do(tmp_path):
    path = tmp_path / "w.pth"
    nested = {"first": {"w": np.zeros(2, np.float32)}, "second": {"w": np.ones(2, np.float32)}}
    for write, said in (
        (lambda: write_nested(path, nested), "under first, second; save one of these by itself"),
        (lambda: path.write_bytes(b"\n<!DOCTYPE html><p>"), "it begins like a web page"),
        (lambda: path.write_bytes(pickle.dumps({"a": 1}, 2)), "an ordinary pickle, not a file of"),
    ):
        path.unlink(missing_ok=True)
        write()
        with pytest.raises(UserError, match=said) as error:
            read_pth(path)
        assert "damaged" not in str(error.value)


def test_compressed_and_foreign_archives_are_refused(tmp_path, weight_files):
    state, storages = weight_files.as_tensors(ARRAYS)
    path = tmp_path / "w.pth"
    with pytest.raises(UserError, match="compressed storage"):
        read_pth(weight_files.zip(path, state, storages, zipfile.ZIP_DEFLATED))
    with pytest.raises(UserError, match="big-endian"):
        read_pth(weight_files.zip(path, state, storages, byteorder=b"big"))
    with pytest.raises(UserError, match="not a dictionary"):
        read_pth(weight_files.zip(path, [1, 2], {}))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "no weights")
    with pytest.raises(UserError, match="no data.pkl"):
        read_pth(path)


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_a_file_cut_short_is_one_sentence_wherever_the_cut_is(tmp_path, weight_files, form):
    write = getattr(weight_files, form)
    whole = write(tmp_path / "w.pth", *weight_files.as_tensors(ARRAYS)).read_bytes()
    cut = tmp_path / "cut.pth"
    for length in sorted({0, 1, 40, len(whole) // 2, len(whole) - 30, len(whole) - 1}):
        cut.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"cut\.pth cannot be read.*download or save it again"):
            read_pth(cut)
    with pytest.raises(UserError, match="no weight file"):
        read_pth(tmp_path / "absent.pth")


NETWORKS = {
    "GlobalGenerator": (
        {"output_nc": 3, "ngf": 4, "n_downsampling": 2, "n_blocks": 2}, GlobalGenerator, 6,
    ),
    "LocalEnhancer": (
        {"output_nc": 3, "ngf": 2, "n_downsample_global": 1, "n_blocks_global": 1,
         "n_local_enhancers": 2, "n_blocks_local": 1}, LocalEnhancer, 6,
    ),
    "MultiscaleDiscriminator": ({"ndf": 4, "n_layers": 2, "num_D": 2}, MultiscaleDiscriminator, 12),
    "NLayerDiscriminator": (
        {"ndf": 4, "n_layers": 2, "norm": "batch", "prefix": "facemodel"}, NLayerDiscriminator, 6,
    ),
    "PixelDiscriminator": ({"ndf": 4, "norm": "batch", "bias": False}, PixelDiscriminator, 6),
    "UnetGenerator": (
        {"num_downs": 6, "ngf": 2, "norm": "batch", "dropout": True}, UnetGenerator, 3,
    ),
    "ResnetGenerator": (
        {"ngf": 2, "n_blocks": 1, "norm": "batch", "dropout": True}, ResnetGenerator, 3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", NETWORKS)
def test_weights_go_to_pytorch_and_back(tmp_path, weight_files, kind):
    settings, expected, channels = NETWORKS[kind]
    module, entries = network_from_description({"class": kind, **settings})
    assert isinstance(module, expected)
    x = jnp.zeros((1, 64, 64, channels))
    params = jax.jit(lambda key: initialise(module, key, x))(jax.random.key(1))
    weights = names.to_torch(params, entries())
    # What older files carry and nobody reads.
    extra = dict.fromkeys(("norm.2.running_mean", "norm.2.num_batches_tracked"), np.zeros(1))
    path = weight_files.zip(tmp_path / "net.pth", *weight_files.as_tensors({**extra, **weights}))
    back = names.from_torch(read_pth(path), entries(), path.name)
    # pix2pixHD's discriminator keeps no running statistics, but its files have some.
    assert set(back) - set(params) <= {"batch_stats"}
    kept = {collection: back[collection] for collection in params}
    assert jax.tree.structure(kept) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, kept, params)
    again = names.to_torch(back, entries())
    assert list(again) == list(weights)
    for key, value in again.items():
        assert value.dtype == weights[key].dtype
        np.testing.assert_array_equal(value, weights[key])
    # A file of torch.nn.DataParallel.
    prefixed = {f"module.{key}": value for key, value in weights.items()}
    jax.tree.map(np.testing.assert_array_equal, names.from_torch(prefixed, entries(), ""), back)


def test_layouts_are_pytorchs():
    settings = {"output_nc": 3, "ngf": 4, "n_downsampling": 1, "n_blocks": 1}
    module, entries = network_from_description({"class": "GlobalGenerator", **settings})
    params = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 8, 8, 6)))
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), params)
    weights = names.to_torch(params, entries())
    assert {key: array.shape for key, array in weights.items() if "weight" in key} == {
        "model.1.weight": (4, 6, 7, 7),
        "model.4.weight": (8, 4, 3, 3),
        "model.7.conv_block.1.weight": (8, 8, 3, 3),
        "model.7.conv_block.5.weight": (8, 8, 3, 3),
        "model.8.weight": (8, 4, 3, 3),  # transposed: in, out
        "model.12.weight": (3, 4, 7, 7),
    }


def test_default_keys_are_the_published_ones():
    keys = [key for _, key, _ in names.global_generator(4, 9)]
    assert keys[0] == "model.1" and keys[-1] == "model.38" and len(keys) == 28
    assert keys[5] == "model.16.conv_block.1" and keys[23:27] == [
        "model.25", "model.28", "model.31", "model.34",
    ]  # fmt: skip
    keys = [key for _, key, _ in names.local_enhancer(4, 9, 1, 3)]
    assert len(keys) == 37 and keys[-2:] == ["model1_2.3", "model1_2.7"]
    keys = [key for _, key, _ in names.multiscale_discriminator(3, 2, False)]
    assert keys[:5] == ["layer0.0", "layer0.2", "layer0.5", "layer0.8", "layer0.11"]
    kinds = {key: kind for _, key, kind in names.layer_discriminator(3, "batch", "facemodel")}
    assert [key for key, kind in kinds.items() if kind == "batch_norm"] == [
        "facemodel.3", "facemodel.6", "facemodel.9",
    ]  # fmt: skip


def test_missing_and_unknown_keys_are_listed():
    entries = list(names.layer_discriminator(1, "instance", "facemodel"))
    weights = {}
    for _, key, _ in entries:
        weights |= {f"{key}.weight": np.zeros((1, 1, 4, 4)), f"{key}.bias": np.zeros(1)}
    del weights["facemodel.2.bias"]
    weights["netE.0.weight"] = np.zeros(1)
    with pytest.raises(UserError) as error:
        names.from_torch(weights, iter(entries), "other.pth")
    assert "other.pth" in str(error.value)
    assert "missing ['facemodel.2.bias'], unknown ['netE.0.weight']" in str(error.value)


def test_an_unknown_network_class_is_named():
    with pytest.raises(UserError, match="'UNet' is not a network class"):
        network_from_description({"class": "UNet"})
