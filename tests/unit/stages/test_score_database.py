"""The batch job of a model file: rows from a database, predictions into it, captured, joined with labels by key."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slipstream.errors import DataError, SlipstreamError, SourceError, SpecError
from slipstream.scoring.database_columns import names_within
from slipstream.spec.model import ModelSpec
from slipstream.spec.score import score_table
from slipstream.stages.join import join
from slipstream.stages.labels import labels
from slipstream.stages.score import score
from slipstream.store import Store

Champion = Callable[..., ModelSpec]
QUERY = "SELECT id, hour, carrier, distance FROM flights"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """An SQLite database."""
    path = tmp_path / "shop.db"
    sqlite3.connect(path).close()
    return path


def filled(shop: Path, rows: pa.Table, name: str = "flights") -> None:
    with sqlite3.connect(shop) as connection:
        columns = ", ".join(rows.column_names)
        connection.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns})")
        marks = ", ".join("?" * rows.num_columns)
        connection.executemany(
            f"INSERT INTO {name} VALUES ({marks})", [tuple(row.values()) for row in rows.to_pylist()]
        )


def asked(shop: Path, query: str) -> list[Any]:
    with sqlite3.connect(shop) as connection:
        return connection.execute(query).fetchall()


def job(shop: Path, **score: Any) -> dict[str, Any]:
    url = f"sqlite:///{shop}"
    block = {"source": {"type": "sql", "url": url, "query": QUERY}, "table": {"url": url, "table": "scores"}, **score}
    return {"score": {name: value for name, value in block.items() if value is not None}}


@pytest.fixture
def flights(make_rows: Any) -> pa.Table:
    rows: pa.Table = make_rows(300, seed=4, first=7000)
    return rows.select(["id", "hour", "carrier", "distance", "late"])


def test_rows_of_a_database_are_answered_into_it_and_joined_by_key(
    shop: Path, flights: pa.Table, champion: Champion, store: Store
) -> None:
    filled(shop, flights.drop(["late"]))
    told = {"type": "sql", "url": f"sqlite:///{shop}", "table": "outcomes"}
    spec = champion(**job(shop), monitor={"labels": told})
    done = score(spec, store, actor="ada")
    assert (done.rows, done.errors, done.captured, done.reused) == (300, 0, 300, False)
    rows = asked(shop, "SELECT id, prediction, probability, version, run, prediction_id FROM scores ORDER BY id")
    assert [row[0] for row in rows] == flights["id"].to_pylist()
    assert {row[3:5] for row in rows} == {(1, done.run)}
    captured = pa.concat_tables([pq.read_table(path) for path in store.tables.paths(spec.name, "predictions")])
    assert sorted(captured["prediction_id"].to_pylist()) == sorted(row[5] for row in rows)
    assert captured["probability"].to_pylist() == [row[2] for row in rows]
    assert set(captured["role"].to_pylist()) == {"champion"}
    filled(shop, flights.select(["id", "late"]).slice(0, 0), "outcomes")
    with sqlite3.connect(shop) as connection:
        connection.execute("INSERT INTO outcomes VALUES (7000, NULL)")
    assert labels(spec, store).rows == 0, "an outcome that is not known yet is no label"
    asked(shop, "DELETE FROM outcomes")
    filled(shop, flights.select(["id", "late"]), "outcomes")
    brought = labels(spec, store)
    assert (brought.rows, brought.new, brought.bad) == (300, 300, 0)
    joined = join(spec, store)
    assert (joined.predictions, joined.labelled, joined.unknown) == (300, 300, 0)
    assert joined.value is not None
    assert labels(spec, store).new == 0


def test_a_second_trigger_writes_nothing_twice(shop: Path, flights: pa.Table, champion: Champion, store: Store) -> None:
    filled(shop, flights.drop(["late"]))
    spec = champion(**job(shop))
    first = score(spec, store)
    again = score(spec, store)
    assert (again.run, again.reused) == (first.run, True)
    assert asked(shop, "SELECT count(*) FROM scores") == [(300,)]
    with sqlite3.connect(shop) as connection:
        connection.execute("DELETE FROM scores")
    third = score(spec, store)
    assert (third.reused, third.captured) == (False, 300)
    assert score(spec, store).run == third.run
    assert asked(shop, "SELECT count(*) FROM scores") == [(300,)]
    assert sum(pq.read_metadata(one).num_rows for one in store.tables.paths(spec.name, "predictions")) == 300


def test_the_table_holds_the_newest_run_alone(shop: Path, flights: pa.Table, champion: Champion, store: Store) -> None:
    filled(shop, flights.drop(["late"]))
    url = f"sqlite:///{shop}"
    spec = champion(**job(shop, table={"url": url, "table": "scores", "mode": "replace"}))
    first = score(spec, store)
    with sqlite3.connect(shop) as connection:
        connection.execute("DELETE FROM flights WHERE id >= 7100")
    assert score(spec, store).rows == 100
    assert asked(shop, "SELECT count(*), max(id) FROM scores") == [(100, 7099)]
    filled(shop, flights.drop(["late"]).slice(100))
    third = score(spec, store)
    assert (third.reused, third.run != first.run) == (False, True)
    assert asked(shop, "SELECT count(*), count(DISTINCT run) FROM scores") == [(300, 1)]


def test_only_what_is_new_by_the_watermark_is_answered(
    shop: Path, flights: pa.Table, champion: Champion, store: Store
) -> None:
    source = {"type": "sql", "url": f"sqlite:///{shop}", "table": "flights", "watermark": "id"}
    filled(shop, flights.drop(["late"]).slice(0, 200))
    spec = champion(**job(shop, source=source, table=None))
    assert score(spec, store).rows == 200
    nothing = score(spec, store)
    assert (nothing.rows, nothing.sentence) == (0, "score.source has nothing new; nothing was written.")
    filled(shop, flights.drop(["late"]).slice(200))
    assert score(spec, store).rows == 100
    assert score(spec, store).rows == 0
    assert score(spec, store, every=True, output=str(shop.parent / "all.csv")).rows == 300
    ids = [one for path in store.tables.paths(spec.name, "scores") for one in pq.read_table(path)["id"].to_pylist()]
    assert sorted(ids) == flights["id"].to_pylist()


def test_what_is_captured_follows_the_policy(shop: Path, flights: pa.Table, champion: Champion, store: Store) -> None:
    filled(shop, flights.drop(["late"]))
    policy = {"sample": 0.5, "redact": ["carrier"]}
    spec = champion(**job(shop), deploy={"target": {"type": "local"}, "capture": policy})
    done = score(spec, store)
    assert 90 < done.captured < 210
    (path,) = store.tables.paths(spec.name, "predictions")
    captured = pq.read_table(path)
    assert [field.name for field in captured.schema.field("inputs").type] == ["distance", "hour"]
    assert set(captured["redacted"].to_pylist()) == {'["carrier"]'}
    off = spec.model_copy(update={"score": spec.score.model_copy(update={"capture": False})})  # type: ignore[union-attr]
    assert score(off.at(spec.folder), store).captured == 0


def test_what_a_table_held_before_is_the_newest_again(
    shop: Path, flights: pa.Table, champion: Champion, store: Store
) -> None:
    filled(shop, flights.drop(["late"]))
    spec = champion(**job(shop))
    runs = []
    for change in ("distance = distance", "hour = hour + 1", "hour = hour - 1"):
        asked(shop, f"UPDATE flights SET {change}")
        runs.append(score(spec, store).run)
        assert score(spec, store).run == runs[-1]
    assert len(set(runs)) == 3
    assert asked(shop, "SELECT run, count(*) FROM scores GROUP BY run ORDER BY min(rowid)") == [
        (run, 300) for run in runs
    ]


def test_all_of_a_source_again_is_captured_once(
    shop: Path, flights: pa.Table, champion: Champion, store: Store
) -> None:
    source = {"type": "sql", "url": f"sqlite:///{shop}", "table": "flights", "watermark": "id"}
    filled(shop, flights.drop(["late"]).slice(0, 200))
    spec = champion(**job(shop, source=source))
    assert score(spec, store).captured == 200
    filled(shop, flights.drop(["late"]).slice(200))
    assert score(spec, store).captured == 100
    again = score(spec, store, every=True)
    assert (again.rows, again.captured) == (300, 0)


def test_what_is_new_is_so_for_each_output(shop: Path, flights: pa.Table, champion: Champion, store: Store) -> None:
    source = {"type": "sql", "url": f"sqlite:///{shop}", "table": "flights", "watermark": "id"}
    filled(shop, flights.drop(["late"]))
    spec = champion(**job(shop, source=source))
    aside = score(spec, store, output=str(shop.parent / "aside.csv"))
    assert (aside.rows, aside.captured) == (300, 0)
    assert (score(spec, store).rows, score(spec, store).rows) == (300, 0)
    patient = champion(**job(shop, source={**source, "timeout": 99}))
    assert score(patient, store).rows == 0, "how it is read is not what is read"
    assert asked(shop, "SELECT count(*) FROM scores") == [(300,)]


def test_a_job_without_a_key_for_late_rows_says_so(shop: Path, make_spec: Any) -> None:
    source = {"type": "sql", "url": f"sqlite:///{shop}", "table": "flights", "watermark": "id", "overlap": 5}
    with pytest.raises(SpecError, match="rows of the overlap would be answered twice"):
        make_spec(**job(shop, source=source))


def test_truth_values_of_a_query_are_numbers(shop: Path, champion: Champion, store: Store) -> None:
    spec = champion(
        inputs=["distance", "late"],
        target="delay",
        task="regression",
        evaluate={"metric": "rmse", "bootstrap": 50, "min_slice": 20},
        train={"trainer": {"type": "sklearn", "estimator": "sklearn.linear_model.Ridge"}},
    )
    rows = pa.table({"id": [1, 2, 3, 4], "distance": [0.5] * 4, "late": [0, 1, 2, None]})
    pq.write_table(rows, shop.parent / "in.parquet")
    done = score(spec, store, path=str(shop.parent / "in.parquet"), output=str(shop.parent / "out.parquet"))
    assert (done.errors, done.problems[0]) == (2, "late: '2' is not true or false")
    words = pa.table({"id": [1, 2], "distance": [0.5] * 2, "late": [False, True]})
    pq.write_table(words, shop.parent / "words.parquet")
    score(spec, store, path=str(shop.parent / "words.parquet"), output=str(shop.parent / "said.parquet"))
    answers = [pq.read_table(shop.parent / name)["prediction"].to_pylist() for name in ("out.parquet", "said.parquet")]
    assert answers[0][:2] == answers[1]


def test_names_that_a_database_cannot_tell_apart_are_cut() -> None:
    long = "probability " + "Credit reporting, credit repair services, or other personal consumer reports"
    names = names_within(["id", f"{long} - A", f"{long} - B", "probability a", "probability A"], "postgresql")
    assert [len(name.encode()) <= 63 for name in names] == [True] * 5
    assert len({name.casefold() for name in names}) == 5
    assert names[3] == "probability a"
    assert names_within([long], "sqlite") == [long]


@pytest.mark.parametrize(
    ("kind", "value", "good"),
    [
        ("TIMESTAMP", "2024-01-13T12:30:00Z", True),
        ("TIMESTAMP", "2024-01-13 12:30", True),
        ("TIMESTAMP", "noon", False),
        ("DATE", "2024-03-21 00:00", True),
        ("DATE", "2024-03-21 13:00", False),
        ("VARCHAR", "007", True),
        ("BIGINT", "7.0", True),
        ("BIGINT", "x", False),
    ],
)
def test_keys_of_labels_are_read_by_the_types_of_the_data(
    kind: str, value: str, good: bool, store: Store, make_spec: Any, make_rows: Any, committed: Any, release: Any
) -> None:
    plain = {"TIMESTAMP": datetime(2024, 1, 13, 12, 30), "DATE": date(2024, 3, 21), "VARCHAR": "007", "BIGINT": 7}  # noqa: DTZ001
    spec = make_spec(
        data={"source": {"type": "files", "path": "*.csv"}, "time": "day", "key": ["place"]},
        score={"source": {"type": "files", "path": "new/*.parquet"}},
    )
    dataset = committed(spec, make_rows(600, place=pa.array([plain[kind]] * 600)))
    store.ledger.append("deployment.finished", spec.name, {"version": release(spec, dataset=dataset.id).version})
    rows = pa.table({"place": pa.array([plain[kind]]), "hour": [3], "carrier": ["A"], "distance": [0.5]})
    (spec.folder / "new").mkdir()
    pq.write_table(rows, spec.folder / "new/rows.parquet")
    assert score(spec, store).captured == 1
    (spec.folder.parent / "labels.csv").write_text(f"place,label\n{value},true\n{value},true\n")
    if not good:
        with pytest.raises(DataError, match="none of 2 labels is usable"):
            labels(spec, store, spec.folder.parent / "labels.csv")
        return
    assert labels(spec, store, spec.folder.parent / "labels.csv").new == 1
    assert join(spec, store).labelled == 1


@pytest.mark.parametrize(
    ("made", "code", "words"),
    [
        ("CREATE TABLE scores (id INTEGER, score REAL)", "score_output_other", "lacks the column 'run'"),
        (
            "CREATE TABLE scores (run, prediction_id, id, prediction, probability, version, warnings, error, scored_at,"
            " batch TEXT NOT NULL)",
            "score_output_other",
            "wants a value in 'batch'",
        ),
        (
            "CREATE TABLE scores (run, prediction_id, id, prediction, probability CHECK (probability > 2), version,"
            " warnings, error, scored_at)",
            "source_write_refused",
            "nothing was written",
        ),
    ],
)
def test_a_table_that_is_another_is_left_as_it_is(
    made: str, code: str, words: str, shop: Path, flights: pa.Table, champion: Champion, store: Store
) -> None:
    filled(shop, flights.drop(["late"]))
    asked(shop, made)
    spec = champion(**job(shop))
    with pytest.raises(SlipstreamError, match=words) as raised:
        score(spec, store)
    assert raised.value.code == code
    assert asked(shop, "SELECT count(*) FROM scores") == [(0,)]
    assert store.tables.paths(spec.name, "predictions") == [], "what reached nobody is not captured"
    assert not [event for event in store.ledger.read(model=spec.name) if event.topic == "score"]


def test_wrong_places_are_told_before_anything_is_answered(shop: Path, champion: Champion, store: Store) -> None:
    spec = champion()
    there = {"url": f"sqlite:///{shop.parent}/none.db", "table": "scores"}
    with pytest.raises(SourceError, match="there is no SQLite database"):
        score(spec, store, output=score_table(there))
    with pytest.raises(SpecError, match="not to trino"):
        score(spec, store, output=score_table({"url": "trino://h/d", "table": "scores"}))
    with pytest.raises(SpecError, match=r"table\.mode: .*'append' or 'replace'"):
        score_table({**there, "mode": "upsert"})
    empty, table = shop.parent / "in.csv", score_table({**there, "url": f"sqlite:///{shop}"})
    empty.write_text("id,hour,carrier,distance\n")
    with pytest.raises(DataError, match="holds no rows"):
        score(spec, store, path=str(empty), output=table)
