"""Charts as inline SVG: no script, every label escaped, colours from the page's style.

Each function returns Markup with a title for screen readers; sizes are in CSS pixels and bounded, whatever is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup, escape

WIDE, NARROW = 640, 460
MOST_BARS = 30
MOST_POINTS = 2000
_LABEL = 30
Point = tuple[float, float]


def bars(values: Mapping[str, float], *, title: str, width: int = WIDE) -> Markup:
    """Horizontal bars from zero, in the order given; negative values go left, in the second colour."""
    shown = list(values.items())[:MOST_BARS]
    if not shown:
        return _nothing(title)
    low, high = min(0.0, *(v for _, v in shown)), max(0.0, *(v for _, v in shown))
    left, right, row = min(190, width * 0.36), 80, 26
    x = _scale(low, high if high > low else low + 1, left, width - right)
    parts = []
    for number, (name, value) in enumerate(shown):
        top = number * row + 4
        start, end = sorted((x(0), x(value)))
        fill = "--one" if value >= 0 else "--two"
        parts.append(_text(left - 10, top + 14, _cut(name), "end", ink=True))
        parts.append(f'<rect x="{start:.1f}" y="{top}" width="{max(end - start, 1):.1f}" height="18" rx="3" fill="var({fill})"/>')
        parts.append(_text(end + 6, top + 14, _number(value), "start"))
    return _svg(title, width, len(shown) * row + 8, parts)


def interval_bars(
    rows: Sequence[tuple[str, float, float, float]], *, title: str, line: float | None = None
) -> Markup:
    """A point with its interval for each ``(name, value, low, high)``; *line* draws a reference."""
    shown = [row for row in rows if all(math.isfinite(v) for v in row[1:])][:MOST_BARS]
    if not shown:
        return _nothing(title)
    ends = [v for row in shown for v in row[1:]] + ([line] if line is not None else [])
    low, high = _padded(min(ends), max(ends))
    left, right, row_height = 190, 80, 26
    x = _scale(low, high, left, WIDE - right)
    parts = []
    if line is not None:
        parts.append(_rule(x(line), 0, x(line), len(shown) * row_height + 4, dashed=True))
    for number, (name, value, bottom, top) in enumerate(shown):
        y = number * row_height + 15
        parts.append(_text(left - 10, y + 4, _cut(name), "end", ink=True))
        parts.append(f'<line x1="{x(bottom):.1f}" y1="{y}" x2="{x(top):.1f}" y2="{y}" stroke="var(--one)" stroke-width="2"/>')
        parts.append(f'<circle cx="{x(value):.1f}" cy="{y}" r="4.5" fill="var(--one)"/>')
        parts.append(_text(WIDE - right + 12, y + 4, _number(value), "start"))
    return _svg(title, WIDE, len(shown) * row_height + 8, parts)


def lines(
    series: Mapping[str, Sequence[Point]], *, title: str, x_label: str = "", y_label: str = "", diagonal: bool = False
) -> Markup:
    """One line for each named series of points; *diagonal* draws the line of equality."""
    points = [point for line in series.values() for point in line]
    if not points:
        return _nothing(title)
    plot = _Plot(points, x_label, y_label)
    parts = plot.axes()
    if diagonal:
        parts.append(_rule(plot.x(plot.low_x), plot.y(plot.low_x), plot.x(plot.high_x), plot.y(plot.high_x), dashed=True))
    for number, (name, line) in enumerate(list(series.items())[:4]):
        colour = ("--one", "--two", "--good", "--soft")[number]
        path = " ".join(f"{plot.x(px):.1f},{plot.y(py):.1f}" for px, py in _thinned(line))
        parts.append(f'<polyline points="{path}" fill="none" stroke="var({colour})" stroke-width="2"/>')
        parts.append(f'<rect x="{70 + number * 110}" y="4" width="10" height="10" rx="2" fill="var({colour})"/>')
        parts.append(_text(84 + number * 110, 13, _cut(name, 14), "start"))
    return _svg(title, NARROW, plot.height, parts)


def scatter(points: Iterable[Point], *, title: str, x_label: str = "", y_label: str = "") -> Markup:
    """A dot for each point, thinned evenly to 2,000."""
    kept = _thinned([point for point in points if all(math.isfinite(v) for v in point)])
    if not kept:
        return _nothing(title)
    plot = _Plot(kept, x_label, y_label)
    dots = [f'<circle cx="{plot.x(px):.1f}" cy="{plot.y(py):.1f}" r="2.5" fill="var(--one)" fill-opacity=".45"/>' for px, py in kept]
    return _svg(title, NARROW, plot.height, [*plot.axes(), *dots])


def histogram_pair(
    labels: Sequence[str], reference: Sequence[float], current: Sequence[float], *, title: str
) -> Markup:
    """Two distributions side by side, as shares of their own total: the reference and the window."""
    count = min(len(labels), MOST_BARS)
    if not count:
        return _nothing(title)
    first, second = _shares(reference[:count]), _shares(current[:count])
    height, bottom, left = 190, 46, 44
    top = max([*first, *second, 1e-9])
    y = _scale(0, top, height - bottom, 22)
    step = (NARROW - left - 10) / count
    parts = [_rule(left, height - bottom, NARROW - 10, height - bottom), _text(left - 6, 30, f"{top:.0%}", "end")]
    for number in range(count):
        at = left + number * step
        for offset, value, colour in ((0.1, first[number], "--one"), (0.5, second[number], "--two")):
            parts.append(
                f'<rect x="{at + offset * step:.1f}" y="{y(value):.1f}" width="{step * 0.38:.1f}" '
                f'height="{max(height - bottom - y(value), 0):.1f}" fill="var({colour})"/>'
            )
        if count <= 12 or number % math.ceil(count / 12) == 0:
            parts.append(_text(at + step / 2, height - bottom + 16, _cut(labels[number], 10), "middle"))
    for number, (name, colour) in enumerate((("reference", "--one"), ("window", "--two"))):
        parts.append(f'<rect x="{left + number * 100}" y="4" width="10" height="10" rx="2" fill="var({colour})"/>')
        parts.append(_text(left + 14 + number * 100, 13, name, "start"))
    return _svg(title, NARROW, height, parts)


def table_heat(names: Sequence[str], counts: Sequence[Sequence[float]], *, title: str) -> Markup:
    """A square table of counts, darker where more; rows are truth, columns are predictions."""
    size = min(len(names), 12)
    if not size:
        return _nothing(title)
    cell, left, top = 84, 130, 34
    most = max(max(row[:size]) for row in counts[:size]) or 1
    parts = []
    for i in range(size):
        parts.append(_text(left - 8, top + i * 40 + 25, _cut(f"is {names[i]}", 18), "end", ink=True))
        parts.append(_text(left + i * cell + cell / 2, 22, _cut(f"said {names[i]}", 12), "middle"))
        for j in range(size):
            share = counts[i][j] / most
            x, y = left + j * cell, top + i * 40
            parts.append(
                f'<rect x="{x}" y="{y}" width="{cell - 4}" height="36" rx="4" fill="var(--one)" fill-opacity="{0.08 + 0.6 * share:.2f}"/>'
            )
            parts.append(_text(x + cell / 2 - 2, y + 23, f"{counts[i][j]:,.0f}", "middle", ink=True))
    return _svg(title, left + size * cell + 8, top + size * 40 + 4, parts)


class _Plot:
    """Axes around points: scales, ticks and labels."""

    height = 280

    def __init__(self, points: Sequence[Point], x_label: str, y_label: str) -> None:
        self.low_x, self.high_x = _padded(min(p[0] for p in points), max(p[0] for p in points), 0)
        self.low_y, self.high_y = _padded(min(p[1] for p in points), max(p[1] for p in points))
        self.x = _scale(self.low_x, self.high_x, 60, NARROW - 16)
        self.y = _scale(self.low_y, self.high_y, self.height - 44, 24)
        self.x_label, self.y_label = x_label, y_label

    def axes(self) -> list[str]:
        parts = []
        for tick in range(5):
            at_y = self.low_y + (self.high_y - self.low_y) * tick / 4
            at_x = self.low_x + (self.high_x - self.low_x) * tick / 4
            parts.append(_rule(60, self.y(at_y), NARROW - 16, self.y(at_y)))
            parts.append(_text(54, self.y(at_y) + 4, _number(at_y), "end"))
            parts.append(_text(self.x(at_x), self.height - 26, _number(at_x), "middle"))
        parts.append(_text(NARROW / 2, self.height - 8, _cut(self.x_label, 60), "middle"))
        parts.append(_text(4, 13, _cut(self.y_label, 9), "start"))
        return parts


def _scale(low: float, high: float, start: float, end: float):  # type: ignore[no-untyped-def]
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def _padded(low: float, high: float, share: float = 0.05) -> tuple[float, float]:
    span = (high - low) or max(abs(high), 1.0) * 0.1
    return low - span * share, high + span * share


def _shares(values: Sequence[float]) -> list[float]:
    total = sum(values)
    return [value / total if total else 0.0 for value in values]


def _thinned(points: Sequence[Point]) -> list[Point]:
    step = max(1, math.ceil(len(points) / MOST_POINTS))
    return list(points[::step])


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _cut(name: object, most: int = _LABEL) -> str:
    text = str(name)
    return text if len(text) <= most else text[: most - 1] + "…"


def _text(x: float, y: float, text: str, anchor: str, *, ink: bool = False) -> str:
    style = ' class="ink"' if ink else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(text)}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float, *, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="4 4"' if dashed else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="var(--line)"{dash}/>'


def _svg(title: str, width: float, height: float, parts: Sequence[str]) -> Markup:
    head = f'<svg role="img" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}"><title>{escape(title)}</title>'
    return Markup(head + "".join(parts) + "</svg>")  # noqa: S704 - every text in it went through escape


def _nothing(title: str) -> Markup:
    return Markup('<p class="soft">{}: nothing to show.</p>').format(title)
