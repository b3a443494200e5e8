"""Where each feature of a fitted pipeline comes from: one input, and operations on its value.

What looks at one input at a time is understood. A word, or a number behind an encoder, has finitely many values that
matter, so its features are tabulated; other numbers keep a list of operations.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from slipstream.compiler.feature_column import Columns as Columns
from slipstream.compiler.feature_column import FeatureColumn, Values, as_array
from slipstream.compiler.program import Floats, Kind, NotCompiled
from slipstream.compiler.transformers import curves, mixed, texts


def through(step: Any, columns: Columns) -> Columns:
    """The columns behind one fitted transformer.

    Raises:
        NotCompiled: it is none that can be compiled.
    """
    if step is None or isinstance(step, str):
        return [] if step == "drop" else columns
    known = _own(type(step)) and _TRANSFORMERS.get(type(step).__name__)
    if known:
        return known(step, columns)
    if hasattr(step, "get_support"):
        return [column for column, selected in zip(columns, step.get_support(), strict=True) if selected]
    raise NotCompiled(f"{type(step).__name__} is no transformer that is compiled")


def _own(kind: type) -> bool:
    return kind.__module__.startswith(("sklearn.", "slipstream."))


def _pipeline(step: Any, columns: Columns) -> Columns:
    for _, part in step.steps:
        columns = through(part, columns)
    return columns


def _union(step: Any, columns: Columns) -> Columns:
    return _weighted(step, [(name, through(part, columns)) for name, part in step.transformer_list])


def _columns(step: Any, columns: Columns) -> Columns:
    at = step._transformer_to_input_indices
    parts = ((name, part) for name, part, _ in step.transformers_)
    return _weighted(step, [(name, through(part, [columns[place] for place in at[name]])) for name, part in parts])


def _weighted(step: Any, parts: Iterable[tuple[str, Columns]]) -> Columns:
    weights = step.transformer_weights or {}
    weighted: Columns = []
    for name, part in parts:
        weighted += [column.then("mul", weights[name]) for column in part] if name in weights else part
    return weighted


def _function(step: Any, columns: Columns) -> Columns:
    # Histogram boosting's own preparation checks its numbers with a bound `check_array`, which changes none of them.
    checks = isinstance(step.func, partial) and step.func.func.__module__ == "sklearn.utils.validation"
    return columns if step.func is None or checks else curves.function(step, columns)


def _each(columns: Columns, kind: Kind, by: Any, to: Any = None) -> Columns:
    """The columns with one operation more, each with its own entry of *by*; None means none."""
    if by is None:
        return columns
    ends = np.zeros(len(columns)) if to is None else to
    return [column.then(kind, first, last) for column, first, last in zip(columns, by, ends, strict=True)]


def _standard(step: Any, columns: Columns) -> Columns:
    columns = _each(columns, "sub", step.mean_ if step.with_mean else None)
    return _each(columns, "div", step.scale_ if step.with_std else None)


def _robust(step: Any, columns: Columns) -> Columns:
    columns = _each(columns, "sub", step.center_ if step.with_centering else None)
    return _each(columns, "div", step.scale_ if step.with_scaling else None)


def _min_max(step: Any, columns: Columns) -> Columns:
    columns = _each(_each(columns, "mul", step.scale_), "add", step.min_)
    if not step.clip:
        return columns
    low, high = step.feature_range
    return _each(columns, "clip", np.full(len(columns), low), np.full(len(columns), high))


def _max_abs(step: Any, columns: Columns) -> Columns:
    columns = _each(columns, "div", step.scale_)
    if not getattr(step, "clip", False):
        return columns
    return _each(columns, "clip", np.full(len(columns), -1.0), np.full(len(columns), 1.0))


def _imputer(step: Any, columns: Columns) -> Columns:
    empty = np.array([isinstance(value, float) and np.isnan(value) for value in step.statistics_])
    filled = [
        _filled(column, value, step.missing_values)
        for column, value, nothing in zip(columns, step.statistics_, empty, strict=True)
        if step.keep_empty_features or not nothing
    ]
    if step.indicator_ is not None:
        marked = [columns[place] for place in step.indicator_.features_]
        filled += [_marked(column, step.missing_values) for column in marked]
    return filled


def _indicator(step: Any, columns: Columns) -> Columns:
    return [_marked(columns[place], step.missing_values) for place in step.features_]


def _filled(column: FeatureColumn, value: Any, missing: Any) -> FeatureColumn:
    if not column.word:
        _only_nan(missing)
        return column.then("fill", value)
    if missing is not None:
        return column
    return replace(
        column, evaluate=lambda raw: as_array([value if word is None else word for word in column.values(raw)])
    )


def _marked(column: FeatureColumn, missing: Any) -> FeatureColumn:
    if not column.word:
        _only_nan(missing)
        return column.then("isnan")
    gone = [missing is None]

    def evaluate(raw: Values) -> Floats:
        return np.array([float(gone[0] and word is None) for word in column.values(raw)])

    return replace(column, word=False, finite=True, evaluate=evaluate)


def _only_nan(missing: Any) -> None:
    if not (isinstance(missing, float) and np.isnan(missing)):
        raise NotCompiled(f"an imputer takes {missing!r} for missing, not NaN")


def _dates(step: Any, columns: Columns) -> Columns:
    from slipstream.compiler.dates import PARTS

    for column in columns:
        if not column.word or column.evaluate:
            raise NotCompiled(f"input {column.source!r} is changed before it is read as a date")
    return [FeatureColumn(column.source, word=False, part=part) for column in columns for part in range(len(PARTS))]


def _encoder(step: Any, columns: Columns) -> Columns:
    """The columns behind an encoder, each tabulated by the encoder itself."""
    encoded: Columns = []
    for place, column in enumerate(columns):
        if (
            column.part is not None
            or column.node is not None
            or any(op.kind != "fill" for op in column.ops if not column.finite)
        ):
            raise NotCompiled(f"input {column.source!r} is scaled or taken apart before it is encoded")
        categories = step.categories_[place].tolist()
        new = frozenset() if column.finite else frozenset(value for value in categories if value == value) - {None}
        first, last = _outputs(step, place)
        memo: dict[tuple[Any, ...], Floats] = {}
        encoded += [
            FeatureColumn(
                column.source,
                word=False,
                known=column.known | new,
                evaluate=_encoded(partial(_transformed, step, place, memo), column, at),
                finite=True,
            )
            for at in range(first, last)
        ]
    return encoded


def _outputs(step: Any, place: int) -> tuple[int, int]:
    """Which outputs of an encoder belong to its input at *place*."""
    kind = type(step).__name__
    if kind == "OneHotEncoder":
        ends = np.cumsum([0, *step._n_features_outs])
        return int(ends[place]), int(ends[place + 1])
    each = len(step.classes_) if kind == "TargetEncoder" and step.target_type_ == "multiclass" else 1
    return place * each, (place + 1) * each


def _encoded(encode: Callable[[Any], Floats], column: FeatureColumn, at: int) -> Callable[[Values], Floats]:
    def evaluate(raw: Values) -> Floats:
        try:
            return encode(column.values(raw))[:, at]
        except ValueError as error:
            message = f"the encoder of input {column.source!r} refuses values that training did not hold"
            raise NotCompiled(message) from error

    return evaluate


def _transformed(step: Any, place: int, memo: dict[tuple[Any, ...], Floats], raw: Any) -> Floats:
    """What a fitted encoder makes of values of its input at *place*; its other inputs get any known value."""
    import pandas as pd

    values = tuple(raw.tolist())
    if values in memo:
        return memo[values]
    series = {}
    for other, categories in enumerate(step.categories_):
        filler = [categories[0]] * len(values)
        number = categories.dtype.kind in "biuf"
        series[other] = pd.Series(values if other == place else filler, dtype=np.float64 if number else object)
    frame = pd.DataFrame(series)
    names = getattr(step, "feature_names_in_", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = step.transform(frame.set_axis(names, axis=1) if names is not None else frame.to_numpy())
    memo[values] = np.asarray(result.toarray() if hasattr(result, "toarray") else result, dtype=np.float64)
    return memo[values]


_TRANSFORMERS: dict[str, Callable[[Any, Columns], Columns]] = {
    "Pipeline": _pipeline,
    "FeatureUnion": _union,
    "ColumnTransformer": _columns,
    "FunctionTransformer": _function,
    "StandardScaler": _standard,
    "RobustScaler": _robust,
    "MinMaxScaler": _min_max,
    "MaxAbsScaler": _max_abs,
    "SimpleImputer": _imputer,
    "MissingIndicator": _indicator,
    "OneHotEncoder": _encoder,
    "OrdinalEncoder": _encoder,
    "TargetEncoder": _encoder,
    "DateParts": _dates,
    **curves.CURVED,
    **mixed.MIXED,
    **texts.TEXTS,
}
