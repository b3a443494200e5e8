"""The rows that monitoring looks at: committed since the champion's training, or answered by it at the endpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from slipstream.duck import duck, first_row, quoted
from slipstream.errors import StageError
from slipstream.scoring.profile import ANSWER, Profile
from slipstream.spec import ModelSpec
from slipstream.store import Store
from slipstream.store.datasets import Dataset, load_dataset, read_dataset
from slipstream.store.tables import TableFile

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

PREDICTIONS = "predictions"


@dataclass(frozen=True)
class Window:
    """An open window.

    Attributes:
        rows: How many rows it has.
        first: Event time of the oldest row, ISO 8601; empty without event time.
        last: Event time of the newest row.
        relation: The rows: the inputs, the target where it is known, and for captured rows the answer.
        left_out: Inputs that cannot be judged, because `deploy.capture` does not keep their values.
    """

    rows: int
    first: str
    last: str
    relation: duckdb.DuckDBPyRelation
    left_out: tuple[str, ...] = ()

    def sample(self, at_most: int, columns: Sequence[str]) -> pd.DataFrame:
        """At most so many evenly spaced rows."""
        step = max(1, -(-self.rows // at_most))
        names = ", ".join(map(quoted, columns))
        numbered = self.relation.project(f"{names}, row_number() OVER () AS slipstream_row")
        frame = numbered.filter(f"(slipstream_row - 1) % {step} = 0").order("slipstream_row").df()
        return frame.drop(columns="slipstream_row")


class Origin(Protocol):
    """Where a window comes from."""

    @property
    def id(self) -> str:
        """What the rows depend on; empty when there are none."""
        ...

    def open(self, profile: Profile) -> Any:
        """A context with the :class:`Window` of the columns of *profile*."""
        ...


def origin_of(spec: ModelSpec, store: Store, champion: int, trained_on: str) -> Origin:
    """The rows that ``monitor.source`` names.

    Args:
        spec: The model.
        store: The store.
        champion: The champion's number.
        trained_on: The dataset version that it was trained on.
    """
    if spec.monitor.source == "predictions":
        return Captured(spec, store, champion, store.tables.files(spec.name, PREDICTIONS))
    state = store.ledger.state()
    since = load_dataset(store.objects, state, spec.name, trained_on)
    newest = load_dataset(store.objects, state, spec.name, state.model(spec.name).dataset or trained_on)
    return Committed(spec, store, newest, since)


@dataclass(frozen=True)
class Committed:
    """Rows committed to the data table since the champion's training."""

    spec: ModelSpec
    store: Store
    newest: Dataset
    since: Dataset

    @property
    def id(self) -> str:
        """The two dataset versions between which the rows lie."""
        known = {file.path for file in self.since.files}
        new = any(file.path not in known for file in self.newest.files)
        return f"{self.since.id}..{self.newest.id}" if new else ""

    @contextmanager
    def open(self, profile: Profile) -> Iterator[Window]:
        """The rows, typed as the reference was."""
        with duck() as connection:
            rows = read_dataset(self.store.tables, self.newest, connection, since=self.since)
            time = self.spec.data.time
            columns = [
                _typed(name, column.kind, column.role, rows.columns)
                for name, column in profile.columns.items()
                if column.role != "answer"
            ]
            clock = time if time in rows.columns else None
            yield _window(_newest(rows, clock, self.spec.monitor.window), columns, clock)


