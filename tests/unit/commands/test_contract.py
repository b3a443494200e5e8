"""A suite becomes a contract, and a contract is tried on the batches that came."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from slipstream.commands.contract.past import past_batches
from slipstream.commands.contract.propose import block, propose
from slipstream.commands.contract.suite import read_suite
from slipstream.errors import ContractFailed, SpecError, StageError
from slipstream.spec.model import ModelSpec
from slipstream.stages.ingest import ingest
from slipstream.stages.validate import validate
from slipstream.store import Store

NEW = {
    "name": "flights: nightly",
    "expectations": [
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "hour"}, "meta": {}, "id": "5a-7"},
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": "hour", "min_value": 0, "max_value": 20, "mostly": 1.0, "strict_min": None},
        },
        {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "carrier", "value_set": ["A", "no", "C d"]}},
        {"type": "expect_column_values_to_be_of_type", "kwargs": {"column": "hour", "type_": "int64"}},
        {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "id", "row_condition": 'hour=="1"'}},
        {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "hour", "min_value": {"$PARAMETER": "low"}}},
        {"type": "expect_column_values_to_be_prime", "kwargs": {"column": "hour"}},
    ],
}
OLD = {
    "expectation_suite_name": "old",
    "ge_cloud_id": None,
    "expectations": [
        {
            "expectation_type": "expect_table_row_count_to_be_between",
            "kwargs": {"min_value": 5, "max_value": None, "batch_id": "x", "result_format": "BASIC"},
            "meta": {"profiler_details": {}},
        },
        {
            "expectation_type": "expect_column_min_to_be_between",
            "kwargs": {"column": "day", "min_value": "2024-01-01", "parse_strings_as_datetimes": True},
        },
    ],
}


def saved(suite: Any, folder: Path) -> Path:
    file = folder / "suite.json"
    file.write_text(json.dumps(suite))
    return file


def test_a_suite_of_1_x_is_a_contract_that_a_model_takes(tmp_path: Path, make_spec: Callable[..., ModelSpec]) -> None:
    suite = read_suite(saved(NEW, tmp_path))
    contract = yaml.safe_load(suite.contract())["contract"]
    spec = make_spec(contract=contract)
    assert [rule.type for rule in spec.contract.expectations] == [rule["type"] for rule in NEW["expectations"][:3]]
    assert spec.contract.expectations[2].arguments["value_set"] == ["A", "no", "C d"]
    assert dict(suite.left_out) == {
        "expect_column_values_to_be_of_type": "expect_column_values_to_be_of_type is not judged here: data.schema says "
        "the type of a column, and contract.on_schema_change refuses a batch of another",
        "expect_column_values_to_be_unique": 'row_condition "hour==\\"1\\"": a contract judges every row of a batch',
        "expect_column_mean_to_be_between": "min_value is given later ($PARAMETER); write its value",
        "expect_column_values_to_be_prime": "no expectation is called 'expect_column_values_to_be_prime'; did you mean "
        "'expect_column_values_to_be_unique'?",
    }
    assert suite.contract().count("# ? ") == 4


def test_a_suite_of_0_18(tmp_path: Path) -> None:
    suite = read_suite(saved(OLD, tmp_path))
    assert (suite.name, suite.rules) == ("old", ({"type": "expect_table_row_count_to_be_between", "min_value": 5},))
    ((kind, reason),) = suite.left_out
    assert kind == "expect_column_min_to_be_between"
    assert "parse_strings_as_datetimes" in reason


@pytest.mark.parametrize(
    ("content", "text"),
    [("{", "cannot be read as JSON"), ("[]", "is no suite"), ('{"expectations": [3]}', "is no suite")],
)
def test_what_is_no_suite(content: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "suite.json").write_text(content)
    with pytest.raises(SpecError, match=text) as caught:
        read_suite(tmp_path / "suite.json")
    assert caught.value.code == "suite_invalid"
    with pytest.raises(SpecError, match=r"gone\.json: cannot be read"):
        read_suite(tmp_path / "gone.json")


def test_what_is_proposed_is_kept_and_says_why(
    make_spec: Callable[..., ModelSpec], make_rows: Callable[..., pa.Table], store: Store
) -> None:
    source = {"source": {"type": "files", "path": "*.parquet"}, "time": "day", "key": ["id"]}
    spec = make_spec(data=source)
    with pytest.raises(StageError, match="ingest and validate a batch first"):
        propose(spec, store)
    for number, rows in enumerate((200, 120)):
        pq.write_table(make_rows(rows, seed=number, first=1000 * number), spec.folder / f"{number}.parquet")
        validate(spec, store, ingest(spec, store).batch)
    text = block(propose(spec, store))
    rules = {(rule["type"], rule.get("column")): rule for rule in yaml.safe_load(text)["contract"]["expectations"]}
    assert rules[("expect_table_row_count_to_be_between", None)] == {
        "type": "expect_table_row_count_to_be_between",
        "min_value": 30,
        "max_value": 800,
    }
    assert rules[("expect_column_values_to_be_between", "hour")]["max_value"] == 35
    assert rules[("expect_column_values_to_be_in_set", "carrier")]["value_set"] == ["A", "B", "C"]
    assert 0.8 < rules[("expect_column_values_to_not_be_null", "distance")]["mostly"] < 0.95
    assert "mostly" not in rules[("expect_column_values_to_not_be_null", "hour")]
    assert ("expect_column_values_to_be_unique", "id") in rules
    assert "    # 2 batches of 120 to 200 rows; 4 times fewer or 4 times more are let pass.\n" in text

    proposed = make_spec(data=source, contract=yaml.safe_load(text)["contract"])
    assert [one.outcome for one in past_batches(proposed, store, 5)] == ["passes", "passes"]
    pq.write_table(make_rows(150, seed=7, first=5000), spec.folder / "7.parquet")
    assert validate(proposed, store, ingest(proposed, store).batch).quarantined == 0
    # Ten times the distances: those beyond the range are set aside.
    far = pa.array([1000.0] * 100)
    pq.write_table(make_rows(100, seed=8, first=6000, distance=far), spec.folder / "8.parquet")
    with pytest.raises(ContractFailed, match=r"expect_column_values_to_be_between\(distance\): 100 of 100 rows"):
        validate(proposed, store, ingest(proposed, store).batch)


def test_what_a_contract_would_have_done(
    make_spec: Callable[..., ModelSpec], make_rows: Callable[..., pa.Table], store: Store
) -> None:
    between = {"type": "expect_column_values_to_be_between", "column": "hour", "min_value": 0, "max_value": 20}
    many = {"type": "expect_table_row_count_to_be_between", "min_value": 40}

    def model(*rules: dict[str, Any], **contract: Any) -> ModelSpec:
        source = {"source": {"type": "files", "path": "*.parquet"}, "key": ["id"]}
        return make_spec(data=source, contract={"expectations": list(rules), "max_quarantine": 0.5, **contract})

    spec = model(between, on_failure="quarantine")
    with pytest.raises(StageError, match="slipstream ingest small"):
        past_batches(spec, store, 5)
    for number, rows in enumerate((50, 30)):
        table = make_rows(rows, seed=number, first=100 * number)
        pq.write_table(table, spec.folder / f"{number}.parquet")
        validated = validate(spec, store, ingest(spec, store).batch)
        assert validated.quarantined == sum(hour > 20 for hour in table["hour"].to_pylist()) > 0
    first, second = past_batches(spec, store, 5)
    assert (first.outcome, first.then, first.rows) == ("quarantines", "quarantines", 50)
    assert first.broken == (f"expect_column_values_to_be_between(hour): {first.aside}",)

    events = len(store.ledger.read())
    by_rule = {
        "fails": model(between, on_failure="fail"),
        "warns": model(between, on_failure="warn"),
        "passes": model(),
    }
    for outcome, tried in by_rule.items():
        assert [one.outcome for one in past_batches(tried, store, 5)] == [outcome] * 2
    assert [one.outcome for one in past_batches(model(many, on_failure="quarantine"), store, 5)] == ["passes", "fails"]
    assert [one.batch for one in past_batches(spec, store, 1)] == [second.batch]
    assert len(store.ledger.read()) == events

    # What it says of a new batch is what validate then does.
    strict = model(between, many, on_failure="quarantine")
    pq.write_table(make_rows(30, seed=9, first=900), spec.folder / "9.parquet")
    batch = ingest(strict, store).batch
    assert [one.outcome for one in past_batches(strict, store, 1)] == ["fails"]
    with pytest.raises(ContractFailed):
        validate(strict, store, batch)
    assert past_batches(strict, store, 1)[0].then == "fails"
