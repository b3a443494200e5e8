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

from slipstream.errors import BundleError, RequestError, shown
from slipstream.scoring.labels import label_text
from slipstream.scoring.shapley import contributions, evenly
from slipstream.serving.decode import parse
from slipstream.serving.past import Past, Prediction
from slipstream.serving.routes import Routes
from slipstream.serving.served import Served

BACKGROUND = 32
"""Rows of the training that an answer is compared with."""
_CLOSE = 1e-9
_ID = re.compile(r"^[0-9a-f]{32}$")


@dataclass(frozen=True)
class Explaining:
    """One request for explanations.

    Attributes:
        routes: The model's versions; the champion explains rows that are sent.
        most: Rows that may be asked for.
        past: Where past predictions are found; None where none are kept.
    """

    routes: Routes
    most: int
    past: Past | None

    def answer(self, body: bytes) -> bytes:
        """The reply.

        Raises:
            RequestError: the request is wrong.
            BundleError: ``answer_not_finite``.
        """
        ids = _ids(body)
        found = self._rows(body) if ids is None else self._past(ids)
        reply: dict[str, Any] = {"model": self.routes.champion.model}
        for name in ("version", "unit", "base"):  # null where the explanations differ
            values = {one[name] for one in found}
            reply[name] = values.pop() if len(values) == 1 else None
        return msgspec.json.encode({**reply, "explanations": found})

    def _rows(self, body: bytes) -> list[dict[str, Any]]:
        served = self.routes.champion
        columns, rows = served.decoder.decode(body)
        self._check_count(rows, "rows")
        whole = [{name: columns[name][row] for name in served.scorer.schema.names} for row in range(rows)]
        return [explained(served, row)[0] for row in whole]

    def _past(self, ids: Any) -> list[dict[str, Any]]:
        if not isinstance(ids, list) or not all(isinstance(one, str) and _ID.match(one) for one in ids):
            message = "ids: expected an array of ids, 32 hexadecimal digits each"
            raise RequestError(message, code="type", field="ids")
        if not ids:
            raise RequestError("ids: at least one id is needed", code="rows_empty", field="ids")
        self._check_count(len(ids), "ids")
        if self.past is None:
            message = "this server keeps no predictions; send the rows"
            raise RequestError(message, code="predictions_not_kept", status=409, field="ids")
        found = []
        for one in self.past.find(self.routes.champion.model, ids):
            served = self.past.version(self.routes, one.version)
            said, told = explained(served, _row(served, one))
            found.append({"id": one.id, **said, "answer_matches": _matches(told, one.answer)})
        return found

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


def _row(served: Served, past: Prediction) -> dict[str, Any]:
    """The inputs of a past prediction, in the order of the version that made it."""
    names = served.scorer.schema.names
    missing = [name for name in names if past.inputs is None or name in past.redacted or name not in past.inputs]
    if past.inputs is None or missing:
        what = f"its input {shown(missing[0])}" if past.inputs is not None else "its inputs"
        message = f"prediction {past.id}: {what} was not kept (deploy.capture); send the row instead"
        raise RequestError(message, code="inputs_not_kept", status=409, field=past.id)
    return {name: past.inputs[name] for name in names}


def explained(served: Served, row: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """The explanation of the answer to *row*, and the answer as the predictions table has it."""
    schema = served.scorer.schema
    said = served.scorer.predict({name: [row[name]] for name in schema.names})
    label = said.predictions[0]
    told = label if said.probabilities is None else said.probabilities[0]
    unit = schema.target
    ask: Callable[[Any], Any] = served.scorer.engine.run
    if schema.classes:
        label_asked = label if schema.positive is None else schema.positive
        unit = f"probability of {schema.target} = {label_text(label_asked)}"
        ask = _Column(ask, schema.classes.index(label_asked))
    words = frozenset(field.name for field in schema.inputs if field.type == "string")
    typed = {name: value if name in words else _number(value) for name, value in row.items()}
    found = contributions(_Finite(ask), typed, _background(served.background, schema.names, words))
    errors = found.errors and dict(zip(schema.names, found.errors, strict=True))
    return {
        "version": served.version,
        "prediction": label,
        "answer": found.answer,
        "unit": unit,
        "base": found.base,
        "contributions": dict(zip(schema.names, found.values, strict=True)),
        "standard_errors": errors,
        "samples": found.orders,
    }, told


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
        made = np.empty(len(values), dtype=object)
        made[:] = values
        columns[name] = made if name in words else made.astype(np.float64)
    return evenly(columns, BACKGROUND)


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _matches(told: Any, captured: Any) -> bool:
    """Whether the version answers today what it answered then."""
    if isinstance(captured, list):
        return len(told) == len(captured) and all(map(_matches, told, captured))
    return math.isclose(told, captured, rel_tol=_CLOSE, abs_tol=_CLOSE)
