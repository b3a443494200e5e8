"""The client of Airflow's REST API, against a small server that answers what Airflow would."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from demo.airflow_client.client import Airflow, AirflowError, DagRun
from slipstream_stack.settings import Layout

Answer = tuple[int, Any]
RUN = {"dag_id": "d", "dag_run_id": "r+1", "state": "running", "start_date": "t1", "end_date": None, "conf": None}
TASK = {
    "task_id": "a",
    "map_index": -1,
    "state": "failed",
    "try_number": 2,
    "start_date": "t2",
    "end_date": "t3",
    "duration": 1.5,
}
BEGUN = TASK | {"task_id": "first", "state": "success", "start_date": "t1"}
WAITING = TASK | {"task_id": "b", "state": None, "start_date": None, "end_date": None, "duration": None}


class Server(ThreadingHTTPServer):
    """Answers by ``METHOD /path``: an answer, or a list of them to be used up; keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.tokens = ["one", "two"]
        self.valid = ""
        self.answers: dict[str, Answer | list[Answer]] = {}
        self.asked: list[tuple[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.answer("GET")

    def do_POST(self) -> None:
        self.answer("POST")

    def do_PATCH(self) -> None:
        self.answer("PATCH")

    def answer(self, method: str) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "null")
        key = f"{method} {self.path.partition('?')[0]}"
        self.server.asked.append((f"{method} {self.path}", body))
        status, value = self.found(key, body)
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def found(self, key: str, body: Any) -> Answer:
        if key == "POST /auth/token":
            if body["password"] != "right":
                return 401, {"detail": "Invalid credentials"}
            self.server.valid = self.server.tokens.pop(0)
            return 201, {"access_token": self.server.valid}
        if self.headers.get("Authorization") != f"Bearer {self.server.valid}" and "monitor" not in key:
            return 401, {"detail": "Not authenticated"}
        answer = self.server.answers.get(key, (404, {"detail": f"{key} is not here"}))
        return answer.pop(0) if isinstance(answer, list) else answer

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def airflow(server: Server) -> Iterator[Airflow]:
    airflow = Airflow(server.url, "admin", "right")
    yield airflow
    airflow.close()


def test_it_logs_in_once_and_again_when_the_token_has_expired(server: Server, airflow: Airflow) -> None:
    server.answers["GET /api/v2/dags/d"] = (200, {"dag_id": "d"})
    airflow.get("/dags/d")
    airflow.get("/dags/d")
    server.valid = "expired"
    airflow.get("/dags/d")
    assert [what for what, _ in server.asked].count("POST /auth/token") == 2


def test_a_wrong_password_is_said(server: Server) -> None:
    airflow = Airflow(server.url, "admin", "wrong")
    with pytest.raises(AirflowError, match="user admin or its password is wrong") as caught:
        airflow.dags()
    assert caught.value.status == 401
    airflow.close()


def test_nobody_there_is_said(server: Server) -> None:
    port = server.server_port
    airflow = Airflow(f"http://127.0.0.1:{port + 1 if port < 65535 else port - 1}", "admin", "right")
    with pytest.raises(AirflowError, match="does it run"):
        airflow.health()
    airflow.close()


def test_health_needs_no_login(server: Server, airflow: Airflow) -> None:
    server.answers["GET /api/v2/monitor/health"] = (200, {"scheduler": {"status": "healthy"}})
    assert airflow.health()["scheduler"]["status"] == "healthy"
    assert len(server.asked) == 1


def test_trigger_sends_what_airflow_wants(server: Server, airflow: Airflow) -> None:
    server.answers["POST /api/v2/dags/d/dagRuns"] = (200, {"dag_run_id": "mine"})
    assert airflow.trigger("d", {"month": 4}, run_id="mine") == "mine"
    assert server.asked[-1][1] == {"logical_date": None, "conf": {"month": 4}, "dag_run_id": "mine"}


def test_a_run_that_is_there_already_is_not_an_error(server: Server, airflow: Airflow) -> None:
    server.answers["POST /api/v2/dags/d/dagRuns"] = (409, {"detail": "exists"})
    assert airflow.trigger("d", run_id="mine") == "mine"


def test_refused_requests_tell_why(server: Server, airflow: Airflow) -> None:
    server.answers["POST /api/v2/dags/d/dagRuns"] = (400, {"detail": "Invalid input for param month"})
    with pytest.raises(AirflowError, match=r"POST .*/dags/d/dagRuns: 400 .*Invalid input for param month") as caught:
        airflow.trigger("d", {"month": "x"})
    assert (caught.value.code, caught.value.status) == ("airflow_request_failed", 400)


def test_wait_goes_on_over_a_restart_and_tells_each_change(server: Server, airflow: Airflow) -> None:
    run, tasks = "GET /api/v2/dags/d/dagRuns/r%2B1", "GET /api/v2/dags/d/dagRuns/r%2B1/taskInstances"
    server.answers[tasks] = [(200, {"task_instances": [WAITING, TASK, BEGUN]})] * 3
    server.answers[run] = [(200, RUN), (503, {}), (200, RUN), (200, RUN | {"state": "failed"})]
    server.answers[tasks] = [(200, {"task_instances": [WAITING, TASK, BEGUN]})] * 4
    seen: list[DagRun] = []
    ended = airflow.wait("d", "r+1", on_progress=seen.append, poll=0.01)
    assert ended.state == "failed"
    assert not ended.ended_well
    assert [task.name for task in ended.tasks] == ["first", "a", "b"]
    assert [task.seconds for task in ended.tasks] == [1.5, 1.5, None]
    assert [run.state for run in seen] == ["running", "running", "failed"]


def test_wait_gives_up_and_says_where_the_run_stands(server: Server, airflow: Airflow) -> None:
    server.answers["GET /api/v2/dags/d/dagRuns/r%2B1"] = (200, RUN)
    with pytest.raises(AirflowError, match=r"run r\+1 of d has not ended in 0 s; it stands at \('running'"):
        airflow.wait("d", "r+1", seconds=0.05, poll=0.01)


def test_a_dag_that_does_not_appear_shows_the_import_errors(server: Server, airflow: Airflow) -> None:
    broken = [{"filename": "models.py", "stack_trace": "SpecError: line 3"}]
    server.answers["GET /api/v2/importErrors"] = (200, {"import_errors": broken})
    with pytest.raises(AirflowError, match=r"DAG d has not appeared in 0 s: SpecError: line 3"):
        airflow.wait_for_dag("d", seconds=0.0)


def test_unpause_waits_for_the_dag(server: Server, airflow: Airflow) -> None:
    server.answers["GET /api/v2/dags/d"] = [(404, {}), (200, {})]
    server.answers["PATCH /api/v2/dags/d"] = (200, {})
    airflow.unpause("d")
    assert server.asked[-1] == ("PATCH /api/v2/dags/d", {"is_paused": False})


def test_why_failed_shows_the_end_of_the_log(server: Server, airflow: Airflow) -> None:
    path = "/api/v2/dags/d/dagRuns/r%2B1"
    server.answers[f"GET {path}"] = (200, RUN | {"state": "failed"})
    server.answers[f"GET {path}/taskInstances"] = (200, {"task_instances": [TASK]})
    entries: list[Any] = [
        {"event": "working"},
        {"event": "Task failed", "error_detail": [{"exc_type": "ValueError", "exc_value": "no rows"}]},
    ]
    server.answers[f"GET {path}/taskInstances/a/logs/2"] = (200, {"content": entries})
    told = airflow.why_failed(airflow.run("d", "r+1"), lines=2)
    assert told == "task a of d failed (try 2):\n    Task failed\n    ValueError: no rows"


def test_events_of_one_asset(server: Server, airflow: Airflow) -> None:
    assets = [{"id": 7, "uri": "slipstream://a/data"}, {"id": 8, "uri": "slipstream://a/data-2"}]
    server.answers["GET /api/v2/assets"] = (200, {"assets": assets})
    server.answers["GET /api/v2/assets/events"] = (200, {"asset_events": [{"extra": {"rows": 3}}]})
    assert airflow.asset_events("slipstream://a/data") == [{"extra": {"rows": 3}}]
    assert "asset_id=7" in server.asked[-1][0]
    assert airflow.asset_events("slipstream://b/data") == []


def test_questions_and_answers(server: Server, airflow: Airflow) -> None:
    server.answers["GET /api/v2/dags/~/dagRuns/~/hitlDetails"] = (200, {"hitl_details": [{"subject": "?"}]})
    server.answers["PATCH /api/v2/dags/d/dagRuns/r%2B1/taskInstances/approve/-1/hitlDetails"] = (200, {})
    assert airflow.questions() == [{"subject": "?"}]
    airflow.answer("d", "r+1", "approve", ["Approve"], {"comment": "good"})
    assert server.asked[-1][1] == {"chosen_options": ["Approve"], "params_input": {"comment": "good"}}


def test_xcom_is_the_value(server: Server, airflow: Airflow) -> None:
    path = "GET /api/v2/dags/d/dagRuns/r%2B1/taskInstances/a/xcomEntries/return_value"
    server.answers[path] = (200, {"key": "return_value", "value": {"version": 3}})
    assert airflow.xcom("d", "r+1", "a") == {"version": 3}


def test_all_pages_of_dags_are_read(server: Server, airflow: Airflow) -> None:
    pages = [[{"dag_id": f"d{i:03d}"} for i in range(first, last)] for first, last in ((0, 100), (100, 101))]
    server.answers["GET /api/v2/dags"] = [(200, {"dags": page}) for page in pages]
    assert len(airflow.dags()) == 101


def test_without_a_password_file_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AirflowError, match="holds no password of admin; run make setup"):
        Airflow.of(Layout.under(tmp_path, tmp_path / "var"), "http://127.0.0.1:1")


def test_a_question_is_answered_with_its_comment(server: Server, airflow: Airflow) -> None:
    question = {
        "subject": "May tiny/2 serve?",
        "options": ["Approve", "Reject"],
        "task_instance": {"task_id": "approve"},
    }
    server.answers["GET /api/v2/dags/tiny__train/dagRuns/run%2B1/hitlDetails"] = (200, {"hitl_details": [question]})
    path = "/api/v2/dags/tiny__train/dagRuns/run%2B1/taskInstances/approve/-1/hitlDetails"
    server.answers[f"PATCH {path}"] = (200, {})
    assert airflow.questions("tiny__train", "run+1") == [question]
    airflow.answer("tiny__train", "run+1", "approve", ["Approve"], {"comment": "ship it"})
    assert server.asked[-1] == (
        f"PATCH {path}",
        {"chosen_options": ["Approve"], "params_input": {"comment": "ship it"}},
    )
    server.answers[f"PATCH {path}"] = (409, {"detail": "answered already"})
    with pytest.raises(AirflowError, match="answered already") as caught:
        airflow.answer("tiny__train", "run+1", "approve", ["Reject"])
    assert caught.value.status == 409
