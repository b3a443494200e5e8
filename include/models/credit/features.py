"""Ten thousand card holders, simulated (James et al. 2013), from the files of package ``ISLP``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import duckdb  # noqa: TC002

from slipstream.errors import SourceError


def all_customers(watermark: str, duck: duckdb.DuckDBPyConnection) -> tuple[duckdb.DuckDBPyRelation, str] | None:
    """All of them at once, the first time."""
    if watermark:
        return None
    found = find_spec("ISLP")
    if found is None or found.origin is None:
        message = "The credit data is not installed; pip install --require-hashes --no-deps -r requirements-data.txt."
        raise SourceError(message, code="source_package_missing")
    rows = duck.read_csv(str(Path(found.origin).parent / "data" / "Default.csv"), all_varchar=False)
    return rows.project("row_number() OVER () AS customer, *"), "all"
