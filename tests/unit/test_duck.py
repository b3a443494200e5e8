"""A connection is to an empty database, whatever was done with those before it."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from pathlib import Path

import duckdb
import pytest

from slipstream.duck import duck
from slipstream.errors import StageError


def spills(folder: Path) -> list[Path]:
    return list(folder.glob("slipstream-*"))


@pytest.fixture(autouse=True)
def spill_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_nothing_is_left_to_the_next() -> None:
    for _ in range(3):
        with duck() as connection:
            assert not connection.execute("SELECT 1 FROM duckdb_tables()").fetchall()
            assert connection.execute("SELECT current_setting('memory_limit')").fetchall() == [("1.0 GiB",)]
            connection.execute(
                "CREATE TABLE t AS SELECT 1 AS a; CREATE VIEW v AS FROM t; CREATE TEMP TABLE u AS FROM t"
            )
            connection.execute("SET memory_limit = '123MiB'")


def test_two_at_once_do_not_see_each_other() -> None:
    with duck() as first, duck() as second:
        first.execute("CREATE TABLE t AS SELECT 1 AS a")
        second.execute("CREATE TABLE t AS SELECT 2 AS a")
        assert first.table("t").fetchall() == [(1,)]
        assert second.table("t").fetchall() == [(2,)]


def test_an_error_inside_costs_the_next_nothing() -> None:
    with pytest.raises(duckdb.ConversionException), duck() as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS a; BEGIN; INSERT INTO t VALUES (2), ('two')")
    with duck() as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS a")


def test_what_spills_is_removed_and_the_next_spills_elsewhere(spill_folder: Path) -> None:
    for _ in range(2):
        with duck("60MiB") as connection:
            (folder,) = spills(spill_folder)
            connection.execute("CREATE TABLE t AS SELECT range, repeat('x', 40) || hash(range) FROM range(2_000_000)")
            assert any(folder.iterdir())
            assert folder.stat().st_mode & 0o077 == 0
        assert not spills(spill_folder)


def test_what_cannot_spill_is_told(spill_folder: Path) -> None:
    with pytest.raises(StageError, match="do not fit in memory") as caught, duck("60MiB") as connection:
        connection.execute("SELECT list(repeat('x', 100) || range) FROM range(5_000_000)").fetchall()
    assert caught.value.code == "data_out_of_memory"
    assert not spills(spill_folder)


def test_a_forked_process_begins_anew() -> None:
    """An engine's threads stay behind in the parent: a child that used it would wait for ever."""
    rows = "SELECT count(*) FROM range(3_000_000) t(a) JOIN range(3_000_000) u(b) ON a = b"
    with duck() as connection:
        assert connection.execute(rows).fetchall() == [(3_000_000,)]
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        with duck() as connection:
            os._exit(0 if connection.execute(rows).fetchall() == [(3_000_000,)] else 1)
    assert os.waitpid(child, 0)[1] == 0
    with duck() as connection:
        assert connection.execute(rows).fetchall() == [(3_000_000,)]


def test_many_threads() -> None:
    wrong: list[object] = []

    def work(number: int) -> None:
        for _ in range(10):
            with duck() as connection:
                connection.execute(f"CREATE TABLE t AS SELECT {number} AS a")
                if connection.table("t").fetchall() != [(number,)]:
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
