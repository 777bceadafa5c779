"""MP4 files that play everywhere: H.264, yuv420p, with exact frame times and the source's sound.

And MOV files with transparency, for editing programs."""

import contextlib
import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import numpy as np
from jaxtyping import UInt8

from motion_jax.errors import UserError
from motion_jax.files import atomic_path, readable
from motion_jax.video.pyav import av
from motion_jax.video.sound import Sound

ColorPrimaries = av.video.reformatter.ColorPrimaries
ColorRange = av.video.reformatter.ColorRange
Colorspace = av.video.reformatter.Colorspace
ColorTrc = av.video.reformatter.ColorTrc

# Frame times are kept to 1/90000 s, the clock of MPEG: 24, 25, 30 and 30000/1001 frames a second
# are all whole or within 6 microseconds.
CLOCK = 90000


@dataclass(frozen=True)
class Coding:
    """How pictures are coded.

    Attributes:
      container, codec, pixels: FFmpeg's names of them.
      given: FFmpeg's name of the pixels that are given; channels: how many they have.
      even: whether height and width must be.
      options: of the codec.
    """

    container: str
    codec: str
    pixels: str
    given: str
    channels: int
    even: bool
    options: dict[str, object]


# Without B-frames no frame is stored out of order, so times need no offset in the file.
H264 = Coding("mp4", "libx264", "yuv420p", "rgb24", 3, True, {"preset": "medium", "bf": "0"})
# What editing programs take transparency in.
PRORES = Coding(
    "mov", "prores_ks", "yuva444p10le", "rgba", 4, False, {"profile": "4444", "alpha_bits": "16"}
)
# The same for browsers and some editors, smaller; libvpx keeps alpha beside the pictures.
VP9 = Coding(
    "webm", "libvpx-vp9", "yuva420p", "rgba", 4, True,
    {"crf": "18", "b": "0", "auto-alt-ref": "0", "row-mt": "1", "cpu-used": "4"},
)  # fmt: skip


