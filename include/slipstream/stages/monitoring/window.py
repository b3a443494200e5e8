"""The rows that monitoring looks at: committed since the champion's training, or answered by it at the endpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from slipstream.data.lineage import derived_files, origins
from slipstream.duck import columns_of, duck, first_row, literal, quoted
from slipstream.errors import StageError
from slipstream.scoring.profile import ANSWER, Profile
from slipstream.spec import ModelSpec
from slipstream.store import Store
from slipstream.store.datasets import DATA, Dataset, load_dataset
from slipstream.store.objects import canonical_json
from slipstream.store.tables import TableFile

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

PREDICTIONS = "predictions"
CLOCK, FILE, PROBABILITIES = "slipstream_time", "slipstream_file", "slipstream_probabilities"
"""Columns of ours beside a window's own: event time, data file, and what a captured answer to many classes said."""


@dataclass(frozen=True)
class FilePart:
    """The rows of one data file that lie in a window.

    Attributes:
        place: Where the file lies, as the column :data:`FILE` has it.
        sha256: Its content.
        rows: How many of its rows lie in the window.
        whole: Whether no row was cut off by the window's edge.
    """

    place: str
    sha256: str
    rows: int
    whole: bool


@dataclass(frozen=True)
class Window:
    """An open window.

    Attributes:
        rows: How many rows it has.
        first: Event time of the oldest row, ISO 8601; empty without event time.
        last: Event time of the newest row.
        relation: The rows: the inputs, the target where it is known, for captured rows the answer, and our columns.
        history: All rows that there are, older ones too.
        files: The data files that its rows come from.
        scheme: Digest of what beside a file's content decides how its rows read.
        left_out: Inputs that cannot be judged, because `deploy.capture` does not keep their values.
        damaged: Data files that are not what was written, and so have no rows in the window.
    """

    rows: int
    first: str
    last: str
    relation: duckdb.DuckDBPyRelation
    history: duckdb.DuckDBPyRelation
    files: tuple[FilePart, ...]
    scheme: str = ""
    left_out: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """The columns that say something of a row."""
        return [name for name in self.relation.columns if name != FILE]

    def sample(self, at_most: int) -> pd.DataFrame:
        """At most so many evenly spaced rows."""
        return sample(self.relation.project(", ".join(map(quoted, self.columns))), self.rows, at_most)

    def earlier(self, span: timedelta, length: timedelta | None) -> duckdb.DuckDBPyRelation | None:
        """The rows of a time as long as the window's that ended *span* before it; None without event time.

        Args:
            length: How long the window is; None: from its first row to its last.
        """
        if not self.first:
            return None
        last, first = (f"TIMESTAMP {literal(end)}" for end in (self.last, self.first))
        ended = f"{last} - {_interval(span)}"
        begun = f"> {ended} - {_interval(length)}" if length else f">= {first} - {_interval(span)}"
        return self.history.filter(f"{CLOCK} <= {ended} AND {CLOCK} {begun}")


