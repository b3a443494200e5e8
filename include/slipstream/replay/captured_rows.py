"""Captured rows to be answered again, and which of them a version's schema takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipstream.duck import duck, evenly_spaced, first_row, literal, quoted
from slipstream.model_schema import Field, Schema
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.predictions import CHAMPION, TABLE, read_predictions, redacted_inputs
from slipstream.store.tables import Sound, TableFile

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

ROWS = 20_000
"""So many rows are answered at most."""
LOOKED_AT = 200_000
"""They are evenly spaced over the newest files, as many as it takes to hold so many rows."""


@dataclass(frozen=True)
class Requests:
    """Captured rows.

    Attributes:
        frame: ``prediction_id`` and one column for each input that is kept: float64 with NaN for null, or object.
        left_out: Rows of which an input is redacted or none is kept.
    """

    frame: pd.DataFrame
    left_out: int = 0

    def columns(self, schema: Schema, places: Any) -> dict[str, Any]:
        """The inputs of *schema* of the rows at those *places*, as scorers take them."""
        chosen = self.frame.iloc[places]
        return {
            field.name: _plain(chosen[field.name]) if field.type == "string" else chosen[field.name].to_numpy()
            for field in schema.inputs
        }


def newest_files(spec: ModelSpec, store: Store) -> Sound:
    """The files of the predictions table that rows are taken from."""
    return store.tables.sound(spec.name, TABLE, LOOKED_AT)


def requests(spec: ModelSpec, store: Store, files: Sequence[TableFile], needed: Sequence[str]) -> Requests | None:
    """Rows of *files* that a champion answered and of which the inputs *needed* are kept; None if there are none."""
    if not files:
        return None
    with duck() as connection:
        paths = store.tables.local_files(spec.name, TABLE, files)
        rows = read_predictions(connection, paths).filter(f"role = {literal(CHAMPION)}")
        every = first_row(rows.aggregate("count(*)"))[0]
        usable = _usable_rows(rows, needed)
        count = first_row(usable.aggregate("count(*)"))[0] if usable else 0
        if usable is None or not count:
            return None
        frame = _spaced(usable, count).df()
    return Requests(frame, every - count)


def refused(schema: Schema, frame: pd.DataFrame) -> Any:
    """Why the endpoint would not take each row for a version of *schema*: object array of shape ``(n,)``, "" if it
    would."""
    import numpy as np

    reasons = np.full(len(frame), "", dtype=object)
    for field in schema.inputs:
        reason, rows = _wrong(field, frame)
        reasons[rows & (reasons == "")] = reason
    return reasons


def _usable_rows(rows: duckdb.DuckDBPyRelation, needed: Sequence[str]) -> duckdb.DuckDBPyRelation | None:
    """The rows with their inputs as columns, without those of which one *needed* is redacted."""
    if "inputs" not in rows.columns:
        return None
    usable = rows.filter("inputs IS NOT NULL")
    hiding = [text for text, names in redacted_inputs(usable).items() if names & set(needed)]
    if hiding:
        usable = usable.filter(f"redacted IS NULL OR redacted NOT IN ({', '.join(map(literal, hiding))})")
    return usable.project("prediction_id, inputs.*")


def _spaced(rows: duckdb.DuckDBPyRelation, count: int) -> duckdb.DuckDBPyRelation:
    """At most :data:`ROWS` evenly spaced rows; numbers as DOUBLE."""
    columns = [
        quoted(name) if str(kind) == "VARCHAR" else f"CAST({quoted(name)} AS DOUBLE) AS {quoted(name)}"
        for name, kind in zip(rows.columns, rows.types, strict=True)
    ]
    return evenly_spaced(rows, count, ROWS).project(", ".join(columns))


def _wrong(field: Field, frame: pd.DataFrame) -> tuple[str, Any]:
    """What is wrong with some rows' values of *field*, and which rows those are."""
    import numpy as np

    every = np.ones(len(frame), dtype=bool)
    if field.name not in frame.columns:
        return f"{field.name}: callers do not send it", every
    values = frame[field.name]
    if (values.dtype.kind == "O") != (field.type == "string"):
        return f"{field.name}: callers send another type than {field.type}", every
    null = values.isna().to_numpy()
    if null.any() and not field.nullable:
        return f"{field.name}: null, which training never saw", null
    if field.type == "integer":
        return f"{field.name}: no whole number", ~null & (np.mod(np.where(null, 0, values), 1) != 0)
    return "", ~every


def _plain(column: Any) -> list[Any]:
    values: list[Any] = column.astype(object).where(column.notna(), None).tolist()
    return values
