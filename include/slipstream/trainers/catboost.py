"""Trains with CatBoost: gradient boosting of oblivious trees, with statistics of categories that do not leak.

Prokhorenkova et al., NeurIPS 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from slipstream.trainers.boosting import BoosterPlan, BoosterRows, BoosterTrainer


@dataclass(frozen=True)
class CatboostTrainer(BoosterTrainer):
    """Fits a ``CatBoostClassifier`` or ``CatBoostRegressor``, as the task is.

    Attributes:
        parameters: The constructor's arguments. ``monotone_constraints`` and ``cat_features`` take names of inputs,
            ``class_weights`` labels.
        early_stopping: ``{rounds: 50, share: 0.1}``: stop when so many rounds brought nothing on a share of the
            training rows; empty: never.
    """

    word: ClassVar[str] = "catboost"
    rounds_word: ClassVar[str] = "iterations"
    weights_word: ClassVar[str] = "class_weights"
    whole_categories: ClassVar[bool] = True

    parameters: Mapping[str, Any] = field(default_factory=dict)
    early_stopping: Mapping[str, Any] = field(default_factory=dict)

    def _fit(self, plan: BoosterPlan, rows: BoosterRows) -> Any:
        model = _model(plan)
        model.fit(rows.table, rows.target, sample_weight=rows.weights)
        return model

    def _rounds(self, plan: BoosterPlan, rows: BoosterRows, watched: BoosterRows, patience: int) -> int:
        import catboost

        model = _model(plan, od_type="Iter", od_wait=patience, use_best_model=True)
        held = catboost.Pool(watched.table, watched.target, weight=watched.weights, cat_features=plan.categories)
        model.fit(rows.table, rows.target, sample_weight=rows.weights, eval_set=held)
        return int(model.tree_count_)

    def _errors(self) -> tuple[type[Exception], ...]:
        import catboost

        return (catboost.CatBoostError,)


def _model(plan: BoosterPlan, **more: Any) -> Any:
    import catboost

    from slipstream.trainers.catboost_labels import FlatCatBoostClassifier

    kinds: dict[str, Any] = {
        "binary": catboost.CatBoostClassifier,
        "multiclass": FlatCatBoostClassifier,
        "regression": catboost.CatBoostRegressor,
    }
    if plan.categories:
        more["cat_features"] = plan.categories
    settled = {"random_seed": plan.seed, "thread_count": plan.threads, "verbose": 0, "allow_writing_files": False}
    return kinds[plan.task](**plan.parameters, **settled, **more)
