"""The deploy operator while it waits, in the triggerer or in a worker: where it is, and what a kill takes back."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, TaskDeferralTimeout, TaskDeferred
from airflow.serialization.encoders import encode_trigger

from slipstream.errors import DeployError
from slipstream.settings import Settings
from slipstream.spec.loader import find_spec
from slipstream.stages import deploy, evaluate, explain, gate, ingest, package, train, validate
from slipstream.store import Store
from slipstream.store.state import ModelState
from slipstream_airflow.delivery_watch import DeliveryWatch
from slipstream_airflow.operators import DeployOperator, LabelsOperator, PackageOperator

from .conftest import Project, write_rows


def context(number: int = 1, run_id: str = "run-1") -> Any:
    run = SimpleNamespace(dag_id="by_hand", run_id=run_id, triggering_user_name=None)
    ti = SimpleNamespace(
        dag_id="by_hand", run_id=run_id, task_id="d", map_index=-1, try_number=number, xcom_push=lambda **_: None
    )
    return {"dag_run": run, "ti": ti}


def model() -> ModelState:
    return Store.open(Settings.from_environment().store).ledger.state().model("tiny")


def events(kind: str) -> list[dict[str, Any]]:
    return [dict(event.data) for event in Store.open(Settings.from_environment().store).ledger.read(kind=kind)]


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def two_versions(project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model with champion 1 and version 2 to be delivered; its target answers as the ledger asks."""
    monkeypatch.setenv("SLIPSTREAM_ALLOW_CODE", "1")
    rollout = {"steps": [0.5], "bake": "1s"}
    folder = project(deploy={"target": {"type": "tests.contract.deployer:Behind"}, "rollout": rollout})
    settings = Settings.from_environment()
    spec, store = find_spec(settings.models, "tiny", allow_code=True, pools=settings.pools), Store.open(settings.store)
    for shift in (0.0, 0.5):
        if shift:
            write_rows(folder, "second", shift=shift)
        candidate = train.train(
            spec, store, validate.validate(spec, store, ingest.ingest(spec, store).batch).dataset
        ).run
        runs = evaluate.evaluate(spec, store, candidate).run, explain.explain(spec, store, candidate).run
        version = package.package(spec, store, candidate, *runs, keys=settings.keys, bentos=settings.bentos).version
        gate.gate(spec, store, version)
        if not shift:
            deploy.deploy(spec, store, version, endpoint="")
    return folder


def deferred(operator: DeployOperator, in_run: Any = None) -> DeliveryWatch:
    """The trigger for which the task waits, as the triggerer gets it: made anew of what was stored."""
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(in_run or context())
    assert caught.value.method_name == "execute_complete"
    stored = json.loads(json.dumps(caught.value.trigger.serialize()))
    assert encode_trigger(caught.value.trigger)["classpath"] == stored[0]
    return DeliveryWatch(**stored[1])


async def fired(trigger: DeliveryWatch) -> Any:
    found = [event async for event in trigger.run()]
    assert len(found) == 1
    return found[0].payload


def task(**arguments: Any) -> DeployOperator:
    return DeployOperator(task_id="d", model="tiny", **arguments)


def test_the_trigger_holds_ids_and_delivers_beside_the_loop(two_versions: Path) -> None:
    trigger = deferred(task(version=2))
    assert trigger.serialize()[1] == {
        "model": "tiny",
        "version": 2,
        "store": None,
        "models": None,
        "actor": "airflow:by_hand/run-1",
        "task_word": "airflow:by_hand/run-1/d",
        "number": 1,
        "again": False,
    }
    assert model().deployment is None, "nothing is in flight before somebody watches it"

    async def watch() -> tuple[Any, int]:
        ticks, delivery = 0, asyncio.ensure_future(fired(trigger))
        while not delivery.done():
            await asyncio.sleep(0.02)
            ticks += 1
        return delivery.result(), ticks

    payload, ticks = asyncio.run(watch())
    assert ticks >= 10, "the loop went on meanwhile"
    figures = task().execute_complete(context(), payload)
    assert (figures["version"], figures["previous"], figures["reused"]) == (2, 1, False)
    (started,) = events("deployment.started")[1:]
    assert started["request"].startswith("airflow:by_hand/run-1/d#1:")
    assert task(version=2).execute(context(2))["reused"], "what is done is not waited for"


def test_a_trigger_that_is_stopped_takes_nothing_back_and_the_next_goes_on(two_versions: Path) -> None:
    trigger = deferred(task())

    async def stopped() -> None:
        delivery = asyncio.ensure_future(fired(trigger))
        while model().deployment is None:
            await asyncio.sleep(0.02)
        delivery.cancel()
        with pytest.raises(asyncio.CancelledError):
            await delivery

    asyncio.run(stopped())
    until(lambda: not any(thread.name == "slipstream-delivery" for thread in threading.enumerate()))
    time.sleep(2)
    assert (model().deployment, model().champion) == (2, 1), "no thread of it goes on"
    payload = asyncio.run(fired(DeliveryWatch(**trigger.serialize()[1])))
    assert task().execute_complete(context(), payload)["version"] == 2
    assert events("deployment.rolled_back") == []


