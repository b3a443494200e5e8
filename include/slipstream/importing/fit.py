"""Makes an estimator of an opened file that answers as the model file asks; proves it on rows of the data."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from slipstream.adapters.answering import AnsweringModel
from slipstream.adapters.sklearn import SklearnModel
from slipstream.errors import SlipstreamError, StageError
from slipstream.importing.columns import MatchedColumns, match_columns
from slipstream.importing.labels import match_labels
from slipstream.importing.opened import OpenedModel
from slipstream.spec.model import ModelSpec
from slipstream.statistics.metrics import measure
from slipstream.training.decisions import decides_otherwise
from slipstream.training.labels import Label

AGAINST = 0.4
"""A binary model with a smaller area under the ROC curve of training rows answers the other way round."""
_CLOSE = 1e-4
"""How far probabilities of a row may add up beside one."""


@dataclass(frozen=True)
class FittedImport:
    """An imported model, ready to be kept.

    Attributes:
        estimator: Takes a frame of the inputs of the model file.
        classes: Its labels; none of a regression.
        notes: What was assumed, as sentences.
    """

    estimator: Any
    classes: tuple[Label, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class DataSample:
    """Rows of the data, as the model will be given them.

    Attributes:
        rows: Inputs and target.
        classes: The labels of all training rows, of a binary task the positive one last; none of a regression.
    """

    rows: Any
    classes: tuple[Label, ...]


def fit_to_spec(
    spec: ModelSpec, place: str, opened: OpenedModel, signature: tuple[str, ...] | None, sample: DataSample
) -> FittedImport:
    """The estimator of an opened file, for *spec*.

    Raises:
        StageError: ``import_inputs_differ``, ``import_words_unknown``, ``import_labels_differ``,
            ``import_task_mismatch`` or ``import_not_answering``.
    """
    columns = match_columns(spec, place, opened, signature, sample.rows)
    model = opened.build(columns.names, columns.categories)
    inputs = sample.rows[list(spec.inputs)]
    answer = _answered(spec, place, opened, model, inputs)
    if spec.task == "regression":
        _refuse_numbers(spec, place, answer)
        return FittedImport(_plain(spec, opened, columns, model), (), columns.notes)
    _refuse_probabilities(spec, place, answer)
    written = opened.labels or (opened.labelled(model, inputs) if opened.labelled else None)
    labels = match_labels(spec, place, written, max(2, answer.shape[1]), sample.classes)
    model.labels = [0, 1] if spec.task == "binary" else list(labels.classes)
    model.order = _order(labels.order)
    label_notes = (*labels.notes, *_turned(spec, model, sample))
    if spec.task == "binary" and not labels.named and len(label_notes) > len(labels.notes):
        # Nothing but the data tells which of two labels a file without labels speaks of.
        model.order = _order(labels.order[::-1])
        label_notes = _by_the_data(spec, model, sample)
    other = decides_otherwise(model.estimator, model.given(inputs)) if isinstance(model, SklearnModel) else ""
    notes = (*columns.notes, *label_notes, *filter(None, [other]))
    return FittedImport(_plain(spec, opened, columns, model), labels.classes, notes)


def _answered(spec: ModelSpec, place: str, opened: OpenedModel, model: AnsweringModel, inputs: Any) -> Any:
    """What the model answers, shape ``(n, k)``; its task is looked at first."""
    wanted = "regression" if spec.task == "regression" else "classification"
    if opened.outputs not in {"", wanted}:
        message = (
            f"{place}: {opened.estimator} does {opened.outputs}, but task is {spec.task}; give another model, or "
            "change 'task'."
        )
        raise StageError(message, code="import_task_mismatch")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = np.asarray(model.raw(inputs), dtype=np.float64).reshape(len(inputs), -1)
    except SlipstreamError:
        raise
    except Exception as error:  # each library raises its own
        first = str(error).partition("\n")[0][:200]
        message = f"{place}: it does not answer rows of {spec.name}: {type(error).__name__}: {first}."
        raise StageError(message, code="import_not_answering") from error
    wrong = int((~np.isfinite(answer)).any(axis=1).sum())
    if wrong:
        message = (
            f"{place}: {wrong:,} of {len(answer):,} rows get an answer that is no number; where inputs have missing "
            "values, the model must take them."
        )
        raise StageError(message, code="import_not_answering")
    return answer


def _refuse_numbers(spec: ModelSpec, place: str, answer: Any) -> None:
    if answer.shape[1] != 1:
        message = f"{place}: it answers {answer.shape[1]} numbers a row, but task is {spec.task}, which has one."
        raise StageError(message, code="import_task_mismatch")


def _refuse_probabilities(spec: ModelSpec, place: str, answer: Any) -> None:
    low, high = float(answer.min()), float(answer.max())
    whole = answer.shape[1] == 1 or bool((np.abs(answer.sum(axis=1) - 1) < _CLOSE).all())
    if low < 0 or high > 1 or not whole:
        text = f"lie between {low:.4g} and {high:.4g}" if low < 0 or high > 1 else "do not add up to one"
        message = (
            f"{place}: its answers {text}, so they are no probabilities, but task is {spec.task}; export it with them, "
            "or change 'task'."
        )
        raise StageError(message, code="import_task_mismatch")


def _order(order: tuple[int, ...]) -> list[int] | None:
    return None if order == tuple(range(len(order))) else list(order)


def _area(spec: ModelSpec, model: AnsweringModel, sample: DataSample) -> float:
    truth = (sample.rows[spec.target] == sample.classes[1]).to_numpy(np.int64)
    return measure("roc_auc", truth, model.predict_proba(sample.rows)[:, 1])


def _turned(spec: ModelSpec, model: AnsweringModel, sample: DataSample) -> list[str]:
    """A sentence if a binary model's probability goes against the label that it is taken for."""
    if spec.task != "binary":
        return []
    area = _area(spec, model, sample)
    if not area < AGAINST:  # no number where only one label is there
        return []
    return [
        f"Its probability goes against {sample.classes[1]!r} (roc_auc {area:.2f} on training rows): it may have been "
        "fitted with the labels the other way round. If so, export it with its labels, or name the other as 'positive'."
    ]


def _by_the_data(spec: ModelSpec, model: AnsweringModel, sample: DataSample) -> tuple[str, ...]:
    positive, area = sample.classes[1], _area(spec, model, sample)
    return (
        f"The file names no labels; its probability is taken to be of {positive!r}, because roc_auc on training rows "
        f"is {area:.2f} then, and {1 - area:.2f} of the other.",
    )


def _plain(spec: ModelSpec, opened: OpenedModel, columns: MatchedColumns, model: AnsweringModel) -> Any:
    """The file's own estimator where it can be kept as it is, which may then be compiled; else the adapter."""
    straight = columns.names == tuple(spec.inputs) and opened.names is not None
    if opened.fitted is None or not straight or model.order is not None:
        return model
    # What it is asked for knows labels by their type too: true is no 1 there.
    own, wanted = opened.labels or (), model.labels or []
    same = [(type(one), one) for one in own] == [(type(one), one) for one in wanted]
    return opened.fitted if same else model
