"""Answers rows with one version's model: compiled where the bundle holds that, else by scikit-learn."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import msgspec

from slipstream.bundle.bundle import Bundle
from slipstream.compiler.program import EXACT, PLAN
from slipstream.errors import BundleError
from slipstream.model_schema import Schema

Columns = Mapping[str, Sequence[Any]]

TOLERANCE = EXACT
"""How far an answer may be from a golden one, absolutely or relative to its size: another CPU rounds otherwise."""

_FEW = 32
"""Up to so many rows plain Python is quicker than NumPy."""


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

    @cached_property
    def _positive(self) -> int:
        """Where the probability of the positive label stands."""
        assert self.schema.positive is not None  # noqa: S101 - asked of binary tasks only
        return self.schema.classes.index(self.schema.positive)

    @property
    def engine_name(self) -> str:
        """What answers: ``compiled`` or ``sklearn``."""
        return str(getattr(self.engine, "name", "sklearn"))

    def predict(self, columns: Columns) -> Answers:
        """Answer *columns*: input name -> values, typed as the schema says, None for missing, all of one length.

        Raises:
            BundleError: ``answer_not_finite`` if the model's answer is no number.
        """
        result = self.engine.run(columns)
        if len(result) > _FEW:
            return self._many(result)
        values = result.tolist()
        if self.schema.task == "regression":
            _refuse(all(map(math.isfinite, values)))
            return Answers(values, None)
        # A sum is finite only if all that it adds up is.
        _refuse(math.isfinite(sum(map(sum, values))))
        classes = self.schema.classes
        if self.schema.positive is None:
            return Answers([classes[row.index(max(row))] for row in values], values)
        place = self._positive
        chances = [row[place] for row in values]
        return Answers([classes[place if chance > 0.5 else 1 - place] for chance in chances], chances)

    def numbers(self, columns: Columns) -> Any:
        """What :meth:`predict` reads its answers from: probabilities ``(n, classes)`` or, for regression, ``(n,)``.

        Raises:
            BundleError: as for :meth:`predict`.
        """
        return _all_finite(self.engine.run(columns))

    def _many(self, result: Any) -> Answers:
        _all_finite(result)
        if self.schema.task == "regression":
            return Answers(result.tolist(), None)
        labels = [self.schema.classes[place] for place in decided(self.schema, result).tolist()]
        if self.schema.positive is not None:
            return Answers(labels, result[:, self._positive].tolist())
        return Answers(labels, result.tolist())

    def check_golden(self) -> int:
        """Answer the golden rows and compare; returns their number.

        Raises:
            BundleError: ``golden_mismatch``, with the first row that is answered otherwise.
        """
        columns = {name: [entry["row"][name] for entry in self.golden] for name in self.schema.names}
        answers = self.predict(columns)
        tolerance = getattr(self.engine, "tolerance", TOLERANCE)
        for number, entry in enumerate(self.golden):
            expected = entry["prediction"], entry.get("probability")
            got = answers.predictions[number], answers.probabilities and answers.probabilities[number]
            if not all(_close(one, other, tolerance) for one, other in zip(got, expected, strict=True)):
                message = (
                    f"golden row {number}: expected {expected}, got {got}; it answers otherwise than when packaged."
                )
                raise BundleError(message, code="golden_mismatch")
        return len(self.golden)


def decided(schema: Schema, result: Any) -> Any:
    """The place of the class that each row of a classifier's *result* is answered with.

    The most probable class; of a binary task the positive one where its probability, which is what callers see and
    what :func:`slipstream.statistics.metrics.decide` judges by, is above one half: not by the other column,
    which rounding may leave a little beside the rest to one.
    """
    if schema.positive is None:
        return result.argmax(axis=1)
    import numpy as np

    place = schema.classes.index(schema.positive)
    return np.where(result[:, place] > 0.5, place, 1 - place)


def load_scorer(bundle: Bundle) -> Scorer:
    """The scorer of a verified *bundle*.

    Raises:
        BundleError: ``scorer_invalid``, ``model_schema_invalid`` or as :func:`slipstream.bundle.skops_file.load`.
    """
    try:
        schema = msgspec.json.decode(bundle.files["schema.json"], type=Schema)
        golden = tuple(json.loads(line) for line in bundle.files["golden.jsonl"].splitlines())
    except (msgspec.DecodeError, ValueError) as error:
        raise BundleError(f"schema.json or golden.jsonl: {error}.", code="model_schema_invalid") from error
    return Scorer(schema, golden, _engine(bundle, schema))


def _engine(bundle: Bundle, schema: Schema) -> Engine:
    """The compiled model if there is one. A compiled model that cannot be loaded is an error, never passed over."""
    if PLAN in bundle.files:
        from slipstream.compiler.engine import CompiledEngine

        return CompiledEngine(bundle.files)
    from slipstream.bundle import skops_file
    from slipstream.bundle.project_code import code_in
    from slipstream.bundle.sklearn_engine import SklearnEngine

    return SklearnEngine(schema, skops_file.load(bundle.files["model.skops"], code_in(bundle.files)))


def _all_finite(result: Any) -> Any:
    import numpy as np

    _refuse(bool(np.isfinite(result).all()))
    return result


def _refuse(finite: bool) -> None:
    if not finite:
        raise BundleError(
            "the model answered something that is no finite number; look at its inputs.", code="answer_not_finite"
        )


def _close(got: Any, expected: Any, tolerance: float) -> bool:
    if isinstance(expected, list):
        return (
            isinstance(got, list)
            and len(got) == len(expected)
            and all(_close(one, other, tolerance) for one, other in zip(got, expected, strict=True))
        )
    if isinstance(expected, float) and isinstance(got, int | float):
        return math.isclose(got, expected, rel_tol=tolerance, abs_tol=tolerance)
    return bool(got == expected)
