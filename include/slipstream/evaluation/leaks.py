"""Inputs that alone tell the target: the target itself under another name, or something that is known only after it.

Each input is tried alone, by a small tree for numbers and dates and by what each word meant in training for words, and
judged on rows that it was not tried on. One that is nearly perfect is seldom a discovery.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LIMIT = 0.99
"""From here on an input alone is suspected: roc_auc, accuracy or r2."""
ROWS = 5_000
"""So many rows of each side are enough."""
FEW = 50
"""With fewer rows to judge on, chance alone may be perfect."""
SEEN = 10
"""Of a class that was seen less often nothing can be said."""
_LEAVES = 32


@dataclass(frozen=True)
class Leak:
    """One input that tells the target alone.

    Attributes:
        input: The input.
        metric: ``roc_auc``, ``accuracy`` or ``r2``.
        value: Its figure on the judged rows.
    """

    input: str
    metric: str
    value: float

    def sentence(self, target: str) -> str:
        """The suspicion as logs and pages say it."""
        return (
            f"Input {self.input!r} alone tells {target!r} nearly perfectly ({self.metric} {self.value:.3f}). "
            "Is it known before the answer is asked for?"
        )


@dataclass(frozen=True)
class LeakSide:
    """Rows with their truth.

    Attributes:
        frame: The inputs: numbers float64, words str or None.
        truth: 0 or 1 of a binary task, the number of the class, or the value; shape ``(n,)``.
    """

    frame: Any
    truth: Any


def suspected_leaks(task: str, inputs: Sequence[str], learnt: LeakSide, judged: LeakSide) -> tuple[Leak, ...]:
    """The inputs that alone tell the target, worst first.

    Args:
        task: ``binary``, ``multiclass`` or ``regression``.
        inputs: The inputs to try.
        learnt: Rows that each is tried on; at most :data:`ROWS` will do.
        judged: Other rows.
    """
    if len(judged.truth) < FEW or len(learnt.truth) < FEW or len(np.unique(judged.truth)) < 2:
        return ()
    rarest = [np.bincount(side.truth.astype(int), minlength=2).min() for side in (learnt, judged) if task == "binary"]
    if min(rarest, default=SEEN) < SEEN:
        return ()
    if task == "multiclass" and np.bincount(judged.truth.astype(int)).max() / len(judged.truth) > LIMIT - 0.04:
        return ()
    metric = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "r2"}[task]
    leaks = [Leak(name, metric, _alone(task, name, learnt, judged)) for name in inputs]
    return tuple(sorted((leak for leak in leaks if leak.value >= LIMIT), key=lambda leak: (-leak.value, leak.input)))


def _alone(task: str, name: str, learnt: LeakSide, judged: LeakSide) -> float:
    """How well one column tells the truth of other rows."""
    from slipstream.trainers.date_parts import holds_dates

    learnt_column, judged_column = learnt.frame[name], judged.frame[name]
    if learnt_column.dtype != object and np.array_equal(judged_column.to_numpy(), judged.truth):
        return 1.0
    if learnt_column.dtype != object:
        cells = _numbers(learnt_column), _numbers(judged_column)
    elif holds_dates(learnt_column):
        cells = _moments(learnt_column), _moments(judged_column)
    elif task == "multiclass":
        return _by_word(learnt_column, judged_column, learnt.truth, judged.truth)
    else:
        means = _meanings(learnt_column, learnt.truth)
        cells = tuple(_meant(column, means, learnt.truth) for column in (learnt_column, judged_column))
    return _by_tree(task, cells[0], cells[1], learnt.truth, judged.truth)


def _by_tree(task: str, learnt: Any, judged: Any, truth: Any, judged_truth: Any) -> float:
    from sklearn.metrics import accuracy_score, r2_score, roc_auc_score
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    kind = DecisionTreeRegressor if task == "regression" else DecisionTreeClassifier
    leaves = len(truth) // 10 if task == "regression" else _LEAVES
    tree = kind(max_leaf_nodes=max(_LEAVES, leaves), random_state=0).fit(learnt, truth)
    if task == "regression":
        return float(r2_score(judged_truth, tree.predict(judged)))
    if task == "multiclass":
        return float(accuracy_score(judged_truth, tree.predict(judged)))
    chances = tree.predict_proba(judged)
    return float(roc_auc_score(judged_truth, chances[:, 1])) if chances.shape[1] == 2 else 0.0


def _by_word(learnt: Any, judged: Any, truth: Any, judged_truth: Any) -> float:
    """The share of rows whose class is the commonest of their word."""
    import pandas as pd

    commonest = pd.Series(truth).groupby(learnt.fillna("").to_numpy()).agg(lambda classes: classes.mode().iloc[0])
    guesses = judged.fillna("").map(commonest).fillna(-1)
    return float(np.mean(guesses.to_numpy() == judged_truth))


def _meanings(words: Any, truth: Any) -> dict[str, float]:
    """Word -> mean truth of its rows."""
    import pandas as pd

    return dict(pd.Series(truth, dtype=np.float64).groupby(words.fillna("").to_numpy()).mean())


def _meant(words: Any, means: dict[str, float], truth: Any) -> Any:
    mean_targets = [means.get(word, float(np.mean(truth))) for word in words.fillna("")]
    return np.array(mean_targets, dtype=np.float64)[:, None]


def _numbers(column: Any) -> Any:
    return np.clip(column.to_numpy(dtype=np.float64), -1e30, 1e30)[:, None]


def _moments(column: Any) -> Any:
    from slipstream.compiler.dates import date_parts

    parts = np.array([date_parts(word) for word in column], dtype=np.float64)
    scales = np.array([535_680.0, 44_640.0, 1440.0, 0.0, 60.0, 1.0])
    return (parts * scales).sum(axis=1)[:, None]
