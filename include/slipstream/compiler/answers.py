"""What a fitted model answers, whatever it is made of, as an expression of matrices."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from slipstream.compiler.feature_column import Columns, Node, matrix
from slipstream.compiler.features import through
from slipstream.compiler.final_estimators import head, is_head
from slipstream.compiler.imported import taken
from slipstream.compiler.models import bayes, discriminant, ensembles, linear, neighbours, neural, plain, vectors
from slipstream.compiler.models.methods import Method, Rule, can
from slipstream.compiler.program import NotCompiled

DEEPEST = 6
"""Models within models up to so many levels are compiled."""

_RULES: dict[str, Rule] = {
    **linear.RULES,
    **bayes.RULES,
    **discriminant.RULES,
    **neural.RULES,
    **vectors.RULES,
    **neighbours.RULES,
}
_NESTED: dict[str, Callable[[Any, Columns, Method, Any], Node]] = ensembles.RULES


def answer(model: Any, columns: Columns, method: Method, depth: int = 0) -> Node:
    """What *model* answers to rows of *columns*.

    Args:
        model: A fitted model, or a pipeline or search around one.
        columns: Its inputs.
        method: Which of its methods; ``predict`` of a classifier gives the number of the class.
        depth: How many models it is inside of.

    Raises:
        NotCompiled: it cannot be compiled.
    """
    if depth > DEEPEST:
        raise NotCompiled(f"it is made of models within models, more than {DEEPEST} deep")
    *prepared, last = steps(model)
    no_sparse_for_xgboost(prepared, last)
    columns = prepare(prepared, columns)
    kind = type(last).__name__
    if is_head(last):
        return plain.answered(*head(last, columns), last, method)
    library = type(last).__module__.partition(".")[0]
    if library == "sklearn" and kind in _NESTED:
        return _NESTED[kind](last, columns, method, partial(answer, depth=depth + 1))
    if library == "sklearn" and kind in _RULES:
        if not can(last, method):
            raise NotCompiled(f"{kind} has no {method}")
        return _RULES[kind](last, matrix(columns), method)
    raise NotCompiled(f"{kind} is no model that is compiled")


def prepare(prepared: Iterable[Any], columns: Columns) -> Columns:
    """The columns behind fitted transformers."""
    for step in prepared:
        columns = taken(step, columns) if _is_adapter(step) else through(step, columns)
    return columns


def steps(estimator: Any) -> list[Any]:
    """The steps of a pipeline, with those of a pipeline at its end; a model alone is one step."""
    library, name = type(estimator).__module__.partition(".")[0], type(estimator).__name__
    if _is_adapter(estimator):
        return [estimator, *steps(estimator.estimator)]
    if library == "sklearn" and name in _AROUND:
        return steps(getattr(estimator, _AROUND[name]))
    if name != "Pipeline" or library not in {"sklearn", "imblearn"}:
        return [estimator]
    # What only resamples the rows of training does nothing to those that are answered.
    *first, last = (step for _, step in estimator.steps if not hasattr(step, "fit_resample"))
    return [*first, *steps(last)]


def _is_adapter(step: Any) -> bool:
    """Whether it stands around an imported estimator of scikit-learn, whose inputs it puts into order."""
    return type(step).__module__ == "slipstream.adapters.sklearn"


_AROUND = {
    **dict.fromkeys(
        ("GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV"), "best_estimator_"
    ),
    "FrozenEstimator": "estimator",
}
"""What only stands around the model that answers."""


def no_sparse_for_xgboost(prepared: Iterable[Any], model: Any) -> None:
    """Refuse XGBoost behind a sparse matrix."""
    if type(model).__module__.startswith("xgboost") and any(
        getattr(step, "sparse_output_", False) for step in prepared
    ):
        raise NotCompiled("XGBoost takes the zeros of a sparse matrix for missing values; set sparse_output to false")
