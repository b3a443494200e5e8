"""Permutation importance: how much worse the deciding metric gets when one input is shuffled. The default.

Breiman, "Random Forests", Machine Learning 45 (2001); Fisher, Rudin and Dominici, JMLR 20 (2019). Dependence is partial
dependence: Friedman, Annals of Statistics 29 (2001). Needs nothing beyond scikit-learn and explains any estimator.
Inputs that carry the same information share their importance, so each can look unimportant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slipstream.errors import BackendError
from slipstream.estimators import LOWER_IS_BETTER
from slipstream.explainers.sample import MOST_ROWS, answers, case_rows, plain, ranked, sample
from slipstream.slots import Explanation
from slipstream.spec import ModelSpec

GRID = 12
BACKGROUND = 100


@dataclass(frozen=True)
class PermutationExplainer:
    """Shuffles each input.

    Attributes:
        rows: Rows to explain, at most 2,000.
        repeats: Shuffles of each input.
        top: Inputs with a dependence plot.
    """

    rows: int = MOST_ROWS
    repeats: int = 5
    top: int = 6

    def explain(self, spec: ModelSpec, estimator: Any, frame: Any, seed: int) -> Explanation:
        """Importance in units of the deciding metric; see :class:`~slipstream.slots.Explanation`.

        Raises:
            BackendError: ``explainer_unsuitable`` when the deciding metric is not defined on the rows.
        """
        if not 1 <= self.rows <= MOST_ROWS or self.repeats < 1:
            message = (
                f"explain: rows must be 1 to {MOST_ROWS} and repeats at least 1, got {self.rows} and {self.repeats}."
            )
            raise BackendError(message, code="backend_argument")
        rows = sample(_judged(spec, estimator, frame), self.rows, seed)
        inputs = rows[list(spec.inputs)]
        importance = ranked(self._importance(spec, estimator, inputs, rows[spec.target], seed))
        top = list(importance)[: self.top]
        return Explanation(
            method="permutation importance (Breiman 2001)",
            rows=len(rows),
            importance=importance,
            effects={name: _dependence(spec, estimator, inputs, name) for name in top},
            cases=_cases(spec, estimator, inputs),
            scale=f"loss of {spec.evaluate.metric}",
        )

    def _importance(self, spec: ModelSpec, estimator: Any, inputs: Any, target: Any, seed: int) -> dict[str, float]:
        import numpy as np

        metric, random = spec.evaluate.metric, np.random.default_rng(seed)
        sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
        whole = sign * _score(spec, estimator, inputs, target)
        if not np.isfinite(whole):
            message = f"explain: {metric} is not defined on the {len(inputs):,} rows to explain; hold out more."
            raise BackendError(message, code="explainer_unsuitable")
        found = {}
        for name in inputs.columns:
            shuffled = inputs.copy()
            drops = []
            for _ in range(self.repeats):
                shuffled[name] = inputs[name].to_numpy()[random.permutation(len(inputs))]
                drops.append(whole - sign * _score(spec, estimator, shuffled, target))
            found[str(name)] = float(np.mean(drops))
        return found


def _judged(spec: ModelSpec, estimator: Any, frame: Any) -> Any:
    """The rows whose label the estimator knows; any other answer to the rest would be wrong whatever the inputs."""
    return frame if spec.task == "regression" else frame[frame[spec.target].isin(estimator.classes_.tolist())]


def _score(spec: ModelSpec, estimator: Any, inputs: Any, target: Any) -> float:
    import numpy as np

    from slipstream.scoring.metrics import measure

    if spec.task == "regression":
        return measure(spec.evaluate.metric, target.to_numpy(dtype=np.float64), estimator.predict(inputs))
    classes = list(estimator.classes_)
    truth = target.map({label: number for number, label in enumerate(classes)}).to_numpy(dtype=np.int64)
    probabilities = np.asarray(estimator.predict_proba(inputs))
    return measure(spec.evaluate.metric, truth, probabilities[:, 1] if spec.task == "binary" else probabilities)


def _dependence(spec: ModelSpec, estimator: Any, inputs: Any, name: str) -> list[tuple[Any, float]]:
    """Value of the input -> mean answer with every row set to it, minus the mean answer."""
    import numpy as np

    column = inputs[name]
    if column.dtype == object:
        grid: list[Any] = [str(value) for value in column.value_counts().index[:GRID]]
    else:
        known = column.dropna().to_numpy()
        grid = np.unique(np.quantile(known, np.linspace(0.02, 0.98, GRID))).tolist() if len(known) else []
    mean = float(answers(spec, estimator, inputs).mean())
    points = []
    for value in grid:
        changed = inputs.copy()
        changed[name] = value
        points.append((value, float(answers(spec, estimator, changed).mean()) - mean))
    return points


def _cases(spec: ModelSpec, estimator: Any, inputs: Any) -> list[dict[str, Any]]:
    """For single rows: the answer minus its mean when one input takes the values that other rows have."""
    import pandas as pd

    predictions = answers(spec, estimator, inputs)
    others = inputs.iloc[:: max(1, len(inputs) // BACKGROUND)]
    cases = []
    for place in case_rows(predictions):
        effects = {}
        for name in inputs.columns:
            changed = pd.concat([inputs.iloc[[place]]] * len(others), ignore_index=True)
            changed[name] = others[name].to_numpy()
            effects[str(name)] = float(predictions[place] - answers(spec, estimator, changed).mean())
        row = {str(name): plain(value) for name, value in inputs.iloc[place].items()}
        case = {
            "row": row,
            "prediction": float(predictions[place]),
            "base": float(predictions.mean()),
            "effects": effects,
        }
        cases.append(case)
    return cases
