"""Trees as an ONNX model in double precision: one ``TreeEnsemble`` of ai.onnx.ml 5, built directly.

Equal ensembles give equal bytes. Input ``X`` is ``(rows, width)``, output ``Y`` is ``(rows, scores)``: plain sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from slipstream.compiler.trees.sklearn import Ensemble, Tree

_LEQ, _LT, _MEMBER = 0, 1, 6
_SUM, _NO_TRANSFORM = 1, 0


@dataclass
class _Nodes:
    """The attributes of the operator while trees are added."""

    roots: list[int] = field(default_factory=list)
    modes: list[int] = field(default_factory=list)
    features: list[int] = field(default_factory=list)
    splits: list[float] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    children: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))
    leaves: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))
    weights: list[float] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    members: list[float] = field(default_factory=list)


def to_onnx(ensemble: Ensemble, places: Sequence[int], width: int) -> bytes:
    """The ONNX file of an ensemble.

    Args:
        ensemble: The trees.
        places: Where each feature of the trees stands in the vector.
        width: Length of the vector.
    """
    nodes = _Nodes()
    where = np.asarray(places, dtype=np.int64)
    for tree in ensemble.trees:
        _add(nodes, tree, where, _LT if ensemble.strict else _LEQ)
    return _serialized(_operator(nodes, len(ensemble.base)), width, len(ensemble.base))


def _add(nodes: _Nodes, tree: Tree, places: Any, mode: int) -> None:
    first, first_leaf = len(nodes.modes), len(nodes.weights)
    nodes.roots.append(first)
    nodes.weights += tree.value[tree.leaf].tolist()
    nodes.targets += [tree.target] * int(tree.leaf.sum())
    if tree.leaf[0]:
        # The operator knows no tree without a node: one whose two sides are the same leaf.
        _add_stump(nodes, first_leaf)
        return
    inner = ~tree.leaf
    numbers = np.where(tree.leaf, np.cumsum(tree.leaf) - 1 + first_leaf, np.cumsum(inner) - 1 + first)
    for side, child in enumerate((tree.left[inner], tree.right[inner])):
        nodes.children[side].extend(numbers[child].tolist())
        nodes.leaves[side].extend(tree.leaf[child].astype(int).tolist())
    nodes.features += places[tree.feature[inner]].tolist()
    nodes.missing += tree.missing_left[inner].astype(int).tolist()
    modes, splits = [mode] * int(inner.sum()), tree.threshold[inner].tolist()
    for node, values in sorted(tree.members.items()):
        at = int(numbers[node]) - first
        # Nothing is at most minus infinity, so that an empty set has no member.
        modes[at], splits[at] = (_MEMBER, 0.0) if values else (_LEQ, -np.inf)
        nodes.members += [*values, np.nan] if values else []
    nodes.modes += modes
    nodes.splits += splits


def _add_stump(nodes: _Nodes, leaf: int) -> None:
    for side in (0, 1):
        nodes.children[side].append(leaf)
        nodes.leaves[side].append(1)
    nodes.modes.append(_LEQ)
    nodes.features.append(0)
    nodes.splits.append(0.0)
    nodes.missing.append(0)


def _operator(nodes: _Nodes, scores: int) -> Any:
    from onnx import helper, numpy_helper

    def tensor(name: str, values: list[Any], kind: Any) -> Any:
        return numpy_helper.from_array(np.asarray(values, dtype=kind), name)

    members = {"membership_values": tensor("members", nodes.members, np.float64)} if nodes.members else {}
    return helper.make_node(
        "TreeEnsemble",
        ["X"],
        ["Y"],
        domain="ai.onnx.ml",
        n_targets=scores,
        aggregate_function=_SUM,
        post_transform=_NO_TRANSFORM,
        tree_roots=nodes.roots,
        nodes_modes=tensor("modes", nodes.modes, np.uint8),
        nodes_featureids=nodes.features,
        nodes_splits=tensor("splits", nodes.splits, np.float64),
        nodes_truenodeids=nodes.children[0],
        nodes_trueleafs=nodes.leaves[0],
        nodes_falsenodeids=nodes.children[1],
        nodes_falseleafs=nodes.leaves[1],
        nodes_missing_value_tracks_true=nodes.missing,
        leaf_targetids=nodes.targets,
        leaf_weights=tensor("weights", nodes.weights, np.float64),
        **members,
    )


def _serialized(operator: Any, width: int, scores: int) -> bytes:
    from onnx import TensorProto, helper

    taken = helper.make_tensor_value_info("X", TensorProto.DOUBLE, [None, width])
    got = helper.make_tensor_value_info("Y", TensorProto.DOUBLE, [None, scores])
    graph = helper.make_graph([operator], "trees", [taken], [got])
    domains = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 5)]
    model = helper.make_model(graph, opset_imports=domains, ir_version=10, producer_name="slipstream")
    written: bytes = model.SerializeToString(deterministic=True)
    return written
