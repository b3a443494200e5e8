"""The monitor DAG's end: the decision tells Airflow of a request once, and new rows start the DAG."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from airflow.sdk.exceptions import AirflowSkipException

from slipstream.spec.loader import load_spec
from slipstream.stages.train import train
from slipstream.store import Store
from slipstream_airflow import dags
from slipstream_airflow.assets import predictions_asset, retrain_asset, retrain_requests
from slipstream_airflow.operators import DecideOperator, IngestOperator, MonitorOperator, ValidateOperator
from slipstream_airflow.triggers import NewRows

from .conftest import Project, write_rows
from .test_operators import _champion, _run, context, store

if TYPE_CHECKING:
    from airflow.triggers.base import TriggerEvent

MODELS = Path(__file__).parents[2] / "dags" / "models.py"


def emitted(told: Any) -> list[Any]:
    return list(told["outlet_events"][retrain_requests("tiny")].asset_alias_events)


def drifted(folder: Path) -> None:
    """A champion, and a second batch that is different."""
    _champion(folder)
    write_rows(folder, "second", shift=5.0)
    IngestOperator(task_id="i", model="tiny").execute(context())
    ValidateOperator(task_id="v", model="tiny").execute(context())
    assert MonitorOperator(task_id="m", model="tiny").execute(context())["drifted"]


def test_the_asset_is_emitted_by_the_run_that_asks(project: Project) -> None:
    drifted(project())
    operator = DecideOperator(task_id="d", model="tiny")
    told = context()
    found = operator.execute(told)
    assert (found["action"], found["trigger"]) == ("retrain", "drift")
    (event,) = emitted(told)
    assert event.dest_asset_key.uri == retrain_asset("tiny").uri
    assert event.extra == {"reason": found["reason"], "run": found["run"], "trigger": "drift"}
    again = context()
    assert operator.execute(again) == found | {"reused": True}
    assert len(emitted(again)) == 1, "a second try of the task tells again"
    other = context()
    other["dag_run"].run_id = "run-2"
    operator.execute(other)
    assert emitted(other) == []
    assert len(store().ledger.read(kind="retrain.requested")) == 1


def test_a_request_that_was_answered_is_not_told_of_again(project: Project) -> None:
    folder = project()
    drifted(folder)
    operator = DecideOperator(task_id="d", model="tiny")
    operator.execute(context())
    to = store()
    train(load_spec(folder), to, to.ledger.state().model("tiny").dataset or "")
    told = context()
    assert operator.execute(told)["why"] == "trained"
    assert emitted(told) == []


def test_a_request_by_hand_is_told_of_by_the_next_run(project: Project) -> None:
    from slipstream.stages.decide import decide

    folder = project()
    drifted(folder)
    decide(load_spec(folder), store(), actor="cli")
    told = context()
    DecideOperator(task_id="d", model="tiny").execute(told)
    assert len(emitted(told)) == 1


def test_without_a_champion_it_is_skipped(project: Project) -> None:
    project()
    with pytest.raises(AirflowSkipException, match="no champion"):
        DecideOperator(task_id="d", model="tiny").execute(context())


def test_the_monitor_dag_asks_for_a_first_training(database: None, project: Project) -> None:
    project(retrain={"rows": 100})
    _run(MODELS, "tiny__ingest")
    assert _run(MODELS, "tiny__monitor") == {"join": "success", "monitor": "skipped", "decide": "success"}
    (asked,) = store().ledger.read(kind="retrain.requested")
    assert asked.data["reason"] == "400 rows were committed and nothing was trained yet; retrain.rows asks for 100."


@pytest.mark.parametrize(
    ("schedule", "cron", "shown"),
    [
        (["predictions"], None, "AssetTriggeredTimetable"),
        (["predictions", "data", "0 6 * * 1"], None, "AssetOrTimeSchedule"),
        ([], "0 3 * * 0", "CronTriggerTimetable"),
        (["0 6 * * 1"], "0 3 * * 0", "MultipleCronTriggerTimetable"),
        (["data", "0 6 * * 1"], "0 3 * * 0", "AssetOrTimeSchedule"),
    ],
)
def test_what_starts_the_monitor_dag(project: Project, schedule: list[str], cron: str | None, shown: str) -> None:
    spec = load_spec(project(schedule={"monitor": schedule}, retrain={"cron": cron}))
    dag = dags.monitor(spec)
    assert type(dag.timetable).__name__ == shown
    edges = {task.task_id: task.downstream_task_ids for task in dag.tasks}
    assert edges == {"join": {"monitor"}, "monitor": {"decide"}, "decide": set()}


def test_the_trigger_is_written_out_in_plain_words() -> None:
    (watcher,) = predictions_asset("tiny", "file:///store", 50).watchers
    path, arguments = watcher.trigger.serialize()
    assert path == f"{NewRows.__module__}.{NewRows.__qualname__}"
    assert arguments == {"model": "tiny", "store": "file:///store", "min_rows": 50, "seconds": 5.0, "pause": 30.0}
    assert NewRows(**arguments).serialize() == watcher.trigger.serialize()


class Rows:
    """Writes rows as the endpoint does."""

    def __init__(self, to: Store) -> None:
        self.store = to
        self.batches = 0

    def add(self, table: str, rows: int) -> None:
        self.batches += 1
        self.store.tables.append("tiny", table, pa.table({"id": range(rows)}), f"batch-{self.batches}")


class Listener:
    """Asks a trigger for its events, as the triggerer does, without ever cancelling it."""

    def __init__(self, trigger: NewRows) -> None:
        self.events = trigger.run()
        self.task: asyncio.Task[TriggerEvent] | None = None

    async def within(self, seconds: float) -> Any:
        """The payload of the next event, or None."""
        self.task = self.task or asyncio.ensure_future(anext(self.events))  # type: ignore[arg-type]
        done, _ = await asyncio.wait({self.task}, timeout=seconds)
        if not done:
            return None
        payload, self.task = self.task.result().payload, None
        return payload


def test_new_rows_fire_the_trigger(tmp_path: Path) -> None:
    rows = Rows(Store.open((tmp_path / "store").as_uri()))

    async def watch() -> None:
        listener = Listener(NewRows("tiny", rows.store.url, min_rows=100, seconds=0.05, pause=3))
        assert await listener.within(0.5) is None, "no table yet"
        rows.add("predictions", 60)
        assert await listener.within(0.5) is None, "too few"
        rows.add("predictions", 60)
        assert await listener.within(5) == {"predictions": 120, "labels": 0}
        rows.add("labels", 1)
        assert await listener.within(1) is None, "no more than one each three seconds"
        assert await listener.within(5) == {"predictions": 0, "labels": 1}
        again = Listener(NewRows("tiny", rows.store.url, min_rows=100, seconds=0.05))
        assert await again.within(5) == {"predictions": 120, "labels": 1}, "after a restart it begins again"

    asyncio.run(watch())


def test_exactly_as_many_new_rows_as_asked_for_are_enough(tmp_path: Path) -> None:
    rows = Rows(Store.open((tmp_path / "store").as_uri()))

    async def watch() -> None:
        listener = Listener(NewRows("tiny", rows.store.url, min_rows=100, seconds=0.05))
        rows.add("predictions", 100)
        assert await listener.within(5) == {"predictions": 100, "labels": 0}

    asyncio.run(watch())


def test_a_store_that_is_away_is_asked_again(tmp_path: Path) -> None:
    place = tmp_path / "store"
    place.write_text("in the way")

    async def watch() -> None:
        listener = Listener(NewRows("tiny", place.as_uri(), min_rows=1, seconds=0.05))
        assert await listener.within(0.5) is None
        place.unlink()
        Rows(Store.open(place.as_uri())).add("predictions", 5)
        assert await listener.within(5) == {"predictions": 5, "labels": 0}

    asyncio.run(watch())
