"""From the bytes of a request to typed columns. Quick for what is right; slow and exact about what is wrong.

A request that msgspec takes with the types of the schema, and that has no key twice, is right. All others are parsed
again by the standard library and walked value by value, which either names the first problem or, for the few right
requests that msgspec is too strict for (3.0 for an integer), gives the columns.
"""

from __future__ import annotations

import difflib
import json
import re
import types
from collections.abc import Iterator
from typing import Annotated, Any, NoReturn

import msgspec

from slipstream.errors import RequestError, shown
from slipstream.scoring.schema import MAX_TEXT, Field, Schema, check_value

MAX_DEPTH = 32
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
_TYPES: dict[str, Any] = {
    "number": float,
    "integer": Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)],
    "boolean": bool,
    "string": Annotated[str, msgspec.Meta(max_length=MAX_TEXT)],
}

Columns = dict[str, list[Any]]


class Decoder:
    """Decodes the requests of one version."""

    def __init__(self, schema: Schema, max_rows: int) -> None:
        self.schema = schema
        self.max_rows = max_rows
        self._decoder = msgspec.json.Decoder(_request_type(schema))

    def decode(self, body: bytes) -> tuple[Columns, int]:
        """The columns and the number of rows.

        Raises:
            RequestError: what is wrong, with the place in the body.
        """
        try:
            request = self._decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._slow(body)
        values, keys = _columns(request, len(self.schema.inputs))
        # Each key needs its own colon, so with as many colons as keys no key stands there twice.
        counts = {len(column) for column in values}
        if body.count(b":") != keys or len(counts) != 1 or not 0 < min(counts) <= self.max_rows:
            return self._slow(body)
        return dict(zip(self.schema.names, values, strict=True)), min(counts)

    def _slow(self, body: bytes) -> tuple[Columns, int]:
        document = parse(body)
        if not isinstance(document, dict) or len(document.keys() & {"rows", "columns"}) != 1:
            raise RequestError("expected a JSON object with either 'rows' or 'columns'", code="body_shape")
        extra = sorted(document.keys() - {"rows", "columns"})
        if extra:
            message = f"unknown field {shown(extra[0])}; a request has 'rows' or 'columns'"
            raise RequestError(message, code="field_unknown", field=extra[0][:80])
        columns = self._from_rows(document["rows"]) if "rows" in document else self._from_columns(document["columns"])
        return columns, len(next(iter(columns.values())))

    def _from_rows(self, rows: Any) -> Columns:
        if not isinstance(rows, list):
            raise RequestError("rows: expected an array of objects", code="type", field="rows")
        self._check_count(len(rows))
        columns: Columns = {name: [] for name in self.schema.names}
        for number, row in enumerate(rows):
            place = f"rows[{number}]"
            if not isinstance(row, dict):
                raise RequestError(f"{place}: expected an object", code="type", field=place)
            self._check_names(row, place)
            for field in self.schema.inputs:
                columns[field.name].append(_checked(field, row[field.name], f"{place}.{field.name}"))
        return columns

    def _from_columns(self, given: Any) -> Columns:
        if not isinstance(given, dict):
            raise RequestError("columns: expected an object of arrays", code="type", field="columns")
        self._check_names(given, "columns")
        columns: Columns = {}
        for field in self.schema.inputs:
            place, values = f"columns.{field.name}", given[field.name]
            if not isinstance(values, list):
                raise RequestError(f"{place}: expected an array", code="type", field=place)
            self._check_count(len(values))
            first = next(iter(columns.values()), values)
            if len(values) != len(first):
                message = f"{place}: {len(values)} values, {self.schema.names[0]!r} has {len(first)}"
                raise RequestError(message, code="columns_unequal", field=place)
            columns[field.name] = [_checked(field, value, f"{place}[{number}]") for number, value in enumerate(values)]
        return columns

    def _check_count(self, count: int) -> None:
        if count == 0:
            raise RequestError("rows: at least one row is needed", code="rows_empty", field="rows")
        if count > self.max_rows:
            message = f"{count} > {self.max_rows} rows; send several requests"
            raise RequestError(message, code="too_many_rows", status=413, field="rows")

    def _check_names(self, given: dict[str, Any], place: str) -> None:
        for name in given:
            if name not in self.schema.names:
                near = difflib.get_close_matches(name[:100], self.schema.names, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(self.schema.names[:20])}"
                place = f"{place}.{name[:80]}"
                raise RequestError(f"{place}: unknown field; {hint}", code="field_unknown", field=place)
        for name in self.schema.names:
            if name not in given:
                raise RequestError(
                    f"{place}.{name}: this field is missing", code="field_missing", field=f"{place}.{name}"
                )


