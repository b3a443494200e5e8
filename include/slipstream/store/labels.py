"""The labels table of a model: what turned out to be true of its predictions. Each delivery is appended once.

Its columns: ``prediction_id`` (32 hexadecimal digits, or empty), ``key`` (the values of ``data.key`` as a JSON array,
or empty: a label belongs to a prediction by its id or by its key), ``label`` (as text, numbers so that they read back
exactly), ``time`` (since when it is true), ``received``, ``source`` (who sent it). Times are UTC.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from slipstream.duck import duck
from slipstream.store.delta.stream import Stream
from slipstream.store.faultpoints import faultpoint
from slipstream.store.objects import canonical_json

if TYPE_CHECKING:
    import pyarrow as pa

TABLE = "labels"


class Label(NamedTuple):
    """One label.

    Attributes:
        prediction_id: The id of the prediction; "" for one that is found by its key.
        key: The values of ``data.key`` as a JSON array; "" for one that is found by its id.
        label: The label as text.
        time: Since when it is true, in microseconds since 1970; None: since it was received.
    """

    prediction_id: str
    key: str
    label: str
    time: int | None


def in_order(labels: Iterable[Label]) -> list[Label]:
    """The *labels* as :func:`deliver` takes them: sorted, equal ones once."""
    return sorted(set(labels), key=lambda one: (*one[:3], one.time is not None, one.time or 0))


def digest(batches: Iterable[Sequence[Label]]) -> str:
    """The sha256 of labels that are in order, however they are cut into *batches*."""
    hashed = hashlib.sha256()
    for batch in batches:
        for label in batch:
            hashed.update(canonical_json(label) + b"\n")
    return hashed.hexdigest()


def deliver(stream: Stream, batches: Iterable[Sequence[Label]], source: str, key: str = "") -> bool:
    """Append labels to the table behind *stream*; whether they were not there before.

    Args:
        stream: The model's labels table.
        batches: The labels in order (:func:`in_order`); iterated twice unless *key* is given.
        source: Who sent them.
        key: Their :func:`digest`, if it is known.

    Raises:
        Conflict: other writers won every attempt.
        StoreError: the store cannot be written.
    """
    key = key or digest(batches)
    with _written(batches, source) as file:
        faultpoint("labels.before_commit")
        added = stream.add(file, key=f"labels-{key}")
        faultpoint("labels.after_commit")
    return added


def deliver_newest(
    stream: Stream, batches: Iterable[Sequence[Label]], source: str, files: Callable[[], Sequence[str]]
) -> bool:
    """As :func:`deliver`; labels that were there before are appended once more if later ones say otherwise.

    Args:
        stream: The model's labels table.
        batches: The labels in order; iterated more than once.
        source: Who sent them.
        files: Gives the local paths of the table's files; asked only for labels that were there before.

    Raises:
        Conflict, StoreError: as :func:`deliver`.
    """
    key = digest(batches)
    if deliver(stream, batches, source, key):
        return True
    since = overtaken(batches, files())
    return bool(since) and deliver(stream, batches, source, f"{key}-{since}")


def overtaken(batches: Iterable[Sequence[Label]], files: Sequence[str]) -> str:
    """What makes a delivery that was there before news again: since when labels say otherwise that came after it.

    Labels A, then B, then A again, all without a time: the last A holds, and is not the first A sent twice.

    Args:
        batches: The labels in order.
        files: Local paths of the files of the labels table.

    Returns:
        The moment, which tells this repetition from any other; "" if all that the delivery says holds already.
    """
    with _written(batches, "") as file, duck() as connection:
        connection.read_parquet(str(file)).create_view("said")
        connection.read_parquet(list(files), union_by_name=True).create_view("kept")
        (since,) = connection.sql(_OVERTAKEN).fetchall()[0]
    return str(since or "")


_OVERTAKEN = """
WITH alone AS (
    SELECT prediction_id, key, any_value(label) AS label, any_value(time) AS now
    FROM said WHERE time = received GROUP BY prediction_id, key HAVING count(DISTINCT label) = 1
), held AS (
    SELECT alone.label, arg_max(kept.label, row(kept.time, kept.received, kept.label)) AS holds,
           max(epoch_us(CAST(kept.received AS TIMESTAMP))) AS since
    FROM alone JOIN kept USING (prediction_id, key) WHERE kept.time <= alone.now
    GROUP BY prediction_id, key, alone.label
)
SELECT max(since) FROM held WHERE holds <> label
"""
"""Of the labels without a time, and with no other one for the same prediction beside them, those that hold no more."""


@contextmanager
def _written(batches: Iterable[Sequence[Label]], source: str) -> Iterator[Path]:
    """The labels, received now, as a file of the table."""
    import pyarrow.parquet as pq

    received = time.time_ns() // 1000
    with TemporaryDirectory(prefix="slipstream-") as folder:
        file = Path(folder) / "labels.parquet"
        with pq.ParquetWriter(file, _schema(), write_statistics=["prediction_id"]) as writer:
            for batch in batches:
                writer.write_table(_table(batch, received, source))
        yield file


def _schema() -> pa.Schema:
    import pyarrow as pa

    moment = pa.timestamp("us", tz="UTC")
    kinds = {"prediction_id": pa.string(), "key": pa.string(), "label": pa.string(), "time": moment}
    return pa.schema([*kinds.items(), ("received", moment), ("source", pa.string())])


def _table(batch: Sequence[Label], received: int, source: str) -> pa.Table:
    import pyarrow as pa

    ids, keys, labels, times = zip(*batch, strict=True)
    rows = len(batch)
    columns = [ids, keys, labels, [received if at is None else at for at in times], [received] * rows, [source] * rows]
    return pa.table([pa.array(column, kind) for column, kind in zip(columns, _schema().types, strict=True)], _schema())
