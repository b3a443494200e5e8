"""Where a window's rows come from: committed since the champion's training, or answered by it at the endpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from slipstream.data.lineage import derived_files, origins
from slipstream.duck import columns_of, duck, first_row, literal, quoted
from slipstream.errors import StageError
from slipstream.monitoring.window import CLOCK, FILE, PROBABILITIES, Window, last_window
from slipstream.profiling.profile import ANSWER, Profile
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.datasets import DATA, Dataset, load_dataset
from slipstream.store.objects import canonical_json
from slipstream.store.predictions import CHAMPION, read_predictions, redacted_inputs
from slipstream.store.predictions import TABLE as PREDICTIONS
from slipstream.store.tables import TableFile

if TYPE_CHECKING:
    import duckdb


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
    return CommittedRows(
        spec, store, newest, since, derived, origins(store, spec.name, trained_on) if derived else frozenset()
    )


@dataclass(frozen=True)
class CommittedRows:
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
            yield replace(last_window(self._typed(rows, profile), new, self.spec, history), scheme=_scheme(rows))

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
            rows = read_predictions(connection, paths, filename=FILE).filter(f"role = {literal(CHAMPION)}")
            mine = rows.filter(f"version = {self.champion:d}")
            known = {path: file.sha256 for path, file in zip(paths, self.files, strict=True)}
            with_inputs, left_out = self._with_inputs(mine)
            everyones = rows.filter("inputs IS NOT NULL") if "inputs" in rows.columns else rows
            history = _typed(_unpacked(everyones, self.spec), profile, leave={"target", "answer"})
            own = _typed(_unpacked(with_inputs, self.spec), profile, leave={"target"}, left_out=left_out)
            window = last_window(own, known, self.spec, history)
            scheme = _scheme(rows, self.champion, left_out)
            yield replace(window, left_out=left_out, scheme=scheme, damaged=self.damaged)

    def _with_inputs(self, rows: duckdb.DuckDBPyRelation) -> tuple[duckdb.DuckDBPyRelation, tuple[str, ...]]:
        """The rows whose inputs are kept, and the inputs that are redacted in any of them."""
        with_inputs = rows.filter("inputs IS NOT NULL") if "inputs" in rows.columns else rows.filter("false")
        left_out = tuple(sorted(frozenset[str]().union(*redacted_inputs(with_inputs).values())))
        if first_row(rows.aggregate("count(*)"))[0] and not first_row(with_inputs.aggregate("count(*)"))[0]:
            message = (
                f"{self.spec.name}: the predictions of version {self.champion} are captured without inputs "
                "(deploy.capture), so there is nothing to compare; keep inputs, or set monitor.source: data."
            )
            raise StageError(message, code="inputs_not_kept")
        return with_inputs, left_out


Origin = CommittedRows | Captured
"""Where a window comes from."""


def _read(connection: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> duckdb.DuckDBPyRelation:
    """The rows of the files, each with its file."""
    listed = ", ".join(map(literal, paths))
    query = f"SELECT * FROM read_parquet([{listed}], union_by_name = true, filename = {literal(FILE)})"  # noqa: S608
    return connection.sql(query)


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


def _scheme(rows: duckdb.DuckDBPyRelation, *chosen: Any) -> str:
    """Digest of the types as they were read, which all files together decide, and of what was *chosen* from them."""
    return hashlib.sha256(canonical_json([list(map(list, columns_of(rows))), *chosen])).hexdigest()
