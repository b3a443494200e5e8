"""The trees of a model fitted by LightGBM or XGBoost, as :mod:`slipstream.compiler.trees.sklearn` keeps them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from slipstream.compiler.features import Columns
from slipstream.compiler.program import SINGLE, Link, NotCompiled
from slipstream.compiler.trees.sklearn import Ensemble, Tree

_LIGHTGBM: dict[str, Link] = {
    "multiclass": "softmax",
    **dict.fromkeys(("regression", "regression_l1", "huber", "fair", "quantile", "mape"), "none"),
    **dict.fromkeys(("poisson", "gamma", "tweedie"), "exp"),
}
_XGBOOST: dict[str, Link] = {
    "binary:logistic": "sigmoid",
    "multi:softprob": "softmax",
    **dict.fromkeys(("reg:squarederror", "reg:absoluteerror", "reg:quantileerror", "reg:pseudohubererror"), "none"),
    **dict.fromkeys(("count:poisson", "reg:gamma", "reg:tweedie"), "exp"),
}

_LIGHT_ZERO = float(np.float32(1e-35))
_LIGHT_INFINITY = 1e300


def from_lightgbm(model: Any) -> Ensemble:
    """The trees of a LightGBM classifier or regressor."""
    dump = model.booster_.dump_model()
    name, *options = dump["objective"].split()
    link, gain = _LIGHTGBM.get(name), 1.0
    if name == "binary":
        link, gain = "sigmoid", float(options[0].removeprefix("sigmoid:"))
    if link is None or "sqrt" in options:
        raise NotCompiled(f"LightGBM's objective {dump['objective']!r} is none that is compiled")
    scores = dump["num_tree_per_iteration"]
    trees = tuple(_light_tree(tree["tree_structure"], tree["tree_index"] % scores) for tree in dump["tree_info"])
    divide = float(max(1, len(trees) // scores)) if dump["average_output"] else 1.0
    return Ensemble(trees, (0.0,) * scores, divide=divide, link=link, gain=gain, single=False)


def known_categories(model: Any, columns: Columns) -> Columns:
    """The columns, of which those that XGBoost splits by categories come from an encoder."""
    types = model.get_booster().feature_types or []
    for kind, column in zip(types, columns, strict=False):
        # It takes fractions between -1 and 0 for no category, and cuts others.
        if kind == "c" and not column.finite:
            raise NotCompiled(f"XGBoost's categories of input {column.source!r} come from no encoder")
    return columns


def whole_categories(model: Any, columns: Columns) -> Columns:
    """The columns with LightGBM's categories cut to whole numbers, as it does."""
    nodes = [node for tree in model.booster_.dump_model()["tree_info"] for node in _light_nodes(tree["tree_structure"])]
    split = {node["split_feature"] for node in nodes if node.get("decision_type") == "=="}
    return [column.then("trunc") if place in split else column for place, column in enumerate(columns)]


def _light_nodes(root: Any) -> Iterator[dict[str, Any]]:
    """Every node of a LightGBM tree, parents before children; each is given its place as ``at``."""
    waiting, at = [root], 0
    while waiting:
        node = waiting.pop()
        node["at"] = at
        at += 1
        yield node
        if "split_feature" in node:
            waiting += [node["right_child"], node["left_child"]]


def _light_tree(root: Any, target: int) -> Tree:
    nodes = list(_light_nodes(root))
    tree = _blank(len(nodes), target)
    members: dict[int, tuple[float, ...]] = {}
    for at, node in enumerate(nodes):
        if "split_feature" not in node:
            if "leaf_coeff" in node:
                raise NotCompiled("LightGBM's linear trees are not compiled")
            tree.leaf[at], tree.value[at] = True, node["leaf_value"]
            continue
        tree.feature[at] = node["split_feature"]
        tree.left[at], tree.right[at] = node["left_child"]["at"], node["right_child"]["at"]
        if node["decision_type"] == "==":
            members[at] = tuple(sorted(map(float, node["threshold"].split("||"))))
        else:
            tree.threshold[at] = _light_threshold(node["threshold"])
            tree.missing_left[at] = _light_missing(node)
    return Tree(**{**vars(tree), "members": members})


