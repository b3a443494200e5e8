"""The compiled model as data: what ``scorer/plan.json`` says, and the arithmetic on numbers that it may name.

A row becomes a vector: each input fills some places of it (a number as it is, a table's entries, parts of a date),
steps are applied to the vector, a model of trees or of weights gives raw scores and a link turns them into the answer.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

FORMAT, LAYERED = 1, 2
PLAN, TREES = "scorer/plan.json", "scorer/trees.onnx"
EXACT, SINGLE = 1e-9, 1e-6
"""How far a compiled answer may be from the model's own: rounding of doubles, or of XGBoost's single precision."""

Floats = NDArray[np.float64]
Key = str | float
Link = Literal["none", "sigmoid", "softmax", "exp"]
Kind = Literal["fill", "sub", "div", "mul", "add", "clip", "isnan", "trunc"]


class NotCompiled(Exception):
    """A fitted model cannot be compiled; the text says why. Packaging answers it: scikit-learn serves the model."""


class Number(msgspec.Struct, frozen=True):
    """An input that fills one place with its value; null is NaN."""

    name: str


class Table(msgspec.Struct, frozen=True):
    """An input of which each known value stands for some numbers; null here is NaN.

    Attributes:
        name: The input.
        keys: The known values: words, or numbers.
        rows: The numbers of each key.
        missing: The numbers of null.
        unknown: The numbers of every other value.
    """

    name: str
    keys: list[str | float]
    rows: list[list[float | None]]
    missing: list[float | None]
    unknown: list[float | None]


class Dates(msgspec.Struct, frozen=True):
    """A word that is read as a date; *parts* are places in :data:`slipstream.compiler.dates.PARTS`."""

    name: str
    parts: list[int]


class ProgramStep(msgspec.Struct, frozen=True):
    """One operation on the places *at*, each with its own number *by* (and *to*: the upper bound of a clip)."""

    kind: Kind
    at: list[int]
    by: list[float]
    to: list[float]


class ProgramHead(msgspec.Struct, frozen=True):
    """The model behind the vector.

    Attributes:
        weights: Of a linear model, ``(scores, places)``; None: the trees of ``trees.onnx``.
        base: Added to the scores.
        divide: The scores are divided by it first; averages of trees.
        link: From scores to the answer.
        gain: Scores are multiplied by it before the link.
        single: The vector is rounded to single precision first, as scikit-learn's and XGBoost's trees do.
        tolerance: How far answers may be from the model's own.
    """

    weights: list[list[float]] | None
    base: list[float]
    divide: float = 1.0
    link: Link = "none"
    gain: float = 1.0
    single: bool = False
    tolerance: float = EXACT


class Vector(msgspec.Struct, frozen=True):
    """How a row becomes a vector; places are filled by numbers, then tables, then dates, in this order."""

    format: int
    numbers: list[Number]
    tables: list[Table]
    dates: list[Dates]
    steps: list[ProgramStep]

    @property
    def width(self) -> int:
        """How many places the vector has."""
        filled = sum(len(table.missing) for table in self.tables) + sum(len(date.parts) for date in self.dates)
        return len(self.numbers) + filled


class Program(Vector, frozen=True):
    """All of ``scorer/plan.json``: a vector and one model of trees or weights."""

    head: ProgramHead


class Constant(msgspec.Struct, frozen=True):
    """Numbers of a layer: doubles, little-endian, row by row."""

    shape: list[int]
    data: bytes


class Text(msgspec.Struct, frozen=True):
    """An input that is read as a text, and the words or runs of characters that are counted.

    Attributes:
        name: The input.
        words: What is counted, in the order of the columns.
        analyzer: ``word``, ``char`` or ``char_wb``.
        pattern: Regular expression of a word.
        stopped: Words that are passed over.
        low: The fewest words or characters of a run.
        high: The most.
        lower: Whether capitals are taken for small letters.
        accents: ``ascii``, ``unicode`` or None: how accents are taken off.
        binary: Whether words are marked, not counted.
    """

    name: str
    words: list[str]
    analyzer: Literal["word", "char", "char_wb"]
    pattern: str
    stopped: list[str]
    low: int
    high: int
    lower: bool
    accents: Literal["ascii", "unicode"] | None
    binary: bool


class Layer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A matrix that is computed from others.

    Attributes:
        op: A word of :data:`slipstream.compiler.layers.operations.OPERATIONS`; ``trees`` and ``text`` are the runner's.
        of: What it is computed from: 0 is the vector, 1 the first layer.
        by: The numbers of the operation.
        trees: An ONNX file, as :mod:`slipstream.compiler.trees.onnx` writes it.
        text: What is read as a text.
    """

    op: str
    of: list[int]
    by: list[Constant] = []
    trees: bytes | None = None
    text: Text | None = None


class LayeredProgram(Vector, frozen=True):
    """All of ``scorer/plan.json`` of format 2: a vector and layers, of which the last one is the answer.

    Attributes:
        layers: One after the other.
        tolerance: How far answers may be from the model's own.
    """

    layers: list[Layer]
    tolerance: float = EXACT


def apply(kind: Kind, values: Floats, by: Any, to: Any = 0.0) -> Floats:
    """*values* after one operation; NaN stays NaN, but for ``fill`` and ``isnan``."""
    if kind == "fill":
        return np.where(np.isnan(values), by, values)
    if kind == "isnan":
        return np.isnan(values).astype(np.float64)
    if kind == "clip":
        return np.clip(values, by, to)
    done: Floats = _SIMPLE[kind](values, by)
    return done


_SIMPLE: dict[str, Any] = {
    "sub": np.subtract,
    "div": np.divide,
    "mul": np.multiply,
    "add": np.add,
    "trunc": lambda values, _: np.trunc(values),
}

NEUTRAL: dict[str, tuple[float, float]] = {
    "fill": (np.nan, 0.0),
    "sub": (0.0, 0.0),
    "div": (1.0, 0.0),
    "mul": (1.0, 0.0),
    "add": (0.0, 0.0),
    "clip": (-np.inf, np.inf),
}
"""The numbers with which an operation changes nothing, so that it can run over the whole vector at once."""
