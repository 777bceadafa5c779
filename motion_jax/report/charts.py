"""Charts as inline SVG: lines or points over axes with ticks, and horizontal bars.

Titles, legends and axis names are HTML around the drawing, so that they wrap on a narrow screen
instead of being cut off; only the tick labels are inside, in margins measured for them. Colours are
the variables --s0 to --s7 of the page's style.
"""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from jaxtyping import Float, Real, UInt8
from PIL import Image

WIDTH = 560
# Width of one character of a tick label, an upper bound for 13 px sans-serif digits.
CHARACTER = 8
MOST_POINTS = 600
# A second sign beside the colour, for readers who cannot tell two colours apart.
DASHES = ("", "7 3", "2 3", "9 3 2 3", "12 4", "4 2", "1 2", "6 2 2 2")


Values = Sequence[float] | Real[np.ndarray, " _"]


def chart(
    series: Mapping[str, tuple[Values, Values] | Values],
    title: str = "",
    *,
    x_label: str = "",
    y_label: str = "",
    log: bool = False,
    kind: str = "line",
    height: int = 230,
    y_range: tuple[float, float] | None = None,
    smooth: int = 0,
) -> str:
    """Several series in one pair of axes.

    series: {name: (x, y)} or {name: y} (then x = 0, 1, …). Points that are not finite break the
      line. Lines of more than 600 points are drawn by the extremes of 300 equal pieces.
    log: the vertical axis is logarithmic; values that are not positive are left out.
    kind: "line" or "points".
    height: of the drawing in units of which its width has 560.
    y_range: (lowest, highest) instead of the data's own.
    smooth: > 1 draws each line faintly and over it the mean of the last `smooth` values.
    Raises ValueError for an unknown kind or for x and y of different lengths.
    """
    if kind not in ("line", "points"):
        raise ValueError(f"kind is 'line' or 'points', not {kind!r}")
    lines = {name: _clean(values, log) for name, values in series.items()}
    x = np.concatenate([xs[np.isfinite(ys)] for xs, ys in lines.values()] or [np.zeros(0)])
    y = np.concatenate([ys[np.isfinite(ys)] for _, ys in lines.values()] or [np.zeros(0)])
    heading = f"<h3>{escape(title)}</h3>" if title else ""
    if not len(y):
        return f'<figure class="chart">{heading}<p class="soft">No values.</p></figure>'
    x_low, x_high = _widen(float(x.min()), float(x.max()), log=False, exact=True)
    if y_range:
        y_low, y_high = y_range
    else:
        y_low, y_high = _widen(float(y.min()), float(y.max()), log=log, exact=False)
    x_ticks = linear_ticks(x_low, x_high, 6)
    y_ticks = log_ticks(y_low, y_high) if log else linear_ticks(y_low, y_high, 5)
    x_names, y_names = tick_names(x_ticks), tick_names(y_ticks)
    left = 12 + CHARACTER * max(len(name) for name in y_names)
    right = 12 + CHARACTER * len(x_names[-1]) // 2
    top, bottom = 10, 26

    def place_x(value: np.ndarray) -> np.ndarray:
        return left + (value - x_low) / (x_high - x_low) * (WIDTH - left - right)

    def place_y(value: np.ndarray) -> np.ndarray:
        scale = np.log10 if log else (lambda v: v)
        share = (scale(value) - scale(y_low)) / (scale(y_high) - scale(y_low))
        return height - bottom - share * (height - top - bottom)

    parts = []
    for at, name in zip(place_y(np.asarray(y_ticks)), y_names, strict=True):
        parts.append(
            f'<line x1="{left}" x2="{WIDTH - right}" y1="{at:.1f}" y2="{at:.1f}" '
            'stroke="var(--line)"/>'
            f'<text x="{left - 7}" y="{at + 4.5:.1f}" text-anchor="end">{name}</text>'
        )
    for at, name in zip(place_x(np.asarray(x_ticks)), x_names, strict=True):
        parts.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{height - bottom}" y2="{height - bottom + 5}" '
            'stroke="var(--soft)"/>'
            f'<text x="{at:.1f}" y="{height - 7}" text-anchor="middle">{name}</text>'
        )
    for i, (name, (xs, ys)) in enumerate(lines.items()):
        parts.append(f"<g><title>{escape(name)}</title>")
        across, seen = place_x(xs), np.isfinite(ys)
        down = place_y(np.clip(ys, y_low, y_high))
        if kind == "points":
            parts.append(_points(across, down, seen, i))
        elif smooth > 1:
            mean = place_y(np.clip(running_mean(ys, smooth), y_low, y_high))
            parts.append(f'<g stroke-opacity=".25">{_line(across, down, seen, i, "")}</g>')
            parts.append(_line(across, mean, seen, i))
        else:
            parts.append(_line(across, down, seen, i))
        parts.append("</g>")
    described = escape(title or ", ".join(lines))
    drawing = (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{described}">'
        + "".join(parts)
        + "</svg>"
    )
    keys = "".join(
        f"<span>{_key(i, kind)}{escape(name)}</span>" for i, name in enumerate(lines) if name
    )
    legend = f'<div class="legend">{keys}</div>' if keys and (len(lines) > 1) else ""
    vertical = y_label + (" (logarithmic)" if log else "")
    axes = "; ".join(
        ([f"vertical: {vertical.strip()}"] if vertical.strip() else [])
        + ([f"horizontal: {x_label}"] if x_label else [])
    )
    below = f"<figcaption>{escape(axes[:1].upper() + axes[1:])}</figcaption>" if axes else ""
    drawing = f'<div class="scroll">{drawing}</div>'
    return f'<figure class="chart">{heading}{legend}{drawing}{below}</figure>'


