"""What charts are drawn with: scales, round ticks, and SVG marks whose every text is escaped."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup, escape

Point = tuple[float, float]
Scale = Callable[[float], float]

WIDE, NARROW = 980, 460
_CHARACTER = 6.6
"""Mean width of a character, in pixels; labels are cut to what fits."""
_TOOLTIP = 300
"""Characters of a tooltip."""


def scale(low: float, high: float, start: float, end: float) -> Scale:
    """The place, in pixels, of a value between *low* (at *start*) and *high* (at *end*)."""
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from *low* to *high*, at most *most* and at least two where the span allows."""
    span = high - low
    if not span > 0 or not math.isfinite(span):
        return [low]
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10, 20) if span / (power * factor) < most)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def padded(low: float, high: float, share: float = 0.04) -> tuple[float, float]:
    """The span with room at both ends; never empty."""
    span = (high - low) or max(abs(high), 1.0) * 0.1
    return low - span * share, high + span * share


def number(value: float) -> str:
    """A figure as people read it: three significant digits, no exponent where separators or a unit of size will do."""
    size = abs(value)
    if size >= 1e15 or 0 < size < 1e-4:
        return f"{value:.1e}"
    for unit, word in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if size >= unit:
            return f"{value / unit:.3g}{word}"
    return f"{value:,.0f}" if size >= 999.5 else f"{float(f'{value:.3g}'):.10g}"


def cut(name: object, pixels: float) -> str:
    """The name, or as much of it as fits in so many pixels."""
    text, most = " ".join(str(name).split()), max(int(pixels / _CHARACTER), 3)
    return text if len(text) <= most else text[: most - 1] + "…"


def text(x: float, y: float, words: str, anchor: str = "start", kind: str = "") -> str:
    """Words; *kind* is ``ink`` for what is read first."""
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(words)}</text>'


def label(x: float, y: float, name: object, pixels: float, anchor: str = "end") -> str:
    """A name cut to fit, with all of it as the tooltip."""
    whole, shown = str(name), cut(name, pixels)
    hover = "" if whole == shown else f"<title>{escape(whole[:_TOOLTIP])}</title>"
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="ink">{escape(shown)}{hover}</text>'


def rule(start: Point, end: Point, kind: str = "grid") -> str:
    """A line: ``grid``, ``axis`` or ``mark`` (dashed)."""
    (x1, y1), (x2, y2) = start, end
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def bar(start: Point, size: Point, colour: str, hover: str = "") -> str:
    """A rectangle from *start* of ``(width, height)`` *size*, with a tooltip."""
    (x, y), (width, height) = start, size
    inside = f"<title>{escape(hover[:_TOOLTIP])}</title>" if hover else ""
    width, height = max(width, 0.0), max(height, 0.0)
    radius = min(3.0, width / 2, height / 2)
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius:.1f}" '
        f'fill="var({colour})">{inside}</rect>'
    )


def legend(names: Sequence[tuple[str, str]], right: float) -> list[str]:
    """``(name, colour)`` of each series, set from the right end of the first line."""
    parts: list[str] = []
    for name, colour in reversed(names):
        shown = cut(name, 130)
        right -= len(shown) * _CHARACTER
        parts += [text(right, 13, shown), bar((right - 15, 4), (10, 10), colour)]
        right -= 30
    return parts


def svg(title: str, width: float, height: float, parts: Sequence[str]) -> Markup:
    """The parts as one picture with a title for screen readers."""
    title = title[:_TOOLTIP]
    head = (
        f'<svg role="img" aria-label="{escape(title)}" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}">'
        f"<title>{escape(title)}</title>"
    )
    return Markup(head + "".join(parts) + "</svg>")  # noqa: S704 - every text in it went through escape


def nothing(title: str) -> Markup:
    """What stands where a chart has nothing to show."""
    return Markup('<p class="soft">{}: nothing to show.</p>').format(title)


class Plot:
    """Two axes with round ticks around some points."""

    height = 270
    right, top, bottom = 12, 30, 46

    def __init__(self, points: Sequence[Point], x_label: str, y_label: str) -> None:
        self.low_x, self.high_x = padded(min(p[0] for p in points), max(p[0] for p in points), 0.02)
        self.low_y, self.high_y = padded(min(p[1] for p in points), max(p[1] for p in points))
        # As wide as the longest figure needs.
        self.left = 18 + _CHARACTER * max(len(number(at)) for at in ticks(self.low_y, self.high_y))
        self.x = scale(self.low_x, self.high_x, self.left, NARROW - self.right)
        self.y = scale(self.low_y, self.high_y, self.height - self.bottom, self.top)
        self.x_label, self.y_label = x_label, y_label

    def axes(self) -> list[str]:
        """Grid, ticks and labels; zero is drawn stronger."""
        base, end = self.height - self.bottom, NARROW - self.right
        parts = []
        for at in ticks(self.low_y, self.high_y):
            y = self.y(at)
            parts += [rule((self.left, y), (end, y), "axis" if at == 0 else "grid")]
            parts += [text(self.left - 8, y + 4, number(at), "end")]
        parts.append(rule((self.left, base), (end, base), "axis"))
        for at in ticks(self.low_x, self.high_x):
            parts += [rule((self.x(at), base), (self.x(at), base + 4), "axis")]
            parts += [text(self.x(at), base + 18, number(at), "middle")]
        middle = (self.left + end) / 2
        parts.append(text(middle, self.height - 8, cut(self.x_label, end - self.left), "middle"))
        parts.append(text(0, 13, cut(self.y_label, 220)))
        return parts
