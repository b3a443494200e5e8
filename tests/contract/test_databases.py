"""Databases as a source, on real servers: each type of column as it is there, one snapshot, errors by name."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from slipstream.errors import SlipstreamError
from slipstream.slots import Delivery
from slipstream.sources.sql.source import SqlSource
from slipstream.spec.model import ModelSpec
from slipstream.stages.ingest import ingest
from slipstream.store import Store
from slipstream.testing import SOURCE_CHECKS, SourceCase
from slipstream.testing.sources import read_delivery
from tests.databases import PASSWORD, Server

MakeSpec = Callable[..., ModelSpec]
KINDS = ("postgresql", "mariadb")
_numbers = itertools.count()


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Server:
    running: Server = request.getfixturevalue(request.param)
    monkeypatch.setenv("SHOP_DATABASE", running.url)
    return running


@contextmanager
def owner(server: Server) -> Iterator[sa.Connection]:
    """A connection that may write; what it does is committed."""
    engine = sa.create_engine(server.owner_url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def table_of(server: Server, columns: str, *rows: str) -> str:
    """A new table with these columns and rows, as SQL; its name."""
    name = f"made_{next(_numbers)}_{os.getpid()}"
    with owner(server) as connection:
        if server.kind == "mariadb":
            connection.exec_driver_sql("SET sql_mode = ''")  # zero dates may be written
        connection.exec_driver_sql(f"CREATE TABLE {name} ({columns})")
        for row in rows:
            connection.exec_driver_sql(f"INSERT INTO {name} VALUES ({row})".replace("%", "%%"))
    return name


def spec_for(make_spec: MakeSpec, schema: Mapping[str, Any] | None = None, **source: Any) -> ModelSpec:
    inputs = source.pop("inputs", ["v"])
    data = {"source": {"type": "sql", "url": {"env": "SHOP_DATABASE"}, **source}, "key": ["id"]}
    return make_spec(inputs=inputs, target="y", data=data | ({"schema": schema} if schema else {}))


def delivered(spec: ModelSpec, into: Path, watermark: str = "") -> Delivery:
    arguments = {name: value for name, value in spec.data.source.items() if name != "type"}
    into.mkdir(exist_ok=True)
    return SqlSource(**arguments).deliver(spec, watermark, into)


def values(spec: ModelSpec, into: Path, column: str = "v") -> list[Any]:
    """What arrives of a column, in the order of ``id``."""
    rows = read_delivery(spec, delivered(spec, into))
    return [row.get(column, "left out") for row in sorted(rows, key=lambda row: row["id"])]


MOMENT = datetime(2024, 1, 1, 10, 0, 0, 123456)  # noqa: DTZ001 - as it is held
POSTGRESQL = [
    ("smallint", "-32768", -32768),
    ("integer", "2147483647", 2147483647),
    ("bigint", "9223372036854775807", 2**63 - 1),
    ("bigint", "-9223372036854775808", -(2**63)),
    ("numeric(10,2)", "12.30", 12.3),
    ("numeric(18,0)", "7", 7),
    ("real", "0.1", 0.1),
    ("double precision", "0.1", 0.1),
    ("double precision", "'Infinity'", float("inf")),
    ("boolean", "false", False),
    ("text", "''", ""),
    ("text", "'ü€😀'", "ü€😀"),
    ("varchar(5)", "' a '", " a "),
    ("char(5)", "'ab'", "ab   "),
    ("date", "'2024-02-29'", date(2024, 2, 29)),
    ("timestamp", "'2024-01-01 10:00:00.123456'", MOMENT),
    ("timestamptz", "'2024-01-01 12:00:00.123456+02'", MOMENT),
    ("time", "'10:00:01'", "10:00:01"),
    ("interval", "'1 day 2 hours'", "1 day 02:00:00"),
    ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("json", """'{"a":  1.00}'""", '{"a":  1.00}'),
    ("jsonb", """'{"a":  1.00}'""", '{"a": 1.00}'),
    ("inet", "'10.0.0.1'", "10.0.0.1"),
    ("int4range", "'[1,5)'", "[1,5)"),
]
MARIADB = [
    ("tinyint(1)", "1", 1),
    ("boolean", "false", 0),
    ("int unsigned", "4294967295", 4294967295),
    ("bigint", "-9223372036854775808", -(2**63)),
    ("bigint unsigned", "9223372036854775807", 2**63 - 1),
    ("decimal(10,2)", "12.30", 12.3),
    ("decimal(18,0)", "7", 7),
    ("float", "0.1", 0.1),
    ("double", "0.1", 0.1),
    ("text", "''", ""),
    ("varchar(9)", "'ü€😀'", "ü€😀"),
    ("varchar(5)", "' a '", " a "),
    ("date", "'2024-02-29'", date(2024, 2, 29)),
    ("datetime(6)", "'2024-01-01 10:00:00.123456'", MOMENT),
    # The server's clock is five hours before UTC.
    ("timestamp(6)", "'2024-01-01 15:00:00.123456'", MOMENT),
    ("time", "'-100:00:01'", "-100:00:01"),
    ("year", "2024", 2024),
    ("enum('a','b')", "'b'", "b"),
    ("json", """'{"a":  1.00}'""", '{"a":  1.00}'),
    ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
]


@pytest.mark.parametrize(
    ("server", "cases"), [("postgresql", POSTGRESQL), ("mariadb", MARIADB)], indirect=["server"], ids=KINDS
)
def test_values_arrive_as_they_are(
    server: Server, cases: list[tuple[str, str, Any]], make_spec: MakeSpec, tmp_path: Path
) -> None:
    nulls = ["NULL DEFAULT NULL" if kind.startswith("timestamp(") else "" for kind, *_ in cases]
    columns = [f"c{place} {kind} {nulls[place]}" for place, (kind, *_) in enumerate(cases)]
    written = [text for _, text, _ in cases]
    rows = (f"1, {', '.join(written)}", f"2, {', '.join(['NULL'] * len(cases))}")
    table = table_of(server, f"id int, {', '.join(columns)}", *rows)
    spec = spec_for(make_spec, inputs=["id"], table=table)
    full, empty = sorted(read_delivery(spec, delivered(spec, tmp_path / "into")), key=lambda row: row["id"])
    arrived = [(kind, text, full.get(f"c{place}")) for place, (kind, text, _) in enumerate(cases)]
    assert arrived == cases
    assert [type(value) for *_, value in arrived] == [type(value) for *_, value in cases]
    assert set(empty.values()) == {2, None}


TOO_FINE = [
    ("postgresql", "numeric", "0.1234567890123456789", "data_number_inexact"),
    ("mariadb", "decimal(38,20)", "0.12345678901234567890", "data_number_inexact"),
    ("postgresql", "numeric(30,0)", "123456789012345678901234567890", "data_number_too_large"),
    ("mariadb", "bigint unsigned", "18446744073709551615", "data_number_too_large"),
]


@pytest.mark.parametrize(("server", "kind", "written", "code"), TOO_FINE, indirect=["server"])
def test_a_number_that_would_be_rounded_is_refused_and_kept_whole_as_text(
    server: Server, kind: str, written: str, code: str, make_spec: MakeSpec, tmp_path: Path
) -> None:
    table = table_of(server, f"id int, v {kind}", f"1, {written}")
    with pytest.raises(SlipstreamError, match=rf"column 'v' holds {written}.*v: text") as caught:
        delivered(spec_for(make_spec, table=table), tmp_path / "into")
    assert caught.value.code == code
    assert values(spec_for(make_spec, {"v": "text"}, table=table), tmp_path / "text") == [written]
    spec = spec_for(make_spec, {"v": "drop"}, inputs=["id"], table=table)
    assert values(spec, tmp_path / "drop") == ["left out"]


def test_a_number_is_rounded_where_the_model_file_says_so(
    postgresql: Server, monkeypatch: pytest.MonkeyPatch, make_spec: MakeSpec, tmp_path: Path
) -> None:
    monkeypatch.setenv("SHOP_DATABASE", postgresql.url)
    table = table_of(postgresql, "id int, v numeric", "1, 0.1234567890123456789")
    spec = spec_for(make_spec, {"v": "number"}, table=table)
    assert values(spec, tmp_path / "into") == [0.12345678901234568]


UNHELD = [
    ("postgresql", "bytea", "'\\xDEAD'"),
    ("postgresql", "int[]", "'{1,2}'"),
    ("mariadb", "blob", "x'DEAD'"),
    ("mariadb", "bit(1)", "b'1'"),
]


@pytest.mark.parametrize(("server", "kind", "written"), UNHELD, indirect=["server"])
def test_bytes_and_lists_are_refused_by_name_where_the_model_uses_them(
    server: Server, kind: str, written: str, make_spec: MakeSpec, store: Store
) -> None:
    table = table_of(server, f"id int, v {kind}, y int", f"1, {written}, 0", "2, NULL, 1")
    with pytest.raises(SlipstreamError, match="column 'v' is of type") as caught:
        ingest(spec_for(make_spec, table=table), store)
    assert caught.value.code == "data_type_unsupported"
    assert ingest(spec_for(make_spec, inputs=["id"], table=table), store).rows == 2


@pytest.mark.parametrize(
    ("server", "kind", "written", "code"),
    [
        ("postgresql", "date", "'infinity'", "source_value_unreadable"),
        ("postgresql", "timestamp", "'0044-03-15 10:00 BC'", "source_value_unreadable"),
        ("mariadb", "date", "'0000-00-00'", "data_values_mixed"),
    ],
    indirect=["server"],
)
def test_dates_outside_the_calendar_are_refused(
    server: Server, kind: str, written: str, code: str, make_spec: MakeSpec, tmp_path: Path
) -> None:
    table = table_of(server, f"id int, v {kind}", "1, '2024-01-01'", f"2, {written}")
    with pytest.raises(SlipstreamError) as caught:
        delivered(spec_for(make_spec, table=table), tmp_path / "into")
    assert caught.value.code == code


def arriver(server: Server, table: str) -> Callable[..., None]:
    """Puts the rows of the check suite into a table, as its owner."""
    times = "timestamp" if server.kind == "postgresql" else "datetime(6)"

    def arrive(folder: Path, number: int, rows: Any) -> None:
        with owner(server) as connection:
            if not number:
                connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}")
                columns = f"id bigint, amount double precision, word varchar(99), paid boolean, moment {times}"
                connection.exec_driver_sql(f"CREATE TABLE {table} ({columns})")
                return
            places = ", ".join(f":{name}" for name in rows.column_names)
            connection.execute(sa.text(f"INSERT INTO {table} VALUES ({places})"), rows.to_pylist())

    return arrive


@pytest.mark.parametrize("watermark", ["id", "moment"])
@pytest.mark.parametrize("check", SOURCE_CHECKS, ids=lambda check: str(check.__name__))
def test_keeps_what_a_source_promises(
    check: Callable[[SourceCase], None], watermark: str, postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_DATABASE", postgresql.url)
    config = {"type": "sql", "url": {"env": "SHOP_DATABASE"}, "table": "deliveries", "watermark": watermark}
    check(SourceCase(config, arriver(postgresql, "deliveries")))


def test_the_same_rows_are_the_same_batch_from_every_database(
    postgresql: Server, mariadb: Server, make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"{number}, 'word {number % 7}', {number / 4}, '2024-01-{1 + number % 28:02} 10:00:00', {number % 2}"
            for number in range(200)]  # fmt: skip
    files = [tmp_path / "first.db", tmp_path / "second.db"]
    servers = [postgresql.url, mariadb.url, *(f"sqlite:///{file}" for file in files)]
    owners = [postgresql.owner_url, mariadb.owner_url, *servers[2:]]
    batches = set()
    for place, (url, owner_url) in enumerate(zip(servers, owners, strict=True)):
        engine = sa.create_engine(owner_url, poolclass=sa.pool.NullPool)
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE IF EXISTS same_rows")
            times = "datetime" if "mariadb" in url else "timestamp"
            connection.exec_driver_sql(f"CREATE TABLE same_rows (id int, v text, amount real, at {times}, y int)")
            for row in rows if place % 2 else reversed(rows):
                connection.exec_driver_sql(f"INSERT INTO same_rows VALUES ({row})")
        monkeypatch.setenv("SHOP_DATABASE", url)
        spec = spec_for(make_spec, table="same_rows", watermark="id", overlap=10)
        batches.add(ingest(spec, Store.open((tmp_path / f"store-{place}").as_uri())).batch)
    assert len(batches) == 1


FAILURES = [
    ("reader:wrong-word", {}, "source_login_refused", "mend user and password"),
    ("nobody:wrong-word", {}, "source_login_refused", "mend user and password"),
    ("{}", {"table": "flihgts"}, "source_table_unknown", "did you mean 'flights'"),
    ("{}", {"watermark": "updatd"}, "source_column_unknown", "did you mean 'updated'"),
    ("{}", {"table": "", "query": "SELECT idd FROM flights"}, "source_query_failed", "idd"),
    ("{}", {"table": "", "query": "SELECT id, id AS id FROM flights"}, "data_column_twice", "'id'"),
    ("{}", {"table": "", "query": "WITH x AS (DELETE FROM flights RETURNING id) SELECT * FROM x"},
     "source_query_failed", "mend the query"),
]  # fmt: skip


@pytest.mark.parametrize(("login", "source", "code", "part"), FAILURES)
def test_what_goes_wrong_has_a_name_and_shows_no_password(
    server: Server, login: str, source: dict[str, Any], code: str, part: str, make_spec: MakeSpec, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    with owner(server) as connection:
        connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS flights (id int, updated date)")
    monkeypatch.setenv("SHOP_DATABASE", server.url.replace(f"reader:{PASSWORD}", login.format(f"reader:{PASSWORD}")))
    with pytest.raises(SlipstreamError) as caught:
        delivered(spec_for(make_spec, **{"table": "flights", **source}), tmp_path / "into")
    assert caught.value.code == code
    assert part in str(caught.value)
    assert "wrong-word" not in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_no_server_and_no_database(server: Server, make_spec: MakeSpec, tmp_path: Path, monkeypatch: Any) -> None:
    for change, code in ((f":{server.port}", "source_unreachable"), ("/shop", "")):
        monkeypatch.setenv("SHOP_DATABASE", server.url.replace(change, ":1" if code else "/shoop"))
        with pytest.raises(SlipstreamError) as caught:
            delivered(spec_for(make_spec, table="flights"), tmp_path / "into")
        # MariaDB does not say whether there is a database that one may not see.
        absent = {"postgresql": "source_database_unknown", "mariadb": "source_rights_missing"}[server.kind]
        assert caught.value.code == (code or absent)


def test_rows_that_come_while_it_reads_are_of_the_next_batch(server: Server, tmp_path: Path) -> None:
    """One snapshot: what is written in the middle of the read is not half of it."""
    from slipstream.sources.sql.address import address_of
    from slipstream.sources.sql.snapshot import Question, answered

    table = table_of(server, "id int, v varchar(200)")
    with owner(server) as connection:
        rows = [{"id": number, "v": "x" * 150} for number in range(30_000)]
        connection.execute(sa.text(f"INSERT INTO {table} VALUES (:id, :v)"), rows)
    with answered(address_of("", {"env": "SHOP_DATABASE"}), tmp_path, 60, Question(table)) as answer:
        seen = len(next(answer.chunks))
        with owner(server) as connection:
            connection.exec_driver_sql(f"INSERT INTO {table} VALUES (-1, 'late'), (999999, 'late')")
            connection.exec_driver_sql(f"UPDATE {table} SET v = 'changed' WHERE id = 29999")
        rest = [row for chunk in answer.chunks for row in chunk]
    assert seen + len(rest) == 30_000
    assert not [row for row in rest if row[1] in {"late", "changed"}]


class Wire:
    """A wire to a server that is cut, or goes dead, once so many bytes have come through it."""

    def __init__(self, port: int, limit: int, *, dead: bool) -> None:
        self._port, self._limit, self._dead = port, limit, dead
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for one in (self._listener, *self._open):
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                self._open += [client, server]
                threading.Thread(target=self._carry, args=(client, server, None), daemon=True).start()
                threading.Thread(target=self._carry, args=(server, client, self._limit), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, limit: int | None) -> None:
        carried = 0
        with contextlib.suppress(OSError):
            while some := source.recv(65536):
                carried += len(some)
                if limit and carried > limit:
                    if not self._dead:
                        for one in (source, target):
                            one.shutdown(socket.SHUT_RDWR)
                    return
                target.sendall(some)


@pytest.mark.parametrize(("dead", "code"), [(False, "source_connection_lost"), (True, "source_timeout")])
def test_a_connection_that_is_lost_in_the_middle_leaves_nothing(
    server: Server, dead: bool, code: str, make_spec: MakeSpec, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = table_of(server, "id int, v varchar(200), y int")
    with owner(server) as connection:
        rows = [{"id": number, "v": "x" * 190, "y": number % 2} for number in range(40_000)]
        connection.execute(sa.text(f"INSERT INTO {table} VALUES (:id, :v, :y)"), rows)
    wire = Wire(server.port, 3_000_000, dead=dead)
    monkeypatch.setenv("SHOP_DATABASE", server.url.replace(str(server.port), str(wire.port)))
    spec = spec_for(make_spec, table=table, timeout=2)
    with pytest.raises(SlipstreamError) as caught:
        ingest(spec, store)
    wire.close()
    assert caught.value.code == code, caught.value
    assert caught.value.retryable
    assert store.ledger.read() == []
    monkeypatch.setenv("SHOP_DATABASE", server.url)
    assert ingest(spec, store).rows == 40_000


def test_a_query_that_takes_too_long_is_stopped(server: Server, make_spec: MakeSpec, tmp_path: Path) -> None:
    sleep = "pg_sleep(20)" if server.kind == "postgresql" else "sleep(20)"
    begin = time.monotonic()
    with pytest.raises(SlipstreamError, match="raise the source's timeout") as caught:
        delivered(spec_for(make_spec, query=f"SELECT 1 AS id, {sleep} AS v", timeout=1), tmp_path / "into")
    assert caught.value.code == "source_timeout"
    assert time.monotonic() - begin < 10


def test_what_reads_cannot_write(server: Server, make_spec: MakeSpec, tmp_path: Path, monkeypatch: Any) -> None:
    """The transaction only reads, whatever its user may do."""
    monkeypatch.setenv("SHOP_DATABASE", server.owner_url)
    table = table_of(server, "id int, v int", "1, 1")
    write = {
        "postgresql": f"WITH gone AS (DELETE FROM {table} RETURNING id) SELECT * FROM gone",
        "mariadb": f"SELECT nextval({table}_numbers) AS id",
    }[server.kind]
    if server.kind == "mariadb":
        with owner(server) as connection:
            connection.exec_driver_sql(f"CREATE SEQUENCE {table}_numbers")
    with pytest.raises(SlipstreamError) as caught:
        delivered(spec_for(make_spec, query=write), tmp_path / "into")
    assert caught.value.code == "source_query_failed"
    assert values(spec_for(make_spec, table=table), tmp_path / "again") == [1]


def test_a_schema_and_a_view_can_be_read(server: Server, make_spec: MakeSpec, tmp_path: Path) -> None:
    table = table_of(server, "id int, v int", "1, 5")
    with owner(server) as connection:
        connection.exec_driver_sql(f"CREATE VIEW {table}_view AS SELECT id, v + 1 AS v FROM {table}")
    schema = {"postgresql": "public", "mariadb": "shop"}[server.kind]
    assert values(spec_for(make_spec, table=f"{schema}.{table}"), tmp_path / "one") == [5]
    assert values(spec_for(make_spec, table=f"{table}_view"), tmp_path / "two") == [6]


def test_a_query_may_hold_colons_and_percents(server: Server, make_spec: MakeSpec, tmp_path: Path) -> None:
    query = "SELECT 1 AS id, CAST('a:b %s ::c' AS char(9)) AS v, 10 % 3 AS rest;"
    assert values(spec_for(make_spec, query=query), tmp_path / "into") == ["a:b %s ::c"[:9]]


def test_an_airflow_connection_of_the_environment(
    server: Server, make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = table_of(server, "id int, v int", "1, 5")
    kind = {"postgresql": "postgres", "mariadb": "mysql"}[server.kind]
    parts = {"conn_type": kind, "login": "reader", "password": PASSWORD, "host": "127.0.0.1", "port": server.port,
             "schema": "shop", "extra": {"sslmode": "prefer", "cursor": "dictcursor"}}  # fmt: skip
    uri = f"{kind}://reader:{PASSWORD}@127.0.0.1:{server.port}/shop"
    for number, text in enumerate((json.dumps(parts), json.dumps({**parts, "extra": "{}"}), uri)):
        monkeypatch.setenv("AIRFLOW_CONN_SHOP", text)
        spec = make_spec(
            inputs=["v"], target="y", data={"source": {"type": "sql", "connection": "shop", "table": table}}
        )
        assert values(spec, tmp_path / str(number)) == [5]
