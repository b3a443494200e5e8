"""What a model of own code answers is looked at before anything is made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from slipstream.errors import StageError
from slipstream.spec.model import ModelSpec
from slipstream.stages.train import train
from slipstream.store import Store

CLASSIFIER = """
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
class Own(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_ = {classes}
        return self
    def share(self, X):
        return 1 / (1 + np.exp(-X["hour"].to_numpy() / 12))
    def predict_proba(self, X):
        p = self.share(X)
        {answer}
    def predict(self, X):
        return self.classes_[np.zeros(len(X), dtype=int)]
def build():
    return Own()
"""
REGRESSOR = """
import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
class Own(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        self.fitted_ = True
        return self
    def predict(self, X):
        hour = X["hour"].to_numpy()
        {answer}
def build():
    return Own()
"""
GOOD = "return np.column_stack([1 - p, p])"
CLASSIFIERS = {
    "columns the other way round": ("np.unique(y)[::-1]", GOOD, r"classes_ is \[1, 0\]; let it be np.unique\(y\)"),
    "no classes": ("None", GOOD, "Own has no classes_; let fit set self.classes_"),
    "one column": ("np.unique(y)", "return p", r"with the shape \(600,\); it has to be \(600, 2\): a column for"),
    "no numbers": ("np.unique(y)", "return np.column_stack([p, p * np.nan])", "600 of 600 .* such as .*nan"),
    "no probabilities": (
        "np.unique(y)",
        "return np.column_stack([1 - 50 * p, 50 * p])",
        "such as .*; they lie between",
    ),
    "not whole": ("np.unique(y)", "return np.column_stack([p, p])", "what are no probabilities"),
    "raises": ("np.unique(y)", "return X['gone']", "predict_proba raised KeyError on 600 training rows: 'gone'; mend"),
    "raises on one row": (
        "np.unique(y)",
        "assert len(X) > 1, 'too few'; " + GOOD,
        "predict_proba raised AssertionError on one row alone: too few; mend it",
    ),
    "by the others": (
        "np.unique(y)",
        "p = (p - p.min() + 0.1) / (np.ptp(p) + 0.2); " + GOOD,
        "alone and with .* among .*let nothing depend on the rows beside it",
    ),
}
REGRESSORS = {
    "two columns": ("return np.column_stack([hour, hour])", r"the shape \(600, 2\); it has to be \(600,\)"),
    "no numbers": ("return np.where(hour > 20, np.nan, hour)", "training rows with no number, row [0-9]+ first"),
    "by the others": ("return hour - hour.mean()", "answers a row with 0 alone and with"),
}


@pytest.fixture
def fit(make_spec: Callable[..., ModelSpec], committed: Any, make_rows: Any, store: Store) -> Callable[..., Any]:
    """``fit(source, **changes)``: what training by that model.py gives."""

    def fitting(source: str, **changes: Any) -> Any:
        spec = make_spec(train={"trainer": {"type": "python", "function": "build"}, "holdout": 0.2}, **changes)
        (spec.folder / "model.py").write_text(source)
        return train(spec, store, committed(spec, make_rows(750)).id)

    return fitting


@pytest.mark.parametrize("case", CLASSIFIERS)
def test_a_classifier(case: str, fit: Callable[..., Any], store: Store) -> None:
    classes, answer, text = CLASSIFIERS[case]
    with pytest.raises(StageError, match=text) as caught:
        fit(CLASSIFIER.format(classes=classes, answer=answer))
    assert caught.value.code == "answers_invalid"
    assert str(caught.value).startswith("small: the trainer python: ")
    assert not store.ledger.state().model("small").on("train")


@pytest.mark.parametrize("case", REGRESSORS)
def test_a_regressor(case: str, fit: Callable[..., Any]) -> None:
    answer, text = REGRESSORS[case]
    with pytest.raises(StageError, match=text) as caught:
        fit(REGRESSOR.format(answer=answer), task="regression", target="delay", evaluate={"metric": "mae"})
    assert caught.value.code == "answers_invalid"


def test_what_answers_well_is_taken(fit: Callable[..., Any]) -> None:
    assert fit(CLASSIFIER.format(classes="np.unique(y)", answer=GOOD)).candidate


def test_one_of_several_classes(fit: Callable[..., Any], make_rows: Any) -> None:
    source = CLASSIFIER.format(
        classes="np.unique(y)[::-1]", answer="return np.column_stack([p / 3, p / 3, 1 - 2 * p / 3])"
    )
    with pytest.raises(StageError, match=r"classes_ is \['C', 'B', 'A'\]"):
        fit(source, task="multiclass", target="carrier", inputs=["hour"], evaluate={"metric": "log_loss"})
