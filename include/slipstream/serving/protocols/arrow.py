"""Arrow's stream format, in and out, by the rules that JSON has. A body is never decompressed."""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from slipstream.errors import RequestError
from slipstream.model_schema import MAX_TEXT, Field
from slipstream.serving.message import Request
from slipstream.serving.protocols.arrays import check_texts, column_of
from slipstream.serving.version.answer import Answered, Decoded
from slipstream.serving.version.json_body import Decoder
from slipstream.serving.version.row_formats import Inputs

ARROW = b"application/vnd.apache.arrow.stream"

# Places of fields in the tables of Arrow's flatbuffers (Message.fbs), as offsets into their vtables.
_HEADER_TYPE, _HEADER = 6, 8
_LENGTH, _COMPRESSION = 4, 10
_DICTIONARY_DATA = 6
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3


class Arrow:
    """Reads record batches, and answers one with ``predictions``, ``probabilities`` and ``ids``."""

    def decode(self, decoder: Decoder, request: Request, body: bytes) -> Decoded:
        """The rows of *body*."""
        inputs = decoder.inputs
        table = _read(body, inputs)
        inputs.check_names(table.column_names, "schema")
        inputs.check_count(table.num_rows)
        values = [_column(field, table.column(field.name), table.num_rows) for field in inputs.fields]
        return Decoded(inputs.in_bulk(values, table.num_rows), table.num_rows)

    def encode(self, answered: Answered) -> tuple[bytes, bytes]:
        """One record batch; its schema's metadata name the model and the version."""
        import pyarrow as pa

        served, answers = answered.served, answered.answers
        columns: dict[str, Any] = {"predictions": answers.predictions, "ids": answered.ids}
        if answers.probabilities is not None:
            columns["probabilities"] = answers.probabilities
        about = {"model": served.model, "version": str(served.version)}
        if answered.check.warnings:
            about["warnings"] = msgspec.json.encode(answered.check.warnings).decode()
        table = pa.table(columns, metadata=about)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return sink.getvalue().to_pybytes(), ARROW


def _read(body: bytes, inputs: Inputs) -> Any:
    """The table of *body*, valid throughout, after its messages were seen to be no larger than they look."""
    import pyarrow as pa

    if not body:
        raise RequestError("request body is empty; expected an Arrow stream", code="body_empty")
    try:
        inputs.check_count(_count(pa.ipc.MessageReader.open_stream(pa.py_buffer(body))))
        table = pa.ipc.open_stream(pa.py_buffer(body)).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, struct.error, IndexError, MemoryError) as error:
        message = f"not an Arrow stream: {str(error).splitlines()[0][:200] if str(error) else 'it is damaged'}"
        raise RequestError(message, code="arrow_invalid") from error
    return table


def _count(messages: Any) -> int:
    """The rows that all record batches declare; refuses what is compressed."""
    rows = 0
    for message in messages:
        data = message.metadata.to_pybytes()
        root = struct.unpack_from("<I", data)[0]
        kind = _field(data, root, _HEADER_TYPE)
        if kind is None or data[kind] not in {_DICTIONARY_BATCH, _RECORD_BATCH}:
            continue
        batch = _table(data, root, _HEADER)
        if data[kind] == _DICTIONARY_BATCH:
            batch = _table(data, batch, _DICTIONARY_DATA)
        if _field(data, batch, _COMPRESSION) is not None:
            message = "send the Arrow stream without compression"
            raise RequestError(message, code="content_encoding", status=415)
        length = _field(data, batch, _LENGTH)
        if data[kind] == _RECORD_BATCH and length is not None:
            rows += max(0, struct.unpack_from("<q", data, length)[0])
    return rows


def _field(data: bytes, table: int, place: int) -> int | None:
    """Where a field of a flatbuffers table lies; None if it is left out."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    if vtable < 0 or place >= struct.unpack_from("<H", data, vtable)[0]:
        return None
    offset = struct.unpack_from("<H", data, vtable + place)[0]
    return table + offset if offset else None


def _table(data: bytes, table: int, place: int) -> int:
    """Where the table that a field points to lies."""
    position = _field(data, table, place)
    if position is None:
        raise IndexError("a part of a message is missing")
    at: int = position + struct.unpack_from("<I", data, position)[0]
    return at


def _column(field: Field, chunks: Any, rows: int) -> Any:
    """The values of one column."""
    import pyarrow as pa

    place = f"columns.{field.name}"
    if pa.types.is_null(chunks.type):
        return check_texts(field, [None] * rows, place)
    if field.type == "string":
        return _texts(field, chunks, place)
    if not _holds(field, chunks.type):
        raise _wrong_type(field, chunks, place)
    missing = chunks.is_null().to_numpy() if chunks.null_count else None
    if missing is not None and not pa.types.is_floating(chunks.type):
        chunks = chunks.fill_null(pa.scalar(False if field.type == "boolean" else 0, chunks.type))
    return column_of(field, chunks.to_numpy(), missing, place)


def _holds(field: Field, kind: Any) -> bool:
    import pyarrow as pa

    if field.type == "boolean":
        return bool(pa.types.is_boolean(kind))
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _texts(field: Field, chunks: Any, place: str) -> list[Any]:
    import pyarrow as pa

    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    kind = chunks.type.value_type if pa.types.is_dictionary(chunks.type) else chunks.type
    if not any(test(kind) for test in texts):
        raise _wrong_type(field, chunks, place)
    for chunk in chunks.chunks:
        _check_lengths(chunk.dictionary if pa.types.is_dictionary(chunks.type) else chunk, place)
    return check_texts(field, chunks.to_pylist(), place)


def _check_lengths(array: Any, place: str) -> None:
    """Refuse long strings before they are copied: in a dictionary or a view many rows can share one."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string_view(array.type):
        # A view begins with its length, in four bytes of sixteen.
        views = np.frombuffer(array.buffers()[1], np.int32) if len(array) else np.zeros(0, np.int32)
        longest = int(views[::4].max(initial=0))
    else:
        longest = pc.max(pc.binary_length(array)).as_py()
    if longest is not None and longest > 4 * MAX_TEXT:
        message = f"{place}: holds a string longer than {MAX_TEXT} characters"
        raise RequestError(message, code="string_too_long", field=place)


def _wrong_type(field: Field, chunks: Any, place: str) -> RequestError:
    return RequestError(f"{place}: expected {field.type}, got {str(chunks.type)[:80]}", code="type", field=place)
