"""How right champion and challenger are on the replayed rows whose labels have come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slipstream.bundle.scorer import Answers
from slipstream.evaluation.slices import Pair, pairs
from slipstream.ground_truth.joined import joined
from slipstream.label_types import class_numbers, class_texts
from slipstream.model_schema import Schema
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.labels import TABLE as LABELS
from slipstream.store.predictions import TABLE
from slipstream.store.tables import TableFile


def labels_of(spec: ModelSpec, store: Store, files: Sequence[TableFile], labels: Sequence[TableFile]) -> dict[str, str]:
    """Prediction id -> its label as text, for the predictions in *files* of which one came."""
    if not files or not labels:
        return {}
    paths = [store.tables.local_files(spec.name, *one) for one in ((TABLE, tuple(files)), (LABELS, tuple(labels)))]
    with joined(spec, store, *paths) as truth:
        return dict(truth.rows("SELECT id, label FROM labelled"))


def quality(spec: ModelSpec, schema: Schema, texts: Sequence[str], answers: Mapping[str, Answers]) -> Pair | None:
    """The deciding metric of both on rows with known labels; None without such rows.

    Args:
        spec: The model.
        schema: Of the champion; the challenger's answers mean the same.
        texts: The label of each row, "" where it is not known.
        answers: ``champion`` and ``candidate`` -> the answers to all these rows.
    """
    import numpy as np

    known = np.array([bool(text) for text in texts], dtype=bool)
    if not known.any():
        return None
    labels = [text for text in texts if text]
    truth, classes = _truth(schema, labels)
    arrays = {who: _array(answer, known, classes) for who, answer in answers.items()}
    return pairs([spec.evaluate.metric], truth, arrays, spec)[spec.evaluate.metric]


def _truth(schema: Schema, labels: Sequence[str]) -> tuple[Any, int]:
    """What is true as the metrics take it, and how many classes there are."""
    import numpy as np

    if schema.task == "regression":
        return np.array(labels, dtype=np.float64), 0
    numbers, classes = class_numbers(labels, class_texts(schema))
    # A class that neither version ever saw is never answered; of a binary task it is not the positive one.
    return (numbers, len(classes)) if schema.positive is None else ((numbers == 1).astype(np.int64), 2)


def _array(answers: Answers, known: Any, classes: int) -> Any:
    import numpy as np

    if answers.probabilities is None:
        return np.array(answers.predictions, dtype=np.float64)[known]
    probabilities = np.array(answers.probabilities, dtype=np.float64)[known]
    return (
        probabilities
        if probabilities.ndim == 1
        else np.pad(probabilities, ((0, 0), (0, classes - probabilities.shape[1])))
    )
