"""Answers the rows of some files: read in a stream, answered in parallel, written in their order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from slipstream.scoring.chunk import ChunkScorer
from slipstream.scoring.files import ScoreFile
from slipstream.scoring.outputs import AnswerFile, Tally
from slipstream.scoring.typed_rows import typed

if TYPE_CHECKING:
    import pyarrow as pa

_AHEAD = 2
"""Chunks for each worker that are read before they are needed: memory stays bounded."""


def answers(
    files: Sequence[ScoreFile], chunks: ChunkScorer, folder: Path
) -> Iterator[tuple[ScoreFile, pa.RecordBatch]]:
    """The answers to the rows of *files*, each with its file, in order. NumPy and onnxruntime let threads run at once.

    Raises:
        DataError: as for :func:`slipstream.scoring.typed_rows.typed`.
    """
    from threadpoolctl import threadpool_limits

    workers = os.cpu_count() or 1
    waiting: deque[tuple[ScoreFile, Future[pa.RecordBatch]]] = deque()
    # Within a chunk one thread, as at the endpoint: sums in another order are other sums.
    with threadpool_limits(limits=1), ThreadPoolExecutor(workers) as pool:
        for file in files:
            with typed(chunks.scorer.schema, chunks.keys, file, folder, chunks.joins) as opened:
                first = 0
                for batch in opened.batches:
                    waiting.append((file, pool.submit(chunks.answer, batch, opened, file.name, first)))
                    first += batch.num_rows
                    if len(waiting) > _AHEAD * workers:
                        yield _first(waiting)
        while waiting:
            yield _first(waiting)


def _first(waiting: deque[tuple[ScoreFile, Future[pa.RecordBatch]]]) -> tuple[ScoreFile, pa.RecordBatch]:
    file, answer = waiting.popleft()
    return file, answer.result()


def write_one(files: Sequence[ScoreFile], chunks: ChunkScorer, path: Path) -> tuple[Tally, list[str]]:
    """Write all answers to the new file *path*; returns what was written, and its columns."""
    tally, columns = Tally(), list[str]()
    with AnswerFile(path) as target:
        for file, batch in answers(files, chunks, path.parent):
            target.add(batch, file.name)
            tally.take(batch)
            columns = batch.schema.names
    return tally, columns


def write_each(files: Sequence[ScoreFile], chunks: ChunkScorer, folder: Path) -> tuple[Tally, dict[str, Path]]:
    """Write the answers to each file to a file of their own; returns what was written, and unit of a file -> path.

    A file without rows has none.
    """
    tally, parts = Tally(), dict[str, Path]()
    for unit, answered in groupby(answers(files, chunks, folder), lambda pair: pair[0].unit):
        parts[unit] = folder / f"part-{len(parts)}.parquet"
        with AnswerFile(parts[unit]) as target:
            for file, batch in answered:
                target.add(batch, file.name)
                tally.take(batch)
    return tally, parts
