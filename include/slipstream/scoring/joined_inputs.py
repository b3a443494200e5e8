"""The inputs that a version has from joined tables, brought to rows that lack them by the join of its training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from slipstream.cell_reading import CellReading
from slipstream.data.joins.as_of import with_joined
from slipstream.data.joins.table import JoinedTable, load_joined, newest_event
from slipstream.data.table_types import read_as, readings_of
from slipstream.errors import DataError, SpecError, shown
from slipstream.hints import did_you_mean
from slipstream.scoring.typed_rows import KeyColumn, cell
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.payloads import JoinedCommitted

if TYPE_CHECKING:
    import duckdb

_TIME, _KEY = "slipstream_time", "slipstream_key"


@dataclass(frozen=True)
class JoinedInputs:
    """What can be joined to rows.

    Attributes:
        tables: The joined tables of the model file that the version was trained by, as they are now.
        time: The event time, as deliveries have it.
        readings: How columns of deliveries are read.
        store: Holds the tables.
    """

    tables: tuple[JoinedTable, ...]
    time: str
    readings: Mapping[str, CellReading]
    store: Store

    @property
    def versions(self) -> dict[str, str]:
        """Name of each table -> its version."""
        return {table.name: table.id for table in self.tables}

    def brought(
        self, rows: duckdb.DuckDBPyRelation, inputs: Sequence[str], kinds: Mapping[str, str], file: str
    ) -> tuple[duckdb.DuckDBPyRelation, tuple[KeyColumn, ...]]:
        """*rows* with those of the *inputs* that they lack and a table has, and the columns that these were found by.

        Args:
            rows: Of *file*; their order is kept.
            inputs: What the version takes.
            kinds: Column -> type, of the rows.
            file: Its name.

        Raises:
            DataError: ``rows_columns_missing``: they lack the event time or a key.
        """
        needed = {table.name: [name for name in inputs if name in table.join.columns and name not in kinds]
                  for table in self.tables}  # fmt: skip
        tables = [table for table in self.tables if needed[table.name]]
        if not tables:
            return rows, ()
        for table in tables:
            self._refuse_incomplete(table, needed[table.name][0], kinds, file)
        time = KeyColumn(self.time, self._time_reading)
        parts = [f"{cell(time.name, kinds[time.name], time.reading)[0]} AS {_TIME}"]
        found_by, renamed = {time.name: time}, []
        for table in tables:
            theirs, keys = dict(table.columns), {}
            for our, their in table.join.key.items():
                key = KeyColumn(our, read_as(self.readings, our, theirs[their]))
                alias = f"{_KEY}{len(parts)}"
                parts.append(f"{cell(our, kinds[our], key.reading)[0]} AS {alias}")
                keys[alias] = their
                found_by[our] = key
            columns = {name: table.join.columns[name] for name in needed[table.name]}
            join = table.join.model_copy(update={"key": keys, "columns": columns})
            renamed.append(dataclasses.replace(table, join=join))
        return with_joined(rows.project(f"*, {', '.join(parts)}"), _TIME, renamed, self.store), tuple(found_by.values())

    @property
    def _time_reading(self) -> CellReading:
        reading = self.readings.get(self.time)
        return reading if reading and reading.type in {"DATE", "TIMESTAMP"} else CellReading("TIMESTAMP")

    def _refuse_incomplete(self, table: JoinedTable, name: str, kinds: Mapping[str, str], file: str) -> None:
        for column in (self.time, *table.join.key):
            if column not in kinds:
                hint = did_you_mean(column, kinds, "it has")
                message = (
                    f"{file}: input {shown(name)} is not among its columns, and to bring it by data.join.{table.name} "
                    f"column {shown(column)} is needed; {hint}"
                )
                raise DataError(message, code="rows_columns_missing")


def joined_inputs(spec: ModelSpec, store: Store, version: int) -> JoinedInputs | None:
    """What the *version* was trained to have joined, with the newest rows of each table; None if nothing was.

    Raises:
        NotFound: ``joined_not_found``: a table has no rows yet.
        SpecError: ``spec_outdated``: the version was trained by a model file that this release does not understand.
    """
    model = store.ledger.state().model(spec.name)
    trained = model.runs.get(model.packaged(version).candidate)
    if trained is None or not trained.content.spec:
        return None
    try:
        then = ModelSpec.model_validate(store.objects.get_json(trained.content.spec))
    except ValidationError as error:
        message = f"{spec.name}: version {version} was trained by a model file of another release; train it anew."
        raise SpecError(message, code="spec_outdated") from error
    if not then.data.join:
        return None
    tables = []
    for name in then.data.join:
        event = newest_event(then, store, name)
        tables.append(load_joined(then, store, name, event.content_as(JoinedCommitted).joined if event else ""))
    readings = readings_of(store, spec.name, model.dataset) if model.dataset else {}
    return JoinedInputs(tuple(tables), str(then.data.time), readings, store)