def test_a_killed_trigger_takes_back_what_it_holds(two_versions: Path) -> None:
    trigger, later = deferred(task()), deferred(task(), context(2))

    async def killed() -> None:
        delivery = asyncio.ensure_future(fired(trigger))
        while model().deployment is None:
            await asyncio.sleep(0.02)
        delivery.cancel()
        await trigger.on_kill()

    asyncio.run(killed())
    assert (model().deployment, model().champion) == (None, 1)
    (back,) = events("deployment.rolled_back")
    assert back["reason"] == "Its task was ended before it had taken over: by_hand/run-1/d."
    assert task().execute_complete(context(2), asyncio.run(fired(later)))["version"] == 2, "it can be tried again"


def test_a_kill_that_comes_first_leaves_nothing_behind(two_versions: Path) -> None:
    trigger = deferred(task())

    async def killed() -> None:
        delivery = asyncio.ensure_future(fired(trigger))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        delivery.cancel()
        await trigger.on_kill()

    asyncio.run(killed())
    assert (model().deployment, model().champion) == (None, 1)


@pytest.mark.parametrize(("number", "run_id"), [(2, "run-1"), (1, "other")])
def test_what_another_holds_is_left_alone(two_versions: Path, number: int, run_id: str) -> None:
    mine, others = deferred(task()), deferred(task(), context(number, run_id))

    async def killed() -> Any:
        delivery = asyncio.ensure_future(fired(others))
        while model().deployment is None:
            await asyncio.sleep(0.02)
        await mine.on_kill()
        return await delivery

    assert task().execute_complete(context(number), asyncio.run(killed()))["version"] == 2
    assert events("deployment.rolled_back") == []


def test_a_trigger_that_runs_in_two_triggerers_ends_once(two_versions: Path) -> None:
    late, alive = deferred(task()), deferred(task())

    async def both() -> Any:
        first = asyncio.ensure_future(fired(late))
        while model().deployment is None:
            await asyncio.sleep(0.02)
        second = asyncio.ensure_future(fired(alive))
        payload = await second
        await asyncio.sleep(1)
        assert not first.done(), "it says nothing of what it does not know"
        first.cancel()
        await late.on_kill()
        return payload

    assert task().execute_complete(context(), asyncio.run(both()))["version"] == 2
    assert events("deployment.rolled_back") == []


def test_what_went_wrong_in_the_triggerer_fails_the_task(two_versions: Path) -> None:
    told = {"error": "tiny/2 was taken back: errors.", "code": "rolled_back", "retryable": False}
    with pytest.raises(AirflowFailException, match=r"^\[rolled_back\] tiny/2 was taken back"):
        task().execute_complete(context(), told)
    with pytest.raises(DeployError):
        task().execute_complete(context(), told | {"code": "endpoint_unreachable", "retryable": True})
    trigger = deferred(task())
    trigger.version = 9
    refused = asyncio.run(fired(trigger))
    assert (refused["code"], refused["retryable"]) == ("version_not_found", False)


def test_a_task_whose_time_is_up_takes_back_what_the_triggerer_began(two_versions: Path) -> None:
    operator = task()
    trigger = deferred(operator)

    async def timed_out() -> None:
        delivery = asyncio.ensure_future(fired(trigger))
        while model().deployment is None:
            await asyncio.sleep(0.02)
        delivery.cancel()

    asyncio.run(timed_out())
    with pytest.raises(TaskDeferralTimeout):
        operator.resume_execution("__fail__", {"error": "Trigger timeout"}, context())
    assert (model().deployment, model().champion) == (None, 1)


def test_a_kill_in_a_worker_takes_back_what_it_began(two_versions: Path) -> None:
    operator, ends = task(deferrable=False), []

    def run() -> None:
        try:
            operator.execute(context())
        except AirflowFailException as error:
            ends.append(str(error))

    worker = threading.Thread(target=run)
    worker.start()
    until(lambda: model().deployment == 2)
    operator.on_kill()
    assert (model().deployment, model().champion) == (None, 1)
    worker.join(30)
    assert ends
    assert ends[0].startswith("[deployment_in_flight]")
    operator.on_kill()
    assert len(events("deployment.rolled_back")) == 1


def test_what_is_done_at_once_or_by_a_connection_is_not_waited_for(
    two_versions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = Settings.from_environment().store
    monkeypatch.setenv("AIRFLOW_CONN_MY_STORE", json.dumps({"conn_type": "aws", "extra": {"url": url}}))
    assert task(shadow=True).execute(context())["shadow"] is True
    assert task(store="my_store").execute(context())["version"] == 2


def test_arguments_that_are_data_are_arguments_all_the_same(project: Project) -> None:
    with DAG("by_hand", schedule=None, default_args={"by": "key", "model": "tiny"}):
        labels = LabelsOperator(task_id="l", path="*.csv")
        assert (labels.path, labels.by, labels.model) == ("*.csv", "key", "tiny")
        assert {"model", "store", "models", "path", "by"} == set(labels.template_fields)
        assert LabelsOperator(task_id="m").path is None, "what monitor.labels has"
        with pytest.raises(TypeError, match="candidat"):
            PackageOperator(task_id="n", candidat="x")
        mapped = DeployOperator.partial(task_id="o", model="tiny").expand(version=[1, 2])
        assert mapped.operator_class is DeployOperator
        with pytest.raises(TypeError, match="versions"):
            DeployOperator.partial(task_id="p", model="tiny").expand(versions=[1, 2])
    with DAG("without", schedule=None), pytest.raises(TypeError, match="missing keyword argument 'model'"):
        LabelsOperator(task_id="q")
