"""Films and pictures that come over the network in pieces, of whatever size, straight to the disk.

An upload is PROJECT/uploads/ID with its description and what has come so far; ID is made of the
file's name, size and time of change, so that the same file, chosen again after a break, goes on
where it stopped. The given name becomes no path; a film's file is called like the film, as far as
that is a name for files (`file_name`), since it stands in all that is made from the film.
"""

import contextlib
import hashlib
import io
import json
import os
import shutil
import time
import unicodedata
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from motion_jax import files
from motion_jax.errors import UserError
from motion_jax.jobs import book
from motion_jax.studio.library import Item, Library, called
from motion_jax.video.reader import Frame, frame_times, probe, read_frames

# Endings that are kept; what a file holds is found out by reading it.
SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".wmv")
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
# A rate above it is the fineness of a clock.
MOST_FPS = 500
# More is refused before anything of that size is made.
MOST_PIXELS = 8192 * 8192
# Left on the disk after an upload, bytes; and days after which a broken off upload goes.
SPARE, DAYS = 500_000_000, 7
STILL, STILL_HEIGHT = "still.jpg", 480
# Bytes of the name of a film's file.
LONGEST_NAME = 180
# The pictures of a time line, side by side in one file.
STRIP, STRIP_HEIGHT, STRIP_WIDTH = "strip.jpg", 72, 864


@dataclass(frozen=True)
class Upload:
    """One that is under way: where it lies, its whole size, what came so far (bytes)."""

    folder: Path
    name: str
    size: int

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def received(self) -> int:
        try:
            return self.data.stat().st_size
        except OSError:
            return 0


def begin(library: Library, name: object, size: object, changed: object, most: float) -> Upload:
    """A new upload, or the one that broke off. most: bytes of a film.

    Raises UserError for a file that is no film by its name, too large, or does not fit the disk.
    """
    line = called(Path(str(name).replace("\\", "/")).name)
    if not isinstance(size, int) or isinstance(size, bool) or size <= 0:
        raise UserError(f"{line} is empty; choose another file.")
    if size > most:
        raise UserError(f"{line} is larger than {most / 1e9:g} GB; cut it, or raise the limit.")
    if Path(line).suffix.lower() not in SUFFIXES + PICTURES:
        raise UserError(
            f"{line} is no film or picture by its name; take MP4, MOV, MKV, WebM, AVI, PNG or JPEG."
        )
    remove_old(library)
    key = hashlib.sha256(json.dumps([line, size, str(changed)]).encode()).hexdigest()[:24]
    folder = library.folder / "uploads" / key
    files.check_writable(folder)
    upload = Upload(folder, line, size)
    if shutil.disk_usage(folder).free < size - upload.received + SPARE:
        raise UserError(f"There is too little room on the disk for {line}; free some.")
    files.write_json(folder / "upload.json", {"name": line, "size": size})
    return upload


def find(library: Library, key: str) -> Upload:
    """Raises UserError where there is none."""
    folder = library.folder / "uploads" / key
    if key.isalnum():
        with contextlib.suppress(OSError, ValueError, KeyError):
            value = json.loads((folder / "upload.json").read_text())
            return Upload(folder, value["name"], value["size"])
    raise UserError("This upload is not known (any more); choose the file again.")


async def receive(upload: Upload, offset: int, pieces: AsyncIterator[bytes]) -> int:
    """Adds a piece; returns how much came by now. One that is not the next changes nothing: the
    sender sees from the answer where to go on."""
    if offset != upload.received:
        return upload.received
    # Two tabs that send the same file must not mix.
    with book.locked(upload.folder / "lock") as mine:
        if mine is None or offset != upload.received:
            return upload.received
        with files.writing(upload.data), open(upload.data, "ab") as file:
            async for piece in pieces:
                if file.tell() + len(piece) > upload.size:
                    raise UserError("More came than the file is large; choose it again.")
                file.write(piece)
    return upload.received


def finish(library: Library, upload: Upload, name: object = "") -> Item:
    """Makes a film or a picture of a whole upload. Raises UserError where something is missing, and
    where it is none that can be read; that is thrown away."""
    if upload.received != upload.size:
        raise UserError("The film is not whole yet; send the rest.")
    suffix = Path(upload.name).suffix.lower()
    kind = "pictures" if suffix in PICTURES else "films"
    try:
        if kind == "pictures":
            facts = examined_picture(upload.data, upload.name)
        else:
            facts = examined(upload.data, upload.name)
    except UserError:
        files.remove_tree(upload.folder)
        raise
    line = called(name) if str(name).strip() else Path(upload.name).stem
    item = library.new(kind, line, facts=facts)
    place = file_name(item.name, suffix) if kind == "films" else f"picture{suffix}"
    item = library.save(item, facts={**facts, "file": place})
    item.path.mkdir(parents=True)
    os.replace(upload.data, item.path / place)
    files.remove_tree(upload.folder)
    if kind == "films":
        write_still(item)
    else:
        _write_small(item)
    # Saved again, so that pages that are open hear of its picture.
    return library.save(item)


def file_name(name: str, suffix: str) -> str:
    """A film's file, by what people call the film: letters, digits and a few signs of it."""
    kept = [
        sign if unicodedata.category(sign)[0] in "LMN" or sign in " _.,()+'-" else "-"
        for sign in unicodedata.normalize("NFC", name)
    ]
    stem = "".join(kept).encode()[:LONGEST_NAME].decode(errors="ignore").strip(" .-")
    return f"{stem or 'film'}{suffix}"


