"""The one place where a batch's rows reach the data table: once per batch, whoever else commits meanwhile."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from slipstream.data.batch import POSITION, PROBLEM, Batch
from slipstream.data.schema_check import conformed, widened
from slipstream.data.schema_decisions import SchemaDecisions, decisions_of, under_new_names
from slipstream.data.table_types import called_anew
from slipstream.data.validated import Validated
from slipstream.duck import columns_of, duck, first_row, quoted, write_parquet
from slipstream.errors import Conflict, StageError
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.datasets import DATA, Dataset, load_dataset, read_dataset, save_dataset
from slipstream.store.objects import sha256_file
from slipstream.store.payloads import DatasetCommitted
from slipstream.store.state import Event, ModelState, State
from slipstream.store.tables import TableFile

if TYPE_CHECKING:
    import duckdb

COMMITTED = "dataset.committed"
QUARANTINE = "quarantine"
ATTEMPTS = 20
_BASE_MOVED = "dataset_moved"


@dataclass(frozen=True)
class Rejected:
    """The rows of a batch that broke its contract, kept as an object, so that a rerun sets the same ones aside.

    Attributes:
        file: Digest of a Parquet object of their positions and ``failed_expectation``; ``""`` if there are none.
        rows: How many.
    """

    file: str = ""
    rows: int = 0


NONE = Rejected()


@dataclass(frozen=True)
class CommittedBatch:
    """What a commit did.

    Attributes:
        dataset: Id of the dataset version.
        added: Rows that are new in it.
        known: Good rows left out because their key was already in the table.
    """

    dataset: str
    added: int
    known: int


def base_columns(spec: ModelSpec, store: Store) -> tuple[tuple[str, str], ...]:
    """The columns of the newest dataset version, as they are called now; none before the first."""
    state = store.ledger.state()
    base = _base(spec, store, state)
    return _called_now(base, decisions_of(state.model(spec.name))) if base else ()


def set_aside(spec: ModelSpec, store: Store, batch: Batch, rejected: Rejected, run: str) -> None:
    """Append the rows that cannot be read and the rejected ones in full to the quarantine table, once per *run*.

    All of its columns are text, because it holds what fits into no other type.
    """
    origin = f"'{batch.id}' AS batch, '{run}' AS run"
    with duck() as connection, TemporaryDirectory(prefix="slipstream-") as folder:
        parts = []
        if batch.aside_rows:
            rows = connection.read_parquet(str(store.objects.path(batch.aside)))
            names = ", ".join(f"{quoted(name)} AS {_aside(name)}" for name in rows.columns if name != PROBLEM)
            parts.append(("unreadable", rows.project(f"{names}, {PROBLEM} AS failed_expectation, {origin}")))
        if rejected.rows:
            rows = batch.read(store, connection).join(_listed(store, rejected, connection), [POSITION]).order(POSITION)
            names = ", ".join(f"CAST({quoted(name)} AS VARCHAR) AS {_aside(name)}" for name, _ in batch.columns)
            parts.append(("rejected", rows.project(f"{names}, failed_expectation, {origin}")))
        for part, rows in parts:
            file = Path(folder) / f"{part}.parquet"
            write_parquet(rows, file)
            store.tables.append(spec.name, QUARANTINE, file, f"{run}-{batch.id[:16]}-{part}")


def _aside(name: str) -> str:
    """What a delivered column is called in the quarantine table, whose own columns come first."""
    return quoted(f"{name} (delivered)" if name.lower() in {"failed_expectation", "batch", "run"} else name)


def find_commit(spec: ModelSpec, store: Store, key: str) -> Event | None:
    """The event by which the run of that key committed its batch, if it did."""
    return store.ledger.find(COMMITTED, spec.name, key)


def commit(spec: ModelSpec, store: Store, batch: Batch, result: Validated, key: str, actor: str) -> Event:
    """Add the good rows of *batch* to the data table and record the new dataset version, exactly once per *key*.

    *result* is recorded with it, ``dataset``, ``added`` and ``known`` filled in.

    Raises:
        StageError: ``batch_stale`` or ``batch_committed``: other rows, or these, were committed since it was read.
        Conflict: other writers won every attempt.
    """
    rejected = Rejected(result.rejected, result.quarantined - batch.aside_rows)
    for _ in range(ATTEMPTS):
        state = store.ledger.state()
        base = _base(spec, store, state)
        if find_commit(spec, store, key) is None:
            _refuse_stale(spec, store, batch, state)
        done, payload = _prepared(spec, store, batch, rejected, base, result.run)
        figures = dataclasses.replace(result, dataset=done.dataset, added=done.added, known=done.known).figures()
        payload |= {"stage": "validate", "run": result.run, "result": figures}

        def check(state: State, base: Dataset | None = base) -> None:
            model = state.model(spec.name)
            if model.dataset != (base.id if base else None) or decisions_of(model).latest != batch.decisions:
                raise Conflict(f"{spec.name}: another batch was committed first.", code=_BASE_MOVED)

        try:
            return store.ledger.append(COMMITTED, spec.name, payload, key=key, actor=actor, check=check)
        except Conflict as error:
            if error.code != _BASE_MOVED:
                raise
    raise Conflict(f"{spec.name}: {ATTEMPTS} commits of batch {batch.id[:12]} lost against other batches; run again.")


def _prepared(
    spec: ModelSpec, store: Store, batch: Batch, rejected: Rejected, base: Dataset | None, run: str
) -> tuple[CommittedBatch, dict[str, Any]]:
    """Append what is new against *base*; returns what that makes and the fields that the event needs for it."""
    decisions = decisions_of(store.ledger.state().model(spec.name), batch.decisions)
    columns = widened(_called_now(base, decisions) if base else (), batch.columns)
    renames = decisions.renames_of(base.columns) if base else {}
    with TemporaryDirectory(prefix="slipstream-") as folder:
        file, added = _new_rows(spec, store, batch, rejected, (base, columns, renames), Path(folder))
        files = base.files if base else ()
        if base and columns[: len(base.columns)] != base.columns:
            new = [file] if added else []
            files = _retyped(spec, store, base, (columns, renames), [*new], (run, Path(folder)))
        elif added:
            # Named by its content: against another base other rows are new, and that is another append.
            files += store.tables.append(spec.name, DATA, file, f"{run}-{sha256_file(file)[:16]}")
    if base is None and not files:
        message = f"{spec.name}: no row of the first batch is good; there is no dataset version to make."
        raise StageError(message, code="data_batch_empty")
    dataset, manifest = save_dataset(store.objects, spec.name, columns, files)
    done = CommittedBatch(dataset.id, added, batch.rows - rejected.rows - added)
    payload = {
        "dataset": dataset.id,
        "manifest": manifest,
        "watermark": batch.watermark,
        "batch": batch.id,
        "rows": dataset.rows,
        "added": added,
    }
    if batch.joined:
        payload["joined"] = dict(batch.joined)
    return done, payload


def _retyped(
    spec: ModelSpec,
    store: Store,
    base: Dataset,
    schema: tuple[tuple[tuple[str, str], ...], Mapping[str, str]],
    new: list[Path],
    place: tuple[str, Path],
) -> tuple[TableFile, ...]:
    """All files of the table in the columns and under the names of *schema*, with the *new* ones behind them."""
    (columns, renames), (run, folder) = schema, place
    files = []
    with duck() as connection:
        for number, path in enumerate(store.tables.local_files(spec.name, DATA, base.files)):
            rows = connection.read_parquet(path)
            # A file may lack a column that came later.
            projection = conformed(columns, columns_of(rows), renames)
            file = folder / f"retyped-{number:05d}.parquet"
            write_parquet(rows.project(projection) if projection else rows, file)
            files.append(file)
    whole = hashlib.sha256("".join(map(sha256_file, (*files, *new))).encode()).hexdigest()[:16]
    return store.tables.replace(spec.name, DATA, (*files, *new), f"{run}-{whole}")


def _new_rows(
    spec: ModelSpec,
    store: Store,
    batch: Batch,
    rejected: Rejected,
    table: tuple[Dataset | None, tuple[tuple[str, str], ...], Mapping[str, str]],
    folder: Path,
) -> tuple[Path, int]:
    """A Parquet file of the good rows whose key is not in the *table*, in its columns to be; and their number."""
    base, columns, renames = table
    projection = conformed(columns, batch.columns)
    if not rejected.rows and projection is None and not (base and spec.data.key):
        return store.objects.path(batch.file), batch.rows
    file = folder / "new.parquet"
    with duck() as connection:
        rows = good_rows(store, batch, rejected, connection)
        if base and spec.data.key:
            known = called_anew(read_dataset(store.tables, base, connection), renames)
            known = known.project(", ".join(map(quoted, spec.data.key)))
            rows = rows.join(known, list(spec.data.key), how="anti")
        names = ", ".join(quoted(name) for name, _ in batch.columns)
        write_parquet(rows.order(POSITION).project(projection or names), file)
        count = first_row(connection.read_parquet(str(file)).aggregate("count(*)"))[0]
    return file, int(count)


def good_rows(
    store: Store, batch: Batch, rejected: Rejected, connection: duckdb.DuckDBPyConnection
) -> duckdb.DuckDBPyRelation:
    """The rows of the batch that are not rejected, with their position."""
    rows = batch.read(store, connection)
    if not rejected.rows:
        return rows
    return rows.join(_listed(store, rejected, connection), [POSITION], how="anti")


def _listed(store: Store, rejected: Rejected, connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
    return connection.read_parquet(str(store.objects.path(rejected.file)))


def _base(spec: ModelSpec, store: Store, state: State) -> Dataset | None:
    newest = state.model(spec.name).dataset
    return load_dataset(store.objects, state, spec.name, newest) if newest else None


def _called_now(base: Dataset, decisions: SchemaDecisions) -> tuple[tuple[str, str], ...]:
    return under_new_names(base.columns, decisions.renames_of(base.columns))


def _refuse_stale(spec: ModelSpec, store: Store, batch: Batch, state: State) -> None:
    model = state.model(spec.name)
    for event in model.on(COMMITTED):
        before = event.content_as(DatasetCommitted)
        if before.batch == batch.id:
            message = f"batch {batch.id[:12]} is already in dataset {before.dataset[:12]}; ingest for what is newer."
            raise StageError(message, code="batch_committed")
    if model.watermark != batch.after or batch.table != (model.dataset or ""):
        message = f"batch {batch.id[:12]} was read before the table changed, and may repeat its rows; ingest again."
        raise StageError(message, code="batch_stale")
    refuse_undecided(spec, batch, model)


def refuse_undecided(spec: ModelSpec, batch: Batch, model: ModelState) -> None:
    """Refuse a batch that waits, but was read before a change of columns was accepted; raises ``batch_stale``."""
    waits = batch.table == (model.dataset or "")
    if waits and batch.decisions != decisions_of(model).latest:
        message = (
            f"batch {batch.id[:12]} was read before a change of its columns was accepted; "
            f"read it anew: slipstream ingest {spec.name}."
        )
        raise StageError(message, code="batch_stale")
