"""Every expectation that a contract may name is judged as Great Expectations itself judges the same rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slipstream.data.batch import load_batch
from slipstream.data.expectations_gx import expectation_class, library
from slipstream.errors import SpecError
from slipstream.spec.expectations import EXPECTATIONS, REFUSED_EXPECTATIONS, ROW_EXPECTATIONS
from slipstream.spec.model import ModelSpec
from slipstream.stages.ingest import ingest
from slipstream.stages.validate import judge_batch
from slipstream.store import Store
from tests.sweeps import one_of

COLUMNS = ["id", "day", "distance", "hour", "carrier", "late", "delay", "code", "when", "body"]
HALVES = {"quantiles": [0.5, 0.9], "value_ranges": [[-1, 1], [0.5, None]]}
RULES: dict[str, list[dict[str, Any]]] = {
    "expect_column_values_to_not_be_null": [{"column": "distance", "mostly": 0.9}, {"column": "code"}],
    "expect_column_values_to_be_null": [{"column": "carrier"}],
    "expect_column_values_to_be_between": [{"column": "hour", "min_value": 3, "max_value": 20, "strict_max": True}],
    "expect_column_values_to_be_in_set": [{"column": "carrier", "value_set": ["A", "B"], "mostly": 0.5}],
    "expect_column_values_to_not_be_in_set": [{"column": "hour", "value_set": [0, 23]}],
    "expect_column_values_to_be_unique": [{"column": "hour"}, {"column": "id"}],
    "expect_column_values_to_match_regex": [{"column": "code", "regex": "^[A-Z]-[0-9]+$"}],
    "expect_column_values_to_not_match_regex": [{"column": "code", "regex": "9$"}],
    "expect_column_values_to_match_regex_list": [
        {"column": "code", "regex_list": ["^A", "1"], "match_on": "any"},
        {"column": "code", "regex_list": ["^A", "1"], "match_on": "all"},
    ],
    "expect_column_values_to_not_match_regex_list": [{"column": "code", "regex_list": ["^A", "1$"]}],
    "expect_column_value_lengths_to_be_between": [{"column": "code", "min_value": 3, "max_value": 4}],
    "expect_column_value_lengths_to_equal": [{"column": "code", "value": 4}],
    "expect_column_values_to_match_strftime_format": [{"column": "when", "strftime_format": "%Y-%m-%d %Hh"}],
    "expect_column_values_to_be_dateutil_parseable": [{"column": "when"}],
    "expect_column_values_to_be_json_parseable": [{"column": "body"}],
    "expect_column_values_to_match_json_schema": [{"column": "body", "json_schema": {"required": ["b"]}}],
    "expect_column_values_to_be_increasing": [{"column": "hour"}, {"column": "id", "strictly": True}],
    "expect_column_values_to_be_decreasing": [{"column": "distance"}],
    "expect_column_values_to_not_be_outliers": [{"column": "delay", "method": "iqr", "multiplier": 1.0}],
    "expect_column_value_z_scores_to_be_less_than": [{"column": "delay", "threshold": 1.5, "double_sided": True}],
    "expect_column_pair_values_a_to_be_greater_than_b": [{"column_A": "delay", "column_B": "hour", "or_equal": True}],
    "expect_column_pair_values_to_be_equal": [{"column_A": "id", "column_B": "hour"}],
    "expect_column_pair_values_to_be_in_set": [
        {"column_A": "carrier", "column_B": "late", "value_pairs_set": [["A", True], ["B", False]]}
    ],
    "expect_compound_columns_to_be_unique": [{"column_list": ["hour", "carrier"]}],
    "expect_select_column_values_to_be_unique_within_record": [{"column_list": ["id", "hour"]}],
    "expect_multicolumn_values_to_be_equal": [{"column_list": ["id", "hour"]}],
    "expect_multicolumn_sum_to_equal": [{"column_list": ["id", "hour"], "sum_total": 30}],
    "expect_table_row_count_to_be_between": [{"min_value": 100}],
    "expect_table_row_count_to_equal": [{"value": 60}, {"value": 61}],
    "expect_column_mean_to_be_between": [{"column": "distance", "min_value": -0.05, "max_value": 0.05}],
    "expect_column_median_to_be_between": [{"column": "hour", "max_value": 11}],
    "expect_column_stdev_to_be_between": [{"column": "distance", "min_value": 1}],
    "expect_column_min_to_be_between": [{"column": "delay", "min_value": 0}],
    "expect_column_max_to_be_between": [{"column": "day", "max_value": "2024-01-03"}],
    "expect_column_sum_to_be_between": [{"column": "hour", "min_value": 700}],
    "expect_column_unique_value_count_to_be_between": [{"column": "carrier", "max_value": 3}],
    "expect_column_proportion_of_unique_values_to_be_between": [{"column": "hour", "min_value": 0.5}],
    "expect_column_proportion_of_non_null_values_to_be_between": [{"column": "carrier", "min_value": 0.97}],
    "expect_column_quantile_values_to_be_between": [{"column": "distance", "quantile_ranges": HALVES}],
    "expect_column_kl_divergence_to_be_less_than": [
        {"column": "carrier", "threshold": 0.02, "partition_object": {"values": ["A", "B"], "weights": [0.5, 0.5]}},
        {
            "column": "carrier",
            "threshold": 0.5,
            "partition_object": {"values": ["A", "B", "C"], "weights": [0.3, 0.3, 0.4]},
        },
    ],
    "expect_column_distinct_values_to_be_in_set": [{"column": "carrier", "value_set": ["A", "B", "C", "D"]}],
    "expect_column_distinct_values_to_equal_set": [{"column": "carrier", "value_set": ["A", "B", "C", "D"]}],
    "expect_column_distinct_values_to_contain_set": [{"column": "hour", "value_set": [1, 2, 99]}],
    "expect_column_most_common_value_to_be_in_set": [{"column": "carrier", "value_set": ["A"]}],
    "expect_column_to_exist": [{"column": "hour"}, {"column": "hours"}],
    "expect_table_column_count_to_be_between": [{"min_value": 3, "max_value": 10}, {"max_value": 9}],
    "expect_table_column_count_to_equal": [{"value": 10}, {"value": 9}],
    "expect_table_columns_to_match_ordered_list": [{"column_list": COLUMNS}, {"column_list": COLUMNS[::-1]}],
    "expect_table_columns_to_match_set": [
        {"column_set": COLUMNS[::-1]},
        {"column_set": COLUMNS[1:]},
        {"column_set": COLUMNS[1:], "exact_match": False},
    ],
}
FORMAT = {"result_format": "COMPLETE", "return_unexpected_index_query": False}


def table(make_rows: Callable[..., pa.Table], seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    codes = [f"{random.choice(list('ABx'))}-{number}" for number in random.integers(0, 120, 60)]
    times = [random.choice(["2024-01-02 03h", "2 January 2024", "soon"]) for _ in range(60)]
    bodies = [random.choice(['{"b": 1}', '{"a": 1}']) for _ in range(60)]
    return make_rows(60, seed=seed, code=codes, when=pa.array(times, mask=random.random(60) < 0.1), body=bodies)


@pytest.fixture(scope="module")
def great() -> Any:
    """A batch definition of Great Expectations' own, for frames."""
    context = library().get_context(mode="ephemeral")
    return context.data_sources.add_pandas("test").add_dataframe_asset("test").add_batch_definition_whole_dataframe("t")


