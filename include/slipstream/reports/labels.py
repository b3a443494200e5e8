"""The page about labels: how much of the truth has come, how good the answers were, and what does not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import escape

from slipstream.reports.canvas import WIDE, bar, legend, nothing, number, padded, rule, scale, svg, text, ticks
from slipstream.reports.page import render

if TYPE_CHECKING:
    from markupsafe import Markup

DRAWN = 60
"""So many windows are drawn, the newest."""
TABLED = 200
"""So many are in the table."""
COLOURS = ("--one", "--two", "--three", "--soft")
_LEFT, _RIGHT = 58.0, WIDE - 12.0
_TOP, _MIDDLE, _BASE = 30.0, 190.0, 292.0
_GAP = 26.0


def page(model: str, joined: Mapping[str, Any]) -> bytes:
    """The HTML report of the JSON result that the stage *join* keeps."""
    windows = joined["windows"]
    rows = [one | {"name": _named(one["start"]), "again": one["start"] in joined["reopened"]} for one in windows]
    return render(
        "labels.html",
        title="Labels",
        model=model,
        found=joined,
        tone="warn" if joined["conflicts"] or joined["unknown"] else "good",
        windows=rows[:TABLED],
        labelled=sum(one["labelled"] for one in windows),
        matured=sum(one["matured"] for one in windows),
        chart=chart(rows[:DRAWN][::-1], joined["metric"]),
        drawn=min(len(windows), DRAWN),
    )


def chart(windows: Sequence[Mapping[str, Any]], metric: str) -> Markup:
    """The metric with its intervals above, predictions and the labelled part of them below; oldest window first."""
    if not windows:
        return nothing(metric)
    starts = list(dict.fromkeys(one["start"] for one in windows))
    versions = sorted({one["version"] for one in windows})
    step = (_RIGHT - _LEFT) / len(starts)
    places = {start: _LEFT + (place + 0.5) * step for place, start in enumerate(starts)}
    colours = {version: COLOURS[place % len(COLOURS)] for place, version in enumerate(versions)}
    parts = [*_metric(windows, metric, places, colours), *_counts(windows, places, colours, step)]
    every = max(1, -(-len(starts) * 78 // int(_RIGHT - _LEFT)))
    names = {one["start"]: one["name"] for one in windows}
    parts += [text(min(places[start], _RIGHT - 34), _BASE + 18, names[start], "middle") for start in starts[::every]]
    parts += legend([(f"version {version}", colours[version]) for version in versions[-4:]], _RIGHT)
    return svg(f"{metric} and labels over time", WIDE, _BASE + 26, parts)


def _metric(
    windows: Sequence[Mapping[str, Any]], metric: str, places: Mapping[str, float], colours: Mapping[int, str]
) -> list[str]:
    known = [one for one in windows if one["value"] is not None]
    parts = [text(0, 13, metric)]
    if not known:
        middle = (_TOP + _MIDDLE) / 2
        return [*parts, text((_LEFT + _RIGHT) / 2, middle, "no labels yet, or too few to tell", "middle")]
    ends = [one[end] for one in known for end in ("value", "low", "high") if one[end] is not None]
    low, high = padded(min(ends), max(ends), 0.08)
    y = scale(low, high, _MIDDLE, _TOP)
    for at in ticks(low, high, 5):
        parts += [rule((_LEFT, y(at)), (_RIGHT, y(at))), text(_LEFT - 8, y(at) + 4, number(at), "end")]
    for version, colour in colours.items():
        mine = [one for one in known if one["version"] == version]
        path = " ".join(f"{places[one['start']]:.1f},{y(one['value']):.1f}" for one in mine)
        parts.append(f'<polyline points="{path}" class="series" stroke="var({colour})"/>')
        parts += [mark for one in mine for mark in _point(one, places[one["start"]], y, colour)]
    return parts


def _point(one: Mapping[str, Any], x: float, y: Any, colour: str) -> list[str]:
    """A dot on its interval."""
    bottom, top = (one["value"] if one[end] is None else one[end] for end in ("low", "high"))
    hover = (
        f"{one['name']}, version {one['version']}: {number(one['value'])} ({number(bottom)} to {number(top)}) "
        f"on {one['labelled']:,} of {one['matured']:,}"
    )
    span = (
        f'<line x1="{x:.1f}" y1="{y(bottom):.1f}" x2="{x:.1f}" y2="{y(top):.1f}" stroke="var({colour})" '
        'stroke-width="7" stroke-opacity=".25" stroke-linecap="round"/>'
    )
    place = f'cx="{x:.1f}" cy="{y(one["value"]):.1f}"'
    return [span, f'<circle {place} r="4" fill="var({colour})"><title>{escape(hover)}</title></circle>']


def _counts(
    windows: Sequence[Mapping[str, Any]], places: Mapping[str, float], colours: Mapping[int, str], step: float
) -> list[str]:
    """A bar for each window and version: all its predictions pale, those with a label full."""
    top = max(one["predictions"] for one in windows)
    y = scale(0, top or 1, _BASE, _MIDDLE + _GAP + 14)
    parts = [text(0, _MIDDLE + _GAP, "predictions, and those with a label")]
    for at in ticks(0, top or 1, 3):
        parts += [rule((_LEFT, y(at)), (_RIGHT, y(at))), text(_LEFT - 8, y(at) + 4, number(at), "end")]
    width = min(step * 0.7, 40.0) / len(colours)
    for one in windows:
        place = list(colours).index(one["version"])
        x = places[one["start"]] + (place - len(colours) / 2) * width
        hover = (
            f"{one['name']}, version {one['version']}: {one['labelled']:,} labelled of {one['matured']:,} matured, "
            f"{one['predictions']:,} predictions"
        )
        parts.append(bar((x, y(one["predictions"])), (width, _BASE - y(one["predictions"])), "--line", hover))
        full = y(one["labelled"])
        parts.append(bar((x, full), (width, _BASE - full), colours[one["version"]], hover))
    return [*parts, rule((_LEFT, _BASE), (_RIGHT, _BASE), "axis")]


def _named(start: str) -> str:
    """The window by its start: the day, and the hour where it does not start a day."""
    day, _, clock = start.partition("T")
    return day if clock.startswith("00:00:00") else f"{day} {clock[:5]}"
