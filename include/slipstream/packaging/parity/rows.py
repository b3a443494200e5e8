"""Rows that a compiled model is most likely to answer wrongly: null, unknown, at a threshold, far outside."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from slipstream.model_schema import Field, Schema
from slipstream.spacing import stride, thinned

MOST_EDGES = 256
CHUNK = 5000
BASES = 3
"""How many held-out rows are varied."""

_WORDS = ("", " ", "never seen in training", "2024-02-29", "2024-02-30", "2023-12-31T23:59:59Z", "nan", "0")


def odd_rows(
    schema: Schema, edges: Mapping[str, Sequence[float]], held: Mapping[str, Sequence[Any]]
) -> Iterator[dict[str, list[Any]]]:
    """Held-out rows with one input changed at a time, then all inputs null; in parts of at most :data:`CHUNK` rows."""
    rows = list(_rows(schema, edges, held))
    for first in range(0, len(rows), CHUNK):
        part = rows[first : first + CHUNK]
        yield {name: [row[name] for row in part] for name in schema.names}


def _rows(
    schema: Schema, edges: Mapping[str, Sequence[float]], held: Mapping[str, Sequence[Any]]
) -> Iterator[dict[str, Any]]:
    bases = list(_bases(schema, held))
    for field in schema.inputs:
        for number, value in enumerate(values(field, edges.get(field.name, ()))):
            yield {**bases[number % len(bases)], field.name: value}
    for base in bases:
        yield {field.name: None if field.nullable else base[field.name] for field in schema.inputs}
        yield {field.name: _WORDS[2] if field.type == "string" else base[field.name] for field in schema.inputs}


def _bases(schema: Schema, held: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Some held-out rows, evenly spaced; without any, one of plain values."""
    count = len(held[schema.names[0]]) if held else 0
    if not count:
        yield {field.name: _plain(field) for field in schema.inputs}
        return
    for place in range(0, count, stride(count, BASES)):
        yield {name: held[name][place] for name in schema.names}


def _plain(field: Field) -> Any:
    if field.type == "string":
        return (field.categories or _WORDS)[0]
    return _typed(field, field.low if field.low is not None else 0.0)


def values(field: Field, edges: Sequence[float]) -> list[Any]:
    """The odd values of one input; *edges* are thresholds of the trees."""
    nothing = [None] if field.nullable else []
    if field.type == "string":
        return [*nothing, *_WORDS, *(field.categories or ())]
    if field.type == "boolean":
        return [*nothing, False, True]
    numbers = [near for edge in thinned(edges, MOST_EDGES) for near in _near(edge)] + _outside(field)
    typed = (_typed(field, value) for value in numbers if math.isfinite(value))
    return [*nothing, *dict.fromkeys(typed)]


def _near(edge: float) -> list[float]:
    """The threshold, its neighbours in double and in single precision, and the whole numbers around it."""
    with np.errstate(over="ignore"):
        single = np.float32(edge)
        singles = [float(single), *(float(np.nextafter(single, np.float32(side))) for side in (-np.inf, np.inf))]
    doubles = [edge, math.nextafter(edge, -math.inf), math.nextafter(edge, math.inf)]
    return [*doubles, *singles, float(math.floor(edge)), float(math.ceil(edge))]


def _outside(field: Field) -> list[float]:
    low, high = field.low or 0.0, field.high or 0.0
    span = max(high - low, 1.0)
    return [low, high, 0.0, -0.0, -1.0, 0.5, low - span, high + span, low - 100 * span, high + 100 * span, 1e9, -1e9]


def _typed(field: Field, value: float) -> Any:
    return {"boolean": bool, "integer": int, "number": float}[field.type](value)
