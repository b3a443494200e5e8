"""The ways in which a JSON body can hold rows, each with typed decoding for what is right and a walk for what is not.

A form answers three questions: as what type msgspec shall decode it, what columns the decoded value holds, and, when
msgspec refused the body, what the first mistake is and where.
"""

from __future__ import annotations

import re
import types
from typing import Annotated, Any, Protocol

import msgspec

from slipstream.errors import RequestError, shown
from slipstream.hints import similar
from slipstream.input_warnings import SMALL
from slipstream.model_schema import MAX_TEXT, Field, Schema, check_value, read_value

_ESCAPED = re.compile(r'[\\"\x00-\x1f]')
_START = re.compile(rb"\s*\[\s*(.)", re.DOTALL)

Columns = dict[str, Any]
"""Input -> its values: a list or, for numbers of many rows, a float64 array with NaN for null."""

_TYPES: dict[str, Any] = {
    "number": float,
    "integer": Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)],
    "boolean": bool,
    "string": Annotated[str, msgspec.Meta(max_length=MAX_TEXT)],
}


class Inputs:
    """The inputs of one version: their types for msgspec, and the checks that every body must pass.

    Attributes:
        cells: The type of one value of each input, in order.
        row: An object with every input.
        listed: A list with every input, in order.
        lists: An object with a list for every input.
        colons: How many colons the names of the inputs hold.
    """

    def __init__(self, schema: Schema, max_rows: int) -> None:
        self.schema = schema
        self.fields = schema.inputs
        self.names = schema.names
        self.max_rows = max_rows
        self.known = frozenset(schema.names)
        self.colons = sum(name.count(":") for name in self.names)
        self.words = [place for place, field in enumerate(self.fields) if field.type == "string"]
        self.cells = [cell_type(field) for field in self.fields]
        names = {f"field{number}": name for number, name in enumerate(self.names)}
        options: dict[str, Any] = {"rename": names, "forbid_unknown_fields": True}
        # A name that JSON escapes is none that msgspec takes: such rows always get the closer look.
        self.plain = not any(_ESCAPED.search(name) for name in self.names)
        self.row: Any = dict[str, Any]
        self.lists: Any = self.row
        if self.plain:
            self.row = msgspec.defstruct("Row", list(zip(names, self.cells, strict=True)), **options)
            self.lists = msgspec.defstruct("Lists", list(zip(names, map(list_of, self.cells), strict=True)), **options)
        self.listed = self.listed_as(self.names)
        self._read = [field for field in self.fields if field.date or field.absent]
        self._numbers = [field.name for field in self.fields if field.type != "string"]

    def listed_as(self, order: tuple[str, ...]) -> Any:
        """The type of a list with every input in that order.

        A fixed tuple would do too, but msgspec 0.22 corrupts memory where a union holds one and a bounded string.
        """
        cells = dict(zip(self.names, self.cells, strict=True))
        fields = [(f"field{number}", cells[name]) for number, name in enumerate(order)]
        return msgspec.defstruct("Listed", fields, array_like=True, forbid_unknown_fields=True)

    def in_bulk(self, values: list[Any], rows: int) -> Columns:
        """The columns; numbers of many rows as float64 arrays, NaN for null, which everything after is quicker with."""
        columns: Columns = dict(zip(self.names, values, strict=True))
        for field in self._read:
            columns[field.name] = _as_read(field, columns[field.name])
        if rows > SMALL:
            import numpy as np

            for name in self._numbers:
                columns[name] = np.array(columns[name], dtype=np.float64)
        return columns

    def check_count(self, count: int) -> None:
        """Refuse no rows, and too many."""
        if count == 0:
            raise RequestError("rows: at least one row is needed", code="rows_empty", field="rows")
        if count > self.max_rows:
            message = f"{count} > {self.max_rows} rows; send several requests"
            raise RequestError(message, code="too_many_rows", status=413, field="rows")

    def check_names(self, names: list[str], place: str) -> None:
        """Refuse names that are no inputs, twice the same, and missing ones."""
        for name in names:
            if name not in self.known:
                near = similar(name[:100], self.names)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(self.names[:20])}"
                place = f"{place}.{name[:80]}"
                raise RequestError(f"{place}: unknown field; {hint}", code="field_unknown", field=place)
        for name in self.names:
            if name not in names:
                place = f"{place}.{name}"
                raise RequestError(f"{place}: this field is missing", code="field_missing", field=place)
        if len(names) != len(self.known):
            twice = next(name for name in names if names.count(name) > 1)
            message = f"{place}: {shown(twice)} stands there twice"
            raise RequestError(message, code="duplicate_key", field=place)

    def check_equal(self, count: int, rows: int, place: str) -> None:
        """Refuse a column that is not as long as the first."""
        if count != rows:
            message = f"{place}: {count} values, {self.names[0]!r} has {rows}"
            raise RequestError(message, code="columns_unequal", field=place)

    def row_of(self, row: Any, place: str, lists: bool) -> list[Any]:
        """The checked values of one row, which is an object or, with *lists*, a list in the order of the inputs."""
        if isinstance(row, dict):
            self.check_names(list(row), place)
            return [checked(field, row[field.name], f"{place}.{field.name}") for field in self.fields]
        if lists and isinstance(row, list):
            return self.list_of(row, self.fields, place)
        if lists and len(self.fields) == 1 and not isinstance(row, list):
            return [checked(self.fields[0], row, place)]
        wanted = "an object or an array" if lists else "an object"
        raise RequestError(f"{place}: expected {wanted}", code="type", field=place)

    def list_of(self, row: list[Any], fields: tuple[Field, ...], place: str) -> list[Any]:
        """The checked values of a row that is a list in the order of *fields*."""
        if len(row) != len(fields):
            message = f"{place}: {len(row)} values, expected {len(fields)} ({', '.join(f.name for f in fields[:20])})"
            raise RequestError(message, code="row_length", field=place)
        return [checked(field, row[at], f"{place}[{at}]") for at, field in enumerate(fields)]


