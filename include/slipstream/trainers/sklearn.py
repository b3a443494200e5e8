"""Trains with scikit-learn: one estimator of the allow-list behind preprocessing that follows from the data's types.

The pipeline is made of plain scikit-learn parts, so that it can be kept without pickle and compiled for serving:
``Pipeline(prepare=ColumnTransformer(numbers=..., words=..., dates=...), model=estimator)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from slipstream.errors import SpecError, shown
from slipstream.spec.estimators import ESTIMATORS
from slipstream.spec.model import ModelSpec
from slipstream.trainers.fitting import fitted
from slipstream.trainers.positions import POINTING, Prepared, placed

MOST_CATEGORIES = 30
"""With one-hot encoding: the rarest values of a column beyond so many share one indicator."""


@dataclass(frozen=True)
class SklearnTrainer:
    """Fits one scikit-learn estimator.

    Attributes:
        estimator: Its import path, one of :data:`slipstream.spec.estimators.ESTIMATORS`.
        parameters: Its constructor's arguments. Those that point at columns (``monotonic_cst``, ``interaction_cst``,
            ``categorical_features``) take names, or positions among ``inputs``.
    """

    estimator: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

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
        prepare = _preparation(inputs, model, self.estimator)
        points = {name: value for name, value in self.parameters.items() if name in POINTING}
        if points:
            model.set_params(**placed(spec, points, _prepared(prepare, inputs, model)))
        return fitted(spec, self.estimator, Pipeline([("prepare", prepare), ("model", model)]), frame)

    def _model(self, spec: ModelSpec, seed: int) -> Any:
        import importlib

        if self.estimator not in ESTIMATORS:
            message = f"{spec.name}: estimator {shown(self.estimator)} isn't in the allowed list."
            raise SpecError(message, code="spec_estimator_unknown")
        module, _, name = self.estimator.rpartition(".")
        kind = getattr(importlib.import_module(module), name)
        try:
            estimator = kind(**{key: value for key, value in self.parameters.items() if key not in POINTING})
        except TypeError as error:
            message = f"{spec.name}: train.trainer.parameters: {error}; take it out."
            raise SpecError(message, code="spec_parameter_unknown") from error
        return estimator.set_params(random_state=seed) if "random_state" in estimator.get_params() else estimator


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
    from sklearn.preprocessing import StandardScaler

    steps: list[tuple[str, Any]] = []
    if not takes_missing:
        steps.append(("impute", SimpleImputer(strategy="median", keep_empty_features=True)))
    if path.startswith(("sklearn.linear_model.", "sklearn.neighbors.")):
        steps.append(("scale", StandardScaler()))
    return Pipeline(steps) if steps else "passthrough"


def _behind(first: Any, rest: Any) -> Any:
    from sklearn.pipeline import Pipeline

    return Pipeline([("parts", first), *rest.steps])


def _words(takes_missing: bool, path: str) -> Any:
    """Encodes words; a word not seen in training counts as missing, or as the rare words' indicator."""
    import numpy as np
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    if not path.startswith(("sklearn.tree.", "sklearn.ensemble.")):
        return OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=MOST_CATEGORIES, sparse_output=False)
    absent = np.nan if takes_missing else -1
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=absent, encoded_missing_value=absent)
