"""Orange juice bought by 1,070 customers (Stine, Foster and Waterman 1998), from the files of package ``ISLP``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import duckdb  # noqa: TC002

from slipstream.errors import SourceError


def all_purchases(watermark: str, duck: duckdb.DuckDBPyConnection) -> tuple[duckdb.DuckDBPyRelation, str] | None:
    """All of them at once, the first time."""
    if watermark:
        return None
    found = find_spec("ISLP")
    if found is None or found.origin is None:
        message = "The juice data is not installed; pip install --require-hashes --no-deps -r requirements-data.txt."
        raise SourceError(message, code="source_package_missing")
    rows = duck.read_csv(str(Path(found.origin).parent / "data" / "OJ.csv"))
    return rows.project("row_number() OVER () AS purchase_id, *"), "all"


def add_features(rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """Inputs and target by plain names."""
    return rows.project(
        "purchase_id, LoyalCH AS loyalty, PriceDiff AS price_difference, SpecialCH AS special_ch, "
        "SpecialMM AS special_mm, StoreID AS store, Purchase AS purchase"
    )
