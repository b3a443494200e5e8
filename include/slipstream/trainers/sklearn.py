"""Trains with scikit-learn: one estimator of the allow-list behind preprocessing that follows from the data's types.

The pipeline is made of plain scikit-learn parts, so that it can be kept without pickle and compiled for serving:
``Pipeline(prepare=ColumnTransformer(numbers=..., words=..., dates=...), model=estimator)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slipstream.errors import SpecError, shown
from slipstream.spec.estimators import CALIBRATED, ESTIMATORS
from slipstream.spec.model import ModelSpec
from slipstream.trainers.fitting import fitted
from slipstream.trainers.positions import POINTING, placed
from slipstream.trainers.preparation import Needs, kinds_of, places_of, preparation
from slipstream.trainers.prepare_steps import preparation_of

_SET: Mapping[str, Mapping[str, Any]] = {
    # Indicators of which one follows from the rest have no covariance that can be inverted.
    "QuadraticDiscriminantAnalysis": {"reg_param": 1e-3},
    # What scikit-learn 1.10 and 1.11 will do anyway.
    "LogisticRegressionCV": {"l1_ratios": (0.0,), "use_legacy_attributes": False, "scoring": "neg_log_loss"},
}
"""What estimators get that is not their default."""
_TREES = ("sklearn.tree.", "sklearn.ensemble.")
_UNSCALED = (*_TREES, "sklearn.dummy.", "sklearn.naive_bayes.")
_COUNTING = ("sklearn.naive_bayes.ComplementNB", "sklearn.naive_bayes.MultinomialNB")
"""These take numbers for counts, which are never negative."""


@dataclass(frozen=True)
class SklearnTrainer:
    """Fits one scikit-learn estimator.

    Attributes:
        estimator: Its import path, one of :data:`slipstream.spec.estimators.ESTIMATORS`.
        parameters: Its constructor's arguments. Those that point at columns (``monotonic_cst``, ``interaction_cst``,
            ``categorical_features``) take names, or positions among ``inputs``.
        prepare: Steps that columns go through before it, such as ``{step: impute, columns: [age]}``; what none of them
            names is prepared as it would be without any.
    """

    estimator: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    prepare: Sequence[Mapping[str, Any]] = ()

    def fit(self, spec: ModelSpec, frame: Any, seed: int) -> Any:
        """A fitted pipeline that takes a frame of the inputs.

        Args:
            spec: The model.
            frame: Inputs (float64 or str, missing NaN or None) and target, shape ``(n, inputs + 1)``; of a binary task
                the target is 1 for the positive label and 0 for the other.
            seed: Becomes ``random_state`` where the estimator has one.

        Raises:
            SpecError: ``spec_estimator_unknown``, ``spec_parameter_unknown`` or ``spec_parameter_invalid``.
            StageError: ``training_failed`` with what the estimator said.
        """
        from sklearn.pipeline import Pipeline

        inputs = frame[list(spec.inputs)]
        model = self._model(spec, seed)
        before = self._before(spec, inputs, model)
        points = {name: value for name, value in self.parameters.items() if name in POINTING}
        if points and self.prepare:
            message = f"{spec.name}: train.trainer.parameters.{next(iter(points))}: not beside prepare; take one out."
            raise SpecError(message, code="spec_parameter_invalid")
        if points:
            # Histogram boosting keeps a bin for each category.
            most = getattr(model, "max_bins", len(inputs))
            model.set_params(**placed(spec, points, places_of(before[0][1], inputs, most)))
        if self.estimator in CALIBRATED:
            model = _calibrated(model)
        return fitted(spec, self.estimator, Pipeline([*before, ("model", model)]), frame)

    def _before(self, spec: ModelSpec, inputs: Any, model: Any) -> list[tuple[str, Any]]:
        """The steps of the pipeline that stand before the model."""
        needs = _needs(model, self.estimator)
        if not self.prepare:
            return [("prepare", preparation(inputs, needs))]
        from sklearn.compose import ColumnTransformer
        from sklearn.pipeline import Pipeline

        branches, behind = preparation_of(spec, self.prepare, kinds_of(inputs))
        named = {name for branch in branches for name in branch.columns}
        rest = preparation(inputs.drop(columns=list(named)), needs)
        parts = [
            (f"steps_{number}", Pipeline(list(branch.steps)), list(branch.columns))
            for number, branch in enumerate(branches)
        ]
        return [("prepare", ColumnTransformer([*parts, *rest.transformers])), *behind]

    def _model(self, spec: ModelSpec, seed: int) -> Any:
        import importlib

        if self.estimator not in ESTIMATORS:
            message = f"{spec.name}: estimator {shown(self.estimator)} isn't in the allowed list."
            raise SpecError(message, code="spec_estimator_unknown")
        module, _, name = self.estimator.rpartition(".")
        kind = getattr(importlib.import_module(module), name)
        given = {key: value for key, value in self.parameters.items() if key not in POINTING}
        try:
            estimator = kind(**{**_SET.get(name, {}), **given})
        except TypeError as error:
            message = f"{spec.name}: train.trainer.parameters: {error}; take it out."
            raise SpecError(message, code="spec_parameter_unknown") from error
        return estimator.set_params(random_state=seed) if "random_state" in estimator.get_params() else estimator


def _calibrated(model: Any) -> Any:
    """A classifier of which only a score is known, with probabilities: one model, and a sigmoid fitted to held-out
    scores (Platt 1999)."""
    from sklearn.calibration import CalibratedClassifierCV

    return CalibratedClassifierCV(model, method="sigmoid", cv=5, ensemble=False)


def _needs(model: Any, path: str) -> Needs:
    """Scaling for what measures distances, numbers for words in trees, imputation for what cannot miss a value."""
    from sklearn.utils import get_tags

    return Needs(
        takes_missing=get_tags(model).input_tags.allow_nan,
        scaled=not path.startswith(_UNSCALED),
        counts=path in _COUNTING,
        indicators=not path.startswith(_TREES),
    )
