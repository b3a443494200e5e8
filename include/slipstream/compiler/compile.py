"""Compiles a fitted pipeline to files that answer without scikit-learn, pandas and skops.

Only what is understood exactly is compiled; :mod:`slipstream.packaging.parity.comparison` then proves it on data.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from slipstream.compiler.answers import answer, no_sparse_for_xgboost, prepare, steps
from slipstream.compiler.feature_column import UNSEEN, Columns, FeatureColumn, Node, Op
from slipstream.compiler.final_estimators import Weights, head, is_head
from slipstream.compiler.layers.written import walked, written
from slipstream.compiler.program import (
    EXACT,
    FORMAT,
    LAYERED,
    PLAN,
    TREES,
    Dates,
    LayeredProgram,
    NotCompiled,
    Number,
    Program,
    ProgramHead,
    ProgramStep,
    Table,
)
from slipstream.compiler.trees.onnx import to_onnx
from slipstream.compiler.trees.sklearn import Ensemble
from slipstream.model_schema import Schema
from slipstream.store.objects import canonical_json

MAX_TABLE = 2_000_000
"""A table of more entries is not compiled."""


@dataclass(frozen=True)
class Compiled:
    """What a pipeline was compiled to.

    Attributes:
        files: Name in the bundle -> bytes; equal pipelines give equal bytes.
        edges: Input -> the values at which its trees decide.
    """

    files: Mapping[str, bytes]
    edges: Mapping[str, tuple[float, ...]]


def compile_pipeline(pipeline: Any, schema: Schema) -> Compiled:
    """Compile a fitted scikit-learn *pipeline* that takes a frame of the inputs of *schema*.

    Raises:
        NotCompiled: it holds something that cannot be compiled.
    """
    if schema.task != "regression" and len(schema.classes) < 2:
        raise NotCompiled("training held a single class")
    columns: Columns = [FeatureColumn(field.name, word=field.type == "string") for field in schema.inputs]
    *prepared, model = steps(pipeline)
    columns = prepare(prepared, columns)
    no_sparse_for_xgboost(prepared, model)
    if is_head(model):
        compiled_head, behind = head(model, columns)
        if not any(column.node for column in behind) and not getattr(compiled_head, "symmetric", ()):
            return _plain(compiled_head, behind, schema)
    return _layered(answer(model, columns, "predict" if schema.task == "regression" else "predict_proba"), schema)


def _plain(compiled_head: Ensemble | Weights, columns: Columns, schema: Schema) -> Compiled:
    """One model of trees or weights over the vector: format 1."""
    if any(column.word for column in columns):
        raise NotCompiled("a word reaches the model without an encoder")
    order = _order(columns)
    ordered = [columns[place] for place in order]
    places = [order.index(place) for place in range(len(columns))]
    plan = Program(**_vector(FORMAT, ordered, schema), head=_head(compiled_head, order))
    files = {PLAN: canonical_json(msgspec.to_builtins(plan))}
    if isinstance(compiled_head, Weights):
        return Compiled(files, {})
    return Compiled(
        files | {TREES: to_onnx(compiled_head, places, plan.width)}, _carried_back(_thresholds(compiled_head, columns))
    )


def _layered(answer_node: Node, schema: Schema) -> Compiled:
    """Layers over the vector: format 2."""
    nodes = list(walked(answer_node))
    columns: Columns = list(dict.fromkeys(column for node in nodes if node.op == "vector" for column in node.columns))
    ordered = [columns[place] for place in _order(columns)]
    layers = written(answer_node, {column: place for place, column in enumerate(ordered)})
    tolerance = max((node.ensemble.tolerance for node in nodes if node.ensemble), default=EXACT)
    plan = LayeredProgram(**_vector(LAYERED, ordered, schema), layers=layers, tolerance=tolerance)
    return Compiled({PLAN: canonical_json(msgspec.to_builtins(plan))}, _carried_back(chain(*map(_decided, nodes))))


def _kind(column: FeatureColumn) -> int:
    """0 for a number, 1 for a table, 2 for part of a date: the order in which a plan fills the vector."""
    return 2 if column.part is not None else int(column.evaluate is not None)


def _order(columns: Columns) -> list[int]:
    """The columns' numbers in the order of the plan: by kind, tables and dates by input."""
    sources = {source: place for place, source in enumerate(dict.fromkeys(column.source for column in columns))}

    def key(place: int) -> tuple[int, int, int]:
        kind = _kind(columns[place])
        return kind, sources[columns[place].source] if kind else 0, place

    return sorted(range(len(columns)), key=key)


