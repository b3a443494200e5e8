"""The operators, each alone and in their DAGs, with real stages on small data."""

from __future__ import annotations

import json
import re
import sqlite3
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.sdk.execution_time.context import OutletEventAccessors
from typer.testing import CliRunner

from slipstream.cli.main import app
from slipstream.errors import Conflict, SourceError, StageError, StoreError, Superseded
from slipstream.rollout.approval import TIMEOUT, ApprovalAnswer, ApprovalQuestion, require_approval
from slipstream.settings import Settings
from slipstream.spec.loader import load_spec
from slipstream.stages.approve import approve, request
from slipstream.store import Store
from slipstream_airflow.assets import data_asset
from slipstream_airflow.notifiers import ALERT
from slipstream_airflow.operators import (
    DeployOperator,
    EvaluateOperator,
    IngestOperator,
    RebuildOperator,
    RollbackOperator,
    ScoreOperator,
    TrainOperator,
    ValidateOperator,
)

from .conftest import Project, write_rows


def context(user: str = "") -> Any:
    run = SimpleNamespace(dag_id="by_hand", run_id="run-1", triggering_user_name=user or None)
    return {"dag_run": run, "outlet_events": OutletEventAccessors()}


def store() -> Store:
    return Store.open(Settings.from_environment().store)


def test_operators_pass_ids_and_take_the_newest_by_default(project: Project) -> None:
    project()
    batch = IngestOperator(task_id="i", model="tiny").execute(context("ada"))
    told = context()
    checked = ValidateOperator(task_id="v", model="tiny", batch=batch).execute(told)
    assert told["outlet_events"][data_asset("tiny")].extra == {
        "dataset": checked["dataset"],
        "rows": 400,
        "good": 400,
        "quarantined": 0,
    }
    newest = TrainOperator(task_id="t", model="tiny").execute(context())
    given = TrainOperator(task_id="t", model="tiny", dataset=checked["dataset"]).execute(context())
    assert given == newest | {"reused": True}
    scores = EvaluateOperator(task_id="e", model="tiny", candidate=newest).execute(context())["scores"]
    assert scores["roc_auc"] > 0.8
    actors = [event.actor for event in store().ledger.read(model="tiny")]
    assert actors[0] == "ada"
    assert set(actors[1:]) == {"airflow:by_hand/run-1"}


def test_nothing_new_is_a_skip_with_its_reason(project: Project) -> None:
    project()
    IngestOperator(task_id="i", model="tiny").execute(context())
    ValidateOperator(task_id="v", model="tiny").execute(context())
    with pytest.raises(AirflowSkipException, match="source of tiny has nothing new"):
        IngestOperator(task_id="i", model="tiny").execute(context())


def test_after_a_refused_batch_the_newest_good_rows_are_trained_on(project: Project) -> None:
    folder = project(contract={"expectations": [{"type": "expect_column_values_to_not_be_null", "column": "a"}]})
    IngestOperator(task_id="i", model="tiny").execute(context())
    good = ValidateOperator(task_id="v", model="tiny").execute(context())["dataset"]
    (folder / "data" / "second.csv").write_text(
        "id,day,a,b,kind,large\n9000,2026-02-01,,0.5,x,true\n9001,2026-02-01,1,0,x,true\n"
    )
    IngestOperator(task_id="i", model="tiny").execute(context())
    with pytest.raises(AirflowFailException, match=r"^\[contract_failed\]"):
        ValidateOperator(task_id="v", model="tiny").execute(context())
    trained = TrainOperator(task_id="t", model="tiny").execute(context())
    assert trained["dataset"] == good
    told = CliRunner().invoke(app, ["train", "tiny", "--json"])
    assert json.loads(told.stdout) == trained | {"reused": True}


def edit(folder: Path) -> None:
    """Let the model file read what was delivered otherwise."""
    model = json.loads((folder / "model.yaml").read_text())
    model["data"]["missing"] = ["-"]
    (folder / "model.yaml").write_text(json.dumps(model))


