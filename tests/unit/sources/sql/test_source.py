"""A database as a source, through the front door, with SQLite: what comes, what comes again, and what is refused."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from slipstream.data.batch import load_batch
from slipstream.errors import SlipstreamError
from slipstream.spec.loader import load_spec
from slipstream.spec.model import ModelSpec
from slipstream.stages.ingest import Ingested, ingest
from slipstream.stages.validate import validate
from slipstream.store import Store
from slipstream.store.datasets import load_dataset, read_dataset
from slipstream.testing import SOURCE_CHECKS, SourceCase
from tests.conftest import MakeSpec
from tests.forked import FORKED

COLUMNS = "id INTEGER PRIMARY KEY, distance REAL, carrier TEXT, late BOOLEAN, updated TIMESTAMP"
Fill = Callable[..., None]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    file = tmp_path / "shop.db"
    with sqlite3.connect(file) as connection:
        connection.execute(f"CREATE TABLE flights ({COLUMNS})")
    return file


@pytest.fixture
def fill(database: Path) -> Fill:
    """``fill(first, last, hour=3)``: rows with these ids, updated on the hour; ``fill(sql="...")`` runs a statement."""

    def more(first: int = 0, last: int = 0, *, hour: int | None = None, sql: str = "") -> None:
        with sqlite3.connect(database) as connection:
            for number in range(first, last):
                at = f"2024-01-01 {number % 24 if hour is None else hour:02}:00:00"
                row = (number, number / 4, "AB"[number % 2], number % 3 == 0, at)
                connection.execute("INSERT INTO flights VALUES (?, ?, ?, ?, ?)", row)
            if sql:
                connection.execute(sql)

    return more


@pytest.fixture
def flights(make_spec: MakeSpec, database: Path) -> Callable[..., ModelSpec]:
    """``flights(watermark="id")``: the model of the table; ``key=[]`` leaves the key out."""

    def make(*, key: Sequence[str] = ("id",), schema: dict[str, Any] | None = None, **source: Any) -> ModelSpec:
        where = {} if "query" in source else {"table": "flights"}
        config = {"type": "sql", "url": f"sqlite:///{database}", **where, **source}
        data = {"source": config, **({"key": list(key)} if key else {}), **({"schema": schema} if schema else {})}
        return make_spec(inputs=["distance", "carrier"], data=data)

    return make


def take(spec: ModelSpec, store: Store) -> Ingested:
    """Ingest and validate."""
    landed = ingest(spec, store)
    if not landed.empty:
        validate(spec, store, landed.batch)
    return landed


def ids(spec: ModelSpec, store: Store) -> list[int]:
    """The ids of the rows in the data table."""
    state = store.ledger.state()
    dataset = load_dataset(store.objects, state, spec.name, state.model(spec.name).dataset or "")
    with duckdb.connect() as connection:
        rows = read_dataset(store.tables, dataset, connection)
        return sorted(row[0] for row in rows.project("id").fetchall())


def refused(spec: ModelSpec, store: Store) -> SlipstreamError:
    with pytest.raises(SlipstreamError) as caught:
        ingest(spec, store)
    return caught.value


def arrive(folder: Path, number: int, rows: Any) -> None:
    with sqlite3.connect(folder / "shop.db") as connection:
        columns = "id INTEGER, amount REAL, word TEXT, paid BOOLEAN, moment TIMESTAMP"
        connection.execute(f"CREATE TABLE IF NOT EXISTS deliveries ({columns})")
        for row in rows.to_pylist() if number else []:
            connection.execute(
                "INSERT INTO deliveries VALUES (?, ?, ?, ?, ?)", (*list(row.values())[:4], str(row["moment"]))
            )


@pytest.mark.parametrize("watermark", ["id", "moment"])
@pytest.mark.parametrize("check", SOURCE_CHECKS, ids=lambda check: str(check.__name__))
def test_keeps_what_a_source_promises(check: Callable[[SourceCase], None], watermark: str) -> None:
    config = {"type": "sql", "url": "sqlite:///shop.db", "table": "deliveries", "watermark": watermark}
    check(SourceCase(config, arrive))


def test_the_whole_table_comes_once(flights: Any, fill: Fill, store: Store) -> None:
    fill(0, 50)
    spec = flights()
    first = take(spec, store)
    assert (first.rows, first.columns, first.origin) == (50, 5, ("flights",))
    assert take(spec, store).empty
    fill(50, 60)
    assert take(spec, store).rows == 60
    assert ids(spec, store) == list(range(60))


def test_the_order_in_which_rows_lie_does_not_matter(flights: Any, fill: Fill, store: Store) -> None:
    fill(0, 50)
    one = ingest(flights(query="SELECT * FROM flights ORDER BY id"), store)
    # Another query is another run, of the same rows.
    two = ingest(flights(query="SELECT * FROM flights ORDER BY id DESC"), store)
    assert not two.reused
    assert one.batch == two.batch


def test_only_rows_above_the_watermark_come(flights: Any, fill: Fill, store: Store) -> None:
    spec = flights(watermark="id", key=[])
    fill(0, 50)
    assert take(spec, store).rows == 50
    assert take(spec, store).empty
    fill(50, 55)
    assert take(spec, store).rows == 5
    assert ids(spec, store) == list(range(55))


def test_a_batch_that_was_not_committed_comes_again_with_what_came_since(
    flights: Any, fill: Fill, store: Store
) -> None:
    spec = flights(watermark="id")
    fill(0, 10)
    landed = ingest(spec, store)
    assert ingest(spec, store).reused
    fill(10, 12)
    again = ingest(spec, store)
    assert (landed.rows, again.rows) == (10, 12)
    validate(spec, store, again.batch)
    assert ids(spec, store) == list(range(12))


def test_late_rows_come_within_the_overlap_once_by_key(flights: Any, fill: Fill, store: Store) -> None:
    spec = flights(watermark="updated", overlap="2h")
    fill(0, 10)
    take(spec, store)
    fill(100, 102, hour=8)
    fill(103, 104, hour=1)  # earlier than the overlap reaches
    fill(105, 106, hour=11)
    assert take(spec, store).rows == 6  # 7 to 9 o'clock, and what came
    assert ids(spec, store) == [*range(10), 100, 101, 105]
    assert take(spec, store).empty


def test_a_row_with_the_very_value_of_the_watermark_is_not_lost(flights: Any, fill: Fill, store: Store) -> None:
    keyed = flights(watermark="updated")
    fill(0, 10)
    take(keyed, store)
    fill(50, 51, hour=9)
    assert take(keyed, store).rows == 2
    assert ids(keyed, store) == [*range(10), 50]


def test_without_a_key_rows_that_cannot_be_told_apart_are_refused(flights: Any, fill: Fill, store: Store) -> None:
    spec = flights(watermark="updated", key=[])
    fill(0, 10)
    take(spec, store)
    fill(20, 30, hour=15)
    assert take(spec, store).rows == 10
    fill(50, 51, hour=15)
    error = refused(spec, store)
    assert error.code == "source_rows_again"
    assert "updated '2024-01-01 15:00:00' have come or changed" in str(error)
    assert "data.key" in str(error)


def test_a_whole_table_that_grew_is_not_added_twice(flights: Any, fill: Fill, store: Store) -> None:
    spec = flights(key=[])
    fill(0, 10)
    take(spec, store)
    assert take(spec, store).empty
    fill(10, 11)
    error = refused(spec, store)
    assert error.code == "source_rows_again"
    assert "was read as a whole and has changed" in str(error)
    assert ids(spec, store) == list(range(10))


def test_another_watermark_begins_anew_and_the_key_tells(flights: Any, fill: Fill, store: Store) -> None:
    fill(0, 10)
    take(flights(watermark="id"), store)
    assert take(flights(watermark="updated"), store).rows == 10
    assert ids(flights(), store) == list(range(10))
    assert refused(flights(watermark="id", key=[]), store).code == "source_rows_again"


@pytest.mark.parametrize(
    ("sql", "watermark", "code", "part"),
    [
        ("UPDATE flights SET updated = NULL WHERE id = 3", "updated", "source_watermark_missing", "1 rows or more"),
        ("UPDATE flights SET updated = '01.02.2024' WHERE id = 3", "updated", "source_watermark_invalid", "01.02.2024"),
        ("UPDATE flights SET updated = '2024-01-01T10:00' WHERE id = 3", "updated", "source_watermark_invalid", "T10"),
        ("UPDATE flights SET updated = 5 WHERE id = 3", "updated", "source_watermark_invalid", "'5'"),
        ("SELECT 1", "distance", "source_watermark_invalid", "whole numbers, dates or times"),
        ("SELECT 1", "upated", "source_column_unknown", "did you mean 'updated'"),
    ],
)
def test_a_watermark_that_would_lose_rows_is_refused(
    sql: str, watermark: str, code: str, part: str, flights: Any, fill: Fill, store: Store
) -> None:
    fill(0, 10, sql=sql)
    error = refused(flights(watermark=watermark), store)
    assert error.code == code
    assert part in str(error)


def test_a_row_that_loses_its_watermark_later_is_noticed(flights: Any, fill: Fill, store: Store) -> None:
    fill(0, 10)
    take(flights(watermark="id"), store)
    fill(20, 21, sql="UPDATE flights SET updated = NULL WHERE id = 2")
    assert take(flights(watermark="id"), store).rows == 1
    fill(0, 0, sql="CREATE VIEW holes AS SELECT CASE id WHEN 2 THEN NULL ELSE id END AS id, distance FROM flights")
    assert refused(flights(query="SELECT * FROM holes", watermark="id"), store).code == "source_watermark_missing"


@pytest.mark.parametrize(("overlap", "watermark"), [("1h", "id"), (5, "updated")])
def test_an_overlap_of_another_kind_is_refused(
    overlap: Any, watermark: str, flights: Any, fill: Fill, store: Store
) -> None:
    fill(0, 10)
    assert refused(flights(watermark=watermark, overlap=overlap), store).code == "source_overlap_invalid"


@pytest.mark.parametrize(
    ("values", "schema", "expected"),
    [
        (("1", "2.5"), None, [1.0, 2.5]),
        (("9007199254740993", "0.5"), None, "data_number_inexact"),
        (("1", "'n/a'"), None, "data_values_mixed"),
        (("1", "'n/a'"), {"v": "text"}, ["1", "n/a"]),
        (("1", "'n/a'"), {"v": {"type": "integer", "missing": ["n/a"]}}, [1, None]),
        (("1", "x'00ff'"), None, "data_values_mixed"),
        (("''", "NULL"), None, ["", None]),
    ],
)
def test_the_loose_types_of_sqlite(
    values: tuple[str, str], schema: Any, expected: Any, flights: Any, fill: Fill, store: Store
) -> None:
    rows = ", ".join(f"({number}, {value})" for number, value in enumerate(values))
    fill(0, 0, sql="CREATE TABLE loose (id INTEGER, v)")
    fill(0, 0, sql=f"INSERT INTO loose VALUES {rows}")
    spec = flights(query="SELECT id, v, 1.5 AS distance, 'A' AS carrier, 1 AS late FROM loose", schema=schema)
    if isinstance(expected, str):
        error = refused(spec, store)
        assert error.code == expected
        assert "column 'v'" in str(error)
        assert "data.schema" in str(error)
        return
    batch = load_batch(store, spec.name, ingest(spec, store).batch)
    with duckdb.connect() as connection:
        rows = connection.read_parquet(str(store.objects.path(batch.file))).order("id").project("v").fetchall()
    assert [row[0] for row in rows] == expected


def test_types_that_change_between_chunks(flights: Any, fill: Fill, store: Store) -> None:
    """Whole numbers first and decimals much later, as SQLite may hold them: one column, in the type that holds both."""
    fill(0, 0, sql="CREATE TABLE loose (id INTEGER, v)")
    fill(0, 0, sql="WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 24999) "
                   "INSERT INTO loose SELECT i, CASE WHEN i = 24000 THEN 0.5 ELSE i END FROM n")  # fmt: skip
    landed = ingest(flights(query="SELECT * FROM loose"), store)
    assert landed.rows == 25_000
    batch = load_batch(store, "small", landed.batch)
    assert dict(batch.columns)["v"] == "DOUBLE"


@pytest.mark.parametrize(
    ("source", "code", "part"),
    [
        ({"table": "flihgts"}, "source_table_unknown", "did you mean 'flights'"),
        ({"query": "SELECT * FROM flihgts"}, "source_query_failed", "no such table: flihgts"),
        ({"query": "SELECT id FROM"}, "source_query_failed", "incomplete input"),
        ({"query": "WITH a AS (SELECT 1) DELETE FROM flights"}, "source_query_failed", "readonly"),
        ({"query": "SELECT id, distance AS ID FROM flights"}, "data_column_twice", "differ by case"),
    ],
)
def test_what_cannot_be_read_has_a_name(
    source: dict[str, str], code: str, part: str, flights: Any, fill: Fill, store: Store
) -> None:
    fill(0, 3)
    error = refused(flights(**source), store)
    assert (error.code, part in str(error)) == (code, True), error


def test_no_file_is_made_where_there_is_none(flights: Any, database: Path, store: Store) -> None:
    database.unlink()
    assert refused(flights(), store).code == "source_database_unknown"
    assert not database.exists()
    database.write_text("no database at all, but a text that is long enough to be looked at")
    assert refused(flights(), store).code == "source_database_unknown"


def test_a_database_that_somebody_locks_is_a_timeout(flights: Any, fill: Fill, database: Path, store: Store) -> None:
    fill(0, 3)
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        error = refused(flights(timeout=1), store)
    connection.close()
    assert error.code == "source_timeout"
    assert error.retryable


def test_a_database_of_more_rows_than_allowed_is_not_read_to_its_end(flights: Any, fill: Fill, store: Store) -> None:
    fill(0, 30)
    spec = flights()
    limited = spec.model_copy(update={"data": spec.data.model_copy(update={"max_rows": 20})})
    assert refused(limited, store).code == "data_too_many_rows"


def test_the_driver_that_is_missing_is_named(flights: Any, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP", "snowflake://reader:secret-word@account/shop")
    error = refused(flights(url={"env": "SHOP"}), store)
    assert error.code == "missing_extra"
    assert "pip install 'snowflake-sqlalchemy'" in str(error)
    assert "secret-word" not in str(error)
    monkeypatch.setenv("SHOP", "mysql+MySQLdb://reader:secret-word@127.0.0.1/shop")
    assert "requirements-sql.txt" in str(refused(flights(url={"env": "SHOP"}), store))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "source_connection_unknown"),
        ("secret-word", "source_url_malformed"),
        ("{secret-word", "source_url_malformed"),
    ],
)
def test_a_connection_that_is_none_is_told_of_without_its_text(
    text: str, code: str, flights: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP", text)
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", text)
    for where in ({"url": {"env": "SHOP"}}, {"url": "", "connection": "shop"}):
        error = refused(flights(**where), store)
        assert "secret-word" not in str(error)
        assert "shop" in str(error).lower()
        if "connection" not in where or text != "secret-word":
            assert error.code == code


def test_an_airflow_connection_to_sqlite(
    flights: Any, fill: Fill, database: Path, store: Store, monkeypatch: Any
) -> None:
    fill(0, 3)
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", f'{{"conn_type": "sqlite", "host": "{database}"}}')
    assert ingest(flights(url="", connection="shop"), store).rows == 3


def test_a_relative_path_starts_at_the_folder_of_the_model(
    flights: Any, fill: Fill, database: Path, store: Store
) -> None:
    fill(0, 3)
    spec = flights(url="sqlite:///shop.db")
    database.rename(spec.folder / "shop.db")
    assert ingest(spec, store).rows == 3


@pytest.mark.parametrize("point", ["ingest.begin", "files.rename", "ledger.before_commit", "ledger.after_commit"])
def test_a_read_that_is_killed_is_finished_by_the_next(
    point: str, flights: Any, fill: Fill, store: Store, tmp_path: Path
) -> None:
    spec = flights(watermark="updated", overlap="1h")
    fill(0, 10)
    take(spec, store)
    fill(100, 103, hour=12)
    child = FORKED.Process(target=_ingest_killed, args=(str(spec.folder), (tmp_path / "store").as_uri(), point))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    fill(103, 104, hour=12)
    take(spec, store)
    assert ids(spec, store) == [*range(10), 100, 101, 102, 103]
    assert take(spec, store).empty


def _ingest_killed(folder: str, store: str, point: str) -> None:
    os.environ["SLIPSTREAM_FAULTPOINT"] = point
    ingest(load_spec(Path(folder)), Store.open(store))
