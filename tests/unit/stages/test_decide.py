"""The retraining policy through the front door: what asks, what stands against it, once, and with which sentence."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from slipstream.commands.history import history
from slipstream.errors import NotFound, SpecError
from slipstream.retraining.cron import last_due, next_due
from slipstream.rollout.approval import ApprovalAnswer, ApprovalQuestion
from slipstream.spec.model import ModelSpec
from slipstream.stages.approve import approve, request
from slipstream.stages.decide import Decided, decide
from slipstream.stages.train import train
from slipstream.store import Store
from slipstream.store.ledger import Ledger
from slipstream.store.state import Event

NOW = datetime(2030, 1, 6, 12, tzinfo=UTC)  # a Sunday
DRIFT = "2 of 3 inputs drifted in 600 rows (carrier psi 4 > 0.2, distance psi 5 > 0.2)."
QUIET = "0 of 3 inputs drifted in 600 rows; roc_auc 0.742, at training 0.757."


Register = Callable[[ModelSpec], int]


@pytest.fixture
def register(store: Store, committed: Any, make_rows: Any) -> Register:
    """``register(spec)``: a version of a real training, without the work of evaluating and packaging it."""
    places = iter(range(1, 100))

    def make(spec: ModelSpec) -> int:
        trained = train(spec, store, committed(spec, make_rows(600, first=600 * next(places))).id)
        payload = {"stage": "package", "run": f"package-{trained.run}", "result": {"candidate": trained.candidate}}
        event = store.ledger.append("version.registered", spec.name, payload, key=trained.run)
        return store.ledger.state().model(spec.name).number_of(event)

    return make


@pytest.fixture
def serving(make_spec: Any, store: Store, register: Register) -> Callable[..., ModelSpec]:
    """``serving(windows=2, monitor={...})``: the spec of a model whose first version serves, with that policy."""

    def make(monitor: dict[str, Any] | None = None, **retrain: Any) -> ModelSpec:
        spec: ModelSpec = make_spec(
            monitor={"min_rows": 100, "evidently": False} | (monitor or {}),
            deploy={"target": {"type": "local"}},
            retrain={"cooldown": None} | retrain,
        )
        store.ledger.append("deployment.finished", spec.name, {"version": register(spec)})
        return spec

    return make


class Watch:
    """Writes measurements as the monitor stage does, without the work of measuring."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.count = 0

    def __call__(self, *, drifted: bool = False, lost: bool = False, hours: tuple[int, int] = (0, 0)) -> str:
        self.count += 1
        ends = [(datetime(2029, 1, 1, tzinfo=UTC) + timedelta(hours=hour)).isoformat() for hour in hours]
        found = {
            "drifted": drifted,
            "quality_lost": lost,
            "details": f"{self.count:064d}",
            "report": "r",
            "drifted_columns": ["carrier", "distance"] if drifted else [],
            "columns": 3,
            **(dict(zip(("first", "last"), ends, strict=True)) if any(hours) else {}),
        }
        verdict = DRIFT if drifted else "0 of 3 inputs drifted; roc_auc fell from 0.8 to 0.6." if lost else QUIET
        run = f"monitor-{self.count}"
        payload = {"stage": "monitor", "run": run, "version": 1, "verdict": verdict, "result": found}
        self.store.ledger.append("drift.measured", "small", payload, key=run)
        return run


@pytest.fixture
def watch(store: Store) -> Watch:
    return Watch(store)


@pytest.fixture
def more(store: Store, committed: Any, make_rows: Any) -> Callable[[ModelSpec], None]:
    """``more(spec)``: 100 rows more, as the newest dataset version."""
    places = iter(range(1, 1000))
    return lambda spec: committed(spec, make_rows(100, seed=7, first=10_000 + 100 * next(places)))


def decided(store: Store) -> list[str]:
    kinds = {"retrain.requested", "retrain.skipped"}
    return [event.kind.partition(".")[2] for event in store.ledger.read(model="small") if event.kind in kinds]


def test_drift_asks_once_and_says_why(serving: Any, watch: Watch, more: Any, store: Store) -> None:
    spec = serving()
    more(spec)
    run = watch(drifted=True)
    found = decide(spec, store, actor="someone", now=NOW)
    assert (found.action, found.trigger, found.reason) == ("retrain", "drift", DRIFT)
    assert found.evidence["measured"] == run
    assert found.evidence["columns"] == ["carrier", "distance"]
    again = decide(spec, store, now=NOW)
    assert (again.run, again.reused, again.actor) == (found.run, True, "someone")
    asked = store.ledger.state().model("small").retrain
    assert asked is not None
    assert (asked.actor, asked.data["reason"], asked.data["version"]) == ("someone", DRIFT, 1)
    assert {"trigger", "evidence", "run"} <= set(asked.data)
    assert decided(store) == ["requested"]


