"""Constraints, categories and weights by name hit what they name: asked of the packaged model, not read from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from slipstream.bundle import skops_file
from slipstream.bundle.bundle import open_bundle
from slipstream.bundle.scorer import Answers, Scorer, load_scorer
from slipstream.bundle.sklearn_engine import SklearnEngine
from slipstream.errors import SpecError
from slipstream.spec.loader import parse_spec
from slipstream.spec.model import ModelSpec
from slipstream.stages.evaluate import evaluate
from slipstream.stages.explain import explain
from slipstream.stages.package import package
from slipstream.stages.train import train
from slipstream.store import Store
from tests.sweeps import one_of

Build = Callable[..., tuple[Scorer, Scorer]]
HIST = "sklearn.ensemble.HistGradientBoostingRegressor"
ROWS = 1200


@pytest.fixture
def build(store: Store, make_spec: Callable[..., ModelSpec], committed: Any, tmp_path: Path) -> Build:
    """``build(estimator, parameters)``: the compiled scorer of the packaged model, and scikit-learn's own answers."""

    def building(estimator: str, parameters: dict[str, Any], **keys: Any) -> tuple[Scorer, Scorer]:
        random = np.random.default_rng(2)
        city, price, age = (
            random.choice(["a", "b", "c"], ROWS),
            random.uniform(0, 10, ROWS),
            random.uniform(0, 10, ROWS),
        )
        demand = 50 - 3 * price + 4 * np.sin(2 * price) + 2 * age + 5 * (city == "a")
        zone = random.integers(0, 12, ROWS)
        table = {"id": range(ROWS), "city": city, "price": price, "age": age, "zone": zone}
        table |= {"demand": demand + 9 * (zone % 2), "dear": demand > 50}
        trainer = {"type": "sklearn", "estimator": estimator, "parameters": parameters}
        said: dict[str, Any] = {"task": "regression", "target": "demand"}
        said |= {"evaluate": {"metric": "rmse", "bootstrap": 20}}
        said |= {"inputs": ["city", "price", "age", "zone"], "train": {"trainer": trainer}}
        spec = make_spec(data={"source": {"type": "files", "path": "*.csv"}}, **said | keys)
        dataset = committed(spec, pa.table(table)).id
        trained = train(spec, store, dataset)
        runs = evaluate(spec, store, trained.candidate).run, explain(spec, store, trained.candidate).run
        made = package(spec, store, trained.candidate, *runs, keys=tmp_path / "keys", bentos=tmp_path / "bentos")
        scorer = load_scorer(open_bundle(store, made.bundle))
        plain = Scorer(
            scorer.schema, (), SklearnEngine(scorer.schema, skops_file.load(store.objects.get(trained.model)))
        )
        return scorer, plain

    return building


def asked(scorer: Scorer, **columns: Any) -> Answers:
    count = max(len(values) for values in columns.values() if isinstance(values, list))
    plain = {"city": "b", "price": 5.0, "age": 5.0, "zone": 3} | columns
    return scorer.predict(
        {name: value if isinstance(value, list) else [value] * count for name, value in plain.items()}
    )


MONOTONE = [
    (HIST, {"price": -1}),
    (HIST, [0, -1, 1, 0]),
    ("sklearn.ensemble.RandomForestRegressor", {"price": -1, "age": 1}),
    ("sklearn.ensemble.ExtraTreesRegressor", [0, -1, 0, 0]),
    ("sklearn.tree.DecisionTreeRegressor", {"price": -1}),
]


@pytest.mark.parametrize(("estimator", "signs"), one_of(3, MONOTONE))
def test_a_constraint_holds_for_the_input_that_it_names(estimator: str, signs: Any, build: Build) -> None:
    prices = np.linspace(0.1, 9.9, 60).tolist()
    small = {"max_iter": 30} if estimator == HIST else {"n_estimators": 10} if "ensemble" in estimator else {}
    for scorer in build(estimator, {"monotonic_cst": signs, **small}):
        for city in ("a", "b", "c"):
            told = asked(scorer, price=prices, city=city).predictions
            assert np.diff(told).max() <= 0
    free = asked(build(estimator, small)[0], price=prices).predictions
    assert np.diff(free).max() > 1  # without it they rise


def test_inputs_that_may_not_act_together_add_up(build: Build) -> None:
    for groups in ([["price"], ["city", "age", "zone"]], "no_interactions"):
        scorer, _ = build(HIST, {"interaction_cst": groups})
        told = asked(scorer, price=[1.0, 9.0, 1.0, 9.0], age=[1.0, 1.0, 9.0, 9.0]).predictions
        assert told[1] - told[0] == pytest.approx(told[3] - told[2], abs=1e-6)


