"""HTML reports that open anywhere: one file, no script, nothing fetched, light and dark.

Every function returns a fragment (str) in which all given text is escaped; `page` puts fragments
together and `write` saves the result in one piece:

    write(path, page("Run", [section("Losses", chart({"G": (steps, values)}, x_label="step"))]))
"""

import base64
import io
import math
import mimetypes
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TypeGuard

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from motion_jax import files
from motion_jax.report.charts import bars, chart, heat

__all__ = [
    "bars",
    "bullets",
    "chart",
    "columns",
    "details",
    "facts",
    "heat",
    "image",
    "link",
    "notice",
    "page",
    "paragraph",
    "preformatted",
    "section",
    "table",
    "video",
    "write",
]

STYLE = """
:root { color-scheme: light dark; --text: #1d2329; --soft: #5d6873; --line: #d9dee3;
  --back: #ffffff; --panel: #f5f7f8; --best: #0b6e4f; --notice: #9a5b00;
  --s0: #0b6bb8; --s1: #c8501e; --s2: #23803c; --s3: #8a4fae; --s4: #a87400; --s5: #0c8a96;
  --s6: #b8326e; --s7: #5b6670; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e8eb; --soft: #9aa5af; --line: #353d45;
  --back: #14181c; --panel: #1d2227; --best: #5fd0a5; --notice: #e8b25a;
  --s0: #5fb0f0; --s1: #f08a5c; --s2: #6ac47f; --s3: #c192e0; --s4: #e0b450; --s5: #55c4cf;
  --s6: #ee80ac; --s7: #a8b2bb; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 68rem; color: var(--text);
  background: var(--back); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto,
  "Noto Sans", sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.75rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .75rem; padding-bottom: .3rem;
  border-bottom: 1px solid var(--line); }
h3, .chart h3 { font-size: 1rem; margin: 1.25rem 0 .4rem; }
p, ul { max-width: 46rem; margin: .6rem 0; }
.subtitle, figcaption, caption, .soft { color: var(--soft); }
figcaption, caption, .chart, .bars { font-size: .875rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .75rem 0; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
th { font-weight: 600; font-size: .875rem; color: var(--soft); vertical-align: bottom; }
td.number, th.number { text-align: right; }
td.number { white-space: nowrap; }
td.best { color: var(--best); font-weight: 650; }
figure { margin: .9rem 0; }
img, video { max-width: 100%; height: auto; border-radius: 3px; vertical-align: top; }
.pixels { image-rendering: pixelated; }
.columns { display: grid; gap: 0 2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
.columns > * { min-width: 0; }
.notice { border-left: 4px solid var(--notice); background: var(--panel); padding: .6rem 1rem;
  max-width: 48rem; margin: .75rem 0; }
.notice p { margin: .2rem 0; }
pre { background: var(--panel); padding: .75rem 1rem; overflow-x: auto; font-size: .8125rem;
  border-radius: 3px; }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .25rem 1.25rem;
  margin: .75rem 0; }
dt { color: var(--soft); } dd { margin: 0; min-width: 0; }
summary { cursor: pointer; color: var(--soft); }
a { color: var(--s0); }
.chart svg { display: block; width: 100%; min-width: 22rem; max-width: 42rem; height: auto; }
.chart text { font: 13px system-ui, sans-serif; fill: var(--soft); }
.legend { display: flex; flex-wrap: wrap; gap: .15rem 1.1rem; }
.legend svg { width: 1.6rem; min-width: 0; height: .7rem; display: inline-block;
  vertical-align: baseline; margin-right: .4rem; }
.bars { display: grid; grid-template-columns: fit-content(45%) minmax(4rem, 24rem) max-content;
  gap: .3rem .8rem; align-items: center; margin: .75rem 0; }
.bars span { min-width: 0; }
.bars .track { background: var(--panel); height: .8rem; border-radius: 2px; }
.bars .fill { display: block; background: var(--s0); height: 100%; border-radius: 2px; }
@media print { body { max-width: none; } }
"""


def page(title: str, sections: Iterable[str], subtitle: str = "") -> str:
    """A whole document from fragments. `subtitle` is one line under the title."""
    below = f'<p class="subtitle">{escape(subtitle)}</p>' if subtitle else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # An empty icon, so that no browser asks a server for one.
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style></head>\n<body>\n"
        f"<h1>{escape(title)}</h1>{below}\n" + "\n".join(sections) + "\n</body></html>\n"
    )


def write(path: Path, document: str) -> None:
    """Saves a document atomically (UTF-8). Raises UserError where the folder cannot be written."""
    files.write_text(Path(path), document)


def section(title: str, *fragments: str) -> str:
    return f"<section><h2>{escape(title)}</h2>\n" + "\n".join(fragments) + "\n</section>"


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def notice(text: str) -> str:
    """A paragraph that must not be overlooked."""
    return f'<div class="notice"><p>{escape(text)}</p></div>'


