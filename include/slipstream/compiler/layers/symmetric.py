"""The sums of trees of which all nodes of one level ask the same question, for many rows at a time with NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from slipstream.compiler.program import Floats


def _symmetric(
    features: Floats, borders: Floats, missing: Floats, equal: Floats, levels: Floats, leaves: Floats
) -> Callable[[Floats], Floats]:
    """A function from rows to the sums of the trees, ``(rows, scores)``.

    Args:
        features: Column that each question looks at, ``(questions,)``.
        borders: Greater values are answered with yes, ``(questions,)``.
        missing: 1 where NaN is, too, ``(questions,)``.
        equal: 1 where only the border itself is, ``(questions,)``.
        levels: The question of each level of each tree, ``(trees, depth)``.
        leaves: What each leaf adds, ``(trees, 2 ** depth, scores)``; the first level's answer is the lowest bit.
    """
    columns, over = features.astype(np.intp), borders[:, None]
    absent, same = np.flatnonzero(missing), np.flatnonzero(equal)
    by_level = [questions.astype(np.intp) for questions in levels.T]
    trees, size, scores = leaves.shape
    first, added = np.arange(trees)[:, None] * size, leaves.reshape(-1, scores)
    narrow = np.min_scalar_type(size - 1)

    def run(values: Floats) -> Floats:
        compared = np.ascontiguousarray(values.T)[columns]
        yes = compared > over
        if same.size:
            yes[same] = compared[same] == over[same]
        if absent.size:
            yes[absent] |= np.isnan(compared[absent])
        bits = yes.astype(narrow)
        leaf = np.zeros((trees, len(values)), dtype=narrow)
        for level, questions in enumerate(by_level):
            leaf |= bits[questions] << narrow.type(level)
        each = added.take(first + leaf, axis=0)
        # Tree by tree, so that a row's sum does not depend on the others; of one number NumPy would add up pairs.
        return np.asarray(np.add.accumulate(each)[-1] if each[0].size == 1 else each.sum(axis=0))

    return run


SYMMETRIC = {"symmetric": _symmetric}
