"""HDR, films whose size changes, interlaced films: right pictures whatever the film is."""

import json
from fractions import Fraction

import av
import numpy as np
import pytest
from field_films import (
    HEIGHT,
    RATE,
    WIDTH,
    block,
    combing,
    film,
    hlg,
    light_of,
    people,
    picture,
    pictures,
    poses,
    pq,
    ten_bits,
    weave,
    woven,
)  # fmt: skip

from motion_jax.cli import main
from motion_jax.data.records import open_dataset
from motion_jax.errors import UserError
from motion_jax.video import colour, reader
from motion_jax.video.reader import frame_times, peculiarities, probe, read_frames

# Mean grey levels by which a film stored as HDR and its SDR original differ at most; the same for
# flat patches, where coding adds nothing.
TOLERANCE, FLAT = 4.0, 3.0


def shown(path) -> np.ndarray:
    return np.stack([frame.image for frame in read_frames(path)]).astype(float)


def differs(path, frames) -> float:
    found = shown(path)
    assert len(found) == len(frames)
    for (rows, columns), name in (((slice(6, 18), slice(52, 60)), "white"),
                                  ((slice(26, 42), slice(52, 60)), "grey"),
                                  ((slice(8, 38), slice(16, 20)), "person")):  # fmt: skip
        flat = found[0, rows, columns].mean((0, 1)) - frames[0][rows, columns].mean((0, 1))
        assert np.abs(flat).max() < FLAT, (name, flat)
    return float(np.abs(found - np.stack(frames)).mean())


HDR = {
    "pq.mp4": (pq, (9, 16, 9, 1), {}),
    "pq.mkv": (pq, (9, 16, 9, 1), {}),
    "pq-full.mkv": (pq, (9, 16, 9, 2), {}),
    "hlg.mov": (hlg, (9, 18, 9, 1), {}),
    "bt2020-sdr.mkv": (lambda light: np.clip(light / 203, 0, 1) ** (1 / 2.4), (9, 14, 9, 1), {}),
    "pq-hevc.mp4": (pq, (9, 16, 9, 1), {"codec": "libx265",
                                        "options": {"x265-params": "crf=8:log-level=none"}}),
}  # fmt: skip


@pytest.mark.parametrize("name", HDR)
def test_a_film_stored_as_hdr_looks_as_the_original(tmp_path, capsys, name):
    signal, tags, options = HDR[name]
    frames = pictures(4)
    coded = (ten_bits(signal(light_of(image)), full=tags[3] == 2) for image in frames)
    path = film(tmp_path / name, coded, pix_fmt="yuv420p10le", colours=tags, **options)
    assert differs(path, frames) < TOLERANCE
    said = capsys.readouterr().err
    assert said.count("SDR of BT.709") == 1 and "BT.2020" in said
    assert ("HDR" in said) == (signal in (pq, hlg))
    assert "BT.2020" in peculiarities(path)


def test_ten_bits_alone_change_nothing(tmp_path, capsys):
    frames = pictures(3)
    plain = film(tmp_path / "ten.mkv", frames, pix_fmt="yuv420p10le")
    eight = film(tmp_path / "eight.mkv", frames)
    assert np.abs(shown(plain) - shown(eight)).mean() < 4
    assert capsys.readouterr().err == "" and peculiarities(plain) == ""


def test_highlights_are_rolled_off_and_the_rest_stays(tmp_path):
    """A lamp of 1000 cd/m2: not the same as white, and below it nothing changes."""
    frames = pictures(3)
    lit = [light_of(image) for image in frames]
    for light in lit:
        light[0:16, 0:16] = 1000
        light[16:32, 0:16] = 400
    coded = (ten_bits(pq(light)) for light in lit)
    path = film(tmp_path / "lamp.mkv", coded, pix_fmt="yuv420p10le", colours=(9, 16, 9, 1))
    found = shown(path)[0]
    lamp, bright = found[2:14, 2:14].mean(), found[18:30, 2:12].mean()
    white, grey = found[6:18, 52:60].mean(), found[26:42, 52:60].mean()
    assert lamp > 252 and white < bright < lamp - 1
    assert 238 < white < 250 and abs(grey - 128) < FLAT


