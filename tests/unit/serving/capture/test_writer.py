"""Capture: what the policy says is kept, nothing else; nothing that goes wrong reaches who asked."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from slipstream.bundle.scorer import Scorer
from slipstream.errors import StoreError
from slipstream.input_warnings import NOTHING, SMALL, InputMonitor
from slipstream.model_schema import Field, Schema
from slipstream.serving.capture import writer as module
from slipstream.serving.capture.writer import Capture
from slipstream.serving.message import Caller, Request
from slipstream.serving.metrics.metrics import Metrics
from slipstream.serving.models.traffic_split import TrafficSplit
from slipstream.serving.version.answer import Answered, Decoded, prediction_ids
from slipstream.serving.version.capture_policy import Policy
from slipstream.serving.version.json_body import Decoder
from slipstream.serving.version.loaded import LoadedVersion
from slipstream.store import Store

INPUTS = (
    Field("x", "number", nullable=True),
    Field("n", "integer", nullable=False),
    Field("b", "boolean", nullable=True),
    Field("carrier name", "string", nullable=True),
)
BINARY = Schema("binary", "late", INPUTS, (False, True), True)
KINDS = {
    "binary": BINARY,
    "regression": Schema("regression", "delay", INPUTS),
    "multiclass": Schema("multiclass", "kind", INPUTS, ("a", "b", "c")),
}


KEPT = Policy()


class Shifted:
    """An engine that answers from x; *shift* makes it another version."""

    def __init__(self, schema: Schema, shift: float = 0.0) -> None:
        self.schema = schema
        self.shift = shift

    def run(self, columns: Any) -> Any:
        x = np.nan_to_num(np.array(columns["x"], dtype=np.float64)) + self.shift
        if self.schema.task == "regression":
            return x
        p = 1 / (1 + np.exp(-x))
        rest = [(1 - p) / 2] * 2 if self.schema.task == "multiclass" else [1 - p]
        return np.column_stack([*rest, p])


def version(number: int = 3, policy: Policy = KEPT, schema: Schema = BINARY, shift: float = 0.0) -> LoadedVersion:
    scorer = Scorer(schema, (), Shifted(schema, shift))
    return LoadedVersion("m", number, str(number) * 64, scorer, Decoder(schema, 1000), InputMonitor(schema), policy)


def columns_of(rows: int) -> dict[str, Any]:
    random = np.random.default_rng(rows)
    columns: dict[str, Any] = {
        "x": [None if not place else value for place, value in enumerate(random.normal(size=rows).round(3).tolist())],
        "n": list(range(rows)),
        "b": [True, None, False] * (rows // 3 + 1),
        "carrier name": ["American", None, "United"] * (rows // 3 + 1),
    }
    columns = {name: values[:rows] for name, values in columns.items()}
    if rows > SMALL:
        for name in ("x", "n", "b"):
            columns[name] = np.array(columns[name], dtype=np.float64)
    return columns


def answered(served: LoadedVersion, rows: int = 1, role: str = "champion") -> Answered:
    request = Request({}, {}, None, f"request-{rows}")  # type: ignore[arg-type]
    request.caller = Caller("ann")
    columns = columns_of(rows)
    decoded = Decoded(dict(reversed(columns.items())), rows)  # protocols may give them in another order
    answers = served.scorer.predict(columns)
    return Answered(served, decoded, answers, NOTHING, role, prediction_ids(rows), time.time(), request, latency=0.002)


@pytest.fixture
def meters() -> Metrics:
    return Metrics()


@pytest.fixture
def capture(store: Store, meters: Metrics) -> Capture:
    return Capture(store, meters)


def read(store: Store, columns: str = "*", condition: str = "true") -> list[Any]:
    files = store.tables.local_files("m", "predictions", store.tables.sound("m", "predictions").files)
    if not files:
        return []
    with duckdb.connect() as connection:
        rows = connection.read_parquet(files, union_by_name=True).filter(condition)
        return rows.order("prediction_id").project(columns).fetchall()


def told(meters: Metrics, name: str) -> float:
    lines = meters.text().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"slipstream_{name}"))


def keep(capture: Capture, *found: Answered, shadow: LoadedVersion | None = None) -> None:
    for one in found:
        capture.offer(one, TrafficSplit(one.served, shadow=shadow).compared_with(one.role))
    capture.flush()


class TestWhatIsKept:
    @pytest.mark.parametrize("task", list(KINDS))
    @pytest.mark.parametrize("rows", [1, 2, SMALL, SMALL + 1, 1000])
    def test_every_row_as_it_was_asked_and_answered(
        self, capture: Capture, store: Store, meters: Metrics, task: str, rows: int
    ) -> None:
        served = version(schema=KINDS[task])
        one = answered(served, rows)
        keep(capture, one)
        if task == "binary":
            keep(capture, answered(served, rows))  # the second file is written otherwise
        found = read(store, "prediction_id, request_id, caller, role, version, latency_ms, redacted, inputs.*")
        mine = [row for row in found if row[0] in one.ids]
        assert [row[0] for row in mine] == one.ids
        assert {row[1:7] for row in mine} == {(f"request-{rows}", "ann", "champion", 3, 2.0, None)}
        columns = columns_of(rows)
        for place, name in enumerate(("x", "n", "b")):
            given = [None if value is None or value != value else float(value) for value in columns[name]]
            assert [row[7 + place] for row in mine] == given
        assert [row[10] for row in mine] == columns["carrier name"]
        answer = {"binary": "probability", "regression": "prediction", "multiclass": "probabilities"}[task]
        said = [row[0] for row in read(store, answer, f"prediction_id >= '{one.ids[0]}'")][:rows]
        assert said == (one.answers.predictions if task == "regression" else one.answers.probabilities)
        assert told(meters, "captured_total") == len(found)
        assert capture.waiting == 0

    def test_labels_are_text(self, capture: Capture, store: Store) -> None:
        one = answered(version(), 40)
        keep(capture, one)
        assert [row[0] for row in read(store, "prediction")] == [
            str(label).lower() for label in one.answers.predictions
        ]

    def test_versions_and_sizes_together(self, capture: Capture, store: Store) -> None:
        served = version()
        split = TrafficSplit(served, challenger=version(4))
        ids = []
        for number in range(60):
            route = number % 3 == 0
            one = answered(version(4) if route else served, 1 + number % 50, "challenger" if route else "champion")
            capture.offer(one, split.compared_with(one.role))
            ids += one.ids
        capture.flush()
        assert sorted(row[0] for row in read(store, "prediction_id")) == sorted(ids)
        assert set(read(store, "version, role")) == {(3, "champion"), (4, "challenger")}

    def test_time_is_that_of_the_answer_in_utc(self, capture: Capture, store: Store) -> None:
        one = answered(version())
        keep(capture, one)
        ((found,),) = read(store, 'epoch_us("time")')
        assert found == round(one.time * 1e6)


class TestPolicy:
    def test_redacted_inputs_are_nowhere(self, capture: Capture, store: Store) -> None:
        for rows in (1, 50, 1, 50):
            keep(capture, answered(version(policy=Policy(redact=("n", "carrier name"))), rows))
        assert {tuple(row[0]) for row in read(store, "inputs")} == {("x", "b")}
        assert {row[0] for row in read(store, "redacted")} == {'["n","carrier name"]'}
        for file in store.tables.local_files("m", "predictions", store.tables.sound("m", "predictions").files):
            assert b"American" not in Path(file).read_bytes()

    def test_digest_tells_equal_rows_alone(self, capture: Capture, store: Store) -> None:
        digest = version(policy=Policy(inputs="digest"))
        many, few = answered(digest, 50), answered(digest, 2)
        few.decoded = Decoded({name: list(values[:2]) for name, values in columns_of(50).items()}, 2)
        few.decoded.columns["x"][0] = None  # type: ignore[index]
        few.decoded.columns["b"][1] = None  # type: ignore[index]
        keep(capture, many, few)
        found = dict(read(store, "prediction_id, inputs_digest"))
        assert [found[one] for one in many.ids[:2]] == [found[one] for one in few.ids]
        assert len(set(found.values())) == 50
        assert all(len(one) == 64 for one in found.values())
        with pytest.raises(duckdb.BinderException):
            read(store, "inputs")

    def test_redacted_inputs_are_no_part_of_the_digest(self, capture: Capture, store: Store) -> None:
        one, other = (answered(version(policy=Policy(inputs="digest", redact=("n",)))) for _ in range(2))
        other.decoded.columns["n"] = [17]  # type: ignore[index]
        keep(capture, one, other)
        assert len({row[0] for row in read(store, "inputs_digest")}) == 1

    def test_none_keeps_the_answers(self, capture: Capture, store: Store) -> None:
        keep(capture, answered(version(policy=Policy(inputs="none")), 3))
        assert len(read(store, "prediction, probability")) == 3
        with pytest.raises(duckdb.BinderException):
            read(store, "inputs_digest")

    def test_everything_redacted_is_none(self, capture: Capture, store: Store) -> None:
        keep(capture, answered(version(policy=Policy(redact=BINARY.names)), 3))
        assert len(read(store, "prediction")) == 3

    def test_a_changed_policy_goes_to_the_same_table(self, capture: Capture, store: Store) -> None:
        for policy in (Policy(inputs="none"), Policy(inputs="digest"), Policy(), Policy(redact=("x",)), Policy()):
            keep(capture, answered(version(policy=policy), 2))
        found = read(store, "inputs IS NULL, inputs_digest IS NULL, inputs.x, redacted")
        assert [row[:2] for row in found] == [(True, True)] * 2 + [(True, False)] * 2 + [(False, True)] * 6
        assert [row[3] for row in found] == [None] * 6 + ['["x"]'] * 2 + [None] * 2

    def test_a_sample_keeps_whole_requests(self, capture: Capture, store: Store, meters: Metrics) -> None:
        served = version(policy=Policy(sample=0.25))
        offered = [answered(served, 2) for _ in range(400)]
        keep(capture, *offered)
        kept = {row[0] for row in read(store, "prediction_id")}
        whole = [one for one in offered if set(one.ids) <= kept]
        assert 60 < len(whole) < 140
        assert len(kept) == 2 * len(whole)
        assert all(served.policy.keeps(one.ids[0]) == (one in whole) for one in offered)
        assert told(meters, "capture_dropped_total") == 0

    def test_sample_zero_writes_nothing(self, capture: Capture, store: Store) -> None:
        keep(capture, answered(version(policy=Policy.of(False)), 3))
        assert store.tables.sound("m", "predictions").files == ()

    def test_of_what_the_store_holds(self) -> None:
        assert Policy.of(True) == Policy()
        assert Policy.of({"sample": 0.5, "inputs": "digest", "redact": ["x"]}) == Policy(0.5, "digest", ("x",))


class TestWhatGoesWrong:
    def test_a_full_queue_drops_and_counts(
        self, store: Store, meters: Metrics, caplog: pytest.LogCaptureFixture
    ) -> None:
        capture = Capture(store, meters, most_rows=10)
        split = TrafficSplit(version())
        with caplog.at_level(logging.WARNING, "slipstream"):
            for _ in range(3):
                capture.offer(answered(split.champion, 6), split.compared_with("champion"))
            assert capture.waiting == 6
            capture.flush()
        assert told(meters, "capture_dropped_total") == 12
        assert "12 predictions were dropped" in caplog.text
        assert len(read(store)) == 6
        capture.offer(answered(split.champion, 6), split.compared_with("champion"))
        assert capture.waiting == 6

    def test_a_large_body_fills_the_queue_sooner(self, store: Store, meters: Metrics) -> None:
        capture = Capture(store, meters, most_rows=1000)
        large = answered(version())
        large.request.size = 990_000
        for _ in range(2):
            capture.offer(large, TrafficSplit(large.served).compared_with(large.role))
        assert told(meters, "capture_dropped_total") == 1

    @pytest.mark.parametrize(
        "error", [StoreError("the store is gone."), OSError(28, "No space left on device"), ValueError("odd")]
    )
    def test_a_store_that_fails_drops_counts_and_warns_once_a_minute(
        self, store: Store, meters: Metrics, caplog: pytest.LogCaptureFixture, error: Exception
    ) -> None:
        class Failing:
            def stream(self, *_: Any) -> None:
                raise error

        class Broken:
            tables: Any = Failing()

        broken = Broken()
        capture = Capture(broken, meters)  # type: ignore[arg-type]
        with caplog.at_level(logging.WARNING, "slipstream"):
            for _ in range(3):
                keep(capture, answered(version(), 2))
        assert told(meters, "capture_dropped_total") == 6
        assert caplog.text.count(f"were not captured: {error}") == 1
        assert capture.waiting == 0
        broken.tables = store.tables
        keep(capture, answered(version(), 2))
        assert len(read(store)) == 2

    def test_offering_never_waits_for_the_store(self, meters: Metrics) -> None:
        free = threading.Event()

        class Slow:
            tables: Any = None

            def stream(self, *_: Any) -> Any:
                return self

            def newest(self) -> None:
                return None

            def add(self, _: Path) -> None:
                free.wait(30)

        slow = Slow()
        slow.tables = slow
        capture = Capture(slow, meters, seconds=0.01)  # type: ignore[arg-type]
        capture.start()
        split, one = TrafficSplit(version()), answered(version())
        capture.offer(one, split.compared_with(one.role))
        time.sleep(0.3)
        began = time.perf_counter()
        for _ in range(1000):
            capture.offer(one, split.compared_with(one.role))
        assert time.perf_counter() - began < 0.5
        free.set()
        capture.stop()
        assert told(meters, "captured_total") == 1001
        assert told(meters, "capture_queue_rows") == 0

    def test_stop_writes_what_waits(self, store: Store, meters: Metrics) -> None:
        capture = Capture(store, meters, seconds=60)
        capture.start()
        capture.offer(answered(version(), 3), TrafficSplit(version()).compared_with("champion"))
        capture.stop()
        assert len(read(store)) == 3

    def test_many_rows_are_written_at_once(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "WAKE_ROWS", 100)
        capture = Capture(store, Metrics(), seconds=60)
        capture.start()
        for _ in range(3):
            capture.offer(answered(version(), 50), TrafficSplit(version()).compared_with("champion"))
        deadline = time.monotonic() + 30
        while capture.waiting:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        capture.stop()
        assert len(read(store)) == 150

    def test_one_file_holds_so_many_rows(self, capture: Capture, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "FILE_ROWS", 100)
        served = version()
        keep(capture, *(answered(served, 50) for _ in range(5)))
        assert sorted(file.rows for file in store.tables.sound("m", "predictions").files) == [50, 100, 100]


class TestShadow:
    @pytest.mark.parametrize("rows", [1, 20, 1000])
    @pytest.mark.parametrize("task", list(KINDS))
    def test_is_compared_and_kept_beside_the_answer(
        self, capture: Capture, store: Store, meters: Metrics, task: str, rows: int
    ) -> None:
        served, shadow = version(schema=KINDS[task]), version(9, schema=KINDS[task], shift=0.5)
        one = answered(served, rows)
        keep(capture, one, shadow=shadow)
        theirs = shadow.scorer.predict(columns_of(rows))
        shadowed = read(store, "prediction_id, version, latency_ms, inputs.n", "role = 'shadow'")
        assert shadowed == [(name, 9, None, float(n)) for n, name in enumerate(one.ids)]
        answer = {"binary": "probability", "regression": "prediction", "multiclass": "probabilities"}[task]
        expected = theirs.predictions if task == "regression" else theirs.probabilities
        assert np.array(read(store, answer, "role = 'shadow'")).ravel() == pytest.approx(np.ravel(expected))
        assert told(meters, 'shadow_rows_total{model="m",version="9"}') == rows
        if task == "regression":
            apart = [abs(a - b) for a, b in zip(one.answers.predictions, theirs.predictions, strict=True)]
            far = sum(d > 0.01 * abs(a) for d, a in zip(apart, one.answers.predictions, strict=True))
        else:
            apart = np.abs(np.array(theirs.probabilities) - np.array(one.answers.probabilities)).ravel().tolist()
            far = sum(a != b for a, b in zip(one.answers.predictions, theirs.predictions, strict=True))
        halves = 2 if task == "multiclass" else 1
        assert told(meters, "shadow_disagreements_total") == far
        assert told(meters, "shadow_distance_total") == pytest.approx(sum(apart) / halves)
        assert told(meters, "captured_total") == rows

    @pytest.mark.parametrize("task", list(KINDS))
    @pytest.mark.parametrize("rows", [2, 50])
    def test_the_first_file_and_the_next(self, capture: Capture, store: Store, task: str, rows: int) -> None:
        served, shadow = version(schema=KINDS[task], policy=Policy(redact=("n",))), version(9, schema=KINDS[task])
        for _ in range(2):
            keep(capture, answered(served, rows), shadow=shadow)
        found = read(store, "version, role, latency_ms, redacted, inputs.x, prediction")
        assert len(found) == 4 * rows
        assert {row[:4] for row in found} == {(3, "champion", 2.0, '["n"]'), (9, "shadow", None, '["n"]')}
        assert len(store.tables.sound("m", "predictions").files) == 2

    def test_listens_to_what_the_sample_leaves_out(self, capture: Capture, store: Store, meters: Metrics) -> None:
        keep(capture, answered(version(policy=Policy(sample=0)), 5), shadow=version(9))
        assert told(meters, "shadow_rows_total") == 5
        assert store.tables.sound("m", "predictions").files == ()

    def test_what_it_must_not_see_it_keeps_not(self, capture: Capture, store: Store) -> None:
        keep(capture, answered(version(policy=Policy(redact=("n",))), 5), shadow=version(9))
        assert {tuple(row[0]) for row in read(store, "inputs", "role = 'shadow'")} == {("x", "b", "carrier name")}

    def test_other_inputs_are_passed_over(
        self, capture: Capture, store: Store, meters: Metrics, caplog: pytest.LogCaptureFixture
    ) -> None:
        other = Schema("binary", "late", (*INPUTS, Field("new", "number", nullable=True)), (False, True), True)
        with caplog.at_level(logging.WARNING, "slipstream"):
            keep(capture, answered(version(), 5), shadow=version(9, schema=other))
        assert "its inputs or its answers are not those of version 3" in caplog.text
        assert {row[0] for row in read(store, "role")} == {"champion"}
        assert told(meters, "shadow_rows_total") == 0

    def test_another_range_in_training_is_no_other_input(self, capture: Capture, meters: Metrics) -> None:
        seen = Schema("binary", "late", (Field("x", "number", nullable=False, low=0.0, high=1.0),), (False, True), True)
        keep(capture, answered(version(), 5), shadow=version(9, schema=seen))
        assert told(meters, "shadow_rows_total") == 5

    def test_its_trouble_is_nobody_elses(self, capture: Capture, store: Store, meters: Metrics) -> None:
        keep(capture, answered(version(), 5), shadow=version(9, shift=float("nan")))
        assert len(read(store)) == 5
        assert told(meters, "capture_dropped_total") == 0


def test_what_answered_nothing_imports_nothing(store: Store) -> None:
    code = (
        "import sys, time\n"
        "from slipstream.serving.capture.writer import Capture\n"
        "from slipstream.serving.metrics.metrics import Metrics\n"
        "from slipstream.store import Store\n"
        f"capture = Capture(Store.open({store.url!r}), Metrics(), seconds=0.01)\n"
        "capture.start(); time.sleep(0.1); capture.stop()\n"
        "print([name for name in ('pyarrow', 'deltalake', 'duckdb', 'pandas', 'sklearn') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