def test_every_one_has_a_case() -> None:
    assert set(RULES) == set(EXPECTATIONS)
    known = {kind.lower() for kind in vars(library().expectations) if kind.startswith("Expect")}
    here = {name.replace("_", "") for name in (*EXPECTATIONS, *REFUSED_EXPECTATIONS)}
    assert known - here == {"expectation"}


@pytest.mark.parametrize("seed", one_of(5, range(5)))
def test_the_verdict_is_its_own(
    seed: int, make_spec: Callable[..., ModelSpec], make_rows: Callable[..., pa.Table], store: Store, great: Any
) -> None:
    rules = [{"type": name} | rule for name, cases in RULES.items() for rule in cases]
    source = {"source": {"type": "files", "path": "*.parquet"}, "key": ["id"]}
    spec = make_spec(data=source, contract={"on_failure": "warn", "expectations": rules})
    rows = table(make_rows, seed)
    pq.write_table(rows, spec.folder / "rows.parquet")
    batch = load_batch(store, spec.name, ingest(spec, store).batch)
    judgements = judge_batch(spec, store, batch, ()).judgements
    whole = great.get_batch({"dataframe": rows.to_pandas()})
    met = set()
    for rule, ours in zip(rules, judgements, strict=True):
        kind, arguments = rule["type"], {key: value for key, value in rule.items() if key != "type"}
        if isinstance(arguments.get("max_value"), str):
            arguments["max_value"] = pd.Timestamp(arguments["max_value"])
        theirs = whole.validate(expectation_class(kind)(**arguments), result_format=FORMAT)
        assert ours.met == theirs.success, rule
        met.add(ours.met)
        if kind in ROW_EXPECTATIONS and not ours.met:
            assert sorted(ours.rows) == sorted(theirs.result["unexpected_index_list"]), rule
            assert ours.unexpected == theirs.result["unexpected_count"], rule
        else:
            assert ours.rows == (), rule
    assert met == {True, False}


@pytest.mark.parametrize("name", REFUSED_EXPECTATIONS)
def test_the_others_say_why(name: str, make_spec: Callable[..., ModelSpec]) -> None:
    with pytest.raises(SpecError, match=f"{name} is not judged here: "):
        make_spec(contract={"expectations": [{"type": name, "column": "hour"}]})
