"""Values unlike any in training: answered all the same, with a warning, and counted by feature."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from slipstream.errors import shown
from slipstream.model_schema import Field, Schema

AT_MOST = 20
SMALL = 32
"""Up to so many rows a loop over values beats the set-up of whole-column tests."""


@dataclass(frozen=True)
class InputWarning:
    """A value that is answered though the model saw nothing like it in training."""

    field: str
    code: Literal["category_unseen", "outside_training_range"]
    message: str


@dataclass
class InputCheck:
    """What one request's columns hold.

    Attributes:
        warnings: The first :data:`AT_MOST` values unlike those of training.
        unlike: Input -> how many such values.
        nulls: Input -> how many nulls.
    """

    warnings: list[InputWarning]
    unlike: dict[str, int]
    nulls: dict[str, int]


NOTHING = InputCheck([], {}, {})


class InputMonitor:
    """Looks at the columns of one version's requests."""

    def __init__(self, schema: Schema) -> None:
        self._fields = [
            (field, frozenset(field.categories) if field.categories is not None else None, field.low, field.high)
            for field in schema.inputs
        ]

    def look(self, columns: Mapping[str, Sequence[Any]], rows: int) -> InputCheck:
        """Nulls and unlike values of *columns*; the shared :data:`NOTHING` if there are none."""
        return self._look_closely(columns) if rows <= SMALL else self._look_over(columns)

    def by_row(self, columns: Mapping[str, Any]) -> dict[int, list[str]]:
        """Row -> what the reply to it would warn of, with the input in front; only rows of which there is something.

        Args:
            columns: Input -> float64 array with NaN for null, or :class:`slipstream.compiler.coded_texts.CodedTexts`.
        """
        import numpy as np

        warnings: dict[int, list[str]] = {}
        for field, seen, low, high in self._fields:
            values = columns[field.name]
            if seen is not None:
                rows = values.rows_where(lambda word, seen=seen: word is not None and word not in seen)
            elif low is not None and high is not None:
                rows = np.flatnonzero((values < low) | (values > high))
            else:
                continue
            for row in rows.tolist():
                value = int(values[row]) if field.type == "integer" else values[row]
                warnings.setdefault(row, []).append(f"{field.name}: {_unlike(field, value).message}")
        return warnings

    def _look_closely(self, columns: Mapping[str, Sequence[Any]]) -> InputCheck:
        check = NOTHING
        for field, seen, low, high in self._fields:
            for row, value in enumerate(columns[field.name]):
                if value is None:
                    check = _counted(check)
                    check.nulls[field.name] = check.nulls.get(field.name, 0) + 1
                elif (seen is not None and value not in seen) or (low is not None and not low <= value <= high):
                    check = _counted(check)
                    _note(check, field, row, value)
        return check

    def _look_over(self, columns: Mapping[str, Sequence[Any]]) -> InputCheck:
        check = _counted(NOTHING)
        for field, seen, low, high in self._fields:
            values = columns[field.name]
            if seen is not None:
                _words(check, field, values, seen)
            elif low is not None and high is not None:
                _numbers(check, field, values, (low, high))
        return check


def _counted(check: InputCheck) -> InputCheck:
    return InputCheck([], {}, {}) if check is NOTHING else check


def _words(check: InputCheck, field: Field, values: Sequence[Any], seen: frozenset[str]) -> None:
    strange = set(values) - seen
    if None in strange:
        check.nulls[field.name] = sum(value is None for value in values)
        strange.discard(None)
    if strange:
        _note_rows(check, field, values, lambda value: value in strange)


def _numbers(check: InputCheck, field: Field, values: Sequence[Any], span: tuple[float, float]) -> None:
    import numpy as np

    array = np.asarray(values, dtype=np.float64)
    low, high = span
    known = array == array
    nulls = len(array) - int(np.count_nonzero(known))
    if nulls:
        check.nulls[field.name] = nulls
    outside = known & ((array < low) | (array > high))
    for row in np.flatnonzero(outside).tolist() if outside.any() else ():
        _note(check, field, row, values[row])


def _note_rows(check: InputCheck, field: Field, values: Sequence[Any], strange: Callable[[Any], bool]) -> None:
    for row, value in enumerate(values):
        if strange(value):
            _note(check, field, row, value)


def _note(check: InputCheck, field: Field, row: int, value: Any) -> None:
    check.unlike[field.name] = check.unlike.get(field.name, 0) + 1
    if len(check.warnings) >= AT_MOST:
        return
    check.warnings.append(_unlike(field, value, f"rows[{row}].{field.name}"))


def _unlike(field: Field, value: Any, place: str = "") -> InputWarning:
    """The warning of a value unlike those of training, at its *place* in a request."""
    if field.categories is not None:
        return InputWarning(place, "category_unseen", f"{shown(value)} was not seen in training")
    value = value.item() if hasattr(value, "item") else value
    message = f"{shown(value)} lies outside {field.low:g} to {field.high:g}, the range in training"
    return InputWarning(place, "outside_training_range", message)
