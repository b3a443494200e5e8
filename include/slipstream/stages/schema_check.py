"""Whether a batch has the columns that the data table has, and those that model.yaml names."""

from __future__ import annotations

import difflib
from collections.abc import Container, Sequence
from dataclasses import dataclass

from slipstream.duck import quoted
from slipstream.errors import DataError
from slipstream.expectations import BATCH_EXPECTATIONS
from slipstream.spec import Expectation, ModelSpec

Columns = Sequence[tuple[str, str]]
RESERVED = ("failed_expectation", "batch", "run", "file_row_number")
_COLUMN_KEYS = ("column", "column_A", "column_B", "column_list")
# A value keeps its meaning under these; anything else is another column under an old name.
_WIDENED = {("BIGINT", "DOUBLE"), ("DATE", "TIMESTAMP")}


@dataclass(frozen=True)
class Change:
    """One difference between a batch's columns and the table's.

    Attributes:
        kind: ``added``, ``removed``, ``renamed`` or ``retyped``.
        column: The table's column; for ``added`` the batch's.
        was: Its type in the table; ``""`` for ``added``.
        now: Its type in the batch; ``""`` for ``removed``. For ``renamed``, the new name.
    """

    kind: str
    column: str
    was: str = ""
    now: str = ""

    @property
    def sentence(self) -> str:
        """The change as errors and reports say it."""
        match self.kind:
            case "added":
                return f"+'{self.column}' ({self.now})"
            case "removed":
                return f"-'{self.column}'"
            case "renamed":
                return f"-'{self.column}', +'{self.now}' (did you mean '{self.column}'?)"
        return f"column '{self.column}': {self.was} → {self.now}"


def compare(table: Columns, batch: Columns, empty: Container[str] = ()) -> tuple[Change, ...]:
    """What differs from the table (nothing, before the first batch).

    A column counts as unchanged where the table holds it wider (integers as decimals, dates as times), or where the
    batch has no value in it, as the columns in *empty*: a source cannot know the type of nothing.
    """
    if not table:
        return ()
    old, new = dict(table), dict(batch)
    removed = [name for name in old if name not in new]
    added = [name for name in new if name not in old]
    changes = []
    for name in removed:
        near = difflib.get_close_matches(name, added, n=1)
        if near:
            added.remove(near[0])
            changes.append(Change("renamed", name, old[name], near[0]))
        else:
            changes.append(Change("removed", name, old[name]))
    changes += [Change("added", name, now=new[name]) for name in added]
    for name, kind in new.items():
        if name in old and kind != old[name] and (kind, old[name]) not in _WIDENED and name not in empty:
            changes.append(Change("retyped", name, old[name], kind))
    return tuple(changes)


def widened(table: Columns, batch: Columns) -> tuple[tuple[str, str], ...]:
    """The columns of the table after the batch: the table's as they are, then what the batch adds."""
    known = {name for name, _ in table}
    return (*table, *(column for column in batch if column[0] not in known))


def conformed(table: Columns, batch: Columns) -> str | None:
    """The projection that gives the batch the table's types and order; None if it has them already."""
    if not table or list(batch) == list(table):
        return None
    present = dict(batch)
    parts = []
    for name, kind in widened(table, batch):
        value = quoted(name) if name in present else "NULL"
        parts.append(f"{value if present.get(name) == kind else f'CAST({value} AS {kind})'} AS {quoted(name)}")
    return ", ".join(parts)


def check_named(spec: ModelSpec, batch: Columns) -> None:
    """Each column that model.yaml names is there, of a type that it can be used as.

    Raises:
        DataError: ``data_column_missing``, ``data_type_unsupported`` or ``data_column_reserved``.
    """
    kinds = dict(batch)
    for name in RESERVED:
        if name in kinds:
            message = f"column '{name}' has a name that Slipstream uses itself; rename it in features.py."
            raise DataError(message, code="data_column_reserved")
    for place, name in _named(spec):
        if name not in kinds:
            near = difflib.get_close_matches(name, kinds, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"the batch has: {', '.join(kinds)}."
            raise DataError(
                f"model.yaml: {place} names column '{name}', which is not in the batch; {hint}",
                code="data_column_missing",
            )
    for name in spec.inputs:
        if kinds[name] in {"DATE", "TIMESTAMP"}:
            message = f"input '{name}' is a {kinds[name]}, which no model takes; make numbers of it in features.py."
            raise DataError(message, code="data_type_unsupported")
    if spec.data.time and kinds[spec.data.time] not in {"DATE", "TIMESTAMP"}:
        message = (
            f"data.time: column '{spec.data.time}' is {kinds[spec.data.time]}; make it a TIMESTAMP in features.py."
        )
        raise DataError(message, code="data_time_invalid")


def columns_judged(expectation: Expectation) -> tuple[str, ...]:
    """The columns that an expectation reads."""
    found: list[str] = []
    for key in _COLUMN_KEYS:
        value = expectation.arguments.get(key, ())
        found += [value] if isinstance(value, str) else [name for name in value if isinstance(name, str)]
    return tuple(dict.fromkeys(found))


def judges_rows(expectation: Expectation) -> bool:
    """Whether the expectation blames single rows, which can then be set aside."""
    return expectation.type not in BATCH_EXPECTATIONS


def _named(spec: ModelSpec) -> list[tuple[str, str]]:
    """``(place, column)`` of each column that the model file names."""
    named = [("inputs", name) for name in spec.inputs] + [("target", spec.target)]
    named += [("data.time", spec.data.time)] if spec.data.time else []
    named += [("data.key", name) for name in spec.data.key]
    for number, expectation in enumerate(spec.contract.expectations):
        named += [(f"contract.expectations.{number}", name) for name in columns_judged(expectation)]
    return named