class VideoWriter:
    """Writes one MP4; a context manager. The file appears under its name only when the block ends
    without an exception; otherwise nothing is left.

    Args:
      path: the MP4 to write; its folder is made where it is missing.
      height, width: of the pictures given to `write`, in pixels. H.264 in yuv420p has even sizes
        only: an odd height or width is padded by repeating the last row or column (`size` is what
        the file has).
      audio_from: a video or sound file whose sound track (`tracks.sound_track`) is kept, from
        `audio_start` for as long as the pictures last; no sound track there means none here. The
        track is copied as it is where MP4 players take it (AAC, MP3, AC-3), otherwise encoded to
        AAC. It is cut between its packets (about 20 ms); what is kept stays in time with the
        pictures.
      audio_start: seconds, on the clock of that file's pictures (`read_frames` times), of the
        sound that belongs to time 0 here.
      metadata: strings by name, kept in the file as tags (any names; `title` and `comment` are
        shown by players).
      crf: H.264's constant quality, 0 (lossless) ... 51; 18 looks the same as the source.
      coding: H264, or for pictures with alpha PRORES, which are written into a MOV, or VP9, into a
        WebM (without sound).
      finish: is given the finished file, before it appears under its name, to add to it.

    Raises UserError: folder not writable, disk full, sound that cannot be read.
    """

    def __init__(
        self,
        path: Path,
        height: int,
        width: int,
        *,
        audio_from: Path | None = None,
        audio_start: float = 0.0,
        metadata: dict[str, str] | None = None,
        crf: float = 18,
        coding: Coding = H264,
        finish: Callable[[Path], None] | None = None,
    ):
        self.path = Path(path)
        self._coding = coding
        if self.path.suffix.lower() not in (".mp4", ".m4v", ".mov", f".{coding.container}"):
            raise UserError(f"{self.path} does not end in .mp4; name the output FILE.mp4.")
        self._given = (height, width)
        self.size = (height + height % 2, width + width % 2) if coding.even else (height, width)
        self._audio = (audio_from, audio_start)
        self._metadata = dict(metadata or {})
        self._crf = crf
        self._finish = finish
        self._last: int | None = None
        self._interval = CLOCK // 25
        self.frames = 0
        self._container: av.container.OutputContainer | None = None
        self._sound: Sound | None = None

    def __enter__(self) -> "VideoWriter":
        if self.path.is_dir():
            raise UserError(f"{self.path} is a folder; name the output FILE.mp4.")
        self._file = atomic_path(self.path)
        self._temporary = self._file.__enter__()
        try:
            self._begin(self._temporary)
        except BaseException as error:
            self._leave(error)
            raise
        return self

    def _begin(self, temporary: Path) -> None:
        container = self._container = av.open(
            str(temporary),
            "w",
            format=self._coding.container,
            options={
                # The index first, so that a browser starts at once; tags under any name.
                "movflags": "+faststart+use_metadata_tags",
                "video_track_timescale": str(CLOCK),
            }
            if self._coding.container != "webm"
            else {},
        )
        container.metadata.update({k: readable(str(v)) for k, v in self._metadata.items()})
        stream = cast(av.VideoStream, container.add_stream(self._coding.codec))
        stream.height, stream.width = self.size
        stream.pix_fmt = self._coding.pixels
        stream.time_base = stream.codec_context.time_base = Fraction(1, CLOCK)
        stream.codec_context.max_b_frames = 0
        crf: dict[str, object] = {"crf": str(self._crf)} if self._coding.codec == "libx264" else {}
        stream.options = crf | self._coding.options
        context = stream.codec_context
        context.colorspace = Colorspace.ITU709
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        context.color_range = ColorRange.MPEG
        self._stream = stream
        source, start = self._audio
        if source is not None and self._coding.container != "webm":
            self._sound = Sound.of(Path(source), start, container)

    def write(self, image: UInt8[np.ndarray, "h w c"], time: float) -> None:
        """Adds one picture.

        Args:
          image: RGB, or RGBA with PRORES, of the size given before.
          time: seconds at which it is shown; greater than the one before, the first normally 0.
        """
        shape = (*self._given, self._coding.channels)
        if image.shape != shape or image.dtype != np.uint8:
            raise ValueError(
                f"pictures of {self.path.name} are uint8 {shape}, not {image.dtype} {image.shape}"
            )
        stamp = round(time * CLOCK)
        if self._last is not None:
            if stamp <= self._last:
                raise ValueError(f"time {time} of frame {self.frames} is not after the one before")
            self._interval = stamp - self._last
        height, width = self._given
        if self.size != self._given:
            pad = (self.size[0] - height, self.size[1] - width)
            image = np.pad(image, ((0, pad[0]), (0, pad[1]), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format=self._coding.given)
        frame = frame.reformat(
            format=self._coding.pixels,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            dst_colorspace=Colorspace.ITU709,
        )
        frame.colorspace, frame.color_range = Colorspace.ITU709, ColorRange.MPEG
        frame.color_primaries, frame.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        frame.pts, frame.time_base = stamp, Fraction(1, CLOCK)
        self._last = stamp
        self.frames += 1
        with _disk(self.path):
            self._mux(self._stream.encode(frame))
            if self._sound:
                self._sound.write_until(time)

    def _mux(self, packets: list[av.Packet]) -> None:
        assert self._container is not None  # inside the block
        for packet in packets:
            # The last frame is shown as long as the one before it; of all others MP4 keeps times.
            packet.duration = self._interval
            self._container.mux(packet)

    def _end(self) -> None:
        if not self.frames or self._last is None or self._container is None:
            raise UserError(f"{self.path} was not written: there is no frame to put into it.")
        with _disk(self.path):
            self._mux(self._stream.encode(None))
            if self._sound:
                self._sound.write_until((self._last + self._interval) / CLOCK)
                self._sound.finish()
            self._container.close()
        self._container = None
        if self._finish:
            self._finish(self._temporary)

    def _leave(self, error: BaseException | None) -> bool | None:
        if self._sound:
            self._sound.close()
        if self._container is not None:
            # After an error: what the file would hold is thrown away, and so are further errors.
            with contextlib.suppress(av.error.FFmpegError, OSError):
                self._container.close()
            self._container = None
        kind = None if error is None else type(error)
        return self._file.__exit__(kind, error, error.__traceback__ if error else None)

    def __exit__(self, kind, error, trace) -> bool | None:
        if error is None:
            try:
                self._end()
            except BaseException as late:
                self._leave(late)
                raise
        return self._leave(error)


@contextlib.contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Turns FFmpeg's errors of a full disk into one sentence."""
    try:
        yield
    except av.error.FFmpegError as error:
        if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO):
            raise
        raise UserError(
            f"The disk is full: {path} could not be written; free some space and run the same "
            "command again."
        ) from error
