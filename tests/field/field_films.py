"""Films of the kinds that people have, written by PyAV: a drawn person, small and short."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from motion_jax.pose import skeleton
from motion_jax.pose.files import write_openpose

HEIGHT, WIDTH, RATE = 48, 64, 12
WHITE, BT2020_LUMA = 203.0, (0.2627, 0.0593)

_PLACES = {
    "nose": (0, -18), "neck": (0, -12), "right_shoulder": (-5, -12), "left_shoulder": (5, -12),
    "right_elbow": (-8, -6), "left_elbow": (8, -6), "right_wrist": (-9, 0), "left_wrist": (9, 0),
    "mid_hip": (0, 0), "right_hip": (-3, 0), "left_hip": (3, 0), "right_knee": (-4, 9),
    "left_knee": (4, 9), "right_ankle": (-4, 18), "left_ankle": (4, 18),
}  # fmt: skip


def person(number: int, size=(HEIGHT, WIDTH)) -> np.ndarray:
    """Keypoints [137, 3] in pixels of pictures of a size: walks to the right."""
    points = np.zeros((137, 3), np.float32)
    down, right = size[0] / HEIGHT, size[1] / WIDTH
    for name, (x, y) in _PLACES.items():
        points[skeleton.INDEX[name]] = ((18 + 1.5 * number + x) * right, (24 + y) * down, 0.9)
    return points


def people(count: int, size=(HEIGHT, WIDTH)) -> np.ndarray:
    return np.stack([person(number, size) for number in range(count)])


def picture(number: int, size=(HEIGHT, WIDTH)) -> np.ndarray:
    """uint8 [H, W, 3]: blue ground, a red person whose feet are green, a white and a grey patch."""
    image = np.full((HEIGHT, WIDTH, 3), (40, 60, 120), np.uint8)
    image[4:20, 50:62] = 255
    image[24:44, 50:62] = 128
    x = int(18 + 1.5 * number)
    image[4:40, max(0, x - 6) : x + 6] = (200, 80, 60)
    image[40:44, max(0, x - 6) : x + 6] = (60, 170, 70)
    if size != (HEIGHT, WIDTH):
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
    return image


def pictures(count: int, size=(HEIGHT, WIDTH)) -> list[np.ndarray]:
    return [picture(number, size) for number in range(count)]


def poses(folder: Path, count: int, size=(HEIGHT, WIDTH), name: str = "clip") -> Path:
    write_openpose(folder, people(count, size), name)
    return folder


def film(
    path: Path,
    frames: Iterable[np.ndarray | av.VideoFrame],
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    colours: Sequence[int] | None = None,
    rate: int = RATE,
) -> Path:
    """colours: primaries, transfer and matrix by H.273, and the range (1 limited, 2 full)."""
    usual = {"crf": "8", "bf": "0", "preset": "ultrafast"} if codec == "libx264" else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=usual | (options or {}))
        for number, frame in enumerate(frames):
            if isinstance(frame, np.ndarray):
                frame = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format=pix_fmt)
            if number == 0:
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, pix_fmt
                if colours:
                    context = stream.codec_context
                    context.color_primaries, context.color_trc = colours[:2]
                    context.colorspace, context.color_range = colours[2:]
            frame.pts, frame.time_base = number, Fraction(1, rate)
            if colours:
                frame.color_primaries, frame.color_trc = colours[:2]
                frame.colorspace, frame.color_range = colours[2:]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


# --- HDR, by the formulas of BT.2100 (inverse to those that are tested) ------


def light_of(image: np.ndarray) -> np.ndarray:
    """SDR picture → linear light of BT.2020's primaries in cd/m2, white at 203."""
    to_bt2020 = np.array([
        [0.627404, 0.329283, 0.043313],
        [0.069097, 0.919540, 0.011362],
        [0.016391, 0.088013, 0.895595],
    ])  # fmt: skip
    return WHITE * (image / 255.0) ** 2.4 @ to_bt2020.T


def pq(light: np.ndarray) -> np.ndarray:
    m1, m2 = 0.1593017578125, 78.84375
    power = np.clip(light / 10000, 0, 1) ** m1
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** m2


