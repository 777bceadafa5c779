"""Finding, checking and downloading of the pose model bundles; no network, no real models."""

import email.message
import hashlib
import io
import json
import urllib.error
import zipfile

import pytest

from motion_jax.errors import UserError
from motion_jax.pose import bundles


def make_bundle(members=bundles.HOLISTIC_MEMBERS) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as bundle:
        for member in members:
            bundle.writestr(member, member * 50)
    return data.getvalue()


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("MOTION_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MOTION_JAX_MODELS", raising=False)


def offline(address, timeout):
    raise urllib.error.URLError("Name or service not known")


def serving(data: bytes, announced: int | None = None):
    class Answer(io.BytesIO):
        headers = email.message.Message()

    def opener(address, timeout):
        answer = Answer(data)
        answer.headers = email.message.Message()
        answer.headers["Content-Length"] = str(announced or len(data))
        return answer

    return opener


def test_order_of_search(tmp_path, monkeypatch):
    data = make_bundle()
    places = {name: tmp_path / name for name in ("option", "environment")}
    for folder in places.values():
        folder.mkdir()
        (folder / "holistic_landmarker.task").write_bytes(data)
    monkeypatch.setenv("MOTION_JAX_MODELS", str(places["environment"]))
    assert bundles.find_bundle("holistic", places["option"]).source == "option"
    assert bundles.find_bundle("holistic").path.parent == places["environment"]
    named = places["option"] / "holistic_landmarker.task"
    found = bundles.find_bundle("holistic", named)
    assert (found.path, found.size) == (named, len(data))
    assert found.sha256 == hashlib.sha256(data).hexdigest()


def test_offline_error_names_file_address_and_places(tmp_path):
    with pytest.raises(UserError) as error:
        bundles.find_bundle("holistic", opener=offline)
    text = str(error.value)
    for part in (
        "holistic_landmarker.task",
        bundles.KINDS["holistic"].address,
        str(tmp_path / "cache" / "models" / "holistic_landmarker.task"),
        "pose_model",
        "MOTION_JAX_MODELS",
    ):
        assert part in text
    assert list((tmp_path / "cache" / "models").iterdir()) == []


def test_download_is_recorded_and_used_again(tmp_path):
    data = make_bundle(bundles.POSE_MEMBERS)
    first = bundles.find_bundle("body", opener=serving(data))
    assert first.source == "download"
    record = json.loads((first.path.parent / (first.path.name + ".json")).read_text())
    assert record["sha256"] == first.sha256 == hashlib.sha256(data).hexdigest()
    assert record["bytes"] == len(data)
    again = bundles.find_bundle("body", opener=offline)
    assert (again.source, again.address) == ("cache", bundles.KINDS["body"].address)
    with open(again.path, "ab") as file:
        file.write(b" ")
    with pytest.raises(UserError, match="SHA-256 differs|damaged"):
        bundles.find_bundle("body", opener=offline)


def test_cut_download_leaves_nothing(tmp_path):
    data = make_bundle()
    with pytest.raises(UserError, match=f"{len(data)} of {len(data) + 9} bytes"):
        bundles.find_bundle("holistic", opener=serving(data, len(data) + 9))
    assert list((tmp_path / "cache" / "models").iterdir()) == []


@pytest.mark.parametrize("detail", ["body", "holistic"])
def test_damaged_bundles(tmp_path, detail):
    path = tmp_path / "model.task"
    for data in (b"", b"no zip at all", make_bundle()[:-40]):
        path.write_bytes(data)
        with pytest.raises(UserError, match="model.task is damaged"):
            bundles.find_bundle(detail, path)
    data = bytearray(make_bundle())
    data[70] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(UserError, match="is damaged"):
        bundles.find_bundle(detail, path)


def test_wrong_names(tmp_path):
    path = tmp_path / "model.task"
    path.write_bytes(make_bundle(bundles.POSE_MEMBERS))
    with pytest.raises(UserError, match="lacks face_detector.tflite"):
        bundles.find_bundle("holistic", path)
    with pytest.raises(UserError, match="There is no pose model"):
        bundles.find_bundle("holistic", tmp_path / "none.task")
    with pytest.raises(UserError, match="no pose detail 'face'"):
        bundles.find_bundle("face")


def test_pose_models_taken_out_of_a_holistic_bundle(tmp_path):
    path = tmp_path / "holistic.task"
    path.write_bytes(make_bundle())
    with zipfile.ZipFile(io.BytesIO(bundles.pose_bundle_bytes(path))) as part:
        assert tuple(part.namelist()) == bundles.POSE_MEMBERS
        assert part.read(bundles.POSE_MEMBERS[0]) == (bundles.POSE_MEMBERS[0] * 50).encode()


def test_a_proxys_page_instead_of_the_bundle(tmp_path):
    with pytest.raises(UserError, match="what came is not that bundle"):
        bundles.find_bundle("body", opener=serving(b"<html>please log in</html>"))
    assert list((tmp_path / "cache" / "models").iterdir()) == []
