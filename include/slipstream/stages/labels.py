"""Labels: brings what turned out to be true of predictions from a file or a table into the model's labels table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from slipstream.cell_reading import CellReading
from slipstream.data.batch import in_full, recorded
from slipstream.data.table_types import readings_of
from slipstream.duck import columns_of, duck, literal, quoted
from slipstream.errors import DataError, SpecError, shown
from slipstream.ground_truth.delivered import By, LabelsRead, label_columns, label_reading, read
from slipstream.ground_truth.joined import schema_of
from slipstream.model_schema import Schema
from slipstream.newest import champion_of
from slipstream.runs import Result, Stage, once, read_until, run_key
from slipstream.slots import SOURCE
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.datasets import load_dataset
from slipstream.store.labels import TABLE, deliver_newest, digest, overtaken
from slipstream.store.objects import canonical_json

if TYPE_CHECKING:
    import duckdb

STAGE = Stage("labels", version=1)
# Nothing is guessed: a guess may skip lines.
_CSV = """quote = '"', escape = '"', header = true, all_varchar = true, skip = 0, strict_mode = true"""
_READERS = {
    ".csv": f"read_csv({{}}, delim = ',', {_CSV})",
    ".tsv": f"read_csv({{}}, delim = '\t', {_CSV})",
    ".parquet": "read_parquet({})",
    ".pq": "read_parquet({})",
    ".jsonl": "read_json({}, format = 'newline_delimited')",
    ".ndjson": "read_json({}, format = 'newline_delimited')",
}


@dataclass(frozen=True)
class Labelled(Result):
    """What one delivery of labels brought.

    Attributes:
        rows: Its rows.
        new: Labels that were added: those of its good rows, equal ones once; 0 if this very delivery was there before.
        bad: Rows that were left out, because they have no usable id or label.
        problems: What is wrong with the first of them.
        source: What tells the source of the model file that was read; "" for what is none.
        watermark: Where its next reading starts.
    """

    rows: int
    new: int = 0
    bad: int = 0
    problems: tuple[str, ...] = field(default=())
    source: str = ""
    watermark: str = ""


def labels(
    spec: ModelSpec,
    store: Store,
    rows: duckdb.DuckDBPyRelation | Path | str | None = None,
    *,
    by: By | None = None,
    actor: str = "",
) -> Labelled:
    """Add the labels of a file, a relation or a source; what was added before is not added again.

    The columns are ``id`` (of the prediction) or those of ``data.key``, ``label`` or the target's name, and if wanted
    ``time``: since when the label is true (without a zone it is UTC); without it since now.

    Args:
        spec: The model.
        store: The store.
        rows: A CSV, Parquet or JSON-lines file (local or ``s3://``), or a DuckDB relation; None for what the source
            ``monitor.labels`` of the model file has that is new.
        by: ``prediction``: predictions are told by ``id``; ``key``: by the columns of ``data.key``; None: by what is
            there, which is refused where the key itself is called ``id``; in a source the key comes first.
        actor: Who brings them; kept with each label.

    Raises:
        NotFound: ``champion_missing``: nothing says yet what a label can be.
        SourceError: the file cannot be read.
        SpecError: ``labels_by``: *by* is another word; ``labels_source_missing``: the model file names no source.
        DataError: ``labels_unreadable``, ``labels_columns_missing``, ``labels_ambiguous``, or ``labels_all_bad``: no
            row is usable.
        StageError: ``key_not_kept``: captured predictions do not hold the key.
    """
    by = parsed_by(by)
    number, _ = champion_of(store, spec)
    schema = schema_of(spec, store, number)
    with TemporaryDirectory(prefix="slipstream-") as name:
        folder = Path(name)
        source = _Delivered() if rows is not None else _of_source(spec, store, folder)
        if rows is None and not source.files:
            return Labelled(0, source=source.digest, watermark=source.watermark)
        delivered = rows if rows is not None and not isinstance(rows, Path | str) else None
        files = source.files or ([] if delivered is not None else _files(spec, str(rows), folder))
        what = source.name or str(rows)
        with nullcontext(delivered) if delivered is not None else _relation(files, what) as relation:
            if rows is None and spec.data.key and set(spec.data.key) <= set(relation.columns):
                # A database that tells outcomes knows the model's key; of prediction ids it seldom does.
                by = by or "key"
            if rows is None:
                # A table of outcomes has rows whose outcome is not known yet.
                known = next((name for name in ("label", spec.target) if name in relation.columns), None)
                relation = relation.filter(f"{quoted(known)} IS NOT NULL") if known else relation
            columns = label_columns(
                spec, schema, relation, by, _reading(spec, store, schema), _key_kinds(spec, store, schema)
            )
            labels_read = read(columns, relation, folder)
        if not labels_read.rows:
            return Labelled(0)
        if not labels_read.good:
            raise _all_bad(spec, labels_read, by)
        return _once(spec, store, labels_read, source, actor)


def _once(spec: ModelSpec, store: Store, labels_read: LabelsRead, source: _Delivered, actor: str) -> Labelled:
    inputs = {
        "labels": digest(labels_read),
        "rows": labels_read.rows,
        "bad": labels_read.bad,
        "problems": list(labels_read.problems),
        **({"source": source.digest, "watermark": source.watermark} if source.digest else {}),
    }
    if store.ledger.find(STAGE.event, spec.name, run_key(STAGE, {}, inputs)) is not None:
        inputs["since"] = overtaken(labels_read, store.tables.paths(spec.name, TABLE))
    inputs = {name: value for name, value in inputs.items() if value != ""}
    return once(
        STAGE,
        spec,
        store,
        run_key(STAGE, {}, inputs),
        lambda _: replace(
            _add_labels(spec, store, labels_read, actor), source=source.digest, watermark=source.watermark
        ),
        result=Labelled,
        actor=actor,
    )


@dataclass(frozen=True)
class _Delivered:
    """What the source of the model file brought.

    Attributes:
        digest: What tells the source.
        watermark: Where its next reading starts, as events carry it.
        files: The files.
        name: What errors call them.
    """

    digest: str = ""
    watermark: str = ""
    files: Sequence[Path] = ()
    name: str = ""


def _of_source(spec: ModelSpec, store: Store, folder: Path) -> _Delivered:
    config = spec.monitor.labels
    if config is None:
        message = f"{spec.name}: name a file of labels, or a source as monitor.labels in the model file."
        raise SpecError(message, code="labels_source_missing")
    named = hashlib.sha256(canonical_json(config)).hexdigest()
    source = SOURCE.build(config, allow_code=spec.allow_code)
    delivery = source.deliver(spec, in_full(store, read_until(store, spec, STAGE.name, named)), folder)
    names = list(delivery.files.values())
    return _Delivered(named, recorded(store, delivery.watermark), list(delivery.files), ", ".join(names[:3]))


def _all_bad(spec: ModelSpec, labels_read: LabelsRead, by: By | None) -> DataError:
    message = f"{spec.name}: none of {labels_read.rows:,} labels is usable: {'; '.join(labels_read.problems[:3])}."
    if "id" in spec.data.key and by is None:
        message += " Column 'id' was read as the id of the prediction; by: key reads it as the model's key."
    return DataError(message, code="labels_all_bad")


def _reading(spec: ModelSpec, store: Store, schema: Schema) -> CellReading | None:
    newest = store.ledger.state().model(spec.name).dataset
    return label_reading(schema, readings_of(store, spec.name, newest)) if newest else None


def _key_kinds(spec: ModelSpec, store: Store, schema: Schema) -> dict[str, str]:
    """Columns of the key that no request has, and their types: batch jobs hand them through."""
    state = store.ledger.state()
    dataset = state.model(spec.name).dataset
    if dataset is None:
        return {}
    kinds = dict(load_dataset(store.objects, state, spec.name, dataset).columns)
    return {name: kinds[name] for name in spec.data.key if name not in schema.names and name in kinds}


def parsed_by(word: str | None) -> By | None:
    """How predictions are told, as a template or a form says it; raises SpecError ``labels_by`` for another word."""
    if word in {"key", "prediction"}:
        return word  # type: ignore[return-value]
    if word:
        raise SpecError(f"by: {shown(word)} is neither key nor prediction.", code="labels_by")
    return None


def _add_labels(spec: ModelSpec, store: Store, labels_read: LabelsRead, actor: str) -> Labelled:
    files = partial(store.tables.paths, spec.name, TABLE)
    added = deliver_newest(store.tables.stream(spec.name, TABLE), labels_read, actor, files)
    return Labelled(labels_read.rows, labels_read.good if added else 0, labels_read.bad, labels_read.problems)


def _files(spec: ModelSpec, path: str, folder: Path) -> list[Path]:
    from slipstream.sources.listing import local_copy, matching

    files = [local_copy(one, folder) for one in matching(path, spec.folder)]
    if not files:
        raise DataError(f"{path}: there is no such file.", code="labels_unreadable")
    return files


@contextmanager
def _relation(files: Sequence[Path], name: str) -> Iterator[duckdb.DuckDBPyRelation]:
    """The rows as a relation, as they are in the files: cells of CSV are text."""
    import duckdb

    kinds = {file.suffix.lower() for file in files}
    reader = _READERS.get(kinds.pop()) if len(kinds) == 1 else None
    if reader is None:
        message = f"{name}: expected files of one kind, by the end of their names: {', '.join(_READERS)}."
        raise DataError(message, code="labels_unreadable")
    listed = f"[{', '.join(literal(str(file)) for file in files)}]"
    with duck() as connection:
        try:
            relation = connection.sql(f"SELECT * FROM {reader.format(listed)}")  # noqa: S608 - quoted names of files
            columns_of(relation)
            yield relation
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            message = f"{name}: cannot be read: {str(error).splitlines()[0][:300]}"
            raise DataError(message, code="labels_unreadable") from error
