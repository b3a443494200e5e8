"""The rows that drift is measured on: 12 columns of numbers, 5 of words with 6 to 5,001 levels, made by DuckDB."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

_NORMAL = "sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())"
NUMBERS = {
    "x0": _NORMAL,
    "x1": f"100 * {_NORMAL}",
    "x2": "CASE WHEN random() < 0.03 THEN NULL ELSE random() END",
    "x3": "random()",
    "x4": "random()",
    "x5": "-ln(1 - random())",
    "x6": "random() + random()",
    "income": f"exp(10 + 0.8 * {_NORMAL})",
    "n0": "(random() * 1000)::INT",
    "n1": "(random() * 10)::INT",
    "age": "(18 + random() * 60)::INT",
    "b0": "(random() < 0.3)::INT",
}
WORDS = {
    "s0": "'c' || (random() * 5)::INT",
    "s1": "'cat' || (random() * 50)::INT",
    "s2": "'w' || (random() * 500)::INT",
    "s3": "'sku' || (random() * 5000)::INT",
    "s4": "'r' || floor(20 * random() * random())::INT",
}
COLUMNS = NUMBERS | WORDS
KINDS = dict.fromkeys(NUMBERS, True) | dict.fromkeys(WORDS, False)
"""Column -> whether it is a number."""


def select(rows: int, changed: Mapping[str, str] | None = None) -> str:
    """The query that makes so many independent rows, some columns *changed* to other expressions."""
    columns = COLUMNS | dict(changed or {})
    return f"SELECT {', '.join(f'{made} AS {name}' for name, made in columns.items())} FROM range({rows}) AS t(i)"


def seeded(connection: duckdb.DuckDBPyConnection, seed: float) -> None:
    """Make what the *connection* draws the same in each run."""
    connection.execute(f"SET threads = 1; SET enable_progress_bar = false; SELECT setseed({seed})")


def write(path: Path, rows: int, seed: float, changed: Mapping[str, str] | None = None) -> None:
    """The rows as one zstd Parquet file."""
    import duckdb

    with duckdb.connect() as connection:
        seeded(connection, seed)
        connection.execute(f"COPY ({select(rows, changed)}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
