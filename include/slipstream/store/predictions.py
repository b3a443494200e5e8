"""The predictions table: what the endpoint answered, a row a prediction. Whoever reads it does so here.

:mod:`slipstream.serving.capture.rows` writes it. Its columns: ``prediction_id``, ``time`` (UTC), ``version``, ``role``
(``champion``, ``challenger`` or ``shadow``, which has the id of the answer that it shadows), ``request_id``,
``caller``, ``latency_ms``, ``redacted`` (inputs that the policy never keeps, a JSON array), ``inputs`` (a struct;
numbers as double) or ``inputs_digest``, ``prediction`` (double for regression, else the label as text),
``probability`` (of the positive label), ``probabilities`` (multiclass, in the order of the version's classes).
:mod:`slipstream.scoring.capture` adds the rows of batch jobs: with their model's ``key`` as text, without latency.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

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
NUMBERS = ("BIGINT", "DOUBLE")
"""Types of DuckDB whose values are numbers in the text of a key; others are texts in it."""
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


def input_digests(names: Sequence[str], columns: Mapping[str, Any]) -> list[str]:
    """The sha256 of each row's names and values in JSON, numbers as doubles: ``inputs_digest``.

    Args:
        names: Inputs.
        columns: Input -> its values: a sequence of texts, or an array of float64.
    """
    encode, sha256 = msgspec.json.encode, hashlib.sha256
    head = encode([*names])
    plain = [getattr(columns[name], "tolist", lambda name=name: columns[name])() for name in names]
    # msgspec writes NaN as null.
    return [sha256(head + encode(row)).hexdigest() for row in zip(*plain, strict=True)]


def key_sql(values: Mapping[str, str], texts: Collection[str]) -> str:
    """An expression for a key as one JSON array: ``texts`` among its columns as text, others as numbers.

    Args:
        values: Column of the key -> SQL of its value.
        texts: Columns that are no numbers.
    """
    parts = [f"{value if name in texts else _number(value)}::VARCHAR" for name, value in values.items()]
    return f"to_json([{', '.join(parts)}])::VARCHAR"


def _number(value: str) -> str:
    """SQL: a number as text, 7 and 7.0 alike; whole numbers that a double would round stay what they are."""
    number = f"TRY_CAST({value} AS DOUBLE)"
    whole = f"CASE WHEN abs({number}) >= {1 << 53} THEN TRY_CAST({value} AS HUGEINT)::VARCHAR END"
    return f"coalesce({whole}, {number}::VARCHAR)"


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
