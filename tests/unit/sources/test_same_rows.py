"""The same rows, whichever way they come, are the same rows of the data table, in the same types."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter
from deltalake import write_deltalake

from slipstream.spec.model import ModelSpec
from slipstream.stages.ingest import ingest
from slipstream.stages.validate import validate
from slipstream.store import Store
from slipstream.store.datasets import DATA, load_dataset
from tests.web_server import Site, serving

Make = Callable[..., ModelSpec]


def drawn(seed: int, count: int = 60) -> dict[str, list[Any]]:
    """Columns of every type, with gaps; what Excel cannot hold is not among them."""
    draw = random.Random(seed)
    begin = datetime(2024, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    words = ["Zürich", "a,b;c", 'it\'s "so"', "x" * 60, " blank ", "line\nbreak"]

    def some(make: Callable[[], Any]) -> list[Any]:
        return [make() if draw.random() < 0.85 else None for _ in range(count)]

    return {
        "id": list(range(2000, 2000 + count)),
        "year": some(lambda: draw.randint(1990, 2030)),
        "large": some(lambda: draw.randint(-(10**14), 10**14)),
        "x": [0.5, *some(lambda: round(draw.gauss(0, 1000), 6))[1:]],
        "word": [words[0], *some(lambda: draw.choice(words))[1:]],
        "paid": [True, *some(lambda: draw.random() < 0.5)[1:]],
        "day": some(lambda: date(2024, 1, 1) + timedelta(days=draw.randint(0, 400))),
        "moment": [begin, *some(lambda: begin + timedelta(seconds=draw.randint(1, 10**7)))[1:]],
        "nothing": [None] * count,
    }


def as_csv(columns: dict[str, list[Any]]) -> bytes:
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    target = io.StringIO()
    table.to_pandas(date_as_object=True, integer_object_nulls=True).to_csv(target, index=False)
    return target.getvalue().encode()


def as_excel(columns: dict[str, list[Any]]) -> bytes:
    content = io.BytesIO()
    with xlsxwriter.Workbook(content, {"in_memory": True}) as book:
        sheet = book.add_worksheet("Rows")
        formats = {date: book.add_format({"num_format": "yyyy-mm-dd"})}
        formats[datetime] = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        for place, (name, values) in enumerate(columns.items()):
            sheet.write(0, place, name)
            for number, value in enumerate(values, start=1):
                sheet.write(number, place, value, formats.get(type(value)))
    return content.getvalue()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("SLIPSTREAM_SOURCE_HOSTS", "127.0.0.1")
    with serving() as made:
        yield made


def test_the_same_rows_are_the_same_table_whichever_way_they_come(
    make_spec: Make, store: Store, site: Site, tmp_path: Path
) -> None:
    columns = drawn(1)
    content, table = as_csv(columns), pa.table(columns)
    table = table.set_column(8, "nothing", pa.nulls(table.num_rows, pa.string()))
    with zipfile.ZipFile(tmp_path / "rows.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.csv", content)
    (tmp_path / "rows.csv").write_bytes(content)
    (tmp_path / "rows.xlsx").write_bytes(as_excel(columns))
    pq.write_table(table, tmp_path / "rows.parquet")
    write_deltalake(tmp_path / "table", table.slice(0, 20))
    write_deltalake(tmp_path / "table", table.slice(20), mode="append")
    site.pages |= {"/rows.csv": content, "/rows.xlsx": as_excel(columns)}
    sources: list[dict[str, Any]] = [
        {"type": "files", "path": str(tmp_path / f"rows.{ending}")} for ending in ("csv", "zip", "xlsx", "parquet")
    ]
    sources += [{"type": "delta", "path": str(tmp_path / "table")}]
    sources += [{"type": "http", "url": f"{site.url}/rows.{ending}"} for ending in ("csv", "xlsx")]
    tables = [committed(make_spec(name=f"way{way}", **model(one)), store) for way, one in enumerate(sources)]
    for source, found in zip(sources, tables, strict=True):
        assert found == tables[0], source
    names, rows = tables[0]
    kinds = dict(names)
    expected = {
        "id": "BIGINT",
        "year": "BIGINT",
        "large": "BIGINT",
        "x": "DOUBLE",
        "word": "VARCHAR",
        "paid": "BOOLEAN",
    }
    assert {name: kinds[name] for name in expected} == expected
    assert (kinds["day"], kinds["moment"]) == ("DATE", "TIMESTAMP")
    assert rows == [tuple(columns[name][number] for name, _ in names) for number in range(len(columns["id"]))]


def model(source: dict[str, Any]) -> dict[str, Any]:
    return {
        "task": "regression",
        "target": "x",
        "inputs": ["year"],
        "data": {"source": source, "key": ["id"]},
        "train": {"trainer": {"type": "sklearn", "estimator": "sklearn.linear_model.Ridge"}},
        "evaluate": {"metric": "mae"},
    }


def committed(spec: ModelSpec, store: Store) -> tuple[list[tuple[str, str]], list[tuple[Any, ...]]]:
    """Name and type of the columns of the data table, and its rows in the order of their ids."""
    validate(spec, store, ingest(spec, store).batch)
    dataset = load_dataset(
        store.objects, store.ledger.state(), spec.name, store.ledger.state().model(spec.name).dataset
    )
    places = store.tables.local_files(spec.name, DATA, dataset.files)
    rows = duckdb.read_parquet([str(place) for place in places]).order("id")
    return [(name, str(kind)) for name, kind in zip(rows.columns, rows.types, strict=True)], rows.fetchall()
