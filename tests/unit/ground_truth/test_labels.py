"""Labels: late, doubled, contradicting, for unknown ids, by id and by key; and the figures that they give."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from slipstream.cli.main import app
from slipstream.commands.history import history
from slipstream.errors import DataError, NotFound, SpecError, StageError, ValueProblem
from slipstream.ground_truth.label_keys import check_key
from slipstream.ground_truth.served_quality import served_quality
from slipstream.label_types import checked_label, moment, read_label
from slipstream.model_schema import Schema
from slipstream.spec.loader import load_spec
from slipstream.spec.model import ModelSpec
from slipstream.stages.join import Joined, join
from slipstream.stages.labels import labels
from slipstream.store import Store
from slipstream.store.labels import TABLE, Label, deliver, in_order
from tests.forked import FORKED
from tests.sweeps import one_of

MakeSpec = Callable[..., ModelSpec]
Release = Callable[..., Any]
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
BINARY = Schema("binary", "late", (), (False, True), True)
LETTERS = Schema("multiclass", "kind", (), ("a", "b", "c"))
NUMBERS = Schema("multiclass", "stars", (), (1, 2, 3))
REGRESSION = Schema("regression", "delay", ())


def name(number: int) -> str:
    return f"{number:032x}"


def predict(store: Store, answers: Sequence[Any], *, first: int = 0, column: str = "probability", **fixed: Any) -> None:
    """Captured predictions with ids from *first* on; what is *fixed* is the same in all rows."""
    rows = len(answers)
    fixed = {"time": NOON, "version": 1, "role": "champion"} | fixed
    table = pa.table({"prediction_id": [name(first + place) for place in range(rows)], column: list(answers)})
    for key, value in fixed.items():
        kind = pa.timestamp("us", tz="UTC") if key == "time" else None
        table = table.append_column(key, pa.array(value if isinstance(value, list) else [value] * rows, kind))
    store.tables.append("small", "predictions", table, key=f"{first}-{fixed['time']}-{fixed['role']}")


def told(store: Store, *given: tuple[int, str], at: datetime | None = None, source: str = "test") -> bool:
    time = None if at is None else int(at.timestamp() * 1e6)
    found = in_order(Label(name(number), "", label, time) for number, label in given)
    return deliver(store.tables.stream("small", TABLE), [found], source)


def details(store: Store, result: Joined) -> Any:
    return store.objects.get_json(result.details)


def serve(store: Store, version: int = 1) -> None:
    store.ledger.append("deployment.finished", "small", {"version": version}, key=f"serve {version}")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the store of :func:`spec` is kept for the next test."""
    return tmp_path_factory.mktemp("kept") / "store"


@pytest.fixture
def spec(make_spec: MakeSpec, release: Release, store: Store, kept: Path, tmp_path: Path) -> ModelSpec:
    """A binary model whose first version serves; trained once."""
    made = make_spec()
    if kept.exists():
        shutil.copytree(kept, tmp_path / "store")
        return made
    release(made)
    serve(store)
    shutil.copytree(tmp_path / "store", kept)
    return made


