"""Runs layers: NumPy and onnxruntime, nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from slipstream.compiler.layers.operations import OPERATIONS
from slipstream.compiler.layers.texts import counter
from slipstream.compiler.program import PLAN, Constant, Floats, Layer, LayeredProgram
from slipstream.errors import BundleError

Run = Callable[..., Any]
Trees = Callable[[bytes], Run]

MOST_CELLS = 1_000_000
"""More rows than fill so many numbers of the widest layer are answered in parts."""


class Layers:
    """The layers of a program, ready to run."""

    def __init__(self, plan: LayeredProgram, trees: Trees) -> None:
        """Prepare every layer; *trees* opens an ONNX file.

        Raises:
            BundleError: ``scorer_invalid``.
        """
        self._layers = [(tuple(layer.of), _prepared(layer, number, trees)) for number, layer in enumerate(plan.layers)]
        widest = max((max(one.shape, default=1) for layer in plan.layers for one in layer.by), default=1)
        widest = max((len(layer.text.words) for layer in plan.layers if layer.text), default=widest)
        self._rows = max(1, MOST_CELLS // max(widest, plan.width, 1))
        # A text has no place in the vector: its layer is made of the input itself.
        self._texts = {number: layer.text.name for number, layer in enumerate(plan.layers) if layer.text}

    def run(self, vector: Floats, columns: Mapping[str, Sequence[Any]]) -> Any:
        """The answers to rows of the vector, and of the *columns* of inputs: ``(n,)`` or ``(n, m)``."""
        rows = self._rows
        if len(vector) <= rows:
            return self._part(vector, {number: columns[name] for number, name in self._texts.items()})
        parts = []
        for first in range(0, len(vector), rows):
            texts = {number: columns[name][first : first + rows] for number, name in self._texts.items()}
            parts.append(self._part(vector[first : first + rows], texts))
        return np.concatenate(parts)

    def _part(self, vector: Floats, texts: Mapping[int, Sequence[Any]]) -> Any:
        values = [vector]
        with np.errstate(all="ignore"):
            for number, (of, run) in enumerate(self._layers):
                values.append(run(texts[number]) if number in texts else run(*[values[place] for place in of]))
        last = values[-1]
        return last[:, 0] if last.shape[1] == 1 else last


def _prepared(layer: Layer, number: int, trees: Trees) -> Run:
    if any(not 0 <= place <= number for place in layer.of):
        raise _invalid(f"layer {number} is made of one that is not before it")
    if layer.op == "trees":
        return trees(layer.trees or b"")
    if layer.text is not None:
        try:
            return counter(layer.text)
        except re.error as error:
            raise _invalid(f"layer {number} (text): {error}") from error
    operation = OPERATIONS.get(layer.op)
    if operation is None:
        raise _invalid(f"layer {number} does {layer.op!r}, which is not known here")
    try:
        run: Run = operation(*map(array, layer.by))
    except (TypeError, ValueError, IndexError) as error:
        raise _invalid(f"layer {number} ({layer.op}): {error}") from error
    return run


def array(constant: Constant) -> Floats:
    """The numbers of a constant."""
    return np.frombuffer(constant.data, dtype="<f8").reshape(constant.shape).astype(np.float64)


def _invalid(text: str) -> BundleError:
    return BundleError(f"{PLAN}: {text}; package the model again.", code="scorer_invalid")
