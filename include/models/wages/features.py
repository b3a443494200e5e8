"""Wages of 3,000 workers, 2003 to 2009 (US Current Population Survey), from the files of package ``ISLP``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import duckdb  # noqa: TC002

from slipstream.errors import SourceError


def all_workers(watermark: str, duck: duckdb.DuckDBPyConnection) -> tuple[duckdb.DuckDBPyRelation, str] | None:
    """All of them at once, the first time."""
    if watermark:
        return None
    found = find_spec("ISLP")
    if found is None or found.origin is None:
        message = "The wages data is not installed; pip install --require-hashes --no-deps -r requirements-data.txt."
        raise SourceError(message, code="source_package_missing")
    rows = duck.read_csv(str(Path(found.origin).parent / "data" / "Wage.csv"))
    return rows.project("row_number() OVER () AS worker, *"), "all"


def add_features(rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """Inputs and target by plain names; each word has a number in front, which goes."""
    words = {
        "marital": "maritl",
        "education": "education",
        "job": "jobclass",
        "health": "health",
        "insured": "health_ins",
    }
    plain = ", ".join(f"regexp_replace({column}, '^[0-9]+\\. ', '') AS {name}" for name, column in words.items())
    return rows.project(f"worker, year, age, {plain}, wage")