class TestWhatALabelMayBe:
    @pytest.mark.parametrize(
        ("schema", "value", "text"),
        [
            (BINARY, True, "true"),
            (LETTERS, "a", "a"),
            (LETTERS, "new", "new"),
            (NUMBERS, 3.0, "3"),
            (REGRESSION, 3, "3.0"),
            (REGRESSION, 0.1, "0.1"),
            (REGRESSION, -0.0, "0.0"),
            (REGRESSION, 1e300, "1e+300"),
        ],
    )
    def test_its_text(self, schema: Schema, value: Any, text: str) -> None:
        assert checked_label(schema, value, "label") == text

    @pytest.mark.parametrize(
        ("schema", "value", "code"),
        [
            (BINARY, 1, "type"),
            (BINARY, None, "null_not_allowed"),
            (Schema("binary", "late", (), ("no", "yes"), "yes"), "maybe", "label_unknown"),
            (LETTERS, 1, "type"),
            (NUMBERS, True, "type"),
            (NUMBERS, 1.5, "type"),
            (REGRESSION, "1", "type"),
            (REGRESSION, True, "type"),
            (REGRESSION, float("inf"), "not_finite"),
            (LETTERS, "x" * 10_001, "string_too_long"),
        ],
    )
    def test_what_is_refused(self, schema: Schema, value: Any, code: str) -> None:
        with pytest.raises(ValueProblem) as caught:
            checked_label(schema, value, "labels[3].label")
        assert (caught.value.code, caught.value.field) == (code, "labels[3].label")

    @pytest.mark.parametrize(
        ("schema", "text", "found"),
        [(BINARY, "True", "true"), (BINARY, "0", "false"), (NUMBERS, "2.0", "2"), (REGRESSION, "1e3", "1000.0")],
    )
    def test_read_from_text(self, schema: Schema, text: str, found: str) -> None:
        assert read_label(schema, text, "label") == found

    @pytest.mark.parametrize("number", np.random.default_rng(3).normal(size=20).tolist())
    def test_numbers_read_back_exactly(self, number: float) -> None:
        assert float(checked_label(REGRESSION, number, "label")) == number

    @pytest.mark.parametrize(
        ("text", "micros"),
        [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T02:00:01.5+02:00", 1_500_000),
            ("1969-12-31 19:00:00-05:00", 0),
            ("0001-01-01T00:00:00+05:00", -62_135_596_800_000_000 - 5 * 3600 * 1_000_000),
        ],
    )
    def test_times(self, text: str, micros: int) -> None:
        assert moment(text, "time") == micros

    @pytest.mark.parametrize("text", ["", "2026-11-24", "2026-11-24T10:00:00", "2026-13-24T10:00:00Z", "now", "1e9"])
    def test_what_is_no_time(self, text: str) -> None:
        with pytest.raises(ValueProblem, match="is no time") as caught:
            moment(text, "labels[0].time")
        assert caught.value.code == "time_invalid"


class TestTheTable:
    def test_the_same_delivery_is_appended_once(self, store: Store) -> None:
        assert told(store, (1, "true"), (2, "false"))
        version = store.tables.stream("small", TABLE).newest().version()  # type: ignore[union-attr]
        assert not told(store, (2, "false"), (1, "true"), (1, "true"), source="another")
        assert store.tables.stream("small", TABLE).newest().version() == version  # type: ignore[union-attr]
        assert told(store, (1, "true"), (2, "false"), at=NOON), "another time is another label"

    def test_its_columns(self, store: Store) -> None:
        before = datetime.now(UTC)
        told(store, (1, "true"), source="ann")
        told(store, (1, "true"), at=NOON)
        rows = pa.concat_tables(map(pq.read_table, store.tables.paths("small", TABLE))).to_pylist()
        first, second = sorted(rows, key=lambda row: row["source"])
        assert first["time"] == first["received"]
        assert before <= first["time"] <= datetime.now(UTC)
        assert (first["prediction_id"], first["key"], first["label"], first["source"]) == (name(1), "", "true", "ann")
        assert second["time"] == NOON

    @pytest.mark.parametrize("point", ["labels.before_commit", "labels.after_commit"])
    def test_a_writer_that_is_killed_may_send_again(self, store: Store, point: str) -> None:
        worker = FORKED.Process(target=_deliver_and_die, args=(store.url, point))
        worker.start()
        worker.join(60)
        assert worker.exitcode == -signal.SIGKILL
        assert told(store, (1, "true")) is (point == "labels.before_commit")
        assert sum(pq.read_metadata(path).num_rows for path in store.tables.paths("small", TABLE)) == 1

    @pytest.mark.parametrize("deliveries", [55, pytest.param(120, marks=pytest.mark.slow)])
    def test_a_key_outlives_the_log(self, store: Store, deliveries: int) -> None:
        for number in range(deliveries):
            told(store, (number, "true"))
        assert not told(store, (3, "true")), "checkpoints keep what was delivered"


def _deliver_and_die(url: str, point: str) -> None:
    os.environ["SLIPSTREAM_FAULTPOINT"] = point
    told(Store.open(url), (1, "true"))


