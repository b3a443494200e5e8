"""Every classifier and regressor of scikit-learn can be named, or is refused with its reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.utils import all_estimators

from slipstream.errors import SpecError
from slipstream.spec.estimators import CALIBRATED, CLASSIFIERS, REFUSED, REGRESSORS


def public(kind: type) -> str:
    """The import path that people write: ``sklearn.svm._classes.SVC`` -> ``sklearn.svm.SVC``."""
    words = kind.__module__.split(".")
    private = next((place for place, word in enumerate(words) if word.startswith("_")), len(words))
    return ".".join([*words[:private], kind.__name__])


@pytest.mark.parametrize(("kind", "named"), [("classifier", CLASSIFIERS), ("regressor", REGRESSORS)])
def test_none_is_forgotten(kind: str, named: tuple[str, ...]) -> None:
    there = {public(estimator) for _, estimator in all_estimators(kind)}
    assert there - set(REFUSED) == set(named)
    assert not set(named) & set(REFUSED)


def test_those_that_tell_no_probability_are_calibrated() -> None:
    kinds = {public(kind): kind for _, kind in all_estimators("classifier")}
    assert {path for path in CLASSIFIERS if not hasattr(kinds[path](), "predict_proba")} == CALIBRATED


@pytest.mark.parametrize("path", ["sklearn.ensemble.StackingClassifier", "sklearn.naive_bayes.CategoricalNB"])
def test_the_reason_is_told(make_spec: Callable[..., Any], path: str) -> None:
    with pytest.raises(SpecError) as caught:
        make_spec(train={"trainer": {"type": "sklearn", "estimator": path}})
    assert REFUSED[path] in str(caught.value)
