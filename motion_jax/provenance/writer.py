"""The writer of films that say that they are synthetic."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from motion_jax.errors import UserError, option
from motion_jax.provenance import manifest, xmp
from motion_jax.provenance.options import Provenance
from motion_jax.provenance.watermark import Mark, can_carry
from motion_jax.video.picture_folder import PictureFolder
from motion_jax.video.writer import VideoWriter

# The tag that says which number the mark in the pictures carries.
MARK = "motion_jax_mark"


def number_of(tags: Mapping[str, str]) -> int:
    """24 bits that say which run, step and checkpoint (or dataset) made a film: the beginning of a
    SHA-256 of what its tags say of them."""
    named = [tags.get(f"motion_jax_{name}", "") for name in ("run", "step", "checkpoint")]
    named += [tags.get(f"motion_jax_{name}", "") for name in ("dataset", "method")]
    return int(hashlib.sha256("\0".join(named).encode("utf-8", "replace")).hexdigest()[:6], 16)


def check(provenance: Provenance, out: Path) -> None:
    """Raises UserError where a film cannot be signed as asked for, before any work. out: the film,
    or the folder of its pictures."""
    if not _signs(provenance):
        return
    manifest.Signer(provenance.key, provenance.certificate)
    if out.suffix.lower() not in manifest.KINDS:
        what = f"a file like {out.name}" if out.suffix else "a folder of pictures"
        raise UserError(
            f"{what[0].upper()}{what[1:]} cannot be signed; name an .mp4 or .mov with "
            f"{option('out')}, or leave the key and the certificate out."
        )


def _signs(provenance: Provenance) -> bool:
    return provenance.key is not None or provenance.certificate is not None


def _marked(
    provenance: Provenance, height: int, width: int, tags: Mapping[str, str]
) -> tuple[Mark | None, dict[str, str]]:
    """(what puts the mark in, None: nothing does; the tags, which name its number)."""
    if not provenance.mark or not can_carry(height, width):
        return None, dict(tags)
    number = number_of(tags)
    return Mark(number), {**tags, MARK: f"{number:06x}"}


class HonestWriter(VideoWriter):
    """A `VideoWriter` of synthetic films: their tags as metadata and as XMP; the invisible mark in
    their pictures, where these are large enough to carry it; and a manifest where it is signed.

    Args:
      tags: of `transfer.film.synthetic_tags`.
      more: of `VideoWriter`.
    Raises UserError as `VideoWriter`, and for keys that cannot sign.
    """

    def __init__(
        self,
        path: Path,
        height: int,
        width: int,
        *,
        tags: Mapping[str, str],
        provenance: Provenance,
        **more: Any,
    ):
        self._mark, self._tags = _marked(provenance, height, width, tags)
        signs = _signs(provenance)
        self._signer = manifest.Signer(provenance.key, provenance.certificate) if signs else None
        super().__init__(path, height, width, metadata=self._tags, finish=self._add, **more)

    def write(self, image: UInt8[np.ndarray, "h w c"], time: float) -> None:
        """See `VideoWriter.write`; the picture itself stays as it is."""
        super().write(image if self._mark is None else self._mark(image), time)

    def _add(self, finished: Path) -> None:
        # A WebM keeps the tags, and has no place for XMP.
        if "digital_source_type" not in self._tags or self.path.suffix.lower() == ".webm":
            return
        xmp.add_to_film(finished, xmp.packet(self._tags))
        if self._signer is not None:
            self._signer.sign(finished, self._tags, manifest.KINDS[self.path.suffix.lower()])


class HonestFolder(PictureFolder):
    """A `PictureFolder` of synthetic pictures: their tags as XMP in each, and the invisible mark.

    Args: of `HonestWriter`.
    """

    def __init__(
        self, path: Path, height: int, width: int, tags: Mapping[str, str], provenance: Provenance
    ):
        self._mark, tags = _marked(provenance, height, width, tags)
        self._packet = xmp.packet(tags) if "digital_source_type" in tags else None
        super().__init__(path, tags)

    def write(self, image: UInt8[np.ndarray, "h w c"], time: float) -> None:
        """See `PictureFolder.write`; the picture itself stays as it is."""
        super().write(image if self._mark is None else self._mark(image), time)

    def finished(self, data: bytes) -> bytes:
        return data if self._packet is None else xmp.added(data, self._packet)
