"""The pages: nobody sees them without a login, and what comes from data stays text."""

from __future__ import annotations

import asyncio
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from airflow.sdk.execution_time.context import OutletEventAccessors

from slipstream.settings import Settings
from slipstream.spec.loader import load_spec
from slipstream.store import Store

from .conftest import Project
from .test_operators import _run as run_dag

if TYPE_CHECKING:
    from fastapi import FastAPI

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def app(database: None, project: Project) -> FastAPI:
    # Here, not above: importing Airflow's web app warns of its own libraries.
    from airflow.api_fastapi.app import create_auth_manager

    from slipstream_airflow.ui.app import create_app

    create_auth_manager()
    project(description=EVIL)
    return create_app(Settings.from_environment())


@dataclass(frozen=True)
class Browser:
    """Asks the app as one user."""

    app: FastAPI
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, path: str) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://here", headers=self.headers) as session:
                return await session.get(path)

        return asyncio.run(ask())


def client(app: FastAPI, role: str = "admin", **headers: str) -> Browser:
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="ada", role=role))
    return Browser(app, {"Authorization": f"Bearer {token}", **headers})


def committed_report(html: bytes, name: str) -> str:
    store = Store.open(Settings.from_environment().store)
    digest = store.objects.put(html)
    result: dict[str, Any] = {"run": "monitor-1", "report": "", "drifted": False, name: digest}
    store.ledger.append("drift.measured", "tiny", {"stage": "monitor", "run": "monitor-1", "result": result})
    return digest


def test_every_route_wants_a_login(app: FastAPI) -> None:
    paths = [route.path for route in app.routes]  # type: ignore[attr-defined]
    assert sorted(paths) == ["/", "/dags/{dag_id}", "/models/{model}", "/reports/{digest}", "/reports/{digest}/content"]
    nobody = Browser(app)
    for path in paths:
        answer = nobody.get(path.replace("{", "").replace("}", ""))
        assert answer.status_code == 401
        assert "tiny" not in answer.text
    for path in ("/docs", "/openapi.json", "/redoc", "/static/x"):
        assert nobody.get(path).status_code == 404


@pytest.mark.parametrize("role", ["admin", "viewer"])
def test_pages_show_models_with_strict_headers(app: FastAPI, role: str) -> None:
    for path in ("/", "/models/tiny", "/dags/tiny__train"):
        answer = client(app, role).get(path)
        assert answer.status_code == 200
        assert "tiny" in answer.text
        assert EVIL not in answer.text
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "script" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "no model project" in client(app, role).get("/dags/something_else").text


def test_reports_are_served_in_a_sandbox(app: FastAPI) -> None:
    ours, theirs = committed_report(b"<p>ours</p>", "report"), committed_report(b"<script>1</script>", "evidently")
    page = client(app).get(f"/reports/{ours}")
    assert 'sandbox=""' in page.text
    content = client(app).get(f"/reports/{ours}/content")
    assert content.text == "<p>ours</p>"
    assert content.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert 'sandbox="allow-scripts"' in client(app).get(f"/reports/{theirs}").text
    for place in ({}, {"sec-fetch-dest": "document"}, {"sec-fetch-dest": "empty"}):
        alone = client(app, **place).get(f"/reports/{theirs}/content")
        assert alone.status_code == 403, "alone it could go elsewhere with what it says"
        assert "<script>1</script>" not in alone.text
        assert "in the frame of its page only" in alone.text
    framed = client(app, **{"sec-fetch-dest": "iframe"}).get(f"/reports/{theirs}/content")
    assert framed.text == "<script>1</script>"
    policy = framed.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-scripts; default-src 'none'")
    assert "allow-same-origin" not in policy
    assert "connect-src 'none'" in policy


def test_only_what_the_ledger_calls_a_report_is_served(app: FastAPI) -> None:
    secret = Store.open(Settings.from_environment().store).objects.put(b"no report")
    for digest in (secret, "0" * 64, "..%2f..%2fkeys", Path(__file__).name):
        assert client(app).get(f"/reports/{digest}/content").status_code == 404
    assert client(app).get("/models/nothing").status_code == 404


