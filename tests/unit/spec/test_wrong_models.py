"""A hundred wrong model files: what each is told, in one file to read through, by plan and Airflow alike.

Each case is an edit of a good model file. `GOLDEN=write pytest tests/unit/spec/test_wrong_models.py` writes the texts
anew; read them then as somebody would who never saw this program.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from slipstream.errors import SpecError
from slipstream.spec.loader import FILE, load_spec, load_specs, parse_spec
from slipstream.spec.strict_yaml import read

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "data" / "wrong_models.md"
POOLS = ("default_pool", "heavy")

GOOD = """\
name: small
description: Will a flight be late?
task: binary
target: late
positive: "yes"
inputs: [distance, hour, carrier]
data:
  source: {type: files, path: "*.csv"}
  schema: {zip: text, remark: drop}
  time: day
  key: [id]
contract:
  on_failure: quarantine
  expectations:
    - {type: expect_column_values_to_not_be_null, column: distance, mostly: 0.9}
    - {type: expect_column_values_to_be_between, column: hour, min_value: 0, max_value: 23}
    - {type: expect_column_values_to_match_regex, column: carrier, regex: "^[A-Z]$"}
train:
  trainer:
    type: sklearn
    estimator: sklearn.ensemble.HistGradientBoostingClassifier
    parameters: {max_iter: 120, monotonic_cst: {distance: 1}}
  window: 92d
  holdout: 14d
  min_rows: 100
  seed: 7
evaluate:
  metric: roc_auc
  metrics: [log_loss]
  slices: [carrier]
  sensitive: [carrier]
gates:
  - {type: metric, bound: 0.6}
  - {type: champion, margin: 0.01}
  - {type: slice, bound: 0.5}
  - {type: fairness, column: carrier, bound: 0.2}
  - {type: replay, bound: 0.2}
  - {type: latency, bound: 50}
explain: {type: permutation, rows: 500}
approval: {mode: auto, timeout: 3d}
deploy:
  target: {type: endpoint}
  rollout: {steps: [0.1, 0.5], bake: 1m, alarms: {errors: 0.01}}
  sticky: carrier
  capture: {sample: 0.5, redact: [hour]}
monitor:
  window: 7d
  drift: {columns: [distance], threshold: 0.2}
  quality: {max_loss: 0.05}
retrain: {cron: "0 3 * * 0", cooldown: 1h}
schedule:
  ingest: ["@daily"]
  monitor: [data]
