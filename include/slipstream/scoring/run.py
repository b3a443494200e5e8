"""Answers the rows of some files: read in a stream, answered in parallel, written in their order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from slipstream.scoring.chunk import AnsweredChunk, ChunkOrigin, ChunkScorer
from slipstream.scoring.files import ScoreFile
from slipstream.scoring.outputs import AnswerFile, Tally
from slipstream.scoring.typed_rows import typed

_AHEAD = 2
"""Chunks for each worker that are read before they are needed: memory stays bounded."""


@dataclass
class Written:
    """What was written.

    Attributes:
        tally: How many rows, and what was wrong with some.
        columns: Names of the columns; none without rows.
        files: What tells the answers to a file -> the file of them.
        captured: What tells the answers to a file -> the file of its rows for the predictions table.
        captured_rows: How many rows those hold.
    """

    tally: Tally = field(default_factory=Tally)
    columns: tuple[str, ...] = ()
    files: dict[str, Path] = field(default_factory=dict)
    captured: dict[str, Path] = field(default_factory=dict)
    captured_rows: int = 0


def answers(parts: Mapping[str, ScoreFile], chunks: ChunkScorer, folder: Path) -> Iterator[tuple[str, AnsweredChunk]]:
    """The answers to the rows of files, each with what tells them, in order. NumPy and onnxruntime let threads run.

    Raises:
        DataError: as for :func:`slipstream.scoring.typed_rows.typed`.
    """
    from threadpoolctl import threadpool_limits

    workers = os.cpu_count() or 1
    waiting: deque[tuple[str, Future[AnsweredChunk]]] = deque()
    # Within a chunk one thread, as at the endpoint: sums in another order are other sums.
    with threadpool_limits(limits=1), ThreadPoolExecutor(workers) as pool:
        for part, file in parts.items():
            keyed = chunks.capture is not None
            with typed(chunks.scorer.schema, chunks.keys, file, folder, chunks.joins, key_text=keyed) as opened:
                first = 0
                for batch in opened.batches:
                    place = ChunkOrigin(file.name, part, first)
                    waiting.append((part, pool.submit(chunks.answer, batch, opened, place)))
                    first += batch.num_rows
                    if len(waiting) > _AHEAD * workers:
                        yield _first(waiting)
        while waiting:
            yield _first(waiting)


def _first(waiting: deque[tuple[str, Future[AnsweredChunk]]]) -> tuple[str, AnsweredChunk]:
    part, answer = waiting.popleft()
    return part, answer.result()


def write_one(parts: Mapping[str, ScoreFile], chunks: ChunkScorer, path: Path) -> Written:
    """Write the answers to all files to the new file *path*."""
    written = Written()
    with AnswerFile(path) as target:
        for part, answered in groupby(answers(parts, chunks, path.parent), lambda pair: pair[0]):
            _write(parts[part].name, part, (one for _, one in answered), target, written)
    return written


def write_each(parts: Mapping[str, ScoreFile], chunks: ChunkScorer, folder: Path) -> Written:
    """Write the answers to each file to a file of their own in *folder*. A file without rows has none."""
    written = Written()
    for part, answered in groupby(answers(parts, chunks, folder), lambda pair: pair[0]):
        written.files[part] = folder / f"part-{len(written.files)}.parquet"
        with AnswerFile(written.files[part]) as target:
            _write(parts[part].name, part, (one for _, one in answered), target, written)
    return written


def _write(name: str, part: str, answered: Iterator[AnsweredChunk], target: AnswerFile, written: Written) -> None:
    with ExitStack() as open_files:
        captured: AnswerFile | None = None
        for rows in answered:
            target.add(rows.written, name)
            written.tally.take(rows.written)
            written.columns = tuple(rows.written.schema.names)
            if rows.captured is not None and rows.captured.num_rows:
                if captured is None:
                    path = target.path.parent / f"captured-{len(written.captured)}.parquet"
                    captured = open_files.enter_context(AnswerFile(path))
                    written.captured[part] = path
                captured.add(rows.captured, name)
                written.captured_rows += rows.captured.num_rows


def read_tally(paths: Sequence[str]) -> Tally:
    """What stands in files of answers."""
    import pyarrow.parquet as pq

    tally = Tally()
    for path in paths:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=["warnings", "error"]):
                tally.take(batch)
    return tally
