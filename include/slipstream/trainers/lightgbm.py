"""Trains with LightGBM: gradient boosting over histograms, with categories and missing values of its own.

Ke et al., NeurIPS 2017.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from slipstream.trainers.boosting import BoosterPlan, BoosterRows, BoosterTrainer


@dataclass(frozen=True)
class LightgbmTrainer(BoosterTrainer):
    """Fits a ``LGBMClassifier`` or ``LGBMRegressor``, as the task is.

    Attributes:
        parameters: The constructor's arguments and LightGBM's own parameters. ``monotone_constraints``,
            ``interaction_constraints`` and ``categorical_feature`` take names of inputs.
        early_stopping: ``{rounds: 50, share: 0.1}``: stop when so many rounds brought nothing on a share of the
            training rows; empty: never.
    """

    word: ClassVar[str] = "lightgbm"
    rounds_word: ClassVar[str] = "n_estimators"
    weights_word: ClassVar[str] = "class_weight"

    parameters: Mapping[str, Any] = field(default_factory=dict)
    early_stopping: Mapping[str, Any] = field(default_factory=dict)

    def _fit(self, plan: BoosterPlan, rows: BoosterRows) -> Any:
        model = _model(plan)
        model.fit(rows.table, rows.target, sample_weight=rows.weights, categorical_feature=plan.categories)
        return model.set_params(n_jobs=1)

    def _rounds(self, plan: BoosterPlan, rows: BoosterRows, watched: BoosterRows, patience: int) -> int:
        import lightgbm

        model = _model(plan)
        model.fit(
            rows.table,
            rows.target,
            sample_weight=rows.weights,
            eval_set=[(watched.table, watched.target)],
            eval_sample_weight=None if watched.weights is None else [watched.weights],
            categorical_feature=plan.categories,
            callbacks=[lightgbm.early_stopping(patience, verbose=False)],
        )
        # DART never stops: dropping trees changes those before.
        return int(model.best_iteration_ or model.n_estimators)

    def _errors(self) -> tuple[type[Exception], ...]:
        import lightgbm

        return (lightgbm.basic.LightGBMError,)


def _model(plan: BoosterPlan) -> Any:
    import lightgbm

    kind = lightgbm.LGBMRegressor if plan.task == "regression" else lightgbm.LGBMClassifier
    # Column-wise each sum is one thread's, so that it does not depend on how many there are.
    return kind(
        **plan.parameters,
        random_state=plan.seed,
        n_jobs=plan.threads,
        deterministic=True,
        force_col_wise=True,
        verbosity=-1,
    )
