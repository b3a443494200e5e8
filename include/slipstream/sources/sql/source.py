"""Batches from a table or a query of a database, the whole of it, or what is new by a watermark column.

Whatever the database, its rows land as Parquet in an order of their own, so the same rows are the same batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from slipstream.errors import SourceError, shown
from slipstream.slots import Delivery
from slipstream.sources.cells import Cells, as_text
from slipstream.sources.chunks import FetchedRows
from slipstream.sources.sql.address import address_of
from slipstream.sources.sql.mark import Highest, ReadMark
from slipstream.sources.sql.rows import digest, fetched, keep_after, sort
from slipstream.sources.sql.snapshot import Question, answered
from slipstream.spec.model import ModelSpec
from slipstream.store.objects import sha256_file


@dataclass(frozen=True)
class SqlSource:
    """A source that reads a database.

    Attributes:
        connection: Id of an Airflow connection; outside Airflow it is the variable ``AIRFLOW_CONN_<ID>``.
        url: In place of it: ``{env: NAME}``, the variable that holds the URL; or a URL without a password.
        table: The table or view, perhaps with its schema: ``sales.orders``.
        query: In place of it: a SELECT.
        watermark: The column by which new rows are told: only rows at or above the largest value that was read come
            again. Without it everything is read each time.
        overlap: How far before that value the next read begins, for rows that come late: ``1h``, ``2d``, or a number.
        timeout: Seconds that the database may take for one answer.
    """

    connection: str = ""
    url: str | Mapping[str, str] = field(default="", repr=False)
    table: str = ""
    query: str = ""
    watermark: str = ""
    overlap: str | Annotated[int, Field(ge=1)] = ""
    timeout: Annotated[int, Field(ge=1)] = 300

    def fingerprint(self, spec: ModelSpec, watermark: str) -> str | None:
        """``""``: only reading the rows tells what there is."""
        return ""

    def deliver(self, spec: ModelSpec, watermark: str, into: Path) -> Delivery:
        """Read the rows in one snapshot of the database.

        Raises:
            SourceError: the database does not answer, or not so that nothing is lost or doubled.
            BackendError: ``missing_extra``: its driver is not installed.
            DataError: a value that no column holds.
        """
        before = ReadMark.parse(watermark)
        follows = before is not None and before.column == self.watermark
        start = before.start(self.overlap) if before and follows and self.watermark else None
        question = Question(self.table, self.query, self.watermark, start)
        highest = Highest(self.watermark)
        parts, cells = self._fetched(spec, question, highest, into)
        if not parts:
            return Delivery({}, watermark)
        file = into / "delivered.parquet"
        sort(parts, cells, file)
        after = self._mark(highest, file)
        if before is not None:
            news = self._news(file, before, start) if follows else "all"
            if not news:
                return Delivery({}, watermark)
            if news != "above" and not spec.data.key:
                raise self._doubled(question.name, before, follows)
            if news == "above":
                keep_after(file, self.watermark, before.value)
        return Delivery({file: question.name}, str(after))

    def _fetched(
        self, spec: ModelSpec, question: Question, highest: Highest, into: Path
    ) -> tuple[list[FetchedRows], Cells]:
        address = address_of(self.connection, self.url)
        with answered(address, spec.folder, self.timeout, question) as answer:
            declared = answer.declared if address.kind == "sqlite" else {}
            cells = Cells(spec, declared, self.watermark)
            return fetched(answer, cells, question, spec.data.max_rows, into, highest.take), cells

    def _mark(self, highest: Highest, file: Path) -> ReadMark:
        """Where the read after this one begins."""
        if not self.watermark:
            return ReadMark(seen=sha256_file(file))
        mark = highest.mark()
        seen, _ = digest(file, self.watermark, as_text(mark.start(self.overlap)), mark.value)
        return replace(mark, seen=seen)

    def _news(self, file: Path, before: ReadMark, start: Any) -> str:
        """``above``: there are rows above the watermark alone; ``all``: others came or changed; "": nothing is new."""
        if not self.watermark:
            return "" if sha256_file(file) == before.seen else "all"
        seen, above = digest(file, self.watermark, as_text(start), before.value)
        if seen != before.seen:
            return "all"
        return "above" if above else ""

    def _doubled(self, name: str, before: ReadMark, follows: bool) -> SourceError:
        """That rows would be added twice, as no key tells which of them are there."""
        if follows and self.watermark:
            message = (
                f"{name}: since it was read, rows with {self.watermark} {shown(before.value)} have come or changed; "
                "nothing tells which: name data.key, so that rows that are known are not added twice."
            )
        elif follows:
            message = (
                f"{name}: was read as a whole and has changed; its rows would be added twice: name data.key, or the "
                "column that grows with each row as watermark."
            )
        else:
            message = (
                f"{name}: the batches so far were read from another source, or by another watermark; nothing tells "
                "which rows are there already: name data.key."
            )
        return SourceError(message, code="source_rows_again")
