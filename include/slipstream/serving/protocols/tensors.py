"""From the tensors of a V2 request to columns."""

from __future__ import annotations

import struct
from itertools import chain
from typing import Any

import msgspec

from slipstream.errors import RequestError, shown
from slipstream.model_schema import MAX_TEXT, Field
from slipstream.serving.protocols.arrays import check_texts, column_of
from slipstream.serving.version.json_body import parse
from slipstream.serving.version.row_formats import Columns, Inputs, cell_type, checked, list_of

_WHOLE = {
    f"{sign}INT{bits}": f"<{code}{bits // 8}" for sign, code in (("", "i"), ("U", "u")) for bits in (8, 16, 32, 64)
}
_FLOATS = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}
_DTYPES = {**_WHOLE, **_FLOATS, "BOOL": "?"}
_TAKEN = {
    "number": {*_WHOLE, *_FLOATS},
    "integer": {*_WHOLE, *_FLOATS},
    "boolean": {"BOOL"},
    "string": {"BYTES"},
}
_Parameters = dict[str, str | int | float | bool] | msgspec.UnsetType


class Tensor(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One input tensor.

    Attributes:
        data: Its elements, still encoded; parsed ones if the request was read slowly; bytes in the binary extension.
    """

    name: str
    datatype: str
    shape: list[int]
    parameters: _Parameters = msgspec.UNSET
    data: Any = None


class _Encoded(Tensor, omit_defaults=True):
    data: msgspec.Raw = msgspec.Raw(b"null")


class RequestedOutput(msgspec.Struct, forbid_unknown_fields=True):
    """An output that is asked for."""

    name: str
    parameters: _Parameters = msgspec.UNSET


class Infer(msgspec.Struct, forbid_unknown_fields=True):
    """A request."""

    inputs: list[Tensor]
    id: str | msgspec.UnsetType = msgspec.UNSET
    parameters: _Parameters = msgspec.UNSET
    outputs: list[RequestedOutput] | msgspec.UnsetType | None = msgspec.UNSET


class _EncodedInfer(Infer):
    inputs: list[_Encoded]  # type: ignore[assignment]


_QUICK = msgspec.json.Decoder(_EncodedInfer)


def read_request(body: bytes, header: bytes | None) -> Infer:
    """The request of *body*, of which the first *header* bytes are JSON; without *header* it is JSON altogether.

    Raises:
        RequestError: what is wrong, with the place in the body.
    """
    if header is None:
        return _read_json(body)
    if not header.isdigit() or len(header) > 12 or int(header) > len(body):
        message = "inference-header-content-length: expected the length of the JSON at the start of the body"
        raise RequestError(message, code="header_length_invalid")
    request = _read_json(body[: int(header)])
    _cut(request, body[int(header) :])
    return request


def _read_json(body: bytes) -> Infer:
    try:
        request = _QUICK.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return read_slowly(body)
    # Written again, it has as many colons as before, unless a key stood there twice (or a colon was an escape).
    if b"\\" in body or msgspec.json.encode(request).count(b":") != body.count(b":"):
        return read_slowly(body)
    return request


def read_slowly(body: bytes) -> Infer:
    """The request, every element of its tensors parsed; or what is wrong with it."""
    document = parse(body, "'inputs'")
    try:
        request = msgspec.convert(document, Infer)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        place = where.rstrip("`").lstrip(".") or None
        code = "field_unknown" if "unknown field" in what else "field_missing" if "missing" in what else "type"
        raise RequestError(f"{place or 'body'}: {what[0].lower()}{what[1:]}", code=code, field=place) from error
    if request.id is not msgspec.UNSET:  # it goes back
        checked(Field("id", "string", nullable=False), request.id, "id")
    return request


def _cut(request: Infer, binary: bytes) -> None:
    """Give each tensor that has a ``binary_data_size`` its bytes."""
    start = 0
    for at, tensor in enumerate(request.inputs):
        size = (tensor.parameters or {}).get("binary_data_size")
        if size is None:
            continue
        if type(size) is not int or not 0 <= size <= len(binary) - start:
            raise _wrong_size(
                f"inputs[{at}].parameters.binary_data_size", f"{shown(size)} of {len(binary) - start} bytes"
            )
        tensor.data = binary[start : start + size]
        start += size
    if start != len(binary):
        raise _wrong_size("inputs", f"{len(binary) - start} bytes belong to no tensor")


def _wrong_size(place: str, what: str) -> RequestError:
    return RequestError(f"{place}: {what}", code="binary_size_wrong", field=place)


class Tensors:
    """Makes columns of tensors, for one version."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self._whole = {field.name: _lists(field, whole=True) for field in inputs.fields}
        self._plain = {field.name: _lists(field, whole=False) for field in inputs.fields}
        numeric = all(field.type in {"number", "integer"} for field in inputs.fields)
        self._matrix = numeric and len(inputs.fields) > 1

    def columns(self, request: Infer) -> tuple[Columns, int]:
        """The columns and the number of rows.

        Raises:
            RequestError: what is wrong, with the place in the body.
        """
        tensors, inputs = request.inputs, self.inputs
        if self._matrix and len(tensors) == 1 and len(tensors[0].shape) == 2 and tensors[0].shape[1] != 1:
            return self._from_matrix(tensors[0])
        inputs.check_names([tensor.name for tensor in tensors], "inputs")
        values: dict[str, Any] = {}
        rows = self._rows(tensors[0], "inputs[0]", 1)
        for at, tensor in enumerate(tensors):
            place = f"inputs[{at}]"
            inputs.check_equal(self._rows(tensor, place, 1), rows, place)
            field = inputs.fields[inputs.names.index(tensor.name)]
            values[tensor.name] = self._column(field, tensor, rows, place)
        return inputs.in_bulk([values[name] for name in inputs.names], rows), rows

    def _rows(self, tensor: Tensor, place: str, width: int) -> int:
        """How many rows a tensor of the shape [n, *width*] has, or with a width of 1 of the shape [n]."""
        shape = tensor.shape
        right = len(shape) == 2 and shape[1] == width
        if not right and not (width == 1 and len(shape) == 1):
            wanted = "[n] or [n, 1]" if width == 1 else f"[n, {width}]"
            message = f"{place}.shape: expected {wanted}, got {shown(shape)}"
            raise RequestError(message, code="shape_wrong", field=f"{place}.shape")
        self.inputs.check_count(max(0, shape[0]))
        return shape[0]

    def _column(self, field: Field, tensor: Tensor, rows: int, place: str) -> Any:
        if tensor.datatype not in _TAKEN[field.type]:
            message = f"{place}.datatype: {field.name!r} is a {field.type}, which {shown(tensor.datatype)} cannot hold"
            raise RequestError(message, code="type", field=f"{place}.datatype")
        if isinstance(tensor.data, bytes):
            return _from_bytes(field, tensor, rows, place)
        if isinstance(tensor.data, msgspec.Raw):
            quick = self._quickly(field, tensor, rows)
            if quick is not None:
                return quick
        return [checked(field, one, at) for one, at in _elements(tensor, rows, place)]

    def _quickly(self, field: Field, tensor: Tensor, rows: int) -> list[Any] | None:
        """The column of a flat list of the right types; None: look closer."""
        decoders = self._whole if tensor.datatype in _WHOLE else self._plain
        try:
            values: list[Any] = decoders[field.name].decode(tensor.data)
        except msgspec.DecodeError:
            return None
        return values if len(values) == rows else None

    def _from_matrix(self, tensor: Tensor) -> tuple[Columns, int]:
        """The columns of one tensor that holds all inputs side by side."""
        width, fields = len(self.inputs.fields), self.inputs.fields
        rows = self._rows(tensor, "inputs[0]", width)
        if tensor.datatype not in _TAKEN["number"]:
            message = f"inputs[0].datatype: expected numbers, got {shown(tensor.datatype)}"
            raise RequestError(message, code="type", field="inputs[0].datatype")
        if isinstance(tensor.data, bytes):
            array = _array(tensor, rows * width, "inputs[0]").reshape(rows, width)
            columns = [
                column_of(field, array[:, at], None, f"inputs[0].{field.name}") for at, field in enumerate(fields)
            ]
            return self.inputs.in_bulk(columns, rows), rows
        elements = _elements(tensor, rows * width, "inputs[0]")
        values = [checked(fields[at % width], one, place) for at, (one, place) in enumerate(elements)]
        return self.inputs.in_bulk([values[at::width] for at in range(width)], rows), rows


def _lists(field: Field, whole: bool) -> msgspec.json.Decoder[Any]:
    """A decoder for the elements of *field*; with *whole* for those of an integer tensor."""
    if field.type == "number" and whole:
        return msgspec.json.Decoder(list_of(cell_type(Field(field.name, "integer", field.nullable))))
    return msgspec.json.Decoder(list_of(cell_type(field)))


def _elements(tensor: Tensor, count: int, place: str) -> list[tuple[Any, str]]:
    """The elements of a tensor in JSON, each with its place; rows may be lists of their own."""
    data = parse(bytes(tensor.data), "'data'") if isinstance(tensor.data, msgspec.Raw) else tensor.data
    here = f"{place}.data"
    if not isinstance(data, list):
        raise RequestError(f"{here}: expected an array", code="type", field=here)
    elements = [(value, f"{here}[{at}]") for at, value in enumerate(data)]
    if len(tensor.shape) == 2 and data and all(isinstance(row, list) for row in data):
        elements = list(chain.from_iterable(_spread(row, at) for row, at in elements))
    if len(elements) != count:
        raise RequestError(f"{here}: {len(elements)} elements, the shape says {count}", code="shape_wrong", field=here)
    if tensor.datatype in _WHOLE:
        _check_whole(elements)
    return elements


def _spread(row: list[Any], place: str) -> list[tuple[Any, str]]:
    return [(value, f"{place}[{at}]") for at, value in enumerate(row)]


def _check_whole(elements: list[tuple[Any, str]]) -> None:
    element = Field("", "integer", nullable=True)
    for value, place in elements:
        checked(element, value, place)


def _from_bytes(field: Field, tensor: Tensor, rows: int, place: str) -> Any:
    if field.type == "string":
        return check_texts(field, _texts(tensor.data, rows, f"{place}.data"), f"{place}.data")
    return column_of(field, _array(tensor, rows, place), None, f"{place}.data")


def _array(tensor: Tensor, count: int, place: str) -> Any:
    import numpy as np

    dtype = np.dtype(_DTYPES[tensor.datatype])
    if len(tensor.data) != count * dtype.itemsize:
        what = f"{len(tensor.data)} bytes, {count} elements of {tensor.datatype} take {count * dtype.itemsize}"
        raise _wrong_size(f"{place}.data", what)
    if tensor.datatype == "BOOL" and tensor.data.translate(None, b"\x00\x01"):
        raise RequestError(f"{place}.data: a BOOL is a byte 0 or 1", code="type", field=f"{place}.data")
    return np.frombuffer(tensor.data, dtype)


def _texts(data: bytes, count: int, place: str) -> list[str]:
    """The strings of a BYTES tensor: each behind its length in four bytes."""
    texts: list[str] = []
    at = 0
    while at < len(data) and len(texts) <= count:
        size = struct.unpack_from("<I", data, at)[0] if at + 4 <= len(data) else len(data)
        if at + 4 + size > len(data):
            raise _wrong_size(f"{place}[{len(texts)}]", "its bytes end before its length says")
        if size > 4 * MAX_TEXT:
            here = f"{place}[{len(texts)}]"
            raise RequestError(f"{here}: longer than {MAX_TEXT} characters", code="string_too_long", field=here)
        try:
            texts.append(data[at + 4 : at + 4 + size].decode())
        except UnicodeDecodeError as error:
            here = f"{place}[{len(texts)}]"
            raise RequestError(f"{here}: not UTF-8", code="encoding", field=here) from error
        at += 4 + size
    if len(texts) != count:
        raise RequestError(f"{place}: {len(texts)} elements, the shape says {count}", code="shape_wrong", field=place)
    return texts
