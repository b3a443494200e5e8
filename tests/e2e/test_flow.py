"""The whole job through a real Airflow: a CSV becomes a champion at the endpoint, and drift becomes a new training."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from slipstream.store import Store

if TYPE_CHECKING:
    from demo.airflow_client.client import DagRun

    from .conftest import Stack

pytestmark = pytest.mark.e2e

MODEL: dict[str, Any] = {
    "name": "tiny",
    "task": "binary",
    "target": "large",
    "inputs": ["a", "b", "kind"],
    "data": {"source": {"type": "files", "path": "data/*.csv"}, "time": "day", "key": ["id"]},
    "train": {
        "trainer": {"type": "sklearn", "estimator": "sklearn.linear_model.LogisticRegression"},
        "holdout": 0.3,
        "min_rows": 50,
    },
    "evaluate": {"metric": "roc_auc", "bootstrap": 20},
    "gates": [{"type": "metric", "bound": 0.7}],
    "approval": {"mode": "manual"},
    "deploy": {"rollout": {"steps": [], "bake": "1s"}},
    "monitor": {"min_rows": 50, "evidently": False},
    "schedule": {"monitor": ["data"]},
}


def write_batch(folder: Path, month: int, shift: float) -> None:
    """400 rows of one month of 2026, with the inputs moved by *shift*."""
    draw = random.Random(month)
    lines = ["id,day,a,b,kind,large"]
    for number in range(400):
        a, b = draw.gauss(shift, 1), draw.gauss(shift, 1)
        large = "true" if a + b + draw.gauss(0, 0.5) > 2 * shift else "false"
        lines.append(
            f"{month}-{number},2026-{month:02d}-{1 + number // 15:02d},{a:.4f},{b:.4f},{draw.choice('xyz')},{large}"
        )
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / f"{month:02d}.csv").write_text("\n".join(lines) + "\n")


def asked(stack: Stack, run_id: str) -> dict[str, Any]:
    """The question of the train run to a person."""
    end = time.monotonic() + 120
    while not (found := stack.airflow.questions("tiny__train", run_id)):
        run = stack.airflow.run("tiny__train", run_id)
        assert run.state in {"queued", "running"}, stack.airflow.why_failed(run)
        assert time.monotonic() < end, run
        time.sleep(0.5)
    # People take longer: Airflow must first see that the asking process has ended, else it runs the task again.
    time.sleep(3)
    return found[0]


def answered(stack: Stack, run_id: str) -> DagRun:
    """The ended train run, after its question to a person has been answered with yes."""
    asked(stack, run_id)
    stack.airflow.answer("tiny__train", run_id, "approve", ["Approve"], {"comment": "ship it"})
    run = stack.airflow.wait("tiny__train", run_id, seconds=120)
    assert run.ended_well, stack.airflow.why_failed(run)
    return run


def started_by_asset(stack: Stack, dag: str) -> str:
    """Id of the run of *dag* that an asset event has started."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = [run.id for run in stack.airflow.runs(dag) if run.id.startswith("asset_triggered")]
        if found:
            return found[0]
        time.sleep(0.5)
    raise AssertionError(f"nothing has started {dag}")


def test_from_a_csv_to_a_champion_and_through_drift_to_the_next(stack: Stack) -> None:
    folder = stack.layout.models / "tiny"
    folder.mkdir()
    write_batch(folder, 1, 0.0)
    (folder / "model.yaml").write_text(json.dumps(MODEL))
    airflow, store = stack.airflow, Store.open(stack.layout.store)
    for verb in ("ingest", "train"):
        airflow.unpause(f"tiny__{verb}", seconds=90)

    def ingested() -> None:
        run = airflow.wait("tiny__ingest", airflow.trigger("tiny__ingest"), seconds=120)
        assert run.ended_well, airflow.why_failed(run)

    ingested()
    answered(stack, airflow.trigger("tiny__train", {"reason": "a first champion"}))
    rows = {"rows": [{"a": 2.0, "b": 2.0, "kind": "x"}, {"a": -2.0, "b": -2.0, "kind": "y"}]}
    reply = httpx.post(f"{stack.endpoint_url}/models/tiny/predict", json=rows, trust_env=False, timeout=10)
    assert reply.status_code == 200, reply.text
    assert reply.json()["version"] == 1
    assert reply.json()["predictions"] == [True, False]
    (decision,) = store.ledger.read(model="tiny", kind="approval.decided")
    assert (decision.actor, decision.data["approved"], decision.data["comment"]) == (stack.user, True, "ship it")

    airflow.unpause("tiny__monitor")
    write_batch(folder, 2, 3.0)
    ingested()
    watched = airflow.wait("tiny__monitor", started_by_asset(stack, "tiny__monitor"), seconds=120)
    assert watched.ended_well, airflow.why_failed(watched)
    run = answered(stack, started_by_asset(stack, "tiny__train"))
    assert [task.state for task in run.tasks] == ["success"] * 7
    # Asked for only now: Airflow answers 500 as long as a run that the event started is queued.
    (event,) = airflow.asset_events("slipstream://tiny/retrain")
    assert "drifted" in event["extra"]["reason"]
    again = httpx.post(f"{stack.endpoint_url}/models/tiny/predict", json=rows, trust_env=False, timeout=10)
    assert again.json()["version"] == store.ledger.state().model("tiny").champion == 2


def test_nobody_approves_what_they_asked_for(stack: Stack) -> None:
    folder, store = stack.layout.models / "tiny", Store.open(stack.layout.store)
    (folder / "model.yaml").write_text(json.dumps(MODEL | {"approval": {"mode": "manual", "four_eyes": True}}))
    before = store.ledger.state().model("tiny").champion
    run_id = stack.airflow.trigger("tiny__train", {"reason": "once more, please"})
    question = asked(stack, run_id)
    assert "once more, please" in question["body"]
    assert "roc" in question["body"]
    stack.airflow.answer("tiny__train", run_id, "approve", ["Approve"], {"comment": "by myself"})
    run = stack.airflow.wait("tiny__train", run_id, seconds=120)
    assert {task.name: task.state for task in run.tasks}["approve"] == "failed"
    assert "approval_four_eyes" in stack.airflow.why_failed(run)
    decision = store.ledger.read(model="tiny", kind="approval.decided")[-1]
    assert (decision.data["approved"], decision.data["comment"]) == (False, "by myself")
    assert "four eyes" in decision.data["reason"]
    assert store.ledger.state().model("tiny").champion == before


def test_the_pages_answer_inside_airflow(stack: Stack) -> None:
    page = f"{stack.api_url}/slipstream/"
    assert httpx.get(page, trust_env=False, timeout=30).status_code == 401
    login = {"username": stack.user, "password": stack.password}
    token = httpx.post(f"{stack.api_url}/auth/token", json=login, trust_env=False, timeout=30).json()["access_token"]
    answer = httpx.get(page, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=30)
    assert answer.status_code == 200
    assert "flights" in answer.text
    views = stack.airflow.get("/plugins", limit=100)["plugins"]
    ours = next(plugin for plugin in views if plugin["name"] == "slipstream")
    assert [view["destination"] for view in ours["external_views"]] == ["nav", "dag"]
