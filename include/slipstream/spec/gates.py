"""What must hold between task, metrics and gates: a gate that can never refuse, or never pass, is a mistake."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from slipstream.spec.estimators import LOWER_IS_BETTER, METRICS, RANGES
from slipstream.spec.plain import FileValues
from slipstream.spec.values import Place, SpecProblem, as_written, unknown

_TAKES = {
    "metric": ("metric", "bound"),
    "champion": ("metric", "margin"),
    "slice": ("metric", "bound"),
    "fairness": ("column", "measure", "metric", "bound"),
    "replay": ("bound",),
    "latency": ("bound",),
    "size": ("bound",),
}
_KEYS = frozenset(key for keys in _TAKES.values() for key in keys)
_UNITS = {"latency": "milliseconds for one row", "size": "megabytes of the bundle"}
_RATES = frozenset({"demographic_parity", "equal_opportunity", "equalized_odds"})


def gate_problems(values: FileValues) -> Iterator[SpecProblem]:
    """Everything that is wrong with the metrics and the gates."""
    yield from _metrics(values)
    if values.text("monitor", "source") == "predictions" and _captures_nothing(values):
        message = "no prediction is captured that could be watched; write data, or mend deploy.capture"
        yield SpecProblem(message, "monitor", "source")
    for place, gate in values.parts("gates"):
        if values.text(*place, "type") in _TAKES:
            yield from _gate(values, place, gate)


def _metrics(values: FileValues) -> Iterator[SpecProblem]:
    known = METRICS.get(values.task, ())
    metrics = [*_text(values, ("evaluate", "metric")), *values.texts("evaluate", "metrics")]
    metrics += [one for place, _ in values.parts("gates") for one in _text(values, (*place, "metric"))]
    for place, metric in metrics:
        if known and metric not in known:
            others = [task for task, names in METRICS.items() if metric in names]
            problem = unknown(f"{values.task} metric", metric, known, "spec_metric_unknown", *place)
            hint = f"{metric} is for task {' or '.join(others)}; for {values.task} there are {', '.join(known)}"
            yield SpecProblem(hint, *place, code=problem.code) if others else problem


def _text(values: FileValues, place: Place) -> list[tuple[Place, str]]:
    return [(place, values.text(*place))] if values.text(*place) else []


def _gate(values: FileValues, place: Place, gate: Mapping[str, Any]) -> Iterator[SpecProblem]:
    kind, takes = gate["type"], _TAKES[gate["type"]]
    for key in gate:
        if key in _KEYS and key not in takes:
            message = f"{key!r} does nothing in a gate of type {kind}, which takes {' and '.join(takes)}; take it out"
            yield SpecProblem(message, *place, key)
    yield from _lacking(values, place, gate)
    if kind == "fairness":
        yield from _fairness(values, place, gate)
    for key in ("bound", "margin"):
        value = gate.get(key)
        if key in takes and isinstance(value, int | float) and not isinstance(value, bool):
            message = _outside(values, place, key, value)
            yield from [SpecProblem(message, *place, key)] if message else []


def _captures_nothing(values: FileValues) -> bool:
    return values.value("deploy", "capture") is False or values.value("deploy", "capture", "sample") == 0


def _lacking(values: FileValues, place: Place, gate: Mapping[str, Any]) -> Iterator[SpecProblem]:
    """What a gate needs that is not there."""
    kind = gate["type"]
    if "bound" in _TAKES[kind] and gate.get("bound") is None:
        yield SpecProblem(f"gate '{kind}' needs 'bound'; write the worst value that passes", *place)
    if kind == "slice" and not values.value("evaluate", "slices"):
        yield SpecProblem("gate 'slice' needs evaluate.slices; name the columns there", *place)
    if kind == "replay" and _captures_nothing(values):
        yield SpecProblem(
            "nothing is captured that could be replayed; take this gate out, or mend deploy.capture", *place
        )


def _fairness(values: FileValues, place: Place, gate: Mapping[str, Any]) -> Iterator[SpecProblem]:
    known = [name for _, name in values.texts("evaluate", "sensitive")]
    column, measure = gate.get("column"), values.text(*place, "measure")
    if not known:
        yield SpecProblem("gate 'fairness' needs evaluate.sensitive; name the columns there", *place)
    elif isinstance(column, str) and column not in known:
        yield unknown("sensitive column", column, known, "spec_column_unknown", *place, "column")
    if measure in _RATES and values.task in {"multiclass", "regression"}:
        message = f"{measure} is for task binary, this one is {values.task}; write measure: metric, or leave it out"
        yield SpecProblem(message, *place, "measure")
    if measure in _RATES and gate.get("metric") is not None:
        message = f"'metric' does nothing beside measure {measure}; take one of the two out"
        yield SpecProblem(message, *place, "metric")


def _outside(values: FileValues, place: Place, key: str, value: float) -> str:
    """Why a bound or a margin lets everything pass, or nothing; "" if it does neither."""
    kind, written = values.text(*place, "type"), as_written(value)
    if kind in _UNITS:
        return "" if value > 0 else f"expected {_UNITS[kind]}, a number above 0, got {written}"
    if kind == "replay":
        share = f"expected a share of the rows from 0 to 1, got {written}"
        return "" if 0 <= value <= 1 else f"{share}{_percent(value)}"
    metric = values.text(*place, "metric") or values.text("evaluate", "metric")
    low, high = RANGES.get(metric, (-math.inf, math.inf))
    if kind == "fairness" or key == "margin":
        widest = 1.0 if values.text(*place, "measure") in _RATES else high - low
        what = "a difference" if kind == "fairness" else f"a margin of {metric}"
        fits = 0 <= value <= widest
        return (
            "" if fits else f"{what} lies {_between(0, widest)}, got {written}{_percent(value) if widest == 1 else ''}"
        )
    if not low <= value <= high:
        return f"{metric} lies {_between(low, high)}, got {written}{_percent(value) if high == 1 else ''}"
    if metric in LOWER_IS_BETTER and value == 0:
        return f"{metric} is better the lower it is, so no version can pass a bound of {written}; raise it"
    if metric not in LOWER_IS_BETTER and value == low:
        return f"every version passes when {metric} may be {written}; raise the bound"
    return ""


def _between(low: float, high: float) -> str:
    if math.isinf(high):
        return f"at {low:g} or above"
    return f"at {high:g} or below" if math.isinf(low) else f"between {low:g} and {high:g}"


def _percent(value: float) -> str:
    """The share that whoever wrote a percentage meant."""
    return f"; did you mean {value / 100:g}?" if 1 < value <= 100 else ""