def test_a_rebuilt_dataset_version_is_the_newest(project: Project) -> None:
    folder = project()
    IngestOperator(task_id="i", model="tiny").execute(context())
    ValidateOperator(task_id="v", model="tiny").execute(context())
    edit(folder)
    with pytest.raises(AirflowFailException, match=r"^\[rebuild_needed\].*the form of the ingest DAG"):
        TrainOperator(task_id="t", model="tiny").execute(context())
    rebuilt = RebuildOperator(task_id="r", model="tiny").execute(context())["dataset"]
    assert TrainOperator(task_id="t", model="tiny").execute(context())["dataset"] == rebuilt


def test_a_rebuild_tells_of_its_dataset_version(project: Project) -> None:
    folder = project()
    IngestOperator(task_id="i", model="tiny").execute(context())
    ValidateOperator(task_id="v", model="tiny").execute(context())
    with pytest.raises(AirflowSkipException, match="up to date"):
        RebuildOperator(task_id="r", model="tiny").execute(context())
    edit(folder)
    told = context()
    done = RebuildOperator(task_id="r", model="tiny").execute(told)
    assert (done["batches"], done["rows"]) == (1, 400)
    assert told["outlet_events"][data_asset("tiny")].extra["dataset"] == done["dataset"]


@pytest.mark.parametrize(
    ("operator", "code"),
    [
        (IngestOperator(task_id="i", model="tinny"), "spec_not_found"),
        (ValidateOperator(task_id="v", model="tiny"), "run_not_found"),
        (TrainOperator(task_id="t", model="tiny", dataset="0" * 64), "not_found"),
    ],
)
def test_what_stays_wrong_fails_without_retries(project: Project, operator: Any, code: str) -> None:
    project()
    with pytest.raises(AirflowFailException, match=rf"^\[\w*{code}\]"):
        operator.execute(context())


def test_a_deployment_that_another_took_over_is_not_tried_again(project: Project) -> None:
    project()
    operator, lost = DeployOperator(task_id="d", model="tiny"), Superseded("tiny: another deployment is in flight.")
    with pytest.raises(AirflowFailException, match=r"^\[deployment_in_flight\]"), operator.job(context()):
        raise lost
    with pytest.raises(Conflict), operator.job(context()):  # of another version: it may be over by then
        raise Conflict("tiny: version 2 is being rolled out.", code="deployment_in_flight")


def test_what_may_heal_is_tried_again(project: Project, tmp_path: Path) -> None:
    project()
    (tmp_path / "file").write_text("in the way")
    operator = IngestOperator(task_id="i", model="tiny", store=(tmp_path / "file" / "store").as_uri())
    with pytest.raises((StoreError, OSError)):
        operator.execute(context())