def _light_threshold(threshold: float) -> float:
    """The threshold for values as they are.

    LightGBM takes values next to zero for zero before it compares, and writes 1e300 for the bound that nothing exceeds.
    """
    if threshold >= _LIGHT_INFINITY:
        return math.inf
    if -_LIGHT_ZERO <= threshold < 0:
        return math.nextafter(-_LIGHT_ZERO, -math.inf)
    return _LIGHT_ZERO if 0 <= threshold < _LIGHT_ZERO else threshold


def _light_missing(node: Any) -> bool:
    """Where NaN goes: LightGBM takes it for zero where training saw none."""
    if node["missing_type"] == "Zero":
        raise NotCompiled("LightGBM's zero_as_missing is not compiled")
    return bool(node["default_left"] if node["missing_type"] == "NaN" else node["threshold"] >= 0)


def from_xgboost(model: Any) -> Ensemble:
    """The trees of an XGBoost classifier or regressor; it sums in single precision, so the answers differ by that."""
    learner = json.loads(model.get_booster().save_raw("json"))["learner"]
    booster, objective = learner["gradient_booster"], learner["objective"]["name"]
    if booster["name"] != "gbtree":
        raise NotCompiled(f"XGBoost's booster {booster['name']} is not compiled")
    link = _XGBOOST.get(objective)
    if link is None:
        raise NotCompiled(f"XGBoost's objective {objective!r} is none that is compiled")
    if not math.isnan(model.missing):
        raise NotCompiled(f"XGBoost takes {model.missing} for missing, not NaN")
    inside = booster["model"]
    scores = max(1, int(learner["learner_model_param"]["num_class"]))
    count = _answering_trees(model, inside, len(inside["trees"]))
    trees = tuple(_gradient_tree(inside["trees"][place], inside["tree_info"][place]) for place in range(count))
    base = _base(learner["learner_model_param"]["base_score"], scores, link)
    return Ensemble(trees, base, link=link, strict=True, tolerance=SINGLE)


def _answering_trees(model: Any, inside: Any, trees: int) -> int:
    """How many of the trees answer: up to the best round, if it stopped early."""
    best = getattr(model, "best_iteration", None) if model.early_stopping_rounds else None
    return trees if best is None else int(inside["iteration_indptr"][best + 1])


def _base(text: str, scores: int, link: Link) -> tuple[float, ...]:
    scores_at_start = json.loads(text) if text.startswith("[") else [float(text)]
    scores_at_start = scores_at_start * scores if len(scores_at_start) == 1 else scores_at_start
    if link == "sigmoid":
        return tuple(math.log(value / (1 - value)) for value in scores_at_start)
    return tuple(math.log(value) if link == "exp" else float(value) for value in scores_at_start)


def _gradient_tree(tree: Any, target: int) -> Tree:
    if int(tree["tree_param"]["size_leaf_vector"]) > 1:
        raise NotCompiled("XGBoost's vector leaves are not compiled")
    left, right = (np.array(tree[f"{side}_children"], dtype=np.int64) for side in ("left", "right"))
    missing_left = np.array(tree["default_left"], dtype=bool)
    members = _gradient_members(tree)
    # The categories of a split go right; members of a node of ours go left.
    for node in members:
        left[node], right[node], missing_left[node] = right[node], left[node], not missing_left[node]
    # Thresholds are doubles of single-precision numbers; leaves keep their value in the same place.
    conditions = np.array(tree["split_conditions"], dtype=np.float32).astype(np.float64)
    return Tree(
        feature=np.array(tree["split_indices"], dtype=np.int64),
        threshold=conditions,
        left=left,
        right=right,
        missing_left=missing_left,
        leaf=left == -1,
        value=conditions,
        target=target,
        members=members,
    )


def _gradient_members(tree: Any) -> dict[int, tuple[float, ...]]:
    """Node -> its categories."""
    categories = {}
    for node, first, count in zip(
        tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True
    ):
        categories[int(node)] = tuple(sorted(map(float, tree["categories"][first : first + count])))
    return categories


def _blank(nodes: int, target: int) -> Tree:
    def zeros(kind: Any) -> Any:
        return np.zeros(nodes, dtype=kind)

    return Tree(
        feature=zeros(np.int64),
        threshold=zeros(np.float64),
        left=zeros(np.int64),
        right=zeros(np.int64),
        missing_left=zeros(bool),
        leaf=zeros(bool),
        value=zeros(np.float64),
        target=target,
    )
