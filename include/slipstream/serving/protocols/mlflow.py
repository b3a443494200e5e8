"""What MLflow's scoring server takes at ``/invocations``; JSON for SageMaker arrives there too."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from slipstream.errors import RequestError, shown
from slipstream.serving.message import Request
from slipstream.serving.version.answer import Decoded
from slipstream.serving.version.json_body import Body, Decoder
from slipstream.serving.version.native import Native
from slipstream.serving.version.row_formats import (
    Form,
    Inputs,
    Instances,
    Lists,
    ListsOrInstances,
    RowObjects,
    list_of,
    transposed,
)

MOST_ORDERS = 16
_NAN = re.compile(rb'"(?:[^"\\]|\\.)*"?|NaN', re.DOTALL)


class Invocations(Native):
    """Reads every JSON form: MLflow's four, and the two of the native route."""

    def decode(self, decoder: Decoder, request: Request, body: bytes) -> Decoded:
        """The rows of *body*. MLflow's client writes what is missing as ``NaN``, which is no JSON: it means null."""
        if b"NaN" in body:
            body = _without_nan(body)
        return Decoded(*decoder.own(_invocations).decode(body))


def _without_nan(body: bytes) -> bytes:
    """The body with null for each ``NaN`` that stands in no string."""
    if b"\\" in body:
        return _NAN.sub(lambda match: b"null" if match[0] == b"NaN" else match[0], body)
    parts = body.split(b'"')
    parts[::2] = [part.replace(b"NaN", b"null") for part in parts[::2]]
    return b'"'.join(parts)


def _invocations(inputs: Inputs) -> Body:
    forms: dict[str, Callable[[Inputs], Form]] = {
        "dataframe_split": SplitRows,
        "dataframe_records": RowObjects,
        "instances": Instances,
        "inputs": ListsOrInstances,
        "rows": RowObjects,
        "columns": Lists,
    }
    return Body(inputs, forms, empty=("params", "parameters"))


class SplitFrame(msgspec.Struct, forbid_unknown_fields=True):
    """A data frame as ``DataFrame.to_dict(orient="split")`` gives it."""

    columns: list[str]
    data: msgspec.Raw
    index: list[int | float | str | bool | None] | msgspec.UnsetType = msgspec.UNSET


class SplitRows:
    """``{"columns": ["x", "y"], "data": [[1, 2], ...]}``, in any order of the columns; ``index`` tells us nothing."""

    type: Any = SplitFrame

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self._decoders: dict[tuple[str, ...], msgspec.json.Decoder[Any]] = {}

    def take(self, value: SplitFrame) -> tuple[list[Any], int] | None:
        """One list a column."""
        order = tuple(value.columns)
        if len(order) != len(self.inputs.names) or self.inputs.known != set(order):
            return None
        decoder = self._decoder(order)
        if decoder is None:
            return None
        rows = decoder.decode(value.data)
        if value.index is not msgspec.UNSET and len(value.index) != len(rows):
            return None
        columns = dict(zip(order, transposed(map(msgspec.structs.astuple, rows)), strict=False))
        values = [columns[name] for name in self.inputs.names] if columns else []
        return values, 2 + (value.index is not msgspec.UNSET) + self.inputs.colons

    def _decoder(self, order: tuple[str, ...]) -> msgspec.json.Decoder[Any] | None:
        """The decoder of rows in that order; clients have one order each, so only a few are made and kept."""
        if order not in self._decoders and len(self._decoders) < MOST_ORDERS:
            self._decoders[order] = msgspec.json.Decoder(list_of(self.inputs.listed_as(order)))
        return self._decoders.get(order)

    def check(self, value: Any, place: str) -> list[Any]:
        """Row by row."""
        if not isinstance(value, dict):
            raise RequestError(f"{place}: expected an object", code="type", field=place)
        self._check_keys(value, place)
        names, rows = value["columns"], value["data"]
        self._check_columns(names, f"{place}.columns")
        if not isinstance(rows, list):
            raise RequestError(f"{place}.data: expected an array of rows", code="type", field=f"{place}.data")
        self.inputs.check_count(len(rows))
        self._check_index(value.get("index"), len(rows), f"{place}.index")
        fields = tuple(self.inputs.fields[self.inputs.names.index(name)] for name in names)
        values: list[list[Any]] = []
        for number, row in enumerate(rows):
            here = f"{place}.data[{number}]"
            if not isinstance(row, list):
                raise RequestError(f"{here}: expected an array", code="type", field=here)
            values.append(self.inputs.list_of(row, fields, here))
        columns = dict(zip(names, transposed(values), strict=True))
        return [columns[name] for name in self.inputs.names]

    def _check_keys(self, value: dict[str, Any], place: str) -> None:
        for key in ("columns", "data"):
            if key not in value:
                here = f"{place}.{key}"
                raise RequestError(f"{here}: this field is missing", code="field_missing", field=here)
        extra = sorted(value.keys() - {"columns", "data", "index"})
        if extra:
            here = f"{place}.{extra[0][:80]}"
            raise RequestError(f"{here}: unknown field; known: columns, data, index", code="field_unknown", field=here)

    def _check_columns(self, names: Any, place: str) -> None:
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise RequestError(f"{place}: expected an array of names", code="type", field=place)
        self.inputs.check_names(names, place)

    def _check_index(self, index: Any, rows: int, place: str) -> None:
        if index is None:
            return
        if not isinstance(index, list) or len(index) != rows:
            message = f"{place}: expected an array of {rows} labels, got {shown(index)}"
            raise RequestError(message, code="type", field=place)
