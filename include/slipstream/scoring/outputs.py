"""Where predictions are written: a file of Parquet or CSV, local or in a bucket, that is there whole or not at all."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipstream.errors import DataError, NotFound, SpecError, StoreError, shown
from slipstream.store.files import atomic_move, writable
from slipstream.store.location import Location
from slipstream.store.objects import sha256_file

if TYPE_CHECKING:
    import pyarrow as pa

TABLE = "scores"
"""The Delta table of the store that predictions go to where no file is named."""
_KINDS = (".parquet", ".csv")
_GROUP = 122_880
"""Rows that a Parquet file keeps together."""
_FEW = 5


@dataclass
class Tally:
    """What a run wrote: rows, those without an answer, those with a warning, and what was wrong with the first."""

    rows: int = 0
    errors: int = 0
    warned: int = 0
    problems: list[str] = field(default_factory=list)

    def take(self, batch: Any) -> None:
        """Count a record batch, or a table, of answers."""
        self.rows += batch.num_rows
        wrong = batch.column("error")
        self.errors += batch.num_rows - wrong.null_count
        self.warned += batch.num_rows - batch.column("warnings").null_count
        if self.errors and len(self.problems) < _FEW:
            texts = dict.fromkeys([*self.problems, *wrong.drop_null().slice(0, 50).to_pylist()])
            self.problems = list(texts)[:_FEW]


class AnswerFile:
    """A file of answers on the way; used in a ``with`` block.

    Args:
        path: A new file; the end of its name says whether it is CSV.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer: Any = None
        self._waiting: list[pa.RecordBatch] = []

    def __enter__(self) -> AnswerFile:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._flush()
        if self._writer is not None:
            with writable(self.path):
                self._writer.close()

    def add(self, batch: pa.RecordBatch, name: str) -> None:
        """Append rows of the file *name*.

        Raises:
            DataError: ``score_files_differ``.
            StoreError: ``storage_not_writable``.
        """
        import pyarrow.csv
        import pyarrow.parquet as pq

        if self._writer is None:
            with writable(self.path):
                if self.path.suffix == ".csv":
                    self._writer = pyarrow.csv.CSVWriter(self.path, batch.schema)
                else:
                    self._writer = pq.ParquetWriter(self.path, batch.schema, compression="zstd")
            self._schema = batch.schema
        if batch.schema != self._schema:
            message = (
                f"{name}: the columns that tell its rows are not those of the files before it; score it on its own, or "
                "give all files the key's columns."
            )
            raise DataError(message, code="score_files_differ")
        self._waiting.append(batch)
        if sum(one.num_rows for one in self._waiting) >= _GROUP:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._waiting:
            with writable(self.path):
                self._writer.write_table(pa.Table.from_batches(self._waiting))
            self._waiting = []


@dataclass(frozen=True)
class OutputFile:
    """The file that a run writes.

    Attributes:
        place: Its path or ``s3://`` URL.
    """

    place: str

    @property
    def suffix(self) -> str:
        """What kind of file it is."""
        return Path(self.place).suffix.lower()

    def stamp(self, run: str = "") -> str:
        """What tells the content of the file that is there now: a sha256 or, in S3, its ETag; "" if none is."""
        if not self._in_s3:
            return sha256_file(Path(self.place)) if Path(self.place).is_file() else ""
        bucket, key = self._bucket()
        return next((one.stamp for one in bucket.listed(key) if one.name == key), "")

    def put(self, file: Path, columns: Sequence[str]) -> str:
        """Let the finished *file* be there, whole; returns its stamp.

        Raises:
            DataError: ``score_output_other``: a file is there that no scoring wrote.
            StoreError: it cannot be written.
        """
        if self._in_s3:
            bucket, key = self._bucket()
            bucket.upload(file, key)
            return self.stamp()
        self._refuse_other(columns)
        digest = sha256_file(file)
        atomic_move(file, Path(self.place))
        return digest

    @property
    def _in_s3(self) -> bool:
        return self.place.startswith("s3://")

    def _bucket(self) -> tuple[Any, str]:
        bucket, _, key = self.place.removeprefix("s3://").partition("/")
        return Location.parse(f"s3://{bucket}").s3, key

    def _refuse_other(self, columns: Sequence[str]) -> None:
        path = Path(self.place)
        if not path.is_file():
            return
        there = _columns_at(path)
        if set(there) != set(columns):
            message = (
                f"{path}: a file with other columns is there ({', '.join(there[:10]) or 'none that can be read'}); "
                "remove it, or name another output."
            )
            raise DataError(message, code="score_output_other")


def output_at(output: str, run: str, folder: Path) -> OutputFile:
    """The file that the *run* writes: *output* itself or, where that is a folder, one named after the run in it.

    Raises:
        SpecError: ``score_output``: neither a folder nor a name that ends in .parquet or .csv.
    """
    place = output if output.startswith("s3://") else str(folder / output)
    if output.endswith("/") or (not output.startswith("s3://") and Path(place).is_dir()):
        return OutputFile(f"{place.rstrip('/')}/{run}.parquet")
    if "://" in output.removeprefix("s3://") or Path(output).suffix.lower() not in _KINDS:
        message = (
            f"output {shown(output)}: expected a name that ends in .parquet or .csv, or a folder that ends in /; "
            "without one predictions go to the store."
        )
        raise SpecError(message, code="score_output")
    return OutputFile(place)


def _columns_at(path: Path) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.suffix.lower() == ".parquet":
            return list(pq.read_schema(path).names)
        with path.open(encoding="utf-8", newline="") as file:
            return next(csv.reader(file), [])
    except (pa.ArrowException, OSError, UnicodeError, csv.Error, StoreError, NotFound):
        return []