@dataclass(frozen=True)
class Captured:
    """Rows that the champion answered at the endpoint."""

    spec: ModelSpec
    store: Store
    champion: int
    files: tuple[TableFile, ...]

    @property
    def id(self) -> str:
        """Digest of the files that were captured so far."""
        if not self.files:
            return ""
        return hashlib.sha256(",".join(sorted(file.sha256 for file in self.files)).encode()).hexdigest()

    @contextmanager
    def open(self, profile: Profile) -> Iterator[Window]:
        """The inputs and answers that one version gave as champion; truth is not known here.

        Raises:
            StageError: ``inputs_not_kept``: `deploy.capture` keeps no input of any of the rows.
        """
        with duck() as connection:
            paths = self.store.tables.local_files(self.spec.name, PREDICTIONS, self.files)
            rows = connection.read_parquet(paths, union_by_name=True).filter(f"version = {self.champion:d}")
            if "route" in rows.columns:  # older files have only the champion's rows
                rows = rows.filter("route IS NULL OR route = 'champion'")
            rows = _newest(rows, "time", self.spec.monitor.window)
            rows, left_out = self._kept(rows)
            answer = "probability" if "probability" in rows.columns else "prediction"
            inputs = rows.project(f'"time", {"inputs.*, " if "inputs" in rows.columns else ""}{answer} AS {ANSWER}')
            columns = [
                _typed(name, column.kind, column.role, inputs.columns)
                for name, column in profile.columns.items()
                if column.role != "target" and name not in left_out
            ]
            yield replace(_window(inputs, columns, "time"), left_out=left_out)

    def _kept(self, rows: duckdb.DuckDBPyRelation) -> tuple[duckdb.DuckDBPyRelation, tuple[str, ...]]:
        """The rows whose inputs are kept, and the inputs that are redacted in any of them."""
        kept = rows.filter("inputs IS NOT NULL") if "inputs" in rows.columns else rows.filter("false")
        left_out: tuple[str, ...] = ()
        if "redacted" in rows.columns:
            named = kept.filter("redacted IS NOT NULL").project("redacted").distinct().fetchall()
            left_out = tuple(sorted({name for (names,) in named for name in json.loads(names)}))
        if first_row(rows.aggregate("count(*)"))[0] and not first_row(kept.aggregate("count(*)"))[0]:
            message = (
                f"{self.spec.name}: the predictions of version {self.champion} are captured without inputs "
                "(deploy.capture), so there is nothing to compare; keep inputs, or set monitor.source: data."
            )
            raise StageError(message, code="inputs_not_kept")
        return kept, left_out


def _typed(name: str, kind: str, role: str, there: Sequence[str]) -> str:
    """A column as the champion was trained on it; one that is gone, or cannot be read so, is missing."""
    if name not in there:
        return f"NULL::{'DOUBLE' if kind == 'number' else 'VARCHAR'} AS {quoted(name)}"
    if role == "target":
        return quoted(name)
    return f"TRY_CAST({quoted(name)} AS {'DOUBLE' if kind == 'number' else 'VARCHAR'}) AS {quoted(name)}"


def _newest(rows: duckdb.DuckDBPyRelation, time: str | None, span: timedelta | None) -> duckdb.DuckDBPyRelation:
    """The last *span* of *rows*."""
    if time is None or span is None:
        return rows
    clock = f"CAST({quoted(time)} AS TIMESTAMP)"
    (newest,) = first_row(rows.aggregate(f"max({clock})"))
    return rows if newest is None else rows.filter(f"{clock} > {_back(newest, span)}")


def _window(rows: duckdb.DuckDBPyRelation, columns: Sequence[str], time: str | None) -> Window:
    """The *columns* of *rows*."""
    if time is None:
        kept = rows.project(", ".join(columns))
        return Window(first_row(kept.aggregate("count(*)"))[0], "", "", kept)
    clock = f"CAST({quoted(time)} AS TIMESTAMP)"
    count, first, last = first_row(rows.aggregate(f"count(*), min({clock}), max({clock})"))
    ends = ["" if end is None else end.isoformat() for end in (first, last)]
    return Window(count, ends[0], ends[1], rows.project(", ".join(columns)))


def _back(newest: Any, span: timedelta) -> str:
    try:
        return f"TIMESTAMP '{(newest - span).isoformat()}'"
    except OverflowError:
        return "'-infinity'::TIMESTAMP"
