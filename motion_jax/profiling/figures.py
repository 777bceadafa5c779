"""Drawings of a profile as inline SVG and HTML: the roofline, bars in two parts."""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import NamedTuple

from motion_jax.report.charts import log_ticks

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 100, 16, 12, 44
# Width of a character of a label in the page's font.
CHARACTER = 6.6


class Point(NamedTuple):
    """A layer in the roofline: FLOP/byte, FLOP/s, its share of the time (for its size)."""

    name: str
    intensity: float
    rate: float
    share: float
    series: int


def roofline(
    points: Sequence[Point], peak: float, bandwidth: float, series: Sequence[str], labelled: int = 6
) -> str:
    """Rates against arithmetic intensity, both logarithmic, under the chip's roof.

    peak: FLOP/s; bandwidth: bytes/s. The `labelled` points with the largest shares get their names,
    all others show them under the pointer.
    """
    points = [p for p in points if p.intensity > 0 and p.rate > 0]
    if not points:
        return '<p class="soft">No layer has both arithmetic and a time.</p>'
    ridge = peak / bandwidth
    x_low = min(ridge / 4, *(p.intensity / 1.5 for p in points))
    x_high = max(ridge * 4, *(p.intensity * 1.5 for p in points))
    y_low = min(peak / 30, *(p.rate / 1.5 for p in points))
    y_high = max(peak * 1.8, *(p.rate * 1.3 for p in points))

    def x(value: float) -> float:
        share = math.log(value / x_low) / math.log(x_high / x_low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        share = math.log(value / y_low) / math.log(y_high / y_low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    parts = []
    for value in log_ticks(x_low, x_high):
        parts.append(_line(x(value), TOP, x(value), HEIGHT - BOTTOM, "var(--line)"))
        parts.append(_text(x(value), HEIGHT - BOTTOM + 17, f"{value:g}", "middle"))
    for value in log_ticks(y_low, y_high):
        parts.append(_line(LEFT, y(value), WIDTH - RIGHT, y(value), "var(--line)"))
        parts.append(_text(LEFT - 7, y(value) + 4.5, f"{scaled(value, 'FLOP')}/s", "end"))
    # The slope begins where it enters the picture.
    begin = max(x_low, y_low / bandwidth)
    roof = [(begin, begin * bandwidth), (ridge, peak), (x_high, peak)]
    corners = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in roof)
    parts.append(
        f'<polyline points="{corners}" fill="none" stroke="var(--text)" stroke-width="2"/>'
    )
    label = f"peak {scaled(peak, 'FLOP')}/s"
    parts.append(_text(WIDTH - RIGHT - 4, y(peak) - 7, label, "end", "var(--text)"))
    middle = math.sqrt(begin * ridge)
    label = f"{scaled(bandwidth, 'B')}/s"
    parts.append(_text(x(middle) - 8, y(middle * bandwidth) - 5, label, "end", "var(--text)"))
    biggest = max(p.share for p in points)
    for point in sorted(points, key=lambda p: -p.share):
        radius = 2.5 + 8 * math.sqrt(point.share / biggest)
        title = f"{point.name} ({series[point.series]}): {scaled(point.rate, 'FLOP')}/s, "
        title += f"{point.intensity:.3g} FLOP/byte"
        parts.append(
            f'<circle cx="{x(point.intensity):.1f}" cy="{y(point.rate):.1f}" r="{radius:.1f}" '
            f'fill="var(--s{point.series})" fill-opacity=".55"><title>{escape(title)}</title>'
            "</circle>"
        )
    parts += _labels(points, x, y, labelled)
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "FLOP/byte", "middle"))
    legend = _legend(series, '<circle cx="16" cy="6" r="4.5"')
    return (
        f'<figure class="chart">{legend}<div class="scroll">'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Roofline">{"".join(parts)}'
        "</svg></div><figcaption>Vertical: FLOP/s; horizontal: FLOP a byte moved; both logarithmic."
        " A bigger dot takes more time; its distance below the line is what could be gained."
        "</figcaption></figure>"
    )


def _labels(
    points: Sequence[Point], x: Callable[[float], float], y: Callable[[float], float], count: int
) -> list[str]:
    """Names beside the points that take longest, where they cover no other name."""
    placed: list[tuple[float, float, float, float]] = []
    parts = []
    longest = sorted(points, key=lambda p: -p.share)
    # A layer's forward and backward pass have one name: the longer one is labelled.
    named = list({p.name: p for p in reversed(longest)}.values())[::-1]
    for point in sorted(named, key=lambda p: -p.share)[:count]:
        width = CHARACTER * len(point.name)
        at_x, at_y = x(point.intensity), y(point.rate)
        for dx, dy in ((12, 4), (12, 18), (12, -10), (12, 32), (-12 - width, 4), (-12 - width, 18)):
            left, base = at_x + dx, at_y + dy
            box = (left, base - 12, left + width, base + 3)
            inside = box[0] > LEFT and box[2] < WIDTH - RIGHT and box[1] > TOP
            inside &= box[3] < HEIGHT - BOTTOM
            free = all(
                box[2] < o[0] or box[0] > o[2] or box[3] < o[1] or box[1] > o[3] for o in placed
            )
            if inside and free:
                placed.append(box)
                parts.append(_text(left, base, point.name, "start", f"var(--s{point.series})"))
                break
    return parts


def stacked(rows: Mapping[str, Sequence[float]], series: Sequence[str], unit: str = "") -> str:
    """Horizontal bars, each of several parts, with their sums. Values must not be negative."""
    top = max((sum(values) for values in rows.values()), default=0) or 1.0
    parts = []
    for name, values in rows.items():
        fills = "".join(
            f'<span class="part" style="width:{100 * value / top:.2f}%;background:var(--s{i})">'
            "</span>"
            for i, value in enumerate(values)
        )
        parts.append(
            f'<span>{escape(name)}</span><span class="track stacked">{fills}</span>'
            f"<span>{sum(values):.3g}{escape(unit)}</span>"
        )
    legend = _legend(series, '<rect x="6" y="1" width="20" height="10"')
    return (
        "<style>.stacked{display:flex}.stacked .part{height:100%}</style>"
        f'<div class="chart">{legend}</div><div class="bars">{"".join(parts)}</div>'
    )


def _legend(series: Sequence[str], shape: str) -> str:
    """shape: the beginning of an SVG element."""
    keys = "".join(
        f'<span><svg viewBox="0 0 32 12" aria-hidden="true">{shape} fill="var(--s{i})"/></svg>'
        f"{escape(name)}</span>"
        for i, name in enumerate(series)
    )
    return f'<div class="legend">{keys}</div>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str, colour: str = "") -> str:
    # A halo in the page's colour keeps a name readable over dots and lines.
    halo = "paint-order:stroke;stroke:var(--back);stroke-width:4px;stroke-linejoin:round"
    fill = f' style="fill:{colour};{halo}"' if colour else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{fill}>{escape(text)}</text>'


def scaled(value: float, unit: str) -> str:
    """1.2e9, "FLOP" -> "1.2 GFLOP"."""
    for size, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size * 0.9995:
            return f"{value / size:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"
