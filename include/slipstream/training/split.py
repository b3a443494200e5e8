"""Which rows train and which are held out; what every stage after validation reads its rows through.

With an event-time column the newest rows are held out: a candidate is judged on a later time than it learnt from.
Without one, a row is held out by the digest of its key: it keeps its side in every later dataset version, and equal
rows share a side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from slipstream.duck import HALF, duck, evenly_spaced, first_row, instant_before, quoted
from slipstream.errors import DataError, SpecError, shown
from slipstream.hints import did_you_mean
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.datasets import Dataset, load_dataset, read_dataset
from slipstream.training.split_boundaries import Boundaries, Counts, Part, clock
from slipstream.training.split_description import held_out_by, on_both_sides

if TYPE_CHECKING:
    import duckdb

__all__ = ["Boundaries", "Counts", "Part", "Split", "reopen", "split"]

_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
_NUMBERS = (*_INTEGERS, "UBIGINT", "HUGEINT", "UHUGEINT", "FLOAT", "DOUBLE", "BOOLEAN")


GROUPS_HELD = 0.2
"""The share of the groups that is held out where the hold-out is a span of time."""


@dataclass(frozen=True)
class Split:
    """A dataset version, cut.

    Attributes:
        dataset: The dataset version.
        inputs: ``(name, DuckDB type)`` of each input of the model; numbers are read as DOUBLE, words as VARCHAR.
        columns: The names that each frame has: inputs, target, then event time, key and slice columns.
        time: The event-time column, or empty.
        order: The columns that rows are ordered by; without event time they stay in the order of the dataset version.
    """

    store: Store
    dataset: Dataset
    target: str
    inputs: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    time: str
    order: tuple[str, ...]
    boundaries: Boundaries

    @contextmanager
    def open(self) -> Iterator[duckdb.DuckDBPyRelation]:
        """The labelled rows, typed, as a DuckDB relation that lives as long as the context."""
        with duck(HALF) as connection:
            types = dict(self.dataset.columns)
            numbers = {name for name, kind in self.inputs if _kind(kind) == "number"}
            dates = {name for name, kind in self.inputs if kind in {"DATE", "TIMESTAMP"}}
            rows = read_dataset(self.store.tables, self.dataset, connection).filter(_usable(self, types))
            parts = (
                f"CAST({quoted(name)} AS VARCHAR) AS {quoted(name)}"
                if name in dates
                else _typed(name, types[name], name in numbers)
                for name in self.columns
            )
            yield rows.project(", ".join(parts))

    def rows(self, relation: duckdb.DuckDBPyRelation, part: Part) -> duckdb.DuckDBPyRelation:
        """The rows of *part* of the opened *relation*, in an order that depends on nothing but the rows."""
        chosen = relation.filter(self.boundaries.condition(part))
        return chosen.order(", ".join(map(quoted, self.order))) if self.order else chosen

    def frame(self, part: Part) -> Any:
        """The rows of *part* as a pandas frame, in :attr:`columns` order.

        Numeric inputs are float64 (booleans 0 and 1, missing NaN); words are str (missing None).

        Raises:
            DataError: ``data_not_finite``.
        """
        import numpy as np

        with self.open() as relation:
            frame = self.rows(relation, part).df()
        for name in [*(name for name, _ in self.inputs), self.target]:
            infinite = int(np.isinf(frame[name]).sum()) if frame[name].dtype.kind == "f" else 0
            if infinite:
                rows = f"{infinite:,} of {len(frame):,} rows ({part})"
                message = (
                    f"{self.dataset.model}: column {name!r} is infinite in {rows}; mend the source or features.py."
                )
                raise DataError(message, code="data_not_finite")
        return frame

    def seen(self, other: Boundaries) -> Any:
        """For each held-out row, in the order of :meth:`frame`, whether *other* trains on it; None if none can tell.

        Returns:
            Array of shape ``(n,)`` of bool, or None.
        """
        if not {other.time, *other.key, *other.group} <= {"", *self.columns}:
            return None
        with self.open() as relation:
            rows = self.rows(relation, "holdout").project(f"({other.condition('train')}) AS seen")
            return rows.fetchnumpy()["seen"].astype(bool)

    def sample(self, part: Part, at_most: int) -> Any:
        """At most so many evenly spaced rows of *part*, as :meth:`frame` gives them."""
        with self.open() as relation:
            rows = self.rows(relation, part)
            return evenly_spaced(rows, first_row(rows.aggregate("count(*)"))[0], at_most).df()

    def description(self, key: Sequence[str]) -> tuple[str, tuple[str, ...]]:
        """What the split does, and what stands on both sides of it that may be alike, in words."""
        bounds = self.boundaries
        sentence = held_out_by(bounds.time, bounds.cutoff, bounds.key, bounds.group, bounds.share)
        if bounds.time or bounds.key != tuple(key):
            return sentence, ()
        with self.open() as relation:
            return sentence, on_both_sides(relation, key, bounds.condition("train"), bounds.condition("holdout"))

    def counts(self) -> Counts:
        """How many rows are where."""
        with self.open() as relation:
            sums = ", ".join(
                f"count(*) FILTER (WHERE {self.boundaries.condition(part)})" for part in ("train", "holdout")
            )
            train, holdout, usable = relation.aggregate(f"{sums}, count(*)").fetchall()[0]
        return Counts(train, holdout, self.dataset.rows - usable, usable - train - holdout)


def split(spec: ModelSpec, store: Store, dataset: str, columns: Sequence[str] = ()) -> Split:
    """Cut the dataset version as ``train.window``, ``train.holdout`` and ``train.gap`` say.

    Args:
        columns: Further columns to read.

    Raises:
        NotFound: ``dataset_not_found``.
        DataError: ``data_schema_changed`` for a column that is not there, ``data_split_empty`` when a side has no rows.
        SpecError: ``spec_input_type`` for an input that is neither number nor word.
    """
    columns = (*columns, *spec.train.group)
    whole = reopen(spec, store, dataset, Boundaries(), columns)
    if spec.data.time is None:
        key = spec.train.group or spec.data.key or tuple(dict.fromkeys((*spec.inputs, spec.target)))
        assert isinstance(spec.train.holdout, float)  # noqa: S101 - the spec refuses a duration without event time
        bounds = Boundaries(key=key, share=spec.train.holdout)
    else:
        bounds = _grouped(spec, _by_time(spec, whole))
    cut = reopen(spec, store, dataset, bounds, columns)
    counts = cut.counts()
    if not counts.train or not counts.holdout:
        side = "to train on" if not counts.train else "to hold out"
        message = (
            f"{spec.name}: dataset {dataset[:12]} leaves no rows {side} ({counts.train:,} training, "
            f"{counts.holdout:,} held out, {counts.unlabelled:,} without target, {counts.outside:,} outside); "
            "mend train.window, train.holdout or train.gap."
        )
        raise DataError(message, code="data_split_empty")
    return cut


def reopen(spec: ModelSpec, store: Store, dataset: str, boundaries: Boundaries, columns: Sequence[str] = ()) -> Split:
    """The dataset version cut at *boundaries* that were recorded, whatever the model file says now.

    Raises:
        NotFound, DataError, SpecError: as :func:`split`, but for empty sides.
    """
    loaded = load_dataset(store.objects, store.ledger.state(), spec.name, dataset)
    types = dict(loaded.columns)
    time = spec.data.time or ""
    clock = (time,) if time else ()
    names = dict.fromkeys((*spec.inputs, spec.target, *clock, *spec.data.key, *spec.evaluate.slices, *columns))
    names |= dict.fromkeys((*boundaries.key, *boundaries.group))
    for name in names:
        _check_column(spec, name, types)
    for name in spec.inputs:
        _check_input(spec, name, types[name])
    # Rows without a key that orders them fully are ordered by all that is read of them.
    order = dict.fromkeys((time, *(spec.data.key or names))) if time else {}
    inputs = tuple((name, types[name]) for name in spec.inputs)
    return Split(store, loaded, spec.target, inputs, tuple(names), time, tuple(order), boundaries)


def _by_time(spec: ModelSpec, whole: Split) -> Boundaries:
    """Boundaries in event time. Counted back from the newest labelled row, so that a late label moves nothing."""
    time = clock(str(spec.data.time))
    with whole.open() as relation:

        def ask(expression: str, condition: str = "true") -> Any:
            return relation.filter(condition).aggregate(expression).fetchall()[0][0]

        newest = ask(f"max({time})")
        if newest is None:
            message = (
                f"{spec.name}: no row has both {spec.target!r} and {spec.data.time!r}; there is nothing to train on."
            )
            raise DataError(message, code="data_split_empty")
        inside = f"{time} > {instant_before(newest, spec.train.window)}" if spec.train.window else "true"
        if isinstance(spec.train.holdout, timedelta):
            cutoff = ask(f"min({time})", f"{inside} AND {time} > {instant_before(newest, spec.train.holdout)}")
        else:
            # Rows of one instant stay together: the cutoff is the instant at which the newest share begins (a negative
            # quantile counts from the newest).
            cutoff = ask(f"quantile_disc({time}, {-spec.train.holdout!r})", inside)
        start = ask(f"min({time})", inside)
    until = cutoff - (spec.train.gap or timedelta())
    return Boundaries(str(spec.data.time), start.isoformat(), until.isoformat(), cutoff.isoformat())


def _grouped(spec: ModelSpec, bounds: Boundaries) -> Boundaries:
    """The boundaries in time, each group on one side of them."""
    if not spec.train.group:
        return bounds
    share = spec.train.holdout if isinstance(spec.train.holdout, float) else GROUPS_HELD
    return replace(bounds, group=spec.train.group, share=share)


def _check_column(spec: ModelSpec, name: str, types: dict[str, str]) -> None:
    if name not in types:
        hint = did_you_mean(name, types, "columns")
        raise DataError(f"{spec.name}: the dataset has no column {shown(name)}; {hint}", code="data_schema_changed")
    if name == spec.data.time and not types[name].startswith(("TIMESTAMP", "DATE")):
        message = f"{spec.name}: event time {name!r} is {types[name]}; it must be a DATE or TIMESTAMP."
        raise DataError(message, code="data_time_invalid")


def _check_input(spec: ModelSpec, name: str, kind: str) -> None:
    if _kind(kind):
        return
    message = f"{spec.name}: input {name!r} is {kind}, but a model takes numbers, words and dates; turn it into one."
    raise SpecError(message, code="spec_input_type")


def _kind(kind: str) -> Literal["number", "word", ""]:
    if kind in _NUMBERS or kind.startswith("DECIMAL"):
        return "number"
    # A date goes to the model as it is written: DateParts takes it apart.
    return "word" if kind in {"VARCHAR", "DATE", "TIMESTAMP"} or kind.startswith("ENUM") else ""


def _typed(name: str, kind: str, number: bool) -> str:
    """One column of the projection; one type for all numbers, so that missing values change no type."""
    column = quoted(name)
    if number:
        return f"CAST({column} AS DOUBLE) AS {column}"
    if kind.startswith(("ENUM", "UUID")):
        return f"CAST({column} AS VARCHAR) AS {column}"
    if kind.startswith(("DECIMAL", "HUGEINT", "UHUGEINT", "FLOAT")):
        return f"CAST({column} AS DOUBLE) AS {column}"
    return column


def _usable(cut: Split, types: dict[str, str]) -> str:
    target = quoted(cut.target)
    known = [f"{target} IS NOT NULL"]
    if types[cut.target] in {"FLOAT", "DOUBLE"}:
        known.append(f"NOT isnan({target})")
    if cut.time:
        known.append(f"{quoted(cut.time)} IS NOT NULL")
    return " AND ".join(known)
