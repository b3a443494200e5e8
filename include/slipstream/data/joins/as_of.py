"""The point-in-time join: each row with the newest values that were known at its event time, never later ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from slipstream.data.joins.table import DELIVERY, JoinedTable, delta_table
from slipstream.data.notes import ColumnNote
from slipstream.duck import columns_of, first_row, literal, numbered, quoted, selected
from slipstream.errors import DataError, shown
from slipstream.hints import did_you_mean
from slipstream.number_formats import counted
from slipstream.store import Store

if TYPE_CHECKING:
    from datetime import timedelta

    import duckdb

_ROWS = "slipstream_rows"


def with_joined(
    rows: duckdb.DuckDBPyRelation, time: str, tables: Sequence[JoinedTable], store: Store
) -> duckdb.DuckDBPyRelation:
    """*rows*, in their order, with the columns that each of *tables* brings as they were known at *time*.

    Of a table's rows of the same key, known at or before *time* and not longer ago than the tolerance, the newest
    counts; of several of that time the one that was delivered last. Where there is none, and where *time* or a part of
    the key is null, the columns are null.

    Args:
        rows: In our six types.
        time: Its column of event times.
        tables: What is joined.
        store: Holds them.

    Raises:
        DataError: ``join_column_missing``, ``join_column_clash``, ``join_key_types`` or ``data_time_invalid``.
    """
    names = rows.columns
    for table in tables:
        _check(rows, time, table)
    rows = numbered(rows)
    for table in tables:
        rows = selected(rows, _ROWS, _sql(rows, time, table, store))
        names += list(table.join.columns)
    return rows.order("slipstream_row").project(", ".join(map(quoted, names)))


def matches(rows: duckdb.DuckDBPyRelation, table: JoinedTable) -> ColumnNote:
    """How many of the joined *rows* have a value of *table*."""
    nothing = " AND ".join(f"{quoted(column)} IS NULL" for column in table.join.columns)
    count, without = first_row(rows.aggregate(f"count(*), count_if({nothing})"))
    place = f"data.join.{table.name}"
    if count and count == without:
        text = (
            f"{place}: none of the {count:,} rows gets a value: no row of the table has their key and a time at or "
            "before theirs, within the tolerance; look at the key, and at the zones of the two times."
        )
        return ColumnNote("", "join_unmatched", text)
    get = "gets" if count - without == 1 else "get"
    text = f"{place}: {count - without:,} of {counted(count, 'row')} {get} a value of its {counted(table.rows, 'row')}."
    return ColumnNote("", "joined", text)


def check_table(table: JoinedTable) -> None:
    """Refuse a table that lacks what the model file names of it.

    Raises:
        DataError: ``join_column_missing`` or ``data_time_invalid``.
    """
    kinds, join = dict(table.columns), table.join
    for name in (*join.key.values(), join.time, *join.columns.values()):
        if name not in kinds:
            hint = did_you_mean(name, kinds, "it has", len(kinds))
            message = f"data.join.{table.name}: its rows have no column {shown(name)}; {hint}"
            raise DataError(message, code="join_column_missing")
    if kinds[join.time] not in {"DATE", "TIMESTAMP"}:
        place = f"data.join.{table.name}"
        message = (
            f"{place}: time {shown(join.time)} is {kinds[join.time]}; write {place}.schema: "
            f"{{{join.time}: {{type: timestamp, format: ...}}}}."
        )
        raise DataError(message, code="data_time_invalid")


def _check(rows: duckdb.DuckDBPyRelation, time: str, table: JoinedTable) -> None:
    check_table(table)
    kinds, theirs, place = dict(columns_of(rows)), dict(table.columns), f"data.join.{table.name}"
    for name, what in [(time, "data.time"), *((name, f"{place}.key") for name in table.join.key)]:
        if name not in kinds:
            hint = did_you_mean(name, kinds, "they have", len(kinds))
            message = f"{what} names {shown(name)}, which the rows have not as they come, before features.py; {hint}"
            raise DataError(message, code="join_column_missing")
    if kinds[time] not in {"DATE", "TIMESTAMP"}:
        message = (
            f"data.time: column {shown(time)} is {kinds[time]} where {place} is joined; say its type in data.schema."
        )
        raise DataError(message, code="data_time_invalid")
    for our, their in table.join.key.items():
        if kinds[our] != theirs[their]:
            message = (
                f"{place}.key: {shown(our)} is {kinds[our]} in the rows, and {shown(their)} {theirs[their]} in the "
                f"table; give both one type, by data.schema: {{{our}: ...}} or {place}.schema: {{{their}: ...}}."
            )
            raise DataError(message, code="join_key_types")
    present = {name.lower(): name for name in kinds}
    for our, their in table.join.columns.items():
        if our.lower() in present:
            message = (
                f"{place}: the rows have a column {shown(present[our.lower()])} of their own; call the joined one "
                f"otherwise, such as {{{table.name}_{our}: {their}}}."
            )
            raise DataError(message, code="join_column_clash")


def _sql(rows: duckdb.DuckDBPyRelation, time: str, table: JoinedTable, store: Store) -> str:
    """The join of the view :data:`_ROWS` and *table*, as a query."""
    moment = f"CAST({quoted(time)} AS TIMESTAMP)"
    ours = f"CAST({_ROWS}.{quoted(time)} AS TIMESTAMP)"
    equal = [f"{_ROWS}.{quoted(our)} = known.key{at}" for at, our in enumerate(table.join.key)]
    there = "" if table.join.tolerance is None else f"known.since >= {ours} - {_span(table.join.tolerance)}"
    brought = [
        f"CASE WHEN {there} THEN known.value{at} END AS {quoted(our)}" if there else f"known.value{at} AS {quoted(our)}"
        for at, our in enumerate(table.join.columns)
    ]
    first, last = first_row(rows.aggregate(f"min({moment}), max({moment})"))
    known = f"FROM ({_known(table, store)}) WHERE true"
    # Files of other times are not read: their statistics say so.
    known += f" AND since <= TIMESTAMP '{last}'" if last else " AND false"
    if first and table.join.tolerance:
        known += f" AND since >= TIMESTAMP '{first}' - {_span(table.join.tolerance)}"
    newest = f"PARTITION BY {', '.join([*(f'key{at}' for at in range(len(table.join.key))), 'since'])}"
    known += f" QUALIFY row_number() OVER ({newest} ORDER BY {DELIVERY} DESC) = 1"
    condition = " AND ".join([*equal, f"{ours} >= known.since"])
    return f"FROM {_ROWS} ASOF LEFT JOIN ({known}) AS known ON {condition} SELECT {_ROWS}.*, {', '.join(brought)}"


def _known(table: JoinedTable, store: Store) -> str:
    """The rows of *table* as a query without its end: keys, since when each was known, values, and its delivery."""
    join = table.join
    paths = store.tables.local_files(table.model, delta_table(table.name), table.files)
    listed = ", ".join(literal(path) for path in paths)
    delay = f" + {_span(join.delay)}" if join.delay else ""
    parts = [f"{quoted(their)} AS key{at}" for at, their in enumerate(join.key.values())]
    parts += [f"CAST({quoted(join.time)} AS TIMESTAMP){delay} AS since"]
    parts += [f"{quoted(their)} AS value{at}" for at, their in enumerate(join.columns.values())]
    return f"FROM read_parquet([{listed}], union_by_name = true) SELECT {', '.join([*parts, DELIVERY])}"


def _span(length: timedelta) -> str:
    return f"INTERVAL '{int(length.total_seconds())} seconds'"
