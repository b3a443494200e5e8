"""Batches from a function of the model folder's features.py: an API, a query, a package's data files.

The function is asked with the watermark of the last committed batch and a DuckDB connection of bounded memory::

    def next_month(watermark: str, duck: duckdb.DuckDBPyConnection) -> tuple[duckdb.DuckDBPyRelation, str] | None:
        ...
        return rows, "2013-04"      # these rows, and where the next batch starts; None: nothing new

*rows* may also be an Arrow table, a pandas frame or the path of a Parquet file. The watermark is any text; at first it
is ``""``. It moves only when a batch is committed, so a batch that failed comes again.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipstream.duck import duck, quoted, write_parquet
from slipstream.errors import SlipstreamError, SourceError, SpecError, shown
from slipstream.slots import Delivery
from slipstream.sources.parquet_reader import check_names
from slipstream.spec.model import ModelSpec
from slipstream.spec.project import load_function

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class PythonSource:
    """A source that calls ``function(watermark, duck)`` of features.py."""

    function: str

    def fingerprint(self, spec: ModelSpec, watermark: str) -> str | None:
        """``""``: only calling the function tells what there is."""
        return ""

    def deliver(self, spec: ModelSpec, watermark: str, into: Path) -> Delivery:
        """Call the function and keep its rows; raises SourceError with what went wrong in it."""
        place = f"{spec.name}/features.py: {self.function}"
        function = load_function(spec, self.function)
        try:
            inspect.signature(function).bind(watermark, None)
        except TypeError as error:
            message = f"{place}: {error}; it is called with (watermark, duck)."
            raise SpecError(message, code="features_function_signature") from error
        with duck() as connection:
            try:
                answer = function(watermark, connection)
                if answer is None:
                    return Delivery({}, watermark)
                rows, after = _checked(answer, place)
                file = into / "delivered.parquet"
                relation = _relation(rows, connection, place)
                # Joins and groups leave an order that differs from run to run; the same rows must be the same file.
                write_parquet(relation.order(", ".join(map(quoted, relation.columns))), file)
            except SlipstreamError:
                raise
            except Exception as error:
                message = f"{place}({shown(watermark)}): {type(error).__name__}: {error}"
                raise SourceError(message, code="source_function_failed") from error
        return Delivery({file: self.function}, after)


def _checked(answer: Any, place: str) -> tuple[Any, str]:
    match answer:
        case (rows, str(watermark)):
            return rows, watermark
    message = (
        f"{place}: returned {shown(type(answer).__name__)}; return (rows, watermark) with a text watermark, or None."
    )
    raise SourceError(message, code="source_function_answer")


def _relation(rows: Any, connection: duckdb.DuckDBPyConnection, place: str) -> duckdb.DuckDBPyRelation:
    """What the function gave as rows, as a relation."""
    import pyarrow.parquet as pq

    if isinstance(rows, Path):
        check_names(pq.read_schema(rows).names, place)
        return connection.read_parquet(str(rows))
    kind = type(rows).__name__
    if kind == "DuckDBPyRelation":
        relation: duckdb.DuckDBPyRelation = rows
        check_names(relation.columns, place)
        return relation
    if kind in {"Table", "RecordBatchReader"}:
        check_names(rows.schema.names, place)
        return connection.from_arrow(rows)
    if kind == "DataFrame":
        check_names([str(name) for name in rows.columns], place)
        return connection.from_df(rows)
    message = f"{place}: rows are of type {kind!r}; give a DuckDB relation, an Arrow table, a pandas frame or a Path."
    raise SourceError(message, code="source_function_answer")
