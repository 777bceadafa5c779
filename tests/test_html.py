import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from motion_jax.errors import UserError
from motion_jax.report import charts, html

VOID = {"meta", "link", "img", "br", "line", "circle", "polyline"}


class Balance(HTMLParser):
    """Collects addresses and checks that every tag is closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.addresses, self.tags = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "poster")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag


def parse(text):
    parser = Balance()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return parser


def picture(height=6, width=8):
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


def test_page_is_whole_and_offline(tmp_path):
    document = html.page(
        "A <run>",
        [
            html.section(
                "Losses & more",
                html.paragraph("1 < 2"),
                html.notice("look"),
                html.bullets(["a", "b"]),
                html.preformatted("x = '<'"),
                html.details("more", html.facts({"frames": 12345, "share": 0.25, "none": None})),
                html.columns(html.image(picture(), "a picture"), html.bars({"kept": 0.5})),
                html.chart({"G": ([1, 2, 3], [3.0, 2.0, 1.0]), "D": [1.0, 2.0]}, "t", log=True),
                html.video("../samples/a.mp4", "moves"),
                html.table(["name", "psnr"], [["a", 1.5], ["<b>", 2.5]], best={1: "max"}),
            )
        ],
        subtitle="made <today>",
    )
    html.write(tmp_path / "report" / "index.html", document)
    assert (tmp_path / "report" / "index.html").read_text() == document
    parser = parse(document)
    assert "script" not in parser.tags
    assert [a for a in parser.addresses if not a.startswith("data:")] == ["../samples/a.mp4"]
    assert "url(" not in document and "@import" not in document
    assert "A &lt;run&gt;" in document and "<today>" not in document and "&lt;b&gt;" in document


def test_table_marks_the_best_and_sets_numbers_right():
    text = html.table(
        ["method", "psnr", "flicker", "lpips"],
        [["a", 20.0, 3.0, None], ["b", 25.0, 1.0, None], ["c", float("nan"), 2.0, None]],
        best={1: "max", 2: "min", 3: "min"},
    )
    parse(text)
    assert re.findall(r'class="number best">([^<]*)<', text) == ["25.00", "1.000"]
    assert text.count("–") == 4


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.0000"), (25.34567, "25.35"), (0.89512, "0.8951"),
     (1234.5, "1234"), (2e-5, "2.000e-05"), (True, "yes"), (None, "–"), (12345, "12\u202f345"),
     (float("inf"), "∞"), ("x", "x")],
)  # fmt: skip
def test_format_value(value, text):
    assert html.format_value(value) == text


def test_image_holds_the_exact_pixels(unchecked, tmp_path):
    from PIL import Image

    source = picture()
    text = html.image(source, 'a "quoted" one', width=64)
    assert 'class="pixels"' in text and 'width="64"' in text and "&quot;quoted&quot;" in text
    import base64
    import io

    data = base64.b64decode(re.search(r"base64,([^\"]*)", text)[1])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), source)
    Image.fromarray(source).save(tmp_path / "a.jpg")
    assert "data:image/jpeg;base64," in html.image(tmp_path / "a.jpg")
    with pytest.raises(TypeError, match="uint8"):
        html.image(source.astype(np.float32))


def svg(text):
    return ElementTree.fromstring(re.search(r"<svg viewBox=\"0 0 560.*?</svg>", text, re.S)[0])


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0.013, 0.014), (-5, 3), (1e-7, 2e-7), (0.1, 9e4), (7, 7), (1e5, 3e8)]
)
def test_chart_labels_are_inside_distinct_and_apart(low, high, log):
    y = np.linspace(low, high, 50)
    drawing = svg(html.chart({"a": (np.arange(50) * 1000, y)}, log=log and low > 0))
    names = {"end": [], "middle": []}
    for text in drawing.iter("text"):
        anchor, x = text.get("text-anchor"), float(text.get("x"))
        half = charts.CHARACTER * len(text.text) * (1 if anchor == "end" else 0.5)
        assert x - half >= 0 and (anchor == "end" or x + half <= charts.WIDTH)
        assert 10 <= float(text.get("y")) <= 230
        names[anchor].append((text.text, x, half))
    for found in names.values():
        assert len(found) >= 2 and len({name for name, _, _ in found}) == len(found)
    placed = names["middle"]
    for (_, x, half), (_, other, other_half) in zip(placed, placed[1:], strict=False):
        assert x + half < other - other_half


def test_chart_breaks_lines_at_gaps_and_thins_long_ones():
    y = np.sin(np.arange(5000) / 50)
    y[2500] = np.nan
    y[100] = 9.0
    lines = list(svg(html.chart({"a": y})).iter("polyline"))
    assert len(lines) == 2
    points = [tuple(map(float, p.split(","))) for p in lines[0].get("points").split()]
    assert len(points) <= charts.MOST_POINTS + 2
    assert min(p[1] for p in points) < 25  # the one high value is still there
    assert sum(p[1] < 100 for p in points) == 1
    assert "No values" in html.chart({"a": [float("nan")]})
    assert "No values" in html.chart({"a": [0.0, -1.0]}, log=True)
    with pytest.raises(ValueError, match="kind"):
        html.chart({"a": [1.0]}, kind="pie")
    with pytest.raises(ValueError, match="2 x for 1 y"):
        html.chart({"a": ([1, 2], [1.0])})


def test_write_names_the_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        html.write(tmp_path / "file" / "index.html", "x")