def bullets(texts: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def preformatted(text: str) -> str:
    """A command, a config, a log: fixed pitch, line breaks kept."""
    return f"<pre>{escape(text)}</pre>"


def details(summary: str, *fragments: str) -> str:
    """Fragments that are folded away until asked for."""
    return f"<details><summary>{escape(summary)}</summary>" + "\n".join(fragments) + "</details>"


def columns(*fragments: str) -> str:
    """Fragments beside each other where there is room, below each other where not."""
    return '<div class="columns">' + "".join(f"<div>{part}</div>" for part in fragments) + "</div>"


def link(target: str, text: str) -> str:
    """A link to a file that lies beside the page (relative path)."""
    return f'<a href="{escape(target)}">{escape(text)}</a>'


def facts(values: Mapping[str, object]) -> str:
    """Names and values in two columns."""
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(format_value(value))}</dd>"
        for name, value in values.items()
    )
    return f"<dl>{rows}</dl>"


def format_value(value: object, digits: int = 4) -> str:
    """A number with `digits` significant digits, a dash for None and NaN, else str(value)."""
    if value is None:
        return "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, np.floating):
        value = float(value)
    if isinstance(value, float):
        if math.isnan(value):
            return "–"
        if math.isinf(value):
            return "∞" if value > 0 else "−∞"
        if value != 0 and not 1e-4 <= abs(value) < 1e6:
            return f"{value:.{digits - 1}e}"
        decimals = digits if value == 0 else digits - 1 - math.floor(math.log10(abs(value)))
        return f"{value:.{min(max(decimals, 0), digits)}f}"
    if isinstance(value, int | np.integer):
        return f"{int(value):,}".replace(",", "\u202f")
    return str(value)


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    caption: str = "",
    best: Mapping[int, str] | None = None,
    digits: int = 4,
) -> str:
    """Rows of values; columns that hold numbers are set right.

    best: {column: "max" | "min"} marks the best number of that column, unless all
      are equal.
    """
    rows = [list(row) for row in rows]
    marked = {}
    for column, rule in (best or {}).items():
        values = enumerate(row[column] for row in rows)
        numbers = [(value, i) for i, value in values if _is_number(value)]
        if len({value for value, _ in numbers}) > 1:
            top = (max if rule == "max" else min)(value for value, _ in numbers)
            marked[column] = {i for value, i in numbers if value == top}
    numeric = [
        any(_is_number(row[c]) for row in rows)
        and all(_is_number(row[c]) or row[c] is None or row[c] != row[c] for row in rows)
        for c in range(len(header))
    ]

    def cell(i: int, c: int, value: object) -> str:
        names = (["number"] if numeric[c] else []) + (["best"] if i in marked.get(c, ()) else [])
        attribute = f' class="{" ".join(names)}"' if names else ""
        return f"<td{attribute}>{escape(format_value(value, digits))}</td>"

    head = "".join(
        f'<th scope="col"{" class=number" if numeric[c] else ""}>{escape(name)}</th>'
        for c, name in enumerate(header)
    )
    body = "\n".join(
        "<tr>" + "".join(cell(i, c, value) for c, value in enumerate(row)) + "</tr>"
        for i, row in enumerate(rows)
    )
    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll"><table>{above}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _is_number(value: object) -> TypeGuard[float]:
    return (
        isinstance(value, int | float | np.integer | np.floating)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )


def image(
    picture: UInt8[np.ndarray, "h w *c"] | Path,
    caption: str = "",
    *,
    alt: str = "",
    width: int | None = None,
    least: int | None = None,
    quality: int | None = None,
) -> str:
    """A picture inside the page.

    picture: RGB or (without a third axis) grey, or the path of a PNG or JPEG.
    width: shown width in CSS pixels; larger than the picture's own shows crisp pixels. Wider than
      the window, the picture shrinks to it.
    least: width in CSS pixels below which it does not shrink but scrolls, for pictures with labels.
    quality: JPEG quality for arrays; None (default) writes lossless PNG.
    """
    if isinstance(picture, np.ndarray):
        data, kind, own = _encode(picture, quality), "jpeg" if quality else "png", picture.shape[1]
        source = f"data:image/{kind};base64," + base64.b64encode(data).decode()
    else:
        source, own = data_uri(Path(picture)), None
    crisp = ' class="pixels"' if width and own and width >= 2 * own else ""
    size = f' width="{int(width)}"' if width else ""
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    name = escape(alt or caption)
    room = f' style="min-width:{int(least)}px"' if least else ""
    shown = f'<img src="{source}" alt="{name}"{size}{crisp}{room}>'
    shown = f'<div class="scroll">{shown}</div>' if least else shown
    return f"<figure>{shown}{below}</figure>"


def _encode(picture: np.ndarray, quality: int | None) -> bytes:
    if picture.dtype != np.uint8:
        raise TypeError(f"pictures are uint8, not {picture.dtype}")
    buffer = io.BytesIO()
    shown = Image.fromarray(np.ascontiguousarray(picture))
    if quality:
        shown.save(buffer, "JPEG", quality=quality, subsampling=0)
    else:
        shown.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def data_uri(path: Path) -> str:
    """A file's bytes as a data: address."""
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64," + base64.b64encode(path.read_bytes()).decode()


def video(source: Path | str, caption: str = "", *, width: int | None = None) -> str:
    """A video player. A Path is put inside the page whole (keep it to some megabytes); a str is
    the address of a file that lies beside the page, for example "../samples/step-100.mp4"."""
    address = data_uri(source) if isinstance(source, Path) else escape(source)
    size = f' width="{int(width)}"' if width else ""
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure><video src="{address}"{size} controls loop muted playsinline '
        f'preload="metadata"></video>{below}</figure>'
    )
