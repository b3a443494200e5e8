"""The DAG files: what they give, what parsing costs, and what a wrong model file does."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

from slipstream.errors import SlipstreamError, SpecError
from slipstream.spec.loader import load_spec
from slipstream_airflow import dags

from .conftest import REPO, Project

HEAVY = "bentoml boto3 deltalake duckdb evidently great_expectations numpy pandas pyarrow scipy shap sklearn skops"


def bag_of(folder: Path) -> DagBag:
    return DagBag(folder, bundle_path=folder, bundle_name="dags-folder")


def test_the_repositorys_dags_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPSTREAM_MODELS", str(REPO / "include" / "models"))
    bag = bag_of(REPO / "dags")
    assert not bag.import_errors
    verbs = ("ingest", "train", "monitor", "rollback")
    expected = {f"{model}__{verb}" for model in ("bikes", "credit", "flights", "juice", "wages") for verb in verbs}
    assert set(bag.dags) == expected | {"example_flow"}


def test_the_train_dag_does_the_stages_in_order(project: Project) -> None:
    dag = dags.train(load_spec(project()))
    edges = {task.task_id: task.downstream_task_ids for task in dag.tasks}
    assert edges == {
        "train": {"evaluate", "explain", "package"},
        "evaluate": {"package"},
        "explain": {"package"},
        "package": {"gate", "deploy"},
        "gate": {"deploy"},
        "deploy": set(),
    }
    manual = dags.train(load_spec(project(name="asked", approval={"mode": "manual", "timeout": "2h"})))
    assert manual.get_task("gate").downstream_task_ids == {"approve"}
    assert manual.get_task("approve").downstream_task_ids == {"deploy"}
    assert manual.get_task("approve").response_timeout == timedelta(hours=2)
    replayed = dags.train(load_spec(project(name="replayed", gates=[{"type": "replay", "bound": 0.1}])))
    assert replayed.get_task("package").downstream_task_ids == {"replay", "gate", "deploy"}
    assert replayed.get_task("replay").downstream_task_ids == {"gate"}


def test_retries_outlast_an_api_server_restart(project: Project) -> None:
    """An api-server that was away for 74 s used up three tries (measured)."""
    for dag in dags.dags_of(load_spec(project(owner="ada"))):
        assert dag.catchup is False
        assert dag.max_active_runs == 1
        for task in dag.tasks:
            assert task.owner == "ada"
            waits = [task.retry_delay.total_seconds() * 2**number for number in range(task.retries)]
            assert task.retries >= 4
            assert sum(waits) > 2 * 74


@pytest.mark.parametrize(
    ("entries", "shown"),
    [
        ([], "NullTimetable"),
        (["@daily"], "CronTriggerTimetable"),
        (["data"], "AssetTriggeredTimetable"),
        (["0 6 * * 1", "data"], "AssetOrTimeSchedule"),
    ],
)
def test_schedules(project: Project, entries: list[str], shown: str) -> None:
    spec = load_spec(project(schedule={"monitor": entries}))
    assert type(dags.monitor(spec).timetable).__name__ == shown
    assert type(dags.train(spec).timetable).__name__ == "AssetTriggeredTimetable"


def test_a_wrong_model_file_hides_no_other_and_is_shown(project: Project) -> None:
    good = project()
    bad = good.parent / "broken"
    bad.mkdir()
    (bad / "model.yaml").write_text("name: broken\ntask: binery\n")
    assert set(dags.all_dags()) == {f"tiny__{verb}" for verb in ("ingest", "train", "monitor", "rollback")}
    with pytest.raises(SpecError, match=r"broken/model.yaml:2:7: task"):
        dags.check()
    bag = bag_of(REPO / "dags")
    assert list(bag.import_errors) == ["model_errors.py"]
    assert "broken/model.yaml:2" in bag.import_errors["model_errors.py"]
    assert "tiny__train" in bag.dags


@pytest.mark.parametrize(
    ("keys", "code", "text"),
    [
        ({"schedule": {"ingest": ["99 99 * * *"]}}, "spec_invalid", "schedule.ingest.0: '99 99"),
        ({"alerts": [{"type": "pigeon"}]}, "unknown_backend", "no alert is called 'pigeon'"),
        ({"alerts": [{"type": "webhook", "colour": 1}]}, "backend_argument", "connection"),
    ],
)
def test_what_airflow_could_not_run_is_told_with_the_file(
    project: Project, keys: dict[str, object], code: str, text: str
) -> None:
    project(**keys)
    assert dags.all_dags() == {}
    with pytest.raises(SlipstreamError, match=r"tiny/model\.yaml") as caught:
        dags.check()
    assert text in str(caught.value)
    found = [error for error in dags._projects() if isinstance(error, SlipstreamError)]
    assert [error.code for error in found] == [code]


def test_a_tasks_process_builds_the_dags_of_its_model_only(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project()
    project(name="other")
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "other__train")
    assert set(dags.all_dags()) == {f"other__{verb}" for verb in ("ingest", "train", "monitor", "rollback")}


def test_parsing_imports_nothing_heavy() -> None:
    code = f"""
import json, sys
from pathlib import Path
from airflow.dag_processing.dagbag import DagBag
folder = Path({str(REPO / "dags")!r})
bag = DagBag(folder, bundle_path=folder, bundle_name="dags-folder")
bare = [name for name in ("dags", "plugin", "train", "stack", "rest") if name in sys.modules]
print(json.dumps([bag.import_errors, bare, sorted(set({HEAVY!r}.split()) & set(sys.modules))]))
"""
    env = os.environ | {"SLIPSTREAM_MODELS": str(REPO / "include" / "models")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [{}, [], []]


def test_dag_files_and_operators_stay_short() -> None:
    for file in (REPO / "dags").glob("*.py"):
        code = ast.parse(file.read_text())
        assert len(file.read_text().splitlines()) - len((ast.get_docstring(code) or "").splitlines()) <= 15, file
    for file in (REPO / "plugins" / "slipstream_airflow" / "operators").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("execute"):
                assert node.end_lineno is not None
                assert node.end_lineno - node.body[0].lineno + 1 <= 16, f"{file}: {node.name}"