def hlg(light: np.ndarray) -> np.ndarray:
    luminance = light @ np.array([0.2627, 0.6780, 0.0593])
    scene = light / 1000 * (np.maximum(luminance, 1e-6) / 1000)[..., None] ** (1 / 1.2 - 1)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    high = a * np.log(np.maximum(12 * scene - b, 1e-9)) + c
    return np.clip(np.where(scene <= 1 / 12, np.sqrt(3 * scene), high), 0, 1)


def ten_bits(signal: np.ndarray, full: bool = False) -> av.VideoFrame:
    """R'G'B' 0 … 1 → a yuv420p10le frame by BT.2020's matrix."""
    red, blue = BT2020_LUMA
    luma = signal @ np.array([red, 1 - red - blue, blue])
    u = (signal[..., 2] - luma) / (2 * (1 - blue))
    v = (signal[..., 0] - luma) / (2 * (1 - red))
    height, width = luma.shape
    u, v = (c.reshape(height // 2, 2, width // 2, 2).mean((1, 3)) for c in (u, v))
    if full:
        planes = [1023 * luma, 512 + 1023 * u, 512 + 1023 * v]
    else:
        planes = [64 + 876 * luma, 512 + 896 * u, 512 + 896 * v]
    flat = np.concatenate([plane.ravel() for plane in planes]).round().clip(0, 1023)
    return av.VideoFrame.from_ndarray(
        flat.astype(np.uint16).reshape(height * 3 // 2, width), format="yuv420p10le"
    )


# --- interlaced film ------


def block(moved: int) -> np.ndarray:
    """A white block on grey ground that went so many pixels to the right; it comes round again."""
    image = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
    at = 4 + moved % 60
    image[8:40, at : at + 16] = 230
    return image


def weave(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    frame = top.copy()
    frame[1::2] = bottom[1::2]
    return frame


def woven(count: int, top_first: bool = True) -> list[np.ndarray]:
    """Frames of two fields: a white block moves 3 pixels to the right with each field."""
    moments = [block(3 * number) for number in range(2 * count)]
    pairs = zip(moments[::2], moments[1::2], strict=True)
    return [weave(a, b) if top_first else weave(b, a) for a, b in pairs]


def combing(image: np.ndarray) -> float:
    """How much lines differ from both of their neighbours in the same direction."""
    grey = image.astype(float).mean(-1)
    middle, above, below = grey[1:-1], grey[:-2], grey[2:]
    return float(np.sqrt(np.maximum(0, (middle - above) * (middle - below))).mean())


# --- sound ------


def beep(begin: float, end: float, seconds: float, rate: int = 16000) -> np.ndarray:
    """float32 [n]: silent but for a tone."""
    time = np.arange(int(seconds * rate)) / rate
    return np.where((time >= begin) & (time < end), 0.8 * np.sin(2800 * time), 0).astype(np.float32)


def film_of_tracks(
    path: Path,
    videos: Sequence[tuple[list[np.ndarray], bool]],
    sounds: Sequence[tuple[np.ndarray, bool]],
    rate: int = 16000,
) -> Path:
    """Tracks, each with whether it is marked as default."""
    default = av.stream.Disposition.default
    with av.open(str(path), "w") as container:
        streams = []
        for frames, marked in videos:
            stream = container.add_stream("libx264", rate=RATE, options={"crf": "8", "bf": "0"})
            stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
            stream.disposition = default if marked else av.stream.Disposition(0)
            streams.append((stream, frames))
        heard = []
        for wave, marked in sounds:
            stream = container.add_stream("aac", rate=rate, layout="mono")
            stream.disposition = default if marked else av.stream.Disposition(0)
            heard.append((stream, wave))
        for stream, frames in streams:
            for image in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode(None))
        for stream, wave in heard:
            for at in range(0, len(wave), 1024):
                block = wave[None, at : at + 1024]
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
                frame.rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def beep_in(path: Path) -> tuple[float, float] | None:
    """When the sound of the (only or default) track begins and ends; None where it is silent."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        frames = list(container.decode(audio=0))
    wave = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    loud = np.flatnonzero(np.abs(wave) > 0.1)
    if not len(loud):
        return None
    begin, rate = float(frames[0].pts * frames[0].time_base), frames[0].rate
    return begin + loud[0] / rate, begin + loud[-1] / rate
