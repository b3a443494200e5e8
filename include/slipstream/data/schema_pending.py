"""The changes of columns that a batch brings to the data table, and what speaks for a column's being renamed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slipstream.cell_reading import CellReading
from slipstream.data.batch import PROBLEM, Batch, load_batch
from slipstream.data.casts import WIDER
from slipstream.data.likeness import Likeness, likeness
from slipstream.data.schema_check import SchemaChange, compare
from slipstream.data.schema_decisions import decisions_of, under_new_names
from slipstream.data.table_types import Base, called_anew
from slipstream.duck import duck, first_row, literal, quoted
from slipstream.errors import StageError
from slipstream.hints import similar
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.datasets import load_dataset, read_dataset

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class PendingChanges:
    """What a batch changes.

    Attributes:
        batch: The batch.
        changes: Added, removed, widened and retyped columns; none is taken for renamed.
        unreadable: Column -> share of its rows whose value the table's type cannot hold.
    """

    batch: Batch
    changes: tuple[SchemaChange, ...]
    unreadable: dict[str, float]

    def of(self, kind: str) -> dict[str, SchemaChange]:
        """Column -> its change, of that kind."""
        return {change.column: change for change in self.changes if change.kind == kind}


def waiting_batch(spec: ModelSpec, store: Store) -> Batch | None:
    """The newest batch, if it has not joined the table as that is now; None if it has, or there is none."""
    model = store.ledger.state().model(spec.name)
    event = model.latest.get("ingest")
    name = event.content.result.batch if event is not None else ""
    batch = load_batch(store, spec.name, name) if name else None
    return batch if batch is not None and batch.table and batch.table == model.dataset else None


def undecided(spec: ModelSpec, store: Store) -> tuple[SchemaChange, ...]:
    """The changes of columns for which the batch that waits is refused, as long as nobody accepts them."""
    batch = waiting_batch(spec, store)
    if batch is None:
        return ()
    changes = (*compare(table_of(spec, store, batch).typed_columns, batch.columns), *batch.changes)
    decisions = decisions_of(store.ledger.state().model(spec.name))
    return decisions.open(change for change in changes if not change.harmless)


def table_of(spec: ModelSpec, store: Store, batch: Batch) -> Base:
    """The data table that *batch* was to join, as it was called when the batch was read.

    Raises:
        StageError: ``run_not_found``: there is no table yet.
    """
    state = store.ledger.state()
    if state.model(spec.name).dataset is None:
        message = f"{spec.name} has no data yet: the first batch makes the columns; ingest and validate it."
        raise StageError(message, code="run_not_found")
    dataset = load_dataset(store.objects, state, spec.name, str(state.model(spec.name).dataset))
    renames = decisions_of(state.model(spec.name), batch.decisions).renames_of(dataset.columns)
    return Base(
        under_new_names(dataset.columns, renames),
        lambda connection: called_anew(read_dataset(store.tables, dataset, connection), renames),
    )


def pending_changes(batch: Batch, table: Base, where: Store) -> PendingChanges:
    """What the *batch*, which lies in the store *where*, changes of the columns of the *table*."""
    changes: list[SchemaChange] = []
    kinds = dict(batch.columns)
    for change in compare(table.typed_columns, batch.columns):
        if change.kind == "renamed":
            changes.append(SchemaChange("removed", change.column, change.was))
            changes.append(SchemaChange("added", change.now, now=kinds[change.now]))
        else:
            changes.append(change)
    changes += batch.changes
    unreadable = _unreadable(batch, table, where)
    known = {change.column for change in batch.changes}
    changes += [
        SchemaChange("retyped", name, table.columns[name], "VARCHAR") for name in unreadable if name not in known
    ]
    return PendingChanges(batch, tuple(changes), unreadable)


def _unreadable(batch: Batch, table: Base, where: Store) -> dict[str, float]:
    """Column -> share of the batch's rows that were set aside for its value."""
    if not batch.aside_rows:
        return {}
    names = [name for name, kind in table.typed_columns if kind != "VARCHAR"]
    marks = [f"count_if(contains('; ' || {PROBLEM}, {literal(f'; {name}: ')} || chr(39)))" for name in names]
    if not marks:
        return {}
    with duck() as connection:
        counts = first_row(connection.read_parquet(str(where.objects.path(batch.aside))).aggregate(", ".join(marks)))
    whole = batch.rows + batch.aside_rows
    return {name: count / whole for name, count in zip(names, counts, strict=True) if count}


def compared(old: str, new: str, pending: PendingChanges, table: Base, where: Store) -> Likeness:
    """How like the values of the column *old* of the table and *new* of the batch are."""
    with duck() as connection:
        rows = _batch_rows(pending.batch, where, connection)
        return _likeness(rows, _table_rows(table, connection), (old, table.columns[old]), new)


def same_family(one: str, other: str) -> bool:
    """Whether columns of these types can be one."""
    return one == other or (one, other) in WIDER or (other, one) in WIDER


def suggested(pending: PendingChanges, table: Base, where: Store) -> dict[str, tuple[str, Likeness]]:
    """Removed column -> the added one that it may be called now, by its name or its values, and how like they are."""
    removed, added = pending.of("removed"), pending.of("added")
    candidates: list[tuple[bool, float, str, str, Likeness]] = []
    with duck() as connection:
        rows, old_rows = _batch_rows(pending.batch, where, connection), _table_rows(table, connection)
        for old, gone in removed.items():
            for new, came in added.items():
                if same_family(gone.was, came.now):
                    how = _likeness(rows, old_rows, (old, gone.was), new)
                    near = bool(similar(old.lower(), [new.lower()]))
                    if near or (how.alike and gone.was not in {"BOOLEAN", "DATE", "TIMESTAMP"}):
                        candidates.append((not near, how.distance, old, new, how))
    pairs: dict[str, tuple[str, Likeness]] = {}
    for _, _, old, new, how in sorted(candidates, key=lambda one: one[:4]):
        if old not in pairs and new not in [name for name, _ in pairs.values()]:
            pairs[old] = new, how
    return pairs


def _batch_rows(batch: Batch, where: Store, connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
    """The rows of the batch, those that were set aside for another column among them."""
    names = ", ".join(quoted(name) for name, _ in batch.columns)
    rows = batch.read(where, connection).project(names)
    if not batch.aside_rows:
        return rows
    aside = connection.read_parquet(str(where.objects.path(batch.aside)))
    cells = [
        f"{CellReading(kind).value(name) if name in aside.columns else f'CAST(NULL AS {kind})'} AS {quoted(name)}"
        if kind != "VARCHAR" or name not in aside.columns
        else quoted(name)
        for name, kind in batch.columns
    ]
    return rows.union(aside.project(", ".join(cells)))


def _table_rows(table: Base, connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
    if table.read is None:
        raise StageError("there is no data yet to compare with; ingest and validate a batch.", code="run_not_found")
    rows: duckdb.DuckDBPyRelation = table.read(connection)
    return rows


def _likeness(
    rows: duckdb.DuckDBPyRelation, old_rows: duckdb.DuckDBPyRelation, old: tuple[str, str], new: str
) -> Likeness:
    return likeness((old_rows, old[0]), (rows, new), old[1])


def texts_not(table: Base, column: str, unreadable: str) -> Sequence[str]:
    """At most three values of the table's *column* for which the SQL *unreadable* holds."""
    with duck() as connection:
        rows = _table_rows(table, connection).filter(unreadable).project(f"CAST({quoted(column)} AS VARCHAR) AS cell")
        return [str(row[0]) for row in rows.distinct().order("cell").limit(3).fetchall()]
