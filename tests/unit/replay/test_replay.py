"""Replay: champion and challenger answer the same captured requests, and a gate reads what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest

from slipstream.bundle.bundle import open_bundle
from slipstream.bundle.scorer import load_scorer
from slipstream.errors import NotFound
from slipstream.replay.answers import ENOUGH
from slipstream.replay.captured_rows import ROWS
from slipstream.spec.model import ModelSpec
from slipstream.stages.evaluate import evaluate
from slipstream.stages.explain import explain
from slipstream.stages.gate import gate
from slipstream.stages.package import package
from slipstream.stages.replay import replay
from slipstream.stages.train import train
from slipstream.store import Store
from slipstream.store.labels import TABLE, Label, deliver, in_order

LINEAR = {"type": "sklearn", "estimator": "sklearn.linear_model.LogisticRegression"}
TREE = {"type": "sklearn", "estimator": "sklearn.tree.DecisionTreeClassifier", "parameters": {"max_depth": 2}}
GATES = [{"type": "replay", "bound": 0.05}]

Version = Callable[..., int]
Capture = Callable[..., list[str]]


@pytest.fixture
def version(store: Store, make_spec: Any, make_rows: Any, committed: Any, tmp_path: Path) -> Version:
    """``version(trainer=TREE)``: a registered version; *rows* are further columns of its data."""
    datasets: list[str] = []

    def make(rows: dict[str, Any] | None = None, **model: Any) -> int:
        spec = make_spec(**model)
        if rows is not None or not datasets:
            datasets.append(committed(spec, make_rows(600, first=600 * len(datasets), **(rows or {}))).id)
        candidate = train(spec, store, datasets[-1]).candidate
        runs = evaluate(spec, store, candidate).run, explain(spec, store, candidate).run
        places = {"keys": tmp_path / "keys", "bentos": tmp_path / "bentos"}
        return package(spec, store, candidate, *runs, **places).version

    return make


@pytest.fixture
def crown(store: Store) -> Callable[[int], Any]:
    return lambda number: store.ledger.append("deployment.finished", "small", {"version": number})


@pytest.fixture
def capture(store: Store) -> Capture:
    """``capture(rows, role="champion", distance=[...])``: a file of captured rows; returns their ids."""

    def make(rows: int, *, seed: int = 0, role: str = "champion", redacted: str | None = None, **inputs: Any) -> Any:
        random = np.random.default_rng(seed)
        values = {
            "distance": random.normal(size=rows),
            "hour": random.integers(0, 24, rows) * 1.0,
            "carrier": random.choice(["A", "B", "C"], rows),
        } | inputs
        kept = {name: pa.array(column) for name, column in values.items() if column is not None}
        ids = [uuid4().hex for _ in range(rows)]
        columns: dict[str, Any] = {
            "prediction_id": ids,
            "time": pa.array([1_700_000_000_000_000 + number for number in range(rows)], pa.timestamp("us", "UTC")),
            "version": pa.array([1] * rows, pa.int64()),
            "role": [role] * rows,
            "request_id": ["r"] * rows,
            "prediction": ["true"] * rows,
            "probability": random.random(rows),
            "redacted": pa.array([redacted] * rows, pa.string()),
        }
        if kept:
            columns["inputs"] = pa.StructArray.from_arrays(list(kept.values()), names=list(kept))
        store.tables.append("small", "predictions", pa.table(columns), key=uuid4().hex)
        return ids

    return make


def scorers(store: Store, *versions: int) -> list[Any]:
    registered = store.ledger.state().model("small").versions
    return [load_scorer(open_bundle(store, registered[number].data["result"]["bundle"])) for number in versions]


def judge(make_spec: Any, store: Store, number: int, *, gates: Sequence[dict[str, Any]] = GATES, **model: Any) -> Any:
    """The verdict of the replay gate, judged anew against the champion of now."""
    return gate(make_spec(gates=list(gates), **model), store, number)


def test_the_two_are_compared_by_what_serves_them(
    store: Store, make_spec: Any, version: Version, crown: Any, capture: Capture
) -> None:
    crown(version(train={"trainer": LINEAR}))
    spec = make_spec(train={"trainer": TREE})
    two = version(train={"trainer": TREE})
    capture(500)
    capture(300, seed=1, role="challenger")
    found = replay(spec, store, two)
    assert (found.version, found.champion, found.rows, found.failed, found.labelled) == (2, 1, 500, 0, 0)
    random = np.random.default_rng(0)
    columns = {
        "distance": random.normal(size=500),
        "hour": random.integers(0, 24, 500) * 1.0,
        "carrier": random.choice(["A", "B", "C"], 500).tolist(),
    }
    ours, theirs = (scorer.predict(columns) for scorer in scorers(store, 1, 2))
    differ = [one != other for one, other in zip(ours.predictions, theirs.predictions, strict=True)]
    assert found.disagreed == np.mean(differ)
    assert found.distance == pytest.approx(np.mean(np.abs(np.subtract(ours.probabilities, theirs.probabilities))))
    assert found.latency is not None
    assert found.sentence.startswith(f"On 500 captured rows small/2 answers {found.disagreed:.2%} otherwise than ")
    page = store.objects.get(found.report).decode()
    assert "Rows whose answers are furthest apart" in page
    assert found.sentence in page
    furthest = store.objects.get_json(found.details)["furthest"]
    apart = [abs(row["champion"]["probability"] - row["challenger"]["probability"]) for row in furthest]
    assert apart == sorted(apart, reverse=True)
    assert apart[0] == np.max(np.abs(np.subtract(ours.probabilities, theirs.probabilities)))
    assert replay(spec, store, two).reused
    capture(100, seed=2)
    assert replay(spec, store, two).rows == 600


class TestNothingToReplay:
    def test_no_champion(self, store: Store, make_spec: Any, version: Version, capture: Capture) -> None:
        number = version()
        capture(10)
        found = replay(make_spec(), store, number)
        assert (found.champion, found.rows, found.disagreed) == (None, 0, None)
        assert found.sentence == "Nothing was replayed: there is no champion yet."

    def test_nothing_captured(
        self, store: Store, make_spec: Any, version: Version, crown: Any, capture: Capture
    ) -> None:
        crown(version())
        two = version(train={"trainer": TREE})
        nothing = "Nothing was replayed: no request whose inputs are kept has been captured yet."
        assert replay(make_spec(), store, two).sentence == nothing
        capture(10, distance=None, hour=None, carrier=None)
        capture(10, redacted='["distance"]', distance=None)
        assert replay(make_spec(), store, two).sentence == nothing
        capture(10, redacted='["age"]')
        assert replay(make_spec(), store, two).rows == 10

    def test_the_champion_itself(
        self, store: Store, make_spec: Any, version: Version, crown: Any, capture: Capture
    ) -> None:
        crown(version())
        capture(10)
        assert replay(make_spec(), store, 1).sentence == "Nothing was replayed: small/1 is the champion itself."

    def test_an_unknown_version(self, store: Store, make_spec: Any) -> None:
        with pytest.raises(NotFound, match="small has no version 7") as caught:
            replay(make_spec(), store, 7)
        assert caught.value.code == "version_not_found"


class TestFailures:
    def test_rows_that_the_endpoint_would_refuse(
        self, store: Store, make_spec: Any, version: Version, crown: Any, capture: Capture
    ) -> None:
        strict = version(rows={"distance": np.random.default_rng(3).normal(size=600)})
        crown(version(rows={}))
        capture(100, distance=pa.array([None] * 30 + [0.5] * 70, pa.float64()))
        found = replay(make_spec(), store, strict)
        assert (found.rows, found.failed) == (100, 30)
        assert found.reasons == {"distance: null, which training never saw": 30}
        assert found.sentence.startswith("On 100 captured rows small/1 cannot answer 30 that champion small/2 answers")
        assert "null, which training never saw" in store.objects.get(found.report).decode()

    def test_an_input_that_callers_do_not_send(
        self, store: Store, make_spec: Any, version: Version, crown: Any, capture: Capture
    ) -> None:
        crown(version())
        two = version(rows={"age": np.arange(600)}, inputs=["distance", "hour", "carrier", "age"])
        capture(50)
        found = replay(make_spec(), store, two)
        assert (found.rows, found.failed, found.disagreed) == (50, 50, None)
        assert found.reasons == {"age: callers do not send it": 50}

    def test_rows_at_which_the_model_itself_fails(
        self, store: Store, make_spec: Any, version: Version, crown: Any, capture: Capture
    ) -> None:
        delay = {"task": "regression", "target": "delay", "evaluate": {"metric": "mae", "bootstrap": 20}}
        stump = {"type": "sklearn", "estimator": "sklearn.tree.DecisionTreeRegressor", "parameters": {"max_depth": 1}}
        crown(version(train={"trainer": stump}, **delay))
        two = version(train={"trainer": RIDGE}, **delay)
        distance = np.random.default_rng(0).normal(size=3000)
        distance[[3, 1500, 2999]] = 1.7e308
        capture(3000, distance=distance)
        found = replay(make_spec(train={"trainer": RIDGE}, **delay), store, two)
        assert (found.rows, found.failed) == (3000, 3)
        (reason,) = found.reasons
        assert reason.startswith("the model answered something that is no finite number")
        assert found.disagreed is not None
        assert found.disagreed > 0.9, "more than 1 % off"

    def test_answers_that_mean_something_else(
        self, store: Store, make_spec: Any, version: Version, crown: Any, capture: Capture
    ) -> None:
        crown(version())
        capture(20)
        two = version(rows={}, task="regression", target="delay", evaluate={"metric": "mae"}, train={"trainer": RIDGE})
        found = replay(make_spec(), store, two)
        assert (found.rows, found.failed) == (20, 20)
        assert "mean something else" in found.sentence


RIDGE = {"type": "sklearn", "estimator": "sklearn.linear_model.Ridge"}


def test_a_row_at_fault_is_found_among_sound_ones_and_many_end_it(
    store: Store, version: Version, capture: Capture, make_spec: Any
) -> None:
    from slipstream.replay.answers import ReplaySide
    from slipstream.replay.captured_rows import newest_files, requests

    version()
    capture(2000)
    (scorer,) = scorers(store, 1)
    found = requests(make_spec(), store, newest_files(make_spec(), store).files, scorer.schema.names)
    assert found is not None
    found.frame.loc[[7, 1200], "carrier"] = found.frame.loc[[7, 1200], "carrier"].map(lambda _: ["no word"])
    side = ReplaySide(scorer)
    side.answer(found, np.arange(2000))
    assert (len(side.answered), set(side.failed)) == (1998, {7, 1200})
    assert all(reason.startswith("TypeError: ") for reason in side.failed.values())
    found.frame["carrier"] = found.frame["carrier"].map(lambda _: ["no word"])
    side = ReplaySide(scorer)
    side.answer(found, np.arange(2000))
    assert len(side.failed) == ENOUGH


def test_labels_tell_who_is_right(store: Store, make_spec: Any, version: Version, crown: Any, capture: Capture) -> None:
    crown(version(train={"trainer": TREE}))
    two = version(train={"trainer": LINEAR})
    ids = capture(400)
    distance = np.random.default_rng(0).normal(size=400)
    told = [Label(one, "", "true" if d > 0 else "false", None) for one, d in zip(ids[:250], distance, strict=False)]
    deliver(store.tables.stream("small", TABLE), [in_order(told)], "test")
    found = replay(make_spec(), store, two)
    assert (found.rows, found.labelled, found.metric) == (400, 250, "roc_auc")
    assert found.value is not None
    assert found.champion_value is not None
    assert found.value > found.champion_value > 0.5
    assert (
        f"; on the 250 labelled ones roc_auc is {found.value:.4g} against {found.champion_value:.4g}." in found.sentence
    )


def test_other_tasks(store: Store, make_spec: Any, version: Version, crown: Any, capture: Capture) -> None:
    many = {
        "task": "multiclass",
        "target": "size",
        "inputs": ["distance", "hour"],
        "evaluate": {"metric": "log_loss", "bootstrap": 20},
    }
    size = np.random.default_rng(0).choice(["s", "m", "l"], 600)
    crown(version(rows={"size": size}, train={"trainer": LINEAR}, **many))
    two = version(train={"trainer": TREE}, **many)
    capture(100)
    found = replay(make_spec(train={"trainer": TREE}, **many), store, two)
    assert found.rows == 100
    assert found.distance is not None
    assert 0 < found.distance < 1


class TestGate:
    def crowned(self, version: Version, crown: Any, make_spec: Any, trainer: Any) -> int:
        crown(version(train={"trainer": LINEAR}, gates=GATES))
        return version(train={"trainer": trainer}, gates=GATES)

    @pytest.mark.parametrize(("trainer", "passed"), [(LINEAR | {"parameters": {"C": 0.9}}, True), (TREE, False)])
    def test_the_share_of_disagreement_is_bounded(
        self, trainer: Any, passed: bool, store: Store, make_spec: Any, version: Version, crown: Any, capture: Capture
    ) -> None:
        two = self.crowned(version, crown, make_spec, trainer)
        capture(500)
        found = replay(make_spec(), store, two)
        gated = judge(make_spec, store, two)
        (verdict,) = gated.verdicts
        assert (gated.passed, verdict.value, verdict.limit) == (passed, found.disagreed, 0.05)
        assert verdict.sentence == f"replay: {found.sentence.rstrip('.')}; at most 5.00% is allowed."

    def test_any_row_that_cannot_be_answered_refuses(
        self, store: Store, make_spec: Any, version: Version, crown: Any, capture: Capture
    ) -> None:
        crown(version(gates=GATES))
        more = {"inputs": ["distance", "hour", "carrier", "age"]}
        two = version(rows={"age": np.arange(600)}, gates=GATES, **more)
        capture(100)
        replay(make_spec(), store, two)
        gated = judge(make_spec, store, two, gates=[{"type": "replay", "bound": 1.0}])
        assert not gated.passed
        assert "cannot answer 100 that champion small/1 answers (age: callers" in gated.verdicts[0].sentence

    def test_a_few_rows_that_cannot_be_answered_refuse_whatever_the_others_say(
        self, store: Store, make_spec: Any, version: Version, crown: Any, capture: Capture
    ) -> None:
        delay = {"task": "regression", "target": "delay", "evaluate": {"metric": "mae", "bootstrap": 20}}
        stump = {"type": "sklearn", "estimator": "sklearn.tree.DecisionTreeRegressor", "parameters": {"max_depth": 1}}
        crown(version(train={"trainer": stump}, gates=GATES, **delay))
        two = version(train={"trainer": RIDGE}, gates=GATES, **delay)
        distance = np.random.default_rng(0).normal(size=500)
        distance[::100] = 1.7e308
        capture(500, distance=distance)
        found = replay(make_spec(train={"trainer": RIDGE}, **delay), store, two)
        assert (found.rows, found.failed) == (500, 5)
        assert found.disagreed is not None
        bound = {"type": "replay", "bound": 1.0}
        gated = judge(make_spec, store, two, gates=[bound], train={"trainer": RIDGE}, **delay)
        assert not gated.passed
        assert gated.verdicts[0].value == found.disagreed

    def test_nothing_captured_yet_passes_and_no_replay_does_not(
        self, store: Store, make_spec: Any, version: Version, crown: Any, capture: Capture
    ) -> None:
        two = self.crowned(version, crown, make_spec, TREE)
        before = judge(make_spec, store, two)
        assert not before.passed
        assert before.verdicts[0].sentence == "replay: it was not replayed; run the replay stage first."
        replay(make_spec(), store, two)
        after = judge(make_spec, store, two)
        assert after.passed
        assert after.run != before.run, "another replay is another judgement"
        assert after.verdicts[0].sentence.startswith("replay: nothing was replayed: no request")

    def test_a_replay_against_another_champion_is_stale(
        self, store: Store, make_spec: Any, version: Version, crown: Any
    ) -> None:
        two = self.crowned(version, crown, make_spec, TREE)
        three = version(train={"trainer": LINEAR | {"parameters": {"C": 0.5}}}, gates=GATES)
        crown(three)
        replay(make_spec(), store, two)
        crown(1)
        gated = judge(make_spec, store, two)
        assert not gated.passed
        assert gated.verdicts[0].sentence == ("replay: it was replayed when the champion was version 3; replay again.")
        replay(make_spec(), store, two)
        assert judge(make_spec, store, two).passed
        # Back and forth: what was replayed before is not replayed again, and counts again.
        crown(three)
        replay(make_spec(), store, two)
        crown(1)
        assert replay(make_spec(), store, two).reused
        assert judge(make_spec, store, two).passed


def test_a_large_table_is_sampled_evenly_and_quickly(
    store: Store, make_spec: Any, version: Version, crown: Any, capture: Capture
) -> None:
    crown(version(train={"trainer": LINEAR}))
    two = version(train={"trainer": TREE})
    for seed in range(3):
        capture(50_000, seed=seed)
    began = time.monotonic()
    found = replay(make_spec(), store, two)
    assert ROWS * 0.9 < found.rows <= ROWS
    assert time.monotonic() - began < 60


def test_words_of_callers_are_no_markup(
    store: Store, make_spec: Any, version: Version, crown: Any, capture: Capture
) -> None:
    crown(version(train={"trainer": LINEAR}))
    two = version(train={"trainer": TREE})
    capture(20, carrier=["<script>alert(1)</script>"] * 20)
    page = store.objects.get(replay(make_spec(), store, two).report)
    assert b"<script" not in page
    assert b"&lt;script&gt;" in page


def test_the_spec_is_not_what_it_depends_on(
    store: Store, make_spec: Any, version: Version, crown: Any, capture: Capture
) -> None:
    crown(version())
    two = version(train={"trainer": TREE})
    capture(20)
    first = replay(make_spec(), store, two)
    spec: ModelSpec = make_spec(description="other words", gates=GATES)
    assert replay(spec, store, two) == first.__class__(**{**first.__dict__, "reused": True})
