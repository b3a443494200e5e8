"""Values unlike any in training: answered all the same, with a warning, and counted by feature."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from slipstream.errors import shown
from slipstream.scoring.schema import Field, Schema

AT_MOST = 20
SMALL = 32
"""Up to so many rows a loop over values beats the set-up of whole-column tests."""


@dataclass(frozen=True)
class Notice:
    """A value that is answered though the model saw nothing like it in training."""

    field: str
    code: Literal["category_unseen", "outside_training_range"]
    message: str


@dataclass
class Found:
    """What one request's columns hold.

    Attributes:
        notices: The first :data:`AT_MOST` values unlike those of training.
        unlike: Input -> how many such values.
        nulls: Input -> how many nulls.
    """

    notices: list[Notice]
    unlike: dict[str, int]
    nulls: dict[str, int]


NOTHING = Found([], {}, {})


class Watch:
    """Looks at the columns of one version's requests."""

    def __init__(self, schema: Schema) -> None:
        self._fields = [
            (field, frozenset(field.categories) if field.categories is not None else None, field.low, field.high)
            for field in schema.inputs
        ]

    def look(self, columns: Mapping[str, Sequence[Any]], rows: int) -> Found:
        """Nulls and unlike values of *columns*; the shared :data:`NOTHING` if there are none."""
        return self._look_closely(columns) if rows <= SMALL else self._look_over(columns)

    def _look_closely(self, columns: Mapping[str, Sequence[Any]]) -> Found:
        found = NOTHING
        for field, seen, low, high in self._fields:
            for row, value in enumerate(columns[field.name]):
                if value is None:
                    found = _counted(found)
                    found.nulls[field.name] = found.nulls.get(field.name, 0) + 1
                elif (seen is not None and value not in seen) or (low is not None and not low <= value <= high):
                    found = _counted(found)
                    _note(found, field, row, value)
        return found

    def _look_over(self, columns: Mapping[str, Sequence[Any]]) -> Found:
        found = _counted(NOTHING)
        for field, seen, low, high in self._fields:
            values = columns[field.name]
            if seen is not None:
                _words(found, field, values, seen)
            elif low is not None and high is not None:
                _numbers(found, field, values, (low, high))
        return found


def _counted(found: Found) -> Found:
    return Found([], {}, {}) if found is NOTHING else found


def _words(found: Found, field: Field, values: Sequence[Any], seen: frozenset[str]) -> None:
    strange = set(values) - seen
    if None in strange:
        found.nulls[field.name] = sum(value is None for value in values)
        strange.discard(None)
    if strange:
        _note_rows(found, field, values, lambda value: value in strange)


def _numbers(found: Found, field: Field, values: Sequence[Any], span: tuple[float, float]) -> None:
    import numpy as np

    array = np.asarray(values, dtype=np.float64)
    low, high = span
    known = array == array
    nulls = len(array) - int(np.count_nonzero(known))
    if nulls:
        found.nulls[field.name] = nulls
    outside = known & ((array < low) | (array > high))
    for row in np.flatnonzero(outside).tolist() if outside.any() else ():
        _note(found, field, row, values[row])


def _note_rows(found: Found, field: Field, values: Sequence[Any], strange: Callable[[Any], bool]) -> None:
    for row, value in enumerate(values):
        if strange(value):
            _note(found, field, row, value)


def _note(found: Found, field: Field, row: int, value: Any) -> None:
    found.unlike[field.name] = found.unlike.get(field.name, 0) + 1
    if len(found.notices) >= AT_MOST:
        return
    place = f"rows[{row}].{field.name}"
    if field.categories is not None:
        found.notices.append(Notice(place, "category_unseen", f"{shown(value)} was not seen in training"))
        return
    value = value.item() if hasattr(value, "item") else value
    message = f"{shown(value)} lies outside {field.low:g} to {field.high:g}, the range in training"
    found.notices.append(Notice(place, "outside_training_range", message))
