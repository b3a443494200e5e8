"""The suite of explainers: those that we ship keep it, and each broken explainer fails its check."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from slipstream.slots import EXPLAINER
from slipstream.testing import EXPLAINER_CHECKS, CheckFailed, ExplainerCase, check_explainer
from tests.sweeps import one_of

BROKEN = "tests.unit.testing.broken:BrokenExplainer"
TREES = {
    "binary": "sklearn.tree.DecisionTreeClassifier",
    "multiclass": "sklearn.tree.DecisionTreeClassifier",
    "regression": "sklearn.tree.DecisionTreeRegressor",
}


@pytest.mark.parametrize("word", EXPLAINER.builtin)
@pytest.mark.parametrize("check", one_of(3, EXPLAINER_CHECKS))
def test_every_explainer_keeps_its_promises(check: Callable[[ExplainerCase], None], word: str) -> None:
    if word == "shap":
        pytest.importorskip("shap")
    check(ExplainerCase({"type": word}))


def test_trees_are_explained_too() -> None:
    check_explainer({"type": "permutation", "rows": 100}, estimators=TREES)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("breaks", "check", "text"),
    [
        ("input", "weighs_every_input", "the inputs are distance, hour, carrier"),
        ("order", "weighs_every_input", "put the largest first"),
        ("wrong", "the_deciding_input_comes_first", "'hour' is the most important"),
        ("points", "effects_are_points", "has 101 points, of 100 rows explained"),
        ("finite", "effects_are_points", "1.0 is nan; give a finite number"),
        ("cases", "cases_tell_of_every_input", "effects of case 0 has"),
        ("plain", "gives_plain_values", "float32 is not JSON serializable"),
        ("seed", "same_seed_gives_the_same_explanation", "two explanations with seed 7 differ"),
        ("frame", "leaves_model_and_frame_alone", "explain changed the frame that it got"),
        ("type", "explains_or_refuses_other_models", "raised KeyError: 'coef_'; raise BackendError"),
    ],
)
def test_a_broken_explainer_fails_the_right_check(breaks: str, check: str, text: str) -> None:
    case = ExplainerCase({"type": BROKEN, "breaks": breaks}, ("binary",))
    with pytest.raises(CheckFailed) as caught:
        next(one for one in EXPLAINER_CHECKS if one.__name__ == check)(case)
    assert str(caught.value).startswith(f"explainer '{BROKEN}' fails {check}: ")
    assert text in str(caught.value)
