"""Hourly bike rentals in Washington, DC, in 2011 (Fanaee-T and Gama 2013), from the files of package ``ISLP``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import duckdb  # noqa: TC002

from slipstream.errors import SourceError


def next_month(watermark: str, duck: duckdb.DuckDBPyConnection) -> tuple[duckdb.DuckDBPyRelation, str] | None:
    """The hours of the month after *watermark* (``2011-01`` ... ``2011-12``)."""
    month = int(watermark[5:]) + 1 if watermark else 1
    if month > 12:
        return None
    found = find_spec("ISLP")
    if found is None or found.origin is None:
        message = "The bikes data is not installed; pip install --require-hashes --no-deps -r requirements-data.txt."
        raise SourceError(message, code="source_package_missing")
    hours = duck.read_csv(str(Path(found.origin).parent / "data" / "Bikeshare.csv"))
    hours = hours.project("*, make_timestamp(2011, 1, 1, hr, 0, 0) + to_days((day - 1)::INTEGER) AS hour")
    return hours.filter(f"month(hour) = {month}"), f"2011-{month:02d}"


def add_features(rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """Inputs and target; ``casual`` and ``registered`` add up to the target and are left behind."""
    return rows.project(
        "hour, hr, weekday, holiday, workingday, weathersit AS weather, temp, hum AS humidity, windspeed, bikers"
    )
