"""The page about which inputs move the answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from slipstream.reports import charts
from slipstream.reports.page import render

SHOWN_EFFECTS = 8


def page(model: str, found: Mapping[str, Any]) -> bytes:
    """The HTML report of the JSON result that the stage *explain* keeps."""
    importance = dict(found["importance"])
    plots = [(name, _dependence(name, points, found["scale"])) for name, points in found["effects"]]
    return render(
        "explanation.html",
        title="Explanation",
        model=model,
        found=found,
        top=list(importance)[:3],
        importance=charts.bars(importance, title=f"Importance of each input ({found['scale']})"),
        plots=plots,
        cases=[_case(case, found["scale"]) for case in found["cases"]],
    )


def _dependence(name: str, points: Sequence[Sequence[Any]], scale: str) -> Any:
    """A cloud of points for numbers, mean bars for words."""
    title = f"Effect of {name}"
    if all(value is None or isinstance(value, int | float) for value, _ in points):
        known = [(float(value), effect) for value, effect in points if value is not None]
        if len(known) > charts.MOST_BARS:
            return charts.scatter(known, title=title, x_label=name, y_label=scale)
        return charts.lines({name: known}, title=title, x_label=name, y_label=scale)
    sums: dict[str, list[float]] = {}
    for value, effect in points:
        sums.setdefault("(missing)" if value is None else str(value), []).append(effect)
    means = {value: sum(found) / len(found) for value, found in sums.items()}
    largest = sorted(means, key=lambda value: (-len(sums[value]), value))[:12]
    return charts.bars({value: means[value] for value in sorted(largest, key=lambda v: -means[v])}, title=title, width=charts.NARROW)


def _case(case: Mapping[str, Any], scale: str) -> dict[str, Any]:
    """One row: the inputs that push its answer most, and where the pushing starts from, as an answer."""
    effects = sorted(case["effects"].items(), key=lambda item: -abs(item[1]))[:SHOWN_EFFECTS]
    shown = {f"{name} = {_cell(case['row'][name])}": effect for name, effect in effects}
    base = case["base"]
    return {
        "prediction": case["prediction"],
        "base": 1 / (1 + math.exp(-base)) if scale == "log-odds" else base,
        "chart": charts.bars(shown, title="Effects in this row", width=charts.NARROW),
    }


def _cell(value: Any) -> str:
    if value is None:
        return "(missing)"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
