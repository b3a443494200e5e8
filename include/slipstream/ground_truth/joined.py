"""Captured predictions with the labels that came for them: joined by DuckDB, figures from bounded arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from slipstream.bundle.bundle import open_bundle
from slipstream.duck import duck, first_row, literal, quoted
from slipstream.errors import StageError
from slipstream.label_types import class_numbers, class_texts
from slipstream.model_schema import Schema
from slipstream.spec.model import ModelSpec
from slipstream.statistics.intervals import figure
from slipstream.statistics.metrics import Figure
from slipstream.store import Store
from slipstream.store.predictions import key_sql, read_predictions

if TYPE_CHECKING:
    import duckdb

SAMPLE = 200_000
"""A figure is measured on at most so many rows, the newest."""
EVER = 1 << 62
"""Later than any time, in microseconds."""
NO_LABELS = (Figure(None, None, None), "no labels")
_ANSWERS = {"binary": "probability", "multiclass": "probabilities", "regression": "prediction"}
_EMPTY_PREDICTIONS = "SELECT '' AS id, 0 AS version, '' AS role, 0 AS moment, NULL AS answer, '' AS key WHERE false"
_EMPTY_LABELS = "SELECT ''::VARCHAR AS prediction_id, '' AS key, '' AS label, 0 AS moment, 0 AS received WHERE false"


@dataclass(frozen=True)
class JoinPart:
    """Some predictions of one version: those from *start* up to but not at *end*, in microseconds since 1970.

    Attributes:
        role: ``champion`` or ``challenger``; "" for both.
    """

    version: int
    start: int = -EVER
    end: int = EVER
    role: str = ""

    @property
    def sql(self) -> str:
        """The condition that selects them; made of numbers and a quoted word."""
        role = f" AND role = {literal(self.role)}" if self.role else ""
        return f"version = {self.version:d} AND moment >= {self.start:d} AND moment < {self.end:d}{role}"


@dataclass(frozen=True)
class Measured:
    """The deciding metric on the labelled rows of a part.

    Attributes:
        predictions: Rows of the part.
        labelled: Those whose label is known.
        figure: The metric; its value is None where it is not known.
        why: Why it is not known, in words; else "".
    """

    predictions: int
    labelled: int
    figure: Figure
    why: str = ""

    @property
    def coverage(self) -> float:
        """Share of the rows whose label is known."""
        return self.labelled / self.predictions if self.predictions else 0.0

    @property
    def sampled(self) -> bool:
        """Whether the figure is of the newest :data:`SAMPLE` rows only."""
        return self.labelled > SAMPLE


def schema_of(spec: ModelSpec, store: Store, version: int) -> Schema:
    """What that version takes and answers.

    Raises:
        StageError: ``version_not_found``.
    """
    model = store.ledger.state().model(spec.name)
    if version not in model.versions:
        raise StageError(f"{spec.name} has no version {version}.", code="version_not_found")
    files = open_bundle(store, model.packaged(version).bundle).files
    return msgspec.json.decode(files["schema.json"], type=Schema)


class Truth:
    """Predictions and labels of one model, in DuckDB.

    Its relations: ``predictions`` (id, version, role, moment, answer, key), without those of shadows;
    ``delivered_labels``: all labels; ``matched_labels`` (id, label, moment, received): those with the id of their
    prediction; ``resolved_labels`` (id, label, different, delivered): of each id the label that holds, and how many
    different ones and how many there are; ``labelled``: the predictions with a label.
    """

    def __init__(self, spec: ModelSpec, store: Store, connection: duckdb.DuckDBPyConnection) -> None:
        self.spec = spec
        self.connection = connection
        self.schemas: dict[int, Schema] = {}
        self._store = store

    def load(self, predictions: Sequence[str], labels: Sequence[str], only: JoinPart | None = None) -> None:
        """Find the rows of these Parquet files; of the predictions those of *only*, if it is given."""
        self._load_labels(labels)
        keyed = bool(self.row("SELECT count(*) FROM delivered_labels WHERE key <> ''")[0])
        self._load_predictions(predictions, keyed, only)
        few = "AND prediction_id IN (SELECT id FROM predictions) " if only is not None else ""
        by_key = (
            "UNION ALL SELECT p.id, d.label, d.moment, d.received "
            "FROM delivered_labels d JOIN predictions p USING (key)"
        )
        self._execute(
            "CREATE VIEW matched_labels AS SELECT prediction_id AS id, label, moment, received "  # noqa: S608
            f"FROM delivered_labels WHERE prediction_id <> '' {few}{by_key if keyed else ''}"
        )

    def resolve(self) -> None:
        """Give each prediction the label that holds: the newest."""
        self._execute(
            "CREATE TABLE resolved_labels AS SELECT id, arg_max(label, row(moment, received, label)) AS label, "
            "count(DISTINCT label) AS different, count(*) AS delivered FROM matched_labels GROUP BY id"
        )
        self._load_classes()
        # A label of which the version knows nothing says nothing of its answer, unless it may be a new class.
        fits = {
            "binary": "c.place IS NOT NULL",
            "multiclass": "true",
            "regression": "isfinite(TRY_CAST(t.label AS DOUBLE))",
        }
        self._execute(
            "CREATE TABLE labelled AS SELECT p.version, p.role, p.moment, p.id, p.answer, t.label, c.place "  # noqa: S608
            "FROM predictions p JOIN resolved_labels t USING (id) LEFT JOIN classes c ON c.version = p.version AND "
            f"c.label = t.label WHERE {fits[self.spec.task]} ORDER BY p.version, p.moment"
        )

    def _load_labels(self, files: Sequence[str]) -> None:
        if files:
            self.connection.read_parquet(list(files), union_by_name=True).create_view("label_files")
        times = "epoch_us(CAST(time AS TIMESTAMP)) AS moment, epoch_us(CAST(received AS TIMESTAMP)) AS received"
        query = f"SELECT prediction_id, key, label, {times} FROM label_files" if files else _EMPTY_LABELS  # noqa: S608
        self._execute(f"CREATE VIEW delivered_labels AS {query}")

    def _load_predictions(self, files: Sequence[str], keyed: bool, only: JoinPart | None) -> None:
        if not files:
            self._execute(f"CREATE VIEW predictions AS {_EMPTY_PREDICTIONS}")
            return
        rows = read_predictions(self.connection, files)
        rows.create_view("captured")
        there = set(rows.columns)
        answer = _ANSWERS[self.spec.task]
        if answer not in there:
            message = f"{self.spec.name}: the predictions table has no column {answer!r}, which task {self.spec.task}"
            raise StageError(f"{message} answers with; was the task changed?", code="stage_input_invalid")
        cast = "TRY_CAST(prediction AS DOUBLE)" if self.spec.task == "regression" else answer
        key = "''"
        if keyed:
            key = (
                key_sql({name: f"inputs.{quoted(name)}" for name in self.spec.data.key}, self._texts(rows))
                if self._has_key(rows)
                else "NULL"
            )
            # Batch jobs hand the key through, be it an input or not.
            key = f"coalesce(captured.key, {key})" if "key" in there else key
        self._execute(
            f"CREATE VIEW answered AS SELECT prediction_id AS id, version, role, "  # noqa: S608
            f'epoch_us(CAST("time" AS TIMESTAMP)) AS moment, {cast} AS answer, {key} AS key FROM captured '
            f"WHERE role <> 'shadow' AND {cast} IS NOT NULL"
        )
        kind = "VIEW predictions AS FROM answered" if only is None else "TABLE predictions AS FROM answered WHERE "
        self._execute(f"CREATE {kind}{only.sql if only is not None else ''}")

    def _fields(self, rows: duckdb.DuckDBPyRelation) -> dict[str, str]:
        """Name -> type of the inputs that are kept."""
        if "inputs" not in rows.columns:
            return {}
        return {name: str(kind) for name, kind in rows.types[rows.columns.index("inputs")].children}

    def _texts(self, rows: duckdb.DuckDBPyRelation) -> list[str]:
        return [name for name, kind in self._fields(rows).items() if kind == "VARCHAR"]

    def _has_key(self, rows: duckdb.DuckDBPyRelation) -> bool:
        return set(self.spec.data.key) <= self._fields(rows).keys()

    def _load_classes(self) -> None:
        """The number of each class of each version; of a binary task 1 for the positive one."""
        self._execute("CREATE TABLE classes (version BIGINT, label VARCHAR, place BIGINT)")
        for (version,) in self.connection.sql("SELECT DISTINCT version FROM predictions ORDER BY 1").fetchall():
            schema = self.schemas[version] = schema_of(self.spec, self._store, version)
            for number, text in enumerate(class_texts(schema)):
                self.connection.execute("INSERT INTO classes VALUES (?, ?, ?)", [version, text, number])

    def measured(self, part: JoinPart) -> Measured:
        """The deciding metric on the labelled rows of *part*."""
        (predictions,) = self.row(f"SELECT count(*) FROM predictions WHERE {part.sql}")  # noqa: S608 - numbers
        (labelled,) = self.row(f"SELECT count(*) FROM labelled WHERE {part.sql}")  # noqa: S608
        return Measured(predictions, labelled, *(self.figure(part) if labelled else NO_LABELS))

    def figure(self, part: JoinPart) -> tuple[Figure, str]:
        """The deciding metric on the labelled rows of *part*, of which there are some, and why it is not known."""
        measured = figure(self.spec.evaluate.metric, *self._arrays(part))
        return measured, "" if measured.value is not None else self._why(part)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What *sql* finds."""
        return self.connection.sql(sql).fetchall()

    def row(self, sql: str) -> tuple[Any, ...]:
        """The first row that *sql* finds."""
        return first_row(self.connection.sql(sql))

    def _arrays(self, part: JoinPart) -> tuple[Any, Any]:
        """Truth and answers of the newest rows of *part*, as :mod:`slipstream.statistics.metrics` takes them."""
        import numpy as np

        columns = self.connection.sql(
            f"SELECT answer, label, place FROM labelled WHERE {part.sql} ORDER BY moment DESC, id LIMIT {SAMPLE}"  # noqa: S608
        ).fetchnumpy()
        if self.spec.task == "regression":
            return columns["label"].astype(np.float64), np.asarray(columns["answer"], dtype=np.float64)
        if self.spec.task == "binary":
            return np.asarray(columns["place"], dtype=np.int64), np.asarray(columns["answer"], dtype=np.float64)
        known = class_texts(self.schemas[part.version])
        numbers, names = class_numbers(columns["label"].tolist(), known)
        answers = np.array(columns["answer"].tolist(), dtype=np.float64)
        # A class that the version never saw is never answered.
        return numbers, np.pad(answers, ((0, 0), (0, len(names) - len(known))))

    def _why(self, part: JoinPart) -> str:
        one, different = self.row(f"SELECT min(label), count(DISTINCT label) FROM labelled WHERE {part.sql}")  # noqa: S608
        metric = self.spec.evaluate.metric
        return f"all labels are {one[:40]!r}" if different == 1 else f"{metric} is not defined on these rows"

    def _execute(self, sql: str) -> None:
        self.connection.execute(sql)


@contextmanager
def opened(
    spec: ModelSpec, store: Store, predictions: Sequence[str], labels: Sequence[str], *, only: JoinPart | None = None
) -> Iterator[Truth]:
    """The rows of these local Parquet files for the ``with`` block, in which :meth:`Truth.resolve` joins them.

    Args:
        spec: The model.
        store: Where its versions are.
        predictions: Files of the predictions table.
        labels: Files of the labels table.
        only: Only these predictions; without it all.
    """
    with duck() as connection:
        truth = Truth(spec, store, connection)
        truth.load(predictions, labels, only)
        yield truth


@contextmanager
def joined(
    spec: ModelSpec, store: Store, predictions: Sequence[str], labels: Sequence[str], *, only: JoinPart | None = None
) -> Iterator[Truth]:
    """The same rows, joined."""
    with opened(spec, store, predictions, labels, only=only) as truth:
        truth.resolve()
        yield truth