def _vector(number: int, columns: Columns, schema: Schema) -> dict[str, Any]:
    """The fields of :class:`slipstream.compiler.program.Vector` that fill it with *columns*, in their order."""
    words = {field.name: field.type == "string" for field in schema.inputs}
    groups: tuple[dict[str, Columns], ...] = ({}, {}, {})
    for column in columns:
        groups[_kind(column)].setdefault(column.source, []).append(column)
    return {
        "format": number,
        "numbers": [Number(column.source) for column in columns if _kind(column) == 0],
        "tables": [_table(name, group, words[name]) for name, group in groups[1].items()],
        "dates": [Dates(name, [int(column.part or 0) for column in group]) for name, group in groups[2].items()],
        "steps": _program({place: column.ops for place, column in enumerate(columns) if _kind(column) != 1}),
    }


def _table(name: str, columns: Columns, word: bool) -> Table:
    """The numbers of every known value, of null and of any other value; the columns themselves say them."""
    known = sorted(set().union(*(column.known for column in columns)))
    if len(known) * len(columns) > MAX_TABLE:
        raise NotCompiled(f"input {name!r} has {len(known):,} values in {len(columns):,} features")
    unseen = UNSEEN if word else next(value for value in map(float, range(len(known) + 1)) if value not in known)
    domain = [*known, None if word else math.nan, unseen]
    rows = np.column_stack([column.values(domain) for column in columns]).tolist()
    *listed, missing, unknown = [[None if math.isnan(value) else value for value in row] for row in rows]
    return Table(name, known, listed, missing, unknown)


def _program(wanted: Mapping[int, Sequence[Op]]) -> list[ProgramStep]:
    """Steps that do to each place what its operations say, several places at once."""
    left = {place: list(ops) for place, ops in wanted.items() if ops}
    steps = []
    while left:
        kind = next(iter(left.values()))[0].kind
        now = {place: ops.pop(0) for place, ops in left.items() if ops[0].kind == kind}
        steps.append(ProgramStep(kind, list(now), [op.by for op in now.values()], [op.to for op in now.values()]))
        left = {place: ops for place, ops in left.items() if ops}
    return steps


def _head(fitted: Ensemble | Weights, order: Sequence[int]) -> ProgramHead:
    if isinstance(fitted, Weights):
        return ProgramHead(fitted.by[:, list(order)].tolist(), fitted.base.tolist(), link=fitted.link)
    return ProgramHead(
        None,
        list(fitted.base),
        divide=fitted.divide,
        link=fitted.link,
        gain=fitted.gain,
        single=fitted.single,
        tolerance=fitted.tolerance,
    )


def _thresholds(ensemble: Ensemble, columns: Sequence[FeatureColumn]) -> Iterator[tuple[FeatureColumn, float]]:
    """Each feature that trees look at, with each number at which they do."""
    for tree in ensemble.trees:
        inner = ~tree.leaf
        for place, threshold in zip(tree.feature[inner].tolist(), tree.threshold[inner].tolist(), strict=True):
            yield columns[place], threshold


def _decided(node: Node) -> Iterator[tuple[FeatureColumn, float]]:
    """The features on which a layer decides by a threshold, with it."""
    if node.ensemble:
        yield from _thresholds(node.ensemble, node.columns)
    elif node.op == "bins":
        for column, edges in zip(node.of[0].columns, node.by[0], strict=False):
            yield from ((column, edge) for edge in edges.tolist())


def _carried_back(decided: Iterable[tuple[FeatureColumn, float]]) -> dict[str, tuple[float, ...]]:
    """The thresholds of each number, carried back through its operations."""
    thresholds: dict[str, set[float]] = {}
    for column, threshold in decided:
        if column.node is None and _kind(column) == 0 and math.isfinite(threshold):
            thresholds.setdefault(column.source, set()).add(_before(column.ops, threshold))
    return {name: tuple(sorted(filter(math.isfinite, values))) for name, values in sorted(thresholds.items())}


def _before(ops: Sequence[Op], value: float) -> float:
    """The number that *ops* turn into *value*, as near as numbers go."""
    for op in reversed(ops):
        if op.kind == "isnan":
            return math.nan
        change = _INVERSE.get(op.kind)
        value = change(value, op.by) if change else value
    return value


_INVERSE: dict[str, Any] = {
    "sub": lambda value, by: value + by,
    "div": lambda value, by: value * by,
    "mul": lambda value, by: value / by if by else math.nan,
    "add": lambda value, by: value - by,
}
