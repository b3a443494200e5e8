"""What columns hold: by all rows, without loss, said where it is doubtful, kept for later batches."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slipstream.cell_reading import CellReading
from slipstream.data.batch import Batch, load_batch
from slipstream.data.validated import Validated
from slipstream.errors import DataError, SlipstreamError
from slipstream.spec.model import ModelSpec
from slipstream.stages.ingest import ingest
from slipstream.stages.validate import validate
from slipstream.store import Store
from slipstream.store.datasets import load_dataset, read_dataset
from tests.sweeps import one_of

MakeSpec = Callable[..., ModelSpec]
Land = Callable[..., Batch]
CSV = {"source": {"type": "files", "path": "*.csv"}}
RIDGE = {"trainer": {"type": "sklearn", "estimator": "sklearn.linear_model.Ridge"}}
REGRESSION = {"task": "regression", "train": RIDGE, "evaluate": {"metric": "mae"}}
PARQUET = {"source": {"type": "files", "path": "*.parquet"}}


@pytest.fixture
def land(store: Store, make_spec: MakeSpec) -> Land:
    """``land("a,b\\n1,2\\n", inputs=["a"])``: the batch that this CSV file becomes."""

    def landing(text: str, **keys: Any) -> Batch:
        spec = make_spec(**{"data": CSV, **keys})
        (spec.folder / "rows.csv").write_text(text, encoding="utf-8")
        return load_batch(store, spec.name, ingest(spec, store).batch)

    return landing


def rows_of(store: Store, batch: Batch) -> list[tuple[Any, ...]]:
    return duckdb.read_parquet(str(store.objects.path(batch.file))).fetchall()


def column(*cells: str, head: str = "x") -> str:
    """A file of one column, and a second that says nothing."""
    return "\n".join([f"{head};n", *(f"{cell};1" for cell in cells)]) + "\n"


TYPED: dict[str, tuple[list[str], str, list[Any]]] = {
    "yes and no": (["Yes", "No"], "VARCHAR", ["Yes", "No"]),
    "t and f": (["t", "f"], "VARCHAR", ["t", "f"]),
    "on and off": (["on", "off"], "VARCHAR", ["on", "off"]),
    "true and false": (["true", "FALSE", "NA"], "BOOLEAN", [True, False, None]),
    "a late leading zero": (["501"] * 3 + ["007"], "VARCHAR", ["501"] * 3 + ["007"]),
    "digits with underscores": (["1_000", "2_000"], "VARCHAR", ["1_000", "2_000"]),
    "whole numbers": (["1", "-2", "NULL", ""], "BIGINT", [1, -2, None, None]),
    "late decimals": (["1"] * 300 + ["2.5"], "DOUBLE", [1.0] * 300 + [2.5]),
    "exponents": (["1e3", "2.5E-1"], "DOUBLE", [1000.0, 0.25]),
    "missing words": (["1", "NA", "N/A", "null", "None", "nan", "#N/A", "-nan"], "BIGINT", [1] + [None] * 7),
    "long ids": (["1", "12345678901234567890"], "VARCHAR", ["1", "12345678901234567890"]),
    "decimal commas": (["1,5", "-2,25"], "DOUBLE", [1.5, -2.25]),
    "german thousands": (["1.234,5", "12"], "DOUBLE", [1234.5, 12.0]),
    "american thousands": (["1,234.5", "12"], "DOUBLE", [1234.5, 12.0]),
    "whole thousands": (["1,234,567", "12"], "BIGINT", [1234567, 12]),
    "swiss thousands": (["1'234.50", "12"], "DOUBLE", [1234.5, 12.0]),
    "dates": (["2024-02-29", ""], "DATE", [dt.date(2024, 2, 29), None]),
    "late times": (
        ["2024-02-29"] * 300 + ["2024-02-29 10:00"],
        "TIMESTAMP",
        [dt.datetime(2024, 2, 29)] * 300 + [dt.datetime(2024, 2, 29, 10)],  # noqa: DTZ001
    ),
    "zones": (["2024-01-01T00:30:00+02:00"], "TIMESTAMP", [dt.datetime(2023, 12, 31, 22, 30)]),  # noqa: DTZ001
    "days first": (["31.12.2024", "1.2.2024"], "DATE", [dt.date(2024, 12, 31), dt.date(2024, 2, 1)]),
    "no date": (["2024-02-30", "2024-02-28"], "VARCHAR", ["2024-02-30", "2024-02-28"]),
    "words": (["a", "NA"], "VARCHAR", ["a", "NA"]),
}


@pytest.mark.parametrize("case", one_of(3, TYPED))
def test_all_rows_decide_and_no_value_is_bent(case: str, land: Land, store: Store) -> None:
    cells, kind, values = TYPED[case]
    batch = land(column(*cells))
    assert dict(batch.columns)["x"] == kind
    assert [row[0] for row in rows_of(store, batch)] == values


DOUBTFUL: dict[str, tuple[list[str], str]] = {
    "a word among numbers": (["1.5"] * 98 + ["?", "many"], "98.0% of its values are numbers; in the way: '?' (1)"),
    "two readings of a date": (["03/04/2020", "05/06/2021"], "can be read in 2 ways, e.g. '03/04/2020'"),
    "two readings of a mark": (["1,234", "5,678"], "can be read in 2 ways, e.g. '1,234'"),
    "whole numbers that a decimal rounds": (["0.5", "9007199254740993"], "'9007199254740993' that a 64-bit decimal"),
    "free text": ([f"the room {n} was {n % 7} cold" for n in range(60)], "looks like free text"),
    "an identifier": ([f"c{n}" for n in range(60)], "looks like an identifier"),
    "free text that begins with a number": ([f"{n} Main Street" for n in range(60)], "looks like free text"),
    "numbers with their unit": ([f"{n / 7:.3f} kg" for n in range(60)], "looks like free text"),
    "an identifier of digits": ([f"{n:06d}" for n in range(60)], "looks like an identifier"),
    "words after numbers": ([*map(str, range(300)), *(f"x{n}" for n in range(100))], "looks like an identifier"),
    "dates in two formats": (
        [f"2024-01-{n:02d}" if n % 2 else f"{n:02d}.01.2024" for n in range(1, 31)],
        "100.0% of its values are dates, written in more than one way: '2024-01-01', '02.01.2024'",
    ),
    "numbers in two formats": (["0.5", "0,5"] * 9, "are numbers, written in more than one way: '0.5', '0,5'"),
    "nearly dates": (["2024-01-01"] * 50 + ["soon"], "98.0% of its values are dates; in the way: 'soon' (1)"),
}


@pytest.mark.parametrize("case", one_of(4, DOUBTFUL))
def test_a_doubtful_input_is_refused_until_somebody_has_said_what_it_is(
    case: str, land: Land, store: Store, make_spec: MakeSpec
) -> None:
    cells, said = DOUBTFUL[case]
    keys: dict[str, Any] = {"inputs": ["x"], "target": "n", **REGRESSION}
    batch = land(column(*cells), **keys)
    spec = make_spec(data=CSV, **keys)
    with pytest.raises(DataError) as refused:
        validate(spec, store, batch.id)
    assert refused.value.code == "data_doubtful"
    assert said in str(refused.value)
    assert "data.schema: {x: " in str(refused.value)

    warned = make_spec(data=CSV, contract={"doubtful": "warn"}, **keys)
    assert said in " ".join(validate(warned, store, batch.id).notes)

    other = Store.open(store.url + "-said")
    told = make_spec(data={**CSV, "schema": {"x": "text"}}, **keys)
    assert validate(told, other, ingest(told, other).batch).good == len(cells)


def test_a_doubtful_column_that_no_model_uses_is_told_and_taken(land: Land, store: Store, make_spec: MakeSpec) -> None:
    keys: dict[str, Any] = {"inputs": ["n"], "target": "y", **REGRESSION}
    batch = land("x;n;y\n" + "".join(f"{'?' if n == 3 else n};{n};{n}\n" for n in range(100)), **keys)
    found = validate(make_spec(data=CSV, **keys), store, batch.id)
    assert (found.good, len(found.notes)) == (100, 1)


def test_decimals_with_points_among_decimal_commas_are_doubtful(land: Land) -> None:
    batch = land("a;b\n1,5;1.234\n2,25;12.500\n")
    assert dict(batch.columns) == {"a": "DOUBLE", "b": "VARCHAR"}
    assert [note.kind for note in batch.notes] == ["recognised", "two_readings"]


def test_a_thousand_between_commas_is_a_thousand_and_told(land: Land, store: Store) -> None:
    batch = land('x,y\n"12,345",1\n"1,000",2\n')
    assert rows_of(store, batch) == [(12345, 1), (1000, 2)]
    assert "'1,000' is 1000" in batch.notes[0].text


SAID: dict[str, tuple[Any, str, str, Any]] = {
    "leading zeros": ("text", "00501", "VARCHAR", "00501"),
    "numbers with leading zeros": ("integer", "00501", "BIGINT", 501),
    "yes": ("boolean", "Yes", "BOOLEAN", True),
    "off": ("boolean", "off", "BOOLEAN", False),
    "marks": ({"type": "number", "decimal": ",", "thousands": "."}, "1.234", "DOUBLE", 1234.0),
    "american dates": ({"type": "date", "format": "%m/%d/%Y"}, "03/04/2020", "DATE", dt.date(2020, 3, 4)),
    "missing": ({"type": "number", "missing": ["-999"]}, "-999", "DOUBLE", None),
    "missing in text": ({"missing": ["?"]}, "?", "VARCHAR", None),
}


@pytest.mark.parametrize("case", SAID)
def test_what_the_schema_says_holds(case: str, land: Land, store: Store) -> None:
    schema, cell, kind, value = SAID[case]
    batch = land(f"x;y\n{cell};1\n", data={**CSV, "schema": {"x": schema}})
    if case != "missing in text":  # nothing says yet what a column without a value is
        assert dict(batch.columns)["x"] == kind
    assert rows_of(store, batch)[0][0] == value


def test_dropped_columns_pandas_index_and_an_empty_last_column_are_left_out_and_told(land: Land) -> None:
    batch = land(",x,secret,\n0,1,a,\n1,2,b,\n", data={**CSV, "schema": {"secret": "drop"}})
    assert [name for name, _ in batch.columns] == ["x"]
    assert [note.kind for note in batch.notes] == ["left_out", "left_out"]


def test_words_for_missing_in_a_text_are_told(land: Land) -> None:
    batch = land("x;n\nDE;1\nNA;2\nNA;3\n")
    assert "holds 'NA' (2) as words" in batch.notes[0].text


def test_words_for_missing_among_codes_are_told(land: Land) -> None:
    notes = land(column("NA", "01", "02", *["03"] * 20)).notes
    assert [note.kind for note in notes] == ["leading_zeros", "missing_words"]


def test_columns_in_another_order_within_one_batch_are_read_by_name(
    store: Store, make_spec: MakeSpec, land: Land
) -> None:
    spec = make_spec(data=CSV)
    (spec.folder / "a.csv").write_text("x,y\n1,a\n")
    batch = land("y,x\nb,2\n")
    assert rows_of(store, batch) == [(1, "a"), (2, "b")]
    assert batch.notes[0].kind == "reordered"


# Later batches ---------------------------------------------------------------------------------------------------

Deliver = Callable[..., Validated]


@pytest.fixture
def deliver(store: Store) -> Deliver:
    """``deliver(spec, "x,y\\n1,2\\n")``: that file, or that table, ingested and validated as the next batch."""

    def delivering(spec: ModelSpec, content: str | pa.Table) -> Validated:
        number = len(list(spec.folder.glob("batch*")))
        if isinstance(content, str):
            (spec.folder / f"batch{number}.csv").write_text(content)
        else:
            pq.write_table(content, spec.folder / f"batch{number}.parquet")
        return validate(spec, store, ingest(spec, store).batch)

    return delivering


def data_of(store: Store, spec: ModelSpec, dataset: str) -> tuple[dict[str, str], list[tuple[Any, ...]]]:
    with duckdb.connect() as connection:
        version = load_dataset(store.objects, store.ledger.state(), spec.name, dataset)
        return dict(version.columns), read_dataset(store.tables, version, connection).fetchall()


def regression(make_spec: MakeSpec, data: dict[str, Any] = CSV, **contract: Any) -> ModelSpec:
    return make_spec(inputs=["qty"], target="label", data=data, contract=contract, **REGRESSION)


@pytest.mark.parametrize("on_schema_change", ["fail", "warn"])
def test_wider_values_widen_the_column_and_every_old_one_stays(
    on_schema_change: str, store: Store, make_spec: MakeSpec, deliver: Deliver
) -> None:
    spec = regression(make_spec, on_schema_change=on_schema_change)
    first = deliver(spec, "qty,label,day\n0,0,2024-01-01\n7,7,2024-01-01\n")
    found = deliver(spec, "qty,label,day\n0.5,0.5,2024-01-02 23:00:00\n2,2.5,2024-01-03\n")
    types, rows = data_of(store, spec, found.dataset)
    assert types == {"qty": "DOUBLE", "label": "DOUBLE", "day": "TIMESTAMP"}
    day = dt.datetime(2024, 1, 1)  # noqa: DTZ001 - as tables have it
    night = dt.datetime(2024, 1, 2, 23)  # noqa: DTZ001
    assert rows == [(0, 0, day), (7, 7, day), (0.5, 0.5, night), (2, 2.5, day + dt.timedelta(days=2))]
    kinds = [change["kind"] for change in store.objects.get_json(found.details)["changes"]]
    assert kinds == ["widened"] * 3
    assert data_of(store, spec, first.dataset)[1] == [(0, 0, day.date()), (7, 7, day.date())]
    table = duckdb.read_parquet(store.tables.paths(spec.name, "data"))
    assert [str(kind) for kind in table.types] == ["DOUBLE", "DOUBLE", "TIMESTAMP"]


def test_whole_numbers_that_a_decimal_would_round_are_not_widened(make_spec: MakeSpec, deliver: Deliver) -> None:
    spec = regression(make_spec)
    deliver(spec, "qty,label\n9007199254740993,1\n")
    with pytest.raises(DataError) as refused:
        deliver(spec, "qty,label\n0.5,1\n")
    assert refused.value.code in {"data_value_unreadable", "data_schema_changed"}


@pytest.mark.parametrize("contract", [{"on_schema_change": "warn"}, {"on_failure": "quarantine"}])
def test_a_word_in_a_number_column_is_set_aside_with_its_value(
    contract: dict[str, str], store: Store, make_spec: MakeSpec, deliver: Deliver
) -> None:
    spec = regression(make_spec, **contract)
    deliver(spec, "qty,label\n" + "1,1\n" * 10)
    found = deliver(spec, "qty,label\n" + "2,2\n" * 9 + "many,3\n")
    assert (found.good, found.quarantined) == (9, 1)
    assert found.aside == ("qty: 'many' is not a number (1 row)",)
    files = store.tables.paths(spec.name, "quarantine")
    aside = duckdb.read_parquet(files).project("qty, label, failed_expectation").fetchall()
    assert aside == [("many", "3", "qty: 'many' is not a number")]


def test_a_word_in_a_number_column_is_refused_with_its_value(make_spec: MakeSpec, deliver: Deliver) -> None:
    spec = regression(make_spec)
    deliver(spec, "qty,label\n" + "1,1\n" * 10)
    with pytest.raises(DataError, match=r"1 of 10 rows hold .* qty: 'many' is not a number") as refused:
        deliver(spec, "qty,label\n" + "2.5,2\n" * 9 + "many,3\n")
    assert refused.value.code == "data_value_unreadable"


def test_a_column_that_was_empty_takes_the_type_of_its_first_values(
    store: Store, make_spec: MakeSpec, deliver: Deliver
) -> None:
    spec = regression(make_spec)
    deliver(spec, "qty,label,closed\n1,1,\n2,2,NA\n")
    found = deliver(spec, "qty,label,closed\n3,3,2024-02-01\n")
    types, rows = data_of(store, spec, found.dataset)
    assert types["closed"] == "DATE"
    assert [row[2] for row in rows] == [None, None, dt.date(2024, 2, 1)]


@pytest.mark.parametrize("key", [[], ["qty"]])
def test_a_file_that_grows_without_a_key_is_told(
    key: list[str], store: Store, make_spec: MakeSpec, deliver: Deliver
) -> None:
    spec = regression(make_spec, {**CSV, "key": key})
    deliver(spec, "qty,label\n1,1\n")
    (spec.folder / "batch0.csv").write_text("qty,label\n1,1\n2,2\n")
    told = ingest(spec, store).notes
    assert [("all of its rows come again" in note) for note in told] == ([] if key else [True])


def test_marks_and_formats_are_kept(store: Store, make_spec: MakeSpec, deliver: Deliver) -> None:
    spec = regression(make_spec)
    deliver(spec, "qty;label;day\n1.234,5;1;31.12.2024\n")
    found = deliver(spec, "qty;label;day\n1.234;1;01.02.2024\n")
    assert data_of(store, spec, found.dataset)[1][1] == (1234.0, 1, dt.date(2024, 2, 1))


# Parquet and Arrow -------------------------------------------------------------------------------------------------

VALUES: dict[str, tuple[Any, list[Any]]] = {
    "boolean": (pa.bool_(), [True, False]),
    "whole": (pa.int64(), [0, 1, -7, 2**53 + 1]),
    "small": (pa.int16(), [0, 1, 3]),
    "decimal": (pa.float64(), [0.0, 1.0, 2.5, -0.25]),
    "text": (pa.string(), ["1", "2.5", "true", "many", "2024-03-01", "2024-03-01 10:30:00"]),
    "date": (pa.date32(), [dt.date(2024, 3, 1), dt.date(1999, 12, 31)]),
    "time": (pa.timestamp("us"), [dt.datetime(2024, 3, 1), dt.datetime(2024, 3, 1, 23, 59, 59)]),  # noqa: DTZ001
}


@pytest.mark.parametrize(("first", "second"), one_of(5, itertools.product(VALUES, VALUES)))
def test_what_is_in_the_table_is_what_was_delivered_or_the_row_is_set_aside(
    first: str, second: str, store: Store, make_spec: MakeSpec, deliver: Deliver
) -> None:
    spec = regression(make_spec, PARQUET, on_schema_change="warn", max_quarantine=1.0)
    delivered: list[Any] = []
    for name in (first, second):
        kind, values = VALUES[name]
        count = len(delivered)
        keys = list(range(count, count + len(values)))
        delivered += values
        found = deliver(spec, pa.table({"id": keys, "x": pa.array(values, kind), "qty": keys, "label": keys}))
    _, rows = data_of(store, spec, found.dataset)
    for key, value, *_ in rows:
        assert value == _meant(delivered[key], type(value)), (first, second)
    aside = found.quarantined
    assert len(rows) + aside == len(delivered)
    if aside:
        told = duckdb.read_parquet(store.tables.paths(spec.name, "quarantine")).fetchall()
        assert {int(row[0]) for row in told}.isdisjoint(row[0] for row in rows)


def _meant(value: Any, kind: type) -> Any:
    """The delivered value as a value of that type, where it means the same; else itself."""
    if isinstance(value, bool) or kind is bool:
        return value if kind is bool and isinstance(value, bool) else CellReading("BOOLEAN").parse(str(value))
    if isinstance(value, str) and kind is not str:
        name = {int: "BIGINT", float: "DOUBLE", dt.date: "DATE", dt.datetime: "TIMESTAMP"}[kind]
        return CellReading(name).parse(value)
    if kind is dt.datetime and not isinstance(value, dt.datetime):
        return dt.datetime(value.year, value.month, value.day)  # noqa: DTZ001
    if kind is dt.date and isinstance(value, dt.datetime):
        assert value.time() == dt.time(0)
        return value.date()
    return value


def test_pandas_own_zones_and_units_are_read_as_utc(store: Store, make_spec: MakeSpec, deliver: Deliver) -> None:
    moments = pd.date_range("2024-01-01", periods=3, freq="h", tz="Europe/Berlin")
    frame = pd.DataFrame({"qty": [1, 2, 3], "label": [1.0, 2, 3], "at": moments, "s": moments.as_unit("s")})
    spec = regression(make_spec, {**PARQUET, "time": "at"})
    types, rows = data_of(store, spec, deliver(spec, pa.Table.from_pandas(frame)).dataset)
    assert (types["at"], types["s"]) == ("TIMESTAMP", "TIMESTAMP")
    assert rows[0][2:] == (dt.datetime(2023, 12, 31, 23),) * 2  # noqa: DTZ001


def test_what_a_table_of_inputs_cannot_hold_is_left_out_where_nothing_names_it(
    store: Store, make_spec: MakeSpec, deliver: Deliver
) -> None:
    spec = regression(make_spec, PARQUET)
    table = pa.table(
        {
            "qty": [1, 2],
            "label": [1.0, 2.0],
            "embedding": [[0.1], [0.2]],
            "who": [{"name": "x"}] * 2,
            "raw": [b"\0"] * 2,
            "hash": pa.array([2**64 - 1, 1], pa.uint64()),
            "small": pa.array([3, 4], pa.uint64()),
            "money": [Decimal("1.50")] * 2,
            "word": pa.array(["a", "b"]).dictionary_encode(),
            "__index_level_0__": [0, 1],
        }
    )
    found = deliver(spec, table)
    types, rows = data_of(store, spec, found.dataset)
    assert types == {"qty": "BIGINT", "label": "DOUBLE", "small": "BIGINT", "money": "DOUBLE", "word": "VARCHAR"}
    assert rows[0] == (1, 1.0, 3, 1.5, "a")
    assert len([note for note in found.notes if "is left out" in note]) == 5


@pytest.mark.parametrize(
    ("values", "said"),
    [([[1.0]], "take it apart in features.py"), (np.array([2**64 - 1], np.uint64), "64-bit whole number; write data")],
)
def test_what_a_model_uses_is_refused_by_name(values: Any, said: str, make_spec: MakeSpec, deliver: Deliver) -> None:
    spec = regression(make_spec, PARQUET)
    with pytest.raises(SlipstreamError, match="column 'qty' is") as refused:
        deliver(spec, pa.table({"qty": values, "label": [1.0]}))
    assert refused.value.code == "data_type_unsupported"
    assert said in str(refused.value)


def test_features_see_what_no_table_of_inputs_holds(store: Store, make_spec: MakeSpec, deliver: Deliver) -> None:
    spec = regression(make_spec, {**PARQUET, "features": "add"})
    code = "def add(rows):\n    return rows.project('embedding[1] AS qty, who.age AS label')\n"
    (spec.folder / "features.py").write_text(code)
    found = deliver(spec, pa.table({"embedding": [[0.5, 1.0]], "who": [{"age": 4}]}))
    assert data_of(store, spec, found.dataset)[1] == [(0.5, 4)]


def test_numbers_written_as_text_in_parquet_stay_text_and_are_doubted_where_nearly_all_are(
    land: Land, store: Store, make_spec: MakeSpec, deliver: Deliver
) -> None:
    spec = regression(make_spec, PARQUET)
    texts = ["1.5"] * 40 + ["?"]
    with pytest.raises(DataError) as refused:
        deliver(spec, pa.table({"qty": texts, "label": [1.0] * 41}))
    assert refused.value.code == "data_doubtful"


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["0.5", "3.0"], "all of its values are numbers. Write data.schema: {qty: {type: number}} or {qty: text}"),
        (["1", "2"], "all of its values are whole numbers. Write data.schema: {qty: {type: integer}}"),
        (["31.12.2024", "01.02.2024"], 'dates. Write data.schema: {qty: {type: date, format: "%d.%m.%Y"}}'),
        (["03/04/2024", "05/06/2024"], "can be read in 2 ways, e.g. '03/04/2024'"),
    ],
)
def test_texts_in_parquet_that_are_all_something_else_are_doubted(
    texts: list[str], said: str, make_spec: MakeSpec, deliver: Deliver
) -> None:
    table = pa.table({"qty": texts, "label": [1.0, 2.0], "id": ["1", "2"]})
    with pytest.raises(DataError) as refused:
        deliver(regression(make_spec, {**PARQUET, "key": ["id"]}), table)
    assert refused.value.code == "data_doubtful"
    assert said in str(refused.value)
    assert "'id'" not in str(refused.value), "a key may be digits"


def test_what_features_hand_on_is_left_out_as_without_them(store: Store, make_spec: MakeSpec, deliver: Deliver) -> None:
    spec = regression(make_spec, {**PARQUET, "features": "add"})
    (spec.folder / "features.py").write_text("def add(rows):\n    return rows.project('*, qty AS more')\n")
    table = {"qty": [1], "label": [1.0], "large": np.array([2**64 - 1], np.uint64)}
    found = deliver(spec, pa.table(table))
    assert list(data_of(store, spec, found.dataset)[0]) == ["qty", "label", "more"]
    assert any("'large' is left out: it is of type UBIGINT, beyond 64 bits" in note for note in found.notes)
    with pytest.raises(DataError, match="column 'qty' is UBIGINT and holds more than a 64-bit whole number"):
        deliver(spec, pa.table({**table, "qty": table["large"]}))
