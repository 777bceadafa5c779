"""`motion-jax check`: what a film or picture tells of where it comes from."""

from pathlib import Path
from typing import Any

import av
import numpy as np

from motion_jax.errors import UserError, option
from motion_jax.provenance import manifest, watermark, xmp
from motion_jax.provenance.options import CheckOptions
from motion_jax.provenance.writer import MARK
from motion_jax.video.image_files import is_picture, read_picture
from motion_jax.video.reader import probe, read_frames

# Pictures of a film that are added up to look for the mark.
LOOKS = 48
# IPTC's digital source types whose pictures are made, wholly or in part, by a program that learned.
# https://cv.iptc.org/newscodes/digitalsourcetype/
_MADE = ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "algorithmicMedia")


def check(options: CheckOptions) -> dict[str, Any]:
    """Looks at a file and returns what it finds: "file", "metadata" (strings by name),
    "c2pa" (see `manifest.read`), "mark" (see `marked`), "synthetic" (whether any of them says so)
    and "checked" (what could not be looked at is absent).

    Raises UserError for files that are neither a film nor a picture, and bad times.
    """
    path = options.file
    if not path.is_file():
        raise UserError(f"There is no file {path}; name a film or a picture.")
    if not (options.seconds > 0 and options.start >= 0):
        raise UserError(
            f"{option('seconds')} {options.seconds:g} from {option('start')} {options.start:g} is "
            "no part of a film; give seconds above 0."
        )
    found: dict[str, Any] = {
        "file": str(path),
        "metadata": metadata(path),
        "c2pa": manifest.read(path),
        "mark": marked(watermark.read(pictures_of(options))),
        "checked": ["metadata", "mark"] + (["c2pa"] if manifest.library() else []),
    }
    found["synthetic"] = says_synthetic(found)
    return found


def pictures_of(options: CheckOptions) -> Any:
    """The picture, or at most LOOKS of a film, evenly over the seconds that are looked at."""
    if is_picture(options.file.name):
        return [np.asarray(read_picture(options.file))]
    info = probe(options.file)
    end = options.start + options.seconds
    length = min(end, info.duration or end) - options.start
    if length <= 0:
        raise UserError(
            f"{options.file} ends at {info.duration:.2f} s, before {option('start')} "
            f"{options.start:g}; choose an earlier one."
        )
    rate = min(LOOKS / length, info.fps or 25.0)
    return (
        frame.image for frame in read_frames(options.file, start=options.start, end=end, fps=rate)
    )


def metadata(path: Path) -> dict[str, str]:
    """What the file's own words say of its making: digital_source_type, creator_tool, and
    motion_jax_*; from its tags and its XMP."""
    if is_picture(path.name):
        packet, tags = xmp.of_picture(path), {}
    else:
        packet = xmp.of_film(path)
        with av.open(str(path), metadata_errors="replace") as container:
            tags = {
                name.lower(): value
                for name, value in container.metadata.items()
                if name.lower() == "digital_source_type" or name.startswith("motion_jax_")
            }
    return tags | (xmp.values(packet) if packet else {})


def marked(reading: watermark.Reading) -> dict[str, Any]:
    """The mark for people and JSON: "found"; "number" (hexadecimal, None where it cannot be read
    without doubt); "clear" and "needed", how clearly it speaks and from where on it counts; "scale"
    of what was written, where it is found."""
    number = None if reading.number is None or not reading.found else f"{reading.number:06x}"
    return {
        "found": reading.found,
        "number": number,
        "clear": round(reading.clear, 2),
        "needed": watermark.FOUND if reading.number is None else watermark.FOUND_FITTING,
        "scale": round(reading.scale, 3) if reading.found else None,
    }


def says_synthetic(found: dict[str, Any]) -> bool:
    """Whether the metadata, the manifest or the mark says that the file is synthetic."""
    words = found["metadata"]
    sources = [words.get("digital_source_type", "")]
    if found["c2pa"] is not None:
        sources += found["c2pa"].get("sources", [])
    made = any(source.rpartition("/")[2] in _MADE for source in sources)
    return made or words.get("motion_jax_synthetic") == "true" or found["mark"]["found"]


def lines(found: dict[str, Any]) -> list[str]:
    """For people."""
    words, credentials, mark = found["metadata"], found["c2pa"], found["mark"]
    said = []
    if words:
        kind = words.get("digital_source_type", "").rpartition("/")[2] or "no kind of source"
        by = words.get("creator_tool") or (
            f"motion_jax {words['motion_jax_version']}" if "motion_jax_version" in words else ""
        )
        of = words.get("motion_jax_run") or words.get("motion_jax_dataset")
        said.append(
            f"Metadata: {kind}{f', made by {by}' if by else ''}{f', of {of}' if of else ''}."
        )
    else:
        said.append("Metadata: nothing about how it was made.")
    if "c2pa" not in found["checked"]:
        said.append("C2PA: not looked at (pip install 'motion-jax[c2pa]').")
    elif credentials is None:
        said.append("C2PA: no manifest.")
    else:
        problems = ", ".join(credentials.get("problems", ()))
        kinds = ", ".join(each.rpartition("/")[2] for each in credentials.get("sources", ()))
        said.append(
            f"C2PA: {credentials['state']}{f' ({problems})' if problems else ''}; signed by "
            f"{credentials.get('signer') or 'nobody'}{f'; {kinds}' if kinds else ''}."
        )
    if mark["found"]:
        same = words.get(MARK) == mark["number"] and mark["number"] is not None
        number = f"number {mark['number']}" if mark["number"] else "number not readable"
        said.append(
            f"Mark: found, {number}{', as the metadata says' if same else ''} "
            f"({mark['clear']:g}, counts from {mark['needed']:g})."
        )
    else:
        said.append(f"Mark: none ({mark['clear']:g}, counts from {mark['needed']:g}).")
    if "detector" in found:
        guess = found["detector"]
        said.append(
            f"Detector {guess['run']}: synthetic with a probability of {guess['probability']:.2f} "
            f"({guess['pictures']} pictures, {guess['lowest']:.2f} to {guess['highest']:.2f}); a "
            "guess."
        )
    said.append(
        f"{found['file']} says that it is synthetic."
        if found["synthetic"]
        else f"Nothing in {found['file']} says that it is synthetic; that does not prove that it "
        "is real."
    )
    return said