def test_lost_quality_asks(serving: Any, watch: Watch, more: Any, store: Store) -> None:
    spec = serving()
    more(spec)
    watch(lost=True)
    found = decide(spec, store, now=NOW)
    assert (found.trigger, found.reason) == ("quality", "0 of 3 inputs drifted; roc_auc fell from 0.8 to 0.6.")


@pytest.mark.parametrize("off", [{"drift": False}, {"quality": False}])
def test_what_is_switched_off_does_not_ask(
    serving: Any, watch: Watch, more: Any, store: Store, off: dict[str, bool]
) -> None:
    spec = serving(**off)
    more(spec)
    watch(**({"drifted": True} if "drift" in off else {"lost": True}))
    assert decide(spec, store, now=NOW).why == "quiet"


def test_rows_ask(serving: Any, more: Any, store: Store) -> None:
    spec = serving(rows=200)
    more(spec)
    assert decide(spec, store, now=NOW).reason == "Nothing asks for a retraining: 100 of 200 new rows."
    more(spec)
    found = decide(spec, store, now=NOW)
    assert (found.trigger, found.reason) == (
        "rows",
        "200 rows were committed since the newest training; retrain.rows asks for 200.",
    )
    assert found.evidence["rows"] == 200


def test_a_cron_time_that_passed_asks(serving: Any, more: Any, store: Store) -> None:
    spec = serving(cron="0 3 * * 0")
    more(spec)
    trained = store.ledger.state().model("small").latest["train"]
    assert decide(spec, store, now=datetime.fromisoformat(trained.time)).why == "quiet"
    found = decide(spec, store, now=NOW)
    assert (found.trigger, found.reason) == (
        "cron",
        "2030-01-06 03:00 UTC has passed, a time of retrain.cron (0 3 * * 0).",
    )
    assert found.evidence["due"] == "2030-01-06T03:00:00+00:00"


def test_a_cron_expression_that_has_no_time(serving: Any) -> None:
    with pytest.raises(SpecError, match=r"retrain.cron: '0 0 31 2 \*' never comes"):
        serving(cron="0 0 31 2 *")


def test_nothing_asks(serving: Any, watch: Watch, store: Store) -> None:
    spec = serving()
    assert decide(spec, store, now=NOW).reason == "Nothing asks for a retraining: nothing was measured yet."
    watch()
    found = decide(spec, store, now=NOW)
    assert (found.action, found.why) == ("skip", "quiet")
    assert found.reason == f"Nothing asks for a retraining: {QUIET}"
    assert decide(spec, store, now=NOW + timedelta(hours=1)).reused
    assert decided(store) == ["skipped", "skipped"]
    assert history(spec, store)[0].text == found.reason


def test_drift_must_last(serving: Any, watch: Watch, more: Any, store: Store) -> None:
    spec = serving(windows=2)
    more(spec)
    watch(drifted=True)
    found = decide(spec, store, now=NOW)
    assert (found.action, found.why, found.trigger) == ("skip", "windows", "drift")
    assert found.reason == f"{DRIFT[:-1]}, but only 1 of the 2 windows that retrain.windows asks for."
    watch()
    assert decide(spec, store, now=NOW).why == "quiet"
    watch(drifted=True)
    assert decide(spec, store, now=NOW).why == "windows"
    watch(drifted=True)
    found = decide(spec, store, now=NOW)
    assert (found.action, found.evidence["windows"]) == ("retrain", 2)
    assert found.reason == f"{DRIFT[:-1]}, in 2 windows in a row."


def test_windows_that_overlap_count_once(serving: Any, watch: Watch, more: Any, store: Store) -> None:
    spec = serving({"window": "7d"}, windows=2)
    more(spec)
    for end in (168, 200, 300):
        watch(drifted=True, hours=(end - 167, end))
        assert decide(spec, store, now=NOW).why == "windows"
    watch(drifted=True, hours=(169, 336))
    assert decide(spec, store, now=NOW).action == "retrain"


