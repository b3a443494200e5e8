"""The small tables and model specs that the suites use: made here, so that a check needs no file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slipstream.spec.model import ModelSpec, Task
from slipstream.testing.suite import BrokenPromise

NUMBERS = ("distance", "hour")
WORD = "carrier"
TARGET = "outcome"
TASKS: tuple[Task, ...] = ("binary", "multiclass", "regression")
LABELS: Mapping[Task, tuple[Any, ...]] = {"binary": (0, 1), "multiclass": ("far", "mid", "near"), "regression": ()}
"""The labels of each task, in the order that probabilities have."""
ROWS = 240
_SEED = 11
_METRIC = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "mae"}


def spec_of(task: Task, *, inputs: Sequence[str] = NUMBERS, folder: Path | None = None, **parts: Any) -> ModelSpec:
    """A model of that *task* on :func:`table`; *parts* replace or add parts of the model file."""
    text: dict[str, Any] = {
        "name": "checked",
        "task": task,
        "target": TARGET,
        "inputs": list(inputs),
        "data": {"source": {"type": "files", "path": "*.csv"}, "key": ["id"]},
        "train": {"trainer": {"type": "sklearn", "estimator": "sklearn.linear_model.Ridge"}},
        "evaluate": {"metric": _METRIC[task]},
    }
    return ModelSpec.model_validate(text | parts).at(folder or Path(), allow_code=True)


def table(task: Task, *, words: bool = False, missing: bool = False) -> Any:
    """A pandas frame of inputs and target as training has it, shape ``(240, inputs + 1)``.

    Distance alone decides; hour is noise. A missing number is NaN and a missing word None, in every 12th row.

    Args:
        task: What the target is: 0 and 1, three words, or decimals.
        words: Whether there is an input of words too.
        missing: Whether inputs have missing values.
    """
    import pandas as pd

    random = np.random.default_rng(_SEED)
    distance = random.normal(size=ROWS)
    columns: dict[str, Any] = {"distance": distance, "hour": random.integers(0, 24, ROWS).astype(np.float64)}
    if words:
        columns[WORD] = random.choice(np.array(["AA", "B6", "UA"], dtype=object), ROWS)
    if missing:
        for name in columns:
            columns[name] = columns[name].copy()
            columns[name][5::12] = None if name == WORD else np.nan
    return pd.DataFrame(columns | {TARGET: _target(task, distance + 0.1 * random.normal(size=ROWS))})


def _target(task: Task, score: Any) -> Any:
    if task == "regression":
        return 4 * score + 20  # above 0, which some losses ask for
    if task == "binary":
        return (score > 0).astype(np.int64)
    return np.array(["near", "mid", "far"], dtype=object)[np.digitize(score, [-0.5, 0.5])]


def refuse_change(before: Any, after: Any, what: str) -> None:
    """Raise BrokenPromise if the frame *after* is not the frame *before*."""
    import pandas as pd

    try:
        pd.testing.assert_frame_equal(before, after, check_exact=True)
    except AssertionError as error:
        lines = " ".join(str(error).split())[:200]
        raise BrokenPromise(f"{what} changed the frame that it got: {lines}", "work on a copy of it") from error