def name_as_called(library: Library, film: Item) -> Item:
    """The film, its file called like it; not while a job that is not done names the file, nor
    where the file is that of another place."""
    old = str(film.facts["file"])
    new = file_name(film.name, Path(old).suffix)
    waits = any(film.ref in job.about and job.state != "done" for job in library.jobs())
    if new == old or waits or film.path.is_symlink() or (film.path / new).exists():
        return film
    os.rename(film.path / old, film.path / new)
    return library.save(film, facts={**film.facts, "file": new})


def twin(library: Library, path: Path) -> Item | None:
    """The film of a project that has the content of a file; None: none has."""
    size, own = path.stat().st_size, ""
    for film in library.items("films"):
        there = film.path / str(film.facts["file"])
        if not there.is_file() or there.stat().st_size != size:
            continue
        if "sha256" not in film.facts:
            film = library.save(film, facts={**film.facts, "sha256": files.sha256(there)})
        own = own or files.sha256(path)
        if film.facts["sha256"] == own:
            return film
    return None


def drop(upload: Upload) -> None:
    """Throws it away."""
    files.remove_tree(upload.folder)


def examined_picture(path: Path, name: str) -> dict[str, Any]:
    """width and height of a picture. name: of the file, for people. Raises UserError for what is
    none, and for one that is too large, before it is decoded."""
    try:
        with Image.open(path, formats=("PNG", "JPEG", "WEBP")) as picture:
            width, height = picture.size
            if width * height > MOST_PIXELS:
                raise UserError(f"The picture {name} is too large; choose a smaller one.")
            picture.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{name} is no picture that can be read; choose another one.") from error
    return {"width": width, "height": height}


def _write_small(item: Item) -> None:
    """The picture by which a picture is known."""
    with Image.open(item.path / str(item.facts["file"])) as picture:
        small = ImageOps.exif_transpose(picture).convert("RGBA")
        small.thumbnail((2 * STILL_HEIGHT, STILL_HEIGHT))
        ground = Image.new("RGBA", small.size, "white")
        data = io.BytesIO()
        Image.alpha_composite(ground, small).convert("RGB").save(data, "JPEG", quality=85)
    files.write_bytes(item.path / STILL, data.getvalue())


def examined(path: Path, name: str = "") -> dict[str, Any]:
    """What is known of a film: width, height, seconds, fps, sound. name: of the file, for people
    (default: its own). Raises UserError for what is none, by a sentence that does not show the
    server's paths."""
    name = name or path.name
    try:
        found = probe(path)
        if found.width * found.height > MOST_PIXELS:
            raise UserError(f"The pictures of {name} are too large.")
        seconds, fps = float(found.duration), float(found.fps)
        if seconds <= 0 or fps > MOST_FPS:
            # A browser's recordings do not say how long they are, and give the fineness of their
            # clock for a rate.
            times = frame_times(path)
            seconds = float(times[-1] - times[0]) if len(times) else 0.0
            fps = (len(times) - 1) / seconds if seconds > 0 else fps
    except UserError as error:
        why = str(error).replace(str(path), name).split("; ")[0].rstrip(".")
        raise UserError(f"{why}; choose another film.") from error
    return {
        "width": found.width,
        "height": found.height,
        "seconds": round(seconds, 3),
        "fps": round(fps, 3),
        "sound": bool(found.has_audio),
    }


def write_still(item: Item) -> None:
    """The picture by which a film is known: of its middle."""
    with contextlib.suppress(UserError):
        data = still(item, float(item.facts["seconds"]) / 2)
        files.write_bytes(item.path / STILL, data)


def still(item: Item, time: float) -> bytes:
    """The frame that is shown at a time (seconds), as a JPEG of STILL_HEIGHT at most. Raises
    UserError where there is none."""
    return _jpeg(_small(frame_at(item, time).image, STILL_HEIGHT))


def frame_at(item: Item, time: float) -> Frame:
    """The first frame of a film from a time (seconds) on; of the end where that is later. Raises
    UserError where there is none."""
    path = item.path / str(item.facts["file"])
    time = min(max(time, 0.0), max(float(item.facts["seconds"]) - 0.1, 0.0))
    with contextlib.closing(read_frames(path, start=time or None)) as frames:
        return next(frames)


def write_strip(item: Item) -> None:
    """Small pictures of a film's whole length, evenly, in one file. Raises UserError for a film
    that cannot be read."""
    seconds = float(item.facts["seconds"])
    each = max(STRIP_HEIGHT * item.facts["width"] / item.facts["height"], 1.0)
    count = max(round(STRIP_WIDTH / each), 2)
    times = [(i + 0.5) * seconds / count for i in range(count)]
    pictures = [_small(frame_at(item, time).image, STRIP_HEIGHT) for time in times]
    files.write_bytes(item.path / STRIP, _jpeg(np.concatenate(pictures, axis=1)))


def _small(image: UInt8[np.ndarray, "h w 3"], most: int) -> UInt8[np.ndarray, "_ _ 3"]:
    """The picture, at most so many pixels high."""
    height, width = image.shape[:2]
    if height <= most:
        return image
    shape = max(round(width * most / height), 1), most
    return cv2.resize(image, shape, interpolation=cv2.INTER_AREA)


def _jpeg(image: UInt8[np.ndarray, "h w 3"]) -> bytes:
    image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert done, "OpenCV writes JPEG"
    return data.tobytes()


def remove_old(library: Library) -> None:
    """Uploads that broke off days ago."""
    folder = library.folder / "uploads"
    for path in folder.iterdir() if folder.is_dir() else ():
        newest = max((each.stat().st_mtime for each in path.iterdir()), default=0.0)
        if newest < time.time() - DAYS * 86400:
            files.remove_tree(path)
