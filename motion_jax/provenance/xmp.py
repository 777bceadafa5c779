"""XMP, the metadata that programs for pictures read, in films and pictures.

Where a packet lies in which kind of file: Adobe's XMP Specification, Part 3 (2020). What is in it:
IPTC Photo Metadata, whose DigitalSourceType says what kind of recording something is.
"""

import contextlib
import io
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from PIL import Image

from motion_jax import __version__

# IPTC's terms for pictures made by a trained model, and for one put together of several recordings;
# programs that check provenance know them.
SYNTHETIC = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeCapture"
# The box of an MP4 or MOV that holds a packet.
_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
# The text chunk of a PNG, and the segment of a JPEG.
_PNG, _JPEG = b"XML:com.adobe.xmp", b"http://ns.adobe.com/xap/1.0/\0"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_OWN = "urn:motion-jax:1.0:"
# Control characters, which XML does not have.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
# A packet is text; one of this size is an attack.
_MOST = 1 << 20


def packet(tags: Mapping[str, str]) -> bytes:
    """The packet of a film's tags (`transfer.film.synthetic_tags`), UTF-8."""
    tags = {name: _CONTROL.sub(" ", value) for name, value in tags.items()}
    own = "".join(
        f"\n   motion_jax:{name.removeprefix('motion_jax_')}={quoteattr(value)}"
        for name, value in tags.items()
        if name.startswith("motion_jax_")
    )
    text = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
   xmlns:dc="http://purl.org/dc/elements/1.1/"
   xmlns:xmp="http://ns.adobe.com/xap/1.0/"
   xmlns:Iptc4xmpExt="{_IPTC}"
   xmlns:motion_jax="{_OWN}"
   xmp:CreatorTool="motion_jax {__version__}"
   Iptc4xmpExt:DigitalSourceType={quoteattr(tags["digital_source_type"])}{own}>
   <dc:title><rdf:Alt><rdf:li xml:lang="x-default">{escape(tags["title"])}</rdf:li></rdf:Alt>\
</dc:title>
   <dc:description><rdf:Alt><rdf:li xml:lang="x-default">{escape(tags["comment"])}</rdf:li>\
</rdf:Alt></dc:description>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""
    return text.encode("utf-8", "replace")


# Of a picture of which no more is known.
TAGS = {
    "title": "Synthetic picture",
    "comment": "AI-generated, synthetic: this picture was made by motion_jax, it is not a "
    "recording.",
    "digital_source_type": SYNTHETIC,
    "motion_jax_synthetic": "true",
    "motion_jax_version": __version__,
}


def values(xmp: bytes) -> dict[str, str]:
    """What a packet says that matters here: digital_source_type, creator_tool, and motion_jax_*,
    whichever program wrote it; what is absent is left out."""
    text = xmp.decode("utf-8", "replace")
    found = {}
    for name, term in (
        ("digital_source_type", r"(?i:DigitalSourceType)"),
        ("creator_tool", r"xmp:CreatorTool"),
    ):
        if match := re.search(rf"{term}(?:=[\"']|>|\s+rdf:resource=[\"'])([^\"'<]+)", text):
            found[name] = _plain(match[1])
    for name, value in re.findall(r"motion_jax:(\w+)=(\"[^\"]*\"|'[^']*')", text):
        found[f"motion_jax_{name}"] = _plain(value[1:-1])
    return found


def _plain(text: str) -> str:
    for sign, entity in (("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("&", "&amp;")):
        text = text.replace(entity, sign)
    return text


# --- films --------------------------------------------------------------------------------------


def add_to_film(path: Path, xmp: bytes) -> None:
    """Puts a packet at the end of an MP4 or MOV, where it moves nothing."""
    with open(path, "ab") as file:
        file.write(struct.pack(">I4s", 24 + len(xmp), b"uuid") + _UUID + xmp)


def of_film(path: Path) -> bytes | None:
    """The packet of an MP4 or MOV; None where there is none, and for other files."""
    with open(path, "rb") as file:
        for kind, size in _boxes(file):
            if kind == b"uuid" and 16 < size <= _MOST and file.read(16) == _UUID:
                return file.read(size - 16)
    return None


def _boxes(file: io.BufferedReader) -> Iterator[tuple[bytes, int]]:
    """(kind, bytes of content) of each box of the file, which then stands at the content."""
    at, end = 0, file.seek(0, io.SEEK_END)
    while at + 8 <= end:
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        head = 8
        if size == 1:
            long = file.read(8)
            if len(long) < 8:
                return
            size, head = struct.unpack(">Q", long)[0], 16
        size = end - at if size == 0 else size
        if size < head or not kind.isascii():
            return
        yield kind, min(size, end - at) - head
        at += size


# --- pictures -----------------------------------------------------------------------------------


def added(data: bytes, xmp: bytes) -> bytes:
    """A PNG, JPEG or WebP file's bytes with a packet; its pixels stay as they are. Raises
    ValueError for other files."""
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        # After the header, which is the first chunk and has 13 bytes.
        return data[:33] + _chunk(b"iTXt", _PNG + b"\0" * 5 + xmp) + data[33:]
    if data[:2] == b"\xff\xd8":
        # After JFIF's segment, which is to be the first where it is there.
        at = 2
        if data[2:4] == b"\xff\xe0":
            at = 4 + struct.unpack(">H", data[4:6])[0]
        block = _JPEG + xmp
        return data[:at] + struct.pack(">2sH", b"\xff\xe1", 2 + len(block)) + block + data[at:]
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _in_webp(data, xmp)
    raise ValueError("no PNG, JPEG or WebP")


def declared(data: bytes) -> bytes:
    """The same with the packet of TAGS."""
    return added(data, packet(TAGS))


def _chunk(kind: bytes, content: bytes) -> bytes:
    whole = kind + content
    return struct.pack(">I", len(content)) + whole + struct.pack(">I", zlib.crc32(whole))


def _in_webp(data: bytes, xmp: bytes) -> bytes:
    """WebP container, RFC 9649: the extended header says that there is a packet, at the end."""
    chunks, known = data[12:], 0x04
    if chunks[:4] == b"VP8X":
        flags, rest = chunks[8] | known, chunks[9:]
        chunks = chunks[:8] + bytes([flags]) + rest
    else:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            flags = known | (0x10 if "A" in image.mode else 0)
        size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        chunks = b"VP8X" + struct.pack("<IB3x", 10, flags) + size + chunks
    chunks += b"XMP " + struct.pack("<I", len(xmp)) + xmp + b"\0" * (len(xmp) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def of_picture(path: Path) -> bytes | None:
    """The packet of a picture that Pillow reads; None where there is none."""
    with contextlib.suppress(OSError, ValueError, SyntaxError), Image.open(path) as image:
        image.load()
        found = image.info.get("xmp") or image.info.get(_PNG.decode())
        if found:
            return found.encode() if isinstance(found, str) else bytes(found)
    return None
