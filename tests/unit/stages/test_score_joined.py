"""Batch scoring brings inputs of joined tables by the very join of training."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from slipstream.errors import DataError
from slipstream.spec.model import ModelSpec
from slipstream.stages.ingest import ingest
from slipstream.stages.score import score
from slipstream.stages.validate import validate
from slipstream.store import Store
from slipstream.store.datasets import load_dataset, read_dataset

START = datetime(2024, 1, 1)  # noqa: DTZ001 - event times of the data have no zone


@pytest.fixture
def joined(store: Store, make_spec: Callable[..., ModelSpec], release: Callable[..., Any]) -> ModelSpec:
    """A champion whose inputs temp and wind are joined by station, trained on 400 rows."""
    weather = {
        "source": {"type": "files", "path": "weather*.csv"},
        "key": {"origin": "station"},
        "time": "observed",
        "columns": ["temp", "wind"],
        "tolerance": "6h",
    }
    schema = {"at": {"type": "timestamp", "format": "%d.%m.%Y %H:%M"}}
    source = {"type": "files", "path": "rows*.csv"}
    data = {"source": source, "time": "at", "key": ["id"], "schema": schema, "join": {"weather": weather}}
    spec = make_spec(target="late", inputs=["origin", "temp", "wind"], data=data)
    draw = random.Random(5)
    lines = []
    for number in range(400):
        at = START + timedelta(minutes=90 * number)
        late = str(draw.random() < 0.4).lower()
        lines.append(f"{number},{at:%d.%m.%Y %H:%M},{draw.choice('ABC')},{late}\n")
    (spec.folder / "rows.csv").write_text("id,at,origin,late\n" + "".join(lines))
    lines = [f"A,{START - timedelta(hours=1)},1.5,\n"]
    for _ in range(900):
        observed = START + timedelta(minutes=30 * draw.randrange(1300))
        wind = draw.choice(["calm", "storm", ""])
        lines.append(f"{draw.choice('AB')},{observed},{draw.uniform(-9, 30):.2f},{wind}\n")
    (spec.folder / "weather.csv").write_text("station,observed,temp,wind\n" + "".join(lines))
    packaged = release(spec, dataset=validate(spec, store, ingest(spec, store).batch).dataset)
    store.ledger.append("deployment.finished", spec.name, {"version": packaged.version})
    return spec


def committed_rows(store: Store, spec: ModelSpec) -> Any:
    state = store.ledger.state()
    dataset = load_dataset(store.objects, state, spec.name, str(state.model(spec.name).dataset))
    with duckdb.connect() as connection:
        return read_dataset(store.tables, dataset, connection).to_arrow_table()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_file_gets_the_columns_that_training_had(
    ending: str, joined: ModelSpec, store: Store, tmp_path: Path
) -> None:
    rows = committed_rows(store, joined)
    assert 0 < rows["temp"].null_count < rows.num_rows
    if ending == "csv":
        (tmp_path / "in.csv").write_bytes((joined.folder / "rows.csv").read_bytes())
    else:
        pq.write_table(rows.drop_columns(["temp", "wind"]), tmp_path / "in.parquet")
    pq.write_table(rows, tmp_path / "whole.parquet")
    done = score(joined, store, path=str(tmp_path / f"in.{ending}"), output=str(tmp_path / "brought.parquet"))
    score(joined, store, path=str(tmp_path / "whole.parquet"), output=str(tmp_path / "given.parquet"))
    score(joined, store, output=str(tmp_path / "dataset.parquet"))
    assert (done.rows, done.errors) == (400, 0)
    brought, given, dataset = (
        pq.read_table(tmp_path / f"{name}.parquet", columns=["id", "prediction", "probability", "warnings"])
        for name in ("brought", "given", "dataset")
    )
    assert brought.equals(given)
    assert brought.equals(dataset)


def test_values_of_the_file_itself_count_and_a_bad_time_is_a_rows_error(
    joined: ModelSpec, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text("id,at,origin,temp\n1,05.01.2024 10:00,A,99\n2,noon,A,99\n3,,A,99\n")
    done = score(joined, store, path=str(tmp_path / "in.csv"), output=str(tmp_path / "out.parquet"))
    assert (done.rows, done.problems) == (3, ("at: 'noon' is not a time such as 31.12.2024 23:59",))
    warnings = pq.read_table(tmp_path / "out.parquet")["warnings"].to_pylist()
    assert "temp: 99.0 lies outside" in warnings[0]


def test_new_rows_of_the_table_are_another_run(joined: ModelSpec, store: Store, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,at,origin\n1,05.01.2025 10:00,A\n")
    first = score(joined, store, path=str(tmp_path / "in.csv"), output=str(tmp_path / "out.parquet"))
    before = pq.read_table(tmp_path / "out.parquet")["probability"].to_pylist()
    assert score(joined, store, path=str(tmp_path / "in.csv"), output=str(tmp_path / "out.parquet")).reused
    (joined.folder / "weather2.csv").write_text("station,observed,temp,wind\nA,2025-01-05 09:00,30,storm\n")
    assert ingest(joined, store).empty
    second = score(joined, store, path=str(tmp_path / "in.csv"), output=str(tmp_path / "out.parquet"))
    assert second.run != first.run
    assert pq.read_table(tmp_path / "out.parquet")["probability"].to_pylist() != before


def test_a_file_without_event_time_or_key_is_refused(joined: ModelSpec, store: Store, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,att,origin\n1,2024-01-05 10:00,A\n")
    with pytest.raises(DataError, match=r"data\.join\.weather column 'at' is needed; did you mean 'att'") as refusal:
        score(joined, store, path=str(tmp_path / "in.csv"))
    assert refusal.value.code == "rows_columns_missing"


def test_a_version_is_scored_by_the_join_of_its_training(
    joined: ModelSpec, store: Store, make_spec: Callable[..., ModelSpec], tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_bytes((joined.folder / "rows.csv").read_bytes())
    score(joined, store, path=str(tmp_path / "in.csv"), output=str(tmp_path / "then.parquet"))
    plain = joined.model_dump(mode="json")["data"]
    plain["join"]["weather"]["tolerance"] = "30m"
    edited = make_spec(target="late", inputs=["origin", "temp", "wind"], data=plain)
    score(edited, store, path=str(tmp_path / "in.csv"), output=str(tmp_path / "now.parquet"))
    then, now = (pq.read_table(tmp_path / name)["probability"] for name in ("then.parquet", "now.parquet"))
    assert then.equals(now)