def test_windows_that_share_one_instant_overlap(serving: Any, watch: Watch, more: Any, store: Store) -> None:
    spec = serving({"window": "7d"}, windows=2)
    more(spec)
    watch(drifted=True, hours=(1, 168))
    watch(drifted=True, hours=(168, 335))
    assert decide(spec, store, now=NOW).why == "windows"


def test_what_has_too_few_rows_neither_counts_nor_breaks_the_row(
    serving: Any, watch: Watch, more: Any, store: Store
) -> None:
    spec = serving(windows=2)
    more(spec)
    watch(drifted=True)
    none = {"verdict": "Not enough data: 5 rows, monitor.min_rows asks for 100.", "result": {"drifted": False}}
    store.ledger.append("drift.measured", "small", {"stage": "monitor", "run": "monitor-x", "version": 1, **none})
    watch(drifted=True)
    assert decide(spec, store, now=NOW).action == "retrain"


def test_there_is_one_open_request(serving: Any, watch: Watch, more: Any, store: Store) -> None:
    spec = serving()
    more(spec)
    watch(drifted=True)
    decide(spec, store, now=NOW)
    watch(drifted=True)
    found = decide(spec, store, now=NOW + timedelta(minutes=12))
    assert found.reason == "Asked for already 12 minutes ago, and no training has answered yet."
    assert decided(store) == ["requested", "skipped"]


def test_a_request_that_nothing_answers_is_lost_after_a_day(
    serving: Any, watch: Watch, more: Any, store: Store
) -> None:
    spec = serving()
    more(spec)
    watch(drifted=True)
    first = decide(spec, store, now=NOW)
    assert decide(spec, store, now=NOW + timedelta(hours=23)).run == first.run
    second = decide(spec, store, now=NOW + timedelta(hours=25))
    assert (second.action, second.reused) == ("retrain", False)
    assert decided(store) == ["requested", "requested"]


def test_the_cooldown_lies_between_two_requests(serving: Any, watch: Watch, more: Any, store: Store) -> None:
    spec = serving(cooldown="1h")
    more(spec)
    watch(drifted=True)
    decide(spec, store, now=NOW)
    train(spec, store, store.ledger.state().model("small").dataset or "")
    more(spec)
    watch(drifted=True)
    found = decide(spec, store, now=NOW + timedelta(minutes=12))
    assert (found.why, found.reason) == ("cooldown", "Asked for already 12 minutes ago; retrain.cooldown is 1 hour.")
    assert decide(spec, store, now=NOW + timedelta(hours=1)).action == "retrain"


def test_the_same_data_is_not_trained_on_twice(serving: Any, watch: Watch, store: Store) -> None:
    spec = serving()
    watch(drifted=True)
    found = decide(spec, store, now=NOW)
    assert found.why == "trained"
    assert found.reason == "Version 1 was trained on the newest data already; another training would give the same."


def test_not_during_a_rollout(serving: Any, watch: Watch, more: Any, store: Store) -> None:
    spec = serving()
    more(spec)
    watch(drifted=True)
    store.ledger.append("deployment.started", "small", {"version": 2, "bundle": "b"})
    found = decide(spec, store, now=NOW)
    assert found.reason == "Version 2 is being rolled out; what it changes is not known yet."
    store.ledger.append("deployment.rolled_back", "small", {"version": 2, "reason": "why", "code": "rolled_back"})
    assert decide(spec, store, now=NOW).action == "retrain"


def test_not_while_a_newer_version_waits_for_approval(
    serving: Any, watch: Watch, more: Any, register: Register, store: Store
) -> None:
    spec = serving()
    register(spec)
    more(spec)
    watch(drifted=True)
    request(spec, store, 2, ApprovalQuestion("question"))
    asked = datetime.fromisoformat(store.ledger.read(kind="approval.requested")[0].time)
    found = decide(spec, store, now=asked + timedelta(hours=1))
    assert found.reason == "Version 2 waits for approval; what it changes is not known yet."
    approve(spec, store, 2, ApprovalAnswer(False, "grace", "", "question"))
    assert decide(spec, store, now=asked + timedelta(hours=1)).action == "retrain"


def test_a_question_that_nobody_can_answer_any_more_stands_in_no_way(
    serving: Any, watch: Watch, more: Any, register: Register, store: Store
) -> None:
    spec = serving()
    register(spec)
    more(spec)
    watch(drifted=True)
    request(spec, store, 2, ApprovalQuestion("question"))
    assert decide(spec, store, now=NOW).action == "retrain"


