"""The sound of a source file, cut to a stretch, into an MP4 that is being written."""

from fractions import Fraction
from pathlib import Path

from motion_jax.errors import UserError, option
from motion_jax.video.pyav import av
from motion_jax.video.tracks import current, picture_track, sound_track

# Codecs that players take inside an MP4, so that copying loses nothing.
_COPIED = {"aac", "mp3", "mp3float", "ac3", "eac3"}
_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


class Sound:
    """Moves one sound track packet by packet, so that memory does not grow with the length.

    Use `Sound.of`, then `write_until(time)` as pictures are written, `finish()` at the end and
    `close()` in any case.
    """

    @classmethod
    def of(
        cls, path: Path, start: float, container: av.container.OutputContainer
    ) -> "Sound | None":
        """The sound track of `path` (see `tracks.sound_track`) as a new stream of `container`; None
        where it has none.

        Args:
          start: seconds on the clock of that file's pictures; becomes time 0.
        """
        try:
            source = av.open(str(path), metadata_errors="replace")
        except (av.error.FFmpegError, OSError) as error:
            raise UserError(
                f"The sound of {path} cannot be read; check the path or drop the sound."
            ) from error
        try:
            choice = current()
            track = sound_track(path, source, choice.audio)
            pictures = picture_track(path, source, choice.video)
        except UserError:
            source.close()
            raise
        if track is None:
            source.close()
            return None
        return cls(path, source, track, pictures, start, container)

    def __init__(
        self,
        path: Path,
        source: av.container.InputContainer,
        stream: av.AudioStream,
        pictures: av.VideoStream | None,
        start: float,
        container: av.container.OutputContainer,
    ):
        self._path, self._source, self._container = path, source, container
        self._track = stream
        begin = 0.0
        if pictures is not None and pictures.start_time is not None:
            begin = float(pictures.start_time * (pictures.time_base or 0))
        # What is subtracted from a packet's own time to get the time in the new file.
        self._offset = start + begin
        context = stream.codec_context
        copied = context.name in _COPIED and (context.name != "aac" or context.extradata)
        if context.name.startswith("mp3") and context.rate < 16000:
            copied = False  # MP4 knows MPEG-1 and -2 layer 3 only
        self._encoder: av.AudioStream | None = None
        if copied:
            self._stream = container.add_stream_from_template(stream)
        else:
            rate = min(_RATES, key=lambda known: abs(known - (context.rate or 44100)))
            layout = "mono" if context.layout.nb_channels == 1 else "stereo"
            encoder = container.add_stream("aac", rate=rate, layout=layout)
            self._stream = self._encoder = encoder
            encoder.bit_rate = 96000 * (1 if layout == "mono" else 2)
            self._resampler = av.AudioResampler("fltp", layout, rate, frame_size=1024)
            self._stamp: int | None = None
        if start > 2 and source.format.name.startswith(("mov", "matroska")):
            target = int(Fraction(self._offset - 0.5) / (stream.time_base or 1))
            source.seek(target, stream=stream, backward=True)
        self._packets = source.demux(stream)
        self._waiting: tuple[float, av.Packet] | None = None
        self._ended = False

    def _next(self) -> tuple[float, av.Packet] | None:
        """The next (time in the new file, packet), which stays next until it is taken."""
        while self._waiting is None and not self._ended:
            try:
                packet = next(self._packets)
            except StopIteration:
                self._ended = True
                break
            except av.error.FFmpegError as error:
                raise self._broken() from error
            if packet.pts is None:
                continue
            time = float(packet.pts * packet.time_base) - self._offset
            if time >= -1e-6 or (self._encoder and time > -0.2):
                self._waiting = (time, packet)
        return self._waiting

    def write_until(self, end: float) -> None:
        """Writes the packets that begin before `end` (seconds in the new file)."""
        while (entry := self._next()) is not None and entry[0] < end - 1e-6:
            self._waiting = None
            if self._encoder is None:
                self._copy(*entry)
            else:
                self._encode(self._encoder, entry[1])

    def _copy(self, time: float, packet: av.Packet) -> None:
        shift = round(Fraction(self._offset) / packet.time_base)
        packet.pts = max(0, (packet.pts or 0) - shift)
        packet.dts = packet.pts
        packet.stream = self._stream
        self._container.mux(packet)

    def _encode(self, encoder: av.AudioStream, packet: av.Packet) -> None:
        try:
            frames = self._track.decode(packet)
        except av.error.FFmpegError as error:
            raise self._broken() from error
        for frame in frames:
            if frame.pts is None:
                continue
            time = float(frame.pts * (frame.time_base or 0)) - self._offset
            if self._stamp is None:
                if time < -1e-6:
                    continue
                self._stamp = round(time * encoder.rate)
            frame.pts = None
            self._stamp = self._feed(encoder, self._stamp, self._resampler.resample(frame))

    def _feed(self, encoder: av.AudioStream, stamp: int, frames: list[av.AudioFrame]) -> int:
        """Writes frames from `stamp` on; returns where they end."""
        for frame in frames:
            frame.pts, frame.time_base = stamp, Fraction(1, encoder.rate)
            stamp += frame.samples
            self._container.mux(encoder.encode(frame))
        return stamp

    def finish(self) -> None:
        if self._encoder is not None:
            if self._stamp is not None:
                self._feed(self._encoder, self._stamp, self._resampler.resample(None))
            self._container.mux(self._encoder.encode(None))

    def close(self) -> None:
        self._source.close()

    def _broken(self) -> UserError:
        return UserError(
            f"The sound of {self._path} is damaged; drop the sound ({option('audio')} drop) or "
            "convert the file again."
        )
