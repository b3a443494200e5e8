"""One feature of a fitted pipeline: of one input with operations on its value, or of a matrix that layers compute."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np

from slipstream.compiler.program import NEUTRAL, Floats, Kind, NotCompiled, apply

Values = Sequence[Any]
UNSEEN = "\x00 never seen"


@dataclass(frozen=True)
class Op:
    """One operation of :func:`slipstream.compiler.program.apply`."""

    kind: Kind
    by: float = 0.0
    to: float = 0.0


@dataclass(frozen=True, eq=False)
class Node:
    """A matrix of one row per row of the request, as an expression; :mod:`slipstream.compiler.layers` writes it down.

    Attributes:
        op: A word of :data:`slipstream.compiler.layers.operations.OPERATIONS`, ``vector``, ``trees`` or ``text``.
        of: What it is computed from.
        by: The numbers of the operation.
        width: How many columns it has.
        columns: Of ``vector``: the features it holds. Of ``trees``: the features that they look at.
        ensemble: Of ``trees``: them.
        text: Of ``text``: how words are counted.
    """

    op: str
    of: tuple[Node, ...]
    width: int
    by: tuple[Any, ...] = ()
    columns: tuple[FeatureColumn, ...] = ()
    ensemble: Any = None
    text: Any = None

    def then(self, op: str, *by: Any, width: int | None = None) -> Node:
        """The matrix behind one operation more; *width* where the operation changes it."""
        numbers = tuple(np.asarray(one, dtype=np.float64) for one in by)
        return Node(op, (self,), self.width if width is None else width, numbers)

    def dot(self, weights: Any, base: Any = 0.0) -> Node:
        """The matrix times *weights* ``(columns, outputs)`` plus *base*."""
        weights = np.asarray(weights, dtype=np.float64)
        return self.then("dot", weights, np.broadcast_to(base, weights.shape[1:]), width=weights.shape[1])

    def take(self, places: Sequence[int]) -> Node:
        """Some of its columns, in this order."""
        if list(places) == list(range(self.width)):
            return self
        return self.then("take", places, width=len(places))

    def with_(self, op: str, other: Node) -> Node:
        """``plus``, ``times`` or ``over`` another matrix of as many columns, or of one."""
        return Node(op, (self, other), max(self.width, other.width))

    def features(self) -> Columns:
        """Its columns as features."""
        return [FeatureColumn("", word=False, node=self, place=place) for place in range(self.width)]


@dataclass(frozen=True)
class FeatureColumn:
    """One feature.

    Attributes:
        source: The input; empty for a column of a matrix.
        word: Whether its values are words; else they are numbers.
        ops: What is done to the number, in order.
        part: For a part of a date: which.
        known: The values of the input that matter, once an encoder has been met.
        evaluate: What stands before *ops*, as a function on values of the input.
        finite: Whether an encoder has been met.
        node: The matrix that it is a column of, if it is not of one input.
        place: Which column.
    """

    source: str
    word: bool
    ops: tuple[Op, ...] = ()
    part: int | None = None
    known: frozenset[Any] = frozenset()
    evaluate: Callable[[Values], Any] | None = None
    finite: bool = False
    node: Node | None = None
    place: int = 0

    def then(self, kind: Kind, by: Any = 0.0, to: Any = 0.0) -> FeatureColumn:
        """The column with one operation more."""
        if self.word:
            raise NotCompiled(f"input {self.source!r} is a word where a number is needed")
        if self.node is not None and kind not in NEUTRAL:
            return matrix([self]).then(kind, by, to).features()[0]
        return replace(self, ops=(*self.ops, Op(kind, float(by), float(to))))

    def values(self, raw: Values) -> Any:
        """Its values for values of the input; words as an object array."""
        values = self.evaluate(raw) if self.evaluate else as_array(raw, self.word)
        for op in self.ops:
            values = apply(op.kind, values, op.by, op.to)
        return values


Columns = list[FeatureColumn]


def as_array(values: Iterable[Any], word: bool = True) -> Any:
    """Values as an array of objects, or of numbers if they are no words."""
    listed = list(values)
    if not word:
        return np.array(listed, dtype=np.float64)
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    return array


def matrix(columns: Columns) -> Node:
    """Features side by side as one matrix.

    Raises:
        NotCompiled: one is a word.
    """
    if any(column.word for column in columns):
        raise NotCompiled("a word reaches the model without an encoder")
    parts = [_part(node, tuple(group)) for node, group in groupby(columns, key=lambda column: column.node)]
    if len(parts) == 1:
        return parts[0]
    return join(parts) if parts else Node("vector", (), 0)


def join(parts: Sequence[Node]) -> Node:
    """Matrices side by side."""
    return parts[0] if len(parts) == 1 else Node("join", tuple(parts), sum(part.width for part in parts))


def _part(node: Node | None, columns: tuple[FeatureColumn, ...]) -> Node:
    """Neighbouring features of one matrix, or of the inputs, whose operations the program's own steps do."""
    if node is None:
        return Node("vector", (), len(columns), columns=columns)
    part = node.take([column.place for column in columns])
    left = [list(column.ops) for column in columns]
    while any(left):
        kind = next(ops for ops in left if ops)[0].kind
        by, to = (np.full(len(columns), neutral) for neutral in NEUTRAL[kind])
        for place, ops in enumerate(left):
            if ops and ops[0].kind == kind:
                op = ops.pop(0)
                by[place], to[place] = op.by, op.to
        part = part.then(kind, by, to)
    return part


def constant(values: Floats) -> Node:
    """The same numbers for every row."""
    return Node("vector", (), 0).dot(np.zeros((0, len(values))), values)
