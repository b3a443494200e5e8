"""Rows of a batch job as the predictions table keeps them, beside those that the endpoint answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from slipstream.compiler.coded_texts import CodedTexts
from slipstream.label_types import label_text
from slipstream.model_schema import Schema
from slipstream.spec.loop import CaptureSpec
from slipstream.store.objects import canonical_json
from slipstream.store.predictions import CHAMPION, input_digests

if TYPE_CHECKING:
    import pyarrow as pa

_MIXED = 0x9E3779B97F4A7C15
"""An odd number: times it, modulo 2^64, numbers of rows stay different and look drawn (Knuth 1997, 6.4)."""


def row_ids(part: str, first: int, rows: int) -> list[str]:
    """The prediction ids of rows of a file: 32 hexadecimal digits, of the same row always the same.

    Args:
        part: What tells the answers of a version to that file: at least 16 hexadecimal digits.
        first: How many of its rows came before.
        rows: How many.
    """
    import numpy as np

    numbers = np.arange(first + 1, first + 1 + rows, dtype=np.uint64) * np.uint64(_MIXED)
    digits, begin = numbers.astype(">u8").tobytes().hex(), part[:16]
    return [begin + digits[at : at + 16] for at in range(0, 16 * rows, 16)]


@dataclass(frozen=True)
class ScoreCapture:
    """What of a run's rows is kept: as ``deploy.capture`` says for rows of the endpoint.

    Attributes:
        policy: What the model file says.
        schema: What the version takes and answers.
        version: Its number.
        key: The run's key, by which it is known who asked.
        caller: Who asked.
        moment: When the run began, UTC.
        keyed: Whether the values of the model's key may be kept.
    """

    policy: CaptureSpec
    schema: Schema
    version: int
    key: str
    caller: str
    moment: datetime
    keyed: bool = True

    def rows(
        self, ids: list[str], keys: Any, columns: Mapping[str, Any], numbers: Any, answered: Any
    ) -> pa.RecordBatch:
        """The rows that are kept.

        Args:
            ids: Of all rows.
            keys: The values of the model's key as text, an Arrow array; None without a key.
            columns: Input -> its values: float64 with NaN for null, or :class:`CodedTexts`.
            numbers: What was answered, of shape ``(n,)`` or ``(n, classes)``.
            answered: Which rows have an answer; others are not kept.
        """
        import numpy as np
        import pyarrow as pa

        keep = np.flatnonzero(answered & self._sampled(ids))
        rows, place = len(keep), pa.array(keep)
        constant = {
            "time": pa.scalar(self.moment, pa.timestamp("us", "UTC")),
            "version": pa.scalar(self.version, pa.int64()),
            "role": pa.scalar(CHAMPION),
            "request_id": pa.scalar(f"score-{self.key[:16]}"),
            "caller": pa.scalar(self.caller),
            "latency_ms": pa.scalar(None, pa.float64()),
        }
        return pa.record_batch(
            {
                "prediction_id": pa.array(ids).take(place),
                **{name: pa.repeat(value, rows) for name, value in constant.items()},
                "key": pa.nulls(rows, pa.string()) if keys is None else keys.take(place),
                **self._inputs({name: values[keep] for name, values in columns.items()}, rows),
                **_answer(self.schema, numbers[keep]),
            }
        )

    def _sampled(self, ids: list[str]) -> Any:
        import numpy as np

        if self.policy.sample >= 1:
            return np.ones(len(ids), dtype=bool)
        drawn = np.array([int(one[16:24], 16) for one in ids], dtype=np.float64)
        return drawn < self.policy.sample * float(1 << 32)

    def _inputs(self, columns: Mapping[str, Any], rows: int) -> dict[str, Any]:
        import pyarrow as pa

        policy = self.policy
        left_out = [name for name in self.schema.names if name in policy.redact]
        named = pa.scalar(canonical_json(left_out).decode() if left_out else None, pa.string())
        redacted = pa.repeat(named, rows)
        fields = [one for one in self.schema.inputs if one.name not in left_out and policy.inputs != "none"]
        if not fields:
            return {"redacted": redacted}
        if policy.inputs == "digest":
            return {
                "redacted": redacted,
                "inputs_digest": pa.array(input_digests([one.name for one in fields], columns)),
            }
        arrays = [_array(columns[one.name]) for one in fields]
        return {"redacted": redacted, "inputs": pa.StructArray.from_arrays(arrays, names=[one.name for one in fields])}


def _array(values: Any) -> Any:
    import pyarrow as pa

    if isinstance(values, CodedTexts):
        return pa.array(values.words, pa.string()).take(pa.array(values.codes))
    return pa.array(values, from_pandas=True)


def _answer(schema: Schema, numbers: Any) -> dict[str, Any]:
    import pyarrow as pa

    from slipstream.bundle.scorer import decided

    if schema.task == "regression":
        return {"prediction": pa.array(numbers, pa.float64())}
    words = pa.array([label_text(label) for label in schema.classes])
    prediction = words.take(pa.array(decided(schema, numbers)))
    if schema.positive is not None:
        return {"prediction": prediction, "probability": pa.array(numbers[:, schema.classes.index(schema.positive)])}
    return {"prediction": prediction, "probabilities": pa.array(list(numbers), pa.list_(pa.float64()))}
