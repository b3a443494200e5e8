"""A batch: what one ingest landed as objects: its typed rows, what could not be read, and the files as they came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from slipstream.cell_reading import CellReading
from slipstream.data.notes import ColumnNote
from slipstream.data.schema_check import SchemaChange
from slipstream.errors import NotFound, StageError, shown
from slipstream.store import Store

if TYPE_CHECKING:
    import duckdb

_LONG = 500
_KEPT = "object:"
POSITION = "file_row_number"
PROBLEM = "slipstream_problem"


@dataclass(frozen=True)
class Batch:
    """One batch.

    Attributes:
        id: Digest of its manifest.
        model: The model.
        columns: ``(name, DuckDB type)`` of each column, in order.
        file: Digest of the Parquet object that holds the rows.
        rows: Number of rows.
        after: The watermark that the batch follows, as the ledger records it.
        watermark: The watermark that committing it sets.
        aside: Digest of a Parquet object with the rows that cannot be read, as text, each with what is wrong with it in
            :data:`PROBLEM`; "" if there are none.
        aside_rows: How many.
        readings: Column that was delivered -> how it was read.
        notes: What is to be said of the columns.
        changes: Types of the data table that the batch changes, or would have to.
        delivered: Which objects hold the files as they came; None in batches of an earlier time.
        derived: Digest of what decided how the rows follow from those files.
        table: The dataset version whose types it was brought to; "" before the first.
        decisions: Id of the newest acceptance of a change of columns when it was read; "" for none.
        joined: Name of each joined table -> the version of it that the rows were joined with.
    """

    id: str
    model: str
    columns: tuple[tuple[str, str], ...]
    file: str
    rows: int
    after: str
    watermark: str
    aside: str = ""
    aside_rows: int = 0
    readings: Mapping[str, CellReading] = field(default_factory=dict)
    notes: tuple[ColumnNote, ...] = ()
    changes: tuple[SchemaChange, ...] = ()
    delivered: dict[str, Any] | None = None
    derived: str = ""
    table: str = ""
    decisions: str = ""
    joined: Mapping[str, str] = field(default_factory=dict)

    def read(self, store: Store, connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
        """The rows, verified, with their position (from 0) in column :data:`POSITION` after all others."""
        return connection.read_parquet(str(store.objects.path(self.file)), file_row_number=True)


def save_batch(store: Store, fields: dict[str, Any]) -> str:
    """Keep the manifest of a batch; returns the batch's id. *fields* are those of :class:`Batch` but for the id."""
    return store.objects.put_json({"kind": "batch", **fields})


def load_batch(store: Store, model: str, batch: str) -> Batch:
    """The batch of that id.

    Raises:
        StageError: ``batch_not_found`` if the id names no batch of this model.
    """
    try:
        stored: Any = store.objects.get_json(batch)
    except (NotFound, ValueError) as error:
        raise _not_found(model, batch) from error
    if not isinstance(stored, dict) or stored.pop("kind", None) != "batch" or stored.get("model") != model:
        raise _not_found(model, batch)
    return msgspec.convert({"id": batch, **stored}, Batch)


def recorded(store: Store, watermark: str) -> str:
    """The watermark as events carry it: as it is, or, where it is long, the name of an object that holds it."""
    return watermark if len(watermark) <= _LONG else _KEPT + store.objects.put(watermark.encode())


def in_full(store: Store, watermark: str) -> str:
    """The watermark as the source gave it; the reverse of :func:`recorded`."""
    if not watermark.startswith(_KEPT):
        return watermark
    return store.objects.get(watermark.removeprefix(_KEPT)).decode()


def _not_found(model: str, batch: str) -> StageError:
    message = f"{model} has no batch {shown(batch)}; ingest prints the ids of batches."
    return StageError(message, code="batch_not_found")
