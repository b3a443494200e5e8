"""Answers rows with one version's model. What else can run a bundle (compiled, remote) is another `Engine`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from slipstream.errors import BundleError
from slipstream.scoring import skops_file
from slipstream.scoring.bundle import Bundle
from slipstream.scoring.schema import Field, Schema

Columns = Mapping[str, Sequence[Any]]

TOLERANCE = 1e-9
"""How far an answer may be from a golden one, absolutely or relative to its size: another CPU rounds otherwise."""


@dataclass(frozen=True)
class Answers:
    """What the model says, one entry per row.

    Attributes:
        predictions: The labels, or the numbers of a regression.
        probabilities: For a binary task the probability of the positive label; for multiclass one list per row, in the
            order of ``schema.classes``; None for regression.
    """

    predictions: list[Any]
    probabilities: list[Any] | None


class Engine(Protocol):
    """Runs a fitted model on columns in the order of the schema."""

    def run(self, columns: Columns) -> Any:
        """Array of shape ``(n, classes)`` of probabilities or, for regression, ``(n,)``."""
        ...


@dataclass(frozen=True)
class Scorer:
    """One loaded version."""

    schema: Schema
    golden: tuple[dict[str, Any], ...]
    engine: Engine

    def predict(self, columns: Columns) -> Answers:
        """Answer *columns*: input name -> values, typed as the schema says, None for missing, all of one length.

        Raises:
            BundleError: ``answer_not_finite`` if the model's answer is no number.
        """
        import numpy as np

        result = self.engine.run(columns)
        if not np.isfinite(result).all():
            raise BundleError(
                "the model answered something that is no finite number; look at its inputs.", code="answer_not_finite"
            )
        if self.schema.task == "regression":
            return Answers(result.tolist(), None)
        labels = [self.schema.classes[place] for place in result.argmax(axis=1).tolist()]
        if self.schema.positive is not None:
            return Answers(labels, result[:, self.schema.classes.index(self.schema.positive)].tolist())
        return Answers(labels, result.tolist())

    def check_golden(self) -> int:
        """Answer the golden rows and compare; returns their number.

        Raises:
            BundleError: ``golden_mismatch``, with the first row that is answered otherwise.
        """
        columns = {name: [entry["row"][name] for entry in self.golden] for name in self.schema.names}
        answers = self.predict(columns)
        for number, entry in enumerate(self.golden):
            expected = entry["prediction"], entry.get("probability")
            got = answers.predictions[number], answers.probabilities and answers.probabilities[number]
            if not all(map(_close, got, expected)):
                message = (
                    f"golden row {number}: expected {expected}, got {got}; it answers otherwise than when packaged."
                )
                raise BundleError(message, code="golden_mismatch")
        return len(self.golden)


def load_scorer(bundle: Bundle) -> Scorer:
    """The scorer of a verified *bundle*.

    Raises:
        BundleError: as :func:`slipstream.scoring.skops_file.load`, or ``model_schema_invalid``.
    """
    try:
        schema = msgspec.json.decode(bundle.files["schema.json"], type=Schema)
        golden = tuple(json.loads(line) for line in bundle.files["golden.jsonl"].splitlines())
    except (msgspec.DecodeError, ValueError) as error:
        raise BundleError(f"schema.json or golden.jsonl: {error}.", code="model_schema_invalid") from error
    return Scorer(schema, golden, SklearnEngine(schema, skops_file.load(bundle.files["model.skops"])))


@dataclass(frozen=True)
class SklearnEngine:
    """The fitted scikit-learn pipeline itself."""

    schema: Schema
    estimator: Any

    def run(self, columns: Columns) -> Any:
        """The answers; a frame of the columns is made as training saw it: numbers float64, words str or None."""
        import numpy as np
        import pandas as pd

        frame = pd.DataFrame({field.name: _array(np, field, columns[field.name]) for field in self.schema.inputs})
        if self.schema.task == "regression":
            return np.asarray(self.estimator.predict(frame), dtype=np.float64)
        return np.asarray(self.estimator.predict_proba(frame), dtype=np.float64)


def _array(np: Any, field: Field, values: Sequence[Any]) -> Any:
    if field.type == "string":
        made = np.empty(len(values), dtype=object)
        made[:] = values
        return made
    return np.array(values, dtype=np.float64)


def _close(got: Any, expected: Any) -> bool:
    if isinstance(expected, list):
        return isinstance(got, list) and len(got) == len(expected) and all(map(_close, got, expected))
    if isinstance(expected, float) and isinstance(got, int | float):
        return math.isclose(got, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(got == expected)
