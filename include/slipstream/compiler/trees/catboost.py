"""The trees of a model fitted by CatBoost, as :mod:`slipstream.compiler.trees.sklearn` keeps them.

All nodes of one level of an oblivious tree ask the same question; its leaves are numbered by the answers, the first
question's in the lowest bit.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from slipstream.compiler.program import SINGLE, Link, NotCompiled
from slipstream.compiler.trees.sklearn import Ensemble, Tree

Question = tuple[int, float, bool, tuple[float, ...]]
"""Column, border that yes exceeds, whether NaN does not, and in place of the border the one category that is yes."""
MOST_CODES = 1 << 16
"""Up to so many whole numbers are tried to find the categories that a model keeps as digests."""
_LINKS: dict[str, Link] = {
    **dict.fromkeys(("Logloss", "CrossEntropy"), "sigmoid"),
    "MultiClass": "softmax",
    **dict.fromkeys(("RMSE", "MAE", "Quantile", "MAPE", "Huber", "Lq", "Expectile", "LogCosh"), "none"),
    **dict.fromkeys(("Poisson", "Tweedie"), "exp"),
}


def from_catboost(model: Any) -> Ensemble:
    """The trees of a CatBoost classifier or regressor; it compares in single precision."""
    saved = _saved(model, None)
    objective = saved["model_info"].get("params", {}).get("loss_function", {}).get("type", "unknown")
    link = _LINKS.get(objective)
    if link is None:
        raise NotCompiled(f"CatBoost's loss {objective!r} is none that is compiled")
    if "oblivious_trees" not in saved:
        raise NotCompiled("CatBoost's trees that are not symmetric (grow_policy) are not compiled")
    scale, base = saved["scale_and_bias"]
    questions = _Questions(model, saved)
    levels_of = [[questions.of(split) for split in tree["splits"] or []] for tree in saved["oblivious_trees"]]
    leaves = [
        np.asarray(tree["leaf_values"], dtype=np.float64).reshape(-1, len(base)) * scale
        for tree in saved["oblivious_trees"]
    ]
    trees = [one for levels, values in zip(levels_of, leaves, strict=True) for one in _trees(levels, values)]
    by_level = _by_level(levels_of, leaves) if trees else ()
    return Ensemble(tuple(trees), tuple(map(float, base)), link=link, tolerance=SINGLE, symmetric=by_level)


def _saved(model: Any, pool: Any) -> Any:
    """The model as CatBoost's JSON; *pool* has the values whose digests are to be told."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        try:
            model.save_model(str(path), format="json", pool=pool)
        except Exception as error:  # the library's own class, and others
            raise NotCompiled(f"CatBoost does not tell its trees: {str(error).splitlines()[0]}") from error
        return json.loads(path.read_text(encoding="utf-8"))


class _Questions:
    """The questions of a model."""

    def __init__(self, model: Any, saved: Any) -> None:
        features = saved["features_info"]
        self._numbers = {one["feature_index"]: one for one in features.get("float_features", ())}
        self._categories = {one["feature_index"]: one for one in features.get("categorical_features", ())}
        wanted = {value & 0xFFFFFFFF for one in self._categories.values() for value in one.get("values", ())}
        self._codes = _codes(model, features, wanted) if wanted else {}

    def of(self, split: Mapping[str, Any]) -> Question:
        """What a split asks."""
        if split["split_type"] == "FloatFeature":
            column = self._numbers[split["float_feature_index"]]
            return column["flat_feature_index"], split["border"], column["nan_value_treatment"] != "AsTrue", ()
        if split["split_type"] == "OneHotFeature":
            column = self._categories[split["cat_feature_index"]]
            return column["flat_feature_index"], 0.0, False, (self._codes[split["value"] & 0xFFFFFFFF],)
        raise NotCompiled(
            "CatBoost's statistics of categories (CTR) are not compiled; with one_hot_max_size at least the number of "
            "values of each input of words they are not used"
        )


def _codes(model: Any, features: Any, wanted: set[int]) -> dict[int, float]:
    """Digest -> the whole number that a category is."""
    import catboost

    columns = [*features.get("float_features", ()), *features.get("categorical_features", ())]
    places = [one["flat_feature_index"] for one in features["categorical_features"]]
    count = 64
    while count <= MOST_CODES:
        rows = np.zeros((count, len(columns)), dtype=object)
        rows[:, places] = np.arange(-1, count - 1)[:, None]
        pool = catboost.Pool(rows, cat_features=places, feature_names=list(model.feature_names_))
        digests = _saved(model, pool)["features_info"].get("cat_features_hash", ())
        codes = {one["hash"] & 0xFFFFFFFF: float(one["value"]) for one in digests}
        if wanted <= codes.keys():
            return codes
        count *= 8
    raise NotCompiled("CatBoost's categories are no whole numbers of an encoder")


def _by_level(levels_of: Sequence[Sequence[Question]], leaves: Sequence[Any]) -> tuple[Any, ...]:
    """The numbers of :mod:`slipstream.compiler.layers.symmetric`; lower trees end with questions that all deny."""
    depth = max(map(len, levels_of))
    never: Question = (0, math.inf, True, ())
    known = list(dict.fromkeys([*chain(*levels_of), never]))
    places = {question: place for place, question in enumerate(known)}
    levels = np.full((len(levels_of), depth), places[never])
    added = np.zeros((len(leaves), 1 << depth, leaves[0].shape[1]))
    for tree, (questions, values) in enumerate(zip(levels_of, leaves, strict=True)):
        levels[tree, : len(questions)] = [places[question] for question in questions]
        added[tree, : len(values)] = values
    columns = [column for column, _, _, _ in known]
    borders = [members[0] if members else border for _, border, _, members in known]
    missing = [not at_most and not members for _, _, at_most, members in known]
    equal = [bool(members) for _, _, _, members in known]
    return (*map(np.array, (columns, borders, missing, equal)), levels, added)


def _trees(questions: Sequence[Question], values: Any) -> list[Tree]:
    """One tree for each score: level by level, so that the children of node n are 2n + 1 and 2n + 2."""
    depth = len(questions)
    inner = (1 << depth) - 1
    levels = np.repeat(np.arange(depth + 1), 1 << np.arange(depth + 1))
    answers = _answers(depth)
    scores = values.shape[1]
    at_level = [*questions, (0, 0.0, False, ())]
    members = {node: at_level[levels[node]][3] for node in range(inner) if at_level[levels[node]][3]}
    flipped = np.array([node in members for node in range(len(levels))])
    first, second = 2 * np.arange(len(levels)) + 1, 2 * np.arange(len(levels)) + 2
    leaves = np.zeros((len(levels), scores))
    leaves[inner:] = values[answers]
    return [
        Tree(
            feature=np.array([at_level[level][0] for level in levels], dtype=np.int64),
            threshold=np.array([at_level[level][1] for level in levels], dtype=np.float64),
            # Left is the answer no, and for members, who go left, yes.
            left=np.where(flipped, second, first),
            right=np.where(flipped, first, second),
            missing_left=np.array([at_level[level][2] for level in levels], dtype=bool),
            leaf=np.arange(len(levels)) >= inner,
            value=leaves[:, score].copy(),
            target=score,
            members=members,
        )
        for score in range(scores)
    ]


def _answers(depth: int) -> Any:
    """For each place in the last level the number of its leaf: the way there, read with the first answer lowest."""
    places = np.arange(1 << depth)
    number = np.zeros_like(places)
    for level in range(depth):
        number |= ((places >> (depth - 1 - level)) & 1) << level
    return number
