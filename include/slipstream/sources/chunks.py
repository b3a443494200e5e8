"""Columns of Arrow on their way into Parquet files, chunk by chunk, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


@dataclass(frozen=True)
class FetchedRows:
    """Rows that have one type in each column.

    Attributes:
        file: A Parquet file.
        types: Column -> its type, as Arrow calls it.
    """

    file: Path
    types: dict[str, str]


class Chunks:
    """Parquet files, a new one whenever a column has another type than before.

    Args:
        folder: Where they are made.

    Attributes:
        listed: Those that there are.
    """

    def __init__(self, folder: Path) -> None:
        self.listed: list[FetchedRows] = []
        self._folder = folder
        self._writer: pq.ParquetWriter | None = None

    @contextmanager
    def open(self) -> Iterator[None]:
        """Close the last file at the end of the block."""
        try:
            yield
        finally:
            self._close()

    def write(self, names: Sequence[str], arrays: Sequence[pa.Array]) -> None:
        """Add rows, whose columns have these names."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        types = {name: str(array.type) for name, array in zip(names, arrays, strict=True)}
        kept_as = [array.cast(pa.string()) if pa.types.is_null(array.type) else array for array in arrays]
        batch = pa.record_batch(kept_as, names=list(names))
        if not self.listed or self.listed[-1].types != types:
            self._close()
            file = self._folder / f"fetched-{len(self.listed)}.parquet"
            self.listed.append(FetchedRows(file, types))
            self._writer = pq.ParquetWriter(file, batch.schema, compression="zstd")
        assert self._writer is not None  # noqa: S101 - opened above
        self._writer.write_batch(batch)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
