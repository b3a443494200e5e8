"""Answered rows on their way to the predictions table: what the queue holds, and the Arrow tables made of it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.abc import MetaPathFinder
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from slipstream.bundle.scorer import Answers
from slipstream.input_warnings import SMALL
from slipstream.label_types import label_text
from slipstream.model_schema import Field
from slipstream.serving.version.loaded import LoadedVersion
from slipstream.store.predictions import CHALLENGER, SHADOW, input_digests

if TYPE_CHECKING:
    import pyarrow as pa

STATISTICS = ["prediction_id", "time", "version", "role"]
"""Columns by whose least and greatest value readers pass over parts of a file."""
SLICE, BULK_SLICE = 512, 2048
"""Rows that are worked on at once: the interpreter is held for about a millisecond."""


@cache
def warm() -> None:
    """Import PyArrow and let it find no pandas, which it would import for its first array while requests wait."""
    import pyarrow as pa

    if "pandas" not in sys.modules:
        hiding = _NoPandas()
        sys.meta_path.insert(0, hiding)
        try:
            pa.array([0])
        finally:
            sys.meta_path.remove(hiding)


class _NoPandas(MetaPathFinder):
    """Finds no pandas for the thread that made it."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()

    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        """None, which leaves the search to the others."""
        if name == "pandas" and threading.get_ident() == self.thread:
            raise ModuleNotFoundError(name=name)


class CapturedRequest(msgspec.Struct, gc=False):
    """One answered request, without what only its reply needed.

    Attributes:
        shadow: Who answers it too, to nobody: a shadow or, to what the challenger answered, the champion.
        recorded: Whether its rows go to the table; else they are only compared.
        values: For up to :data:`SMALL` rows the rows, else the columns; in the order of the version's schema.
        time: Unix time of the answer, in seconds.
        latency: Seconds.
        weight: What it counts in the queue.
    """

    served: LoadedVersion
    shadow: LoadedVersion | None
    recorded: bool
    values: tuple[Any, ...]
    ids: list[str]
    answers: Answers
    time: float
    latency: float
    role: str
    request_id: str
    caller: str
    weight: int


@dataclass(frozen=True)
class CaptureBatch:
    """Some entries of one kind, as columns."""

    entries: Sequence[CapturedRequest]

    @property
    def served(self) -> LoadedVersion:
        """The version that answered."""
        return self.entries[0].served

    @property
    def shadow(self) -> LoadedVersion | None:
        """The version that answered to nobody."""
        return self.entries[0].shadow

    @property
    def on_trial(self) -> bool:
        """Whether a challenger answered, which the champion is compared with."""
        return self.entries[0].role == CHALLENGER

    @property
    def recorded(self) -> bool:
        """Whether the rows go to the table."""
        return self.entries[0].recorded

    @cached_property
    def ids(self) -> list[str]:
        """The ids of all rows."""
        return list(chain.from_iterable(entry.ids for entry in self.entries))

    @cached_property
    def columns(self) -> dict[str, Any]:
        """Input -> its values: a list of words, or a float64 array with NaN for null."""
        import numpy as np

        parts = [entry.values for entry in self.entries]
        small = len(self.entries[0].ids) <= SMALL
        columns: Iterable[Any] = zip(*chain.from_iterable(parts), strict=True) if small else zip(*parts, strict=True)
        columns_by_name: dict[str, Any] = {}
        for field, values in zip(self.served.scorer.schema.inputs, columns, strict=True):
            if field.type == "string":
                columns_by_name[field.name] = list(values if small else chain.from_iterable(values))
            elif small:
                columns_by_name[field.name] = np.array(values, dtype=np.float64)
            else:
                columns_by_name[field.name] = np.concatenate([np.asarray(part, dtype=np.float64) for part in values])
        return columns_by_name

    @cached_property
    def answers(self) -> Answers:
        """The answers to all rows."""
        parts = [entry.answers for entry in self.entries]
        predictions = list(chain.from_iterable(one.predictions for one in parts))
        if parts[0].probabilities is None:
            return Answers(predictions, None)
        return Answers(predictions, list(chain.from_iterable(one.probabilities or () for one in parts)))


def slices(entries: Sequence[CapturedRequest]) -> Iterator[CaptureBatch]:
    """Entries of one kind (version, role, shadow, kept or not, small or large) in pieces that are quick to work on."""
    most = SLICE if len(entries[0].ids) <= SMALL else BULK_SLICE
    start = rows = 0
    for place, entry in enumerate(entries):
        if rows and rows + len(entry.ids) > most:
            yield CaptureBatch(entries[start:place])
            start, rows = place, 0
        rows += len(entry.ids)
    yield CaptureBatch(entries[start:])