def test_curves_are_those_of_the_standards():
    """Code values and light of BT.2408: SDR's white is 58 % of PQ and 75 % of HLG."""
    of_pq, of_hlg = colour._curve(colour.PQ, True), colour._curve(colour.HLG, True)
    assert of_pq[round(0.5807 * 65535)] == pytest.approx(1, abs=3e-3)
    assert of_pq[65535] == pytest.approx(10000 / 203, rel=1e-4)
    assert 1000 / 203 * of_hlg[round(0.75 * 65535)] ** 1.2 == pytest.approx(1, abs=5e-3)
    matrix = colour._to_bt709(9)
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-5)
    # BT.2087's matrix.
    np.testing.assert_allclose(matrix[0], [1.6605, -0.5876, -0.0728], atol=1e-3)


def test_the_result_of_an_hdr_source_is_tagged_as_what_it_is(tmp_path, shared):
    from motion_jax.video.writer import VideoWriter

    with VideoWriter(tmp_path / "out.mp4", HEIGHT, WIDTH) as writer:
        writer.write(picture(0), 0)
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
        assert (frame.color_primaries, frame.color_trc, frame.colorspace) == (1, 1, 1)
        assert frame.color_range == 1 and frame.format.name == "yuv420p"


def test_a_frame_that_cannot_be_shown_is_one_sentence(tmp_path, monkeypatch):
    path = film(tmp_path / "a.mp4", pictures(3))

    def fails(*_):
        raise av.error.OSError(95, "Operation not supported")

    monkeypatch.setattr(reader, "upright", fails)
    with pytest.raises(UserError, match="a.mp4 is damaged or cut short"):
        list(read_frames(path))


# --- sizes ------


