"""The point-in-time join: equal to a naive one on random tables, never from the future, and repeatable."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slipstream.data.batch import load_batch
from slipstream.data.joins.table import DELIVERY, load_joined
from slipstream.errors import DataError, SlipstreamError
from slipstream.spec.model import ModelSpec
from slipstream.stages.ingest import ingest
from slipstream.stages.rebuild import rebuild
from slipstream.stages.validate import validate
from slipstream.store import Store
from slipstream.store.datasets import load_dataset, read_dataset

MakeSpec = Callable[..., ModelSpec]
START = datetime(2024, 1, 1)  # noqa: DTZ001 - event times of the data have no zone
HEAD = "station,observed,temp\n"


def joining(make_spec: MakeSpec, data: dict[str, Any] | None = None, **table: Any) -> ModelSpec:
    """A model whose rows get ``temp`` of the station at their origin."""
    source = {"type": "files", "path": "weather*"}
    weather = {"source": source, "key": {"origin": "station"}, "time": "observed", "columns": ["temp"], **table}
    said = {"source": {"type": "files", "path": "rows*"}, "time": "at", "key": ["id"], **(data or {})}
    return make_spec(target="y", inputs=["x"], data={**said, "join": {"weather": weather}})


def rows_of(store: Store, spec: ModelSpec) -> list[tuple[Any, ...]]:
    """``(id, temp)`` of the newest dataset version, in its order."""
    state = store.ledger.state()
    dataset = load_dataset(store.objects, state, spec.name, str(state.model(spec.name).dataset))
    with duckdb.connect() as connection:
        return read_dataset(store.tables, dataset, connection).project("id, temp").fetchall()


def take(spec: ModelSpec, store: Store) -> tuple[str, ...]:
    """Ingest and commit; the notes of the ingest."""
    done = ingest(spec, store)
    validate(spec, store, done.batch)
    return done.notes


def deliver(spec: ModelSpec, number: int, *rows: str) -> None:
    lines = "".join(f"{row},{at % 3},{str(at % 2 == 0).lower()}\n" for at, row in enumerate(rows))
    (spec.folder / f"rows{number}.csv").write_text(f"id,at,origin,x,y\n{lines}")


Row = tuple[Any, ...]


def naive(rows: list[Row], known: list[Row], tolerance: timedelta | None, delay: timedelta) -> list[Row]:
    """``(id, value)`` of each ``(id, at, key)``, from ``(key, time, value)`` in the order in which they came."""
    joined = []
    for number, at, key in rows:
        best: tuple[Any, ...] | None = None
        for arrival, (station, time, value) in enumerate(known):
            if at is None or time is None or key is None or station is None or key != station:
                continue
            since = time + delay
            recent = tolerance is None or since >= at - tolerance
            if since <= at and recent and (best is None or (since, arrival) > best[:2]):
                best = (since, arrival, value)
        joined.append((number, best[2] if best else None))
    return joined


def drawn(draw: random.Random, count: int, first: int) -> tuple[list[Row], list[Row]]:
    """Rows and rows to join of few stations and few moments: ties, duplicates and edges abound."""
    moments = [START + timedelta(minutes=30 * step) for step in range(14)]
    stations = ["A", "B", "C", None]
    rows = [(first + at, draw.choice(moments), draw.choice(stations)) for at in range(count)]
    values = [1.5, 2.5, -3.0, 0.0, None]
    known = [
        (draw.choice(stations), draw.choice([*moments, None]), draw.choice(values))
        for _ in range(draw.randrange(1, count))
    ]
    return rows, known


def write(folder: Path, name: str, columns: dict[str, Any]) -> None:
    pq.write_table(pa.table(columns), folder / f"{name}.parquet")


@pytest.mark.parametrize("seed", range(5))
def test_it_is_what_a_naive_join_finds(seed: int, store: Store, make_spec: MakeSpec) -> None:
    draw = random.Random(seed)
    tolerance = draw.choice([None, "30m", "1h", "2h"])
    delay = draw.choice([None, "30m", "45m"])
    options = {name: text for name, text in (("tolerance", tolerance), ("delay", delay)) if text}
    spec = joining(make_spec, **options)
    join = spec.data.join["weather"]
    rows, known, expected = [], [], []
    for delivery in range(3):
        new, came = drawn(draw, 60, first=100 * delivery)
        # What came before comes again: it is known, and changes nothing.
        again = known[-5:] if delivery else []
        known += came
        stations, times, values = zip(*again, *came, strict=True)
        known_columns = {
            "station": pa.array(stations, pa.string()),
            "observed": pa.array(times, pa.timestamp("us")),
            "temp": pa.array(values, pa.float64()),
        }
        write(spec.folder, f"weather{delivery}", known_columns)
        ids, moments, origins = zip(*new, strict=True)
        columns = {"id": ids, "at": pa.array(moments, pa.timestamp("us")), "origin": pa.array(origins, pa.string())}
        write(spec.folder, f"rows{delivery}", columns | {"x": ids, "y": [number % 2 == 0 for number in ids]})
        take(spec, store)
        rows += new
        expected += naive(new, known, join.tolerance, join.delay or timedelta(0))
    assert rows_of(store, spec) == expected
    rebuild(spec, store)
    assert rows_of(store, spec) == naive(rows, known, join.tolerance, join.delay or timedelta(0))


def test_a_value_of_later_is_never_taken_and_of_its_very_moment_is(store: Store, make_spec: MakeSpec) -> None:
    spec = joining(make_spec, tolerance="6h")
    (spec.folder / "weather.csv").write_text(f"{HEAD}A,2024-01-01T10:00:00.000001Z,9\nA,2024-01-01 04:00,4\n")
    deliver(spec, 1, "1,2024-01-01 10:00:00,A", "2,2024-01-01 10:00:00.000001,A", "3,2024-01-01T12:00+02:00,A",
            "4,2024-01-01 16:00:00.000002,A")  # fmt: skip
    take(spec, store)
    assert rows_of(store, spec) == [(1, 4), (2, 9), (3, 4), (4, None)]


def test_of_one_key_and_time_the_row_that_came_last_counts(store: Store, make_spec: MakeSpec) -> None:
    spec = joining(make_spec)
    (spec.folder / "weather1.csv").write_text(f"{HEAD}A,2024-01-01,1\nA,2024-01-01,2\n,2024-01-01,3\nA,,4\n")
    deliver(spec, 1, "1,2024-01-02,A", "2,2024-01-02,")
    notes = take(spec, store)
    assert notes == (
        "data.join.weather: 2 rows without a time or a part of the key are left out.",
        "data.join.weather: 1 row has the key and the time of a later one of the same delivery, which counts.",
        "data.join.weather: 1 of 2 rows gets a value of its 1 row.",
    )
    (spec.folder / "weather2.csv").write_text(f"{HEAD}A,2024-01-01,5\n")
    deliver(spec, 2, "3,2024-01-02,A")
    take(spec, store)
    # The correction holds from then on; what was committed stays, until somebody asks for a rebuild.
    assert rows_of(store, spec) == [(1, 2), (2, None), (3, 5)]
    assert rebuild(spec, store).rows == 3
    assert rows_of(store, spec) == [(1, 5), (2, None), (3, 5)]
    assert rebuild(spec, store).reused


def test_each_row_is_kept_once_and_an_earlier_version_stays(store: Store, make_spec: MakeSpec) -> None:
    spec = joining(make_spec)
    (spec.folder / "weather.csv").write_text(f"{HEAD}A,2024-01-01,1\n")
    deliver(spec, 1, "1,2024-01-03,A")
    take(spec, store)
    first = load_batch(
        store, spec.name, str(store.ledger.state().model(spec.name).latest["ingest"].content.result.batch)
    )
    (spec.folder / "weather.csv").write_text(f"{HEAD}A,2024-01-01,1\nA,2024-01-02,2.5\n")
    assert ingest(spec, store).empty
    events = store.ledger.read(kind="joined.committed")
    assert [(event.data["rows"], event.data["added"]) for event in events] == [(1, 1), (2, 1)]
    table = load_joined(spec, store, "weather", first.joined["weather"])
    with duckdb.connect() as connection:
        assert table.read(store, connection).fetchall() == [("A", START.date(), 1, 0)]
        newest = duckdb.read_parquet(store.tables.paths(spec.name, "joined-weather"))
        assert newest.columns == ["station", "observed", "temp", DELIVERY]
        assert newest.project("temp").order("temp").fetchall() == [(1.0,), (2.5,)]
    assert ingest(spec, store).empty
    assert len(store.ledger.read(kind="joined.committed")) == 2


def test_equal_inputs_give_equal_batches(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = joining(make_spec)
    (spec.folder / "weather.csv").write_text(f"{HEAD}A,2024-01-01,1\n")
    deliver(spec, 1, "1,2024-01-03,A")
    stores = [Store.open((tmp_path / name).as_uri()) for name in ("one", "two")]
    done = [ingest(spec, store) for store in stores]
    assert done[0] == done[1]
    assert ingest(spec, stores[0]).reused
    (spec.folder / "weather2.csv").write_text(f"{HEAD}A,2024-01-02,1\n")
    assert ingest(spec, stores[0]).batch != done[0].batch


def test_one_table_is_joined_by_two_keys_and_features_see_both(store: Store, make_spec: MakeSpec) -> None:
    source = {"type": "files", "path": "weather*"}
    there = {"source": source, "key": {"dest": "station"}, "time": "observed", "columns": {"there": "temp"}}
    rate = {"source": source, "key": [], "time": "observed", "columns": {"newest": "temp"}}
    here = {"source": source, "key": {"origin": "station"}, "time": "observed", "columns": ["temp"]}
    data = {
        "source": {"type": "files", "path": "rows*"}, "time": "at", "key": ["id"], "features": "warmer",
        "join": {"here": here, "there": there, "rate": rate},
    }  # fmt: skip
    spec = make_spec(target="y", inputs=["rise"], data=data)
    (spec.folder / "features.py").write_text(
        "def warmer(rows):\n    return rows.project('id, \"at\", y, temp, there - temp AS rise, newest')\n"
    )
    (spec.folder / "weather.csv").write_text(f"{HEAD}A,2024-01-01,1\nB,2024-01-02,3\n")
    (spec.folder / "rows.csv").write_text("id,at,origin,dest,y\n1,2024-01-03,A,B,true\n2,2024-01-01,A,B,false\n")
    take(spec, store)
    state = store.ledger.state()
    dataset = load_dataset(store.objects, state, spec.name, str(state.model(spec.name).dataset))
    with duckdb.connect() as connection:
        rows = read_dataset(store.tables, dataset, connection).project("id, rise, newest").order("id").fetchall()
    assert rows == [(1, 2, 3), (2, None, 1)]


def test_a_table_of_which_nothing_matches_is_told(store: Store, make_spec: MakeSpec) -> None:
    spec = joining(make_spec)
    (spec.folder / "weather.csv").write_text(f"{HEAD}A,2024-01-01,1\n")
    deliver(spec, 1, "1,2023-01-03,A", "2,2024-01-03,Z")
    done = ingest(spec, store)
    assert "data.join.weather: none of the 2 rows gets a value" in done.notes[0]
    assert "none of the 2 rows" in validate(spec, store, done.batch).notes[0]


def test_what_decides_the_rows_of_the_table_reads_them_anew(store: Store, make_spec: MakeSpec) -> None:
    spec = joining(make_spec)
    (spec.folder / "weather.csv").write_text(f"{HEAD}A,2024-01-01,1\nB,2024-01-01,-999\n")
    deliver(spec, 1, "1,2024-01-03,A", "2,2024-01-03,B")
    take(spec, store)
    assert rows_of(store, spec) == [(1, 1), (2, -999)]
    spec = joining(make_spec, missing=["-999"])
    assert ingest(spec, store).empty
    assert store.ledger.read(kind="joined.committed")[-1].data["added"] == 2
    assert rows_of(store, spec) == [(1, 1), (2, -999)]
    rebuild(spec, store)
    assert rows_of(store, spec) == [(1, 1), (2, None)]


def test_many_deliveries_are_written_together(
    store: Store, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipstream.data.joins.take_in._FILES", 3)
    spec = joining(make_spec)
    deliver(spec, 1, "1,2024-01-09,A")
    for day in range(1, 6):
        (spec.folder / f"weather{day}.csv").write_text(f"{HEAD}A,2024-01-0{day},{day}\nB,2024-01-01,{day}\n")
        ingest(spec, store)
    versions = [event.data["joined"] for event in store.ledger.read(kind="joined.committed")]
    tables = [load_joined(spec, store, "weather", version) for version in versions]
    assert [(len(table.files), table.rows) for table in tables] == [(1, 2), (2, 4), (3, 6), (1, 8), (2, 10)]
    with duckdb.connect() as connection:
        assert [row[2] for row in tables[2].read(store, connection).fetchall()] == [1, 1, 2, 2, 3, 3]
    take(spec, store)
    assert rows_of(store, spec) == [(1, 5)]


ROW = "A,2024-01-01,1"
PLACE = "data.join.weather"
WRONG: list[tuple[dict[str, Any], str, str, str]] = [
    ({"columns": ["tmp"]}, ROW, "join_column_missing", "its rows have no column 'tmp'; did you mean 'temp'?"),
    ({"key": {"orgin": "station"}}, ROW, "join_column_missing", "before features.py; did you mean 'origin'?"),
    ({"key": {"id": "station"}}, ROW, "join_key_types", "'id' is BIGINT in the rows, and 'station' VARCHAR in"),
    ({"columns": {"X": "temp"}}, ROW, "join_column_clash", "call the joined one otherwise, such as {weather_X: temp}."),
    ({}, "A,noon,1", "data_time_invalid", f"time 'observed' is VARCHAR; write {PLACE}.schema: {{observed:"),
    ({"schema": {"temp": "integer"}}, "A,2024-01-01,warm", "data_value_unreadable", "1 row holds a value that its"),
    ({}, ",2024-01-01,1", "join_empty", "no row of its source has a time and a key"),
    ({"schema": {"tmp": "text"}}, ROW, "data_schema_unknown", f"{PLACE}.schema names column 'tmp'"),
    ({}, "A,03/04/2020,1", "data_doubtful", f"{PLACE}.schema: {{observed:"),
    ({"source": {"type": "files", "path": "none*"}}, ROW, "source_no_files", "source: no file matches"),
]


@pytest.mark.parametrize(
    ("table", "row", "code", "text"), WRONG, ids=[f"{one[2]}-{at}" for at, one in enumerate(WRONG)]
)
def test_what_cannot_be_joined_is_refused(
    table: dict[str, Any], row: str, code: str, text: str, store: Store, make_spec: MakeSpec
) -> None:
    spec = joining(make_spec, **table)
    (spec.folder / "weather.csv").write_text(f"{HEAD}{row}\n")
    deliver(spec, 1, "1,2024-01-03,A")
    with pytest.raises(SlipstreamError) as refusal:
        ingest(spec, store)
    assert (refusal.value.code, text in str(refusal.value)) == (code, True), str(refusal.value)
    assert PLACE in str(refusal.value)


def test_a_delivery_that_lacks_a_column_or_changes_its_type_is_refused(store: Store, make_spec: MakeSpec) -> None:
    spec = joining(make_spec)
    (spec.folder / "weather1.csv").write_text(f"{HEAD}A,2024-01-01,1\n")
    deliver(spec, 1, "1,2024-01-03,A")
    take(spec, store)
    (spec.folder / "weather2.csv").write_text("station,observed,tmp\nA,2024-01-02,1\n")
    with pytest.raises(DataError, match="its rows have no column 'temp'"):
        ingest(spec, store)
    (spec.folder / "weather2.csv").write_text(f"{HEAD}A,2024-01-02,warm\n")
    with pytest.raises(DataError, match=r"data\.join\.weather: 1 row holds a value that its column cannot: .*temp"):
        ingest(spec, store)
    assert len(store.ledger.read(kind="joined.committed")) == 1
