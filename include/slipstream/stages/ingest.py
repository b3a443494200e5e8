"""Ingest: ask the source for what is newer than the watermark and land it as a typed batch.

Nothing reaches the data table here; :mod:`slipstream.stages.validate` alone commits.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from slipstream.data.batch import in_full, load_batch, recorded
from slipstream.data.derived import mixed
from slipstream.data.joins.take_in import take_in_all
from slipstream.data.landing import land
from slipstream.data.lineage import COMMITTED, batches_of
from slipstream.data.schema_decisions import decisions_of
from slipstream.data.table_types import newest_base
from slipstream.errors import SourceError
from slipstream.runs import Result, Stage, once, run_key
from slipstream.slots import SOURCE, Delivery
from slipstream.spec.model import ModelSpec
from slipstream.spec.project import features_digest
from slipstream.store import Store
from slipstream.store.objects import sha256_file

INGEST = Stage("ingest", 2)
READS = ("name", "data")
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
        notes: What is to be said of its columns, at most 20 sentences.
        empty: Whether there was nothing new.
    """

    batch: str = ""
    rows: int = 0
    columns: int = 0
    bytes: int = 0
    watermark: str = ""
    origin: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    empty: bool = False


def ingest(spec: ModelSpec, store: Store, *, actor: str = "") -> Ingested:
    """Land what the source has after the last committed batch; ``empty``, and no event, when it has nothing new.

    Raises:
        SourceError: the source cannot be read.
        DataError: what it brought is malformed or larger than allowed.
        SpecError: model.yaml names a column or a function that is not there.
    """
    versions, remarks = take_in_all(spec, store, actor)
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
            if not delivered[0].files:
                return Ingested(watermark=start, empty=True)
            digests = " ".join(map(sha256_file, delivered[0].files))
            fingerprint = f"{digests} {delivered[0].watermark}"
        table = store.ledger.state().model(spec.name).dataset or ""
        inputs: dict[str, Any] = {
            "after": start,
            "fingerprint": fingerprint,
            "features": features_digest(spec),
            "table": table,
            **_decided(store, spec),
        }
        if versions:
            inputs["joined"] = versions

        def work(run: str) -> Ingested:
            delivery = delivered[0] if delivered else source.deliver(spec, after, folder)
            return _land(spec, store, start, delivery, (folder, versions, remarks))

        return once(INGEST, spec, store, run_key(INGEST, spec.part(*READS), inputs), work, result=Ingested, actor=actor)


def _land(
    spec: ModelSpec, store: Store, start: str, delivery: Delivery, beside: tuple[Path, dict[str, str], tuple[str, ...]]
) -> Ingested:
    folder, versions, remarks = beside
    if not delivery.files:
        raise SourceError("the source changed while it was read; run again.", code="source_changed")
    watermark = recorded(store, delivery.watermark)
    state = store.ledger.state()
    ledger_fields: dict[str, Any] = {"after": start, "watermark": watermark, **_decided(store, spec)}
    ledger_fields["table"] = state.model(spec.name).dataset or ""
    if versions:
        ledger_fields["joined"] = versions
    landed = land(spec, store, delivery, newest_base(spec, store, state), ledger_fields, folder)
    other = mixed(spec, store, load_batch(store, spec.name, landed.batch))
    notes = (*other, *remarks, *_grown(spec, store, delivery), *landed.notes)
    return Ingested(
        batch=landed.batch,
        rows=landed.rows,
        columns=landed.columns,
        bytes=landed.bytes,
        watermark=watermark,
        origin=tuple(delivery.files.values())[:_NAMES],
        notes=notes[:_NAMES],
    )


def _decided(store: Store, spec: ModelSpec) -> dict[str, str]:
    """The newest acceptance of a change of columns, by which a batch is read; nothing where there is none."""
    latest = decisions_of(store.ledger.state().model(spec.name)).latest
    return {"decisions": latest} if latest else {}


def _grown(spec: ModelSpec, store: Store, delivery: Delivery) -> list[str]:
    """That a file of the newest batch comes again with other content, and no key tells its old rows from new ones."""
    batches = batches_of(store.ledger.read(model=spec.name, kind=COMMITTED))
    last = load_batch(store, spec.name, batches[-1]).delivered if batches and batches[-1] else None
    known = {name for name, *_ in last["files"]} if last else set()
    again = [name for name in delivery.files.values() if Path(name).name in known]
    if spec.data.key or not again or spec.data.source["type"] != "files":
        return []
    return [
        f"{again[0]}: was read before and has changed: all of its rows come again. Name data.key, so that rows that "
        "are known are not added twice."
    ]
