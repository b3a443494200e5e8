"""Batches from a Delta table, local or in S3: all rows at first, then those of the files that were added since.

The watermark is the table's id and version. A version that only adds brings its rows; one that changed or removed what
was read is an error, unless the source says that all rows are to come again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import Field

from slipstream.errors import SourceError, StoreError, shown
from slipstream.slots import Delivery
from slipstream.sources.delta_log import AddedFile, DeltaMark, RowsChangedError, added_since
from slipstream.sources.listing import scheme_of
from slipstream.spec.model import ModelSpec
from slipstream.store.delta.access import open_table, readable
from slipstream.store.location import Location

if TYPE_CHECKING:
    from deltalake import DeltaTable


@dataclass(frozen=True)
class _TableNews:
    """What a table has that was not read: the table as it is now, and the files to be read."""

    location: Location
    table: DeltaTable
    mark: DeltaMark
    files: Sequence[AddedFile]


@dataclass(frozen=True)
class DeltaSource:
    """A source that reads a Delta table: what was appended since it was read, exactly once.

    Attributes:
        path: The table's folder: relative to the model's folder, absolute, or ``s3://bucket/prefix``.
        on_change: What happens when rows that were read are changed, deleted or overwritten, or the log no longer
            tells: ``refuse``, or ``all``: all rows come again, of which ``data.key`` tells those that are known.
        max_bytes: The largest number of bytes of the table's files that are read into one batch.
    """

    path: str
    on_change: Literal["refuse", "all"] = "refuse"
    max_bytes: Annotated[int, Field(ge=1)] = 2 << 30

    def fingerprint(self, spec: ModelSpec, watermark: str) -> str | None:
        """A digest of the table's id and of the files that were not read."""
        news = self._news(spec, watermark)
        if not news.files:
            return None
        names = [news.mark.table, *(f"{file.version} {file.path}" for file in news.files)]
        return hashlib.sha256("\n".join(names).encode()).hexdigest()

    def deliver(self, spec: ModelSpec, watermark: str, into: Path) -> Delivery:
        """The rows of the files that were not read, as one Parquet file in folder *into*.

        Raises:
            SourceError: ``source_table_unknown``, ``source_table_unsupported``, ``source_rows_changed``,
                ``source_history_lost``, ``source_rows_again``, ``source_too_large``, or the store does not answer.
        """
        news = self._news(spec, watermark)
        if not news.files:
            return Delivery({}, watermark)
        total = sum(file.size for file in news.files)
        if total > self.max_bytes:
            message = f"{self.path}: {total} bytes in {len(news.files)} new files, more than {self.max_bytes} bytes; "
            raise SourceError(f"{message}raise the source's max_bytes.", code="source_too_large")
        file = into / "delivered.parquet"
        try:
            with self._errors():
                _write(news, file)
        except RowsChangedError as error:
            self._refuse_change(spec, error)
            with self._errors():
                _write(replace(news, files=_all_files(news.table)), file)
        return Delivery({file: self.path}, str(news.mark))

    def _news(self, spec: ModelSpec, watermark: str) -> _TableNews:
        location = self._location(spec)
        with self._errors():
            table = open_table(location, location.table_uri())
            if table is None:
                message = f"{self.path}: there is no Delta table (looked from {spec.folder}); mend the path."
                raise SourceError(message, code="source_table_unknown")
            mark = DeltaMark(str(table.metadata().id), table.version())
            before = DeltaMark.parse(watermark)
            if before == mark:
                return _TableNews(location, table, mark, ())
            if before is None:
                return _TableNews(location, table, mark, _all_files(table))
            try:
                self._refuse_another(before, mark)
                return _TableNews(location, table, mark, added_since(location, before, mark.version))
            except RowsChangedError as error:
                self._refuse_change(spec, error)
                return _TableNews(location, table, mark, _all_files(table))

    def _location(self, spec: ModelSpec) -> Location:
        if scheme_of(self.path) == "s3":
            return Location.parse(self.path)
        if scheme_of(self.path):
            message = f"source {shown(self.path)}: a Delta table lies in a local folder or in s3."
            raise SourceError(message, code="source_scheme_forbidden")
        return Location.parse((spec.folder / self.path).absolute().as_uri())

    def _refuse_another(self, before: DeltaMark, now: DeltaMark) -> None:
        """The mark must be of this table, and of its past."""
        if before.version < 0:
            message = "the batches so far were read from another source"
        elif before.table != now.table:
            message = "another table is there than the one that was read: it was dropped and made anew"
        elif before.version > now.version:
            message = f"it is at version {now.version}, and was read at version {before.version}"
        else:
            return
        raise RowsChangedError(message, code="source_history_lost")

    def _refuse_change(self, spec: ModelSpec, error: RowsChangedError) -> None:
        """Unless the source says that all rows come again, and the model file how known ones are told."""
        if self.on_change != "all":
            message = (
                f"{self.path}: {error}; the rows that came since cannot be told alone. Read all of them again with "
                "data.source: {on_change: all} and data.key, by which rows that are known are not added twice."
            )
            raise RowsChangedError(message, code=error.code) from error
        if not spec.data.key:
            message = f"{self.path}: {error}, and on_change: all reads all rows again; nothing tells which are known: "
            raise RowsChangedError(f"{message}name data.key.", code="source_rows_again") from error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """What the reader says of a table that it cannot read, as a sentence about the source."""
        from deltalake.exceptions import DeltaProtocolError

        try:
            with readable(self.path):
                try:
                    yield
                except DeltaProtocolError as error:
                    message = f"{self.path}: uses what is not read here: {error}; read it by a query, or rewrite it."
                    raise SourceError(message, code="source_table_unsupported") from error
                except FileNotFoundError as error:
                    message = f"a file of its rows is gone, removed by VACUUM perhaps ({error})"
                    raise RowsChangedError(message, code="source_history_lost") from error
        except StoreError as error:
            raise SourceError(str(error)) from error


def _all_files(table: DeltaTable) -> list[AddedFile]:
    """The files of the table as it is, the oldest first."""
    import pyarrow as pa

    actions = pa.table(table.get_add_actions(flatten=True)).select(["modification_time", "path", "size_bytes"])
    files = sorted(tuple(action.values()) for action in actions.to_pylist())
    return [AddedFile(table.version(), unquote(path), int(size)) for _, path, size in files]


def _write(news: _TableNews, target: Path) -> None:
    """The rows of the files in their order, in the columns that the table has now, partitions among them."""
    import pyarrow.parquet as pq

    schema = news.table.to_pyarrow_dataset().schema
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for fragment in _fragments(news):
            for batch in fragment.to_batches(schema=schema):
                writer.write_batch(batch)


def _fragments(news: _TableNews) -> Iterator[Any]:
    """The files as Arrow reads them. One that was merged with others since is one of the version that added it."""
    now = {one.path: one for one in news.table.to_pyarrow_dataset().get_fragments()}
    earlier: dict[int, dict[str, Any]] = {}
    for file in news.files:
        if file.path in now:
            yield now[file.path]
            continue
        if file.version not in earlier:
            table = open_table(news.location, news.location.table_uri(), file.version)
            assert table is not None  # noqa: S101 - it has later versions
            earlier[file.version] = {one.path: one for one in table.to_pyarrow_dataset().get_fragments()}
        yield earlier[file.version][file.path]
