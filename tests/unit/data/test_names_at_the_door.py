"""What no table can hold of names is refused as the rows come in, by name; nothing is renamed without a word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slipstream.errors import DataError
from slipstream.spec.model import ModelSpec
from slipstream.stages.ingest import ingest
from slipstream.stages.validate import validate
from slipstream.store import Store

MakeSpec = Callable[..., ModelSpec]
TWO = {"x": [1.0, 2.0], "late": [True, False]}
SOURCE = (
    "import duckdb, pyarrow.parquet as pq\nfrom pathlib import Path\nFILE = Path(__file__).with_name('0.parquet')\n"
)


def columns_of(spec: ModelSpec, store: Store) -> list[str]:
    found: Any = store.objects.get_json(ingest(spec, store).batch)
    return [name for name, _ in found["columns"]]


def refusal(spec: ModelSpec, store: Store) -> tuple[str, str]:
    with pytest.raises(DataError) as refused:
        ingest(spec, store)
    return refused.value.code, str(refused.value)


@pytest.mark.parametrize(
    ("names", "code", "said"),
    [
        (["", "a"], "data_column_unnamed", "column 3 has no name"),
        (["a\0b", "a"], "data_column_unnamed", "column 3 has a NUL byte in its name"),
        (["City", "city"], "data_column_twice", "'City' and 'city' differ by case only"),
        (["X", "a"], "data_column_twice", "'x' and 'X' differ by case only"),
        (["a", "a"], "data_column_twice", "'a' and 'a' are called the same"),
    ],
)
def test_names_of_parquet(names: list[str], code: str, said: str, make_spec: MakeSpec, store: Store) -> None:
    spec = make_spec(inputs=["x"], data={"source": {"type": "files", "path": "*.parquet"}})
    table = pa.table(TWO)
    for name in names:
        table = table.append_column(name, pa.array([1, 2]))
    pq.write_table(table, spec.folder / "0.parquet")
    found, text = refusal(spec, store)
    assert found == code
    assert said in text


@pytest.mark.parametrize(
    "rows",
    [
        "duck.read_parquet(str(FILE)).project('*, 1 AS a, 2 AS A')",
        "duck.sql(f\"SELECT * FROM '{FILE}' one JOIN '{FILE}' two ON one.x = two.x\")",
        "pq.read_table(FILE).append_column('X', pq.read_table(FILE)['x'])",
        "pq.read_table(FILE).to_pandas().assign(X=1)",
        "(pq.write_table(pq.read_table(FILE).append_column('X', pq.read_table(FILE)['x']), FILE), FILE)[1]",
    ],
)
def test_names_of_a_python_source(rows: str, make_spec: MakeSpec, store: Store) -> None:
    spec = make_spec(inputs=["x"], data={"source": {"type": "python", "function": "some"}})
    pq.write_table(pa.table(TWO), spec.folder / "0.parquet")
    (spec.folder / "features.py").write_text(f"{SOURCE}\n\ndef some(watermark, duck):\n    return {rows}, 'end'\n")
    code, text = refusal(spec, store)
    assert code == "data_column_twice"
    assert "features.py: some: columns" in text


def test_names_that_features_add(make_spec: MakeSpec, store: Store) -> None:
    spec = make_spec(inputs=["x"], data={"source": {"type": "files", "path": "*.parquet"}, "features": "more"})
    pq.write_table(pa.table(TWO), spec.folder / "0.parquet")
    features = spec.folder / "features.py"
    features.write_text("def more(rows):\n    return rows.project('*, x + 1 AS X')\n")
    assert refusal(spec, store)[0] == "data_column_twice"
    features.write_text("def more(rows):\n    return rows.project('*, x + 1 AS \"n\"')\n")
    assert columns_of(spec, store) == ["x", "late", "n"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_name_in_a_csv_header_may_have_several_lines(end: str, make_spec: MakeSpec, store: Store) -> None:
    spec = make_spec(inputs=["x"], data={"source": {"type": "files", "path": "*.csv"}})
    file = spec.folder / "0.csv"
    other = "\r\n" if end == "\n" else "\n"
    file.write_bytes(f'x,late,"a{other}b"{end}1,true,2{end}2,false,3{end}'.encode())
    code, text = refusal(spec, store)
    assert code == "data_csv_malformed"
    assert "line 1: a column's name holds another line end than the lines have" in text
    file.write_bytes(f'x,late,"a, ""b""{end}c"{end}1,true,2{end}2,false,3{end}'.encode())
    assert columns_of(spec, store) == ["x", "late", f'a, "b"{end}c']


def test_a_nul_byte_in_a_csv_header(make_spec: MakeSpec, store: Store) -> None:
    spec = make_spec(inputs=["x"], data={"source": {"type": "files", "path": "*.csv"}})
    (spec.folder / "0.csv").write_bytes(b"x,late,a\0b\n1,true,2\n")
    assert "line 1: NUL byte" in refusal(spec, store)[1]


@pytest.mark.parametrize("name", ["n", "slipstream", "key", "word"])
def test_a_key_may_be_called_as_our_own_columns(name: str, make_spec: MakeSpec, store: Store, tmp_path: Path) -> None:
    spec = make_spec(inputs=["x"], data={"source": {"type": "files", "path": "*.parquet"}, "key": [name]})
    pq.write_table(pa.table({**TWO, name: ["one", "two"]}), spec.folder / "0.parquet")
    assert validate(spec, store, ingest(spec, store).batch).good == 2
    pq.write_table(pa.table({**TWO, name: ["three", "three"]}), spec.folder / "1.parquet")
    with pytest.raises(DataError, match="1 duplicated keys in 2 rows") as refused:
        validate(spec, store, ingest(spec, store).batch)
    assert refused.value.code == "data_duplicate_keys"
