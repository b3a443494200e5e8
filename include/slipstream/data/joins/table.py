"""A joined table: its versions, each a list of immutable files, and how the rows of its source are read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from slipstream.cell_reading import CellReading
from slipstream.data.table_types import Base
from slipstream.errors import NotFound, SlipstreamError, shown
from slipstream.spec.data import ContractSpec, JoinSpec
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.objects import canonical_json
from slipstream.store.payloads import JoinedCommitted
from slipstream.store.state import Event
from slipstream.store.tables import TableFile

if TYPE_CHECKING:
    import duckdb

DELIVERY = "slipstream_delivery"
"""The column of a joined table's files that counts the deliveries: of two rows of one key and time the later counts."""


@dataclass(frozen=True)
class JoinedTable:
    """One version of a joined table.

    Attributes:
        id: Digest of its columns and of the checksums of its files.
        name: Its name in the model file.
        join: What the model file says of it.
        columns: ``(name, DuckDB type)`` of each column, without :data:`DELIVERY`.
        files: Its files in the store's table, oldest first.
        readings: Column -> how it was read from what was delivered.
        derived: Digest of what decides which rows it has of what was delivered.
        deliveries: How many deliveries it is made of.
        model: The model.
    """

    id: str
    name: str
    join: JoinSpec
    columns: tuple[tuple[str, str], ...]
    files: tuple[TableFile, ...]
    readings: Mapping[str, CellReading]
    derived: str
    deliveries: int
    model: str

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return sum(file.rows for file in self.files)

    def read(self, store: Store, connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
        """All rows in the order in which they came, each file verified first; there are some."""
        paths = store.tables.local_files(self.model, delta_table(self.name), self.files)
        return connection.read_parquet(paths, union_by_name=True)

    def base(self, store: Store) -> Base:
        """The table that the next delivery is to join."""
        declared = frozenset(name for name, column in self.join.typed_columns.items() if column.type)
        return Base(self.columns, lambda connection: self.read(store, connection), self.readings or None, declared)


def delta_table(name: str) -> str:
    """The table of the store that holds the rows."""
    return f"joined-{name}"


def table_spec(spec: ModelSpec, name: str) -> ModelSpec:
    """The joined table as if it were a model's data table, so that it is read by the same rules."""
    join = spec.data.join[name]
    data = spec.data.model_copy(
        update={
            "source": join.source,
            "columns": join.typed_columns,
            "missing": join.missing,
            "join": {},
            "features": None,
            "time": join.time,
            "key": (*join.key.values(), join.time),
        }
    )
    contract = ContractSpec(doubtful=spec.contract.doubtful)
    inputs = tuple(dict.fromkeys(join.columns.values()))
    return spec.model_copy(update={"data": data, "inputs": inputs, "target": join.time, "contract": contract})


def reading_digest(join: JoinSpec) -> str:
    """A digest of what decides which rows the table has of what its source delivers; another one reads all anew."""
    written = join.model_dump(mode="json")
    decides = {name: written[name] for name in ("source", "time", "schema", "missing")}
    return hashlib.sha256(canonical_json([decides, sorted(join.key.values())])).hexdigest()


def newest_event(spec: ModelSpec, store: Store, name: str) -> Event | None:
    """The event of the newest version; None before the first."""
    versions = store.ledger.state().model(spec.name).joined.get(name, {})
    return next(reversed(versions.values()), None)


def save_joined(
    store: Store, columns: Sequence[tuple[str, str]], files: Sequence[TableFile], facts: Mapping[str, Any]
) -> tuple[str, str]:
    """Keep a version; returns its id and the digest of its manifest, which the committing event must name."""
    names = [list(column) for column in columns]
    identity = store.objects.put_json({"columns": names, "files": [[file.sha256, file.rows] for file in files]})
    manifest = {**facts, "columns": names, "files": [asdict(file) for file in files]}
    return identity, store.objects.put_json(manifest)


def load_joined(spec: ModelSpec, store: Store, name: str, version: str) -> JoinedTable:
    """That version of the joined table called *name*; raises NotFound for one that was never committed."""
    versions = store.ledger.state().model(spec.name).joined.get(name, {})
    if version not in versions:
        message = f"{spec.name} has no version {shown(version[:12])} of joined table {name}; ingest first."
        raise NotFound(message, code="joined_not_found")
    manifest: Any = store.objects.get_json(versions[version].content_as(JoinedCommitted).manifest)
    return JoinedTable(
        version,
        name,
        spec.data.join[name],
        tuple((column, kind) for column, kind in manifest["columns"]),
        tuple(TableFile(**file) for file in manifest["files"]),
        msgspec.convert(manifest["readings"], dict[str, CellReading]),
        manifest["derived"],
        manifest["deliveries"],
        spec.name,
    )


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Errors within say that they are about the joined table, in the words of its part of the model file."""
    place = f"data.join.{name}"
    try:
        yield
    except SlipstreamError as error:
        text = str(error).replace("data.schema", f"{place}.schema").replace("data.source", f"{place}.source")
        error.args = (f"{place}: {text}",)
        raise
