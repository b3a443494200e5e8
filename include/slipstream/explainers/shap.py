"""SHAP: additive contributions of each input to each answer, exact for trees and linear models.

Lundberg and Lee, NeurIPS 2017; TreeSHAP: Lundberg et al., Nature Machine Intelligence 2 (2020). Contributions are
computed on the prepared columns and summed back to the inputs that they came from.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from slipstream.errors import BackendError
from slipstream.explainers.boosters import booster_contributions, booster_scores, library_of
from slipstream.explainers.sample import MOST_ROWS, SHOWN_POINTS, answers, case_rows, plain, ranked, sample
from slipstream.slots import Explanation
from slipstream.spec.model import ModelSpec

BACKGROUND = 200
_CLOSE = 1e-6
"""How far contributions and base may add up beside the answer, relative to its size."""


@dataclass(frozen=True)
class ShapExplainer:
    """Explains tree ensembles and linear models.

    Attributes:
        rows: Rows to explain, at most 2,000.
        top: Inputs with a dependence plot.
    """

    rows: Annotated[int, Field(ge=1, le=MOST_ROWS)] = MOST_ROWS
    top: Annotated[int, Field(ge=0)] = 6

    def explain(self, spec: ModelSpec, estimator: Any, frame: Any, seed: int) -> Explanation:
        """Mean absolute contribution of each input; see :class:`~slipstream.slots.Explanation`.

        Raises:
            BackendError: ``explainer_unsuitable`` for a pipeline of other steps than the trainer `sklearn` makes, an
                estimator that SHAP has no exact method for, or one whose contributions do not add up to its answers.
        """
        if not 1 <= self.rows <= MOST_ROWS:
            message = f"explain: rows must be 1 to {MOST_ROWS}, got {self.rows}."
            raise BackendError(message, code="backend_argument")
        import numpy as np

        rows = sample(frame, self.rows, seed)
        inputs = rows[list(spec.inputs)]
        values, bases = _contributions(spec, estimator, inputs)
        predictions = answers(spec, estimator, inputs)
        importance = ranked({name: float(np.abs(values[:, place]).mean()) for place, name in enumerate(spec.inputs)})
        shown = slice(None, None, max(1, len(rows) // SHOWN_POINTS))
        effects = {}
        for name in list(importance)[: self.top]:
            column, effects_of_rows = inputs[name].iloc[shown], values[shown, spec.inputs.index(name)]
            effects[name] = [
                (plain(value), float(effect)) for value, effect in zip(column, effects_of_rows, strict=True)
            ]
        return Explanation(
            method="SHAP values (Lundberg et al. 2020)",
            rows=len(rows),
            importance=importance,
            effects=effects,
            cases=[_case(spec, inputs, values, bases, predictions, place) for place in case_rows(predictions)],
            scale=_scale(spec, estimator, inputs, values.sum(axis=1) + bases),
        )


def _contributions(spec: ModelSpec, estimator: Any, inputs: Any) -> tuple[Any, Any]:
    """Contributions of shape ``(n, inputs)`` and the base of each row, shape ``(n,)``."""
    import numpy as np
    import shap

    steps = getattr(estimator, "named_steps", {})
    if "model" not in steps or "prepare" not in steps:
        message = (
            "explain: SHAP explains pipelines of the steps 'prepare' and 'model', as trainer sklearn has them, not "
            f"{type(estimator).__name__}({', '.join(steps)}); use explain: {{type: permutation}}."
        )
        raise BackendError(message, code="explainer_unsuitable")
    model, prepare = steps["model"], steps["prepare"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepared = prepare.transform(inputs)
        if library_of(model):
            return _summed(spec, *booster_contributions(model, prepared), estimator, inputs)
        prepared = np.asarray(prepared, dtype=np.float64)
        try:
            if hasattr(model, "coef_"):
                background = prepared[:: max(1, len(prepared) // BACKGROUND)]
                explanation = shap.LinearExplainer(model, background)(prepared)
            else:
                explanation = shap.TreeExplainer(model)(prepared, check_additivity=True)
        except (shap.utils._exceptions.InvalidModelError, NotImplementedError, TypeError) as error:
            name = type(model).__name__
            message = f"explain: SHAP has no exact method for {name} ({error}); use explain: {{type: permutation}}."
            raise BackendError(message, code="explainer_unsuitable") from error
    return _summed(spec, np.asarray(explanation.values), np.asarray(explanation.base_values), estimator, inputs)


def _summed(spec: ModelSpec, values: Any, bases: Any, estimator: Any, inputs: Any) -> tuple[Any, Any]:
    """The contributions of the class that is explained, summed back to the inputs."""
    import numpy as np

    if values.ndim == 3:
        values, bases = _of_class(
            spec, values, np.broadcast_to(bases, (len(values), values.shape[2])), estimator, inputs
        )
    bases = np.broadcast_to(bases.reshape(len(bases), -1)[:, 0] if bases.ndim else bases, (len(values),))
    return _by_input(values, _origins(estimator.named_steps["prepare"], spec.inputs), len(spec.inputs)), bases


def _of_class(spec: ModelSpec, values: Any, bases: Any, estimator: Any, inputs: Any) -> tuple[Any, Any]:
    """The contributions to the positive class, or to each row's likeliest class."""
    import numpy as np

    if spec.task == "binary":
        return values[:, :, 1], bases[:, 1]
    likeliest = np.asarray(estimator.predict_proba(inputs)).argmax(axis=1)
    every = np.arange(len(values))
    return values[every, :, likeliest], bases[every, likeliest]