def _as_read(field: Field, values: Any) -> list[Any]:
    """The values of an input that training read otherwise than as they stand: dates, and words for "missing"."""
    plain = values if isinstance(values, list) else [None if value != value else value for value in values.tolist()]
    return [read_value(field, value, f"{field.name}[{at}]") for at, value in enumerate(plain)]


class Form(Protocol):
    """One way to write rows."""

    type: Any

    def take(self, value: Any) -> tuple[list[Any], int] | None:
        """The values by column of what msgspec decoded, and how many colons their keys take; None: look closer."""
        ...

    def check(self, value: Any, place: str) -> list[Any]:
        """The values by column of parsed JSON; raises RequestError with the first mistake."""
        ...


class RowObjects:
    """``[{"x": 1, "y": 2}, ...]``."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self.type = list_of(inputs.row)
        self._colons = len(inputs.names) + inputs.colons

    def take(self, value: Any) -> tuple[list[Any], int] | None:
        """One list a column."""
        if not self.inputs.plain:
            return None
        return transposed(map(msgspec.structs.astuple, value)), len(value) * self._colons

    def check(self, value: Any, place: str) -> list[Any]:
        """Row by row."""
        return rows_of(self.inputs, value, place, lists=False)


class Lists:
    """``{"x": [1, ...], "y": [2, ...]}``."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self.type = inputs.lists
        self._colons = len(inputs.names) + inputs.colons

    def take(self, value: Any) -> tuple[list[Any], int] | None:
        """The lists."""
        if not self.inputs.plain:
            return None
        return list(msgspec.structs.astuple(value)), self._colons

    def check(self, value: Any, place: str) -> list[Any]:
        """Column by column."""
        if not isinstance(value, dict):
            raise RequestError(f"{place}: expected an object of arrays", code="type", field=place)
        inputs = self.inputs
        inputs.check_names(list(value), place)
        columns: list[list[Any]] = []
        for field in inputs.fields:
            here, values = f"{place}.{field.name}", value[field.name]
            if not isinstance(values, list):
                raise RequestError(f"{here}: expected an array", code="type", field=here)
            inputs.check_count(len(values))
            inputs.check_equal(len(values), len(columns[0] if columns else values), here)
            columns.append([checked(field, one, f"{here}[{number}]") for number, one in enumerate(values)])
        return columns


class Instances:
    """A list of objects, of lists in the order of the inputs or, for a model with one input, of its values."""

    type: Any = msgspec.Raw

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self._objects = RowObjects(inputs)
        kinds = {b"{": self._objects.type, b"[": list_of(inputs.listed)}
        self._rows = {start: msgspec.json.Decoder(kind) for start, kind in kinds.items()}
        self._values = msgspec.json.Decoder(list_of(inputs.cells[0])) if len(inputs.cells) == 1 else None

    def take(self, value: Any) -> tuple[list[Any], int] | None:
        """One list a column, if all rows are written as the first is."""
        start = _START.match(value)
        decoder = self._rows.get(start[1], self._values) if start else None
        if start is None or decoder is None:
            return None
        rows = decoder.decode(value)
        if start[1] == b"{":
            return self._objects.take(rows)
        return (transposed(map(msgspec.structs.astuple, rows)) if start[1] == b"[" else [rows]), 0

    def check(self, value: Any, place: str) -> list[Any]:
        """Row by row."""
        return rows_of(self.inputs, value, place, lists=True)


class ListsOrInstances:
    """Either ``{"x": [1, ...]}`` or rows as lists or objects."""

    type: Any = msgspec.Raw

    def __init__(self, inputs: Inputs) -> None:
        self._lists, self._instances = Lists(inputs), Instances(inputs)
        self._decoder = msgspec.json.Decoder(self._lists.type)

    def take(self, value: Any) -> tuple[list[Any], int] | None:
        """As the form of *value* does."""
        instances = self._instances.take(value)
        return self._lists.take(self._decoder.decode(value)) if instances is None else instances

    def check(self, value: Any, place: str) -> list[Any]:
        """As the form of *value* does."""
        return self._instances.check(value, place) if isinstance(value, list) else self._lists.check(value, place)


def rows_of(inputs: Inputs, value: Any, place: str, lists: bool) -> list[Any]:
    """The checked values by column of a list of rows."""
    if not isinstance(value, list):
        raise RequestError(f"{place}: expected an array of {'rows' if lists else 'objects'}", code="type", field=place)
    inputs.check_count(len(value))
    return transposed(inputs.row_of(row, f"{place}[{number}]", lists) for number, row in enumerate(value))


def cell_type(field: Field) -> Any:
    """The type of one value of *field*."""
    return (_TYPES[field.type] | None) if field.nullable else _TYPES[field.type]


def list_of(kind: Any) -> Any:
    """The type of a list of *kind*."""
    return types.GenericAlias(list, (kind,))


def checked(field: Field, value: Any, place: str) -> Any:
    """The value; raises what is wrong with it."""
    problem = check_value(field, value, place)
    if problem is not None:
        raise problem
    return value


def transposed(rows: Any) -> list[Any]:
    """One list for each place of the rows."""
    return [list(column) for column in zip(*rows, strict=True)]