def test_a_connection_can_name_the_store(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project()
    url = (tmp_path / "elsewhere").as_uri()
    monkeypatch.setenv("AIRFLOW_CONN_MY_STORE", f'{{"conn_type": "aws", "extra": {{"url": "{url}"}}}}')
    IngestOperator(task_id="i", model="tiny", store="my_store").execute(context())
    assert [event.kind for event in Store.open(url).ledger.read()] == ["run.finished"]


def _champion(folder: Path) -> None:
    """The stages up to a deployment, without Airflow."""
    from slipstream.stages import deploy

    deploy.deploy(load_spec(folder), store(), _packaged(folder), endpoint=Settings.from_environment().endpoint)


def _packaged(folder: Path) -> int:
    """The stages up to the gates, without Airflow; returns the version."""
    from slipstream.stages import evaluate, explain, gate, ingest, package, train, validate

    spec, to, settings = load_spec(folder), store(), Settings.from_environment()
    batch = ingest.ingest(spec, to).batch
    candidate = train.train(spec, to, validate.validate(spec, to, batch).dataset).run
    runs = evaluate.evaluate(spec, to, candidate).run, explain.explain(spec, to, candidate).run
    version = package.package(spec, to, candidate, *runs, keys=settings.keys, bentos=settings.bentos).version
    gate.gate(spec, to, version)
    return version


def _run(dag_file: Path, dag_id: str) -> dict[str, str]:
    """Task -> state after one run of the DAG in this process, as `airflow dags test` runs it."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db

    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(dag_file, bundle_path=dag_file.parent, bundle_name="dags-folder")
    sync_bag_to_db(bag, "dags-folder", None)
    run = bag.dags[dag_id].test()
    return {task.task_id: str(task.state) for task in run.get_task_instances()}


def test_the_generated_dags_run_from_batch_to_champion(database: None, project: Project) -> None:
    project()
    models = Path(__file__).parents[2] / "dags" / "models.py"
    assert _run(models, "tiny__ingest") == {"rebuild": "skipped", "ingest": "success", "validate": "success"}
    states = _run(models, "tiny__train")
    assert set(states) == {"train", "evaluate", "explain", "package", "gate", "deploy"}
    assert set(states.values()) == {"success"}
    assert store().ledger.state().model("tiny").champion == 1
    scored = ScoreOperator(task_id="s", model="tiny").execute(context())
    assert (scored["version"], scored["rows"], scored["errors"], scored["reused"]) == (1, 400, 0, False)
    again = ScoreOperator(task_id="s", model="tiny", version="1").execute(context())
    assert again == scored | {"reused": True}
    assert _run(models, "tiny__ingest") == {"rebuild": "skipped", "ingest": "skipped", "validate": "skipped"}


def test_the_page_about_batch_scoring_has_a_dag() -> None:
    page = (Path(__file__).parents[2] / "docs/score.md").read_text()
    block = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert block is not None
    names: dict[str, Any] = {}
    exec(compile(block[1].replace(":\n    Score", " as dag:\n    Score"), "nightly.py", "exec"), names)
    assert [type(task) for task in names["dag"].tasks] == [ScoreOperator]


def test_a_gates_refusal_skips_the_deployment_and_fails_nothing(database: None, project: Project) -> None:
    project(gates=[{"type": "metric", "bound": 0.9999}])
    models = Path(__file__).parents[2] / "dags" / "models.py"
    _run(models, "tiny__ingest")
    states = _run(models, "tiny__train")
    assert (states["gate"], states["deploy"]) == ("success", "skipped")
    assert store().ledger.state().model("tiny").champion is None


def test_decisions_are_read_from_the_ledger(project: Project) -> None:
    folder = project(approval={"mode": "manual"})
    spec, to = load_spec(folder), store()
    with pytest.raises(StageError, match="has no version 1"):
        approve(spec, to, 1)
    to.ledger.append("version.registered", "tiny", {"stage": "package", "run": "package-1", "result": {}}, key="k")
    request(spec, to, 1, ApprovalQuestion("question"))
    request(spec, to, 1, ApprovalQuestion("question"))
    for refuse in (approve, require_approval):
        with pytest.raises(StageError) as caught:
            refuse(spec, to, 1)  # type: ignore[operator]
        assert caught.value.code == "approval_missing"
    approve(spec, to, 1, ApprovalAnswer(False, TIMEOUT, "", "question 1"))
    with pytest.raises(StageError) as caught:
        require_approval(spec, to, 1)
    assert caught.value.code == "approval_refused"
    for _ in range(2):
        assert approve(spec, to, 1, ApprovalAnswer(True, "grace", "ship it", "question 2")).approved
    require_approval(spec, to, 1)
    decided = to.ledger.read(kind="approval.decided")
    assert [(event.actor, event.data["approved"]) for event in decided] == [(TIMEOUT, False), ("grace", True)]
    assert len(to.ledger.read(kind="approval.requested")) == 1


def test_operators_take_templates(project: Project) -> None:
    with DAG("by_hand", schedule=None) as dag:
        batch = IngestOperator(task_id="i", model="{{ var }}")
        ValidateOperator(task_id="v", model="tiny", batch=batch.output)
    assert dag.get_task("i").downstream_task_ids == {"v"}
    batch.render_template_fields({"var": "tiny"})
    assert batch.model == "tiny"


def test_a_rollback_goes_back_once_however_often_its_task_runs(project: Project) -> None:
    folder = project()
    _champion(folder)
    write_rows(folder, "second", shift=0.5)
    assert DeployOperator(task_id="d", model="tiny", version=_packaged(folder)).execute(context())["version"] == 2
    for reused in (False, True):
        back = RollbackOperator(task_id="r", model="tiny", reason="It is worse.").execute(context("ada"))
        assert (back["version"], back["left"], back["reused"]) == (1, 2, reused)
    last = store().ledger.read(kind="deployment.finished")[-1]
    assert (last.actor, last.data["reason"], last.data["left"]) == ("ada", "It is worse.", 2)


def test_a_webhook_gets_the_sentence_and_one_that_is_away_harms_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[tuple[str | None, bytes]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.headers["Authorization"], body))
            self.send_response(200)
            self.end_headers()

    ti = SimpleNamespace(dag_id="tiny__train", task_id="train", run_id="run-1")
    failed: Any = {"ti": ti, "exception": ValueError("{{ 1 + 1 }}")}
    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        Thread(target=server.handle_request, daemon=True).start()
        monkeypatch.setenv("AIRFLOW_CONN_CHAT", f"http://:secret@127.0.0.1:{server.server_port}/hook")
        ALERT.build({"type": "webhook", "connection": "chat"})(failed)
    text = "tiny__train: task train of run run-1 failed: {{ 1 + 1 }}"
    assert got == [("Bearer secret", json.dumps({"text": text}, separators=(",", ":")).encode())]
    ALERT.build({"type": "webhook", "connection": "chat"})(failed)
    ALERT.build({"type": "log"})(failed)


class TestApproval:
    def asking(self, project: Project, **approval: Any) -> tuple[Any, Store]:
        """The approve operator of a model whose version 1 waits for a decision."""
        from slipstream_airflow.operators import ApproveOperator

        folder = project(
            name="asked",
            approval={"mode": "manual", **approval},
            gates=[{"type": "metric", "bound": 0.7}],
            evaluate={"metric": "roc_auc", "bootstrap": 20, "slices": ["kind"], "sensitive": ["kind"], "min_slice": 20},
            description="Is the *sum* large?\n# no heading",
        )
        _packaged(folder)
        return ApproveOperator(task_id="approve", model="asked"), store()

    def test_the_body_holds_the_evidence_and_nothing_of_it_is_markup(self, project: Project) -> None:
        from slipstream_airflow.operators.approve import _body

        operator, to = self.asking(project)
        with operator.job(context("ada")) as job:
            body = _body(job, 1, ApprovalQuestion("q", "ada", "[click](http://evil)"))
        assert "- Is the \\*sum\\* large? \\# no heading" in body
        assert "- Asked for because: \\[click\\]\\(http://evil\\)" in body
        assert "- Asked for by ada." in body
        for title in ("Why", "Scores on 128 held-out rows", "Gates", "Fairness"):
            assert f"\n**{title}**\n" in body
        assert "- passed: metric: roc\\_auc is " in body
        (version,) = to.ledger.state().model("asked").versions.values()
        card = version.data["result"]["card"]
        assert f"[card](/slipstream/reports/{card})" in body
        assert body.endswith("[all of asked](/slipstream/models/asked)")

    def test_who_started_the_run_cannot_approve_it(self, project: Project) -> None:
        operator, to = self.asking(project, four_eyes=True)
        spec = load_spec(Settings.from_environment().models / "asked")
        started = self.started("ada")
        request(spec, to, 1, ApprovalQuestion(operator._asked(started, 1), "ada"), actor="ada")
        with pytest.raises(AirflowFailException, match=r"^\[approval_four_eyes\] asked/1: requested and approved by"):
            operator.execute_complete(started, self.answered("Approve", "ada", 1))
        with pytest.raises(StageError) as caught:
            require_approval(spec, to, 1)
        assert caught.value.code == "approval_refused"
        said = operator.execute_complete(started, self.answered("Approve", "grace", 2))
        assert said["chosen_options"] == ["Approve"]
        require_approval(spec, to, 1)
        decisions = to.ledger.read(model="asked", kind="approval.decided")
        assert [(one.actor, one.data["approved"], one.data["comment"]) for one in decisions] == [
            ("ada", False, "ship it"),
            ("grace", True, "ship it"),
        ]

    @pytest.mark.parametrize("how", ["timed out", "timed out with defaults"])
    def test_a_timeout_never_means_yes(self, how: str, project: Project) -> None:
        operator, to = self.asking(project)
        spec = load_spec(Settings.from_environment().models / "asked")
        event = self.answered("Approve", "", 1) | {"timedout": True, "responded_by_user": None}
        if how == "timed out":
            event = {"error": "no answer", "error_type": "timeout"}
        operator.execute_complete(self.started("ada"), event)
        (decision,) = to.ledger.read(model="asked", kind="approval.decided")
        assert (decision.actor, decision.data["approved"]) == (TIMEOUT, False)
        assert decision.data["reason"] == "Nobody decided on version 1 within 3d, which counts as a no."
        with pytest.raises(StageError):
            require_approval(spec, to, 1)

    def test_a_yes_beside_a_no_is_no_yes(self, project: Project) -> None:
        operator, to = self.asking(project)
        event = self.answered("Approve", "grace", 1) | {"chosen_options": ["Approve", "Reject"]}
        operator.execute_complete(self.started("ada"), event)
        (decision,) = to.ledger.read(model="asked", kind="approval.decided")
        assert (decision.actor, decision.data["approved"]) == ("grace", False)

    def started(self, user: str) -> Any:
        ti = SimpleNamespace(dag_id="asked__train", run_id="run-1", task_id="approve", xcom_push=lambda **_: None)
        return context(user) | {"ti": ti, "task_instance": ti}

    def answered(self, chosen: str, user: str, minute: int) -> dict[str, Any]:
        return {
            "chosen_options": [chosen],
            "params_input": {"comment": "ship it"},
            "responded_at": datetime(2026, 1, 1, 12, minute, tzinfo=UTC),
            "responded_by_user": {"id": user, "name": user},
        }


def test_the_train_dag_replays_where_a_gate_asks_for_it(database: None, project: Project) -> None:
    project(gates=[{"type": "replay", "bound": 0.5}])
    models = Path(__file__).parents[2] / "dags" / "models.py"
    _run(models, "tiny__ingest")
    states = _run(models, "tiny__train")
    assert states.keys() == {"train", "evaluate", "explain", "package", "replay", "gate", "deploy"}
    assert set(states.values()) == {"success"}
    told = [event.data["reason"] for event in store().ledger.read(model="tiny") if event.data.get("stage") == "gate"]
    assert told == ["Version 1 passed its only gate."]
    (replayed,) = (event for event in store().ledger.read(model="tiny") if event.data.get("stage") == "replay")
    assert replayed.data["result"]["sentence"] == "Nothing was replayed: there is no champion yet."
    (policy,) = store().ledger.read(model="tiny", kind="approval.decided")
    assert (policy.actor, policy.data["approved"]) == ("policy:auto", True)


def test_a_database_is_read_through_an_airflow_connection(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = {"type": "sql", "connection": "shop", "table": "orders", "watermark": "id"}
    project(data={"source": source, "key": ["id"]})
    with sqlite3.connect(tmp_path / "shop.db") as shop:
        shop.execute("CREATE TABLE orders (id INTEGER, a REAL, b REAL, kind TEXT, large BOOLEAN)")
        shop.executemany("INSERT INTO orders VALUES (?, 0.5, 0.25, 'x', 1)", [(number,) for number in range(30)])
    with pytest.raises(SourceError, match="AIRFLOW_CONN_SHOP"):
        IngestOperator(task_id="i", model="tiny").execute(context())
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "shop.db")}))
    assert IngestOperator(task_id="i", model="tiny").execute(context())["rows"] == 30
