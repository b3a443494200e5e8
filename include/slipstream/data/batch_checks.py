"""What must hold for every batch, whatever its contract says: rows, finite numbers, sane times, keys that identify."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from slipstream.data.batch import PROBLEM, Batch
from slipstream.data.schema_check import columns_judged
from slipstream.duck import first_row, quoted
from slipstream.errors import DataError, shown
from slipstream.spec.model import ModelSpec
from slipstream.store import Store

if TYPE_CHECKING:
    import duckdb

EARLIEST, LATEST = datetime(1900, 1, 1), datetime(2200, 1, 1)  # noqa: DTZ001 - columns have no zone


@dataclass(frozen=True)
class Scan:
    """What one scan of a batch tells of each column.

    Attributes:
        missing: Column -> number of missing values.
        infinite: Column -> number of infinite numbers, where there are any.
    """

    missing: Mapping[str, int]
    infinite: Mapping[str, int]


def scan(batch: Batch, rows: duckdb.DuckDBPyRelation) -> Scan:
    """Look at every column once; raises DataError ``data_batch_empty`` if there is nothing to look at."""
    if not batch.rows and not batch.aside_rows:
        raise DataError(
            "the batch has 0 rows; nothing is committed, the champion is unchanged.", code="data_batch_empty"
        )
    names = [name for name, _ in batch.columns]
    doubles = [name for name, kind in batch.columns if kind == "DOUBLE"]
    parts = [f"count({quoted(name)})" for name in names]
    parts += [f"count_if(NOT isfinite({quoted(name)}))" for name in doubles]
    counts = first_row(rows.aggregate(", ".join(parts)))
    missing = {name: batch.rows - count for name, count in zip(names, counts, strict=False)}
    infinite = {name: count for name, count in zip(doubles, counts[len(names) :], strict=True) if count}
    return Scan(missing, infinite)


def check_values(spec: ModelSpec, batch: Batch, rows: duckdb.DuckDBPyRelation, seen: Scan) -> None:
    """Refuse what no contract can allow in the columns that model.yaml names.

    Raises:
        DataError: ``data_column_degenerate``, ``data_not_finite``, ``data_time_invalid`` or ``data_key_missing``.
    """
    for name, count in seen.infinite.items():
        message = f"column '{name}' holds {count} infinite numbers; replace them in features.py, by NULL if unknown."
        raise DataError(message, code="data_not_finite")
    judged = [name for rule in spec.contract.expectations for name in columns_judged(rule)]
    for name in dict.fromkeys((*spec.inputs, spec.target, *judged)):
        if batch.rows and seen.missing[name] == batch.rows:
            message = f"column '{name}' all null ({batch.rows} rows); mend the source, or take it out of model.yaml."
            raise DataError(message, code="data_column_degenerate")
    for name in spec.data.key:
        if seen.missing[name]:
            message = f"key column '{name}' is null in {seen.missing[name]} rows; a key must identify each row."
            raise DataError(message, code="data_key_missing")
    _check_time(spec, rows)


def check_unreadable(spec: ModelSpec, batch: Batch, store: Store, connection: duckdb.DuckDBPyConnection) -> None:
    """Refuse rows with values that their column cannot hold, unless the contract sets them aside, and how many it may.

    Raises:
        DataError: ``data_value_unreadable``.
    """
    if not batch.aside_rows:
        return
    whole = batch.rows + batch.aside_rows
    share = batch.aside_rows / whole
    aside = spec.contract.on_failure == "quarantine" or spec.contract.on_schema_change == "warn"
    if aside and share <= spec.contract.max_quarantine:
        return
    rows = connection.read_parquet(str(store.objects.path(batch.aside)))
    problems = "; ".join(str(row[0]) for row in rows.project(PROBLEM).distinct().order(PROBLEM).limit(3).fetchall())
    message = f"{batch.aside_rows:,} of {whole:,} rows hold values that their columns cannot: {problems}. "
    if aside:
        message += f"That is {share:.1%}, more than contract.max_quarantine ({spec.contract.max_quarantine:.1%})."
    else:
        message += "Mend them, say in data.schema what they mean, or let contract.on_failure be quarantine."
    message += f" If a column has become another: slipstream schema diff {spec.name}."
    raise DataError(message, code="data_value_unreadable")


def check_keys(spec: ModelSpec, rows: duckdb.DuckDBPyRelation) -> None:
    """No key stands twice among *rows*; raises DataError ``data_duplicate_keys``."""
    if not spec.data.key:
        return
    key = ", ".join(map(quoted, spec.data.key))
    twice = rows.aggregate(f"{key}, count(*) AS slipstream_n", key).filter("slipstream_n > 1")
    counts = first_row(twice.aggregate("count(*), sum(slipstream_n)"))
    if counts[0]:
        example = first_row(twice.order(key))[:-1]
        duplicate = shown(example[0] if len(example) == 1 else example)
        unique = (
            "expect_column_values_to_be_unique" if len(spec.data.key) == 1 else "expect_compound_columns_to_be_unique"
        )
        message = (
            f"{counts[0]} duplicated keys in {int(counts[1])} rows of the batch, e.g. {duplicate} "
            f"in {', '.join(spec.data.key)}; deliver each row once, or set duplicates aside with {unique}."
        )
        raise DataError(message, code="data_duplicate_keys")


def _check_time(spec: ModelSpec, rows: duckdb.DuckDBPyRelation) -> None:
    if spec.data.time is None:
        return
    name = spec.data.time
    outside = f"{quoted(name)} IS NULL OR {quoted(name)} NOT BETWEEN TIMESTAMP '{EARLIEST}' AND TIMESTAMP '{LATEST}'"
    invalid = rows.filter(outside)
    count = first_row(invalid.aggregate("count(*)"))[0]
    if count:
        example = first_row(invalid.project(f"CAST({quoted(name)} AS VARCHAR)"))[0]
        message = (
            f"time column '{name}' is missing or not between {EARLIEST.year} and {LATEST.year} in {count} rows, "
            f"e.g. {shown(example)}; mend or drop them in features.py."
        )
        raise DataError(message, code="data_time_invalid")