def two_sizes(folder, first, second, count=12):
    """A film whose second half has another size: two H.264 streams, one after the other."""
    halves = [
        film(folder / f"{n}.h264", pictures(count, size)[n * count // 2 :][: count // 2])
        for n, size in enumerate((first, second))
    ]
    whole = folder / "whole.h264"
    whole.write_bytes(b"".join(half.read_bytes() for half in halves))
    path = folder / "sizes.mkv"
    with (
        av.open(str(whole), options={"framerate": str(RATE)}) as given,
        av.open(str(path), "w") as made,
    ):
        stream = made.add_stream_from_template(given.streams.video[0])
        number = 0
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                packet.pts = packet.dts = round(number / RATE / packet.time_base)
                number += 1
                made.mux(packet)
    return path


@pytest.mark.parametrize("second", [(36, 48), (96, 128)])
def test_a_film_whose_size_changes(tmp_path, capsys, second):
    path = two_sizes(tmp_path, (HEIGHT, WIDTH), second)
    assert len(frame_times(path)) == 12
    said = capsys.readouterr().err
    assert f"from 0.50 s on they are {second[1]}x{second[0]}" in said
    assert f"brought to {WIDTH}x{HEIGHT}" in said
    assert (probe(path).width, probe(path).height) == (WIDTH, HEIGHT)
    found = shown(path)
    assert found.shape == (12, HEIGHT, WIDTH, 3)
    assert np.abs(found - np.stack(pictures(12))).mean() < 8
    # Begun in the second half, the pictures are the same.
    late = np.stack([frame.image for frame in read_frames(path, start=0.6)])
    np.testing.assert_array_equal(late, found[-len(late) :])


def test_a_dataset_of_a_film_whose_size_changes(tmp_path, capsys):
    path = two_sizes(tmp_path, (HEIGHT, WIDTH), (36, 48))
    whole = film(tmp_path / "whole.mkv", pictures(12))
    folder = poses(tmp_path / "poses", 12)
    data = {}
    for film_path in (path, whole):
        out = tmp_path / f"data-{film_path.stem}"
        main(["prepare", str(film_path), "--poses", str(folder), "--out", str(out), "--size",
              "32x32", "--workers", "1"])  # fmt: skip
        data[film_path] = open_dataset(out)
    assert "brought to" in capsys.readouterr().err
    first, second = data[path], data[whole]
    np.testing.assert_array_equal(first.keypoints(), second.keypoints())
    for number in (0, 5, 8, 11):
        a, b = (d[number]["frame"].astype(float) for d in (first, second))
        assert np.abs(a - b).mean() < 8


# --- interlaced ------

INTERLACED = {
    "top.mp4": ("libx264", {"x264-params": "tff=1"}, True),
    "bottom.mkv": ("libx264", {"x264-params": "bff=1"}, False),
    "camcorder.mpg": ("mpeg2video", {"flags": "+ildct+ilme", "b": "4M", "bf": "0"}, True),
    "prores.mov": ("prores_ks", {"flags": "+ildct"}, True),
}


@pytest.mark.parametrize("name", INTERLACED)
def test_interlaced_films_are_deinterlaced(tmp_path, capsys, name):
    codec, options, top_first = INTERLACED[name]
    frames = woven(8, top_first)
    pix_fmt = "yuv422p10le" if codec == "prores_ks" else "yuv420p"
    coded = []
    for image in frames:
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)
        coded.append(interlaced(frame, top_first))
    # MPEG-2 knows few rates.
    path = film(tmp_path / name, coded, codec, pix_fmt, options, rate=25)
    with av.open(str(path)) as container:
        raw = [frame for frame in container.decode(video=0)]
        assert raw[0].interlaced_frame
        assert combing(raw[4].to_ndarray(format="rgb24")) > 10
    found = list(read_frames(path))
    assert len(found) == 8
    np.testing.assert_allclose(np.diff([frame.time for frame in found]), 1 / 25, atol=1e-3)
    for frame in found[1:7]:
        assert combing(frame.image) < 2
        # The moment is that of the first field.
        left = np.flatnonzero(frame.image[20, :, 1] > 130)[0]
        assert abs(left - (4 + 6 * frame.index)) <= 2
    assert capsys.readouterr().err.count("deinterlaced") == 1


@pytest.mark.parametrize("name", ["top.mp4", "bottom.avi"])
def test_combs_that_nothing_tells_of_are_deinterlaced(tmp_path, capsys, name):
    codec = {"avi": "mpeg4", "mp4": "libx264"}[name[-3:]]
    path = film(tmp_path / name, woven(16, name == "top.mp4"), codec, options={"b": "4M"}, rate=25)
    with av.open(str(path)) as container:
        raw = [frame for frame in container.decode(video=0)]
        assert not any(frame.interlaced_frame for frame in raw)
        assert combing(raw[4].to_ndarray(format="rgb24")) > 10
    found = list(read_frames(path))
    assert len(found) == 16
    for frame in found[1:-1]:
        assert combing(frame.image) < 2.5
        left = np.flatnonzero(frame.image[20, :, 1] > 130)[0]
        assert abs(left - (4 + 6 * frame.index) % 60) <= 2
    assert capsys.readouterr().err.count(f"{name} is interlaced, though nothing in it says so") == 1
    assert peculiarities(path) == "interlaced"
    if name == "top.mp4":
        # The frames before the first wanted one are looked at too.
        for late in read_frames(path, start=found[7].time):
            np.testing.assert_array_equal(late.image, found[7 + late.index].image)


def test_combs_after_a_still_beginning(tmp_path, capsys):
    """One key frame alone, and at first nothing moves."""
    frames = [block(0)] * 8 + woven(8)
    path = film(tmp_path / "a.mp4", frames, rate=25)
    assert max(combing(image) for image in shown(path)[9:-1]) < 2.5
    assert "is interlaced" in capsys.readouterr().err


def striped(number: int, period: int, right: float, down: float) -> np.ndarray:
    """A person in clothes with fine stripes, before a calm ground."""
    image = np.full((HEIGHT, WIDTH, 3), (40, 60, 120), np.uint8)
    top, left = int(8 + down * number), int(6 + right * number)
    rows = np.arange(HEIGHT - 16)
    shirt = np.where((rows // (period // 2) % 2)[:, None, None], 230, 30)
    image[top : top + len(rows), left : left + 24] = shirt[: HEIGHT - top]
    return image


@pytest.mark.parametrize("right, down", [(2, 0), (3.3, 0), (1, 1), (0, 0.5), (0, 2), (1.5, 0.3)])
@pytest.mark.parametrize("period", [2, 4, 6])
def test_stripes_are_no_combs(tmp_path, capsys, period, right, down):
    frames = [striped(number % 8, period, right, down) for number in range(16)]
    assert combing(frames[3]) > 10 or period > 2
    path = film(tmp_path / "a.mp4", frames, options={"g": "8"})
    assert shown(path).shape == (16, HEIGHT, WIDTH, 3)
    assert capsys.readouterr().err == "" and peculiarities(path) == ""


def test_telecined_film_stays_as_it_is(tmp_path, capsys):
    """Four pictures as five frames: two are woven of two pictures each."""
    moments, frames = [block(3 * number) for number in range(16)], []
    for first in range(0, 16, 4):
        a, b, c, d = moments[first : first + 4]
        frames += [a, b, weave(b, c), weave(c, d), d]
    path = film(tmp_path / "a.mkv", frames, "ffv1", "bgr0")
    np.testing.assert_array_equal(shown(path), np.stack(frames))
    assert capsys.readouterr().err == ""


def interlaced(frame: av.VideoFrame, top_first: bool) -> av.VideoFrame:
    """The frame flagged as interlaced, by the filter that sets flags."""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25)
    )
    field = graph.add("setfield", "tff" if top_first else "bff")
    sink = graph.add("buffersink")
    source.link_to(field)
    field.link_to(sink)
    graph.configure()
    graph.push(frame)
    return graph.pull()


def test_where_reading_begins_does_not_matter(tmp_path):
    coded = [interlaced(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
        format="yuv420p"), True) for image in woven(20)]  # fmt: skip
    path = film(tmp_path / "a.mp4", coded, options={"x264-params": "tff=1", "g": "5"}, rate=25)
    whole = list(read_frames(path))
    for first in (1, 4, 5, 6, 10, 19):
        late = list(read_frames(path, start=whole[first].time))
        assert len(late) == 20 - first
        for a, b in zip(late, whole[first:], strict=True):
            np.testing.assert_array_equal(a.image, b.image)