class TestJoin:
    def test_binary(self, spec: ModelSpec, store: Store) -> None:
        predict(store, [0.9, 0.8, 0.3, 0.1, 0.5])
        told(store, (0, "true"), (1, "false"), (2, "true"), (3, "false"))
        found = join(spec, store)
        # Of the four pairs of a late and a punctual one, three are in order.
        assert (found.metric, found.value, found.version) == ("roc_auc", 0.75, 1)
        assert (found.predictions, found.labelled, found.coverage) == (5, 4, 0.8)
        assert found.low is not None
        assert found.low <= 0.75
        assert found.sentence.startswith("roc_auc 0.750 (")
        assert found.sentence.endswith(") on 80 % labelled of 5 predictions")
        (window,) = details(store, found)["windows"]
        assert (window["start"], window["end"]) == ("2026-03-10T00:00:00+00:00", "2026-03-11T00:00:00+00:00")
        assert (window["value"], window["labelled"]) == (0.75, 4)
        assert "roc_auc" in store.objects.get(found.report).decode()
        assert history(spec, store)[0].text == f"Labels were joined: {found.sentence}."

    def test_nothing_yet(self, spec: ModelSpec, store: Store) -> None:
        seq = store.ledger.state().seq
        found = join(spec, store)
        assert (found.run, found.predictions, found.value) == ("", 0, None)
        assert store.ledger.state().seq == seq

    def test_replaying_the_same_labels_changes_nothing(self, spec: ModelSpec, store: Store) -> None:
        predict(store, [0.9, 0.1])
        told(store, (0, "true"), (1, "false"))
        first = join(spec, store)
        seq = store.ledger.state().seq
        told(store, (0, "true"), (1, "false"))
        again = join(spec, store, now=datetime.now(UTC) + 30 * DAY)
        assert again.reused
        assert (again.run, again.details, again.report) == (first.run, first.details, first.report)
        assert store.ledger.state().seq == seq

    def test_doubled_and_contradicting(self, spec: ModelSpec, store: Store) -> None:
        predict(store, [0.9, 0.8, 0.3, 0.1])
        told(store, (0, "true"), (1, "false"), (2, "true"), (3, "false"), at=NOON)
        told(store, (0, "true"), at=NOON + DAY)
        told(store, (3, "true"), at=NOON + DAY)
        told(store, (1, "true"), at=NOON - DAY)
        found = join(spec, store)
        assert (found.labelled, found.doubled, found.conflicts, found.unknown) == (4, 1, 2, 0)
        # The third became late, the first correction was older than what it contradicts: one punctual is left.
        assert found.value == pytest.approx(1 / 3)
        assert found.sentence.endswith("; 2 conflicts")
        assert details(store, found)["conflicting"] == [
            {"id": name(1), "label": "false", "labels": ["true", "false"]},
            {"id": name(3), "label": "true", "labels": ["false", "true"]},
        ]

    def test_of_equal_times_the_one_received_last_holds(self, spec: ModelSpec, store: Store) -> None:
        predict(store, [0.9])
        told(store, (0, "true"), at=NOON)
        told(store, (0, "false"), at=NOON)
        (conflict,) = details(store, join(spec, store))["conflicting"]
        assert conflict["label"] == "false"

    def test_unknown_ids_join_when_their_predictions_come(self, spec: ModelSpec, store: Store) -> None:
        told(store, (0, "true"), (1, "false"), (77, "true"))
        early = join(spec, store)
        assert (early.unknown, early.predictions, early.value) == (3, 0, None)
        assert early.sentence == "version 1 has no predictions; 3 unknown ids"
        predict(store, [0.9, 0.1])
        found = join(spec, store)
        assert (found.unknown, found.labelled, found.value) == (1, 2, 1.0)
        assert details(store, found)["strangers"] == [name(77)]
        assert found.sentence.endswith("; 1 unknown id")

    def test_late_labels_reopen_their_window(self, spec: ModelSpec, store: Store) -> None:
        predict(store, [0.9, 0.1])
        predict(store, [0.9, 0.1], first=10, time=NOON + 30 * DAY)
        told(store, (10, "true"), (11, "false"))
        first = join(spec, store)
        assert (first.value, first.reopened) == (1.0, ()), "the first join reopens nothing"
        told(store, (0, "false"), (1, "true"))
        found = join(spec, store)
        assert found.reopened == ("2026-03-10T00:00:00+00:00",)
        assert found.value == 1.0
        newest, oldest = details(store, found)["windows"]
        assert (newest["value"], oldest["value"]) == (1.0, 0.0)
        assert details(store, first)["windows"][0] == newest, "what did not change is as it was"
        told(store, (12, "true"))
        assert join(spec, store).reopened == ()

    def test_of_very_many_rows_the_newest_are_judged(
        self, spec: ModelSpec, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("slipstream.ground_truth.joined.SAMPLE", 10)
        predict(store, [0.9, 0.1] * 10, time=[NOON + number * timedelta(minutes=1) for number in range(20)])
        told(store, *((number, "false" if (number % 2 == 0) == (number < 10) else "true") for number in range(20)))
        found = join(spec, store)
        assert (found.labelled, found.value) == (20, 1.0), "of the oldest ten it would be 0"

    def test_a_prediction_at_the_edge_of_two_windows_counts_in_one(self, spec: ModelSpec, store: Store) -> None:
        midnight = datetime(2026, 3, 11, tzinfo=UTC)
        before, after = midnight - timedelta(hours=1), midnight + timedelta(hours=1)
        predict(store, [0.9, 0.1, 0.95, 0.2], time=[before, before, midnight, after])
        told(store, (0, "true"), (1, "false"), (2, "false"), (3, "true"))
        windows = details(store, join(spec, store))["windows"]
        assert [(window["start"][:10], window["predictions"], window["value"]) for window in windows] == [
            ("2026-03-11", 2, 0.0),
            ("2026-03-10", 2, 1.0),
        ], "in the older window it would make two of two pairs one of two"

    def test_maturity_and_coverage(self, make_spec: MakeSpec, spec: ModelSpec, store: Store) -> None:
        patient = make_spec(monitor={"quality": {"max_loss": 0.1, "maturity": "7d"}, "window": "7d"})
        predict(store, [0.9, 0.8, 0.3, 0.1])
        predict(store, [0.2, 0.7], first=10, time=NOON + 3 * DAY)
        told(store, (0, "true"), (1, "false"), (10, "true"), (11, "false"))
        assert join(patient, store, now=NOON + 6 * DAY).sentence == "version 1 has no predictions, matured 7d"
        ripe = join(patient, store, now=NOON + 8 * DAY)
        assert (ripe.value, ripe.predictions, ripe.labelled, ripe.coverage) == (1.0, 4, 2, 0.5)
        assert (ripe.matured, ripe.sentence) == ("7d", ripe.sentence)
        assert ripe.sentence.endswith(" on 50 % labelled of 4 predictions, matured 7d")
        assert join(patient, store, now=NOON + 9 * DAY).reused, "the clock alone is no news"
        whole = join(patient, store, now=NOON + 10 * DAY)
        assert (whole.value, whole.predictions, whole.labelled) == (0.5, 6, 4)
        assert not whole.reused

    @pytest.mark.parametrize(
        ("given", "why"),
        [
            ((), "roc_auc not known: no label for 2 predictions"),
            (
                ((0, "true"), (1, "true")),
                "roc_auc not known, all labels are 'true', on 100 % labelled of 2 predictions",
            ),
        ],
    )
    def test_what_is_not_known(self, spec: ModelSpec, store: Store, given: Any, why: str) -> None:
        predict(store, [0.9, 0.1])
        if given:
            told(store, *given)
        found = join(spec, store)
        assert (found.value, found.sentence) == (None, why)
        assert "nan" not in store.objects.get(found.report).decode().lower()

    def test_shadows_do_not_count_and_a_window_is_of_both_routes(self, spec: ModelSpec, store: Store) -> None:
        predict(store, [0.9, 0.1])
        predict(store, [0.1, 0.9], role="shadow")
        predict(store, [0.2, 0.8], first=10, role="challenger")
        told(store, (0, "true"), (1, "false"), (10, "true"), (11, "false"))
        found = join(spec, store)
        assert (found.predictions, found.value) == (2, 1.0)
        (window,) = details(store, found)["windows"]
        assert (window["predictions"], window["labelled"], window["value"]) == (4, 4, 0.75)

    def test_multiclass(self, make_spec: MakeSpec, release: Release, store: Store) -> None:
        metric = {"metric": "accuracy", "bootstrap": 20}
        spec = make_spec(target="hour", inputs=["distance", "carrier"], task="multiclass", evaluate=metric)
        release(spec)
        serve(store)
        predict(store, np.eye(24)[[5, 0, 10, 23]].tolist(), column="probabilities")
        # An hour that training never saw is never right.
        told(store, (0, "5"), (1, "0"), (2, "5"), (3, "99"))
        found = join(spec, store)
        assert (found.value, found.labelled) == (0.5, 4)

    def test_regression(self, make_spec: MakeSpec, release: Release, store: Store) -> None:
        trainer = {"type": "sklearn", "estimator": "sklearn.linear_model.Ridge"}
        metric = {"metric": "mae", "bootstrap": 20}
        spec = make_spec(target="delay", task="regression", train={"trainer": trainer}, evaluate=metric)
        release(spec)
        serve(store)
        predict(store, [10.0, 20.0, 30.0], column="prediction")
        told(store, (0, "12.5"), (1, "20.0"), (5, "1.0"))
        found = join(spec, store)
        assert (found.value, found.labelled, found.predictions, found.unknown) == (1.25, 2, 3, 1)


class TestServedQuality:
    def test_of_one_version_and_route_since_a_moment(self, spec: ModelSpec, store: Store) -> None:
        assert served_quality(spec, store, 1) is None
        predict(store, [0.9, 0.1])
        predict(store, [0.2, 0.8, 0.5], first=10, role="challenger", time=NOON + DAY)
        assert served_quality(spec, store, 1) is None
        told(store, (0, "true"), (1, "false"), (10, "true"), (11, "false"))
        every, champion, later = (
            served_quality(spec, store, 1),
            served_quality(spec, store, 1, role="champion"),
            served_quality(spec, store, 1, since=NOON + DAY),
        )
        assert every is not None
        assert champion is not None
        assert later is not None
        assert (every.value, every.labelled, every.predictions) == (0.75, 4, 5)
        assert (champion.value, champion.labelled, champion.predictions) == (1.0, 2, 2)
        assert (later.value, later.labelled, later.predictions) == (0.0, 2, 3)
        assert served_quality(spec, store, 2) is None


class TestTheStage:
    def write(self, folder: Path, text: str, file: str = "labels.csv") -> Path:
        path = folder / file
        path.write_text(text)
        return path

    def test_a_file_by_id(self, spec: ModelSpec, store: Store, tmp_path: Path) -> None:
        predict(store, [0.9, 0.8, 0.3, 0.1])
        cells = [
            f"{name(0)},1,2026-03-12T10:00:00Z",
            f"{name(1)},false,2026-03-12",
            f"{name(2)},maybe,",
            f"{name(3)},,",
        ]
        more = [f"{name(2)},True,", f"{name(2)},True,", f"{name(3)},0,", "7,true,", f"{name(0)},true,yesterday"]
        file = self.write(tmp_path, "id,late,time\n" + "\n".join(cells + more) + "\n")
        found = labels(spec, store, file, actor="ann")
        assert (found.rows, found.new, found.bad) == (9, 4, 4)
        assert [problem.partition(":")[0] for problem in found.problems] == ["row 3", "row 4", "row 8", "row 9"]
        assert "expected boolean" in found.problems[0]
        assert "label is missing" in found.problems[1]
        joined = join(spec, store)
        assert (joined.value, joined.labelled, joined.unknown) == (0.75, 4, 0)
        assert history(spec, store)[1].text == "9 labels came, 4 new, 4 unusable."
        again = labels(spec, store, self.write(tmp_path, file.read_text(), "copy.csv"), actor="bob")
        assert (again.reused, again.run) == (True, found.run)
        assert join(spec, store).reused

    def test_what_was_received_last_holds_also_if_it_was_said_before(
        self, spec: ModelSpec, store: Store, tmp_path: Path
    ) -> None:
        predict(store, [0.9, 0.1])
        cells = {answer: f"id,late\n{name(0)},{answer}\n{name(1)},false\n" for answer in ("true", "false")}
        new = []
        for answer in ("true", "true", "false", "false", "true", "true", "false"):
            found = labels(spec, store, self.write(tmp_path, cells[answer]))
            new.append(0 if found.reused else found.new)
            assert join(spec, store).value == (1.0 if answer == "true" else None), "all false: not defined"
        assert new == [2, 0, 2, 0, 2, 0, 2]

    def test_the_same_labels_by_another_way_add_nothing(self, spec: ModelSpec, store: Store, tmp_path: Path) -> None:
        told(store, (2, "true"), (1, "false"), at=NOON)
        rows = [{"id": name(2), "label": True, "time": NOON}, {"id": name(1), "label": False, "time": NOON}]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "labels.parquet")
        assert labels(spec, store, tmp_path / "labels.parquet").new == 0
        plain = [row | {"time": NOON.isoformat()} for row in rows]
        lines = "\n".join(map(json.dumps, plain))
        assert labels(spec, store, self.write(tmp_path, lines, "labels.jsonl")).new == 0
        assert len(store.tables.paths("small", TABLE)) == 1

    def test_a_relation(self, spec: ModelSpec, store: Store) -> None:
        with duckdb.connect() as connection:
            rows = connection.sql(f"SELECT '{name(1)}' AS id, true AS label UNION ALL SELECT NULL, false")
            found = labels(spec, store, rows)
        assert (found.rows, found.new, found.problems) == (2, 1, ("row 2: id or key is missing or unreadable",))

    def test_by_key(self, make_spec: MakeSpec, spec: ModelSpec, store: Store, tmp_path: Path) -> None:
        keyed = make_spec(data={"source": {"type": "files", "path": "*.csv"}, "key": ["carrier", "hour"]})
        inputs = [
            {"carrier": carrier, "hour": hour} for carrier, hour in (("A", 7.0), ('B"', 8.0), ("A", 9.0), (None, 1.0))
        ]
        predict(store, [0.9, 0.8, 0.3, 0.5], inputs=inputs)
        file = self.write(tmp_path, 'hour,carrier,label\n7,A,1\n8,"B""",0\n9.0,A,1\n10,Z,1\n,A,1\nx7,A,1\n')
        another = make_spec(data={"source": {"type": "files", "path": "*.csv"}, "key": ["distance"]})
        with pytest.raises(DataError, match="or the key"):
            labels(another, store, file)
        found = labels(keyed, store, file)
        said = tuple(f"row {row}: id or key is missing or unreadable" for row in (5, 6))
        assert (found.new, found.bad, found.problems) == (4, 2, said)
        with pytest.raises(SpecError, match="'Key' is neither key nor prediction"):
            labels(keyed, store, file, by="Key")  # type: ignore[arg-type]
        joined = join(keyed, store)
        assert (joined.labelled, joined.unknown, joined.value) == (3, 1, 0.5)
        assert details(store, joined)["strangers"] == ['["Z","10.0"]']

    @pytest.mark.parametrize(
        "ids", [[700, 701, 702], [f"{number:032x}" for number in (7, 8, 9)]], ids=["numbers", "32 digits"]
    )
    def test_a_key_called_id(
        self, ids: list[Any], make_spec: MakeSpec, release: Release, store: Store, tmp_path: Path, committed: Any
    ) -> None:
        source = {"type": "files", "path": "*.csv"}
        spec = make_spec(inputs=["id", "distance"], data={"source": source, "key": ["id"]})
        _release_keyed(spec, store, tmp_path, committed, words=isinstance(ids[0], str))
        predict(store, [0.9, 0.2, 0.8], inputs=[{"id": one, "distance": 1.0} for one in ids])
        file = self.write(tmp_path, "id,label\n" + "".join(f"{one},{n % 2}\n" for n, one in enumerate(ids)))
        with pytest.raises(DataError, match="could be the id of the prediction, or the key of the model") as said:
            labels(spec, store, file)
        assert said.value.code == "labels_ambiguous"
        assert not store.tables.paths("small", TABLE)
        assert labels(spec, store, file, by="key").new == 3
        joined = join(spec, store)
        assert (joined.labelled, joined.unknown) == (3, 0)
        ours = self.write(tmp_path, f"id,label\n{name(1)},1\n", "ours.csv")
        assert labels(spec, store, ours, by="prediction").new == 1

    def test_keys_that_a_double_would_round(
        self, make_spec: MakeSpec, store: Store, spec: ModelSpec, tmp_path: Path
    ) -> None:
        keyed = make_spec(data={"source": {"type": "files", "path": "*.csv"}, "key": ["hour"]})
        predict(store, [0.9, 0.2], inputs=[{"hour": 2**53}, {"hour": 2**53 + 1}])
        file = self.write(tmp_path, f"hour,label\n{2**53},1\n{2**53 + 1},0\n")
        assert labels(keyed, store, file).new == 2
        joined = join(keyed, store)
        assert (joined.labelled, joined.conflicts, joined.unknown, joined.value) == (2, 0, 0, 1.0)

    @pytest.mark.parametrize(
        ("changes", "what"),
        [
            ({"key": ["id"]}, "the key column 'id' is no input that is captured"),
            ({"key": []}, "data.key is not set"),
            ({"deploy": {"capture": {"inputs": "digest"}}, "key": ["hour"]}, "deploy.capture.inputs is not 'values'"),
            ({"deploy": {"capture": {"redact": ["hour"]}}, "key": ["hour"]}, "the key column 'hour'"),
        ],
    )
    def test_a_key_that_is_not_kept(self, make_spec: MakeSpec, changes: dict[str, Any], what: str) -> None:
        key = changes.pop("key")
        model = make_spec(data={"source": {"type": "files", "path": "*.csv"}, "key": key}, **changes)
        with pytest.raises(StageError, match=what) as caught:
            check_key(model)
        assert caught.value.code == "key_not_kept"

    @pytest.mark.parametrize(
        ("file", "text", "code"),
        [
            ("labels.csv", "row,label\n1,true\n", "labels_columns_missing"),
            ("labels.csv", f"id,late\n{name(1)},perhaps\nx,true\n", "labels_all_bad"),
            ("labels.csv", f"id,late\n{name(1)},true,extra\n", "labels_unreadable"),
            ("labels.parquet", "no parquet", "labels_unreadable"),
            ("labels.xlsx", "id,late", "labels_unreadable"),
            ("nothing.csv", "", "labels_unreadable"),
        ],
    )
    def test_what_is_refused_writes_nothing(
        self, spec: ModelSpec, store: Store, tmp_path: Path, file: str, text: str, code: str
    ) -> None:
        seq = store.ledger.state().seq
        path = self.write(tmp_path, text, file) if text else tmp_path / file
        with pytest.raises(DataError) as caught:
            labels(spec, store, path)
        assert caught.value.code == code
        assert store.ledger.state().seq == seq
        assert store.tables.paths("small", TABLE) == []

    @pytest.mark.parametrize(
        ("stage", "point"),
        one_of(
            4,
            [
                ("labels", "labels.begin"),
                ("labels", "labels.before_commit"),
                ("labels", "labels.after_commit"),
                ("labels", "labels.worked"),
                ("labels", "ledger.after_commit"),
                ("join", "files.rename"),
                ("join", "join.worked"),
                ("join", "ledger.before_commit"),
                ("join", "join.committed"),
            ],
        ),
    )
    def test_a_stage_that_is_killed_is_finished_by_its_rerun(
        self, spec: ModelSpec, store: Store, tmp_path: Path, stage: str, point: str
    ) -> None:
        predict(store, [0.9, 0.1])
        file = self.write(tmp_path, f"id,late\n{name(0)},1\n{name(1)},0\n")
        if stage == "join":
            labels(spec, store, file)
        work = FORKED.Process(target=_run_and_die, args=(spec.folder, store.url, file, stage, point))
        work.start()
        work.join(120)
        assert work.exitcode == -signal.SIGKILL
        again = labels(spec, store, file) if stage == "labels" else join(spec, store)
        assert again.run
        kinds = [event.kind for event in store.ledger.read(model=spec.name) if event.data.get("stage") == stage]
        assert len(kinds) == 1
        assert join(spec, store).value == 1.0
        assert sum(pq.read_metadata(path).num_rows for path in store.tables.paths("small", TABLE)) == 2

    def test_no_rows_are_no_delivery(self, spec: ModelSpec, store: Store, tmp_path: Path) -> None:
        found = labels(spec, store, self.write(tmp_path, "id,late\n"))
        assert (found.rows, found.run) == (0, "")

    def test_without_a_champion(self, make_spec: MakeSpec, store: Store, tmp_path: Path) -> None:
        with pytest.raises(NotFound, match="no champion"):
            labels(make_spec(), store, self.write(tmp_path, "id,late\n"))


