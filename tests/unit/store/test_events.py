"""Events are read by the type of their kind, and the fold finds each of them where a scan would."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from slipstream.errors import StoreError
from slipstream.serving.models.desired import desired_state
from slipstream.store import Store
from slipstream.store.events import _BY_KIND, _BY_STAGE, _DECODERS, RUN, Event, decode
from slipstream.store.figures import StageFigures
from slipstream.store.payloads import (
    DatasetCommitted,
    DeploymentFinished,
    DeploymentRolledBack,
    DeploymentStarted,
    DriftMeasured,
    GateFinished,
    Payload,
    RetrainDecided,
    VersionRegistered,
)

LEAST: dict[str, dict[str, Any]] = {
    "dataset.committed": {"dataset": "d", "watermark": "2026"},
    "schema.accepted": {"batch": "b", "dataset": "d", "changes": []},
    "joined.committed": {"table": "t", "joined": "d", "manifest": "m"},
    "version.registered": {"result": {"bundle": "b"}},
    "deployment.started": {"version": 1},
    "deployment.shifted": {"version": 1},
    "deployment.finished": {"version": 1},
    "deployment.rolled_back": {"version": 1},
    "approval.requested": {"version": 1},
    "approval.decided": {"version": 1, "approved": True},
    "key.published": {"key": "k"},
    "key.issued": {"id": "i", "digest": "d", "caller": "ada", "scopes": ["predict"], "expires": ""},
    "key.revoked": {"id": "i"},
}
"""Kind -> what its events cannot do without; the others need nothing."""
LEAST_OF_A_STAGE: dict[str, dict[str, Any]] = {
    "gate": {"result": {"version": 1, "passed": True, "verdicts": [{"passed": True, "sentence": "good."}]}},
    "replay": {"result": {"version": 1}},
}


def text(payload: Any) -> str:
    return json.dumps(payload)


def full(kind: type[msgspec.Struct], least: dict[str, Any]) -> dict[str, Any]:
    """A payload with every field that has a default, and those that it needs."""
    plain: dict[str, Any] = msgspec.to_builtins(msgspec.convert(least, kind))
    return plain


@pytest.mark.parametrize("kind", sorted(_BY_KIND))
def test_each_kind_is_read_as_its_type(kind: str) -> None:
    least = LEAST.get(kind, {})
    assert type(decode(kind, text(least))) is _BY_KIND[kind], "an event of an older release lacks most fields"
    payload = full(_BY_KIND[kind], least)
    assert msgspec.to_builtins(decode(kind, text(payload))) == payload
    newer = payload | {"of a later release": [1, {"x": None}]}
    assert msgspec.to_builtins(decode(kind, text(newer))) == payload


@pytest.mark.parametrize("stage", sorted(_BY_STAGE))
def test_each_stage_is_read_as_its_type(stage: str) -> None:
    payload = full(_BY_STAGE[stage], {"stage": stage, "run": f"{stage}-1", **LEAST_OF_A_STAGE.get(stage, {})})
    content = decode(RUN, text(payload))
    assert type(content) is _BY_STAGE[stage]
    assert msgspec.to_builtins(content) == payload


def test_every_kind_that_the_library_writes_has_a_type() -> None:
    folder = Path(__file__).parents[3] / "include" / "slipstream"
    source = "".join(file.read_text() for file in folder.rglob("*.py") if file.name not in {"events.py", "payloads.py"})
    assert [kind for kind in _BY_KIND if f'"{kind}"' not in source] == []


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("deployment.started", {"reason": "no version"}),
        ("deployment.started", {"version": "one", "reason": "no version"}),
        ("of.another.release", {"reason": "no version", "anything": 1}),
        ("of.another.release", {"reason": "no version", "version": "1.2", "stage": 7}),
        (RUN, {"stage": "of another release", "reason": "no version"}),
    ],
)
def test_what_does_not_fit_is_read_as_far_as_it_does(kind: str, payload: dict[str, Any]) -> None:
    content = decode(kind, text(payload))
    assert type(content) is Payload
    assert (content.reason, content.version) == ("no version", None)


def test_a_result_that_does_not_fit_costs_the_result_only() -> None:
    payload = {"dataset": "d", "watermark": "2026", "rows": 3, "result": {"rows": "three", "report": "r"}}
    content = decode("dataset.committed", text(payload))
    assert isinstance(content, DatasetCommitted)
    assert (content.rows, content.result.report) == (3, "")
    gate = decode(RUN, text({"stage": "gate", "run": "gate-1", "result": {"version": 2, "report": "r"}}))
    assert type(gate) is Payload
    assert (gate.run, gate.about, gate.result.reports()) == ("gate-1", 2, {"report": "r"})


def test_every_decoder_is_there_before_threads_are() -> None:
    """msgspec crashes (a segmentation fault) where one thread decodes what another has just begun to look at."""
    assert set(_DECODERS) == {Payload, *_BY_KIND.values(), *_BY_STAGE.values()}


@pytest.mark.parametrize("payload", ["[]", "7", "null", "{", ""])
def test_a_payload_that_is_no_object(payload: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode("deployment.started", payload)


def test_an_event_is_decoded_once_and_stays_ten_fields() -> None:
    event = Event(1, "i", "t", "", "m", "deployment.started", "", '{"version":1}', "", "")
    assert event.content is event.content
    assert event == Event(1, "i", "t", "", "m", "deployment.started", "", '{"version":1}', "", "")
    assert event.content_as(DeploymentStarted).version == 1
    with pytest.raises(ValueError, match="says too little to be read as DeploymentFinished"):
        event.content_as(DeploymentFinished)


def test_old_requests_for_retraining_were_the_monitorings_own() -> None:
    old = decode("retrain.requested", text({"run": "monitor-1", "reason": "drift"}))
    new = decode("retrain.requested", text({"run": "decide-1", "evidence": {"measured": "monitor-1"}}))
    assert isinstance(old, RetrainDecided)
    assert isinstance(new, RetrainDecided)
    assert old.measured == new.measured == "monitor-1"


def test_an_unread_version_of_one_model_leaves_the_others(store: Store) -> None:
    for name, result in (("good", {"bundle": "b"}), ("odd", {"bundle": 7}), ("empty", {})):
        store.ledger.append("version.registered", name, {"result": result})
        store.ledger.append("deployment.started", name, {"version": 1})
    models = store.ledger.state().models
    wish = desired_state(models["good"])
    assert wish is not None
    assert wish.rollout is not None
    for name in ("odd", "empty"):
        with pytest.raises(ValueError, match="event"):
            desired_state(models[name])


def test_a_kind_that_changes_the_state_has_to_be_understood(store: Store) -> None:
    store.ledger.append("run.finished", "m", {"stage": "train", "run": "train-1"})
    with pytest.raises(StoreError, match=r"event 2 \(deployment.started\) cannot be understood") as caught:
        store.ledger.append("deployment.started", "m", {"weight": 1.0})
    assert caught.value.code == "ledger_not_understood"
    with pytest.raises(StoreError, match="cannot be understood"):
        store.ledger.state()
    known = store.ledger.known.model("m")
    assert [event.seq for event in known.events] == [1], "an attempt to read it again leaves nothing behind"
    assert known.deployment is None


def test_the_bytes_that_are_written_are_those_that_were_given(store: Store) -> None:
    payload = {"version": 1, "weight": 0.5, "later": {"b": 1, "a": [None]}}
    event = store.ledger.append("deployment.started", "m", payload)
    assert event.payload == '{"later":{"a":[null],"b":1},"version":1,"weight":0.5}'
    assert event.data == payload


@pytest.mark.parametrize("seed", range(4))
def test_the_indexes_equal_a_scan(tmp_path: Path, seed: int) -> None:
    """A random ledger, read by one who wrote it and by one who comes later."""
    writer = Store.open(tmp_path.as_uri())
    chance = random.Random(seed)
    for number in range(50):
        kind, payload = any_event(chance, number)
        writer.ledger.append(kind, chance.choice(["a", "b", "c"]), payload)
    for store in (writer, Store.open(tmp_path.as_uri())):
        events, state = store.ledger.read(), store.ledger.state()
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert all(store.ledger.at(event.seq) is event for event in events)
        for name in ("a", "b", "c"):
            check_model(store, name, [event for event in events if event.model == name])
        assert sum(len(model.events) for model in state.models.values()) == len(events)


def any_event(chance: random.Random, number: int) -> tuple[str, dict[str, Any]]:
    version = chance.randint(1, 3)
    stage = chance.choice(["train", "gate", "replay", "evaluate", "unknown"])
    result = {"version": version, "candidate": "c", "passed": True, "verdicts": [], "champion": 1}
    ran = {"stage": stage, "run": f"{stage}-{chance.randint(1, 9)}", "spec": f"spec{number}", "result": result}
    return chance.choice(
        [
            (RUN, ran),
            (RUN, ran),
            ("deployment.started", {"version": version}),
            ("deployment.finished", {"version": version, "stage": "deploy", "run": f"deploy-{number}"}),
            ("deployment.rolled_back", {"version": version, "previous": None}),
            ("approval.decided", {"version": version, "approved": chance.random() < 0.5, "stage": "approve"}),
            ("approval.requested", {"version": version}),
            ("drift.measured", {"version": version, "stage": "monitor", "run": f"monitor-{number}", "result": {}}),
            ("labels.joined", {"version": chance.choice([None, version]), "sentence": "s", "stage": "join"}),
            ("retrain.requested", {"reason": "r", "version": version}),
            ("dataset.committed", {"dataset": f"d{version}", "watermark": str(number), "stage": "validate"}),
            ("of.another.release", {"anything": number}),
        ]
    )


def check_model(store: Store, name: str, events: list[Event]) -> None:
    """What the fold has of the model against what a scan of its raw payloads finds."""
    model = store.ledger.state().model(name)
    assert store.ledger.read(model=name) == model.events == events
    for after in (0, 7, 25, 99):
        assert store.ledger.read(model=name, after=after) == [event for event in events if event.seq > after]
    for kind in {event.kind for event in events} | {"nothing"}:
        assert store.ledger.read(model=name, kind=kind) == [event for event in events if event.kind == kind]
        late = [event for event in events if event.kind == kind and event.seq > 20]
        assert store.ledger.read(model=name, kind=kind, after=20) == late
    topics = [event.data["stage"] if event.kind == RUN else event.kind for event in events]
    for topic in set(topics):
        of_topic = [event for event, its in zip(events, topics, strict=True) if its == topic]
        assert list(model.on(topic)) == of_topic
        assert list(model.on(topic, after=20)) == [event for event in of_topic if event.seq > 20]
        assert model.newest(topic) is of_topic[-1]
        for version in (1, 2, 3):
            about = [event for event in of_topic if about_version(event.data) == version]
            assert list(model.on(topic, version)) == about
            assert model.newest(topic, version) is (about[-1] if about else None)
    runs = {event.data["run"]: event for event in events if event.data.get("run")}
    assert model.runs == runs
    assert model.latest == {event.data["stage"]: event for event in events if event.data.get("stage")}
    assert model.spec == next((event.data["spec"] for event in reversed(events) if event.data.get("spec")), "")
    assert model.newest("never") is None
    assert model.newest("gate", 99) is None


def about_version(data: dict[str, Any]) -> int | None:
    found: int | None = data.get("version") or data.get("result", {}).get("version")
    return found


def test_types_that_share_fields_stay_apart() -> None:
    """A shift is no start, and what was taken back did not take over."""
    assert not issubclass(DeploymentRolledBack, DeploymentFinished)
    assert not isinstance(decode("deployment.shifted", text({"version": 1})), DeploymentStarted)
    assert isinstance(decode("drift.measured", text({})), DriftMeasured)
    assert not isinstance(decode("version.registered", text({})), VersionRegistered)
    assert not isinstance(decode(RUN, text({"stage": "gate"})), GateFinished)
    assert StageFigures().reports() == {}
