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
from slipstream.trainers.positions import POINTING, Prepared, placed
from slipstream.trainers.prepare_steps import kinds_of, preparation_of

MOST_CATEGORIES = 30
"""With one-hot encoding: the rarest values of a column beyond so many share one indicator."""


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
            model.set_params(**placed(spec, points, _prepared(before[0][1], inputs, model)))
        if self.estimator in CALIBRATED:
            model = _calibrated(model)
        return fitted(spec, self.estimator, Pipeline([*before, ("model", model)]), frame)

    def _before(self, spec: ModelSpec, inputs: Any, model: Any) -> list[tuple[str, Any]]:
        """The steps of the pipeline that stand before the model."""
        if not self.prepare:
            return [("prepare", _preparation(inputs, model, self.estimator))]
        from sklearn.compose import ColumnTransformer
        from sklearn.pipeline import Pipeline

        branches, behind = preparation_of(spec, self.prepare, kinds_of(inputs))
        named = {name for branch in branches for name in branch.columns}
        rest = _preparation(inputs.drop(columns=list(named)), model, self.estimator)
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


def _prepared(prepare: Any, inputs: Any, model: Any) -> Prepared:
    """Where each input stands behind the preparation, which makes of a date its parts."""
    from slipstream.compiler.dates import PARTS

    places: dict[str, list[int]] = {}
    for part, _, names in prepare.transformers:
        for name in names:
            first = sum(map(len, places.values()))
            places[name] = list(range(first, first + (len(PARTS) if part == "dates" else 1)))
    numbers = frozenset(name for part, _, names in prepare.transformers if part == "numbers" for name in names)
    most = getattr(model, "max_bins", len(inputs))  # histogram boosting keeps a bin for each category
    return Prepared(places, numbers, lambda name: int(inputs[name].nunique()), most)


def _preparation(inputs: Any, model: Any, path: str) -> Any:
    """Scaling for what measures distances, numbers for words in trees, imputation for what cannot miss a value."""
    from sklearn.compose import ColumnTransformer
    from sklearn.utils import get_tags

    from slipstream.trainers.date_parts import DateParts, holds_dates

    texts = [name for name in inputs.columns if inputs[name].dtype == object]
    dates = [name for name in texts if holds_dates(inputs[name])]
    words = [name for name in texts if name not in dates]
    numbers = [name for name in inputs.columns if name not in texts]
    takes_missing = get_tags(model).input_tags.allow_nan
    parts = []
    if numbers:
        parts.append(("numbers", _numbers(takes_missing, path), numbers))
    if words:
        parts.append(("words", _words(takes_missing, path), words))
    if dates:
        after = _numbers(takes_missing, path)
        parts.append(("dates", DateParts() if after == "passthrough" else _behind(DateParts(), after), dates))
    return ColumnTransformer(parts, verbose_feature_names_out=False)


def _numbers(takes_missing: bool, path: str) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    steps: list[tuple[str, Any]] = []
    if not takes_missing:
        steps.append(("impute", SimpleImputer(strategy="median", keep_empty_features=True)))
    if path in _COUNTING:
        steps.append(("scale", MinMaxScaler(clip=True)))
    elif not path.startswith(_UNSCALED):
        steps.append(("scale", StandardScaler()))
    return Pipeline(steps) if steps else "passthrough"


def _behind(first: Any, rest: Any) -> Any:
    from sklearn.pipeline import Pipeline

    return Pipeline([("parts", first), *rest.steps])


def _words(takes_missing: bool, path: str) -> Any:
    """Encodes words; a word not seen in training counts as missing, or as the rare words' indicator."""
    import numpy as np
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    if not path.startswith(_TREES):
        return OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=MOST_CATEGORIES, sparse_output=False)
    absent = np.nan if takes_missing else -1
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=absent, encoded_missing_value=absent)
