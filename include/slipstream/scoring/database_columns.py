"""The columns of a table of predictions in a database: their names within its limits, their types, and whether those of
a table that is there hold what is written without changing it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from slipstream.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Column, Table

RUN = "run"
"""The column that tells which run wrote a row; by it a run is known to be there."""
_LIMITS = {"postgresql": 63, "mysql": 64, "mariadb": 64}
"""Bytes or characters that a name may have."""
_DIGITS = 8


def names_within(names: Iterable[str], dialect: str) -> list[str]:
    """Names of columns as the database can tell them apart: one that is too long, or differs from one before by its
    case alone, is cut and ends in a part of its digest; others stay."""
    known, result = {RUN}, list[str]()
    limit = _LIMITS.get(dialect, 1000)
    for name in names:
        given = name
        if len(name.encode()) > limit or name.casefold() in known:
            digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]
            given = f"{name.encode()[: limit - _DIGITS - 1].decode(errors='ignore')}_{digest}"
        known.add(given.casefold())
        result.append(given)
    return result


def column_type(kind: pa.DataType) -> Any:
    """The type of a column that is made for values of that type."""
    import pyarrow as pa
    from sqlalchemy import BigInteger, Boolean, Date, DateTime, Double, Text
    from sqlalchemy.dialects.mysql import DATETIME

    if pa.types.is_timestamp(kind):
        return DateTime(timezone=kind.tz is not None).with_variant(DATETIME(fsp=6), "mysql", "mariadb")
    known = {pa.int64(): BigInteger, pa.float64(): Double, pa.bool_(): Boolean, pa.date32(): Date}
    return known.get(kind, Text)()


def refuse_other(place: str, table: Table, names: Sequence[str], kinds: Sequence[pa.DataType], dialect: str) -> None:
    """Refuse a table that would not take what is written, or would change it.

    Args:
        place: What people call it.
        table: The table as it is there.
        names: Columns that are written beside :data:`RUN`.
        kinds: Their types.
        dialect: The kind of database.

    Raises:
        DataError: ``score_output_other``.
    """
    lacking = [name for name in (RUN, *names) if name not in table.columns]
    needed = [one.name for one in table.columns if one.name not in {RUN, *names} and not _filled(one)]
    changed = [(n, k) for n, k in zip(names, kinds, strict=True) if not lacking and not _holds(table.c[n], k, dialect)]
    if not lacking and not needed and not changed:
        return
    if lacking:
        what = f"lacks the column {lacking[0]!r}"
    elif needed:
        what = f"wants a value in {needed[0]!r}, which has no default"
    else:
        name, kind = changed[0]
        what = f"has {name!r} as {table.c[name].type!r}, which does not hold values of type {kind} as they are"
    listed = ", ".join(one.name for one in list(table.columns)[:20])
    written = ", ".join((RUN, *names))
    message = (
        f"{place}: the table that is there {what} (it has {listed}; what is written: {written}); alter it, or name "
        "another one: it is made."
    )
    raise DataError(message, code="score_output_other")


def _filled(column: Column[Any]) -> bool:
    """Whether a row may leave the column to the database."""
    filled = column.server_default is not None or column.identity is not None or column.autoincrement is True
    return bool(column.nullable or filled or (column.primary_key and column.autoincrement == "auto"))


def _holds(column: Column[Any], kind: pa.DataType, dialect: str) -> bool:
    """Whether the column holds values of that type as they are; a value that it cannot hold at all is an error."""
    import pyarrow as pa
    from sqlalchemy import types

    of: Any = column.type
    if isinstance(of, types.NullType):
        return True  # of SQLite: a column without a type
    if pa.types.is_boolean(kind):
        return isinstance(of, types.Boolean | types.Integer)
    if pa.types.is_integer(kind):
        return isinstance(of, types.Integer) or (isinstance(of, types.Numeric) and not isinstance(of, types.Float))
    if pa.types.is_floating(kind):
        # SQLite's are all of 64 bits; elsewhere REAL and FLOAT round.
        single = isinstance(of, types.REAL) or type(of).__name__ == "FLOAT"
        return isinstance(of, types.Double) or (isinstance(of, types.Float) and (dialect == "sqlite" or not single))
    if pa.types.is_date(kind):
        return isinstance(of, types.Date) and not isinstance(of, types.DateTime)
    if pa.types.is_timestamp(kind):
        return isinstance(of, types.DateTime)
    return isinstance(of, types.String) or pa.types.is_null(kind)
