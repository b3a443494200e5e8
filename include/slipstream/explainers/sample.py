"""What both explainers share: which rows to explain, and what a fitted pipeline answers on them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from slipstream.spacing import spread
from slipstream.spec.model import ModelSpec

MOST_ROWS = 2000
SHOWN_POINTS = 300
CASES = 4


def sample(frame: Any, rows: int, seed: int) -> Any:
    """At most *rows* rows of *frame*, drawn without replacement by *seed*, in their order in it."""
    import numpy as np

    if len(frame) <= rows:
        return frame.reset_index(drop=True)
    chosen = np.sort(np.random.default_rng(seed).choice(len(frame), rows, replace=False))
    return frame.iloc[chosen].reset_index(drop=True)


def answers(spec: ModelSpec, estimator: Any, inputs: Any) -> Any:
    """Values, or the probability of the positive class, or of the likeliest class; shape ``(n,)``."""
    import numpy as np

    if spec.task == "regression":
        return np.asarray(estimator.predict(inputs), dtype=np.float64)
    probabilities = np.asarray(estimator.predict_proba(inputs), dtype=np.float64)
    return probabilities[:, 1] if spec.task == "binary" else probabilities.max(axis=1)


def case_rows(predictions: Any) -> list[int]:
    """Positions of the rows shown one by one: the highest answer, the lowest, and two between."""
    import numpy as np

    order = np.argsort(predictions, kind="stable")
    return [int(order[place]) for place in spread(len(order), CASES)[::-1]]


def ranked(importance: Mapping[str, float]) -> dict[str, float]:
    """Largest first; equal ones by name."""
    return dict(sorted(importance.items(), key=lambda item: (-item[1], item[0])))


def plain(value: Any) -> Any:
    """A cell as JSON has it: number, word, or None for a missing one."""
    if value is None or isinstance(value, str):
        return value
    number = float(value)
    return None if math.isnan(number) else number
