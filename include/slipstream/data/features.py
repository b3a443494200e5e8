"""What features.py makes of the rows of a batch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from slipstream.duck import quoted
from slipstream.errors import DataError, SpecError
from slipstream.sources.parquet_reader import check_names
from slipstream.spec.model import ModelSpec
from slipstream.spec.project import features_digest, load_function
from slipstream.store.objects import canonical_json

if TYPE_CHECKING:
    import duckdb


def with_features(spec: ModelSpec, rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """The rows with what the features function adds, in an order that the rows alone decide.

    Raises:
        DataError: ``features_failed``, or two columns are called the same.
        SpecError: ``features_function_signature``, or the function is not there.
    """
    return _ordered(spec, _applied(spec, rows))


def derivation(spec: ModelSpec, types: Mapping[str, str] | None = None) -> str:
    """A digest of all that decides what the data table holds of what was delivered; batches keep it.

    *types* are those that people accepted; the model file's own come before them.
    """
    section = spec.part("data")["data"]
    reads = {name: section[name] for name in ("schema", "missing", "features")}
    if spec.data.join:
        # The source of a joined table decides its versions, not how its rows are joined.
        reads["join"] = {
            name: {key: value for key, value in table.items() if key != "source"}
            for name, table in section["join"].items()
        }
        reads["time"] = section["time"]
    # A features.py that only brings the rows does not change those that were brought.
    code = features_digest(spec) if spec.data.features else ""
    accepted = {name: kind for name, kind in (types or {}).items() if not _says_type(spec, name)}
    return hashlib.sha256(canonical_json([reads, code, *([accepted] if accepted else [])])).hexdigest()


def _says_type(spec: ModelSpec, name: str) -> bool:
    column = spec.data.columns.get(name)
    return column is not None and column.type is not None


def _applied(spec: ModelSpec, rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    import duckdb

    name = str(spec.data.features)
    place = f"{spec.name}/features.py: {name}"
    function = load_function(spec, name)
    try:
        result = function(rows)
        if isinstance(result, duckdb.DuckDBPyRelation):
            result.limit(0).fetchall()
            check_names(result.columns, place)
            return result
    except duckdb.Error as error:
        raise DataError(f"{place}: {error}", code="features_failed") from error
    message = f"{place}: returned {type(result).__name__!r}; it must take and give a DuckDB relation."
    raise SpecError(message, code="features_function_signature")


def _ordered(spec: ModelSpec, rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """The rows by time, then key, then all the rest: joins and groups leave an order that differs from run to run."""
    names = [name for name in (spec.data.time, *spec.data.key) if name in rows.columns]
    rest: Sequence[str] = () if spec.data.key else [name for name in rows.columns if name not in names]
    return rows.order(", ".join(quoted(name) for name in (*names, *rest)))