# --- the ten cases ------


@pytest.fixture
def field(shared):
    folder = shared / "field"
    if not folder.is_dir():
        pytest.skip("no folder of field cases")
    return folder


def test_field_hdr(field):
    plain, hdr = shown(field / "sdr.mp4"), shown(field / "hdr-pq.mp4")
    assert np.abs(plain - hdr).mean() < 5


def test_field_interlaced(field, tmp_path, capsys):
    main(["import-data", str(field / "interlaced.mp4"), "--layout", "skeleton-video", "--out",
          str(tmp_path / "data"), "--size", "160x96", "--workers", "1"])  # fmt: skip
    data = open_dataset(tmp_path / "data")
    assert max(combing(data[n]["frame"]) for n in range(24)) < 2
    assert "deinterlaced" in capsys.readouterr().err


def test_field_sizes(field, tmp_path, capsys):
    found = []
    for name in ("sdr.mp4", "size-changes.mkv"):
        out = tmp_path / name
        main(["prepare", str(field / name), "--poses", str(field / "poses"), "--out", str(out),
              "--size", "64x64", "--workers", "1"])  # fmt: skip
        found.append(open_dataset(out))
    # Matroska rounds times to milliseconds, which the smoothing sees.
    np.testing.assert_allclose(found[0].keypoints(), found[1].keypoints(), atol=0.02)
    for number in (0, 30, 47):
        a, b = (d[number]["frame"].astype(float) for d in found)
        assert np.abs(a - b).mean() < 8
    assert "from 1.00 s on they are 128x72" in capsys.readouterr().err
    assert json.loads((tmp_path / "sdr.mp4" / "metadata.json").read_text())
    assert people(2).shape == (2, 137, 3)
