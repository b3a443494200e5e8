"""Explains answers: additive contributions of the inputs, for rows that are sent and for past predictions by id."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from slipstream.compiler.shapley import contributions, evenly
from slipstream.errors import BundleError, RequestError, shown
from slipstream.label_types import label_text
from slipstream.serving.models.prediction_lookup import PredictionLookup
from slipstream.serving.models.traffic_split import TrafficSplit
from slipstream.serving.version.json_body import parse
from slipstream.serving.version.loaded import LoadedVersion
from slipstream.store.predictions import Prediction

BACKGROUND = 32
"""Rows of the training that an answer is compared with."""
_CLOSE = 1e-9
_ID = re.compile(r"^[0-9a-f]{32}$")


@dataclass(frozen=True)
class Explaining:
    """One request for explanations.

    Attributes:
        split: The model's versions; the champion explains rows that are sent.
        most: Rows that may be asked for.
        lookup: Where past predictions are found; None where none are kept.
    """

    split: TrafficSplit
    most: int
    lookup: PredictionLookup | None

    def answer(self, body: bytes) -> bytes:
        """The reply.

        Raises:
            RequestError: the request is wrong.
            BundleError: ``answer_not_finite``.
        """
        ids = _ids(body)
        explanations = self._rows(body) if ids is None else self._looked_up(ids)
        reply: dict[str, Any] = {"model": self.split.champion.model}
        for name in ("version", "unit", "base"):  # null where the explanations differ
            values = {one[name] for one in explanations}
            reply[name] = values.pop() if len(values) == 1 else None
        return msgspec.json.encode({**reply, "explanations": explanations})

    def _rows(self, body: bytes) -> list[dict[str, Any]]:
        served = self.split.champion
        columns, rows = served.decoder.decode(body)
        self._check_count(rows, "rows")
        whole = [{name: columns[name][row] for name in served.scorer.schema.names} for row in range(rows)]
        return [explained(served, row)[0] for row in whole]

    def _looked_up(self, ids: Any) -> list[dict[str, Any]]:
        if not isinstance(ids, list) or not all(isinstance(one, str) and _ID.match(one) for one in ids):
            message = "ids: expected an array of ids, 32 hexadecimal digits each"
            raise RequestError(message, code="type", field="ids")
        if not ids:
            raise RequestError("ids: at least one id is needed", code="rows_empty", field="ids")
        self._check_count(len(ids), "ids")
        if self.lookup is None:
            message = "this server keeps no predictions; send the rows"
            raise RequestError(message, code="predictions_not_kept", status=409, field="ids")
        explanations = []
        for one in self.lookup.find(self.split.champion.model, ids):
            served = self.lookup.version(self.split, one.version)
            explanation, answer = explained(served, _row(served, one))
            explanations.append({"id": one.id, **explanation, "answer_matches": _matches(answer, one.answer)})
        return explanations

    def _check_count(self, count: int, place: str) -> None:
        if count > self.most:
            message = f"{count} > {self.most} rows to explain; send several requests"
            raise RequestError(message, code="too_many_rows", status=413, field=place)


def _ids(body: bytes) -> Any:
    """The ids of a body that asks for past predictions; None if it has rows."""
    if b'"ids"' not in body:
        return None
    document = parse(body)
    if not isinstance(document, dict) or "ids" not in document:
        return None
    if len(document) > 1:
        message = "expected a JSON object with one of 'rows', 'columns' and 'ids'"
        raise RequestError(message, code="body_shape")
    return document["ids"]


def _row(served: LoadedVersion, prediction: Prediction) -> dict[str, Any]:
    """The inputs of a past prediction, in the order of the version that made it."""
    names = served.scorer.schema.names
    missing = [
        name
        for name in names
        if prediction.inputs is None or name in prediction.redacted or name not in prediction.inputs
    ]
    if prediction.inputs is None or missing:
        what = f"its input {shown(missing[0])}" if prediction.inputs is not None else "its inputs"
        message = f"prediction {prediction.id}: {what} was not kept (deploy.capture); send the row instead"
        raise RequestError(message, code="inputs_not_kept", status=409, field=prediction.id)
    return {name: prediction.inputs[name] for name in names}


def explained(served: LoadedVersion, row: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """The explanation of the answer to *row*, and the answer as the predictions table has it."""
    schema = served.scorer.schema
    answers = served.scorer.predict({name: [row[name]] for name in schema.names})
    label = answers.predictions[0]
    answer = label if answers.probabilities is None else answers.probabilities[0]
    unit = schema.target
    ask: Callable[[Any], Any] = served.scorer.engine.run
    if schema.classes:
        label_asked = label if schema.positive is None else schema.positive
        unit = f"probability of {schema.target} = {label_text(label_asked)}"
        ask = _Column(ask, schema.classes.index(label_asked))
    words = frozenset(field.name for field in schema.inputs if field.type == "string")
    typed = {name: value if name in words else _number(value) for name, value in row.items()}
    result = contributions(_Finite(ask), typed, _background(served.background, schema.names, words))
    errors = result.errors and dict(zip(schema.names, result.errors, strict=True))
    return {
        "version": served.version,
        "prediction": label,
        "answer": result.answer,
        "unit": unit,
        "base": result.base,
        "contributions": dict(zip(schema.names, result.values, strict=True)),
        "standard_errors": errors,
        "samples": result.orders,
    }, answer


@dataclass(frozen=True)
class _Column:
    """The probability of one class."""

    run: Callable[[Any], Any]
    place: int

    def __call__(self, columns: Any) -> Any:
        return self.run(columns)[:, self.place]


@dataclass(frozen=True)
class _Finite:
    """Answers that are numbers."""

    run: Callable[[Any], Any]

    def __call__(self, columns: Any) -> Any:
        import numpy as np

        answers = self.run(columns)
        if not np.isfinite(answers).all():
            message = "the model answers mixtures of rows with something that is no finite number."
            raise BundleError(message, code="answer_not_finite")
        return answers


@lru_cache(maxsize=8)
def _background(data: bytes, names: tuple[str, ...], words: frozenset[str]) -> dict[str, Any]:
    """Evenly spaced rows of a version's training."""
    import numpy as np
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(data), columns=list(names))
    columns = {}
    for name in names:
        values = table[name].to_pylist()
        array = np.empty(len(values), dtype=object)
        array[:] = values
        columns[name] = array if name in words else array.astype(np.float64)
    return evenly(columns, BACKGROUND)


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _matches(answer: Any, captured: Any) -> bool:
    """Whether the version answers today what it answered then."""
    if isinstance(captured, list):
        return len(answer) == len(captured) and all(map(_matches, answer, captured))
    return math.isclose(answer, captured, rel_tol=_CLOSE, abs_tol=_CLOSE)
