"""Files as they were delivered, made into CSV in UTF-8 or Parquet, which are what is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from slipstream.slots import Delivery
from slipstream.sources import csv_reader, json_lines, workbook
from slipstream.sources.zipped import unpack_members
from slipstream.spec.model import ModelSpec

_PARQUET = {"type": "parquet"}
_COPIED = {".zst", ".xz", ".bz2"}
"""Endings of packed CSV that DuckDB does not unpack while it reads."""


def readable(spec: ModelSpec, delivery: Delivery, folder: Path) -> Delivery:
    """The same rows as CSV in UTF-8 or as Parquet; files that have to be made are made in *folder*.

    Raises:
        SourceError: ``source_too_large``, or ``source_unreadable`` for a packed file that is not whole.
        DataError: a file is not in the encoding or the format that was said.
    """
    files = unpack_members(delivery.files, delivery.max_bytes, folder)
    form, name = delivery.form, next(iter(files.values()))
    if form["type"] == "csv":
        files = csv_read_at_once(files, form, delivery.max_bytes, folder)
    if form["type"] == "jsonl":
        files = {json_lines.as_parquet(spec, files, delivery.max_bytes, folder): name}
        form = _PARQUET
    if form["type"] == "xlsx":
        files = {workbook.as_parquet(spec, files, form.get("sheet", ""), delivery.max_bytes, folder): name}
        form = _PARQUET
    return replace(delivery, files=files, form=form)


def csv_read_at_once(
    files: Mapping[Path, str], form: Mapping[str, str], max_bytes: int, folder: Path
) -> dict[Path, str]:
    """CSV files as DuckDB can read them: themselves, or copies in UTF-8 in *folder*; errors as for :func:`readable`."""
    encoding = form.get("encoding", "")
    if not encoding and not any(path.suffix in _COPIED for path in files):
        return dict(files)
    return csv_reader.in_utf8(files, encoding or "utf-8", max_bytes, folder)
