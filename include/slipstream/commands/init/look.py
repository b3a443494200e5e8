"""What a file of rows holds: every column by all rows, as ingest would read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from slipstream.cell_reading import CellReading
from slipstream.data.landing import typed_rows
from slipstream.data.notes import ColumnNote
from slipstream.data.table_types import Base
from slipstream.duck import columns_of, duck, evenly_spaced, first_row, quoted
from slipstream.errors import SourceError
from slipstream.slots import Delivery
from slipstream.sources.forms import FileForm
from slipstream.spec.model import ModelSpec

if TYPE_CHECKING:
    import duckdb

SAMPLE = 10_000
WORDS = 60


@dataclass(frozen=True)
class ColumnLook:
    """One column.

    Attributes:
        name: Its name.
        type: What it holds, as DuckDB calls it.
        known: Rows with a value.
        distinct: How many different values.
        low: The least value.
        high: The greatest.
        words: Of a column with few values: each with its rows, the commonest first.
        reading: How its cells are read.
        notes: What is to be said of it.
    """

    name: str
    type: str
    known: int
    distinct: int
    low: Any
    high: Any
    words: tuple[tuple[Any, int], ...]
    reading: CellReading
    notes: tuple[ColumnNote, ...]

    @property
    def doubtful(self) -> tuple[ColumnNote, ...]:
        """What must be settled before a model uses it."""
        return tuple(note for note in self.notes if note.doubtful)


@dataclass(frozen=True)
class Look:
    """A file that was looked at.

    Attributes:
        rows: How many.
        columns: By name.
        left_out: What cannot be used, in words.
        sample: Evenly spaced rows, a pandas frame.
    """

    rows: int
    columns: dict[str, ColumnLook]
    left_out: tuple[str, ...]
    sample: Any


def look(file: Path, sheet: str = "") -> Look:
    """Look at all of *file*, CSV, JSON lines, Parquet or the *sheet* of a workbook, packed or not.

    Raises:
        SourceError: ``source_no_files``, ``source_format_unknown``, ``source_packed``, ``source_sheet_unknown``.
        DataError: what ingest would say of it.
    """
    if not file.is_file():
        raise SourceError(f"{file}: there is no such file.", code="source_no_files")
    form = FileForm(sheet=sheet).of({file: file.name}, str(file))
    return _looked(Delivery({file: file.name}, "", form, 1 << 40), str(file))


def look_at(deliver: Callable[[ModelSpec, str, Path], Delivery], name: str) -> Look:
    """Look at all that a source delivers, which errors call *name*."""
    with TemporaryDirectory(prefix="slipstream-init-") as folder:
        return _looked(deliver(_plain().at(Path.cwd()), "", Path(folder)), name)


def _looked(delivery: Delivery, name: str) -> Look:
    if not delivery.files:
        raise SourceError(f"{name}: holds no rows.", code="source_no_files")
    with _read(delivery) as (rows, readings, notes):
        count = int(first_row(rows.aggregate("count(*)"))[0])
        if not count:
            raise SourceError(f"{name}: holds no rows.", code="source_no_files")
        columns = {name: _column(rows, name, kind, (readings, notes)) for name, kind in columns_of(rows)}
        sample = evenly_spaced(rows, count, SAMPLE).df()
    left_out = tuple(note.sentence for note in notes if note.kind == "left_out")
    return Look(count, columns, left_out, sample)


@contextmanager
def _read(delivery: Delivery) -> Iterator[tuple[duckdb.DuckDBPyRelation, Any, tuple[ColumnNote, ...]]]:
    with TemporaryDirectory(prefix="slipstream-init-") as name, duck() as connection:
        rows, read = typed_rows(_plain(), connection, delivery, Base(), Path(name))
        yield rows, read.readings, read.notes


def _plain() -> ModelSpec:
    """A model that says nothing of its data."""
    trainer = {"type": "sklearn", "estimator": "sklearn.linear_model.Ridge"}
    source = {"type": "files", "path": "*"}
    return ModelSpec.model_validate(
        {
            "name": "init",
            "task": "regression",
            "target": "\0 target",
            "inputs": ["\0 input"],
            "data": {"source": source, "max_rows": 1 << 60},
            "train": {"trainer": trainer},
            "evaluate": {"metric": "mae"},
        }
    )


def _column(
    rows: duckdb.DuckDBPyRelation, name: str, kind: str, read: tuple[Any, tuple[ColumnNote, ...]]
) -> ColumnLook:
    cell = quoted(name)
    aggregates = f"count({cell}), count(DISTINCT {cell}), min({cell}), max({cell})"
    known, distinct, low, high = first_row(rows.aggregate(aggregates))
    words: tuple[tuple[Any, int], ...] = ()
    if 0 < distinct <= WORDS:
        counted = rows.filter(f"{cell} IS NOT NULL").aggregate(f"{cell} AS word, count(*) AS n", cell)
        words = tuple(counted.order("n DESC, word").fetchall())
    readings, notes = read
    own = tuple(note for note in notes if note.column == name)
    return ColumnLook(
        name, kind, int(known), int(distinct), low, high, words, readings.get(name) or CellReading(kind), own
    )
