"""The suite of trainers: every estimator of the allow-list keeps it, and each broken trainer fails its check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from slipstream.spec.estimators import CLASSIFIERS, REGRESSORS
from slipstream.testing import TRAINER_CHECKS, CheckFailed, TrainerCase, check_trainer
from slipstream.testing.suite import run_checks
from tests.sweeps import one_of

BROKEN = "tests.unit.testing.broken"
SMALL = {"HistGradient": {"max_iter": 5}, "sklearn.ensemble": {"n_estimators": 5}}
SHIPPED = [
    TrainerCase({"type": "sklearn", "estimator": "sklearn.linear_model.LogisticRegression"}, ("binary", "multiclass")),
    TrainerCase(
        {
            "type": "sklearn",
            "estimator": "sklearn.ensemble.HistGradientBoostingRegressor",
            "parameters": {"max_iter": 5, "monotonic_cst": {"distance": 1}},
        },
        ("regression",),
    ),
]


@pytest.mark.parametrize("case", SHIPPED, ids=lambda case: case.config["estimator"].rpartition(".")[2])
@pytest.mark.parametrize("check", TRAINER_CHECKS)
def test_sklearn_keeps_its_promises(check: Callable[[TrainerCase], None], case: TrainerCase) -> None:
    check(case)


# That little data does not converge is not what is asked here.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", one_of(6, [*CLASSIFIERS, *REGRESSORS]))
def test_every_estimator_keeps_them(estimator: str) -> None:
    parameters = next((value for word, value in SMALL.items() if word in estimator), {})
    tasks: Any = ("regression",) if estimator in REGRESSORS else ("binary", "multiclass")
    checks = [check for check in TRAINER_CHECKS if check.__name__ != "another_process_gives_the_same_model"]
    run_checks(TrainerCase({"type": "sklearn", "estimator": estimator, "parameters": parameters}, tasks), checks)


@pytest.mark.parametrize(
    ("name", "arguments", "check", "text"),
    [
        ("Thawed", {}, "stores_its_arguments", "Thawed is no frozen dataclass; write @dataclass(frozen=True)"),
        ("TakesAnything", {}, "refuses_unknown_arguments", "it was built with the argument 'no_such_argument'"),
        ("IgnoresTheSeed", {}, "same_seed_gives_the_same_model", "binary: two fits with seed 7 gave other bytes"),
        ("DependsOnTheProcess", {}, "another_process_gives_the_same_model", "sort what comes from a set"),
        ("ChangesTheFrame", {}, "leaves_the_frame_alone", "fit changed the frame that it got"),
        ("TurnsProbabilities", {}, "probabilities_follow_the_classes", "put the columns in the order [0, 1]"),
        ("TurnsProbabilities", {}, "model_can_be_stored", "broken.Backwards' isn't trusted"),
        ("FailsOnMissing", {}, "missing_values_are_taken_or_refused", "Input X contains NaN"),
        ("FailsOnMissing", {}, "words_are_taken_or_refused", "encode words, or name the column"),
        ("DropsParameters", {"parameters": {}}, "refuses_unknown_parameters", "it took the parameter 'no_such_param"),
    ],
)
def test_a_broken_trainer_fails_the_right_check(name: str, arguments: dict[str, Any], check: str, text: str) -> None:
    case = TrainerCase({"type": f"{BROKEN}:{name}", **arguments}, ("binary",))
    with pytest.raises(CheckFailed) as caught:
        next(one for one in TRAINER_CHECKS if one.__name__ == check)(case)
    assert str(caught.value).startswith(f"trainer '{BROKEN}:{name}' fails {check}: ")
    assert text in str(caught.value)


def test_arguments_that_are_no_plain_data_are_refused() -> None:
    case = TrainerCase({"type": f"{BROKEN}:DropsParameters", "parameters": {"weights": (1, 2)}}, ("binary",))
    with pytest.raises(CheckFailed, match="take lists for tuples"):
        next(check for check in TRAINER_CHECKS if check.__name__ == "takes_plain_arguments")(case)


def test_one_call_names_every_broken_promise() -> None:
    with pytest.raises(CheckFailed) as caught:
        check_trainer({"type": f"{BROKEN}:TurnsProbabilities"}, tasks=("binary",))
    failed = [line.split(" fails ")[1].split(":")[0] for line in str(caught.value).splitlines()]
    assert {"probabilities_follow_the_classes", "model_can_be_stored"} <= set(failed)
    assert "leaves_the_frame_alone" not in failed


def test_an_unknown_task_or_word_is_the_callers_mistake() -> None:
    with pytest.raises(CheckFailed, match="No trainer is called 'skleren'"):
        check_trainer({"type": "skleren"}, tasks=("binary",))
