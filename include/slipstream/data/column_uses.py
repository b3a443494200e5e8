"""Where a model project names a column of its data."""

from __future__ import annotations

import re

from slipstream.data.schema_check import named
from slipstream.spec.model import ModelSpec

_FEATURES = "features.py"


def model_file_places(spec: ModelSpec) -> list[tuple[str, str]]:
    """``(place, column)`` of each column that the model file needs in the data table."""
    places = [*named(spec), *(("train.group", name) for name in spec.train.group)]
    for key in ("slices", "sensitive"):
        places += [(f"evaluate.{key}", name) for name in getattr(spec.evaluate, key)]
    return places


def column_uses(spec: ModelSpec, column: str) -> tuple[str, ...]:
    """The places of the model file that need the column, then ``data.schema`` and features.py where they name it."""
    places = [place for place, name in model_file_places(spec) if name == column]
    if column in spec.data.columns:
        places.append(f"data.schema.{column}")
    features = spec.folder / _FEATURES
    if features.is_file():
        text = features.read_text(encoding="utf-8", errors="replace")
        if re.search(rf"(?<!\w){re.escape(column)}(?!\w)", text):
            places.append(_FEATURES)
    return tuple(dict.fromkeys(places))


def needs(spec: ModelSpec, column: str) -> tuple[str, ...]:
    """The places of the model file alone that need the column."""
    return tuple(dict.fromkeys(place for place, name in model_file_places(spec) if name == column))