def as_table(piece: CaptureBatch) -> pa.Table:
    """The rows of *piece* as the predictions table keeps them."""
    import pyarrow as pa

    spread = _Spread(piece.entries)
    entries, served = piece.entries, piece.served
    columns = {
        "prediction_id": pa.array(piece.ids, pa.string()),
        "time": spread([round(entry.time * 1e6) for entry in entries], pa.timestamp("us", tz="UTC")),
        "version": spread([entry.served.version for entry in entries], pa.int64()),
        "role": spread([entry.role for entry in entries], pa.string()),
        "request_id": spread([entry.request_id for entry in entries], pa.string()),
        "caller": spread([entry.caller for entry in entries], pa.string()),
        "latency_ms": spread([entry.latency * 1e3 for entry in entries], pa.float64()),
        **_inputs(piece),
        **_answer_columns(served, piece.answers),
    }
    return pa.table(columns)


def as_shadow(table: pa.Table, shadow: LoadedVersion, answers: Answers) -> pa.Table:
    """The rows of *table* as the *shadow* answered them."""
    import pyarrow as pa

    rows = len(table)
    columns = _answer_columns(shadow, answers) | {
        "version": _constant(shadow.version, pa.int64(), rows),
        "role": _constant(SHADOW, pa.string(), rows),
        "latency_ms": _constant(None, pa.float64(), rows),
    }
    return pa.table({name: columns.get(name, table[name]) for name in table.column_names})


def plain(table: pa.Table) -> pa.Table:
    """The same rows without dictionaries, which Delta tables do not know."""
    import pyarrow as pa

    kinds = [field.type.value_type if pa.types.is_dictionary(field.type) else field.type for field in table.schema]
    return table.cast(pa.schema(list(zip(table.column_names, kinds, strict=True))))


def write(table: pa.Table, file: Path) -> None:
    """Write *table* to a Parquet file. Dictionaries of numbers and of ids would cost more than they save."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    words = [name for name, kind in zip(table.column_names, table.schema.types, strict=True) if _repeats(kind)]
    if "inputs" in table.column_names:
        fields = table.schema.field("inputs").type
        words += [f"inputs.{field.name}" for field in fields if pa.types.is_string(field.type)]
    pq.write_table(
        table, file, use_dictionary=words, write_statistics=STATISTICS, compression="snappy", store_schema=False
    )


def _repeats(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_dictionary(kind))


def _constant(value: Any, kind: Any, rows: int) -> Any:
    import numpy as np
    import pyarrow as pa

    if value is None:
        return pa.DictionaryArray.from_arrays(pa.nulls(rows, pa.int32()), pa.array([], kind))
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, dtype=np.int32)), pa.array([value], kind))


class _Spread:
    """One value an entry -> one value a row, as a dictionary, which costs next to nothing for each row."""

    def __init__(self, entries: Sequence[CapturedRequest]) -> None:
        import numpy as np
        import pyarrow as pa

        counts = [len(entry.ids) for entry in entries]
        self._places = pa.array(np.repeat(np.arange(len(counts), dtype=np.int32), counts))

    def __call__(self, values: list[Any], kind: Any) -> Any:
        import pyarrow as pa

        return pa.DictionaryArray.from_arrays(self._places, pa.array(values, kind))


def _inputs(piece: CaptureBatch) -> dict[str, Any]:
    """What the policy keeps of the inputs: a struct or a digest, and the names of those that it never keeps."""
    import pyarrow as pa

    policy, schema = piece.served.policy, piece.served.scorer.schema
    names = policy.captured(schema.names)
    fields = [field for field in schema.inputs if field.name in names]
    left_out = [name for name in schema.names if name in policy.redact]
    # Text: a column of lists would cost as much as ten others.
    redacted = _constant(encoded(left_out) if left_out else None, pa.string(), len(piece.ids))
    if not fields:
        return {"redacted": redacted}
    if policy.inputs == "digest":
        return {
            "redacted": redacted,
            "inputs_digest": pa.array(input_digests([field.name for field in fields], piece.columns)),
        }
    arrays = [_array(field, piece.columns[field.name]) for field in fields]
    return {"redacted": redacted, "inputs": pa.StructArray.from_arrays(arrays, names=list(names))}


def _array(field: Field, values: Any) -> Any:
    import pyarrow as pa

    # NaN stands for null in an array of numbers.
    return pa.array(values, pa.string()) if field.type == "string" else pa.array(values, from_pandas=True)


def _answer_columns(served: LoadedVersion, answers: Answers) -> dict[str, Any]:
    import pyarrow as pa

    schema = served.scorer.schema
    if schema.task == "regression":
        return {"prediction": pa.array(answers.predictions, pa.float64())}
    places = {label: place for place, label in enumerate(schema.classes)}
    words = pa.DictionaryArray.from_arrays(
        pa.array([places[label] for label in answers.predictions], pa.int32()),
        pa.array([label_text(label) for label in schema.classes], pa.string()),
    )
    if schema.positive is not None:
        return {"prediction": words, "probability": pa.array(answers.probabilities, pa.float64())}
    return {"prediction": words, "probabilities": pa.array(answers.probabilities, pa.list_(pa.float64()))}


def encoded(names: list[str]) -> str:
    """Names as the column ``redacted`` has them: a JSON array."""
    return msgspec.json.encode(names).decode()
