"""One rule for probabilities about one half: what is answered, one row or many, what is judged, and what is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from slipstream.bundle.scorer import Scorer
from slipstream.bundle.sklearn_engine import SklearnEngine
from slipstream.model_schema import Field, Schema
from slipstream.statistics.curves import calibration, confusion, roc
from slipstream.statistics.metrics import decide

SCHEMA = Schema("binary", "late", (Field("x", "number", nullable=True),), ("no", "yes"), "yes")
BELOW = np.nextafter(0.5, 0)
CHANCES = [(0.5, 0.5), (BELOW, 0.5), (0.5, BELOW), (BELOW, np.nextafter(0.5, 1)), (0.5, np.nextafter(0.5, 1))]
LABELS = ["no", "no", "no", "yes", "yes"]
"""By the second column, which is what callers see; the first may be a rounding beside the rest to one."""


class Told:
    """An engine that answers what is planned, over and over."""

    def run(self, columns: Any) -> Any:
        rows = len(columns["x"])
        return np.array([CHANCES[number % len(CHANCES)] for number in range(rows)])


@pytest.mark.parametrize("times", [1, 50])
def test_what_is_answered_is_what_is_judged(times: int) -> None:
    said = Scorer(SCHEMA, (), Told()).predict({"x": [0.0] * (len(CHANCES) * times)})
    assert said.predictions == LABELS * times
    assert [SCHEMA.classes[place] for place in decide(np.array(said.probabilities))] == said.predictions
    truth = np.ones(len(said.predictions), dtype=int)
    assert confusion(truth, np.array(said.probabilities), 2)[1] == [3 * times, 2 * times]


def test_scikit_learn_may_say_the_other_label_at_one_half() -> None:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression()
    model.classes_, model.coef_, model.intercept_ = np.array(["no", "yes"]), np.array([[1e-30]]), np.array([0.0])
    model.n_features_in_, model.feature_names_in_ = 1, np.array(["x"], dtype=object)
    engine = SklearnEngine(SCHEMA, model)
    assert engine.run({"x": [1e10]}).tolist() == [[0.5, 0.5]]
    assert Scorer(SCHEMA, (), engine).predict({"x": [1e10]}).predictions == ["no"]
    import pandas as pd

    assert model.predict(pd.DataFrame({"x": [1e10]})).tolist() == ["yes"], "by a score of 1e-20, which nobody sees"


@pytest.mark.parametrize("label", [0, 1])
def test_of_one_class_there_is_no_roc_curve(label: int) -> None:
    assert roc(np.full(10, label), np.linspace(0, 1, 10)) == []


def test_equal_answers_share_a_bin_of_the_calibration_curve() -> None:
    answer = np.repeat([0.1, 0.2, 0.9], [450, 100, 450])
    truth = np.tile([0, 1], 500)
    found = calibration(truth, answer)
    assert [(bin_["answer"], bin_["rows"]) for bin_ in found] == [
        (pytest.approx(0.1), 450),
        (pytest.approx(0.2), 100),
        (pytest.approx(0.9), 450),
    ]
    spread = calibration(truth, np.random.default_rng(0).random(1000))
    assert [bin_["rows"] for bin_ in spread] == [100] * 10
