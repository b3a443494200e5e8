"""The quick way to read text: written as some rows suggest, each cell guarded, and looked over once it is written.

Nearly always what a few rows suggest is what all rows say, and then every cell was read once. Where a single one says
otherwise, the whole is read anew the thorough way (:mod:`slipstream.data.read`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slipstream.cell_reading import GUARD, CellReading
from slipstream.data.infer import Inferred, confirmed
from slipstream.duck import quoted, write_parquet

if TYPE_CHECKING:
    import duckdb


def attempt(
    connection: duckdb.DuckDBPyConnection,
    rows: duckdb.DuckDBPyRelation,
    readings: Mapping[str, CellReading],
    new: Sequence[str],
    target: Path,
) -> Inferred | None:
    """Write the text *rows* to *target* as *readings* say; what was found of the *new* columns, or None if it failed.

    Args:
        connection: Where the rows are.
        rows: All columns VARCHAR.
        readings: Column -> how it is read.
        new: Those that are a guess.
        target: A Parquet file.
    """
    import duckdb

    if any(_marked(readings[name]) for name in new):
        return None
    values = {name: f"slipstream_value_{at}" for at, name in enumerate(readings)}
    plain = {name: f"slipstream_plain_{at}" for at, name in enumerate(readings)}
    cast = rows.project(", ".join(["*", *(f"{readings[name].plain(name)} AS {cell}" for name, cell in plain.items())]))
    cells = [f"{readings[name].value(name, plain[name])} AS {value}" for name, value in values.items()]
    read = cast.project(", ".join(["*", *cells]))
    guarded = [f"{readings[name].guarded(name, value)} AS {quoted(name)}" for name, value in values.items()]
    try:
        write_parquet(read.project(", ".join(guarded)), target)
    except duckdb.Error as error:
        if GUARD not in str(error):
            raise
        return None
    return confirmed(connection.read_parquet(str(target)), {name: readings[name] for name in new})


def _marked(reading: CellReading) -> bool:
    return bool(reading.thousands or reading.format or reading.decimal != ".")
