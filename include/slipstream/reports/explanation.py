"""The page about which inputs move the answers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from slipstream.reports import charts
from slipstream.reports.canvas import number
from slipstream.reports.page import render

SHOWN_EFFECTS = 7
SHOWN_WORDS = 12
SHOWN_CHARACTERS = 60
_CLOSE = 1e-4
_MOST_LOG = 700.0


def page(model: str, explanation: Mapping[str, Any]) -> bytes:
    """The HTML report of the JSON result that the stage *explain* keeps."""
    importance = dict(explanation["importance"])
    unit = _effect_unit(explanation)
    return render(
        "explanation.html",
        title="Explanation",
        model=model,
        found=explanation,
        top=list(itertools.islice(importance, 3)),
        importance=charts.bars(importance, title=f"Importance of each input ({explanation['scale']})"),
        meaning=_meaning(explanation["scale"]),
        hidden=max(len(importance) - charts.MOST_BARS, 0),
        unit=unit,
        plots=[(name, _dependence(name, points, unit)) for name, points in explanation["effects"]],
        reading=_reading(explanation),
        cases=[_case(case, explanation) for case in explanation["cases"]],
    )


def _meaning(scale: str) -> str:
    """What the length of a bar of the importances says, in one sentence."""
    if scale.startswith("loss of "):
        metric = scale.removeprefix("loss of ")
        return (
            f"How much worse {metric} gets when the values of one input are shuffled; at or below zero it is no help."
        )
    return f"How far one input moves an answer on average, up or down, in units of {scale}."


def _effect_unit(explanation: Mapping[str, Any]) -> str:
    """The unit of dependence and of single rows: permutation measures those on the answer itself."""
    if not explanation["scale"].startswith("loss of "):
        return str(explanation["scale"])
    return str(explanation["target"]) if explanation["task"] == "regression" else "probability"


def _reading(explanation: Mapping[str, Any]) -> str:
    """How the pictures of single rows are read."""
    if explanation["cases"] and _adds_up(explanation["cases"][0], explanation["scale"]):
        return "How the inputs of a row lead, step by step, from the average answer to its own."
    return "How much higher the answer is than it would be on average with that input taken from other rows."


def _dependence(name: str, points: Sequence[Sequence[Any]], unit: str) -> Any:
    """A cloud of points or a curve for numbers, mean bars for words."""
    title, y_label = f"Effect of {name}", f"effect ({unit})"
    if all(value is None or isinstance(value, int | float) for value, _ in points):
        known = [(float(value), effect) for value, effect in points if value is not None]
        if len(known) > charts.MOST_BARS:
            return charts.scatter(known, title=title, x_label=name, y_label=y_label)
        return charts.lines({name: known}, title=title, x_label=name, y_label=y_label)
    effects: dict[str, list[float]] = {}
    for value, effect in points:
        effects.setdefault(_cell(value), []).append(effect)
    largest = sorted(effects, key=lambda value: (-len(effects[value]), value))[:SHOWN_WORDS]
    means = {value: sum(effects[value]) / len(effects[value]) for value in largest}
    ordered = dict(sorted(means.items(), key=lambda item: -item[1]))
    return charts.bars(ordered, title=title, width=charts.NARROW)


def _case(case: Mapping[str, Any], explanation: Mapping[str, Any]) -> dict[str, Any]:
    """One row: where its answer starts from, and the inputs that push it most."""
    ordered = sorted(case["effects"].items(), key=lambda item: -abs(item[1]))
    shown = {f"{name} = {_cell(case['row'][name])}": effect for name, effect in ordered[:SHOWN_EFFECTS]}
    rest = ordered[SHOWN_EFFECTS:]
    start = case["base"]
    base = _chance(start) if explanation["scale"] == "log-odds" else start
    title = f"Effects of the inputs on the answer {number(case['prediction'])}"
    if _adds_up(case, explanation["scale"]):
        others = {f"{len(rest)} others": sum(effect for _, effect in rest)} if rest else {}
        chart = charts.waterfall(start, {**shown, **others}, title=title)
    else:
        chart = charts.bars(shown, title=title, width=charts.NARROW)
    return {"prediction": case["prediction"], "base": base, "words": _words(shown), "chart": chart}


def _adds_up(case: Mapping[str, Any], scale: str) -> bool:
    """Whether base and effects add up to the answer, so that they may be drawn as steps that lead there."""
    total = case["base"] + sum(case["effects"].values())
    reached = _chance(total) if scale == "log-odds" else total
    if scale.startswith("log of "):
        reached = math.exp(min(total, _MOST_LOG))
    known = not scale.startswith("loss of ")
    return known and abs(reached - case["prediction"]) <= _CLOSE * (1 + abs(case["prediction"]))


def _chance(log_odds: float) -> float:
    """The probability of those log-odds."""
    return (1 + math.tanh(log_odds / 2)) / 2


def _words(effects: Mapping[str, float]) -> str:
    """The strongest pushes in one sentence."""
    up = [name for name, effect in effects.items() if effect > 0][:3]
    down = [name for name, effect in effects.items() if effect < 0][:3]
    parts = [f"{word} {', '.join(names)}" for word, names in (("raised by", up), ("lowered by", down)) if names]
    sentence = "; ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]}." if sentence else "No input moves it."


def _cell(value: Any) -> str:
    if value is None:
        return "(missing)"
    return number(value) if isinstance(value, int | float) else str(value)[:SHOWN_CHARACTERS]