def sample(rows: duckdb.DuckDBPyRelation, count: int, at_most: int) -> pd.DataFrame:
    """At most so many evenly spaced ones of *count* rows."""
    step = max(1, -(-count // at_most))
    numbered = rows.project("*, row_number() OVER () AS slipstream_row")
    frame = numbered.filter(f"(slipstream_row - 1) % {step} = 0").order("slipstream_row").df()
    return frame.drop(columns="slipstream_row")


def origin_of(spec: ModelSpec, store: Store, champion: int, trained_on: str) -> Origin:
    """The rows that ``monitor.source`` names.

    Args:
        spec: The model.
        store: The store.
        champion: The champion's number.
        trained_on: The dataset version that it was trained on.
    """
    if spec.monitor.source == "predictions":
        return Captured(spec, store, champion, *store.tables.sound(spec.name, PREDICTIONS))
    state = store.ledger.state()
    since = load_dataset(store.objects, state, spec.name, trained_on)
    newest = load_dataset(store.objects, state, spec.name, state.model(spec.name).dataset or trained_on)
    derived = derived_files(store, spec.name)
    return Committed(
        spec, store, newest, since, derived, origins(store, spec.name, trained_on) if derived else frozenset()
    )


@dataclass(frozen=True)
class Committed:
    """Rows committed to the data table since the champion's training.

    Attributes:
        derived: File that was derived anew -> what tells its delivery.
        origins: What tells the deliveries that the champion was trained on.
    """

    spec: ModelSpec
    store: Store
    newest: Dataset
    since: Dataset
    derived: Mapping[str, str] = field(default_factory=dict)
    origins: frozenset[str] = frozenset()

    @property
    def id(self) -> str:
        """The two dataset versions between which the rows lie."""
        return f"{self.since.id}..{self.newest.id}" if self._new else ""

    @property
    def _new(self) -> tuple[TableFile, ...]:
        known = {file.path for file in self.since.files}
        new = (file for file in self.newest.files if file.path not in known)
        # Rows that were derived anew from an old delivery are no new ones.
        return tuple(file for file in new if self.derived.get(file.path, "") not in self.origins)

    @contextmanager
    def open(self, profile: Profile) -> Iterator[Window]:
        """The rows, typed as the reference was."""
        with duck() as connection:
            places = dict(zip(self.newest.files, self._local(self.newest.files), strict=True))
            new = {places[file]: file.sha256 for file in self._new}
            history = self._typed(_read(connection, list(places.values())), profile)
            rows = _read(connection, list(new))
            yield replace(_window(self._typed(rows, profile), new, self.spec, history), scheme=_scheme(rows))

    def _local(self, files: Sequence[TableFile]) -> list[str]:
        return self.store.tables.local_files(self.spec.name, DATA, files)

    def _typed(self, rows: duckdb.DuckDBPyRelation, profile: Profile) -> duckdb.DuckDBPyRelation:
        return _typed(rows, profile, leave={"answer"}, time=self.spec.data.time)


@dataclass(frozen=True)
class Captured:
    """Rows that the champion answered at the endpoint."""

    spec: ModelSpec
    store: Store
    champion: int
    files: tuple[TableFile, ...]
    damaged: tuple[str, ...] = ()

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
            rows = _read(connection, paths)
            if "route" in rows.columns:  # older files have only the champion's rows
                rows = rows.filter("route IS NULL OR route = 'champion'")
            mine = rows.filter(f"version = {self.champion:d}")
            known = {path: file.sha256 for path, file in zip(paths, self.files, strict=True)}
            kept, left_out = self._kept(mine)
            everyones = rows.filter("inputs IS NOT NULL") if "inputs" in rows.columns else rows
            history = _typed(_unpacked(everyones, self.spec), profile, leave={"target", "answer"})
            own = _typed(_unpacked(kept, self.spec), profile, leave={"target"}, left_out=left_out)
            window = _window(own, known, self.spec, history)
            scheme = _scheme(rows, self.champion, left_out)
            yield replace(window, left_out=left_out, scheme=scheme, damaged=self.damaged)

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


Origin = Committed | Captured
"""Where a window comes from."""


def _read(connection: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> duckdb.DuckDBPyRelation:
    """The rows of the files, each with its file."""
    listed = ", ".join(map(literal, paths))
    asked = f"SELECT * FROM read_parquet([{listed}], union_by_name = true, filename = {literal(FILE)})"  # noqa: S608
    return connection.sql(asked)


def _unpacked(rows: duckdb.DuckDBPyRelation, spec: ModelSpec) -> duckdb.DuckDBPyRelation:
    """Captured rows with their inputs as columns, and the answer as the reference profile has it."""
    answer = "probability" if spec.task == "binary" else "prediction"
    many = f", probabilities AS {PROBABILITIES}" if "probabilities" in rows.columns else ""
    inputs = "inputs.*, " if "inputs" in rows.columns else ""
    return rows.project(f'"time" AS {CLOCK}, {FILE}, {inputs}{answer} AS {ANSWER}{many}')


def _typed(
    rows: duckdb.DuckDBPyRelation,
    profile: Profile,
    *,
    leave: set[str],
    time: str | None = CLOCK,
    left_out: Sequence[str] = (),
) -> duckdb.DuckDBPyRelation:
    """The columns of *profile* but for the roles to *leave*, as the champion was trained on them, and our columns."""
    there = rows.columns
    columns = [
        _cast(name, column.kind, column.role, there)
        for name, column in profile.columns.items()
        if column.role not in leave and name not in left_out
    ]
    if time in there:
        columns.append(f"CAST({quoted(str(time))} AS TIMESTAMP) AS {CLOCK}")
    columns += [name for name in (PROBABILITIES, FILE) if name in there]
    return rows.project(", ".join(columns))


def _cast(name: str, kind: str, role: str, there: Sequence[str]) -> str:
    """A column as the champion was trained on it; one that is gone, or cannot be read so, is missing."""
    if name not in there:
        return f"NULL::{'DOUBLE' if kind == 'number' else 'VARCHAR'} AS {quoted(name)}"
    if role == "target":
        return quoted(name)
    return f"TRY_CAST({quoted(name)} AS {'DOUBLE' if kind == 'number' else 'VARCHAR'}) AS {quoted(name)}"


def _window(
    rows: duckdb.DuckDBPyRelation, files: Mapping[str, str], spec: ModelSpec, history: duckdb.DuckDBPyRelation
) -> Window:
    """The last ``monitor.window`` of *rows*, which come from *files*: place -> sha256."""
    span, timed = spec.monitor.window, CLOCK in rows.columns
    told = _by_file(rows, timed)
    newest = max((last for *_, last in told.values() if last is not None), default=None)
    cut: dict[str, tuple[int, Any, Any]] = {}
    if timed and span is not None and newest is not None:
        edge = _back(newest, span)
        edges = rows.filter(f"{CLOCK} > {edge}")
        inside = _by_file(edges, timed)
        # A file is whole if no row fell off; rows without event time fall off too.
        cut = {place: found for place, found in inside.items() if found[0] < told[place][0]}
        rows, told = edges, inside
    parts = tuple(FilePart(place, files[place], told[place][0], place not in cut) for place in files if place in told)
    ends = [[end for end in ends if end is not None] for ends in zip(*(t[1:] for t in told.values()), strict=True)]
    first, last = (pick(end).isoformat() if end else "" for pick, end in zip((min, max), ends or ([], []), strict=True))
    return Window(sum(part.rows for part in parts), first, last, rows, history, parts)


def _scheme(rows: duckdb.DuckDBPyRelation, *chosen: Any) -> str:
    """Digest of the types as they were read, which all files together decide, and of what was *chosen* from them."""
    return hashlib.sha256(canonical_json([list(map(list, columns_of(rows))), *chosen])).hexdigest()


def _by_file(rows: duckdb.DuckDBPyRelation, timed: bool) -> dict[str, tuple[int, Any, Any]]:
    """Place of each file -> its rows, and event time of its oldest and newest."""
    ends = f"min({CLOCK}), max({CLOCK})" if timed else "NULL, NULL"
    found = rows.aggregate(f"{FILE}, count(*), {ends}", FILE).fetchall()
    return {place: (count, first, last) for place, count, first, last in found}


def _interval(span: timedelta) -> str:
    return f"to_microseconds({span // timedelta(microseconds=1)})"


def _back(newest: Any, span: timedelta) -> str:
    try:
        return f"TIMESTAMP '{(newest - span).isoformat()}'"
    except OverflowError:
        return "'-infinity'::TIMESTAMP"
