"""Whether what was fitted answers as a model has to, before anything is made of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from slipstream.errors import SlipstreamError, StageError, shown
from slipstream.spec.model import ModelSpec

ROWS = 2000
"""At most so many evenly spaced training rows are asked."""
ALONE = 6
"""So many of them are asked alone as well."""
_SUM = 1e-4
"""How far the probabilities of a row may add up beside one."""
_APART = 1e-4
"""How far an answer may move by the rows beside it, in parts of the spread of the answers."""


def check_answers(spec: ModelSpec, what: str, estimator: Any, inputs: Any, *, alone: bool) -> None:
    """Ask a fitted *estimator* rows of its training.

    Args:
        spec: The model.
        what: What errors call it.
        estimator: As the trainer returned it, fitted on the labels of :func:`slipstream.training.labels.coded`.
        inputs: A frame of the training rows.
        alone: Whether rows are asked alone, too: the answers must be the same. What scikit-learn and the boosters
            fit needs no such proof.

    Raises:
        StageError: ``answers_invalid``.
    """
    rows = inputs.iloc[:: -(-len(inputs) // ROWS)]
    method = "predict" if spec.task == "regression" else "predict_proba"
    name = f"{spec.name}: {what}: {method}"
    if spec.task != "regression":
        _check_classes(f"{spec.name}: {what}", spec, estimator)
    answers = _answers(name, estimator, method, rows)
    if spec.task == "regression":
        _check_numbers(name, answers, len(rows))
    else:
        _check_probabilities(name, answers, (len(rows), len(estimator.classes_)))
    if alone:
        _check_alone(name, estimator, method, rows.iloc[:: max(1, len(rows) // ALONE)])


def _answers(name: str, estimator: Any, method: str, rows: Any) -> Any:
    try:
        return np.asarray(getattr(estimator, method)(rows), dtype=np.float64)
    except SlipstreamError:
        raise
    except Exception as error:  # own code may raise anything
        count = "one row alone" if len(rows) == 1 else f"{len(rows):,} training rows"
        raise _invalid(f"{name} raised {type(error).__name__} on {count}: {error}; mend it") from error


def _check_classes(name: str, spec: ModelSpec, estimator: Any) -> None:
    if not hasattr(estimator, "predict_proba"):
        kind = type(estimator).__name__
        raise _invalid(f"{name}: {kind} has no predict_proba; wrap it in CalibratedClassifierCV, or give it one")
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        raise _invalid(f"{name}: {type(estimator).__name__} has no classes_; let fit set self.classes_ = np.unique(y)")
    listed = np.asarray(classes).tolist()
    if listed != sorted(listed) or (spec.task == "binary" and listed != [0, 1]):
        raise _invalid(f"{name}: classes_ is {shown(listed)}; let it be np.unique(y), and the columns in its order")


def _check_numbers(name: str, answers: Any, rows: int) -> None:
    if answers.shape != (rows,):
        raise _invalid(f"{name} answers {rows:,} rows with the shape {answers.shape}; it has to be ({rows},)")
    wrong = np.flatnonzero(~np.isfinite(answers))
    if wrong.size:
        message = f"{name} answers {wrong.size:,} of {rows:,} training rows with no number, row {wrong[0] + 1} first"
        raise _invalid(f"{message}; where inputs may be missing, it has to take that")


def _check_probabilities(name: str, answers: Any, shape: tuple[int, int]) -> None:
    count = f"{shape[0]:,} training rows"
    if answers.shape != shape:
        message = f"{name} answers {count} with the shape {answers.shape}; it has to be {shape}: a column for each of"
        raise _invalid(f"{message} classes_")
    with np.errstate(invalid="ignore"):
        good = np.isfinite(answers).all(axis=1) & (answers >= 0).all(axis=1) & (answers <= 1 + _SUM).all(axis=1)
        good &= np.abs(answers.sum(axis=1) - 1) <= _SUM
    wrong = np.flatnonzero(~good)
    if wrong.size:
        first = ", ".join(f"{value:.4g}" for value in answers[wrong[0], :10])
        message = f"{name} answers {wrong.size:,} of {count} with what are no probabilities, such as {first}"
        raise _invalid(f"{message}; they lie between 0 and 1 and add up to 1")


def _check_alone(name: str, estimator: Any, method: str, rows: Any) -> None:
    together = _answers(name, estimator, method, rows)
    spread = 1.0 if method == "predict_proba" else float(np.ptp(together)) or float(np.abs(together).max()) or 1.0
    for place in range(len(rows)):
        among, alone = together[place : place + 1], _answers(name, estimator, method, rows.iloc[place : place + 1])
        if alone.shape != among.shape or not (np.abs(alone - among) <= _APART * spread).all():
            message = f"{name} answers a row with {_last(alone)} alone and with {_last(among)} among {len(rows)}"
            raise _invalid(f"{message}; an endpoint is asked row by row, so let nothing depend on the rows beside it")


def _last(answers: Any) -> str:
    """The last number of an answer: of two probabilities, that of the positive label."""
    return f"{np.ravel(answers)[-1]:.6g}" if answers.size else "nothing"


def _invalid(text: str) -> StageError:
    return StageError(f"{text}.", code="answers_invalid")
