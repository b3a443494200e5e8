"""Runs a compiled model: NumPy and onnxruntime, nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from slipstream.compiler.coded_texts import by_word
from slipstream.compiler.dates import PARTS, date_parts
from slipstream.compiler.layers.operations import single
from slipstream.compiler.layers.runner import Layers
from slipstream.compiler.program import (
    FORMAT,
    LAYERED,
    NEUTRAL,
    PLAN,
    TREES,
    Floats,
    LayeredProgram,
    Program,
    ProgramStep,
    Table,
    apply,
)
from slipstream.errors import BundleError

Columns = Mapping[str, Sequence[Any]]
_NAN = math.nan


class CompiledEngine:
    """An engine that answers from ``scorer/plan.json`` and ``scorer/trees.onnx``.

    Attributes:
        name: ``compiled``.
        plan: What it runs.
        tolerance: How far its answers may be from the golden ones.
    """

    name = "compiled"

    def __init__(self, files: Mapping[str, bytes]) -> None:
        """Make everything that does not depend on a row.

        Raises:
            BundleError: ``scorer_invalid``.
        """
        self.plan = plan = _read(files)
        self._numbers = [number.name for number in plan.numbers]
        self._tables = [_Lookup(table) for table in plan.tables]
        self._dates = [(date.name, date.parts) for date in plan.dates]
        self._steps = [_step(step, plan.width) for step in plan.steps]
        self._layers: Layers | None = None
        if isinstance(plan, LayeredProgram):
            self._layers, self.tolerance = Layers(plan, _trees), plan.tolerance
            return
        self.tolerance = plan.head.tolerance
        self._head = plan.head
        self._scores = _linear(plan) if plan.head.weights is not None else _trees(files[TREES])
        self._base = np.array(plan.head.base)
        self._link = _LINKS[plan.head.link]
        self._plain = plan.head.link == "sigmoid" and plan.head.divide == 1

    def run(self, columns: Columns) -> Any:
        """The answers to *columns*: input name -> values, all of one length.

        Returns:
            Array of shape ``(n, classes)`` of probabilities or, for regression, ``(n,)``.
        """
        rows = len(next(iter(columns.values()))) if columns else 0
        vector = np.array((self._row(columns),), dtype=np.float64) if rows == 1 else self._matrix(columns, rows)
        for step in self._steps:
            vector = step(vector)
        if self._layers is not None:
            return self._layers.run(vector, columns)
        head = self._head
        if head.single:
            vector = single(vector)
        scores = self._scores(vector)
        if rows == 1 and self._plain:
            chance = _logistic((scores.item() + head.base[0]) * head.gain)
            return np.array(((1.0 - chance, chance),))
        return self._link((scores / head.divide + self._base) * head.gain)

    def _row(self, columns: Columns) -> list[Any]:
        """The vector of one row, as Python numbers; None becomes NaN in the array."""
        row = [columns[name][0] for name in self._numbers]
        for table in self._tables:
            row += table.one(columns[table.name][0])
        for name, parts in self._dates:
            dates = date_parts(columns[name][0])
            row += [dates[part] for part in parts]
        return row

    def _matrix(self, columns: Columns, rows: int) -> Floats:
        matrix = np.empty((rows, self.plan.width))
        for place, name in enumerate(self._numbers):
            matrix[:, place] = columns[name]
        first = len(self._numbers)
        for table in self._tables:
            matrix[:, first : first + table.width] = by_word(columns[table.name], table.many)
            first += table.width
        for name, parts in self._dates:
            matrix[:, first : first + len(parts)] = by_word(columns[name], _dates)[:, parts]
            first += len(parts)
        return matrix


class _Lookup:
    """A table ready to be looked up: null and what is unknown are its last two rows."""

    def __init__(self, table: Table) -> None:
        self.name = table.name
        self.width = len(table.missing)
        self._rows = [[_NAN if value is None else value for value in row] for row in self._all(table)]
        self._array = np.array(self._rows, dtype=np.float64).reshape(-1, self.width)
        unknown = len(table.keys) + 1
        self._index: dict[Any, int] = {key: place for place, key in enumerate(table.keys)} | {None: unknown - 1}
        self._unknown = unknown
        self._number = any(isinstance(key, float) for key in table.keys)

    @staticmethod
    def _all(table: Table) -> chain[list[float | None]]:
        return chain(table.rows, (table.missing, table.unknown))

    def one(self, value: Any) -> list[float]:
        """The numbers of one value."""
        return self._rows[self._index.get(_number(value) if self._number else value, self._unknown)]

    def many(self, values: Iterable[Any]) -> Floats:
        """The numbers of values, one row each."""
        if self._number:
            values = map(_number, values)
        index, unknown = self._index, self._unknown
        return self._array[[index.get(value, unknown) for value in values]]


def _dates(words: Iterable[Any]) -> Floats:
    """The parts of each word that is a date: shape ``(n, parts)``."""
    return np.array([date_parts(word) for word in words], dtype=np.float64).reshape(-1, len(PARTS))


def _number(value: Any) -> float | None:
    """A number as tables have it: a float; None for null, for which NaN stands in arrays."""
    return None if value is None or value != value else float(value)


class _Format(msgspec.Struct):
    format: int


def _read(files: Mapping[str, bytes]) -> Program | LayeredProgram:
    try:
        written = msgspec.json.decode(files[PLAN], type=_Format).format
        plan: Program | LayeredProgram = msgspec.json.decode(files[PLAN], type=_KINDS.get(written, Program))
    except (KeyError, msgspec.DecodeError) as error:
        raise BundleError(f"{PLAN}: {error}; package the model again.", code="scorer_invalid") from error
    if written not in _KINDS:
        message = f"{PLAN}: format {written}, but {FORMAT} and {LAYERED} are read here; package the model again."
        raise BundleError(message, code="scorer_invalid")
    if isinstance(plan, Program) and plan.head.weights is None and TREES not in files:
        raise BundleError(f"{TREES}: missing from the bundle; package the model again.", code="scorer_invalid")
    return plan


_KINDS: dict[int, Any] = {FORMAT: Program, LAYERED: LayeredProgram}


def _step(step: ProgramStep, width: int) -> Callable[[Floats], Floats]:
    """One step as a function: over the whole vector where the other places can be left as they are by a number."""
    if step.kind in NEUTRAL:
        by, to = (np.full(width, neutral) for neutral in NEUTRAL[step.kind])
        by[step.at], to[step.at] = step.by, step.to
        return lambda vector: apply(step.kind, vector, by, to)

    def at_places(vector: Floats) -> Floats:
        vector[:, step.at] = apply(step.kind, vector[:, step.at], step.by)
        return vector

    return at_places


def _linear(plan: Program) -> Callable[[Floats], Any]:
    weights = np.array(plan.head.weights, dtype=np.float64).T.copy()
    return lambda vector: vector @ weights


def _trees(data: bytes) -> Callable[[Floats], Any]:
    """The sums of the trees, on one thread: threads that wait for each other cost more than they bring."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library's own classes share no other base
        raise BundleError(f"{TREES}: cannot be loaded: {error}.", code="scorer_invalid") from error
    run, wanted = session.run, ["Y"]
    return lambda vector: run(wanted, {"X": vector})[0]


def _logistic(score: float) -> float:
    if score >= 0:
        return 1.0 / (1.0 + math.exp(-score))
    small = math.exp(score)
    return small / (1.0 + small)


def _sigmoid(scores: Floats) -> Floats:
    small = np.exp(-np.abs(scores[:, 0]))
    chance = np.where(scores[:, 0] >= 0, 1.0, small) / (1.0 + small)
    return np.column_stack((1.0 - chance, chance))


def _softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _exp(scores: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(scores[:, 0]))


def _none(scores: Floats) -> Floats:
    return scores[:, 0] if scores.shape[1] == 1 else scores


_LINKS: dict[str, Callable[[Floats], Floats]] = {
    "none": _none,
    "sigmoid": _sigmoid,
    "softmax": _softmax,
    "exp": _exp,
}
