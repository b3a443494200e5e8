"""Where predictions are written: a table of a database, to which a run's rows come together, once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipstream.errors import DataError, SpecError
from slipstream.scoring.database_columns import RUN, column_type, names_within, refuse_other
from slipstream.sources.sql.address import Address, address_of
from slipstream.sources.sql.failures import in_words
from slipstream.sources.sql.writing import KINDS, locked, writable_engine
from slipstream.spec.score import ScoreTableSpec
from slipstream.store.faultpoints import faultpoint

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Connection, Table

_CHUNK = 20_000


@dataclass(frozen=True)
class DatabaseTable:
    """A table.

    Attributes:
        wanted: What the model file says of it.
        address: The database.
        folder: Where a relative path of an SQLite database starts.
    """

    wanted: ScoreTableSpec
    address: Address
    folder: Path

    @classmethod
    def of(cls, wanted: ScoreTableSpec, folder: Path) -> DatabaseTable:
        """The table that the model file names.

        Raises:
            SourceError: ``source_connection_unknown`` or ``source_url_malformed``.
            SpecError: ``score_table_kind``: predictions are not written to databases of that kind.
        """
        address = address_of(wanted.connection, wanted.url)
        if address.kind not in KINDS:
            message = (
                f"{address.name}: predictions are written to PostgreSQL, MySQL, MariaDB and SQLite, not to "
                f"{address.kind}; write a Parquet file and load it there."
            )
            raise SpecError(message, code="score_table_kind")
        return cls(wanted, address, folder)

    @property
    def place(self) -> str:
        """What people call it; without a password."""
        return f"{self.address.hidden(self.address.name)} {self.wanted.table}"

    def stamp(self, run: str) -> str:
        """The *run*, if its rows are there; else ""."""
        with self._connected() as connection:
            table = self._there(connection)
            return run if table is not None and _holds(connection, table, run) else ""

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Prove, before anything is answered, that the database can be reached and written."""
        with self._connected():
            pass
        yield

    def put(self, file: Path, run: str) -> None:
        """Let the rows of a Parquet *file* be in the table, all or none; rows of that *run* that are there stay.

        Raises:
            SourceError: the database refuses, or is lost: nothing is written then.
            DataError: ``score_output_other``: a table with other columns is there.
        """
        import pyarrow.parquet as pq

        with pq.ParquetFile(file) as parquet, self._connected() as connection:
            with locked(connection, f"slipstream {self.wanted.table}", self.wanted.timeout):
                table, columns, dialect = self._there(connection), parquet.schema_arrow, connection.dialect.name
                names = names_within(columns.names, dialect)
                if table is None:
                    table = _new(self.wanted.table, names, columns)
                    table.create(connection)
                refuse_other(self.place, table, names, columns.types, dialect)
                _refuse_untransacted(self.place, table)
                if not _holds(connection, table, run):
                    if self.wanted.mode == "replace":
                        connection.execute(table.delete())
                    faultpoint("score.table_begun")
                    _insert(connection, table, parquet, [run, *names])
                faultpoint("score.table_full")
            faultpoint("score.table_committed")

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        with in_words(self.address, writing=True):
            engine = writable_engine(self.address, self.folder, self.wanted.timeout)
            try:
                with engine.connect() as connection:
                    yield connection
            finally:
                engine.dispose()

    def _there(self, connection: Connection) -> Table | None:
        """The table as it is there; None if there is none."""
        from sqlalchemy import MetaData, Table
        from sqlalchemy.exc import NoSuchTableError

        schema, name = _parts(self.wanted.table)
        try:
            return Table(name, MetaData(), schema=schema, autoload_with=connection, resolve_fks=False)
        except NoSuchTableError:
            return None


def _parts(table: str) -> tuple[str | None, str]:
    schema, _, name = table.rpartition(".")
    return schema or None, name


def _new(name: str, names: Sequence[str], columns: pa.Schema) -> Table:
    """A table for answers with these columns, under these names."""
    from sqlalchemy import Column, MetaData, String, Table

    schema, name = _parts(name)
    kinds = [Column(given, column_type(field.type)) for given, field in zip(names, columns, strict=True)]
    own: dict[str, Any] = {
        "mysql_engine": "InnoDB",
        "mysql_charset": "utf8mb4",
        "mariadb_engine": "InnoDB",
        "mariadb_charset": "utf8mb4",
    }
    return Table(name, MetaData(), Column(RUN, String(40), index=True), *kinds, schema=schema, **own)


def _holds(connection: Connection, table: Table, run: str) -> bool:
    from sqlalchemy import select

    if RUN not in table.columns:
        return False
    return connection.execute(select(table.c[RUN]).where(table.c[RUN] == run).limit(1)).first() is not None


def _refuse_untransacted(place: str, table: Table) -> None:
    """Refuse a table of MySQL that takes half a run."""
    engine = next((str(value) for name, value in table.kwargs.items() if name.endswith("_engine")), "InnoDB")
    if engine.lower() != "innodb":
        message = f"{place}: its engine {engine} knows no transactions; ALTER TABLE ... ENGINE=InnoDB, or name another."
        raise DataError(message, code="score_output_other")


def _insert(connection: Connection, table: Table, parquet: Any, named: Sequence[str]) -> None:
    """Add the rows; *named* has the run and the names of the file's columns."""
    run, names = named[0], [RUN, *named[1:]]
    naive = connection.dialect.name != "postgresql"
    for batch in parquet.iter_batches(_CHUNK):
        columns = [_plain(column, naive) for column in batch.columns]
        rows = zip([run] * batch.num_rows, *columns, strict=True)
        if connection.dialect.driver == "psycopg":
            _copy(connection, table, names, rows)
        else:
            connection.execute(table.insert(), [dict(zip(names, row, strict=True)) for row in rows])


def _plain(column: pa.Array, naive: bool) -> list[Any]:
    """Python's values of a column; moments in UTC, without a zone where the database has none."""
    values: list[Any] = column.to_pylist()
    if naive and getattr(column.type, "tz", None):
        return [one if one is None else _utc(one) for one in values]
    return values


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def _copy(connection: Connection, table: Table, names: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> None:
    """Hand rows to PostgreSQL by COPY."""
    from psycopg import sql

    places = [part for part in (table.schema, table.name) if part]
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(*places), sql.SQL(", ").join(map(sql.Identifier, names))
    )
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
