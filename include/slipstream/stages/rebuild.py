"""Rebuild: derives the data table anew from the kept deliveries, by today's features.py and data.schema.

Old dataset versions stay as they are: the new one is a version of its own, in files of its own.
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from slipstream.data import delivered
from slipstream.data.batch import POSITION, Batch, load_batch
from slipstream.data.commit import Rejected, good_rows, set_aside
from slipstream.data.features import derivation
from slipstream.data.joins.take_in import take_in_all
from slipstream.data.landing import land
from slipstream.data.lineage import COMMITTED, batches_of, origin
from slipstream.data.schema_check import conformed, widened
from slipstream.data.schema_decisions import SchemaDecisions, decisions_of
from slipstream.data.table_types import Base, declared
from slipstream.duck import columns_of, duck, quoted, write_parquet
from slipstream.errors import Conflict, DataError, StageError
from slipstream.runs import Result, Stage, run_key
from slipstream.spec.model import ModelSpec
from slipstream.stages.validate import READS, judge_batch
from slipstream.store import Store
from slipstream.store.datasets import DATA, save_dataset
from slipstream.store.state import State

STAGE = Stage("rebuild", 1, event=COMMITTED)
_log = logging.getLogger("slipstream")


@dataclass(frozen=True)
class Rebuilt(Result):
    """A data table that was derived anew.

    Attributes:
        dataset: Id of the dataset version.
        before: The dataset version that it takes the place of.
        batches: How many batches it was derived from.
        rows: Its rows.
        quarantined: Rows that were set aside on the way.
    """

    dataset: str
    before: str
    batches: int
    rows: int
    quarantined: int = 0


@dataclass
class _Table:
    """The table as far as it is derived: a file for each batch, and the columns of all of them."""

    folder: Path
    joined: dict[str, str]
    files: list[Path] = dataclasses.field(default_factory=list)
    columns: tuple[tuple[str, str], ...] = ()
    batches: list[Batch] = dataclasses.field(default_factory=list)
    decisions: SchemaDecisions = dataclasses.field(default_factory=SchemaDecisions)
    rejected: list[Rejected] = dataclasses.field(default_factory=list)

    def base(self, spec: ModelSpec, batch: Batch) -> Base:
        """What the next batch, which was *batch* before, is to join."""
        types, renames = self.decisions.types, self.decisions.delivered_renames(batch.decisions)
        if not self.batches:
            return Base(types=types, renames=renames)
        readings = self.batches[-1].readings or None
        return Base(self.columns, self.read, readings, declared(spec, types), types, renames)

    def read(self, connection: Any) -> Any:
        """All rows so far."""
        return connection.read_parquet([str(file) for file in self.files], union_by_name=True)


def rebuild(spec: ModelSpec, store: Store, *, actor: str = "") -> Rebuilt:
    """Derive the data table anew; the newest version itself where nothing that decides it has changed.

    Raises:
        StageError: ``run_not_found``: there is no data yet; ``delivery_not_kept``: a batch is of a time when deliveries
            were not kept.
        DataError, ContractFailed: a batch is refused by today's contract; nothing is changed.
        Conflict: another batch was committed meanwhile.
    """
    state = store.ledger.state()
    before = state.model(spec.name).dataset
    if before is None:
        raise StageError(f"{spec.name} has no data yet; ingest and validate a batch first.", code="run_not_found")
    batches = batches_of(store.ledger.read(model=spec.name, kind=COMMITTED))
    decisions = decisions_of(state.model(spec.name))
    derived, (versions, _) = derivation(spec, decisions.types), take_in_all(spec, store, actor)
    inputs: dict[str, Any] = {"batches": list(batches), "derived": derived, "before": before}
    inputs |= {"decisions": decisions.latest} if decisions.latest else {}
    if versions:
        inputs["joined"] = versions
    key = run_key(STAGE, spec.part(*READS), inputs)
    run = f"{STAGE.name}-{key[:16]}"
    known = store.ledger.find(COMMITTED, spec.name, key)
    if known is not None:
        return dataclasses.replace(known.result_as(Rebuilt), reused=True)
    if all(_stands(load_batch(store, spec.name, batch), derived, versions) for batch in batches if batch):
        rows = state.model(spec.name).committed(before).rows
        return Rebuilt(before, before, len(batches), rows, run=run, reused=True)
    with TemporaryDirectory(prefix="slipstream-rebuild-") as name:
        table = _Table(Path(name), versions, decisions=decisions)
        for number, batch in enumerate(batches):
            _log.info("%s: batch %d of %d", spec.name, number + 1, len(batches))
            _derive(spec, store, batch, table, Path(name) / str(number))
        return _commit(spec, store, table, (before, run, key), actor)


def _stands(batch: Batch, derived: str, joined: dict[str, str]) -> bool:
    """Whether the batch is what it would be if it were derived now."""
    return batch.derived == derived and batch.joined == joined


def _derive(spec: ModelSpec, store: Store, batch: str, table: _Table, folder: Path) -> None:
    """One batch anew: landed, judged, and its new rows added to the table."""
    if not batch:
        raise StageError(f"{spec.name}: a batch of an earlier time cannot be derived anew.", code="delivery_not_kept")
    old = load_batch(store, spec.name, batch)
    folder.mkdir()
    base = table.base(spec, old)
    with delivered.delivery_of(store, batch, old.delivered, old.watermark) as delivery:
        ledger_fields: dict[str, Any] = {"after": old.after, "watermark": old.watermark, "table": ""}
        # It is of the files as they came, under the names that they had.
        ledger_fields |= {"decisions": old.decisions} if old.decisions else {}
        if table.joined:
            ledger_fields["joined"] = table.joined
        landed = load_batch(store, spec.name, land(spec, store, delivery, base, ledger_fields, folder).batch)
    try:
        rejected = judge_batch(spec, store, landed, tuple(base.columns.items()), table.decisions).rejected
    except DataError as error:
        error.args = (f"batch {batch[:12]}, derived anew: {error}",)
        raise
    columns = widened(table.columns, landed.columns)
    file = folder / "new.parquet"
    with duck() as connection:
        rows = good_rows(store, landed, rejected, connection)
        if table.files and spec.data.key:
            known = table.read(connection).project(", ".join(map(quoted, spec.data.key)))
            rows = rows.join(known, list(spec.data.key), how="anti")
        names = ", ".join(quoted(column) for column, _ in landed.columns)
        write_parquet(rows.order(POSITION).project(names), file)
    table.columns = columns
    table.files.append(file)
    table.batches.append(landed)
    table.rejected.append(rejected)


def _commit(spec: ModelSpec, store: Store, table: _Table, about: tuple[str, str, str], actor: str) -> Rebuilt:
    """Put the derived files in place of the table's, and record the new version."""
    before, run, key = about
    files = [_whole(file, table.columns, number) for number, file in enumerate(table.files)]
    for batch, rejected in zip(table.batches, table.rejected, strict=True):
        set_aside(spec, store, batch, rejected, run)
    stored = store.tables.replace(spec.name, DATA, files, run)
    dataset, manifest = save_dataset(store.objects, spec.name, table.columns, stored)
    aside = sum(batch.aside_rows for batch in table.batches) + sum(refused.rows for refused in table.rejected)
    result = Rebuilt(dataset.id, before, len(table.batches), dataset.rows, aside, run=run)
    origins = [origin(store, spec.name, batch.id) for batch in table.batches]
    payload = {
        "stage": STAGE.name,
        "run": run,
        "dataset": dataset.id,
        "manifest": manifest,
        "watermark": store.ledger.state().model(spec.name).watermark,
        "batch": table.batches[-1].id,
        "batches": [batch.id for batch in table.batches],
        "derived": {file.path: source for file, source in zip(stored, origins, strict=True)},
        "rows": dataset.rows,
        "added": 0,
        "joined": table.joined,
        "spec": store.objects.put_json(spec.model_dump(mode="json")),
        "result": result.figures(),
    }

    def check(state: State) -> None:
        if state.model(spec.name).dataset != before:
            message = f"{spec.name}: another batch was committed while the table was derived anew; run again."
            raise Conflict(message, code="dataset_moved")

    event = store.ledger.append(COMMITTED, spec.name, payload, key=key, actor=actor, check=check)
    return event.result_as(Rebuilt)


def _whole(file: Path, columns: tuple[tuple[str, str], ...], number: int) -> Path:
    """The file with all columns of the table, in its types."""
    with duck() as connection:
        rows = connection.read_parquet(str(file))
        projection = conformed(columns, columns_of(rows))
        if projection is None:
            return file
        target = file.with_name(f"whole-{number}.parquet")
        write_parquet(rows.project(projection), target)
    return target
