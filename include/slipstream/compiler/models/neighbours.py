"""Nearest neighbours, where every row has the same ones whoever looks for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from slipstream.compiler.feature_column import Node
from slipstream.compiler.models.methods import Method, Rule, from_chances
from slipstream.compiler.models.vectors import dense
from slipstream.compiler.program import Floats, NotCompiled

MOST_POINTS, MOST_CELLS = 2_000, 200_000
"""Training rows, and those times features; beyond it scikit-learn's trees of points are far quicker for many rows."""
_TRIED = 300


def _classes(model: Any, values: Node, method: Method) -> Node:
    _one_target(model)
    known = np.eye(len(model.classes_))[np.ravel(model._y)]
    return from_chances(_near(model, values, known), model, method)


def _numbers(model: Any, values: Node, method: Method) -> Node:
    _one_target(model)
    return _near(model, values, np.asarray(model._y, dtype=np.float64).reshape(-1, 1))


def _one_target(model: Any) -> None:
    if model._y.ndim > 1 and model._y.shape[1] > 1:
        raise NotCompiled("it answers several targets at once")


def _near(model: Any, values: Node, known: Floats) -> Node:
    points = dense(model._fit_X)
    order = {"euclidean": 2, "manhattan": 1}.get(model.effective_metric_)
    if order is None or model.weights not in ("uniform", "distance"):
        raise NotCompiled("its distance or its weights are none that are compiled")
    if len(points) > MOST_POINTS or points.size > MOST_CELLS:
        raise NotCompiled(
            f"it looks for neighbours among {len(points):,} rows, and at most {MOST_POINTS:,} are compiled"
        )
    _no_ties(points, known, model.n_neighbors, order)
    weighted = model.weights == "distance"
    return values.then("neighbours", points, known, model.n_neighbors, order, weighted, width=known.shape[1])


def _no_ties(points: Floats, known: Floats, count: int, order: int) -> None:
    """Refuse points of which the last neighbour is one of several at the same distance, with other answers.

    Which of them scikit-learn takes depends on how it looks for them, and on how many threads.
    """
    if count >= len(points):
        return
    for point in points[:: max(1, len(points) // _TRIED)]:
        distances = (np.abs(points - point) ** order).sum(axis=1)
        last, following = np.partition(distances, (count - 1, count))[[count - 1, count]]
        if following - last <= 1e-12 * following and np.ptp(known[distances == last], axis=0).any():
            raise NotCompiled("its training rows are at equal distances, and which neighbours it takes is not fixed")


RULES: dict[str, Rule] = {"KNeighborsClassifier": _classes, "KNeighborsRegressor": _numbers}
