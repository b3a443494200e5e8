"""What is wrong with a joined table is said with its line and column, before anything is read."""

from __future__ import annotations

import pytest

from slipstream.errors import SpecError
from slipstream.spec.loader import parse_spec

HEAD = """name: delays
task: binary
target: late
inputs: [temp]
train: {trainer: {type: sklearn, estimator: sklearn.linear_model.LogisticRegression}}
evaluate: {metric: roc_auc}
data:
  source: {type: files, path: "*.csv"}
"""
TIME = "  time: moment\n"
WHOLE = "source: {type: files, path: w.csv}, key: [origin], time: observed, columns: [temp]"
SQL = "source: {type: sql, url: 'sqlite:///w.db'}"
WRONG = [
    ("", WHOLE, "9:3: data.join: a join takes what was known at the event time of a row; name its column as data.time"),
    (TIME, f"{WHOLE}, tolerance: 6", "tolerance: expected a duration such as 30s, 15m, 6h, 14d or 8w, got 6"),
    (TIME, f"{WHOLE}, tolerence: 6h", "tolerence: unknown key; did you mean 'tolerance'?"),
    (
        TIME,
        WHOLE.replace("[temp]", "[moment]"),
        "data.time is column 'moment' too; call it otherwise, such as {w_moment",
    ),
    (TIME, WHOLE.replace("[origin]", "{x: observed}"), "column 'observed' is the time of this table"),
    (TIME, WHOLE.replace("time: observed, ", ""), "10:10: data.join.w.time: this key is missing (its column that says"),
    (
        TIME,
        WHOLE.replace("type: files", "type: file"),
        "data.join.w.source.type: no source is called 'file'; did you mean",
    ),
    (TIME, f"{WHOLE}, schema: {{temp: drop}}", "schema.temp: column 'temp' is dropped, but columns uses it"),
    (
        TIME,
        WHOLE.replace("source: {type: files, path: w.csv}", SQL),
        "source: source 'sql' has neither 'table' nor 'query'",
    ),
]


@pytest.mark.parametrize(("time", "table", "text"), WRONG)
def test_a_wrong_table_is_told_with_its_place(time: str, table: str, text: str) -> None:
    with pytest.raises(SpecError) as refusal:
        parse_spec(f"{HEAD}{time}  join: {{w: {{{table}}}}}\n")
    assert text in str(refusal.value)


def test_two_tables_bring_no_column_twice_and_one_may_be_joined_twice() -> None:
    with pytest.raises(SpecError, match=r"data\.join\.v\.columns\.0 is column 'temp' too; call it otherwise"):
        parse_spec(f"{HEAD}{TIME}  join: {{v: {{{WHOLE}}}, w: {{{WHOLE}}}}}\n")
    other = WHOLE.replace("[temp]", "{there: temp}").replace("[origin]", "{dest: origin}")
    spec = parse_spec(f"{HEAD}{TIME}  join: {{v: {{{WHOLE}}}, w: {{{other}}}}}\n")
    assert spec.data.join["w"].columns == {"there": "temp"}
    assert spec.data.join["v"].key == {"origin": "origin"}