alerts: [{type: log}]
trackers: [{type: none}]
pool: default_pool
"""

METRIC, CHAMPION, REPLAY = "{type: metric, bound: 0.6}", "{type: champion, margin: 0.01}", "{type: replay, bound: 0.2}"
PARAMETERS = "{max_iter: 120, monotonic_cst: {distance: 1}}"
ESTIMATOR = "sklearn.ensemble.HistGradientBoostingClassifier"
REGRESSION = (
    ("task: binary", "task: regression"),
    ('positive: "yes"\n', ""),
    ("roc_auc", "mae"),
    ("[log_loss]", "[r2]"),
)
NULLS = "expect_column_values_to_not_be_null, column: distance, mostly: 0.9"
LABELS = "{type: expect_column_values_to_be_in_set, column: late, value_set: [legit, fraud]}"
BETWEEN = "{type: expect_column_values_to_be_between, column: hour, min_value: 0, max_value: 23}"

Edits = tuple[tuple[str, str], ...]
WRONG: dict[str, Edits] = {
    # The form.
    "a tab": (("  time: day", "\ttime: day"),),
    "an open list": (("inputs: [distance, hour, carrier]", "inputs: [distance, hour, carrier"),),
    "an open quote": (("name: small", 'name: "small'),),
    "a colon in a text": (("Will a flight be late?", "Late: will it be?"),),
    "wrong indentation": (("  time: day", "   time: day"),),
    "a text that begins with @": (('["@daily"]', "[@daily]"),),
    "an escape in double quotes": (('"^[A-Z]$"', r'"^\d$"'),),
    "an alias": (("target: late", "target: *late"),),
    "a tag": (("target: late", "target: !!python/name:os.system late"),),
    "a key twice": (("target: late", "target: late\ntarget: delay"),),
    "a number for a key": (("zip: text", "1: text"),),
    "two documents": (("data:\n", "---\ndata:\n"),),
    "a list for the whole": ((GOOD, "- name: small\n"),),
    "nothing": ((GOOD, ""),),
    "not a number": ((METRIC, "{type: metric, bound: .nan}"),),
    "infinity": (("threshold: 0.2", "threshold: .inf"),),
    # Keys.
    "a key misspelt": (("target: late", "targt: late"),),
    "a key of another part": (("pool: default_pool", "metric: roc_auc"),),
    "a key that is no word here": (("pool: default_pool", "colour: blue"),),
    "a key missing": (("task: binary\n", ""),),
    "a part missing": (("evaluate:\n  metric: roc_auc\n  metrics: [log_loss]\n  slices: [carrier]\n", "evaluate:\n"),),
    "schedule.train, which was removed": (("  monitor: [data]", '  monitor: [data]\n  train: ["@weekly"]'),),
    "monitor.retrain, which was removed": (("  window: 7d", "  window: 7d\n  retrain: true"),),
    "columns for schema": (("  schema: {zip", "  columns: {zip"),),
    # Kinds of values.
    "a list for a text": (("target: late", "target: [late]"),),
    "a list of two for a text": (("target: late", "target: [late, delay]"),),
    "a number for a text": (("target: late", "target: 1.10"),),
    "a truth value for a text": (("target: late", "target: true"),),
    "nothing for a text": (("target: late", "target:"),),
    "a text for a list": (("inputs: [distance, hour, carrier]", "inputs: distance, hour, carrier"),),
    "keys for a list": (("key: [id]", "key: {id: 1}"),),
    "a number in a list of texts": (("key: [id]", "key: [1]"),),
    "a text for keys": (("  rollout: {steps: [0.1, 0.5], bake: 1m, alarms: {errors: 0.01}}", "  rollout: slowly"),),
    "a text for a back end": (("source: {type: files, path: \"*.csv\"}", "source: files"),),
    "words for a whole number": (("min_rows: 100", "min_rows: many"),),
    "decimals for a whole number": (("min_rows: 100", "min_rows: 10.5"),),
    "yes for true": (("retrain: {cron", "retrain: {drift: yes, cron"),),
    "a quoted number": (("threshold: 0.2", 'threshold: "0.2"'),),
    "a list for a label": (('positive: "yes"', "positive: [yes]"),),
    "a name with a slash": (("name: small", "name: ../small"),),
    "a name in capitals": (("name: small", "name: Small"),),
    "a name that is not the folder's": (("name: small", "name: smal"),),
    # Words and bounds.
    "a task misspelt": (("task: binary", "task: binry"),),
    "a task that there is not": (("task: binary", "task: clustering"),),
    "a word misspelt": (("on_failure: quarantine", "on_failure: quarantene"),),
    "a duration in words": (("window: 92d", "window: 3 months"),),
    "a duration without unit": (("window: 92d", "window: 92"),),
    "a share above one": (("holdout: 14d", "holdout: 20"),),
    "a negative seed": (("seed: 7", "seed: -1"),),
    "no rows": (("min_rows: 100", "min_rows: 0"),),
    "a percentage for a share": (("sample: 0.5", "sample: 50"),),
    "steps that fall": (("[0.1, 0.5]", "[0.5, 0.1]"),),
    "no alarm": (("{errors: 0.01}", "{errors: null, latency: null, missing: null}"),),
    "no inputs": (("inputs: [distance, hour, carrier]", "inputs: []"),),
    # Columns.
    "an input twice": (("inputs: [distance, hour, carrier]", "inputs: [distance, hour, carrier, hour]"),),
    "the target among the inputs": (("inputs: [distance, hour, carrier]", "inputs: [distance, late, hour, carrier]"),),
    "inputs that differ by case": (("inputs: [distance, hour, carrier]", "inputs: [distance, hour, carrier, Hour]"),),
    "a dropped input": (("{zip: text, remark: drop}", "{zip: text, hour: drop}"),),
    "an expectation of a dropped column": ((NULLS, NULLS.replace("distance", "remark")),),
    "a reserved name": (("key: [id]", "key: [slipstream_id]"),),
    "a format without type": (("zip: text", 'zip: {format: "%d.%m.%Y"}'),),
    "a type that there is not": (("zip: text", "zip: string"),),
    "drift of no input": (("columns: [distance]", "columns: [distanse]"),),
    "redaction of no input": (("redact: [hour]", "redact: [our]"),),
    "sticky to no input": (("sticky: carrier", "sticky: customer"),),
    "a duration without event time": (("  time: day\n", ""),),
    "a positive label of a regression": REGRESSION[:1] + REGRESSION[2:],
    # Back ends.
    "a source misspelt": (("type: files", "type: file"),),
    "a source that there is not": (("{type: files, path: \"*.csv\"}", "{type: postgres, query: SELECT 1}"),),
    "a database with its password": (
        ("{type: files, path: \"*.csv\"}", "{type: sql, url: \"postgresql://me:hush@db/shop\", table: orders}"),
    ),
    "a database that would be written": (
        ("{type: files, path: \"*.csv\"}", "{type: sql, connection: shop, query: DELETE FROM orders}"),
    ),
    "a source without path": (("{type: files, path: \"*.csv\"}", "{type: files}"),),
    "a path that is a list": (('path: "*.csv"', "path: [a.csv, b.csv]"),),
    "a back end without type": (("{type: files, path", "{path"),),
    "an argument misspelt": (('path: "*.csv"', 'path: "*.csv", delimeter: ";"'),),
    "an explainer misspelt": (("type: permutation, rows: 500", "type: shapp"),),
    "an argument out of range": (("rows: 500", "rows: 5000"),),
    "a tracker misspelt": (("[{type: none}]", "[{type: jsonlines, path: x}]"),),
    "a tracker that is not here": (("[{type: none}]", "[{type: mlflow}]"),),
    "an alert that there is not": (("[{type: log}]", "[{type: slack}]"),),
    "an alert without its argument": (("[{type: log}]", "[{type: webhook, colour: red}]"),),
    "a target with an argument": (("{type: endpoint}", "{type: endpoint, url: x}"),),
    "code for a back end": (("[{type: none}]", "[{type: 'os:system'}]"),),
    "an estimator that cannot be named": ((ESTIMATOR, "sklearn.ensemble.StackingClassifier"),),
    "an estimator by its short name": ((ESTIMATOR, "RandomForest"),),
    "an estimator of another task": ((ESTIMATOR, "sklearn.ensemble.RandomForestRegressor"),),
    "a task misspelt, and a metric of it": (("task: binary", "task: binry"), ("metric: roc_auc", "metric: auc")),
    "no task, and an estimator that is not here": (("task: binary\n", ""), (ESTIMATOR, "sklearn.svm.OneClassSVM")),
    "an estimator of another library": ((ESTIMATOR, "xgboost.XGBClassifier"),),
    "a support vector machine with a forest's parameter": (*REGRESSION, (ESTIMATOR, "sklearn.svm.SVR")),
    "a parameter misspelt": ((PARAMETERS, "{max_iters: 120}"),),
    "a parameter out of range": ((PARAMETERS, "{max_iter: 0}"),),
    "a parameter of another kind": ((PARAMETERS, "{learning_rate: fast}"),),
    "a parameter's word misspelt": ((PARAMETERS, "{class_weight: balance}"),),
    "a parameter that is settled": ((PARAMETERS, "{random_state: 1}"),),
    "a constraint on no input": (("{distance: 1}", "{distanc: 1}"),),
    # Expectations.
    "an expectation misspelt": (("values_to_not_be_null", "values_to_be_not_null"),),
    "an expectation that is not here": (("expect_column_values_to_not_be_null", "expect_column_kl_divergence_to_be"),),
    "an expectation without its column": ((NULLS, "expect_column_values_to_not_be_null"),),
    "an expectation's argument misspelt": ((BETWEEN, BETWEEN.replace("max_value", "max")),),
    "a bound that is no number": ((BETWEEN, BETWEEN.replace("23", "late")),),
    "a bound below the other": ((BETWEEN, BETWEEN.replace("23", "-1")),),
    "an expectation without bounds": ((BETWEEN, "{type: expect_column_values_to_be_between, column: hour}"),),
    "a share as a percentage": (("mostly: 0.9", "mostly: 90"),),
    "a regular expression that is none": (('"^[A-Z]$"', '"^[A-Z$"'),),
    "labels of which none is meant": (
        ('positive: "yes"\n', ""), (BETWEEN, LABELS),
    ),
    "a label that the contract does not allow": (
        ("\"yes\"", "fruad"), (BETWEEN, LABELS),
    ),
    # Metrics and gates.
    "a metric misspelt": (("metric: roc_auc", "metric: auc_roc"),),
    "a metric of another task": (("metrics: [log_loss]", "metrics: [rmse]"),),
    "a gate misspelt": ((METRIC, "{type: metrik, bound: 0.6}"),),
    "a gate without bound": ((METRIC, "{type: metric}"),),
    "a key that does nothing for a gate": ((CHAMPION, "{type: champion, bound: 0.01}"),),
    "a margin for a bound": ((METRIC, "{type: metric, bound: 0.6, margin: 0.1}"),),
    "a metric of a latency gate": (("{type: latency, bound: 50}", "{type: latency, bound: 50, metric: roc_auc}"),),
    "a percentage for a bound": ((METRIC, "{type: metric, bound: 60}"),),
    "a bound that no version can miss": ((METRIC, "{type: metric, bound: 0}"),),
    "a negative loss": ((METRIC, "{type: metric, metric: log_loss, bound: -0.6}"),),
    "a loss that no version can have": ((METRIC, "{type: metric, metric: log_loss, bound: 0}"),),
    "a margin beyond the metric": ((CHAMPION, "{type: champion, margin: 5}"),),
    "a replay bound as a percentage": ((REPLAY, "{type: replay, bound: 20}"),),
    "no time at all": (("{type: latency, bound: 50}", "{type: latency, bound: 0}"),),
    "a slice gate without slices": (("  slices: [carrier]\n", ""),),
    "a replay of nothing": (("capture: {sample: 0.5, redact: [hour]}", "capture: false"),),
    "predictions that nobody keeps": (
        ("sample: 0.5", "sample: 0"), ("  window: 7d", "  window: 7d\n  source: predictions"), (f"  - {REPLAY}\n", ""),
    ),
    "fairness without sensitive columns": (("  sensitive: [carrier]\n", ""),),
    "fairness of another column": (("column: carrier, bound: 0.2", "column: carier, bound: 0.2"),),
    "a rate of a regression": (*REGRESSION, (ESTIMATOR, "sklearn.ensemble.HistGradientBoostingRegressor"),
                               ("column: carrier, bound", "measure: equal_opportunity, bound")),
    # Schedules and the installation.
    "an hour that there is not": (('["@daily"]', '["0 25 * * *"]'),),
    "a schedule in words": (('["@daily"]', '["every day"]'),),
    "a day that never comes": (('["@daily"]', '["0 0 31 2 *"]'),),
    "a word of cron misspelt": (('["@daily"]', '["@dayly"]'),),
    "two schedules": (('["@daily"]', '["@daily", "@hourly"]'),),
    "what starts monitoring misspelt": (("monitor: [data]", "monitor: [dat]"),),
    "a policy's cron": (('"0 3 * * 0"', '"0 3 * * 9"'),),
    "a pool that there is not": (("pool: default_pool", "pool: heavi"),),
    # Several at once.
    "many at once": (
        ("task: binary", "task: binry"), ("window: 92d", "window: 92"), ("seed: 7", "seed: -1"),
        (METRIC, "{type: metric, bound: 60}"), ("type: permutation", "type: shapp"),
        ("columns: [distance]", "columns: [x]"),
        ('["@daily"]', '["0 25 * * *"]'), ("mostly: 0.9", "mostly: .inf"), ("target: late", "target: [late]"),
    ),
}  # fmt: skip


HEAD = f"""# {len(WRONG)} wrong model files, and what each is told

