"""Every kind of input against every way in which it can be wrong.

    python tests/field/inventory.py        # tries all and writes the table of docs/inputs.md

A cell is a small input of that kind, spoilt in that way, and read as the verbs read it. What may
come of it: the right result, or one sentence that names the file (UserError). Anything else is a
fault: another exception, a sentence without the file, several lines, an input that was changed.
"""

import contextlib
import hashlib
import os
import re
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from field_films import beep, film, film_of_tracks, people, pictures
from PIL import Image

from motion_jax.errors import UserError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "inputs.md"
BEGIN, END = "<!-- inventory: begin -->", "<!-- inventory: end -->"
COUNT = 6
# More than any limit of a file that is read as a whole; the disk holds none of it.
LARGE = 80 * 2**20


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    Attributes:
      make: writes a right one into a folder and returns (what a command is given, the file that is
        spoilt).
      read: reads it as the verbs do, to its end; yields once in the middle, where it can be changed
        meanwhile.
    """

    make: Callable[[Path], tuple[Path, Path]]
    read: Callable[[Path], Iterator[None]]


# --- right inputs -------------------------------------------------------------


def _film(name: str, codec: str = "libx264", pix_fmt: str = "yuv420p"):
    def make(folder: Path) -> tuple[Path, Path]:
        path = film(folder / name, pictures(24), codec, pix_fmt)
        return path, path

    return make


def _sound(folder: Path) -> tuple[Path, Path]:
    wave = beep(0.2, 0.4, 1)
    path = film_of_tracks(folder / "sound.mp4", [(pictures(12), True)], [(wave, True)])
    return path, path


def _picture(name: str):
    def make(folder: Path) -> tuple[Path, Path]:
        Image.fromarray(pictures(1)[0]).save(folder / name)
        return folder / name, folder / name

    return make


def _stills(folder: Path) -> tuple[Path, Path]:
    for number, image in enumerate(pictures(COUNT)):
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder, folder / "2.png"


def _json(folder: Path) -> tuple[Path, Path]:
    from motion_jax.pose.files import write_openpose

    write_openpose(folder, people(COUNT), "clip")
    return folder, folder / "clip_000000000002_keypoints.json"


def _yml(folder: Path) -> tuple[Path, Path]:
    from motion_jax.data.edn_files import write_yml

    for number, keypoints in enumerate(people(COUNT)):
        write_yml(folder, f"frame{number}", keypoints)
    return folder, folder / "frame2_pose.yml"


WEIGHTS = {"model.1.weight": np.arange(2 * 3 * 3 * 3, dtype=np.float32).reshape(2, 3, 3, 3)}


def _pth(folder: Path) -> tuple[Path, Path]:
    from motion_jax.weights.torch import write_pth

    write_pth(folder / "w.pth", WEIGHTS)
    return folder / "w.pth", folder / "w.pth"


def _safetensors(folder: Path) -> tuple[Path, Path]:
    from motion_jax.weights.safetensors import write_safetensors

    write_safetensors(folder / "w.safetensors", WEIGHTS, {})
    return folder / "w.safetensors", folder / "w.safetensors"


def _dataset(spoilt: str):
    def make(folder: Path) -> tuple[Path, Path]:
        from motion_jax.data import records

        writer = records.ShardWriter(records.shard_path(folder, 0, 1), 16, 16, "png")
        with writer:
            for number in range(COUNT):
                writer.write(
                    {"frame": np.full((16, 16, 3), 20 * number, np.uint8),
                     "keypoints": people(1, (16, 16))[0], "face_box": np.zeros(4, np.float32),
                     "clip": 0, "index": number, "time": number / 25}
                )  # fmt: skip
        info = records.DatasetInfo(
            height=16, width=16, clips=((0, 0, 0, COUNT),), picture="png",
            sources=({"file": "a.mp4", "sha256": "", "fps": 25.0, "width": 16, "height": 16},),
        )  # fmt: skip
        records.finish_dataset(folder, info, [COUNT])
        (file,) = folder.glob(spoilt)
        return folder, file

    return make


def _run(folder: Path) -> tuple[Path, Path]:
    from motion_jax.config import Config, to_json
    from motion_jax.files import write_json

    write_json(folder / "config.json", to_json(Config()))
    return folder, folder / "config.json"


def _text(name: str, text: str):
    def make(folder: Path) -> tuple[Path, Path]:
        (folder / name).write_text(text)
        return folder / name, folder / name

    return make


def _profile(folder: Path) -> tuple[Path, Path]:
    from motion_jax.files import write_json
    from motion_jax.profiling.profile_json import FORMAT

    value = {"rows": [], "step": {}, "memory": {}, "format": FORMAT}
    write_json(folder / "profile.json", value)
    return folder, folder / "profile.json"


# --- as the verbs read them ---------------------------------------------------


def _frames(path: Path) -> Iterator[None]:
    from motion_jax.video.reader import frame_times, probe, read_frames

    probe(path)
    count = len(frame_times(path))
    frames = read_frames(path)
    next(frames)
    yield
    rest = sum(frame.image.ndim == 3 for frame in frames)
    assert rest + 1 <= count


def _heard(path: Path) -> Iterator[None]:
    from motion_jax.video.reader import probe
    from motion_jax.video.writer import VideoWriter

    audio = probe(path).has_audio
    with tempfile.TemporaryDirectory() as place:
        writer = VideoWriter(Path(place) / "o.mp4", 48, 64, audio_from=path if audio else None)
        with writer:
            writer.write(pictures(1)[0], 0)
            yield
            writer.write(pictures(1)[0], 0.9)


def _seen(path: Path) -> Iterator[None]:
    from motion_jax.video.image_files import picture_size, read_picture

    picture_size(path)
    yield
    assert read_picture(path).mode == "RGB"


def _shown(path: Path) -> Iterator[None]:
    from motion_jax.video.reader import read_frames

    frames = read_frames(path, fps=10)
    next(frames)
    yield
    list(frames)


def _posed(path: Path) -> Iterator[None]:
    from motion_jax.pose.files import read_poses

    yield
    assert len(read_poses(path, np.arange(COUNT) / 25, (48, 64))) == COUNT


def _weights(path: Path) -> Iterator[None]:
    from motion_jax.weights.read import read_weights

    yield
    read_weights(path)


def _records(path: Path) -> Iterator[None]:
    from motion_jax.data.records import open_dataset

    data = open_dataset(path)
    yield
    for number in range(len(data)):
        assert data[number]["frame"].shape == (16, 16, 3)


def _config_of_run(path: Path) -> Iterator[None]:
    from motion_jax.train.run import load_run

    yield
    # The right one has no checkpoint, which is a sentence of its own.
    load_run(path)


def _config(path: Path) -> Iterator[None]:
    from motion_jax.config import load_config

    yield
    load_config(str(path))


def _face(path: Path) -> Iterator[None]:
    from motion_jax.data.edn_files import read_face_text

    yield
    read_face_text(path)


def _experiment(path: Path) -> Iterator[None]:
    from motion_jax.port.original_options import read_options

    yield
    read_options(path.parent)


def _compared(path: Path) -> Iterator[None]:
    from motion_jax.profiling.compare import read_profile

    yield
    read_profile(path)


def _cached_poses(folder: Path) -> tuple[Path, Path]:
    from motion_jax.pose.estimate import save_track
    from motion_jax.pose.track import PoseTrack

    track = PoseTrack(people(COUNT), np.arange(COUNT) / 25, (48, 64), ("",) * COUNT, {})
    save_track(folder / "poses.npz", track)
    return folder / "poses.npz", folder / "poses.npz"


def _from_cache(path: Path) -> Iterator[None]:
    from motion_jax.pose.estimate import load_track

    yield
    # What is damaged is estimated anew.
    load_track(path)


CONFIG = "from motion_jax.config import Config\nconfig = Config()\n"
KINDS = {
    "video, MP4": Kind(_film("a.mp4"), _frames),
    "video, Matroska": Kind(_film("a.mkv"), _frames),
    "video, AVI": Kind(_film("a.avi", "mpeg4"), _frames),
    "video, GIF": Kind(_film("a.gif", "gif", "rgb8"), _frames),
    "sound": Kind(_sound, _heard),
    "picture, PNG": Kind(_picture("a.png"), _seen),
    "picture, JPEG": Kind(_picture("a.jpg"), _seen),
    "folder of pictures": Kind(_stills, _shown),
    "poses, JSON": Kind(_json, _posed),
    "poses, yml": Kind(_yml, _posed),
    "cached poses": Kind(_cached_poses, _from_cache),
    "face text": Kind(_text("a.txt", "10 20 30 40\n"), _face),
    "weights, pth": Kind(_pth, _weights),
    "weights, safetensors": Kind(_safetensors, _weights),
    "dataset, records": Kind(_dataset("*.array_record*"), _records),
    "dataset, metadata": Kind(_dataset("metadata.json"), _records),
    "run, config.json": Kind(_run, _config_of_run),
    "config, .py": Kind(_text("own.py", CONFIG), _config),
    "experiment, opt.txt": Kind(_text("opt.txt", "ngf: 64\n"), _experiment),
    "profile": Kind(_profile, _compared),
}

# --- ways to be wrong ---------------------------------------------------------


def _absent(file: Path) -> None:
    file.unlink()


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _cut_off(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])


def _of_another_kind(file: Path) -> None:
    file.write_bytes(b"%PDF-1.7\n\xe2\xe3 a letter to somebody, and no input at all\n" * 40)


def _too_large(file: Path) -> None:
    with open(file, "r+b") as stream:
        stream.truncate(LARGE)


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _loop(file: Path) -> None:
    """Not readable whoever asks: a link to itself."""
    file.unlink()
    file.symlink_to(file.name)


def _noise(file: Path) -> None:
    """The right beginning, and then anything."""
    data = file.read_bytes()
    chance = np.random.default_rng(len(data))
    file.write_bytes(data[:16] + chance.bytes(max(64, len(data) - 16)))


def _spoilt(file: Path) -> None:
    """A byte in thirty is another one."""
    data = np.frombuffer(file.read_bytes(), np.uint8).copy()
    chance = np.random.default_rng(len(data))
    where = chance.random(len(data)) < 1 / 30
    data[where] = chance.integers(0, 256, int(where.sum()))
    file.write_bytes(data.tobytes())


def _huge_numbers(file: Path) -> None:
    """Lengths and sizes that promise gigabytes."""
    data = file.read_bytes()
    middle = struct.pack("<Q", 2**62) * 4 + struct.pack(">I", 2**31) * 4
    file.write_bytes(data[:24] + middle + data[24 + len(middle) :])


def _deep(file: Path) -> None:
    file.write_bytes(b"[" * 200_000)


WRONGS: dict[str, Callable[[Path], None]] = {
    "absent": _absent,
    "empty": _empty,
    "cut off": _cut_off,
    "another kind": _of_another_kind,
    "too large": _too_large,
    "a folder": _folder,
    "not readable": _loop,
    "noise": _noise,
    "damaged": _spoilt,
    "huge numbers": _huge_numbers,
    "nested deep": _deep,
    "changed meanwhile": _cut_off,
    "gone meanwhile": _absent,
}


@lru_cache(maxsize=1)
def _right() -> tempfile.TemporaryDirectory:
    """The right inputs, made once."""
    place = tempfile.TemporaryDirectory()
    for number, kind in enumerate(KINDS.values()):
        folder = Path(place.name) / str(number)
        folder.mkdir()
        kind.make(folder)
    return place


def attempt(name: str, wrong: str | None) -> str:
    """ "read" or "sentence". Raises AssertionError for anything else."""
    import shutil

    with tempfile.TemporaryDirectory() as place:
        place = Path(place) / "input"
        number = list(KINDS).index(name)
        original = Path(_right().name) / str(number)
        shutil.copytree(original, place)
        given, file = _paths(name, place, original)
        meanwhile = wrong is not None and wrong.endswith("meanwhile")
        if wrong is not None and not meanwhile:
            WRONGS[wrong](file)
        before = _digest(place) if not meanwhile else None
        try:
            reading = KINDS[name].read(given)
            next(reading)
            if meanwhile:
                WRONGS[wrong](file)
            with contextlib.suppress(StopIteration):
                next(reading)
            found = "read"
        except UserError as error:
            text = str(error)
            assert len(text) < 1000, f"{len(text)} signs: {text[:200]}"
            assert "\n" not in text and text.endswith((".", "?")), text
            assert str(place) in text, text
            assert not re.search(r"<\w+ object at|Traceback", text), text
            found = "sentence"
        if before is not None:
            assert _digest(place) == before, "the input was changed"
        return found


def _paths(name: str, place: Path, original: Path) -> tuple[Path, Path]:
    """What is given and what is spoilt, in a copy of a right input."""
    files = sorted(path for path in original.iterdir() if path.is_file())
    known = {
        "folder of pictures": "2.png", "poses, JSON": "clip_000000000002_keypoints.json",
        "poses, yml": "frame2_pose.yml", "dataset, metadata": "metadata.json",
        "run, config.json": "config.json", "profile": "profile.json",
    }  # fmt: skip
    if name == "dataset, records":
        return place, place / next(file.name for file in files if "array_record" in file.name)
    if name in known:
        return place, place / known[name]
    return place / files[0].name, place / files[0].name


def _digest(place: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(place.rglob("*")):
        digest.update(os.fsencode(path))
        if path.is_file():
            # A sparse file of zeros need not be read whole.
            digest.update(str(path.stat().st_size).encode())
            with open(path, "rb") as stream:
                digest.update(stream.read(2**20))
    return digest.hexdigest()


def table(found: dict[tuple[str, str], str]) -> str:
    """The page's table: ✓ where the right result comes, s where one sentence does."""
    rows = [
        "| input | " + " | ".join(WRONGS) + " |",
        "|---" * (len(WRONGS) + 1) + "|",
    ]
    for name in KINDS:
        cells = ("✓" if found[name, wrong] == "read" else "s" for wrong in WRONGS)
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + f"\n\n{len(found)} cells.\n"


def written() -> str:
    return PAGE.read_text().split(BEGIN)[1].split(END)[0].strip() + "\n"


def main() -> None:
    found, faults = {}, 0
    for name in KINDS:
        for wrong in WRONGS:
            try:
                found[name, wrong] = attempt(name, wrong)
            except BaseException as error:
                faults += 1
                print(f"{name} / {wrong}: {type(error).__name__}: {error}"[:400], flush=True)
                found[name, wrong] = "fault"
    if not faults:
        before, rest = PAGE.read_text().split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{table(found)}{END}{rest.split(END)[1]}")
    print(f"{len(found)} cells, {faults} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
