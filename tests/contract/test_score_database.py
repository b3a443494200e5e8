"""Predictions written to real databases: types, kills, two at once, lost rights; nothing is lost, doubled or half."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine, create_engine, text

from slipstream.errors import SlipstreamError
from slipstream.spec.loader import load_spec
from slipstream.spec.model import ModelSpec
from slipstream.spec.score import score_table
from slipstream.stages.score import score
from slipstream.store import Store
from tests.databases import PASSWORD, Server
from tests.forked import FORKED

pytestmark = pytest.mark.server
ROWS = 600
POINTS = ("score.begin", "score.written", "score.table_begun", "score.table_full", "score.table_committed",
          "score.captured", "score.worked", "score.committed")  # fmt: skip


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database without a table of scores."""
    if request.param == "sqlite":
        (tmp_path / "shop.db").touch()
        engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    else:
        server: Server = request.getfixturevalue(request.param)
        engine = create_engine(server.owner_url)
    yield engine
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS scores"))
    engine.dispose()


def url_of(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def work(folder: Path, url: str, database: str, point: str, wait: Any) -> None:
    """In a process of its own: score, dying at *point* if there is one."""
    os.environ |= {"SLIPSTREAM_FAULTPOINT": point, "SHOP": database}
    if wait is not None:
        wait.wait()
    score(load_spec(folder), Store.open(url), output=table())


def table(**more: Any) -> Any:
    return score_table({"url": {"env": "SHOP"}, "table": "scores", **more})


def started(spec: ModelSpec, store: Store, engine: Engine, point: str = "", wait: Any = None) -> Any:
    worker = FORKED.Process(target=work, args=(spec.folder, store.url, url_of(engine), point, wait))
    worker.start()
    return worker


def rows_of(engine: Engine, query: str = "SELECT id FROM scores ORDER BY id") -> list[Any]:
    from sqlalchemy import inspect

    if not inspect(engine).has_table("scores"):
        return []
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


@pytest.mark.parametrize("point", POINTS)
def test_a_scoring_that_is_killed_writes_once(
    point: str, database: Engine, champion: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = champion()
    worker = started(spec, store, database, point)
    worker.join(120)
    assert worker.exitcode == -signal.SIGKILL
    assert len(rows_of(database)) in {0, ROWS}
    monkeypatch.setenv("SHOP", url_of(database))
    assert score(spec, store, output=table()).rows == ROWS
    assert rows_of(database) == [(number,) for number in range(ROWS)]
    assert len([event for event in store.ledger.read(model="small") if event.topic == "score"]) == 1


def test_two_at_once_write_once(database: Engine, champion: Any, store: Store) -> None:
    spec, gate = champion(), FORKED.Barrier(2)
    workers = [started(spec, store, database, wait=gate) for _ in range(2)]
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert rows_of(database) == [(number,) for number in range(ROWS)]


def test_what_is_written_is_what_a_file_would_hold(
    database: Engine, champion: Any, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP", url_of(database))
    spec = champion()
    (tmp_path / "in.csv").write_text("id,hour,carrier,distance\n1,3,A,0.5\n2,noon,A,0.5\n3,4,Zürich 🚲,99\n")
    place = tmp_path / "out.parquet"
    score(spec, store, path=str(tmp_path / "in.csv"), output=str(place))
    done = score(spec, store, path=str(tmp_path / "in.csv"), output=table())
    columns = ["id", "prediction", "probability", "version", "warnings", "error"]
    written = pq.read_table(place, columns=columns).to_pylist()
    stored = rows_of(database, f"SELECT {', '.join(columns)} FROM scores ORDER BY id")
    expected = [tuple(row.values()) for row in written]
    assert [(*row[:1], None if row[1] is None else bool(row[1]), *row[2:]) for row in stored] == expected
    assert "Zürich 🚲" in stored[2][4]
    ((moment,),) = rows_of(database, "SELECT max(scored_at) FROM scores")
    moment = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 120
    assert rows_of(database, "SELECT DISTINCT run FROM scores") == [(done.run,)]


@pytest.mark.parametrize(("column", "kind"), [("probability", "INTEGER"), ("prediction", "DATE"), ("id", "DATE")])
def test_a_table_that_would_change_what_is_written_is_refused(
    column: str, kind: str, database: Engine, champion: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP", url_of(database))
    kinds = {"run": "VARCHAR(40)", "id": "BIGINT", "prediction": "BOOLEAN", "probability": "DOUBLE PRECISION"}
    kinds |= {"version": "BIGINT", "warnings": "TEXT", "error": "TEXT", "scored_at": "TIMESTAMP", column: kind}
    with database.begin() as connection:
        connection.execute(text(f"CREATE TABLE scores ({', '.join(f'{name} {of}' for name, of in kinds.items())})"))
    with pytest.raises(SlipstreamError, match=f"has '{column}' as .*, which does not hold values of type") as raised:
        score(champion(), store, output=table())
    assert raised.value.code == "score_output_other"
    assert rows_of(database) == []


def test_a_moment_is_the_same_in_a_server_of_another_zone(
    mariadb: Server, champion: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP", mariadb.owner_url)
    spec, engine = champion(), create_engine(mariadb.owner_url)
    try:
        score(spec, store, output=table())
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM scores"))
            connection.execute(text("ALTER TABLE scores MODIFY scored_at TIMESTAMP(6) NULL"))
        score(spec, store, output=table())
        ((seconds,),) = rows_of(engine, "SELECT max(abs(unix_timestamp(scored_at) - unix_timestamp())) FROM scores")
        assert seconds < 120
    finally:
        with engine.begin() as connection:
            connection.execute(text("DROP TABLE IF EXISTS scores"))
        engine.dispose()


def test_who_may_only_read_is_told_so(
    postgresql: Server, champion: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP", postgresql.url)
    with pytest.raises(SlipstreamError, match="grant SELECT, INSERT and DELETE") as raised:
        score(champion(), store, output=table())
    assert raised.value.code == "source_rights_missing"
    assert PASSWORD not in str(raised.value)


def test_a_table_without_transactions_is_refused(
    mariadb: Server, champion: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP", mariadb.owner_url)
    spec = champion()
    engine = create_engine(mariadb.owner_url)
    try:
        score(spec, store, output=table())
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM scores"))
            connection.execute(text("ALTER TABLE scores ENGINE=Aria"))
        with pytest.raises(SlipstreamError, match="knows no transactions"):
            score(spec, store, output=table(mode="replace"))
        assert rows_of(engine) == []
    finally:
        with engine.begin() as connection:
            connection.execute(text("DROP TABLE IF EXISTS scores"))
        engine.dispose()
