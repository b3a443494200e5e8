"""The columns that a model of another library takes, in its order and with its categories by their places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from slipstream.adapters.answering import coded
from slipstream.compiler.feature_column import Columns, FeatureColumn
from slipstream.compiler.program import NotCompiled


def taken(model: Any, columns: Columns) -> Columns:
    """What an adapter of :mod:`slipstream.adapters` gives to its model.

    Raises:
        NotCompiled: its answers are put into another order.
    """
    if model.order is not None:
        raise NotCompiled("the classes of the imported file stand in another order")
    by_name = {column.source: column for column in columns}
    categories = getattr(model, "categories", {})
    return [_coded(by_name[name], categories.get(name)) for name in model.columns]


def _coded(column: FeatureColumn, values: Sequence[Any] | None) -> FeatureColumn:
    if values is None:
        return column
    known = frozenset(value if column.word else float(value) for value in values)

    def evaluate(raw: Sequence[Any]) -> Any:
        return coded(np.asarray(raw, dtype=object), values)

    return FeatureColumn(column.source, word=False, known=known, evaluate=evaluate, finite=True)
