"""The trees of a fitted scikit-learn model as plain arrays, with what turns their sum into the answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from slipstream.compiler.program import EXACT, Floats, Link, NotCompiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

TASKS = ("Classifier", "Regressor")
MAX_NODES = 400_000
"""More nodes than that are not compiled: the file would outgrow the model that it is to speed up."""


@dataclass(frozen=True)
class Tree:
    """One tree; every array has one entry per node and node 0 is the root.

    Attributes:
        feature: Which feature an inner node looks at.
        threshold: Values up to it go left (below it, if the ensemble is strict).
        left: The left child; a leaf's entry is ignored.
        right: The right child.
        missing_left: Whether NaN goes left.
        leaf: Whether the node is a leaf.
        value: What a leaf adds.
        target: To which score.
        members: Node -> the values that go left, in place of the threshold.
    """

    feature: NDArray[np.int64]
    threshold: Floats
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_left: NDArray[np.bool_]
    leaf: NDArray[np.bool_]
    value: Floats
    target: int = 0
    members: Mapping[int, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Ensemble:
    """Trees, and what becomes of their sums; see :class:`slipstream.compiler.program.ProgramHead`.

    Attributes:
        symmetric: The same trees as :mod:`slipstream.compiler.layers.symmetric` takes them, if they can be written so.
    """

    trees: tuple[Tree, ...]
    base: tuple[float, ...]
    divide: float = 1.0
    link: Link = "none"
    gain: float = 1.0
    single: bool = True
    strict: bool = False
    tolerance: float = EXACT
    symmetric: tuple[Floats, ...] = ()

    def __post_init__(self) -> None:
        _affordable(sum(len(tree.leaf) for tree in self.trees))


def from_tree(model: Any) -> Ensemble:
    """A decision tree or an extra tree."""
    return from_forest(model, [model])


def from_forest(model: Any, members: Iterable[Any] | None = None) -> Ensemble:
    """A random forest or extra trees: the mean of what the trees say, for each class."""
    members = list(model.estimators_ if members is None else members)
    if model.n_outputs_ != 1:
        raise NotCompiled("it answers several targets at once")
    classes = len(model.classes_) if hasattr(model, "classes_") else 1
    _affordable(sum(member.tree_.node_count for member in members) * classes)
    trees = [_plain(member.tree_, member.tree_.value[:, 0, k], k) for member in members for k in range(classes)]
    return Ensemble(tuple(trees), (0.0,) * classes, divide=float(len(members)))


def from_gradient_boosting(model: Any) -> Ensemble:
    """Gradient boosting: a constant and shrunk trees."""
    if model.init_ != "zero" and type(model.init_).__name__ not in {"DummyClassifier", "DummyRegressor"}:
        raise NotCompiled("its first answer comes from another estimator (init)")
    base = model._raw_predict_init(np.zeros((1, model.n_features_in_), dtype=np.float32))[0]
    trees = [
        _plain(member.tree_, member.tree_.value[:, 0, 0] * model.learning_rate, k)
        for stage in model.estimators_
        for k, member in enumerate(stage)
    ]
    link: Link = "none"
    if hasattr(model, "classes_"):
        link = "softmax" if len(model.classes_) > 2 else "sigmoid"
    gain = 2.0 if model.loss == "exponential" else 1.0
    return Ensemble(tuple(trees), tuple(map(float, base)), link=link, gain=gain)


def from_hist(model: Any) -> Ensemble:
    """Histogram gradient boosting, on the features behind its own preparation of categories."""
    base = tuple(map(float, np.ravel(model._baseline_prediction)))
    trees = [_hist(member, k) for stage in model._predictors for k, member in enumerate(stage)]
    link: Link = "none"
    if hasattr(model, "classes_"):
        link = "softmax" if len(base) > 1 else "sigmoid"
    elif type(model._loss.link).__name__ == "LogLink":
        link = "exp"
    elif type(model._loss.link).__name__ != "IdentityLink":
        raise NotCompiled(f"its loss {model.loss} has a link that is not known")
    return Ensemble(tuple(trees), base, link=link, single=False)


def _plain(tree: Any, value: Floats, target: int) -> Tree:
    return Tree(
        feature=np.maximum(tree.feature, 0).astype(np.int64),
        threshold=np.asarray(tree.threshold, dtype=np.float64),
        left=tree.children_left.astype(np.int64),
        right=tree.children_right.astype(np.int64),
        missing_left=np.asarray(tree.missing_go_to_left, dtype=bool),
        leaf=tree.children_left == -1,
        value=np.asarray(value, dtype=np.float64),
        target=target,
    )


def _hist(predictor: Any, target: int) -> Tree:
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(bool)
    split = np.flatnonzero(nodes["is_categorical"].astype(bool) & ~leaf)
    members = {int(node): _bits(predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]]) for node in split}
    return Tree(
        feature=nodes["feature_idx"].astype(np.int64),
        threshold=nodes["num_threshold"].astype(np.float64),
        left=nodes["left"].astype(np.int64),
        right=nodes["right"].astype(np.int64),
        missing_left=nodes["missing_go_to_left"].astype(bool),
        leaf=leaf,
        value=nodes["value"].astype(np.float64),
        target=target,
        members=members,
    )


def _bits(words: NDArray[np.uint32]) -> tuple[float, ...]:
    """The numbers whose bits are set."""
    return tuple(float(32 * at + bit) for at, word in enumerate(words.tolist()) for bit in range(32) if word >> bit & 1)


def _affordable(nodes: int) -> None:
    """Refuse too many nodes; a forest that classifies has one copy of each tree per class."""
    if nodes > MAX_NODES:
        raise NotCompiled(
            f"its trees have {nodes:,} nodes (one tree per class), and at most {MAX_NODES:,} are compiled"
        )
