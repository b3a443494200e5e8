"""A profile as the bytes of one Parquet table, readable by anything: a row for each column."""

from __future__ import annotations

import io
from dataclasses import asdict
from typing import Any

from slipstream.errors import BundleError
from slipstream.profiling.profile import ColumnProfile, Profile


def to_parquet(profile: Profile) -> bytes:
    """The bytes of *profile*; equal profiles give equal bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [asdict(column) for column in profile.columns.values()]
    for row in rows:
        row["words"] = [{"word": word, "rows": count} for word, count in row["words"]]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=_schema()), buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def from_parquet(data: bytes) -> Profile:
    """The profile that :func:`to_parquet` wrote.

    Raises:
        BundleError: ``profile_invalid``.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(io.BytesIO(data)).cast(_schema()).to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        message = f"profile.parquet: cannot be read: {error}; package the model again."
        raise BundleError(message, code="profile_invalid") from error
    columns = {}
    for row in rows:
        words = tuple((entry["word"], entry["rows"]) for entry in row.pop("words"))
        edges, counts = tuple(row.pop("edges")), tuple(row.pop("counts"))
        columns[row["name"]] = ColumnProfile(**row, edges=edges, counts=counts, words=words)
    return Profile(columns)


def _schema() -> Any:
    import pyarrow as pa

    word = pa.struct([("word", pa.string()), ("rows", pa.int64())])
    fields = {"name": pa.string(), "role": pa.string(), "kind": pa.string(), "rows": pa.int64(), "missing": pa.int64()}
    fields |= {"edges": pa.list_(pa.float64()), "counts": pa.list_(pa.int64())}
    fields |= dict.fromkeys(("low", "high", "mean", "sd"), pa.float64())
    return pa.schema(fields | {"words": pa.list_(word), "other": pa.int64()})
