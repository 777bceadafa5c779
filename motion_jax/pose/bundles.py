"""Where the pose models come from: named by the user, found in a folder, or downloaded once.

A MediaPipe .task bundle is a zip of .tflite models. Two are used: the pose landmarker for the body
alone, the holistic landmarker for body, face and hands. Order of search: `--pose-model` (a file or
a folder), the folder in $MOTION_JAX_MODELS, the cache folder, Google's published model storage.
"""

import io
import json
import os
import time
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from motion_jax import files
from motion_jax.download import DownloadError, stream
from motion_jax.errors import UserError, option
from motion_jax.progress import say

_STORAGE = "https://storage.googleapis.com/mediapipe-models"
POSE_MEMBERS = ("pose_detector.tflite", "pose_landmarks_detector.tflite")
HOLISTIC_MEMBERS = (
    "face_detector.tflite",
    "face_landmarks_detector.tflite",
    "hand_landmarks_detector.tflite",
    "hand_roi_refinement.tflite",
    *POSE_MEMBERS,
)
FACE_MEMBERS = ("face_detector.tflite", "face_landmarks_detector.tflite")


@dataclass(frozen=True)
class Kind:
    """One published bundle: its file name, its address, and what must be in it."""

    file: str
    address: str
    members: tuple[str, ...]


KINDS = {
    "body": Kind(
        "pose_landmarker_full.task",
        f"{_STORAGE}/pose_landmarker/pose_landmarker_full/float16/latest/pose_landmarker_full.task",
        POSE_MEMBERS,
    ),
    "holistic": Kind(
        "holistic_landmarker.task",
        f"{_STORAGE}/holistic_landmarker/holistic_landmarker/float16/latest/holistic_landmarker.task",
        HOLISTIC_MEMBERS,
    ),
    # Hands alone, of several people: for faces with hands in front of them (faces.find).
    "hands": Kind(
        "hand_landmarker.task",
        f"{_STORAGE}/hand_landmarker/hand_landmarker/float16/latest/hand_landmarker.task",
        ("hand_detector.tflite", "hand_landmarks_detector.tflite"),
    ),
}


@dataclass(frozen=True)
class Bundle:
    """A checked bundle on this machine.

    Attributes:
      path: the file.
      sha256: of its bytes, hexadecimal.
      size: bytes.
      source: "option", "environment", "cache" or "download".
      address: where it was downloaded from, "" where that is not known.
    """

    path: Path
    sha256: str
    size: int
    source: str
    address: str = ""

    def origin(self) -> dict[str, str | int]:
        """What a dataset keeps of it (no path: it means nothing on another machine)."""
        return {
            "model": self.path.name,
            "model_sha256": self.sha256,
            "model_bytes": self.size,
            "model_address": self.address,
        }


def models_folder() -> Path:
    """Where downloaded bundles are kept."""
    return files.cache_folder() / "models"


def find_bundle(
    detail: str, model: Path | None = None, opener: Callable = urllib.request.urlopen
) -> Bundle:
    """The bundle for `detail` ("body" or "holistic"), downloaded if it is nowhere on the machine.

    Args:
      detail: what is to be estimated.
      model: `--pose-model`: a .task file, or a folder that holds it under its published name.
      opener: opens an address for reading (replaced in tests).

    Raises UserError where a named file or folder lacks it, where the file is damaged or is another
    model, and where it would have to be downloaded and cannot be.
    """
    kind = kind_of(detail)
    if model is not None:
        path = Path(model).expanduser()
        if path.is_dir():
            path = path / kind.file
        if not path.is_file():
            raise UserError(
                f"There is no pose model {path}; download it from {kind.address} and give its "
                f"place with {option('pose_model')}."
            )
        return _checked(path, kind, "option")
    if folder := os.environ.get("MOTION_JAX_MODELS"):
        path = Path(folder).expanduser() / kind.file
        if path.is_file():
            return _checked(path, kind, "environment")
    path = models_folder() / kind.file
    if path.is_file():
        return _checked(path, kind, "cache")
    return _download(kind, path, opener)


def kind_of(detail: str) -> Kind:
    if detail not in KINDS:
        raise UserError(
            f"There is no pose detail {detail!r}; choose {option('detail')} body or "
            f"{option('detail')} holistic."
        )
    return KINDS[detail]


def pose_bundle_bytes(path: Path) -> bytes:
    """The pose landmarker's bundle, taken out of any bundle that holds its two models."""
    return _bundle_bytes(path, POSE_MEMBERS)


def face_bundle_bytes(path: Path) -> bytes:
    """The face landmarker's bundle, taken out of the holistic one."""
    return _bundle_bytes(path, FACE_MEMBERS)


def _bundle_bytes(path: Path, members: tuple[str, ...]) -> bytes:
    """MediaPipe maps the models of a bundle where they lie, so they are stored uncompressed."""
    packed = io.BytesIO()
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as part:
        for member in members:
            part.writestr(zipfile.ZipInfo(member), whole.read(member))
    return packed.getvalue()


def _record_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _checked(path: Path, kind: Kind, source: str) -> Bundle:
    """Reads the whole file once: its SHA-256, its members and their checksums."""
    advice = f"delete it and download it again from {kind.address}"
    try:
        digest = files.sha256(path)
        with zipfile.ZipFile(path) as bundle:
            names = set(bundle.namelist())
            damaged = bundle.testzip()
    except (zipfile.BadZipFile, EOFError) as error:
        raise UserError(
            f"The pose model {path} is damaged (not a whole .task bundle, "
            f"{path.stat().st_size} bytes); {advice}."
        ) from error
    except OSError as error:
        raise UserError(
            f"Cannot read the pose model {path} ({error.strerror}); make it readable or give "
            f"another with {option('pose_model')}."
        ) from error
    if damaged:
        raise UserError(f"The pose model {path} is damaged (in {damaged}); {advice}.")
    missing = [member for member in kind.members if member not in names]
    if missing:
        raise UserError(
            f"The pose model {path} is not a {kind.file} (it lacks {missing[0]}); give the file "
            f"from {kind.address} with {option('pose_model')}."
        )
    record, address = _record_path(path), ""
    if record.is_file():
        try:
            known = json.loads(record.read_text())
            known_digest, address = known["sha256"], known["address"]
        except (ValueError, KeyError, TypeError):
            known_digest = digest
        if known_digest != digest:
            raise UserError(
                f"The pose model {path} is not the file that was downloaded (its SHA-256 differs "
                f"from the one in {record.name}); {advice}."
            )
    return Bundle(path, digest, path.stat().st_size, source, address)


def _download(kind: Kind, target: Path, opener: Callable) -> Bundle:
    files.check_writable(target.parent)
    say(f"Downloading {kind.address} to {target} (once).")
    try:
        with files.atomic_path(target) as temporary:
            digest, done = stream(kind.address, temporary, opener)
            try:
                _checked(temporary, kind, "download")
            except UserError as error:
                raise DownloadError(
                    "what came is not that bundle; is a proxy in between?"
                ) from error
    except DownloadError as error:
        raise UserError(
            f"The pose model {kind.file} is not on this machine and could not be downloaded "
            f"({error}); fetch {kind.address} elsewhere and put it at {target}, or give its place "
            f"with {option('pose_model')} FILE or with the folder in $MOTION_JAX_MODELS."
        ) from error
    bundle = Bundle(target, digest, done, "download", kind.address)
    files.write_json(
        _record_path(target),
        {
            "file": kind.file,
            "address": kind.address,
            "bytes": bundle.size,
            "sha256": bundle.sha256,
            "downloaded": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        },
    )
    return bundle