def _clean(values: tuple[Values, Values] | Values, log: bool) -> tuple[np.ndarray, np.ndarray]:
    pair = values if isinstance(values, tuple) else (np.arange(len(values)), values)
    x, y = (np.asarray(each, np.float64).ravel() for each in pair)
    if len(x) != len(y):
        raise ValueError(f"{len(x)} x for {len(y)} y")
    good = np.isfinite(y) & np.isfinite(x)
    if log:
        good &= y > 0
    return x, np.where(good, y, np.nan)


def _widen(low: float, high: float, *, log: bool, exact: bool) -> tuple[float, float]:
    """A range with room around the data (`exact`: none), never of zero length."""
    if log:
        if high <= low * 1.01:
            return low / 2, high * 2
        margin = (high / low) ** 0.04
        return low / margin, high * margin
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-12):
        pad = abs(low) * 0.1 or 1.0
        return low - pad, high + pad
    pad = 0.0 if exact else 0.06 * (high - low)
    # A chart of amounts that start near zero starts at zero.
    bottom = 0.0 if not exact and 0 <= low < 0.25 * high else low - pad
    return bottom, high + pad


def linear_ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) in [low, high], at most about `most`."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten in [low, high]; within two decades also 2 and 5 times them."""
    bottom, top = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1,), (1, 2, 5)):
        ticks = [factor * 10.0**power for power in range(bottom, top + 1) for factor in factors]
        ticks = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
        if len(ticks) >= 3:
            return ticks[:: math.ceil(len(ticks) / 8)]
    return linear_ticks(low, high, 4)


def tick_names(ticks: Sequence[float]) -> list[str]:
    """Short labels that tell neighbouring ticks apart."""
    biggest = max(abs(tick) for tick in ticks)
    gaps = [b - a for a, b in zip(ticks, ticks[1:], strict=False)]
    smallest = min(gaps) if gaps else biggest or 1.0
    if biggest >= 1e6 or 0 < biggest < 1e-3 or (smallest < 1e-5 and biggest > 0):
        return [f"{tick:.3g}".replace("e+0", "e").replace("e-0", "e-") for tick in ticks]
    if len({round(gap / smallest, 6) for gap in gaps}) > 1:  # logarithmic
        return [f"{tick:.6g}" for tick in ticks]
    decimals = max(0, -math.floor(math.log10(smallest) + 1e-9))
    return [f"{tick:.{decimals}f}" for tick in ticks]


def running_mean(y: Float[np.ndarray, " n"], length: int) -> Float[np.ndarray, " n"]:
    """Mean of the last `length` values (fewer at the start), anew after every NaN."""
    result = np.full(len(y), np.nan)
    for start, stop in _pieces(np.isfinite(y)):
        total = np.concatenate([[0.0], np.cumsum(y[start:stop])])
        end = np.arange(1, stop - start + 1)
        begin = np.maximum(0, end - length)
        result[start:stop] = (total[end] - total[begin]) / (end - begin)
    return result


