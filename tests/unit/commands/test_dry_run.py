"""What a policy would have done, on measurements that the monitor really made; and what `plan` says of today."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from slipstream.cli.main import app
from slipstream.commands.dry_run import dry_run
from slipstream.commands.plan import plan
from slipstream.errors import SpecError
from slipstream.spec.model import ModelSpec
from slipstream.stages.decide import decide
from slipstream.stages.deploy import deploy
from slipstream.stages.monitor import monitor
from slipstream.stages.train import train
from slipstream.store import Store

MONITOR: dict[str, Any] = {"min_rows": 100, "evidently": False, "window": "300h", "quality": {"max_loss": 0.5}}


@pytest.fixture
def past(make_spec: Any, store: Store, release: Any, committed: Any, make_rows: Any) -> Callable[..., ModelSpec]:
    """``past(0.0, 0.5, 2.0)``: a model that was watched through windows whose distances had moved so much."""

    def make(*moves: float, **overrides: Any) -> ModelSpec:
        spec: ModelSpec = make_spec(
            **{"monitor": MONITOR, "deploy": {"target": {"type": "local"}}, "retrain": {"cooldown": None}} | overrides
        )
        deploy(spec, store, release(spec).version, endpoint="")
        for number, move in enumerate(moves):
            distance = np.random.default_rng(number).normal(move, 1, 400)
            committed(spec, make_rows(400, seed=number, first=5000 + 1000 * number, distance=distance))
            monitor(spec, store)
            if decide(spec, store).action == "retrain":
                train(spec, store, store.ledger.state().model("small").dataset or "")
        return spec

    return make


DRIFT = {**MONITOR, "drift": {"columns": ["distance"], "threshold": 0.5}}


def test_another_threshold_asks_more_often(past: Any, store: Store) -> None:
    spec = past(0.0, 0.5, 2.0, 0.5, monitor=DRIFT)
    before = len(store.ledger.read())
    same = dry_run(spec, store, {})
    assert (
        [one.action for one in same.windows]
        == [one.then for one in same.windows]
        == ["skip", "skip", "retrain", "skip"]
    )
    assert [one.reason for one in same.windows] == [one.then_reason for one in same.windows]
    assert same.sentence.startswith(
        "With the model file as it is: 1 request instead of 1 in 4 windows, the first on 20"
    )
    lower = dry_run(spec, store, {"monitor.drift.threshold": "0.1"})
    assert [one.action for one in lower.windows] == ["skip", "retrain", "retrain", "retrain"]
    assert (lower.requests, lower.requests_then) == (3, 1)
    assert lower.sentence.startswith(
        "With monitor.drift.threshold 0.1: 3 requests instead of 1 in 4 windows, the first"
    )
    assert "> 0.1" in lower.windows[1].reason
    assert dry_run(spec, store, {"monitor.drift.threshold": "50"}).requests == 0
    assert len(store.ledger.read()) == before


def test_judging_again_by_the_same_rules_says_the_same(past: Any, store: Store) -> None:
    spec = past(0.0, 3.0, monitor=MONITOR | {"drift": {"signals": ["inputs", "prediction", "missing", "unknown"]}})
    told = [event.data["verdict"] for event in store.ledger.read(kind="drift.measured")]
    assert [one.verdict for one in dry_run(spec, store, {}).windows] == told


def test_the_rest_of_the_policy_can_be_tried(past: Any, store: Store) -> None:
    spec = past(2.0, 2.0, 2.0, monitor=DRIFT)
    lasting = dry_run(spec, store, {"retrain.windows": "2"})
    assert [one.why for one in lasting.windows] == ["windows", "asked", "asked"]
    assert lasting.sentence.endswith("; 1 skipped because it had not lasted.")
    cooled = dry_run(spec, store, {"retrain.cooldown": "1d"})
    assert [one.why for one in cooled.windows] == ["asked", "cooldown", "cooldown"]
    assert cooled.sentence.endswith("; 2 skipped by the cooldown.")
    rows = dry_run(spec, store, {"retrain.drift": "false", "retrain.rows": "400"})
    assert {one.reason[:8] for one in rows.windows} == {"400 rows"}


def test_another_loss_can_be_tried(past: Any, store: Store, committed: Any, make_rows: Any) -> None:
    spec = past()
    committed(spec, make_rows(400, seed=1, first=5000, late=np.arange(400) % 2 == 0))
    monitor(spec, store)
    strict = dry_run(spec, store, {"monitor.quality.max_loss": "0.05"})
    assert [(one.action, one.then) for one in strict.windows] == [("retrain", "")]
    assert "roc_auc fell from 0." in strict.windows[0].reason
    assert dry_run(spec, store, {}).requests == 0


@pytest.mark.parametrize(
    ("key", "value", "code", "text"),
    [
        ("retrain.widows", "2", "spec_key_unknown", "did you mean 'windows'"),
        ("retrain.windows", "none", "spec_invalid", "retrain.windows"),
        ("monitor.drift.share", "7", "spec_invalid", "monitor.drift.share"),
        ("monitor.window", "1d", "dry_run_key", "rows would have to be measured again"),
        ("monitor.drift.numeric", "ks", "dry_run_key", "What can: retrain, "),
        ("name", "other", "dry_run_key", "cannot be tried on the past"),
    ],
)
def test_what_cannot_be_tried_is_told(make_spec: Any, store: Store, key: str, value: str, code: str, text: str) -> None:
    with pytest.raises(SpecError, match=text) as caught:
        dry_run(make_spec(), store, {key: value})
    assert caught.value.code == code


def test_without_a_past(make_spec: Any, store: Store) -> None:
    found = dry_run(make_spec(), store, {})
    assert found.sentence == "With the model file as it is: 0 requests instead of 0 in 0 windows."


def test_the_plan_says_when_each_trigger_fires(past: Any, make_spec: Any, store: Store) -> None:
    policy = {"windows": 2, "rows": 50_000, "cron": "0 3 * * 0", "cooldown": "1h"}
    past(2.0, monitor=DRIFT, retrain=policy)
    spec = make_spec(
        monitor=DRIFT,
        retrain=policy,
        deploy={"target": {"type": "local"}},
        approval={"mode": "manual", "four_eyes": True},
    )
    trained = datetime.fromisoformat(store.ledger.state().model("small").latest["train"].time)
    told = dict(plan(spec, store, now=trained).loop)
    assert told["drift"].startswith("when 30 % of 1 inputs drift or ")
    assert ", in 2 windows in a row (so far 1); now 1 of 1 inputs drifted" in told["drift"]
    assert told["quality"] == "when roc_auc is more than 0.5 worse than at training, in 2 windows in a row (so far 0)"
    assert told["rows"] == "400 of 50,000 new rows"
    sunday = trained + timedelta(days=(6 - trained.weekday()) % 7)
    assert told["cron"].startswith(f"0 3 * * 0: next {sunday:%Y-%m-%d} 03:00 UTC") or trained.weekday() == 6
    assert told["cooldown"] == "1h between two requests: free"
    assert told["now"].endswith("but only 1 of the 2 windows that retrain.windows asks for.")
    assert told["approval"] == "a person decides within 3d, not the one who asked for the training; no answer is a no"
    assert told["rollout"] == "at once: the target is local"
    starts = {dag.id: dag.starts for dag in plan(spec, store).dags}
    assert starts["small__monitor"] == "each new dataset version or cron 0 3 * * 0"


def test_the_plan_of_a_rollout(make_spec: Any, store: Store) -> None:
    told = dict(plan(make_spec(), store, now=datetime(2030, 1, 1, tzinfo=UTC)).loop)
    assert told["rollout"] == (
        "10 % of the keys -> 50 % of the keys -> everything, 1m each; taken back on errors 0.01, latency 3, missing 0.1"
    )
    assert told["quality"] == "never: monitor.quality is not set"


def test_from_the_command_line(past: Any, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = past(2.0, monitor=DRIFT)
    monkeypatch.setenv("SLIPSTREAM_STORE", store.url)
    monkeypatch.setenv("SLIPSTREAM_MODELS", str(Path(spec.folder).parent))
    run = CliRunner()
    decided = run.invoke(app, ["decide", "small", "--json"])
    assert json.loads(decided.stdout)["why"] == "trained"
    text = run.invoke(app, ["dry-run", "small", "--set", "retrain.windows=2", "--set", "retrain.cooldown=1d"])
    assert "With retrain.windows 2, retrain.cooldown 1d: 0 requests instead of 1 in 1 window" in text.stdout
    found = json.loads(run.invoke(app, ["dry-run", "small", "--json"]).stdout)
    assert (found["requests"], len(found["windows"])) == (1, 1)
    assert "1h between" not in run.invoke(app, ["plan", "small"]).stdout
