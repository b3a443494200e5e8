"""Writes the expression of an answer down as layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from slipstream.compiler.feature_column import FeatureColumn, Node
from slipstream.compiler.program import Constant, Layer, NotCompiled
from slipstream.compiler.trees.onnx import to_onnx

MOST_NUMBERS, MOST_LAYERS = 2_000_000, 2_000
"""Programs of more numbers or layers are not compiled."""


def walked(answer: Node) -> Iterator[Node]:
    """Every node of an expression once, each behind what it is made of."""
    done: set[int] = set()
    waiting = [(answer, False)]
    while waiting:
        node, ready = waiting.pop()
        if ready:
            yield node
        elif id(node) not in done:
            done.add(id(node))
            waiting += [(node, True), *((part, False) for part in reversed(node.of))]


def written(answer: Node, places: Mapping[FeatureColumn, int]) -> list[Layer]:
    """The layers of an expression; *places* says where the vector holds each feature.

    Raises:
        NotCompiled: there would be too many.
    """
    layers: list[Layer] = []
    numbers: dict[int, int] = {}
    known: dict[Any, int] = {}
    for node in walked(answer):
        layer = _layer(node, [numbers[id(part)] for part in node.of], places)
        if layer is None:
            numbers[id(node)] = 0
            continue
        key = (
            layer.op,
            *layer.of,
            *((tuple(one.shape), one.data) for one in layer.by),
            layer.trees,
            id(layer.text) if layer.text else None,
        )
        if key not in known:
            layers.append(layer)
            known[key] = len(layers)
        numbers[id(node)] = known[key]
    _affordable(layers)
    if numbers[id(answer)] != len(layers):
        layers.append(Layer("take", [numbers[id(answer)]], [_constant(np.arange(answer.width))]))
    return layers


def _layer(node: Node, of: list[int], places: Mapping[FeatureColumn, int]) -> Layer | None:
    """One node as a layer; None for the whole vector itself."""
    if node.op == "vector":
        at = [places[column] for column in node.columns]
        return None if at == list(range(len(places))) else Layer("take", [0], [_constant(np.array(at, dtype=float))])
    if node.op == "trees":
        return Layer("trees", of, trees=to_onnx(node.ensemble, range(node.of[0].width), node.of[0].width))
    if node.op == "text":
        return Layer("text", of, text=node.text)
    return Layer(node.op, of, [_constant(one) for one in node.by])


def _constant(values: Any) -> Constant:
    numbers = np.ascontiguousarray(values, dtype="<f8")
    return Constant(list(np.shape(values)), numbers.tobytes())


def _affordable(layers: list[Layer]) -> None:
    count = sum(len(one.data) // 8 for layer in layers for one in layer.by)
    if count > MOST_NUMBERS:
        raise NotCompiled(f"it keeps {count:,} numbers, and at most {MOST_NUMBERS:,} are compiled")
    if len(layers) > MOST_LAYERS:
        raise NotCompiled(f"it has {len(layers):,} layers, and at most {MOST_LAYERS:,} are compiled")