def _pieces(good: np.ndarray) -> list[tuple[int, int]]:
    """(start, stop) of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], good.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _line(x: np.ndarray, y: np.ndarray, good: np.ndarray, i: int, dash: str | None = None) -> str:
    dash = DASHES[i % 8] if dash is None else dash
    style = f'fill="none" stroke="var(--s{i % 8})" stroke-width="1.8" stroke-linejoin="round"' + (
        f' stroke-dasharray="{dash}"' if dash else ""
    )
    pieces = []
    for start, stop in _pieces(good):
        xs, ys = _thin(x[start:stop], y[start:stop])
        if len(xs) == 1:
            pieces.append(
                f'<circle cx="{xs[0]:.1f}" cy="{ys[0]:.1f}" r="2.2" fill="var(--s{i % 8})"/>'
            )
        else:
            points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(xs, ys, strict=True))
            pieces.append(f'<polyline points="{points}" {style}/>')
    return "".join(pieces)


def _thin(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of a long line the lowest and the highest point of each of MOST_POINTS/2 pieces."""
    if len(x) <= MOST_POINTS:
        return x, y
    edges = np.linspace(0, len(x), MOST_POINTS // 2 + 1).astype(int)
    kept = {0, len(x) - 1}
    for start, stop in zip(edges, edges[1:], strict=False):
        kept |= {start + int(np.argmin(y[start:stop])), start + int(np.argmax(y[start:stop]))}
    order = np.array(sorted(kept))
    return x[order], y[order]


def _points(x: np.ndarray, y: np.ndarray, good: np.ndarray, i: int) -> str:
    dots = "".join(
        f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.4"/>'
        for a, b in zip(x[good], y[good], strict=True)
    )
    return f'<g fill="var(--s{i % 8})" fill-opacity=".55">{dots}</g>'


def _key(i: int, kind: str) -> str:
    if kind == "points":
        mark = f'<circle cx="16" cy="6" r="4.5" fill="var(--s{i % 8})"/>'
    else:
        mark = (
            f'<line x1="0" x2="32" y1="6" y2="6" stroke="var(--s{i % 8})" stroke-width="3" '
            f'stroke-dasharray="{DASHES[i % 8]}"/>'
        )
    return f'<svg viewBox="0 0 32 12" aria-hidden="true">{mark}</svg>'


def bars(values: Mapping[str, float], *, unit: str = "", most: float | None = None) -> str:
    """Horizontal bars with their figures. `most` is the value of a full bar (default the largest).

    Values must not be negative.
    """
    top = most or max((value for value in values.values()), default=1.0) or 1.0
    rows = []
    for name, value in values.items():
        share = 100 * min(max(value / top, 0.0), 1.0)
        figure = f"{value:.4g}{unit}"
        rows.append(
            f'<span>{escape(name)}</span><span class="track"><span class="fill" '
            f'style="width:{share:.1f}%"></span></span><span>{escape(figure)}</span>'
        )
    return f'<div class="bars">{"".join(rows)}</div>'


# A colour scale of growing lightness, dark violet over green to yellow, readable without colour
# vision. Five stops, linear in between.
SCALE = np.array(
    [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], np.float64
)


def colours(shares: Float[np.ndarray, "*n"]) -> UInt8[np.ndarray, "*n 3"]:
    """Shares 0...1 in the colours of the scale; NaN is mid grey."""
    at = np.clip(np.nan_to_num(shares), 0, 1) * (len(SCALE) - 1)
    low = np.minimum(at.astype(int), len(SCALE) - 2)
    mixed = SCALE[low] + (at - low)[..., None] * (SCALE[low + 1] - SCALE[low])
    grey = np.isnan(np.asarray(shares, np.float64))[..., None]
    return np.where(grey, 128, np.rint(mixed)).astype(np.uint8)


def heat(
    rows: Mapping[str, Values],
    x: tuple[float, float],
    title: str = "",
    *,
    x_label: str = "",
    meaning: str = "",
) -> str:
    """Rows of shares over a common horizontal axis, as strips of colour.

    rows: {name: values 0...1 from left to right}, all of one length; NaN is grey. Of more than 500
      values neighbours are averaged. x: of the left and the right edge. meaning: of the colours.
    """
    values = np.array([np.asarray(row, np.float64) for row in rows.values()])
    values = _columns(values, 500)
    buffer = io.BytesIO()
    Image.fromarray(colours(values)).save(buffer, "PNG", optimize=True)
    picture = base64.b64encode(buffer.getvalue()).decode()
    row_height, names = 15, list(rows)
    left, right, top = 12 + 7 * max(len(name) for name in names), 24, 4
    bottom = top + row_height * len(names)
    parts = [
        f'<image x="{left}" y="{top}" width="{WIDTH - left - right}" height="{bottom - top}" '
        f'preserveAspectRatio="none" style="image-rendering:pixelated" '
        f'href="data:image/png;base64,{picture}"/>'
    ]
    for i, name in enumerate(names):
        y = top + (i + 0.5) * row_height + 4
        parts.append(f'<text x="{left - 6}" y="{y:.1f}" text-anchor="end">{escape(name)}</text>')
    low, high = _widen(x[0], x[1], log=False, exact=True)
    ticks = linear_ticks(low, high, 5)
    for tick, name in zip(ticks, tick_names(ticks), strict=True):
        at = left + (tick - low) / (high - low) * (WIDTH - left - right)
        parts.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{bottom}" y2="{bottom + 4}" '
            f'stroke="var(--soft)"/><text x="{at:.1f}" y="{bottom + 17}" text-anchor="middle">'
            f"{name}</text>"
        )
    heading = f"<h3>{escape(title)}</h3>" if title else ""
    words = "; ".join(part for part in (meaning, x_label and f"horizontal: {x_label}") if part)
    below = f"<figcaption>{escape(words)}</figcaption>" if words else ""
    return (
        f'<figure class="chart">{heading}<div class="scroll"><svg role="img" '
        f'aria-label="{escape(title)}" viewBox="0 0 {WIDTH} {bottom + 22}">{"".join(parts)}</svg>'
        f"</div>{below}</figure>"
    )


def _columns(values: np.ndarray, most: int) -> np.ndarray:
    """[R, T] → [R, at most `most`]: means of neighbours, without the NaN among them."""
    count = values.shape[1]
    if count <= most:
        return values
    edges = np.linspace(0, count, most + 1).astype(int)[:-1]
    known = np.isfinite(values)
    totals = np.add.reduceat(np.where(known, values, 0), edges, axis=1)
    counts = np.add.reduceat(known, edges, axis=1, dtype=int)
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)
