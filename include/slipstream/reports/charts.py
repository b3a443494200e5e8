"""Charts as inline SVG: no script, every label escaped, colours from the page's style, tooltips by the browser.

Each function returns Markup with a title for screen readers. Sizes are bounded, whatever is drawn; figures that are not
finite are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from slipstream.number_formats import percent
from slipstream.reports.canvas import (
    NARROW,
    WIDE,
    Plot,
    Point,
    Scale,
    bar,
    cut,
    label,
    legend,
    nothing,
    number,
    padded,
    rule,
    scale,
    svg,
    text,
    ticks,
)
from slipstream.spacing import thinned

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = [
    "MOST_BARS",
    "NARROW",
    "WIDE",
    "bars",
    "histogram_pair",
    "interval_bars",
    "lines",
    "scatter",
    "table_heat",
    "waterfall",
]

MOST_BARS = 30
MOST_POINTS = 2000
MOST_CLASSES = 12
ROW = 26
_FIGURE = 64
"""Pixels kept for the figure beside a bar."""


def bars(values: Mapping[str, float], *, title: str, width: int = WIDE) -> Markup:
    """Horizontal bars from zero, in the order given; negative values go left, in the second colour."""
    shown = [(name, value) for name, value in values.items() if math.isfinite(value)][:MOST_BARS]
    if not shown:
        return nothing(title)
    low, high = min(0.0, *(v for _, v in shown)), max(0.0, *(v for _, v in shown))
    left = _names_width([name for name, _ in shown], width)
    x = scale(low, high if high > low else low + 1, left + (_FIGURE if low < 0 else 0), width - _FIGURE)
    parts = [rule((x(0), 0), (x(0), len(shown) * ROW + 4), "axis")]
    for place, (name, value) in enumerate(shown):
        parts += _bar_row(place, name, (0.0, value), x, left)
    return svg(title, width, len(shown) * ROW + 8, parts)


def waterfall(start: float, steps: Mapping[str, float], *, title: str, width: int = NARROW) -> Markup:
    """How *steps* lead from *start* to their sum: each bar begins where the one before ended."""
    shown = [(name, value) for name, value in steps.items() if math.isfinite(value)][:MOST_BARS]
    if not shown:
        return nothing(title)
    ends = [start]
    for _, value in shown:
        ends.append(ends[-1] + value)
    left = _names_width([name for name, _ in shown], width)
    low, high = padded(min(ends), max(ends), 0)
    x = scale(low, high, left + _FIGURE, width - _FIGURE)
    parts = []
    for place, (name, value) in enumerate(shown):
        y = place * ROW + 4
        parts += _bar_row(place, name, (ends[place], ends[place + 1]), x, left, signed=value)
        if place + 1 < len(shown):
            parts.append(rule((x(ends[place + 1]), y + 18), (x(ends[place + 1]), y + ROW), "axis"))
    return svg(title, width, len(shown) * ROW + 8, parts)


def interval_bars(rows: Sequence[tuple[str, float, float, float]], *, title: str, line: float | None = None) -> Markup:
    """A point with its interval for each ``(name, value, low, high)``; *line* draws a reference."""
    shown = [row for row in rows if all(math.isfinite(v) for v in row[1:])][:MOST_BARS]
    if not shown:
        return nothing(title)
    low, high = padded(
        min(row[2] for row in shown) if line is None else min(line, *(row[2] for row in shown)),
        max(row[3] for row in shown) if line is None else max(line, *(row[3] for row in shown)),
    )
    left, foot = _names_width([row[0] for row in shown], WIDE), len(shown) * ROW + 4
    x = scale(low, high, left, WIDE - _FIGURE)
    parts = [rule((x(at), 0), (x(at), foot)) for at in ticks(low, high)]
    parts += [text(x(at), foot + 15, number(at), "middle") for at in ticks(low, high)]
    if line is not None:
        parts.append(rule((x(line), 0), (x(line), foot), "mark"))
    for place, (name, value, bottom, top) in enumerate(shown):
        y = place * ROW + 15
        hover = f"{name}: {number(value)} ({number(bottom)} to {number(top)})"
        parts.append(label(left - 12, y + 4, name, left - 16))
        parts.append(bar((x(bottom), y - 4), (max(x(top) - x(bottom), 1), 8), "--one-soft", hover))
        parts.append(f'<circle cx="{x(value):.1f}" cy="{y}" r="5" class="dot"/>')
        parts.append(text(WIDE, y + 4, number(value), "end", "ink"))
    return svg(title, WIDE, foot + 20, parts)


def lines(
    series: Mapping[str, Sequence[Point]], *, title: str, x_label: str = "", y_label: str = "", diagonal: bool = False
) -> Markup:
    """One line for each named series of points, at most four; *diagonal* draws the line of equality."""
    drawn = [(name, _thinned(points)) for name, points in list(series.items())[:4]]
    every = [point for _, points in drawn for point in points]
    if not every:
        return nothing(title)
    plot = Plot(every, x_label, y_label)
    parts = plot.axes()
    if diagonal:
        low, high = max(plot.low_x, plot.low_y), min(plot.high_x, plot.high_y)
        parts.append(rule((plot.x(low), plot.y(low)), (plot.x(high), plot.y(high)), "mark"))
    colours = ("--one", "--two", "--three", "--soft")
    for (_, points), colour in zip(drawn, colours, strict=False):
        path = " ".join(f"{plot.x(x):.1f},{plot.y(y):.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" class="series" stroke="var({colour})"/>')
    if len(drawn) > 1:
        entries = [(name, colour) for (name, _), colour in zip(drawn, colours, strict=False)]
        parts += legend(entries, NARROW - Plot.right)
    return svg(title, NARROW, plot.height, parts)


def scatter(points: Iterable[Point], *, title: str, x_label: str = "", y_label: str = "") -> Markup:
    """A dot for each point, thinned evenly to 2,000."""
    shown = _thinned(list(points))
    if not shown:
        return nothing(title)
    plot = Plot(shown, x_label, y_label)
    dots = [f'<circle cx="{plot.x(x):.1f}" cy="{plot.y(y):.1f}" r="2.6" class="cloud"/>' for x, y in shown]
    return svg(title, NARROW, plot.height, [*plot.axes(), *dots])


def histogram_pair(
    labels: Sequence[str], reference: Sequence[float], current: Sequence[float], *, title: str
) -> Markup:
    """Two distributions side by side, as shares of their own total: the reference and the window."""
    count = min(len(labels), MOST_BARS)
    if not count:
        return nothing(title)
    first, second = _shares(reference)[:count], _shares(current)[:count]
    base, left, top = 150.0, 40.0, max([*first, *second, 1e-9])
    y, step = scale(0, top, base, 24), (NARROW - 46.0) / count
    parts = []
    for at in ticks(0, top, 4):
        parts += [rule((left, y(at)), (NARROW - 6, y(at))), text(left - 6, y(at) + 4, percent(at), "end")]
    for place in range(count):
        x = left + place * step
        for offset, share, colour, who in (
            (0.1, first[place], "--one", "reference"),
            (0.51, second[place], "--two", "window"),
        ):
            hover = f"{labels[place]}: {share:.1%} of the {who}"
            parts.append(bar((x + offset * step, y(share)), (step * 0.39, base - y(share)), colour, hover))
    parts.append(rule((left, base), (NARROW - 6, base), "axis"))
    every = math.ceil(count * 7 * min(max(map(len, labels[:count])), 12) / (NARROW - 46))
    parts += [
        text(left + (place + 0.5) * step, base + 17, cut(labels[place], 12 * 6.6), "middle")
        for place in range(0, count, max(every, 1))
    ]
    parts += legend([("reference", "--one"), ("window", "--two")], NARROW - 6)
    return svg(title, NARROW, base + 26, parts)


def table_heat(names: Sequence[str], counts: Sequence[Sequence[float]], *, title: str) -> Markup:
    """A square table of counts, darker where more; rows are truth, columns are answers. At most 12 classes."""
    size = min(len(names), MOST_CLASSES)
    if not size:
        return nothing(title)
    cell, left, top = 84, 130, 30
    most = max(max(row[:size]) for row in counts[:size]) or 1
    parts = []
    for i in range(size):
        parts.append(label(left - 10, top + i * 42 + 24, f"is {names[i]}", left - 14))
        parts.append(text(left + i * cell + cell / 2 - 2, 18, cut(f"said {names[i]}", cell), "middle"))
        for j in range(size):
            (x, y), share = (left + j * cell, top + i * 42), counts[i][j] / most
            kind = "hit" if i == j else "miss"
            parts.append(
                f'<rect x="{x}" y="{y}" width="{cell - 4}" height="38" rx="6" class="{kind}" '
                f'fill-opacity="{0.08 + 0.62 * share:.2f}"/>'
            )
            parts.append(text(x + cell / 2 - 2, y + 24, f"{counts[i][j]:,.0f}", "middle", "ink"))
    return svg(title, left + size * cell + 4, top + size * 42 + 2, parts)


def _bar_row(place: int, name: str, span: Point, x: Scale, left: float, signed: float | None = None) -> list[str]:
    """A named bar over *span* with its figure: beyond its end, on the side that it points to."""
    value = span[1] if signed is None else signed
    start, end = sorted((x(span[0]), x(span[1])))
    y = place * ROW + 4
    figure = number(value) if signed is None else f"{value:+.3g}".replace("-", "\N{MINUS SIGN}")
    beside = (end + 7, "start") if value >= 0 else (start - 7, "end")
    return [
        label(left - 12, y + 13, name, left - 16),
        bar((start, y), (max(end - start, 1.5), 18), "--one" if value >= 0 else "--two", f"{name}: {figure}"),
        text(beside[0], y + 13, figure, beside[1]),
    ]


def _names_width(names: Sequence[str], width: int) -> float:
    """Pixels for the names: as many as they need, at most two fifths of the width."""
    return min(max(map(len, map(str, names))) * 7.0 + 22, width * 0.4) if names else 20.0


def _shares(values: Sequence[float]) -> list[float]:
    total = sum(values)
    return [value / total if total else 0.0 for value in values]


def _thinned(points: Sequence[Point]) -> list[Point]:
    shown = [point for point in points if math.isfinite(point[0]) and math.isfinite(point[1])]
    return thinned(shown, MOST_POINTS)
