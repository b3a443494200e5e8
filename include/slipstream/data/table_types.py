"""The types of the data table meet those of a batch: equal, wider, or a row that the table cannot hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slipstream.cell_reading import CellReading
from slipstream.data.batch import load_batch
from slipstream.data.casts import WIDER, Cast, cast
from slipstream.data.schema_check import SchemaChange
from slipstream.data.schema_decisions import decisions_of, under_new_names
from slipstream.duck import columns_of, duck, first_row, quoted
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.datasets import load_dataset, read_dataset
from slipstream.store.state import State

if TYPE_CHECKING:
    import duckdb

_WHOLE = 2**53


@dataclass(frozen=True)
class Base:
    """The data table that a batch is to join.

    Attributes:
        typed_columns: ``(name, type)`` of its columns; none before the first batch.
        read: Its rows, on a connection.
        readings: Column -> how it was read from what was delivered; None if nobody knows.
        declared: Columns whose type the model file says, or a person accepted.
        types: Column -> the type that a person accepted for it.
        renames: ``(old, new)`` of columns that what was delivered calls as they were called before.
    """

    typed_columns: tuple[tuple[str, str], ...] = ()
    read: Callable[[Any], Any] | None = None
    readings: Mapping[str, CellReading] | None = None
    declared: frozenset[str] = frozenset()
    types: Mapping[str, str] = field(default_factory=dict)
    renames: tuple[tuple[str, str], ...] = ()

    @property
    def columns(self) -> dict[str, str]:
        """Column -> type."""
        return dict(self.typed_columns)


def newest_base(spec: ModelSpec, store: Store, state: State) -> Base:
    """The data table as *state* has it, and how its newest batch was read."""
    newest, decisions = state.model(spec.name).dataset, decisions_of(state.model(spec.name))
    if newest is None:
        return Base(types=decisions.types)
    batch = state.model(spec.name).committed(newest).batch
    dataset = load_dataset(store.objects, state, spec.name, newest)
    renames = decisions.renames_of(dataset.columns)
    readings = load_batch(store, spec.name, batch).readings if batch else {}
    return Base(
        under_new_names(dataset.columns, renames),
        lambda connection: called_anew(read_dataset(store.tables, dataset, connection), renames),
        {renames.get(name, name): reading for name, reading in readings.items()} or None,
        declared(spec, decisions.types),
        decisions.types,
    )


def declared(spec: ModelSpec, types: Mapping[str, str]) -> frozenset[str]:
    """The columns whose type the model file says, or a person accepted."""
    return frozenset({*types, *(name for name, column in spec.data.columns.items() if column.type)})


def called_anew(rows: duckdb.DuckDBPyRelation, renames: Mapping[str, str]) -> duckdb.DuckDBPyRelation:
    """The *rows* with their columns under the new names."""
    if not renames:
        return rows
    return rows.project(", ".join(f"{quoted(name)} AS {quoted(renames.get(name, name))}" for name in rows.columns))


def readings_of(store: Store, model: str, dataset: str) -> Mapping[str, CellReading]:
    """How the columns of that dataset version were read from what was delivered; none for one of an earlier time."""
    known = store.ledger.state().model(model)
    batch = known.committed(dataset).batch if dataset in known.datasets else None
    return load_batch(store, model, batch).readings if batch else {}


def read_as(readings: Mapping[str, CellReading], name: str, kind: str) -> CellReading:
    """How a cell of a column of that *kind* is read; features.py may have made another column of that name."""
    reading = readings.get(name)
    same = reading is not None and (reading.type == kind or (reading.type, kind) in WIDER)
    return reading.as_type(kind) if reading is not None and same else CellReading(kind)


@dataclass(frozen=True)
class Settled:
    """The types that a batch's columns get.

    Attributes:
        casts: How each is brought to its type.
        changes: The types of the table that change, or should.
    """

    casts: tuple[Cast, ...]
    changes: tuple[SchemaChange, ...] = ()


def settle(rows: duckdb.DuckDBPyRelation, base: Base) -> Settled:
    """The types of *rows*, which are of our six, in the table: as the table has them, wider where no value changes."""
    kinds, table = dict(columns_of(rows)), base.columns
    differing = [name for name, kind in kinds.items() if name in table and table[name] != kind]
    if not differing:
        return Settled(tuple(Cast(name, kind, quoted(name)) for name, kind in kinds.items()))
    facts = _facts(rows, differing, kinds)
    old = _table_facts(base, [name for name in differing if facts[name].known])
    wanted: dict[str, str] = {}
    changes = []
    for name in differing:
        was, now = table[name], kinds[name]
        wanted[name], change = _wanted(was, now, facts[name], old.get(name, _NOTHING), name in base.declared)
        if change:
            changes.append(SchemaChange(change, name, was, now))
    casts = [
        cast(name, kind, CellReading(wanted[name]))
        if wanted.get(name, kind) != kind
        else Cast(name, kind, quoted(name))
        for name, kind in kinds.items()
    ]
    return Settled(tuple(casts), tuple(changes))


@dataclass(frozen=True)
class _Facts:
    known: int = 0
    narrow: bool = True
    """Whether every value fits the narrower type of its family: whole numbers, days."""
    greatest: float = 0


_NOTHING = _Facts()


def _wanted(was: str, now: str, facts: _Facts, old: _Facts, declared: bool) -> tuple[str, str]:
    """The type that the column gets, and the kind of change that this is; "" for none."""
    if not facts.known:
        return was, ""
    if (now, was) in WIDER:
        return was, ""
    if not old.known:
        return now, "decided"
    if (was, now) not in WIDER:
        return was, "retyped"
    if facts.narrow:
        return was, ""
    if declared or old.greatest >= _WHOLE:
        return was, "retyped"
    return now, "widened"


def _facts(rows: duckdb.DuckDBPyRelation, names: Sequence[str], kinds: Mapping[str, str]) -> dict[str, _Facts]:
    aggregates = []
    for name in names:
        column = quoted(name)
        narrow = {"DOUBLE": f"{column} = trunc({column})", "TIMESTAMP": f"{column} = date_trunc('day', {column})"}
        aggregates += [f"count({column})", f"coalesce(bool_and({narrow.get(kinds[name], 'true')}), true)"]
    results = iter(first_row(rows.aggregate(", ".join(aggregates))))
    return {name: _Facts(int(next(results)), bool(next(results))) for name in names}


def _table_facts(base: Base, names: Sequence[str]) -> dict[str, _Facts]:
    """How many values the table has in each column, and the greatest whole number."""
    if not names or base.read is None:
        return {}
    aggregates: list[Any] = []
    for name in names:
        column = quoted(name)
        aggregates += [f"count({column})"]
        aggregates += [f"coalesce(max(abs({column}::DOUBLE)), 0)" if base.columns[name] == "BIGINT" else "0"]
    with duck() as connection:
        results = iter(first_row(base.read(connection).aggregate(", ".join(aggregates))))
    return {name: _Facts(int(next(results)), True, float(next(results))) for name in names}