def parse(body: bytes) -> Any:
    """Strict JSON: UTF-8, no key twice, at most 32 levels; NaN and Infinity come through as floats, to be named later.

    Raises:
        RequestError: ``body_empty``, ``encoding``, ``too_deep``, ``duplicate_key`` or ``json_invalid``.
    """
    if not body.strip():
        raise RequestError("request body is empty; expected a JSON object with 'rows'", code="body_empty")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise RequestError(f"not UTF-8: byte {error.start} cannot be read", code="encoding") from error
    if max(_depths(text), default=0) > MAX_DEPTH:
        raise RequestError(f"nested too deep; limit {MAX_DEPTH}", code="too_deep")
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=_integer)
    except json.JSONDecodeError as error:
        message = f"not JSON: {error.msg} at line {error.lineno} column {error.colno}"
        raise RequestError(message, code="json_invalid") from error


def _columns(request: Any, width: int) -> tuple[list[list[Any]], int]:
    """The values by column and the number of keys of a decoded request; no columns if it needs a closer look."""
    if request.columns is msgspec.UNSET and request.rows is not msgspec.UNSET:
        rows = map(msgspec.structs.astuple, request.rows)
        return [list(column) for column in zip(*rows, strict=True)], 1 + len(request.rows) * width
    if request.rows is msgspec.UNSET and request.columns is not msgspec.UNSET:
        return list(msgspec.structs.astuple(request.columns)), 1 + width
    return [], 0


def _request_type(schema: Schema) -> Any:
    kinds = [(_TYPES[field.type] | None) if field.nullable else _TYPES[field.type] for field in schema.inputs]
    names = {f"field{number}": field.name for number, field in enumerate(schema.inputs)}
    options: dict[str, Any] = {"rename": names, "forbid_unknown_fields": True}
    row = _list_of(msgspec.defstruct("Row", list(zip(names, kinds, strict=True)), **options))
    columns = msgspec.defstruct("Columns", list(zip(names, map(_list_of, kinds), strict=True)), **options)
    either = [(name, kind | msgspec.UnsetType, msgspec.UNSET) for name, kind in (("rows", row), ("columns", columns))]
    return msgspec.defstruct("Request", either, forbid_unknown_fields=True)


def _list_of(kind: Any) -> Any:
    return types.GenericAlias(list, (kind,))


def _checked(field: Field, value: Any, place: str) -> Any:
    problem = check_value(field, value, place)
    if problem is not None:
        raise problem
    return value


def _depths(text: str) -> Iterator[int]:
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub("", text)):
        depth += 1 if bracket[0] in "[{" else -1
        yield depth
        if depth > MAX_DEPTH:
            return


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        _refuse_duplicate(pairs)
    return made


def _refuse_duplicate(pairs: list[tuple[str, Any]]) -> NoReturn:
    names = [name for name, _ in pairs]
    twice = next(name for name in names if names.count(name) > 1)
    raise RequestError(f"the key {shown(twice)} stands there twice", code="duplicate_key", field=twice[:80])


def _integer(digits: str) -> int:
    # Longer ones are out of every range; converting thousands of digits costs quadratic time.
    return int(digits) if len(digits) <= 320 else 1 << 2000
