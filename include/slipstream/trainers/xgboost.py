"""Trains with XGBoost: gradient boosting over histograms, with categories and missing values of its own.

Chen and Guestrin, KDD 2016.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from slipstream.trainers.boosting import BoosterPlan, BoosterRows, BoosterTrainer


@dataclass(frozen=True)
class XgboostTrainer(BoosterTrainer):
    """Fits an ``XGBClassifier`` or ``XGBRegressor``, as the task is.

    Attributes:
        parameters: The constructor's arguments, and ``class_weight``, which XGBoost has not. ``monotone_constraints``,
            ``interaction_constraints`` and ``categorical_features`` take names of inputs.
        early_stopping: ``{rounds: 50, share: 0.1}``: stop when so many rounds brought nothing on a share of the
            training rows; empty: never.
    """

    word: ClassVar[str] = "xgboost"
    rounds_word: ClassVar[str] = "n_estimators"
    weights_word: ClassVar[str] = "class_weight"

    parameters: Mapping[str, Any] = field(default_factory=dict)
    early_stopping: Mapping[str, Any] = field(default_factory=dict)

    def _fit(self, plan: BoosterPlan, rows: BoosterRows) -> Any:
        model = _model(plan, rows.table.shape[1])
        model.fit(rows.table, rows.target, sample_weight=rows.weights)
        return model.set_params(n_jobs=1)

    def _rounds(self, plan: BoosterPlan, rows: BoosterRows, watched: BoosterRows, patience: int) -> int:
        model = _model(plan, rows.table.shape[1]).set_params(early_stopping_rounds=patience)
        model.fit(
            rows.table,
            rows.target,
            sample_weight=rows.weights,
            eval_set=[(watched.table, watched.target)],
            sample_weight_eval_set=None if watched.weights is None else [watched.weights],
            verbose=False,
        )
        return int(model.best_iteration) + 1

    def _errors(self) -> tuple[type[Exception], ...]:
        import xgboost

        return (xgboost.core.XGBoostError,)


def _model(plan: BoosterPlan, width: int) -> Any:
    import xgboost

    from slipstream.trainers.xgboost_labels import LabelXGBClassifier

    kinds: dict[str, Any] = {
        "binary": xgboost.XGBClassifier,
        "multiclass": LabelXGBClassifier,
        "regression": xgboost.XGBRegressor,
    }
    parameters = dict(plan.parameters)
    for name, opening, closing in (("monotone_constraints", "(", ")"), ("interaction_constraints", "[", "]")):
        if isinstance(parameters.get(name), list):  # as text, which XGBoost takes for columns without names
            parameters[name] = opening + ",".join(map(str, parameters[name])) + closing
    if plan.categories:
        types = ["c" if place in plan.categories else "q" for place in range(width)]
        parameters |= {"enable_categorical": True, "feature_types": types}
    return kinds[plan.task](**parameters, random_state=plan.seed, n_jobs=plan.threads, verbosity=0)
