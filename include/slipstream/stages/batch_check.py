"""What must hold for every batch, whatever its contract says: rows, finite numbers, sane times, keys that identify."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from slipstream.duck import first_row, quoted
from slipstream.errors import DataError, shown
from slipstream.spec import ModelSpec
from slipstream.stages.batch import Batch
from slipstream.stages.schema_check import columns_judged

if TYPE_CHECKING:
    import duckdb

EARLIEST, LATEST = datetime(1900, 1, 1), datetime(2200, 1, 1)  # noqa: DTZ001 - columns have no zone


def check_values(spec: ModelSpec, batch: Batch, rows: duckdb.DuckDBPyRelation) -> dict[str, int]:
    """Check all columns in one scan; returns the number of missing values of each.

    Raises:
        DataError: ``data_batch_empty``, ``data_column_degenerate``, ``data_not_finite``, ``data_time_invalid`` or
            ``data_key_missing``.
    """
    if not batch.rows:
        raise DataError("the batch has 0 rows; nothing is committed, the champion is unchanged.", code="data_batch_empty")
    doubles = [name for name, kind in batch.columns if kind == "DOUBLE"]
    names = [name for name, _ in batch.columns]
    parts = [f"count({quoted(name)})" for name in names]
    parts += [f"count(*) FILTER (WHERE NOT isfinite({quoted(name)}))" for name in doubles]
    found = first_row(rows.aggregate(", ".join(parts)))
    missing = {name: batch.rows - count for name, count in zip(names, found, strict=False)}
    for name, count in zip(doubles, found[len(names) :], strict=True):
        if count:
            message = f"column '{name}' holds {count} infinite numbers; replace them in features.py, by NULL if unknown."
            raise DataError(message, code="data_not_finite")
    _check_present(spec, batch, missing)
    _check_time(spec, rows)
    return missing


def check_keys(spec: ModelSpec, rows: duckdb.DuckDBPyRelation) -> None:
    """No key stands twice among *rows*; raises DataError ``data_duplicate_keys``."""
    if not spec.data.key:
        return
    key = ", ".join(map(quoted, spec.data.key))
    twice = rows.aggregate(f"{key}, count(*) AS n", key).filter("n > 1")
    found = first_row(twice.aggregate("count(*), sum(n)"))
    if found[0]:
        example = first_row(twice.order(key))[:-1]
        named = shown(example[0] if len(example) == 1 else example)
        message = (
            f"{found[0]} duplicated keys in {int(found[1])} rows of the batch, e.g. {named} in {', '.join(spec.data.key)}; "
            "deliver each row once, or set duplicates aside with expect_compound_columns_to_be_unique."
        )
        raise DataError(message, code="data_duplicate_keys")


def _check_present(spec: ModelSpec, batch: Batch, missing: dict[str, int]) -> None:
    judged = [name for rule in spec.contract.expectations for name in columns_judged(rule)]
    for name in dict.fromkeys((*spec.inputs, spec.target, *judged)):
        if missing[name] == batch.rows:
            raise DataError(f"column '{name}' all null ({batch.rows} rows).", code="data_column_degenerate")
    for name in spec.data.key:
        if missing[name]:
            message = f"key column '{name}' is null in {missing[name]} rows; a key must identify each row."
            raise DataError(message, code="data_key_missing")


def _check_time(spec: ModelSpec, rows: duckdb.DuckDBPyRelation) -> None:
    if spec.data.time is None:
        return
    name = spec.data.time
    outside = f"{quoted(name)} IS NULL OR {quoted(name)} NOT BETWEEN TIMESTAMP '{EARLIEST}' AND TIMESTAMP '{LATEST}'"
    found = rows.filter(outside)
    count = first_row(found.aggregate("count(*)"))[0]
    if count:
        example = first_row(found.project(f"CAST({quoted(name)} AS VARCHAR)"))[0]
        message = (
            f"time column '{name}' is missing or not between {EARLIEST.year} and {LATEST.year} in {count} rows, "
            f"e.g. {shown(example)}; mend or drop them in features.py."
        )
        raise DataError(message, code="data_time_invalid")