def test_names_of_columns_stay_text_on_every_page(app: FastAPI, tmp_path: Path) -> None:
    from slipstream.errors import DataError
    from slipstream.stages.ingest import ingest
    from slipstream.stages.validate import validate

    spec = load_spec(tmp_path / "models" / "tiny")
    store = Store.open(Settings.from_environment().store)
    named = spec.model_copy(update={"inputs": (*spec.inputs, EVIL)})
    with pytest.raises(DataError, match="names column"):
        validate(named, store, ingest(named, store).batch)
    report = store.ledger.state().model("tiny").latest["validate"].data["result"]["report"]
    for path in ("/", "/models/tiny", f"/reports/{report}", f"/reports/{report}/content"):
        page = client(app).get(path)
        assert page.status_code == 200
        assert EVIL not in page.text
    assert "&lt;script&gt;alert(1)" in client(app).get("/models/tiny").text


def test_a_removed_model_is_shown_as_removed_with_its_history(app: FastAPI, tmp_path: Path) -> None:
    from slipstream.stages.ingest import ingest
    from slipstream.stages.retire import retire

    spec = load_spec(tmp_path / "models" / "tiny")
    store = Store.open(Settings.from_environment().store)
    ingest(spec, store)
    shutil.rmtree(spec.folder)
    listed, page = client(app).get("/").text, client(app).get("/models/tiny").text
    assert "Its folder was removed." in listed
    assert "Its folder was removed." in page
    assert "A batch of 400 rows arrived." in page
    retire(spec, store, endpoint="", reason="nobody asks.")
    assert "retired" in client(app).get("/").text
    page = client(app).get("/models/tiny").text
    assert "<strong>Retired " in page
    assert "nobody asks." in page


@pytest.mark.parametrize(("path", "status"), [("/slipstream", 307), ("/slipstream/", 200), ("/slipstreams", 404)])
def test_the_slash_at_the_end_can_be_left_out(path: str, status: int) -> None:
    from fastapi import FastAPI

    from slipstream_airflow.plugin import SlipstreamPlugin

    web = FastAPI()
    web.add_api_route("/slipstream/", lambda: "the pages")
    for one in SlipstreamPlugin.fastapi_root_middlewares:
        web.add_middleware(one["middleware"], *one["args"], **one["kwargs"])
    answer = Browser(web).get(path)
    assert answer.status_code == status
    assert answer.headers.get("location") == ("/slipstream/" if status == 307 else None)


def test_failed_runs_stand_on_the_models_page(app: FastAPI) -> None:
    assert run_dag(Path(__file__).parents[2] / "dags" / "models.py", "tiny__train")["train"] == "failed"
    page = client(app).get("/models/tiny").text
    assert "What failed" in page
    assert re.search(r'<a href="/dags/tiny__train/runs/[^"]+/tasks/train">tiny__train: train</a>', page)
    assert "[run_not_found] tiny has no data yet; ingest and validate a batch first." in page


def test_the_reason_of_a_training_stands_with_what_it_made(app: FastAPI) -> None:
    from slipstream.stages.train import train
    from slipstream_airflow.operators import IngestOperator, TrainOperator, ValidateOperator

    IngestOperator(task_id="i", model="tiny").execute({})  # type: ignore[arg-type]
    ValidateOperator(task_id="v", model="tiny").execute({"outlet_events": OutletEventAccessors()})  # type: ignore[typeddict-item]
    TrainOperator(task_id="t", model="tiny", reason="the new season began.").execute({})  # type: ignore[arg-type]
    assert "rows: the new season began." in client(app).get("/models/tiny").text
    settings = Settings.from_environment()
    spec, store = load_spec(settings.models / "tiny"), Store.open(settings.store)
    store.ledger.append("retrain.requested", "tiny", {"reason": "3 of 3 inputs drifted."})
    other = spec.model_copy(update={"train": spec.train.model_copy(update={"seed": 9})})
    train(other, store, str(store.ledger.state().model("tiny").dataset))
    assert "rows: 3 of 3 inputs drifted." in client(app).get("/models/tiny").text


@pytest.mark.parametrize(("columns", "word"), [([], "stable"), (["a"], "drift within limits")])
def test_the_word_above_a_window_agrees_with_its_sentence(app: FastAPI, columns: list[str], word: str) -> None:
    verdict = f"{len(columns)} of 3 inputs drifted."
    result = {"run": "monitor-1", "drifted": False, "drifted_columns": columns, "verdict": verdict, "champion": 1}
    store = Store.open(Settings.from_environment().store)
    store.ledger.append("drift.measured", "tiny", {"stage": "monitor", "run": "monitor-1", "result": result})
    for path in ("/", "/models/tiny"):
        assert re.search(rf">{word}<[^§]*{verdict}", client(app).get(path).text)