@pytest.mark.parametrize("policy", [{}, {"rows": 5000}])
def test_without_a_champion_nothing_is_kept(
    make_spec: Any, committed: Any, make_rows: Any, store: Store, policy: Any
) -> None:
    spec = make_spec(retrain=policy)
    committed(spec, make_rows(600))
    with pytest.raises(NotFound, match="retrain asks for no first training") as caught:
        decide(spec, store, now=NOW)
    assert caught.value.code == "champion_missing"
    assert decided(store) == []


@pytest.mark.parametrize("policy", [{"rows": 600}, {"cron": "@daily"}])
def test_the_first_training_can_be_asked_for(
    make_spec: Any, committed: Any, make_rows: Any, store: Store, policy: Any
) -> None:
    spec = make_spec(retrain=policy)
    with pytest.raises(NotFound):
        decide(spec, store, now=NOW)
    committed(spec, make_rows(600))
    found = decide(spec, store, now=NOW)
    assert (found.action, found.trigger) == ("retrain", next(iter(policy)))


def test_two_at_once_make_one_event(serving: Any, watch: Watch, more: Any, store: Store) -> None:
    spec = serving()
    more(spec)
    watch(drifted=True)
    code = """
    import sys
    from datetime import datetime
    from pathlib import Path
    from slipstream.spec.loader import load_spec
    from slipstream.stages.decide import decide
    from slipstream.store import Store
    sys.stdin.readline()
    found = decide(load_spec(Path(sys.argv[1])), Store.open(sys.argv[2]), now=datetime.fromisoformat(sys.argv[3]))
    print(found.action, found.run)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(spec.folder), store.url, NOW.isoformat()]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, **pipes) for _ in range(2)]
    with ThreadPoolExecutor() as pool:
        said = list(pool.map(lambda process: process.communicate("go\n", timeout=60)[0].split(), both))
    assert said[0] == said[1]
    assert said[0][0] == "retrain"
    assert decided(store) == ["requested"]


def test_a_situation_that_changes_meanwhile_is_judged_anew(serving: Any, watch: Watch, more: Any, store: Store) -> None:
    """Two writers that each see a measurement of their own: however they mix, one request is made."""
    spec = serving()
    more(spec)
    stores = [Store.open(store.url) for _ in range(4)]

    def one(number: int) -> Decided:
        payload = {"stage": "monitor", "run": f"m-{number}", "version": 1, "verdict": DRIFT}
        stores[number].ledger.append(
            "drift.measured", "small", payload | {"result": {"drifted": True, "details": "d"}}, key=f"m-{number}"
        )
        return decide(spec, stores[number], now=NOW)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(4)))
    assert decided(store).count("requested") == 1


class Overtaken(Ledger):
    """A ledger in which a rollout begins, by another writer, just before the first decision is committed."""

    def append(self, kind: str, model: str, payload: dict[str, Any], **options: Any) -> Event:
        if kind.startswith("retrain.") and not self.read(kind="deployment.started"):
            Ledger(self.location).append("deployment.started", model, {"version": 2, "bundle": "b"})
        return super().append(kind, model, payload, **options)


def test_a_rollout_that_begins_meanwhile_makes_the_decision_stale(
    serving: Any, watch: Watch, more: Any, store: Store
) -> None:
    spec = serving()
    more(spec)
    watch(drifted=True)
    found = decide(spec, replace(store, ledger=Overtaken(store.ledger.location)), now=NOW)
    assert (found.action, found.why) == ("skip", "rollout")
    assert decided(store) == ["skipped"]


@pytest.mark.parametrize(
    ("expression", "now", "last", "following"),
    [
        ("0 3 * * 0", "2030-01-06T03:00:00", "2030-01-06T03:00", "2030-01-13T03:00"),
        ("0 3 * * 0", "2030-01-06T02:59:59", "2029-12-30T03:00", "2030-01-06T03:00"),
        ("@daily", "2030-01-06T12:00:00", "2030-01-06T00:00", "2030-01-07T00:00"),
        ("@quarterly", "2030-02-01T00:00:00", "2030-01-01T00:00", "2030-04-01T00:00"),
    ],
)
def test_the_times_of_a_cron_expression(expression: str, now: str, last: str, following: str) -> None:
    moment = datetime.fromisoformat(f"{now}+00:00")
    assert last_due(expression, moment) == datetime.fromisoformat(f"{last}+00:00")
    assert next_due(expression, moment) == datetime.fromisoformat(f"{following}+00:00")