Written by `GOLDEN=write pytest tests/unit/spec/test_wrong_models.py`. The good file:

```yaml
{GOOD}```
"""


def edited(edits: Edits) -> str:
    """The good model file with these edits."""
    text = GOOD
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def told(folder: Path, edits: Edits) -> str:
    """What is said of the good model file with these edits."""
    (folder / "small").mkdir(exist_ok=True)
    (folder / "small" / FILE).write_text(edited(edits), encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_spec(folder / "small", pools=POOLS)
    return str(caught.value)


def part(name: str, edits: Edits, said: str) -> str:
    """What the golden file says of one case."""
    diff = [
        f"{sign} {line}" for pair in edits for sign, text in zip("-+", pair, strict=True) for line in text.split("\n")
    ]
    diff = [f"+ {line}" for line in edits[0][1].split("\n")] if edits[0][0] == GOOD else diff
    return f"## {name}\n\n```diff\n" + "\n".join(diff) + f"\n```\n\n```text\n{said}\n```\n"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of model projects: the good one, and each wrong one under its number."""
    folder = tmp_path_factory.mktemp("models")
    for name, text in [
        ("small", GOOD),
        *((f"m{number}", edited(edits)) for number, edits in enumerate(WRONG.values())),
    ]:
        (folder / name).mkdir()
        (folder / name / FILE).write_text(text.replace("name: small", f"name: {name}", 1), encoding="utf-8")
    return folder


