"""The predictions table: what the endpoint answered, a row a prediction. Whoever reads it does so here.

:mod:`slipstream.serving.capture.rows` writes it. Its columns: ``prediction_id``, ``time`` (UTC), ``version``, ``role``
(``champion``, ``challenger`` or ``shadow``, which has the id of the answer that it shadows), ``request_id``,
``caller``, ``latency_ms``, ``redacted`` (inputs that the policy never keeps, a JSON array), ``inputs`` (a struct;
numbers as double) or ``inputs_digest``, ``prediction`` (double for regression, else the label as text),
``probability`` (of the positive label), ``probabilities`` (multiclass, in the order of the version's classes).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from slipstream.duck import literal
from slipstream.store.tables import Tables

if TYPE_CHECKING:
    import duckdb

TABLE = "predictions"
Role = Literal["champion", "challenger", "shadow"]
CHAMPION: Role = "champion"
CHALLENGER: Role = "challenger"
SHADOW: Role = "shadow"
"""The roles of a version: answers, answers a share of the keys, answers to nobody."""
_FORMER = "route"
"""What releases before 0.2 called the role; those before that captured the champion's answers alone."""


@dataclass(frozen=True)
class Prediction:
    """One captured row.

    Attributes:
        version: The version that answered.
        inputs: Input -> value as it was kept: numbers as doubles; None if none were.
        redacted: Inputs that were not kept.
        answer: What was answered: the number, the probability of the positive label, or all probabilities.
    """

    id: str
    version: int
    inputs: Mapping[str, Any] | None
    redacted: tuple[str, ...]
    answer: Any


def read_predictions(
    connection: duckdb.DuckDBPyConnection, paths: Sequence[str], *, filename: str = ""
) -> duckdb.DuckDBPyRelation:
    """The rows of these local files, each with its ``role``; with its file, if a column *filename* is named."""
    option = f", filename = {literal(filename)}" if filename else ""
    source = f"read_parquet([{', '.join(map(literal, paths))}], union_by_name = true{option})"
    there = connection.sql(f"SELECT * FROM {source} LIMIT 0").columns  # noqa: S608
    roles = [name for name in ("role", _FORMER) if name in there]
    others = f"* EXCLUDE ({', '.join(roles)})" if roles else "*"
    return connection.sql(f"SELECT {others}, coalesce({', '.join([*roles, literal(CHAMPION)])}) AS role FROM {source}")  # noqa: S608


def redacted_inputs(rows: duckdb.DuckDBPyRelation) -> dict[str, frozenset[str]]:
    """The different texts of the column ``redacted``, each with the inputs that it names."""
    if "redacted" not in rows.columns:
        return {}
    texts = rows.filter("redacted IS NOT NULL").project("redacted").distinct().fetchall()
    return {text: frozenset(json.loads(text)) for (text,) in texts}


def find_predictions(tables: Tables, model: str, ids: Collection[str]) -> tuple[dict[str, Prediction], tuple[str, ...]]:
    """The captured predictions of those ids, but for a shadow's; and the damaged files that may hold others."""
    import pyarrow.parquet as pq

    wanted = sorted(set(ids))
    files, damaged = tables.holding(model, TABLE, "prediction_id", wanted)
    predictions = {}
    for file in tables.local_files(model, TABLE, files):
        for row in pq.read_table(file, filters=[("prediction_id", "in", wanted)]).to_pylist():
            if (row.get("role") or row.get(_FORMER)) != SHADOW:
                predictions[row["prediction_id"]] = _prediction(row)
    return predictions, damaged


def _prediction(row: Mapping[str, Any]) -> Prediction:
    answers = (row.get("probability"), row.get("probabilities"), row["prediction"])
    return Prediction(
        row["prediction_id"],
        row["version"],
        row.get("inputs"),
        tuple(json.loads(row.get("redacted") or "[]")),
        next(answer for answer in answers if answer is not None),
    )
