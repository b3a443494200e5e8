"""Files of a store are flipped, cut, emptied and deleted at random: nobody reads anything else than what was written.

Each damage is without effect, or refused by name, or its file is left out and named. ``SLIPSTREAM_DAMAGES=2000`` draws
so many where the slow tests run, instead of 120.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slipstream.bundle.bundle import open_bundle
from slipstream.commands.history import history
from slipstream.commands.verify.check import verify
from slipstream.errors import SlipstreamError
from slipstream.ground_truth.served_quality import served_quality
from slipstream.spec.loader import load_spec
from slipstream.spec.model import ModelSpec
from slipstream.stages.join import join
from slipstream.store import Store
from slipstream.store.datasets import load_dataset, read_dataset
from slipstream.store.labels import TABLE, Label, deliver, in_order

DAMAGES = int(os.environ.get("SLIPSTREAM_DAMAGES") or 120)
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
ROWS = 40


@dataclass(frozen=True)
class Lived:
    """A store that has seen a life: two batches, a version, predictions, labels."""

    spec: ModelSpec
    url: str
    right: dict[str, Any]

    @property
    def files(self) -> list[Path]:
        root = Path(self.url.removeprefix("file://"))
        return sorted(file for file in root.rglob("*") if file.is_file())


def name(number: int) -> str:
    return f"{number:032x}"


def predictions(store: Store, first: int) -> None:
    rows = range(first, first + ROWS)
    store.tables.append(
        "small",
        "predictions",
        pa.table(
            {
                "prediction_id": [name(number) for number in rows],
                "probability": [number % 10 / 10 for number in rows],
                "time": pa.array([NOON + timedelta(minutes=number) for number in rows], pa.timestamp("us", tz="UTC")),
                "version": [1] * ROWS,
                "role": ["champion"] * ROWS,
            }
        ),
        key=f"predictions {first}",
    )


@pytest.fixture
def lived(store: Store, make_spec: Any, make_rows: Any, release: Any) -> Lived:
    spec: ModelSpec = make_spec()
    release(spec)
    store.ledger.append("deployment.finished", "small", {"version": 1}, key="serve")
    for first in range(0, 4 * ROWS, ROWS):
        predictions(store, first)
        told = in_order(
            Label(name(number), "", str(number % 3 == 0).lower(), None) for number in range(first, first + 30)
        )
        deliver(store.tables.stream("small", TABLE), [told], "test")
    join(spec, store)
    return Lived(load_spec(spec.folder), store.url, read(spec, store.url))


def read(spec: ModelSpec, url: str) -> dict[str, Any]:
    """What each reader of a store says, or the error that it raises."""
    return {
        what.__name__: _said(what, spec, Store.open(url))
        for what in (ledger, rows, bundle, quality, past, told, reports)
    }


def _said(what: Callable[[ModelSpec, Store], Any], spec: ModelSpec, store: Store) -> Any:
    try:
        return what(spec, store)
    except SlipstreamError as error:
        return error


def ledger(spec: ModelSpec, store: Store) -> Any:
    model = store.ledger.state().model(spec.name)
    return store.ledger.state().seq, model.champion, model.dataset, sorted(model.versions)


def rows(spec: ModelSpec, store: Store) -> Any:
    state = store.ledger.state()
    dataset = load_dataset(store.objects, state, spec.name, state.model(spec.name).dataset or "")
    with duckdb.connect() as connection:
        return read_dataset(store.tables, dataset, connection).fetchall()


def bundle(spec: ModelSpec, store: Store) -> Any:
    event = store.ledger.state().model(spec.name).versions[1]
    return dict(open_bundle(store, event.data["result"]["bundle"]).files)


def quality(spec: ModelSpec, store: Store) -> Any:
    return served_quality(spec, store, 1)


def past(spec: ModelSpec, store: Store) -> Any:
    wanted = [name(3), name(ROWS + 3), name(3 * ROWS)]
    files = store.tables.holding(spec.name, "predictions", "prediction_id", wanted).files
    read = [pq.read_table(path).to_pylist() for path in store.tables.local_files(spec.name, "predictions", files)]
    found = [row for table in read for row in table if row["prediction_id"] in wanted]
    return sorted(found, key=lambda row: str(row["prediction_id"]))


def told(spec: ModelSpec, store: Store) -> Any:
    return [entry.text for entry in history(spec, store)]


def reports(spec: ModelSpec, store: Store) -> Any:
    results = [event.data.get("result") or {} for event in store.ledger.read()]
    return [store.objects.get(result[part]) for result in results for part in ("report", "details") if result.get(part)]


def left_out(spec: ModelSpec, store: Store) -> bool:
    """Whether a table names a file that was left out."""
    return any(store.tables.sound(spec.name, table).damaged for table in ("predictions", TABLE))


def hurt(file: Path, chance: random.Random) -> str:
    """Damage the file; returns how."""
    data = bytearray(file.read_bytes())
    how = chance.choice(["flipped", "flipped", "flipped", "cut", "emptied", "deleted"])
    if how == "flipped" and data:
        place = chance.randrange(len(data))
        data[place] ^= 1 << chance.randrange(8)
        file.write_bytes(bytes(data))
    elif how == "cut":
        file.write_bytes(bytes(data[: len(data) // 2]))
    elif how == "emptied":
        file.write_bytes(b"")
    else:
        file.unlink()
    return how


@pytest.mark.parametrize("damages", [24, pytest.param(DAMAGES, marks=pytest.mark.slow)])
def test_nothing_else_is_read_than_what_was_written(lived: Lived, damages: int) -> None:
    chance = random.Random(20261128)
    kinds: dict[Path, list[Path]] = {}
    for file in lived.files:
        kinds.setdefault(file.parent if "objects" not in file.parts else Path("objects"), []).append(file)
    silent, effects = [], 0
    for _ in range(damages):
        file = chance.choice(kinds[chance.choice(sorted(kinds))])
        before = file.read_bytes()
        how = hurt(file, chance)
        found = read(lived.spec, lived.url)
        said = {what: value for what, value in found.items() if not isinstance(value, SlipstreamError)}
        wrong = {what for what, value in said.items() if value != lived.right[what]}
        effects += found != lived.right
        store = Store.open(lived.url)
        if wrong and not (wrong <= {"quality", "past"} and left_out(lived.spec, store)):
            silent.append(f"{file.name} {how}: {wrong}")
        if found != lived.right and not verify(store).findings:
            silent.append(f"{file.name} {how}: verify finds nothing")
        file.write_bytes(before)
    assert not silent, "\n".join(silent)
    assert effects > damages // 4, "many of them had an effect"
    assert read(lived.spec, lived.url) == lived.right