def environment(models: Path) -> dict[str, str]:
    """That of a process that looks at these models."""
    home = {"SLIPSTREAM_STORE": str(models.parent / "store"), "AIRFLOW_HOME": str(models.parent / "airflow")}
    settled = {"AIRFLOW__CORE__LOAD_EXAMPLES": "False", "AIRFLOW__CORE__UNIT_TEST_MODE": "False"}
    return os.environ | home | settled | {"SLIPSTREAM_MODELS": str(models), "SLIPSTREAM_POOLS": ", ".join(POOLS)}


def test_the_good_file_is_good(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / FILE).write_text(GOOD)
    assert load_spec(tmp_path / "small", pools=POOLS).pool == "default_pool"


def test_each_is_told_what_the_golden_file_says(tmp_path: Path) -> None:
    assert len(WRONG) >= 100
    text = "\n".join([HEAD, *(part(name, edits, told(tmp_path, edits)) for name, edits in WRONG.items())])
    if os.environ.get("GOLDEN") == "write":
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_the_plan_refuses_each_and_shows_the_good_one(models: Path) -> None:
    command = [sys.executable, "-m", "slipstream.cli", "plan"]
    done = subprocess.run(command, env=environment(models), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    refused = [str(one) for one in load_specs(models, pools=POOLS) if isinstance(one, SpecError)]
    assert len(refused) == len(WRONG)
    assert [text for text in refused if text not in done.stderr] == []
    assert "small__train" in done.stdout


@pytest.mark.airflow
def test_airflow_refuses_each_and_shows_the_good_one(models: Path) -> None:
    code = f"""
import contextlib
import copy
import json
from pathlib import Path
from airflow.dag_processing.dagbag import DagBag
folder = Path({str(ROOT / "dags")!r})
bag = DagBag(folder, bundle_path=folder, bundle_name="dags-folder")
print(json.dumps([bag.import_errors, sorted(bag.dags)]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(models), capture_output=True, text=True, check=True
    )
    errors, dags = json.loads(done.stdout.splitlines()[-1])
    assert list(errors) == ["model_errors.py"]
    refused = [str(one) for one in load_specs(models, pools=POOLS) if isinstance(one, SpecError)]
    assert [text for text in refused if text not in errors["model_errors.py"]] == []
    assert {dag.rpartition("__")[0] for dag in dags} - {"", "example"} == {"small"}


STRANGE = (None, True, -1, "", [], [["a"]], {}, {"type": 3})


def test_whatever_stands_in_a_place_is_taken_or_told() -> None:
    document = read(GOOD, FILE)
    places = [place for place in document.keys if place]
    for place in places:
        for strange in STRANGE:
            changed = copy.deepcopy(document.value)
            around = changed
            for part_ in place[:-1]:
                around = around[part_]
            around[place[-1]] = strange
            with contextlib.suppress(SpecError):
                parse_spec(json.dumps(changed))
    assert len(places) > 80