def _release_keyed(spec: ModelSpec, store: Store, folder: Path, committed: Any, *, words: bool) -> None:
    """A first version that serves, of a model whose key is an input called id."""
    from slipstream.stages.evaluate import evaluate
    from slipstream.stages.explain import explain
    from slipstream.stages.package import package
    from slipstream.stages.train import train

    x = np.random.default_rng(0).normal(size=400)
    ids = [f"{number:032x}" for number in range(400)] if words else list(range(400))
    trained = train(spec, store, committed(spec, pa.table({"id": ids, "distance": x, "late": x > 0})).id)
    runs = evaluate(spec, store, trained.candidate).run, explain(spec, store, trained.candidate).run
    package(spec, store, trained.candidate, *runs, keys=folder / "keys", bentos=folder / "bentos")
    serve(store)


def _run_and_die(folder: Path, url: str, file: Path, stage: str, point: str) -> None:
    os.environ["SLIPSTREAM_FAULTPOINT"] = point
    spec, store = load_spec(folder), Store.open(url)
    if stage == "labels":
        labels(spec, store, file)
    else:
        join(spec, store)


@pytest.mark.parametrize(
    ("task", "schema", "cells", "texts"),
    [
        ("binary", {"y": {"type": "boolean", "missing": ["?"]}}, ["Yes", "No", "1", "maybe", "?"], ["true", "false"]),
        (
            "regression",
            {"y": {"type": "number", "decimal": ",", "thousands": "."}},
            ["1.234,5", "0,5", "1,234.5"],
            ["1234.5", "0.5"],
        ),
    ],
)
def test_labels_are_read_as_the_files_of_training_were(
    task: str, schema: Any, cells: list[str], texts: list[str], make_spec: MakeSpec, store: Store, tmp_path: Path
) -> None:
    kind = "LogisticRegression" if task == "binary" else "Ridge"
    spec = make_spec(
        task=task,
        target="y",
        inputs=["x"],
        data={"source": {"type": "files", "path": "*.csv"}, "schema": schema},
        train={"trainer": {"type": "sklearn", "estimator": f"sklearn.linear_model.{kind}"}},
        evaluate={"metric": "roc_auc" if task == "binary" else "mae", "bootstrap": 20},
        deploy={"target": {"type": "local"}},
    )
    lines = [f'{n % 17};"{cells[n % 17 > 8]}"' for n in range(300)]
    (spec.folder / "rows.csv").write_text("x;y\n" + "\n".join(lines) + "\n")
    place = {"SLIPSTREAM_MODELS": str(spec.folder.parent), "SLIPSTREAM_STORE": store.url}
    place |= {"SLIPSTREAM_KEYS": str(tmp_path / "keys"), "SLIPSTREAM_ENDPOINT": "http://127.0.0.1:9"}
    ran = CliRunner().invoke(app, ["run", "small"], env=place)
    assert ran.exit_code == 0, ran.output
    file = tmp_path / "labels.csv"
    file.write_text("id,label\n" + "\n".join(f'{name(n)},"{cell}"' for n, cell in enumerate(cells)) + "\n")
    found = labels(spec, store, file)
    bad = 2 if task == "binary" else 1
    assert (found.rows, found.bad) == (len(cells), bad)
    assert found.problems[0].startswith("row 4: label: expected boolean" if task == "binary" else "row 3: label: '1,23")
    rows = duckdb.read_parquet(store.tables.paths("small", TABLE)).order("prediction_id").project("label").fetchall()
    assert [label for (label,) in rows] == [*texts, *(["true"] if task == "binary" else [])]
