"""CSV, as SageMaker's built-in algorithms take and give it, and as MLflow takes it: with a header line or without."""

from __future__ import annotations

import csv
import io
import math
import re
from typing import Any

from slipstream.cell_reading import CellReading
from slipstream.errors import RequestError, ValueProblem
from slipstream.model_schema import MAX_TEXT, Field, read_cell
from slipstream.serving.message import Request
from slipstream.serving.version.answer import Answered, Decoded
from slipstream.serving.version.json_body import Decoder
from slipstream.serving.version.row_formats import Inputs
from slipstream.sources.csv_reader import DELIMITERS

CSV = b"text/csv"
TARGET_MODEL = b"x-amzn-sagemaker-target-model"
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_SURELY_64_BITS = 19
# What is read as fast as can be: cells without marks, formats or words of their own for "missing".
_PLAIN = {kind: CellReading(kind) for kind in ("BIGINT", "DOUBLE", "VARCHAR")}


class Csv:
    """Reads lines of values, and answers a line a row: the number, the probability, or of many classes the label."""

    def decode(self, decoder: Decoder, request: Request, body: bytes) -> Decoded:
        """The rows of *body*."""
        inputs = decoder.inputs
        text = _text(body)
        header, delimiter = _header(text, inputs)
        lines = _lines(text, delimiter, inputs)
        order = inputs.names
        if header:
            del lines[0]
            order = tuple(header)
            beside = {"", *inputs.schema.beside} - inputs.known
            inputs.check_names([name for name in order if name not in beside], "header")
        inputs.check_count(len(lines))
        for number, cells in lines:
            if len(cells) != len(order):
                message = f"line {number} has {len(cells)} fields, expected {len(order)}"
                raise RequestError(message, code="csv_malformed", field=f"line {number}")
        columns = dict(zip(order, zip(*(cells for _, cells in lines), strict=True), strict=True))
        numbers = [number for number, _ in lines]
        values = [_values(field, columns[field.name], numbers) for field in inputs.fields]
        return Decoded(inputs.in_bulk(values, len(lines)), len(lines))

    def encode(self, answered: Answered) -> tuple[bytes, bytes]:
        """One line a row."""
        answers = answered.answers
        binary = answered.served.scorer.schema.task == "binary"
        values = answers.probabilities if binary and answers.probabilities is not None else answers.predictions
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([_written(one)] for one in values)
        return text.getvalue().encode("utf-8", "replace"), b"text/csv; charset=utf-8"


def _text(body: bytes) -> str:
    if not body.strip():
        raise RequestError("request body is empty; expected lines of comma-separated values", code="body_empty")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(f"not UTF-8: byte {error.start} cannot be read", code="encoding") from error


def _header(text: str, inputs: Inputs) -> tuple[list[str], str]:
    """The names in the first line, and what stands between them; without names nothing but a comma can."""
    for delimiter in DELIMITERS:
        lines = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
        try:
            cells = next(filter(None, lines), [])
        except csv.Error:
            continue
        header = _named(cells, inputs)
        if _is_header(header, inputs):
            return header, delimiter
    return [], DELIMITERS[0]


def _lines(text: str, delimiter: str, inputs: Inputs) -> list[tuple[int, list[str]]]:
    """The lines that are not blank, with their numbers: at most one more than there may be rows and a header."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    lines: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            if cells:
                lines.append((reader.line_num, cells))
            if len(lines) > inputs.max_rows + 1:
                inputs.check_count(_count(reader, len(lines)))
    except csv.Error as error:
        place = f"line {reader.line_num}"
        raise RequestError(f"{place}: {error}", code="csv_malformed", field=place) from error
    return lines


def _count(reader: Any, taken: int) -> int:
    return taken + sum(bool(cells) for cells in reader)


def _named(cells: list[str], inputs: Inputs) -> list[str]:
    """The cells of a first line as names: a space around one is no part of it, as in the files of training."""
    return [cell if cell in inputs.known else cell.strip() for cell in cells]


def _is_header(cells: list[str], inputs: Inputs) -> bool:
    """Whether a first line names the columns. Half of them will do: a name that is wrong should be called so."""
    known = sum(cell in inputs.known for cell in cells)
    beside = sum(cell in inputs.schema.beside for cell in cells)
    if not known or 2 * (known + beside) < len(cells):
        return False
    return tuple(cells) == inputs.names or not _is_row(cells, inputs)


def _is_row(cells: list[str], inputs: Inputs) -> bool:
    """Whether the names are values as well: those of a frame made of an array are 0, 1, 2."""
    if len(cells) != len(inputs.fields) or len(inputs.words) == len(cells):
        return False
    try:
        for field, cell in zip(inputs.fields, cells, strict=True):
            _value(field, cell, "")
    except ValueProblem:
        return False
    return True


def _values(field: Field, cells: tuple[str, ...], lines: list[int]) -> list[Any]:
    """The values of one column."""
    quick = None if "" in cells and not field.nullable else _quickly(field, cells)
    if quick is not None:
        return quick
    return [_value(field, cell, f"line {line}.{field.name}") for line, cell in zip(lines, cells, strict=True)]


def _quickly(field: Field, cells: tuple[str, ...]) -> list[Any] | None:
    """The values of cells that are plainly right; None: look closer."""
    longest = max(map(len, cells))
    if field.reading is not None and (field.reading != _PLAIN.get(field.reading.type)):
        return None
    if field.type == "string":
        return [cell or None for cell in cells] if longest <= MAX_TEXT else None
    if field.type == "number" and all(map(_NUMBER.fullmatch, filter(None, cells))):
        values = [float(cell) if cell else None for cell in cells]
        return values if all(map(math.isfinite, filter(None, values))) else None
    if field.type == "integer" and longest < _SURELY_64_BITS and all(map(_WHOLE.fullmatch, filter(None, cells))):
        return [int(cell) if cell else None for cell in cells]
    return None


def _value(field: Field, cell: str, place: str) -> Any:
    """The value that *cell* means, as the files of training were read; an empty one is missing."""
    return read_cell(field, cell, place)


def _written(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def with_message(error: dict[str, Any]) -> dict[str, Any]:
    """The body of an error with what boto3 looks for beside it."""
    return {"error": error, "code": error["code"], "message": error["message"]}


def target_model(header: bytes) -> str:
    """The model that ``X-Amzn-SageMaker-Target-Model`` names; SageMaker's names end in ``.tar.gz``."""
    return header.decode("latin-1").removesuffix(".tar.gz").lstrip("/")
