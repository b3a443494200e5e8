"""Explainers: contributions add up to the answers, known causes come out on top, and what cannot be done is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from slipstream.errors import BackendError
from slipstream.explainers.permutation import PermutationExplainer
from slipstream.explainers.shap import ShapExplainer
from slipstream.slots import EXPLAINER, Explanation
from slipstream.spec.estimators import CALIBRATED, CLASSIFIERS, REGRESSORS
from slipstream.store.objects import canonical_json
from slipstream.trainers.sklearn import SklearnTrainer

LINEAR = (
    "LogisticRegression",
    "LinearRegression",
    "Ridge",
    "Lasso",
    "ElasticNet",
    "HuberRegressor",
    "Poisson",
    "Gamma",
)
TREES = ("Tree", "Forest", "GradientBoosting", "ExtraTrees")


def frame(task: str, rows: int = 400) -> pd.DataFrame:
    """*cause* decides, *carrier* helps, *noise* does nothing; some values are missing."""
    random = np.random.default_rng(3)
    cause, noise = random.normal(size=rows), random.normal(size=rows)
    carrier = random.choice(np.array(["AA", "UA", "B6"], dtype=object), rows)
    carrier[::17] = None
    score = 2 * cause + (carrier == "UA") + random.normal(size=rows) * 0.1
    target: Any = np.exp(score / 2)
    if task == "binary":
        target = (score > 0).astype(int)
    if task == "multiclass":
        target = np.array(["low", "mid", "top"], dtype=object)[np.digitize(score, [-1, 1])]
    noise[::13] = np.nan
    return pd.DataFrame({"cause": cause, "noise": noise, "carrier": carrier, "y": target})


def case(make_spec: Any, task: str, estimator: str, **parameters: Any) -> tuple[Any, Any, pd.DataFrame]:
    """A spec, an estimator fitted on :func:`frame`, and the frame."""
    metric = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "mae"}[task]
    trainer = {"type": "sklearn", "estimator": estimator, "parameters": parameters}
    inputs = ["cause", "noise", "carrier"]
    spec = make_spec(task=task, target="y", inputs=inputs, train={"trainer": trainer}, evaluate={"metric": metric})
    data = frame(task)
    return spec, SklearnTrainer(estimator, parameters).fit(spec, data, 7), data


def small(estimator: str) -> dict[str, Any]:
    """Parameters that make the ensembles quick."""
    name = estimator.rpartition(".")[2]
    if name.startswith("HistGradient"):
        return {"max_iter": 20}
    return {"n_estimators": 10} if "sklearn.ensemble" in estimator else {}


def check(found: Explanation, rows: int) -> None:
    """What every explanation keeps."""
    assert found.rows == rows
    assert next(iter(found.importance)) == "cause"
    assert list(found.importance.values()) == sorted(found.importance.values(), reverse=True)
    assert set(found.importance) == {"cause", "noise", "carrier"}
    assert {"row", "prediction", "base", "effects"} == set(found.cases[0])
    assert all(len(points) for points in found.effects.values())
    canonical_json([list(found.effects.values()), list(found.cases)])  # no NaN, no NumPy value


EXACT = [(e, t) for e in (*CLASSIFIERS, *REGRESSORS) for t in ("binary", "multiclass", "regression")]
EXACT = [
    (estimator, task)
    for estimator, task in EXACT
    if (estimator in REGRESSORS) == (task == "regression")
    and any(word in estimator for word in (*LINEAR, *TREES))
    and not estimator.endswith((".Lasso", ".ElasticNet"))
    and estimator not in CALIBRATED
    and "kernel_ridge" not in estimator
]


@pytest.mark.parametrize(("estimator", "task"), EXACT)
def test_shap_adds_up_for_every_tree_and_linear_model(make_spec: Any, estimator: str, task: str) -> None:
    pytest.importorskip("shap")
    spec, fitted, data = case(make_spec, task, estimator, **small(estimator))
    if task == "multiclass" and estimator.endswith(".GradientBoostingClassifier"):
        with pytest.raises(BackendError, match="type: permutation"):
            ShapExplainer(rows=50).explain(spec, fitted, data, 7)
        return
    found = ShapExplainer(rows=50).explain(spec, fitted, data, 7)
    check(found, 50)
    for one in found.cases:
        total, answer = one["base"] + sum(one["effects"].values()), one["prediction"]
        links = {"log-odds": lambda v: 1 / (1 + np.exp(-v)), "log of y": np.exp}
        if found.scale != "score of the likeliest class":
            assert links.get(found.scale, float)(total) == pytest.approx(answer, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    ("estimator", "scale"),
    [
        ("sklearn.ensemble.HistGradientBoostingClassifier", "log-odds"),
        ("sklearn.linear_model.LogisticRegression", "log-odds"),
        ("sklearn.ensemble.RandomForestClassifier", "probability"),
    ],
)
def test_shap_names_its_scale(make_spec: Any, estimator: str, scale: str) -> None:
    pytest.importorskip("shap")
    spec, fitted, data = case(make_spec, "binary", estimator, **small(estimator))
    assert ShapExplainer(rows=50).explain(spec, fitted, data, 7).scale == scale


@pytest.mark.parametrize("estimator", ["sklearn.neighbors.KNeighborsClassifier", "sklearn.naive_bayes.GaussianNB"])
def test_shap_refuses_what_it_has_no_exact_method_for(make_spec: Any, estimator: str) -> None:
    pytest.importorskip("shap")
    spec, fitted, data = case(make_spec, "binary", estimator)
    with pytest.raises(BackendError, match=r"use explain: \{type: permutation\}") as refused:
        ShapExplainer(rows=50).explain(spec, fitted, data, 7)
    assert refused.value.code == "explainer_unsuitable"


@pytest.mark.parametrize(
    ("estimator", "task"),
    [
        ("sklearn.linear_model.LogisticRegression", "binary"),
        ("sklearn.naive_bayes.GaussianNB", "multiclass"),
        ("sklearn.neighbors.KNeighborsRegressor", "regression"),
    ],
)
def test_permutation_explains_anything(make_spec: Any, estimator: str, task: str) -> None:
    spec, fitted, data = case(make_spec, task, estimator)
    explainer = PermutationExplainer(rows=200)
    found = explainer.explain(spec, fitted, data, 7)
    check(found, 200)
    assert found == explainer.explain(spec, fitted, data, 7)
    assert abs(found.importance["noise"]) < found.importance["cause"] / 10


def test_permutation_agrees_with_scikit_learn(make_spec: Any) -> None:
    from sklearn.inspection import permutation_importance

    spec, fitted, data = case(make_spec, "binary", "sklearn.linear_model.LogisticRegression")
    mine = PermutationExplainer(repeats=10).explain(spec, fitted, data, 7).importance
    inputs = list(spec.inputs)
    theirs = permutation_importance(fitted, data[inputs], data["y"], scoring="roc_auc", n_repeats=10, random_state=1)
    expected = dict(zip(inputs, theirs.importances_mean, strict=True))
    assert mine == pytest.approx(expected, abs=0.02)


def test_a_label_that_training_never_saw_is_left_out(make_spec: Any) -> None:
    spec, fitted, data = case(make_spec, "multiclass", "sklearn.naive_bayes.GaussianNB")
    data.loc[:9, "y"] = "never seen"
    assert PermutationExplainer().explain(spec, fitted, data, 7).rows == 390


def test_one_class_in_the_held_out_rows_is_said(make_spec: Any) -> None:
    spec, fitted, data = case(make_spec, "binary", "sklearn.linear_model.LogisticRegression")
    with pytest.raises(BackendError, match="roc_auc is not defined") as refused:
        PermutationExplainer().explain(spec, fitted, data[data["y"] == 1], 7)
    assert refused.value.code == "explainer_unsuitable"


def test_a_column_that_is_all_missing_has_no_dependence(make_spec: Any) -> None:
    spec, fitted, data = case(make_spec, "regression", "sklearn.linear_model.Ridge")
    data["noise"], data["carrier"] = np.nan, None
    found = PermutationExplainer(rows=50).explain(spec, fitted, data, 7)
    assert (found.effects["noise"], found.effects["carrier"]) == ([], [])


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"type": "permutation", "rows": 2001}, "rows must be 1 to 2000"),
        ({"type": "shap", "rows": 0}, "rows must be 1 to 2000"),
        ({"type": "shap", "depth": 1}, "unexpected keyword argument 'depth'"),
        ({"type": "sahp"}, "Did you mean 'shap'"),
    ],
)
def test_wrong_arguments_are_said(make_spec: Any, config: dict[str, Any], text: str) -> None:
    pytest.importorskip("shap")
    spec, fitted, data = case(make_spec, "binary", "sklearn.naive_bayes.GaussianNB")
    with pytest.raises(BackendError, match=text):
        EXPLAINER.build(config).explain(spec, fitted, data, 7)
