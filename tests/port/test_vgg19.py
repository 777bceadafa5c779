"""VGG-19's weights: fetched, converted, loaded, or a sentence that says how to get them."""

import hashlib
import io
import urllib.error
from types import SimpleNamespace

import numpy as np
import pytest

from motion_jax.errors import UserError
from motion_jax.fetch import FetchOptions, fetch
from motion_jax.nets.vgg import TORCHVISION_INDEX
from motion_jax.weights import vgg19

# The true file's names; its sizes would be 575 MB.
WEIGHTS = {}
for _index in TORCHVISION_INDEX:
    WEIGHTS[f"features.{_index}.weight"] = np.full((2, 1, 3, 3), _index, np.float32)
    WEIGHTS[f"features.{_index}.weight"][1, 0, 0, 2] = 99
    WEIGHTS[f"features.{_index}.bias"] = np.full(2, -_index, np.float32)
WEIGHTS["features.34.weight"] = np.zeros((2, 2, 3, 3), np.float32)
WEIGHTS["classifier.0.weight"] = np.zeros((3, 2), np.float32)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOTION_JAX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture
def published(tmp_path, weight_files, monkeypatch):
    """A torchvision file of the older format (the published one's), whose checksum is expected."""
    path = weight_files.legacy(tmp_path / "vgg.pth", *weight_files.as_tensors(WEIGHTS))
    monkeypatch.setattr(vgg19, "SHA256_PREFIX", hashlib.sha256(path.read_bytes()).hexdigest()[:8])
    return path


class Server:
    """Answers as urlopen does."""

    def __init__(self, data, length=None, error=None):
        self.data, self.length, self.error, self.asked = data, length, error, []

    def __call__(self, address, timeout):
        self.asked.append(address)
        if self.error:
            raise self.error
        answer = io.BytesIO(self.data)
        length = len(self.data) if self.length is None else self.length
        answer.headers = {"Content-Length": str(length)}
        return answer


def test_fetched_once_converted_and_loaded(published, cache, capsys):
    server = Server(published.read_bytes())
    path = vgg19.fetch_vgg19(server)
    assert path == cache / "vgg19.npz" and server.asked == [vgg19.ADDRESS]
    assert "Downloading" in capsys.readouterr().err
    assert [child.name for child in cache.iterdir()] == ["vgg19.npz"]  # not the 575 MB
    assert vgg19.fetch_vgg19(server) == path and len(server.asked) == 1
    for params in (vgg19.load_vgg19(), vgg19.load_vgg19(path), vgg19.load_vgg19(published)):
        assert list(params["params"]) == [f"conv_{i}" for i in range(13)]
        for i, index in enumerate(TORCHVISION_INDEX):
            layer = params["params"][f"conv_{i}"]
            assert layer["kernel"].shape == (3, 3, 1, 2)
            assert layer["kernel"][0, 2, 0, 1] == 99 and layer["kernel"][2, 0, 0, 1] == index
            np.testing.assert_array_equal(layer["bias"], [-index] * 2)
    # The verb says where it is.
    fetch(FetchOptions("vgg19"))
    assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("server", "sentence"),
    [
        (Server(b"something else"), r"its checksum is .* as published"),
        (Server(b"part", length=100), r"\(4 of 100 bytes came\)"),
        (Server(b"", error=urllib.error.URLError("no route")), r"\(no route\).* put it at .*vgg"),
        (Server(b"", error=TimeoutError("timed out")), r"could not be downloaded \(timed out\)"),
        (Server(b"", error=ConnectionResetError(104, "reset")), "could not be downloaded"),
    ],
)
def test_a_failed_download_is_one_sentence_and_leaves_nothing(published, cache, server, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        vgg19.fetch_vgg19(server)
    assert vgg19.ADDRESS in str(error.value)
    assert list(cache.iterdir()) == []


def test_the_file_put_there_by_hand_is_taken(published, cache):
    cache.mkdir(parents=True)
    name = vgg19.ADDRESS.rsplit("/", 1)[1]
    (cache / name).write_bytes(published.read_bytes())
    vgg19.fetch_vgg19(Server(b"", error=urllib.error.URLError("offline")))
    assert vgg19.load_vgg19()["params"]["conv_0"]["bias"].tolist() == [0, 0]


def test_absent_weights_say_how_to_get_them(tmp_path):
    with pytest.raises(UserError, match="motion-jax fetch vgg19.*vgg PATH.*perceptual none"):
        vgg19.load_vgg19()
    with pytest.raises(UserError, match=r"no file .*absent\.pth.*check vgg"):
        vgg19.load_vgg19(tmp_path / "absent.pth")


def test_other_files_are_refused(tmp_path, weight_files):
    other = {key: value for key, value in WEIGHTS.items() if not key.startswith("features.28")}
    path = weight_files.zip(tmp_path / "vgg16.pth", *weight_files.as_tensors(other))
    with pytest.raises(UserError, match=r"vgg16\.pth does not hold.*missing \['features\.28"):
        vgg19.load_vgg19(path)
    path = tmp_path / "broken.npz"
    path.write_bytes(b"PK no archive")
    with pytest.raises(UserError, match=r"broken\.npz cannot be read"):
        vgg19.load_vgg19(path)
    np.savez(tmp_path / "foreign.npz", a=np.zeros(3))
    with pytest.raises(UserError, match=r"foreign\.npz does not hold"):
        vgg19.load_vgg19(tmp_path / "foreign.npz")


def test_a_config_that_wants_them_fails_before_anything_is_made(tmp_path):
    from motion_jax.recipes.picture_losses import PERCEPTUAL
    from motion_jax.train.loop import load_frozen

    recipe = SimpleNamespace(pretrained=lambda: {"vgg19": PERCEPTUAL["vgg19"].weights})
    with pytest.raises(UserError, match="fetch vgg19"):
        load_frozen(SimpleNamespace(recipe=recipe), None)
    recipe.pretrained = dict
    assert load_frozen(SimpleNamespace(recipe=recipe), None) == {}
