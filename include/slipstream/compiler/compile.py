"""Compiles a fitted pipeline to files that answer without scikit-learn, pandas and skops.

Only what is understood exactly is compiled; :mod:`slipstream.packaging.parity.comparison` then proves it on data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from slipstream.compiler.features import UNSEEN, Columns, FeatureColumn, Op, through
from slipstream.compiler.final_estimators import Weights, head
from slipstream.compiler.program import (
    FORMAT,
    PLAN,
    TREES,
    Dates,
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
    *prepared, model = _steps(pipeline)
    for step in prepared:
        columns = through(step, columns)
    if type(model).__module__.startswith("xgboost") and any(
        getattr(step, "sparse_output_", False) for step in prepared
    ):
        raise NotCompiled("XGBoost takes the zeros of a sparse matrix for missing values; set sparse_output to false")
    compiled_head, columns = head(model, columns)
    if any(column.word for column in columns):
        raise NotCompiled("a word reaches the model without an encoder")
    order = _order(columns)
    ordered = [columns[place] for place in order]
    places = [order.index(place) for place in range(len(columns))]
    plan = _plan(ordered, schema, _head(compiled_head, order))
    files = {PLAN: canonical_json(msgspec.to_builtins(plan))}
    if isinstance(compiled_head, Weights):
        return Compiled(files, {})
    return Compiled(files | {TREES: to_onnx(compiled_head, places, plan.width)}, _edges(compiled_head, columns))


def _steps(estimator: Any) -> list[Any]:
    """The steps of a pipeline, with those of a pipeline at its end; a model alone is one step."""
    if type(estimator).__name__ != "Pipeline":
        return [estimator]
    *first, last = (step for _, step in estimator.steps)
    return [*first, *_steps(last)]


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


def _plan(columns: Columns, schema: Schema, program_head: ProgramHead) -> Program:
    words = {field.name: field.type == "string" for field in schema.inputs}
    groups: tuple[dict[str, Columns], ...] = ({}, {}, {})
    for column in columns:
        groups[_kind(column)].setdefault(column.source, []).append(column)
    return Program(
        format=FORMAT,
        numbers=[Number(column.source) for column in columns if _kind(column) == 0],
        tables=[_table(name, group, words[name]) for name, group in groups[1].items()],
        dates=[Dates(name, [int(column.part or 0) for column in group]) for name, group in groups[2].items()],
        steps=_program({place: column.ops for place, column in enumerate(columns) if _kind(column) != 1}),
        head=program_head,
    )


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


def _edges(ensemble: Ensemble, columns: Columns) -> dict[str, tuple[float, ...]]:
    """The thresholds of each number, carried back through its operations."""
    thresholds: dict[str, set[float]] = {}
    for tree in ensemble.trees:
        inner = ~tree.leaf
        for place, threshold in zip(tree.feature[inner].tolist(), tree.threshold[inner].tolist(), strict=True):
            column = columns[place]
            if _kind(column) == 0 and math.isfinite(threshold):
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
