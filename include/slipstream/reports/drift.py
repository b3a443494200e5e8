"""The page about a monitored window: the verdict, the signals, how it came to this, and every column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slipstream.reports import charts, over_time
from slipstream.reports.canvas import NARROW
from slipstream.reports.page import render

SHOWN = 12
"""So many columns are drawn, besides the answers and the target."""
CONTRIBUTIONS = 12
"""So many inputs are drawn with their contributions."""
_WORDS = {
    "inputs": "Inputs",
    "prediction": "Answers",
    "target": "Target",
    "missing": "Missing values",
    "unknown": "Unknown words",
    "explanations": "Explanations",
}


def page(model: str, details: Mapping[str, Any]) -> bytes:
    """The HTML report of the JSON details that the stage *monitor* keeps."""
    columns = sorted(
        details["columns"], key=lambda c: (not c["drifted"], -c["statistic"] / max(c["threshold"], c["noise"], 1e-12))
    )
    watched = [c for c in columns if c["role"] == "input" and c["column"] in details["watched"]]
    shown = watched[:SHOWN] + [c for c in columns if c["role"] != "input"]
    return render(
        "drift.html",
        title="Drift",
        model=model,
        found=details,
        tone="bad" if details["drifted"] or details["lost"] else "good",
        signals=[_signal(word, details["signals"][word], details["counted"]) for word in _WORDS],
        columns=[c | {"name": named(c), "watched": c["column"] in details["watched"]} for c in columns],
        plots=[(named(c), c["effect"], _state(c), _plot(c)) for c in shown],
        drifted=sum(c["drifted"] for c in watched),
        measured=len(details["history"]),
        history=_history(details),
        score=_score(details),
        contributions=_contributions(details["explanations"]),
    )


def named(column: Mapping[str, Any]) -> str:
    """The column as people read it."""
    return "the model's answer" if column["role"] == "answer" else str(column["column"])


def _state(column: Mapping[str, Any]) -> str:
    return "drifted" if column["drifted"] else "seasonal" if column["seasonal"] else "stable"


def _signal(word: str, signal: Mapping[str, Any], counted: list[str]) -> dict[str, Any]:
    """A row of the table of signals."""
    state = "not measured" if signal["value"] is None else "fired" if signal["fired"] else "quiet"
    tone = "bad" if signal["fired"] and word in counted else "warn" if signal["fired"] else ""
    return {**signal, "word": _WORDS[word], "counts": word in counted, "state": state, "tone": tone}


def _plot(column: Mapping[str, Any]) -> Any:
    title = f"Reference and window: {named(column)}"
    return charts.histogram_pair(column["cells"], column["reference"], column["window"], title=title)


def _history(details: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The charts over all measurements so far."""
    points, before = details["history"], details["quality"]["reference"]
    drawn = [("Drift", over_time.drift_bars(points, limit=details["share"], title="Drift over time"))]
    known = any(point["quality"] is not None or point["estimated"] is not None for point in points)
    if known and before and before["value"] is not None:
        metric = details["quality"]["metric"]
        chart = over_time.quality_lines(points, metric=metric, at_training=before["value"], title="Quality over time")
        drawn.append(("Quality", chart))
    return drawn


def _score(details: Mapping[str, Any]) -> Any:
    """Bars of the deciding metric: at training, with truth, and estimated."""
    quality, estimate = details["quality"], details["estimate"]
    if not quality["reference"] or (quality["now"] is None and estimate["value"] is None):
        return None
    bars = [_interval("at training", quality["reference"])]
    if quality["now"] is not None:
        bars.append(_interval("in this window", quality["now"]))
    if estimate["value"] is not None:
        bars.append(("estimated without truth", estimate["value"], estimate["value"], estimate["value"]))
    return charts.interval_bars(bars, title=quality["metric"], line=quality["reference"]["value"])


def _interval(name: str, side: Mapping[str, Any]) -> tuple[str, float, float, float]:
    low, high = (side["value"] if side[end] is None else side[end] for end in ("low", "high"))
    return name, side["value"], low, high


def _contributions(shift: Mapping[str, Any]) -> Any:
    """Each input's share of the contributions, at training and now, largest change first; None if not measured."""
    if shift["moved"] is None:
        return None
    before, now = shift["reference"], shift["window"]
    names = sorted(before, key=lambda name: (-abs(now[name] - before[name]), name))[:CONTRIBUTIONS]
    pairs = [[side[name] for name in names] for side in (before, now)]
    changes = {name: (now[name] - before[name]) * 100 for name in names}
    return {
        "pair": charts.histogram_pair(names, *pairs, title="Share of the contributions"),
        "change": charts.bars(changes, title="Change of the share, in points", width=NARROW),
    }
