"""Ingest: ask the source for what is newer than the watermark and land it as a typed batch.

Nothing reaches the data table here; :mod:`slipstream.stages.validate` alone commits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from slipstream.duck import TYPES, columns_of, duck, quoted, refuse_bulk, typed, write_parquet
from slipstream.errors import DataError, SourceError, SpecError
from slipstream.project import features_digest, load_function
from slipstream.slots import SOURCE, Delivery
from slipstream.spec import ModelSpec
from slipstream.stages.batch import in_full, recorded, save_batch
from slipstream.stages.contract import Result, Stage, once, run_key
from slipstream.store import Store
from slipstream.store.objects import sha256_file

if TYPE_CHECKING:
    import duckdb

INGEST = Stage("ingest", 1)
_NAMES = 20


@dataclass(frozen=True)
class Ingested(Result):
    """What one ingest brought.

    Attributes:
        batch: Id of the batch; ``""`` when there was nothing new.
        rows: Number of rows.
        columns: Number of columns.
        bytes: Size of the batch's Parquet file.
        watermark: Where the next batch starts, once this one is committed.
        origin: What was read, at most 20 names.
        empty: Whether there was nothing new.
    """

    batch: str = ""
    rows: int = 0
    columns: int = 0
    bytes: int = 0
    watermark: str = ""
    origin: tuple[str, ...] = ()
    empty: bool = False


def ingest(spec: ModelSpec, store: Store, *, actor: str = "") -> Ingested:
    """Land what the source has after the last committed batch; ``empty``, and no event, when it has nothing new.

    Raises:
        SourceError: the source cannot be read.
        DataError: what it brought is malformed or larger than allowed.
        SpecError: model.yaml names a function that features.py has not.
    """
    start = store.ledger.state().model(spec.name).watermark
    after = in_full(store, start)
    source = SOURCE.build(spec.data.source, allow_code=spec.allow_code)
    fingerprint = source.fingerprint(spec, after)
    if fingerprint is None:
        return Ingested(watermark=start, empty=True)
    with TemporaryDirectory(prefix="slipstream-ingest-") as name:
        folder = Path(name)
        delivered: list[Delivery] = []
        if not fingerprint:
            # Only reading tells what this source has: the rows themselves are then the fingerprint.
            delivered.append(source.deliver(spec, after, folder))
            if delivered[0].path is None:
                return Ingested(watermark=start, empty=True)
            fingerprint = f"{sha256_file(delivered[0].path)} {delivered[0].watermark}"
        inputs = {"after": start, "fingerprint": fingerprint, "features": features_digest(spec)}

        def work(run: str) -> Ingested:
            delivery = delivered[0] if delivered else source.deliver(spec, after, folder)
            return _land(spec, store, start, delivery, folder)

        return once(
            INGEST, spec, store, run_key(INGEST, spec.part("name", "data"), inputs), work, result=Ingested, actor=actor
        )


def _land(spec: ModelSpec, store: Store, start: str, delivery: Delivery, folder: Path) -> Ingested:
    if delivery.path is None:
        raise SourceError("the source changed while it was read; run again.", code="source_changed")
    with duck() as connection:
        file = _with_features(spec, connection, delivery.path, folder)
        relation = connection.read_parquet(str(file))
        rows, columns = refuse_bulk(relation, spec.data.max_rows), columns_of(relation)
    watermark = recorded(store, delivery.watermark)
    fields = {
        "model": spec.name,
        "columns": [list(column) for column in columns],
        "file": store.objects.put_file(file),
        "rows": rows,
        "after": start,
        "watermark": watermark,
    }
    return Ingested(
        batch=save_batch(store, fields),
        rows=rows,
        columns=len(columns),
        bytes=file.stat().st_size,
        watermark=watermark,
        origin=tuple(delivery.origin[:_NAMES]),
    )


def _with_features(spec: ModelSpec, connection: duckdb.DuckDBPyConnection, file: Path, folder: Path) -> Path:
    """The delivered rows with what the features function adds, typed; the file itself if nothing is to do."""
    rows = connection.read_parquet(str(file))
    if spec.data.features is None:
        if all(kind in TYPES for _, kind in columns_of(rows)):
            return file
        written = folder / "typed.parquet"
        write_parquet(typed(rows), written)
        return written
    written = folder / "features.parquet"
    write_parquet(_ordered(spec, typed(_applied(spec, rows))), written)
    return written


def _applied(spec: ModelSpec, rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    import duckdb

    name = str(spec.data.features)
    place = f"{spec.name}/features.py: {name}"
    function = load_function(spec, name)
    try:
        made = function(rows)
        if isinstance(made, duckdb.DuckDBPyRelation):
            made.limit(0).fetchall()
            return made
    except duckdb.Error as error:
        raise DataError(f"{place}: {error}", code="features_failed") from error
    message = f"{place}: returned {type(made).__name__!r}; it must take and give a DuckDB relation."
    raise SpecError(message, code="features_function_signature")


def _ordered(spec: ModelSpec, rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """The rows by time, then key, then all the rest: joins and groups leave an order that differs from run to run."""
    named = [name for name in (spec.data.time, *spec.data.key) if name in rows.columns]
    rest: Sequence[str] = () if spec.data.key else [name for name in rows.columns if name not in named]
    return rows.order(", ".join(quoted(name) for name in (*named, *rest)))
