"""How much of scikit-learn compiles: every classifier with probabilities and every regressor, on one small table.

``pytest -n 0 -s tests/unit/compiler/test_share.py`` prints the figure, which docs/endpoint.md holds, and what does not.
"""

from __future__ import annotations

import sys
import warnings
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from sklearn import linear_model
from sklearn.utils import all_estimators

from slipstream.bundle.sklearn_engine import SklearnEngine
from slipstream.compiler.compile import compile_pipeline
from slipstream.compiler.engine import CompiledEngine
from slipstream.compiler.program import NotCompiled
from slipstream.packaging.parity.comparison import check
from tests.unit.compiler.test_compile import columns_of, fitted, frame
from tests.unit.compiler.test_models import counts

GUIDE = Path(__file__).parents[3] / "docs/endpoint.md"
PARAMETERS: dict[str, dict[str, Any]] = {
    "SVC": {"probability": True},
    "NuSVC": {"probability": True, "nu": 0.2},
    "SGDClassifier": {"loss": "log_loss"},
    "VotingClassifier": {"voting": "soft"},
    "QuadraticDiscriminantAnalysis": {"reg_param": 0.1},
    "RadiusNeighborsClassifier": {"radius": 10.0},
    "FixedThresholdClassifier": {"threshold": 0.5},
}


def made_of(name: str, kind: Any, task: str) -> Any:
    """An estimator with its defaults, around a linear model where it needs one."""
    inner = linear_model.Ridge() if task == "positive" else linear_model.LogisticRegression(max_iter=2000)
    needed = [word for word, one in signature(kind).parameters.items() if one.default is one.empty]
    around: dict[str, Any] = {"estimator": inner} if "estimator" in needed else {}
    if "estimators" in needed:
        around = {"estimators": [("one", inner), ("other", inner)]}
    return kind(**around, **PARAMETERS.get(name, {}))


def served(name: str, kind: Any, task: str) -> str | None:
    """``compiled``, or why not; None for what cannot be fitted to one target of a table, or has no probabilities."""
    try:
        pipeline, schema, _ = fitted(counts(), made_of(name, kind, task), task, 120)
        if task == "binary" and not hasattr(pipeline, "predict_proba"):
            return None
    except (TypeError, ValueError, AttributeError, LookupError):
        return None
    try:
        compiled = compile_pipeline(pipeline, schema)
    except NotCompiled as error:
        return str(error)
    engine, held = CompiledEngine(compiled.files), columns_of(frame(60, seed=5))
    return check(engine, SklearnEngine(schema, pipeline), schema, [held], compiled.edges).reason or "compiled"


@pytest.mark.filterwarnings("ignore")
def test_the_share_of_scikit_learn_that_compiles(capsys: pytest.CaptureFixture[str]) -> None:
    figures = []
    for kind, task in (("classifier", "binary"), ("regressor", "positive")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answers = {name: served(name, cls, task) for name, cls in all_estimators(kind)}
        apart = ", ".join(name for name, answer in answers.items() if answer is None)
        answers = {name: answer for name, answer in answers.items() if answer}
        compiled = [name for name, answer in answers.items() if answer == "compiled"]
        figures.append(f"{len(compiled)} of {len(answers)} {kind}s")
        with capsys.disabled():
            lines = [f"  {name}: {answer}" for name, answer in answers.items() if answer != "compiled"]
            sys.stdout.write(
                "\n".join(["", figures[-1], *lines, f"  not for one target, or no probabilities: {apart}", ""])
            )
        assert len(compiled) >= 0.8 * len(answers)
    assert all(figure in GUIDE.read_text() for figure in figures), figures
