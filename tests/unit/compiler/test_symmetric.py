"""Symmetric trees answer as onnxruntime adds them up, and a row's answer does not depend on the rows beside it."""

from __future__ import annotations

from typing import Any

import catboost
import numpy as np
import pytest

from slipstream.compiler.engine import _trees
from slipstream.compiler.layers.operations import OPERATIONS
from slipstream.compiler.trees.catboost import from_catboost
from slipstream.compiler.trees.onnx import to_onnx

QUIET = {"verbose": 0, "allow_writing_files": False, "thread_count": 1}


def rows(count: int) -> tuple[Any, Any]:
    random = np.random.default_rng(4)
    numbers = random.normal(size=(count, 3))
    numbers[random.random(numbers.shape) < 0.1] = np.nan
    cells = np.hstack([numbers, random.integers(-1, 6, size=(count, 1))])
    return cells, np.nan_to_num(numbers[:, 0]) * 2 + (cells[:, 3] == 3) + random.normal(size=count)


@pytest.mark.parametrize("nan_mode", ["Min", "Max"])
@pytest.mark.parametrize("depth", [1, 4, 9])
@pytest.mark.parametrize("classes", [0, 2, 3])
def test_the_sums_are_those_of_single_trees(classes: int, depth: int, nan_mode: str) -> None:
    cells, target = rows(400)
    frame = [[*numbers, str(int(word))] for *numbers, word in cells.tolist()]
    options = {"iterations": 20, "depth": depth, "nan_mode": nan_mode, "cat_features": [3], "one_hot_max_size": 50}
    if classes:
        labels = np.digitize(target, np.quantile(target, np.arange(1, classes) / classes))
        model = catboost.CatBoostClassifier(**options, **QUIET).fit(frame, labels)
    else:
        model = catboost.CatBoostRegressor(**options, **QUIET).fit(frame, target)
    fitted = from_catboost(model)
    single = cells.astype(np.float32).astype(np.float64)
    run = OPERATIONS["symmetric"](*map(np.asarray, fitted.symmetric))
    sums = run(single)
    assert sums.shape == (400, len(fitted.base))
    assert (sums == _trees(to_onnx(fitted, range(4), 4))(single)).all()
    for count in (1, 2, 3, 7, 8, 9, 130):
        assert (run(single[:count]) == sums[:count]).all(), count


def test_lower_trees_beside_higher_ones() -> None:
    """Of so few values that no more questions are left, a tree stays low."""
    random = np.random.default_rng(0)
    cells = random.integers(0, 2, size=(300, 4)).astype(np.float64)
    target = cells[:, 0] + cells[:, 1] * cells[:, 2] + random.normal(size=300)
    options: dict[str, Any] = {"iterations": 30, "depth": 4, "rsm": 0.5, "random_strength": 5, "random_seed": 1}
    model = catboost.CatBoostRegressor(**options, **QUIET).fit(cells, target)
    fitted = from_catboost(model)
    assert len({len(tree.leaf) for tree in fitted.trees}) > 1
    run = OPERATIONS["symmetric"](*map(np.asarray, fitted.symmetric))
    assert (run(cells) == _trees(to_onnx(fitted, range(4), 4))(cells)).all()
    assert run(cells)[:, 0] + fitted.base[0] == pytest.approx(model.predict(cells), abs=1e-9)
