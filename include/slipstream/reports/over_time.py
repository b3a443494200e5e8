"""Measurements over time as inline SVG: a bar for each window's drift, lines for its quality and the estimate of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from slipstream.number_formats import percent
from slipstream.reports.canvas import (
    WIDE,
    Scale,
    bar,
    cut,
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

if TYPE_CHECKING:
    from markupsafe import Markup

_LEFT, _TOP, _BASE, _HEIGHT = 58.0, 26.0, 186.0, 214.0
MOST = 20


def drift_bars(points: Sequence[Mapping[str, Any]], *, limit: float, title: str) -> Markup:
    """The share of the watched columns that drifted in each window, and from where on that is too much."""
    shown = points[-MOST:]
    if not shown:
        return nothing(title)
    top = max(limit * 1.15, *(point["share"] for point in shown))
    y = scale(0, top, _BASE, _TOP)
    parts = [*_grid(0, top, y, shares=True), *_windows(shown)]
    for place, point in enumerate(shown):
        x, step = _place(place, len(shown))
        colour = "--two" if point["drifted"] else "--one"
        hover = f"{point['named']}, version {point['version']}: {point['share']:.1%} of the columns drifted"
        height = max(_BASE - y(point["share"]), 1.5)
        width = min(step * 0.6, 46)
        parts.append(bar((x - width / 2, _BASE - height), (width, height), colour, hover))
    parts.append(rule((_LEFT, y(limit)), (WIDE - 6, y(limit)), "mark"))
    parts += legend([("counts as drift", "--two"), ("quiet", "--one")], WIDE - 6)
    parts.append(text(0, 13, f"drifted columns; dashed: the limit, {limit:.0%}".replace("%", " %")))
    return svg(title, WIDE, _HEIGHT, parts)


def quality_lines(points: Sequence[Mapping[str, Any]], *, metric: str, at_training: float, title: str) -> Markup:
    """The deciding metric of each window with its interval, what was estimated without truth, and training's value."""
    shown = points[-MOST:]
    values = [point[name] for point in shown for name in ("quality", "low", "high", "estimated")]
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return nothing(title)
    low, high = padded(min(*known, at_training), max(*known, at_training), 0.08)
    y = scale(low, high, _BASE, _TOP)
    parts = [*_grid(low, high, y), *_windows(shown), rule((_LEFT, y(at_training)), (WIDE - 6, y(at_training)), "mark")]
    for place, point in enumerate(shown):
        x, _ = _place(place, len(shown))
        if point["low"] is not None and point["high"] is not None:
            hover = f"{point['named']}: {number(point['low'])} to {number(point['high'])}"
            parts.append(bar((x - 4, y(point["high"])), (8, y(point["low"]) - y(point["high"])), "--one-soft", hover))
    parts += _line(shown, "estimated", y, "--two") + _line(shown, "quality", y, "--one")
    parts += legend([("with truth", "--one"), ("estimated", "--two")], WIDE - 6)
    parts.append(text(0, 13, cut(f"{metric}; dashed: at training, {number(at_training)}", 520)))
    return svg(title, WIDE, _HEIGHT, parts)


def _line(points: Sequence[Mapping[str, Any]], name: str, y: Scale, colour: str) -> list[str]:
    """A line through the known values, with a dot at each."""
    spots = [
        (_place(place, len(points))[0], y(point[name]), point)
        for place, point in enumerate(points)
        if point[name] is not None and math.isfinite(point[name])
    ]
    path = " ".join(f"{x:.1f},{at:.1f}" for x, at, _ in spots)
    parts = [f'<polyline points="{path}" class="series" stroke="var({colour})"/>'] if len(spots) > 1 else []
    for x, at, point in spots:
        hover = f"{point['named']}, version {point['version']}: {number(point[name])}"
        parts.append(bar((x - 4, at - 4), (8, 8), colour, hover))
    return parts


def _grid(low: float, high: float, y: Scale, *, shares: bool = False) -> list[str]:
    parts = []
    for at in ticks(low, high, 5):
        caption = percent(at) if shares else number(at)
        parts += [rule((_LEFT, y(at)), (WIDE - 6, y(at))), text(_LEFT - 8, y(at) + 4, caption, "end")]
    parts.append(rule((_LEFT, _BASE), (WIDE - 6, _BASE), "axis"))
    return parts


def _windows(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """Below each window when it ended, or how many rows it has, and where the champion changed."""
    parts, count = [], len(points)
    _, step = _place(0, count)
    every = max(1, math.ceil(78 / step))
    for place, point in enumerate(points):
        x, _ = _place(place, count)
        if (count - 1 - place) % every == 0:
            caption = point["ends"][:10] or f"{point['rows']:,} rows"
            parts.append(text(x, _BASE + 18, cut(caption, 90), "middle"))
        if place and points[place - 1]["version"] != point["version"]:
            edge = x - step / 2
            parts.append(rule((edge, _TOP), (edge, _BASE), "mark"))
            parts.append(text(edge + 4, _TOP + 10, f"version {point['version']}"))
    return parts


def _place(place: int, count: int) -> tuple[float, float]:
    """The middle of a window, and how wide it is; few windows keep to the right end of a wide chart no longer than
    they need."""
    step = (WIDE - 6 - _LEFT) / max(count, 6)
    return _LEFT + (place + 0.5) * step, step