@pytest.mark.parametrize("named", [["city", "zone"], [0, 3], [True, False, False, True]])
def test_histogram_boosting_uses_its_own_categories(named: Any, build: Build) -> None:
    scorer, plain = build(HIST, {"categorical_features": named, "max_iter": 30})
    assert scorer.engine_name == "compiled"
    columns = {"city": ["a", "b", "c", "never"] * 3, "zone": [*range(10), 99, -3]}
    told = asked(scorer, **columns).predictions
    assert told == pytest.approx(asked(plain, **columns).predictions, abs=1e-9)
    by_zone = asked(scorer, zone=list(range(12))).predictions
    assert min(by_zone[1::2]) > max(by_zone[0::2])  # zones are no scale: every second one is dearer


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no input": ({"monotonic_cst": {"prise": -1}}, "no input is called 'prise'; did you mean 'price'?"),
    "no number": ({"monotonic_cst": {"city": 1}}, "input 'city' is no number"),
    "no sign": ({"monotonic_cst": {"price": 2}}, "2 for 'price'; write 1 (rises)"),
    "too short": ({"monotonic_cst": [-1]}, "1 entries; write {input: 1 or -1}, or a list of 4"),
    "no position": ({"categorical_features": [7]}, "7 is no position among the 4 inputs"),
    "no plain sign": ({"monotonic_cst": {"price": [1]}}, "[1] for 'price'; write 1 (rises)"),
    "sign and categories": (
        {"monotonic_cst": {"zone": 1}, "categorical_features": ["zone"]},
        "input 'zone' stands in categorical_features too",
    ),
    "too many categories": ({"categorical_features": ["price"]}, "input 'price' has 9"),
    "more than the bins": ({"categorical_features": ["zone"], "max_bins": 8}, "'zone' has 12 values, an input of cat"),
    "no types": ({"categorical_features": "from_dtype"}, "expected a list such as [a, b] or null, got 'from_dtype'"),
    "no groups": ({"interaction_cst": ["price"]}, "write groups of inputs"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_points_nowhere_is_a_spec_error(case: str, build: Build) -> None:
    parameters, said = WRONG[case]
    with pytest.raises(SpecError) as refused:
        build(HIST, parameters)
    assert refused.value.code == "spec_parameter_invalid"
    assert said in str(refused.value)


WEIGHTED = """
name: small
task: binary
target: y
inputs: [x]
data: {source: {type: files, path: "*.csv"}}
train:
  trainer: {type: sklearn, estimator: sklearn.linear_model.LogisticRegression, parameters: {class_weight: WEIGHT}}
evaluate: {metric: roc_auc}
"""


@pytest.mark.parametrize(
    ("labels", "weight"),
    [
        ([0, 1], "{0: 1, 1: 9}"),
        ([0, 1], '{"0": 1, "1": 9}'),
        ([False, True], "{false: 1, true: 9}"),
        (["no", "yes"], "{no: 1, yes: 9}"),
        ([1, 2], "{1: 1, 2: 9}"),
        ([0, 1], "{1: 9}"),  # the others weigh 1
    ],
)
def test_class_weights_take_the_labels_as_they_are(
    labels: list[Any], weight: str, store: Store, make_spec: Callable[..., ModelSpec], committed: Any
) -> None:
    said = parse_spec(WEIGHTED.replace("WEIGHT", weight)).train.trainer
    random = np.random.default_rng(0)
    x = random.normal(size=900)
    y = [labels[int(value)] for value in x + random.normal(size=900) > 1.5]
    chances = []
    for parameters in ({}, dict(said["parameters"])):
        trainer = {**said, "parameters": parameters}
        spec = make_spec(target="y", inputs=["x"], data={"source": {"type": "files", "path": "*.csv"}}).model_copy(
            update={"positive": 2 if labels == [1, 2] else None}
        )
        spec = spec.model_copy(update={"train": spec.train.model_copy(update={"trainer": trainer})})
        trained = train(spec, store, committed(spec, pa.table({"x": x, "y": y})).id)
        model = skops_file.load(store.objects.get(trained.model))
        import pandas as pd

        chances.append(model.predict_proba(pd.DataFrame({"x": [0.0]}))[0, 1])
    assert chances[1] > 2 * chances[0]


@pytest.mark.parametrize("weight", [{"0": 1, "2": 3}, {"2": 3}])
def test_weights_of_labels_that_are_not_there_are_refused(
    weight: dict[str, int], store: Store, make_spec: Callable[..., ModelSpec], committed: Any, make_rows: Any
) -> None:
    trainer = {"type": "sklearn", "estimator": "sklearn.linear_model.LogisticRegression"}
    spec = make_spec(train={"trainer": {**trainer, "parameters": {"class_weight": weight}}})
    labels = pa.array([n % 2 for n in range(600)])
    with pytest.raises(SpecError) as refused:
        train(spec, store, committed(spec, make_rows(late=labels)).id)
    assert refused.value.code == "spec_parameter_invalid"
    assert "'2' is no label of 'late'" in str(refused.value)


def test_a_label_weighed_twice_is_refused(store: Store, committed: Any) -> None:
    """YAML tells 1 and "1" apart; the target does not."""
    spec = parse_spec(WEIGHTED.replace("WEIGHT", '{0: 1, 1: 1, "1": 9}'))
    table = pa.table({"x": np.arange(900.0), "y": [n % 2 for n in range(900)]})
    with pytest.raises(SpecError, match="label 1 is named twice") as refused:
        train(spec, store, committed(spec, table).id)
    assert refused.value.code == "spec_parameter_invalid"
