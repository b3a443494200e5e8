"""Permutation importance: how much worse the deciding metric gets when one input is shuffled. The default.

Breiman, "Random Forests", Machine Learning 45 (2001); Fisher, Rudin and Dominici, JMLR 20 (2019). Dependence is partial
dependence: Friedman, Annals of Statistics 29 (2001). Needs nothing beyond scikit-learn and explains any estimator.
Inputs that carry the same information share their importance, so each can look unimportant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from slipstream.errors import BackendError
from slipstream.explainers.sample import MOST_ROWS, answers, case_rows, plain, ranked, sample
from slipstream.label_types import class_numbers
from slipstream.slots import Explanation
from slipstream.spacing import thinned
from slipstream.spec.model import ModelSpec
from slipstream.statistics.metrics import loss, measure

GRID = 12
BACKGROUND = 100
DEPENDENCE_ROWS = 500


@dataclass(frozen=True)
class PermutationExplainer:
    """Shuffles each input.

    Attributes:
        rows: Rows to explain, at most 2,000.
        repeats: Shuffles of each input.
        top: Inputs with a dependence plot.
    """

    rows: Annotated[int, Field(ge=1, le=MOST_ROWS)] = MOST_ROWS
    repeats: Annotated[int, Field(ge=1)] = 5
    top: Annotated[int, Field(ge=0)] = 6

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
        from threadpoolctl import threadpool_limits

        rows = sample(_judged(spec, estimator, frame), self.rows, seed)
        inputs = rows[list(spec.inputs)]
        # Many quick predictions: threads would wait for each other longer than they work.
        with threadpool_limits(limits=1):
            importance = ranked(self._importance(spec, estimator, inputs, rows[spec.target], seed))
            effects = {name: _dependence(spec, estimator, inputs, name) for name in list(importance)[: self.top]}
            cases = _cases(spec, estimator, inputs)
        return Explanation(
            method="Permutation importance (Breiman 2001)",
            rows=len(rows),
            importance=importance,
            effects=effects,
            cases=cases,
            scale=f"loss of {spec.evaluate.metric}",
        )

    def _importance(self, spec: ModelSpec, estimator: Any, inputs: Any, target: Any, seed: int) -> dict[str, float]:
        import numpy as np

        metric, random = spec.evaluate.metric, np.random.default_rng(seed)
        whole = _scores(spec, estimator, inputs, target)[0]
        if not np.isfinite(whole):
            message = f"explain: {metric} is not defined on the {len(inputs):,} rows to explain; hold out more."
            raise BackendError(message, code="explainer_unsuitable")
        importance = {}
        for name in inputs.columns:
            order = np.concatenate([random.permutation(len(inputs)) for _ in range(self.repeats)])
            shuffled = _with(inputs, self.repeats, name, inputs[name].to_numpy()[order])
            scores = _scores(spec, estimator, shuffled, target)
            importance[str(name)] = float(np.mean([loss(metric, whole, score) for score in scores]))
        return importance


def _judged(spec: ModelSpec, estimator: Any, frame: Any) -> Any:
    """The rows whose label the estimator knows; any other answer to the rest would be wrong whatever the inputs."""
    return frame if spec.task == "regression" else frame[frame[spec.target].isin(estimator.classes_.tolist())]


def _with(inputs: Any, times: int, name: str, values: Any) -> Any:
    """The rows *times* over, one after the other, with other *values* in one column; shape ``(times * n, inputs)``."""
    import pandas as pd

    many = pd.concat([inputs] * times, ignore_index=True)
    many[name] = values
    return many


def _scores(spec: ModelSpec, estimator: Any, inputs: Any, target: Any) -> list[float]:
    """The deciding metric of each stretch of *inputs* as long as *target*."""
    import numpy as np

    if spec.task == "regression":
        truth, predicted = target.to_numpy(dtype=np.float64), np.asarray(estimator.predict(inputs))
    else:
        truth, _ = class_numbers(target.tolist(), estimator.classes_.tolist())
        predicted = np.asarray(estimator.predict_proba(inputs))
        predicted = predicted[:, 1] if spec.task == "binary" else predicted
    return [measure(spec.evaluate.metric, truth, part) for part in np.split(predicted, len(predicted) // len(truth))]


def _dependence(spec: ModelSpec, estimator: Any, inputs: Any, name: str) -> list[tuple[Any, float]]:
    """Value of the input -> mean answer with every row set to it, minus the mean answer."""
    import numpy as np

    column, grid = inputs[name], []
    if column.dtype == object:
        grid = [str(value) for value in column.value_counts().index[:GRID]]
    elif column.notna().any():
        grid = np.unique(np.quantile(column.dropna(), np.linspace(0.02, 0.98, GRID))).tolist()
    if not grid:
        return []
    some = thinned(inputs, DEPENDENCE_ROWS)
    kind = object if column.dtype == object else np.float64
    predicted = answers(spec, estimator, _with(some, len(grid), name, np.repeat(np.array(grid, dtype=kind), len(some))))
    means = predicted.reshape(len(grid), len(some)).mean(axis=1) - answers(spec, estimator, some).mean()
    return [(value, float(effect)) for value, effect in zip(grid, means, strict=True)]


def _cases(spec: ModelSpec, estimator: Any, inputs: Any) -> list[dict[str, Any]]:
    """For single rows: the answer minus its mean when one input takes the values that other rows have."""
    import pandas as pd

    predictions = answers(spec, estimator, inputs)
    others = thinned(inputs, BACKGROUND)
    cases = []
    for place in case_rows(predictions):
        one = inputs.iloc[[place] * len(others)]
        changed = [_with(one, 1, name, others[name].to_numpy()) for name in inputs.columns]
        predicted = answers(spec, estimator, pd.concat(changed, ignore_index=True)).reshape(len(changed), len(others))
        case = {
            "row": {str(name): plain(value) for name, value in inputs.iloc[place].items()},
            "prediction": float(predictions[place]),
            "base": float(predictions.mean()),
            "effects": dict(
                zip(map(str, inputs.columns), (predictions[place] - predicted.mean(axis=1)).tolist(), strict=True)
            ),
        }
        cases.append(case)
    return cases
