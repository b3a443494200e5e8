"""The page about a monitored window: the verdict, each column's figures, and the columns that moved most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slipstream.reports import charts
from slipstream.reports.page import render

SHOWN = 6
"""So many columns are drawn, besides the answers and the target."""


def page(model: str, found: Mapping[str, Any]) -> bytes:
    """The HTML report of the JSON result that the stage *monitor* keeps."""
    columns = sorted(
        found["columns"], key=lambda c: (not c["drifted"], -c["statistic"] / max(c["threshold"], c["noise"]))
    )
    watched = [c for c in columns if c["role"] == "input" and c["column"] in found["watched"]]
    shown = [c for c in columns if c["role"] != "input"] + watched[:SHOWN]
    quality = found["quality"]
    return render(
        "drift.html",
        title="Drift",
        model=model,
        found=found,
        tone="bad" if found["drifted"] or (quality and quality["lost"]) else "good",
        columns=[c | {"name": named(c), "watched": c["column"] in found["watched"]} for c in columns],
        plots=[(named(c), c["effect"], _plot(c)) for c in shown],
        drifted=sum(c["drifted"] for c in watched),
        score=quality and _score(quality),
    )


def named(column: Mapping[str, Any]) -> str:
    """The column as people read it."""
    return "the model's answer" if column["role"] == "answer" else str(column["column"])


def _plot(column: Mapping[str, Any]) -> Any:
    names = [named(column), column["cells"], column["reference"], column["window"]]
    return charts.histogram_pair(*names[1:], title=f"Reference and window: {names[0]}")


def _score(quality: Mapping[str, Any]) -> Any:
    bars = []
    for name, side in (("at training", quality["reference"]), ("in this window", quality["now"])):
        low, high = (side["value"] if side[end] is None else side[end] for end in ("low", "high"))
        bars.append((name, side["value"], low, high))
    return charts.interval_bars(bars, title=quality["metric"], line=quality["reference"]["value"])
