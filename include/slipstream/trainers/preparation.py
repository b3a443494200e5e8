"""What stands before a model: a transformer of plain scikit-learn parts, which follows from the data's types.

``ColumnTransformer(numbers=..., words=..., dates=...)``: such a part is kept without pickle and compiled for serving.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from slipstream.trainers.positions import Prepared

MOST_CATEGORIES = 30
"""With one-hot encoding: the rarest values of a column beyond so many share one indicator."""
MISSING_CODE = -1
"""What stands for a missing category where NaN cannot."""


@dataclass(frozen=True)
class Needs:
    """What a model asks of its columns.

    Attributes:
        takes_missing: Whether it takes NaN; else missing numbers become the median.
        scaled: Whether numbers are brought to one scale.
        counts: Whether numbers are brought to lie between 0 and 1.
        indicators: Whether words become indicators, one for each value; else numbers.
        whole_categories: Whether categories have to be whole numbers: -1 for a missing one, in a frame of columns.
        categories: Inputs of numbers whose values are categories, and are treated as words.
    """

    takes_missing: bool = True
    scaled: bool = False
    counts: bool = False
    indicators: bool = False
    whole_categories: bool = False
    categories: Collection[str] = ()


def kinds_of(inputs: Any, categories: Collection[str] = ()) -> dict[str, str]:
    """Input -> ``numbers``, ``words`` or ``dates``, by what a frame holds; *categories* count as words."""
    from slipstream.trainers.date_parts import holds_dates

    def kind(name: str) -> str:
        if name in categories:
            return "words"
        if inputs[name].dtype != object:
            return "numbers"
        return "dates" if holds_dates(inputs[name]) else "words"

    return {name: kind(name) for name in inputs.columns}


def preparation(inputs: Any, needs: Needs) -> Any:
    """The transformer, not fitted, for a frame of the *inputs*: numbers first, then words, then dates."""
    from sklearn.compose import ColumnTransformer

    from slipstream.trainers.date_parts import DateParts

    kinds = kinds_of(inputs, needs.categories)
    numbers, words, dates = ([name for name in kinds if kinds[name] == kind] for kind in ("numbers", "words", "dates"))
    parts = []
    if numbers:
        parts.append(("numbers", _numbers(needs), numbers))
    if words:
        parts.append(("words", _words(needs), words))
    if dates:
        after = _numbers(needs)
        parts.append(("dates", DateParts() if after == "passthrough" else _behind(DateParts(), after), dates))
    prepare = ColumnTransformer(parts, verbose_feature_names_out=needs.whole_categories)
    return prepare.set_output(transform="pandas") if needs.whole_categories else prepare


def places_of(prepare: Any, inputs: Any, most_categories: int) -> Prepared:
    """Where each input stands behind the preparation, which makes of a date its parts."""
    from slipstream.compiler.dates import PARTS

    places: dict[str, list[int]] = {}
    for part, _, names in prepare.transformers:
        for name in names:
            first = sum(map(len, places.values()))
            places[name] = list(range(first, first + (len(PARTS) if part == "dates" else 1)))
    numbers = frozenset(name for part, _, names in prepare.transformers if part == "numbers" for name in names)
    return Prepared(places, numbers, lambda name: int(inputs[name].nunique()), most_categories)


def category_places(prepare: Any) -> list[int]:
    """Where the prepared categories stand."""
    first = 0
    for part, _, names in prepare.transformers:
        if part == "words":
            return list(range(first, first + len(names)))
        first += len(names)
    return []


def _numbers(needs: Needs) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    steps: list[tuple[str, Any]] = []
    if not needs.takes_missing:
        steps.append(("impute", SimpleImputer(strategy="median", keep_empty_features=True)))
    if needs.counts:
        steps.append(("scale", MinMaxScaler(clip=True)))
    elif needs.scaled:
        steps.append(("scale", StandardScaler()))
    return Pipeline(steps) if steps else "passthrough"


def _behind(first: Any, rest: Any) -> Any:
    from sklearn.pipeline import Pipeline

    return Pipeline([("parts", first), *rest.steps])


def _words(needs: Needs) -> Any:
    """Encodes words; a word not seen in training counts as missing, or as the rare words' indicator."""
    import numpy as np
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    if needs.indicators:
        return OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=MOST_CATEGORIES, sparse_output=False)
    whole = needs.whole_categories
    absent = np.nan if needs.takes_missing and not whole else MISSING_CODE
    kind = {"dtype": np.int64} if whole else {}
    return OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=absent, encoded_missing_value=absent, **kind
    )
