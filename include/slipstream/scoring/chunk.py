"""One chunk of rows: checked by the rules that requests have, answered, and written as a record batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from slipstream.bundle.scorer import Scorer, decided
from slipstream.cell_reading import CellReading
from slipstream.compiler.coded_texts import CodedTexts
from slipstream.errors import SlipstreamError, ValueProblem, shown
from slipstream.input_warnings import InputMonitor
from slipstream.model_schema import MAX_TEXT, Field, Schema, check_value, read_cell
from slipstream.scoring.capture import ScoreCapture, row_ids
from slipstream.scoring.typed_rows import KEY, KEY_TEXT, UNREAD, VALUE, Bringing, KeyColumn, TypedFile

if TYPE_CHECKING:
    import pyarrow as pa

_WHOLE = float(1 << 63)
OWN = ("run", "prediction_id", "prediction", "probability", "version", "warnings", "error", "scored_at")


@dataclass(frozen=True)
class ChunkOrigin:
    """Where rows come from.

    Attributes:
        file: The file's name.
        part: What tells the answers of the version to that file.
        first: How many of its rows came before.
    """

    file: str
    part: str
    first: int


class AnsweredChunk(NamedTuple):
    """The answers to a chunk: as they are written and, if they are captured, as the predictions table keeps them."""

    written: pa.RecordBatch
    captured: pa.RecordBatch | None


@dataclass
class _Inputs:
    """The columns of a chunk, and what is wrong with its rows."""

    columns: dict[str, Any] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)

    def refuse(self, rows: Any, why: Callable[[int], str]) -> None:
        """Keep what is wrong with *rows*; of each row the first thing that is."""
        for row in rows.tolist():
            if row not in self.errors:
                self.errors[row] = why(row)


@dataclass(frozen=True)
class ChunkScorer:
    """Answers chunks with one version.

    Attributes:
        scorer: Its scorer, whose golden rows were answered.
        monitor: What warns of values unlike those of training.
        version: Its number.
        moment: When the run began, UTC.
        keys: The key columns of the model, named in the output whether a file has them or not; none: rows are told by
            their file and their number in it.
        capture: What goes to the predictions table; None: nothing.
        joins: What brings inputs that a file lacks.
    """

    scorer: Scorer
    monitor: InputMonitor
    version: int
    moment: datetime
    keys: tuple[KeyColumn, ...]
    capture: ScoreCapture | None = None
    joins: Bringing | None = None

    def answer(self, batch: pa.RecordBatch, opened: TypedFile, place: ChunkOrigin) -> AnsweredChunk:
        """The answers to a batch of an *opened* file."""
        import numpy as np
        import pyarrow as pa

        inputs = self._inputs(batch, opened)
        sound = np.ones(batch.num_rows, dtype=bool)
        sound[list(inputs.errors)] = False
        numbers = np.full((batch.num_rows, *self._width), np.nan)
        self._fill(numbers, inputs, np.flatnonzero(sound))
        wrong = np.zeros(batch.num_rows, dtype=bool)
        wrong[list(inputs.errors)] = True
        columns: dict[str, Any] = self._identity(batch, opened, place)
        captured = None
        if self.capture is not None:
            ids = row_ids(place.part, place.first, batch.num_rows)
            columns["prediction_id"] = pa.array(ids)
            keys = batch.column(KEY_TEXT) if opened.keys and self.capture.keyed else None
            captured = self.capture.rows(ids, keys, inputs.columns, numbers, ~wrong)
        return AnsweredChunk(self._written(columns, inputs, numbers, wrong), captured)

    @property
    def _width(self) -> tuple[int, ...]:
        classes = len(self.scorer.schema.classes)
        return (classes,) if classes else ()

    def _inputs(self, batch: pa.RecordBatch, opened: TypedFile) -> _Inputs:
        inputs = _Inputs()
        for place, one in enumerate(self.scorer.schema.inputs):
            values, unread = batch.column(f"{VALUE}{place}"), batch.column(f"{UNREAD}{place}")
            make = _texts if one.type == "string" else _numbers
            inputs.columns[one.name] = make(one, values, _Unread(one, unread, opened.text[place]), inputs)
        for place, key in enumerate(opened.checked, start=len(self.scorer.schema.inputs)):
            for row in _there(cells := batch.column(f"{UNREAD}{place}")).tolist():
                problem = f"{key.name}: {shown(cells[row].as_py())} is not {_noun(key.reading)}"
                inputs.errors.setdefault(row, problem)
        return inputs

    def _fill(self, numbers: Any, inputs: _Inputs, rows: Any) -> None:
        """Answer *rows*; where that fails each half, until those at fault are known: what an estimator raises is what
        a caller would get no answer for."""
        if not len(rows):
            return
        whole = len(rows) == len(numbers)
        try:
            answer = self.scorer.numbers(inputs.columns if whole else {n: c[rows] for n, c in inputs.columns.items()})
        except Exception as error:  # own code in a model may raise anything
            if len(rows) == 1:
                text = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
                inputs.errors[int(rows[0])] = (
                    text if isinstance(error, SlipstreamError) else f"the model failed: {type(error).__name__}: {text}"
                )
                return
            middle = len(rows) // 2
            self._fill(numbers, inputs, rows[:middle])
            self._fill(numbers, inputs, rows[middle:])
            return
        numbers[rows] = answer

    def _written(self, columns: dict[str, Any], inputs: _Inputs, numbers: Any, wrong: Any) -> pa.RecordBatch:
        import pyarrow as pa

        rows = len(wrong)
        columns |= _answers(self.scorer.schema, numbers, wrong)
        columns["version"] = pa.repeat(pa.scalar(self.version, pa.int64()), rows)
        warnings = {row: "; ".join(texts) for row, texts in self.monitor.by_row(inputs.columns).items()}
        columns["warnings"] = _sparse(warnings, rows)
        columns["error"] = _sparse(inputs.errors, rows)
        columns["scored_at"] = pa.repeat(pa.scalar(self.moment, pa.timestamp("us", "UTC")), rows)
        return pa.record_batch(columns)

    def _identity(self, batch: pa.RecordBatch, opened: TypedFile, place: ChunkOrigin) -> dict[str, Any]:
        import numpy as np
        import pyarrow as pa

        if opened.keys:
            return {own_name(key.name): batch.column(f"{KEY}{at}") for at, key in enumerate(opened.keys)}
        numbered = pa.array(np.arange(place.first + 1, place.first + 1 + batch.num_rows))
        return {"file": pa.repeat(place.file, batch.num_rows), "row": numbered}


def own_name(name: str) -> str:
    """What a key column is called in the output, where our own columns have their names."""
    return f"key {name}" if name in OWN or name.startswith("probability ") else name


@dataclass(frozen=True)
class _Unread:
    """Cells of an input that are no value in the eyes of SQL."""

    field: Field
    cells: Any
    text: bool

    def settle(self, take: Callable[[int, Any], None], inputs: _Inputs) -> None:
        """Give each to *take* as the value that it is to a request after all, or keep why it is none."""
        for row in _there(self.cells).tolist():
            cell = self.cells[row].as_py()
            try:
                if not self.text:
                    problem = f"{self.field.name}: {shown(cell)} is not {_noun(self.field.cell_reading)}"
                    raise ValueProblem(problem, code="type", field=self.field.name)
                take(row, read_cell(self.field, cell, self.field.name))
            except ValueProblem as error:
                inputs.errors.setdefault(row, str(error))


def _there(cells: Any) -> Any:
    """The rows at which an Arrow array is not null."""
    import numpy as np

    return (
        np.flatnonzero(cells.is_valid().to_numpy(zero_copy_only=False))
        if len(cells) > cells.null_count
        else (np.zeros(0, dtype=np.int64))
    )


def _numbers(one: Field, values: Any, unread: _Unread, inputs: _Inputs) -> Any:
    """The column as float64 with NaN for null, checked."""
    import numpy as np

    array = values.to_numpy(zero_copy_only=False)
    if len(unread.cells) > unread.cells.null_count or one.absent:
        array = array.copy()
        unread.settle(lambda row, value: array.__setitem__(row, np.nan if value is None else float(value)), inputs)
        array[np.isin(array, list(one.absent))] = np.nan
    null = np.isnan(array)
    if not one.nullable:
        inputs.refuse(np.flatnonzero(null), lambda _: str(check_value(one, None, one.name)))
    wrong = np.isinf(array)
    if one.type == "integer":
        wrong |= ~null & ((array != np.floor(array)) | (array < -_WHOLE) | (array >= _WHOLE))
    inputs.refuse(np.flatnonzero(wrong), lambda row: str(check_value(one, float(array[row]), one.name)))
    return array


def _texts(one: Field, values: Any, unread: _Unread, inputs: _Inputs) -> CodedTexts:
    """The column with each different text once, checked."""
    import numpy as np

    encoded = values.dictionary_encode()
    words = [None if word in one.absent else word for word in encoded.dictionary.to_pylist()]
    codes = encoded.indices.fill_null(len(words)).to_numpy(zero_copy_only=False).astype(np.int64)
    words.append(None)

    def take(row: int, value: Any) -> None:
        codes[row] = len(words)
        words.append(value)

    unread.settle(take, inputs)
    column = CodedTexts(words, codes)
    if not one.nullable:
        inputs.refuse(column.rows_where(lambda word: word is None), lambda _: str(check_value(one, None, one.name)))
    # A file that holds one is refused by ingest, for what reads it as C does would see the text cut short.
    cut = column.rows_where(lambda word: word is not None and "\0" in word)
    inputs.refuse(cut, lambda _: f"{one.name}: holds a NUL byte")
    long = column.rows_where(lambda word: word is not None and len(word) > MAX_TEXT)
    inputs.refuse(long, lambda row: str(check_value(one, column[row], one.name)))
    return column


def _answers(schema: Schema, numbers: Any, wrong: Any) -> dict[str, Any]:
    """Prediction and probabilities, null where the row is *wrong*."""
    import numpy as np
    import pyarrow as pa

    if schema.task == "regression":
        return {"prediction": pa.array(numbers, mask=wrong)}
    places = decided(schema, np.where(wrong[:, None], 0.0, numbers)) if wrong.any() else decided(schema, numbers)
    columns = {"prediction": pa.array(schema.classes).take(pa.array(places, mask=wrong))}
    if schema.positive is not None:
        columns["probability"] = pa.array(numbers[:, schema.classes.index(schema.positive)], mask=wrong)
        return columns
    return columns | {
        f"probability {label}": pa.array(numbers[:, at], mask=wrong) for at, label in enumerate(schema.classes)
    }


def _sparse(texts: Mapping[int, str], rows: int) -> Any:
    """A text column of which only some rows have one."""
    import pyarrow as pa

    if not texts:
        return pa.nulls(rows, pa.string())
    return pa.array([texts.get(row) for row in range(rows)], pa.string())


def _noun(reading: CellReading) -> str:
    return "text" if reading.type in {"VARCHAR", ""} else reading.said_as
