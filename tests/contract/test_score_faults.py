"""Batch scoring that is killed, that races, or whose disk is full: nothing is lost, doubled or seen by half."""

from __future__ import annotations

import os
import resource
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slipstream.errors import SlipstreamError
from slipstream.spec.loader import load_spec
from slipstream.spec.model import ModelSpec
from slipstream.stages.score import score
from slipstream.store import Store
from tests.forked import FORKED

ROWS = 600
POINTS = ("score.begin", "score.written", "files.rename", "score.worked", "ledger.before_commit", "score.committed")


def work(folder: Path, url: str, point: str, told: Path, arguments: dict[str, str]) -> None:
    """In a process of its own: score, dying at *point* if there is one; of an error its code is left in *told*."""
    os.environ["SLIPSTREAM_FAULTPOINT"] = point
    if point == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        score(load_spec(folder), Store.open(url), **arguments)  # type: ignore[arg-type]
    except SlipstreamError as error:
        told.write_text(f"{error.code}: {error}")


def run(spec: ModelSpec, store: Store, tmp_path: Path, point: str = "", **arguments: str) -> int | None:
    told = tmp_path / "told"
    worker = FORKED.Process(target=work, args=(spec.folder, store.url, point, told, arguments))
    worker.start()
    worker.join(120)
    return worker.exitcode


def ids(store: Store) -> list[int]:
    files = store.tables.paths("small", "scores")
    return [one for file in files for one in pq.read_table(file)["id"].to_pylist()]


def events(store: Store) -> list[Any]:
    return [event for event in store.ledger.read(model="small") if event.topic == "score"]


@pytest.mark.parametrize("point", [*POINTS, "tables.before_commit:2", "tables.after_commit:2"])
def test_a_scoring_into_the_table_that_is_killed(point: str, champion: Any, store: Store, tmp_path: Path) -> None:
    spec = champion()
    assert run(spec, store, tmp_path, point) == -signal.SIGKILL
    assert len(ids(store)) in {0, ROWS}
    done = score(spec, store)
    assert (done.rows, done.files, done.skipped) == (ROWS, 1, 0)
    assert sorted(ids(store)) == list(range(ROWS))
    assert len(events(store)) == 1


@pytest.mark.parametrize("ending", ["parquet", "csv"])
@pytest.mark.parametrize("point", POINTS)
def test_a_scoring_into_a_file_that_is_killed(
    point: str, ending: str, champion: Any, store: Store, tmp_path: Path
) -> None:
    spec = champion()
    place = tmp_path / "out" / f"answers.{ending}"
    assert run(spec, store, tmp_path, point, output=str(place)) == -signal.SIGKILL
    assert not place.exists() or rows_of(place) == ROWS
    assert score(spec, store, output=str(place)).rows == ROWS
    assert rows_of(place) == ROWS
    assert len(events(store)) == 1


def rows_of(place: Path) -> int:
    return pq.read_metadata(place).num_rows if place.suffix == ".parquet" else len(place.read_text().splitlines()) - 1


def test_scorers_at_once_answer_each_row_once(
    champion: Any, store: Store, committed: Any, make_rows: Any, tmp_path: Path
) -> None:
    spec = champion()
    inputs = tmp_path / "in"
    inputs.mkdir()
    for number in range(4):
        pq.write_table(make_rows(100, seed=number, first=100 * number), inputs / f"{number}.parquet")
    # They overlap: each reads one file more than the one before.
    workers = [
        FORKED.Process(target=work, args=(spec.folder, store.url, "", tmp_path / f"told-{last}", {"path": path}))
        for last, path in enumerate(f"{inputs}/[0-{last}].parquet" for last in (1, 2, 3, 3))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert [file.read_text() for file in tmp_path.glob("told-*")] == []
    assert Counter(ids(store)) == Counter(range(400))
    assert sum(event.content.result.rows for event in events(store)) == 400


@pytest.mark.parametrize("output", ["", "out/answers.parquet", "out/answers.csv"])
def test_a_disk_that_is_full_is_an_error_and_nothing_else(
    output: str, champion: Any, store: Store, make_rows: Any, tmp_path: Path
) -> None:
    spec = champion()
    source = tmp_path / "in.parquet"
    pq.write_table(make_rows(20_000, seed=4), source)
    place = str(tmp_path / output) if output else ""
    assert run(spec, store, tmp_path, "full", path=str(source), output=place) == 0
    told = (tmp_path / "told").read_text()
    assert told.startswith("storage_not_writable: ")
    assert "cannot be written" in told
    assert ids(store) == []
    assert not (tmp_path / "out").exists()
    assert events(store) == []
    assert score(spec, store, path=str(source), output=place).rows == 20_000


def test_a_table_whose_columns_are_of_other_types_is_refused(champion: Any, store: Store) -> None:
    spec = champion()
    store.tables.append("small", "scores", pa.table({"id": ["a", "b"], "prediction": [True, False]}), "mine")
    with pytest.raises(SlipstreamError, match="column 'id' holds string there and long in the new rows") as caught:
        score(spec, store)
    assert caught.value.code == "table_types_differ"
    assert ids(store) == ["a", "b"]
    assert events(store) == []
