"""What is told of versions that answer side by side; and whatever a challenger does, who asks gets an answer."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slipstream.model_schema import Schema
from slipstream.serving.capture.writer import Capture
from slipstream.serving.metrics.metrics import Metrics
from slipstream.serving.metrics.version_metrics import instance_id, traffic
from slipstream.serving.models.traffic_split import TrafficSplit
from slipstream.serving.version.capture_policy import Policy
from slipstream.statistics.latency import BOUNDS
from slipstream.store import Store
from tests.unit.fixed_model import Ask, Few, Sum, asking, guards, served
from tests.unit.serving.capture.test_writer import BINARY, KINDS, answered, told, version


class Steady:
    """An engine that answers 1 whatever is asked."""

    name = "compiled"

    def run(self, columns: Any) -> Any:
        return np.ones(len(columns["seats"]))


def canary(weight: float = 1.0) -> Few:
    """A champion that can answer everything; the challenger, version 4, not everything."""
    models = Few()
    models.known["m"] = TrafficSplit(served(engine=Steady()), replace(served(engine=Sum()), version=4), weight)
    return models


def predict(ask: Ask, seats: int, night: str = "true") -> Any:
    row = f'{{"dep delay": 1.5, "seats": {seats}, "carrier": "AA", "night": {night}}}'
    return ask(
        "POST", "/models/m/predict", content=f'{{"rows": [{row}]}}', headers={"content-type": "application/json"}
    )


def records(ask: Ask) -> dict[str, dict[str, Any]]:
    return {told["role"]: told for told in ask("GET", "/models/m").json()["traffic"]}


class TestAChallengerThatFails:
    def test_is_answered_for_by_the_champion(self, caplog: pytest.LogCaptureFixture) -> None:
        with asking(canary()) as ask:
            for seats, by in ((2, 4), (13, 3), (400, 3), (7, 4)):  # 13 is an error to it, 400 no number
                reply = predict(ask, seats)
                assert (reply.status_code, reply.json()["version"]) == (200, by)
            found = records(ask)
        assert (found["challenger"]["requests"], found["challenger"]["failures"]) == (2, 2)
        assert (found["champion"]["requests"], found["champion"]["failures"]) == (2, 0)
        assert "version 4 could not answer: ValueError('secret')" in caplog.text

    def test_is_not_to_blame_for_a_wrong_request(self) -> None:
        with asking(canary()) as ask:
            assert predict(ask, 2, night='"no"').status_code == 400
            assert records(ask)["challenger"]["failures"] == 0

    def test_is_not_to_blame_for_what_the_champion_cannot_answer_either(self) -> None:
        models = canary()
        models.known["m"] = replace(models.known["m"], champion=served(engine=Sum()))
        with asking(models) as ask:
            assert predict(ask, 13).status_code == 500
            found = records(ask)
        assert (found["challenger"]["failures"], found["champion"]["failures"]) == (0, 1)


def test_what_is_told_of_a_version() -> None:
    with asking(canary(0.0)) as ask:
        assert [predict(ask, 2, night=night).status_code for night in ("true", "null", "true", "null")] == [200] * 4
        said = ask("GET", "/models/m").json()
        listed = ask("GET", "/models").json()["models"]
    found = {one["role"]: one for one in said["traffic"]}
    assert set(found) == {"champion", "challenger"}
    one = found["champion"]
    assert (one["version"], one["requests"], one["failures"], one["compared"], one["disagreed"]) == (3, 4, 0, 0, 0)
    assert (one["values"], one["missing"], one["missing_share"]) == (16, 2, 0.125)
    assert sum(one["latency"]) == 4
    assert len(one["latency"]) == len(BOUNDS) + 1
    assert 0 < one["p95_ms"] < 1000
    assert (found["challenger"]["p95_ms"], found["challenger"]["missing_share"]) == (None, None)
    assert len(said["instance"]) == 12
    assert "traffic" not in listed[0]


def test_the_metrics_have_the_same_figures_as_a_histogram_that_adds_up() -> None:
    with asking(canary()) as ask:
        for _ in range(3):
            predict(ask, 2, night="null")
        text = ask("GET", "/metrics").text
    labels = 'model="m",version="4"'
    for line in (
        f"slipstream_version_requests_total{{{labels}}} 3.0",
        f"slipstream_version_values_total{{{labels}}} 12.0",
        f"slipstream_version_values_missing_total{{{labels}}} 3.0",
        f'slipstream_version_answers_within_total{{le="10",{labels}}} 3.0',
        f'slipstream_version_answers_within_total{{le="+Inf",{labels}}} 3.0',
    ):
        assert line in text.splitlines(), line


def test_workers_add_up_and_have_one_instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    program = (
        "from tests.unit.serving.models.test_traffic_split import canary, predict, records\n"
        "from tests.unit.fixed_model import asking\n"
        "with asking(canary()) as ask:\n"
        "    predict(ask, 2); predict(ask, 13); print(records(ask)['challenger']['requests'])\n"
        "    print(ask('GET', '/models/m').json()['instance'])\n"
    )
    said = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
        for _ in range(3)
    ]
    assert [requests for requests, _ in said] == ["1", "2", "3"]
    assert {instance for _, instance in said} == {instance_id(str(tmp_path))}
    assert instance_id(None) != instance_id(None)


def test_another_canary_takes_other_keys() -> None:
    def taken(version: int) -> set[int]:
        split = TrafficSplit(served(), replace(served(), version=version), 0.1, "header:x-user")
        return {key for key in range(2000) if split.choose({b"x-user": b"%d" % key}, b"", {})[1] == "challenger"}

    two, three = taken(2), taken(3)
    assert 150 < len(two) < 250
    assert 150 < len(three) < 250
    assert len(two & three) < 50, "a tenth of a tenth, were they drawn by chance"
    assert taken(2) == two


class TestDisagreement:
    @pytest.mark.parametrize("task", list(KINDS))
    @pytest.mark.parametrize(("rows", "sample"), [(1, 1.0), (20, 0.0), (1000, 0.0)])
    def test_what_a_challenger_answered_the_champion_answers_too(
        self, store: Store, task: str, rows: int, sample: float
    ) -> None:
        meters, policy = Metrics(), Policy(sample=sample)
        capture = Capture(store, meters)
        champion = version(schema=KINDS[task])
        challenger = version(4, policy, KINDS[task], shift=0.5)
        split, one = TrafficSplit(champion, challenger, 1.0), answered(challenger, rows, "challenger")
        capture.offer(one, split.compared_with(one.role))
        capture.offer(answered(champion, rows), split.compared_with("champion"))
        capture.flush()
        theirs = champion.scorer.predict(one.decoded.columns)
        if task == "regression":
            pairs = zip(theirs.predictions, one.answers.predictions, strict=True)
            expected = sum(abs(own - other) > 0.01 * abs(own) for own, other in pairs)
        else:
            expected = sum(a != b for a, b in zip(theirs.predictions, one.answers.predictions, strict=True))
        found = {record.role: record for record in traffic(meters.registry, split.answering())}
        assert (found["challenger"].compared, found["challenger"].disagreed) == (rows, expected)
        assert found["champion"].compared == 0
        assert told(meters, "shadow_rows_total") == 0
        assert told(meters, "captured_total") == rows * (1 + (sample > 0)), "nobody was answered by the champion"

    def test_a_shadow_is_told_of_too(self, store: Store) -> None:
        meters = Metrics()
        capture, split = Capture(store, meters), TrafficSplit(version(), shadow=version(9, shift=-9.0))
        capture.offer(answered(split.champion, 5), split.compared_with("champion"))
        capture.flush()
        found = {record.role: record for record in traffic(meters.registry, split.answering())}
        assert (found["shadow"].compared, found["shadow"].requests) == (5, 0)
        assert found["shadow"].disagreed > 0

    def test_a_champion_that_cannot_say_is_passed_over(self, store: Store) -> None:
        meters = Metrics()
        capture = Capture(store, meters)
        fewer = Schema("binary", "late", BINARY.inputs[1:], (False, True), True)
        champion = version()
        challenger = replace(version(4), scorer=replace(version(4).scorer, schema=fewer))
        one = answered(challenger, 3, "challenger")
        capture.offer(one, TrafficSplit(champion, challenger, 1.0).compared_with(one.role))
        capture.flush()
        assert told(meters, "version_compared_total") == 0
        assert told(meters, "capture_dropped_total") == 0


def test_the_description_is_true() -> None:
    with asking(canary(), guards()) as ask:
        schema = ask("GET", "/openapi.json").json()["components"]["schemas"]["Model"]
        said = ask("GET", "/models/m").json()
    record = schema["properties"]["traffic"]["items"]
    assert set(record["required"]) == set(said["traffic"][0])
    assert set(schema["required"]) <= set(said)