def _origins(prepare: Any, inputs: Sequence[str]) -> list[int]:
    """For each prepared column the place of the input that it came from."""
    places: list[int] = []
    for name, transformer, columns in prepare.transformers_:
        encoder = transformer.steps[-1][1] if hasattr(transformer, "steps") else transformer
        output = prepare.output_indices_[name]
        each = (output.stop - output.start) // max(1, len(columns))
        for number, column in enumerate(columns):
            places += [inputs.index(column)] * _width(encoder, number, each)
    return places


def _width(encoder: Any, number: int, each: int) -> int:
    """How many prepared columns the encoder makes of its input of that *number*; *each*, unless it is one-hot."""
    if not hasattr(encoder, "categories_") or not hasattr(encoder, "drop_idx_"):
        return each
    infrequent = getattr(encoder, "infrequent_categories_", None)
    rare = infrequent[number] if infrequent is not None else None
    return len(encoder.categories_[number]) - (len(rare) - 1 if rare is not None else 0)


def _by_input(values: Any, origins: Sequence[int], inputs: int) -> Any:
    import numpy as np

    summed = np.zeros((len(values), inputs))
    for column, place in enumerate(origins):
        summed[:, place] += values[:, column]
    return summed


def _case(spec: ModelSpec, inputs: Any, values: Any, bases: Any, predictions: Any, place: int) -> dict[str, Any]:
    row = {str(name): plain(value) for name, value in inputs.iloc[place].items()}
    effects = {name: float(values[place, number]) for number, name in enumerate(spec.inputs)}
    return {"row": row, "prediction": float(predictions[place]), "base": float(bases[place]), "effects": effects}


def _scale(spec: ModelSpec, estimator: Any, inputs: Any, totals: Any) -> str:
    """What base and contributions add up to, found by comparing their *totals* with the answers."""
    import numpy as np

    predicted = answers(spec, estimator, inputs)
    with np.errstate(over="ignore"):
        if spec.task == "regression":
            reached = {spec.target: (totals, predicted), f"log of {spec.target}": (np.exp(totals), predicted)}
        else:
            reached = {"probability": (totals, predicted), "log-odds": (1 / (1 + np.exp(-totals)), predicted)}
    if spec.task == "multiclass" and (scores := _scores(estimator, inputs)) is not None:
        reached["score of the likeliest class"] = (totals, scores.max(axis=1))
    missed = {
        unit: float(np.max(np.abs(got - wanted) / (1 + np.abs(wanted)))) for unit, (got, wanted) in reached.items()
    }
    unit = min(missed, key=lambda name: missed[name])
    if not missed[unit] <= _CLOSE:
        message = (
            f"explain: the contributions miss the answers by up to {missed[unit]:.2g} ({unit}), so they explain "
            "something else; use explain: {type: permutation}."
        )
        raise BackendError(message, code="explainer_unsuitable")
    return unit


def _scores(estimator: Any, inputs: Any) -> Any:
    """The scores behind the probabilities, shape ``(n, classes)``; None where the model tells none."""
    model = estimator.named_steps["model"]
    if library_of(model):
        return booster_scores(model, estimator.named_steps["prepare"].transform(inputs))
    return estimator.decision_function(inputs) if hasattr(estimator, "decision_function") else None
