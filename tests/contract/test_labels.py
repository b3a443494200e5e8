"""Labels by a running endpoint: predicted, told what was true, joined; and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from slipstream.ground_truth.served_quality import served_quality
from slipstream.serving.capture.labels import LabelKeeper
from slipstream.serving.http.auth import REQUIRED, Access
from slipstream.spec.model import ModelSpec
from slipstream.stages.deploy import deploy
from slipstream.stages.join import join
from slipstream.statistics.metrics import measure
from slipstream.store import Store
from slipstream.store.labels import TABLE, Label
from slipstream.store.state import IssuedKey
from tests.contract.running_endpoint import ROW, Running, run_endpoint, wait_until
from tests.unit.fixed_model import LETTERS, NUMBERS, Few, asking, guards, served

MakeSpec = Callable[..., ModelSpec]
Release = Callable[..., Any]
ID = "0" * 31 + "1"


@pytest.fixture
def endpoint(store: Store) -> Iterator[Running]:
    running = run_endpoint(Store.open(store.url))
    yield running
    running.stop()


@pytest.fixture
def spec(make_spec: MakeSpec, release: Release, store: Store, endpoint: Running) -> ModelSpec:
    """A model that serves."""
    made = make_spec()
    deploy(made, store, release(made).version, endpoint=endpoint.url)
    return made


def send(endpoint: Running, verb: str, body: Any) -> httpx.Response:
    return httpx.post(f"{endpoint.url}/models/small/{verb}", json=body, timeout=30)


def captured(store: Store, rows: int) -> bool:
    return sum(file.rows for file in store.tables.sound("small", "predictions").files) >= rows


def test_from_the_answer_to_the_figure(spec: ModelSpec, store: Store, endpoint: Running) -> None:
    rows = [ROW | {"distance": place / 10 - 2, "hour": place % 24} for place in range(40)]
    answered = send(endpoint, "predict", {"rows": rows}).json()
    truth = [place % 3 == 0 for place in range(30)]
    body = {"labels": [{"id": one, "label": label} for one, label in zip(answered["ids"], truth, strict=False)]}
    reply = send(endpoint, "labels", body)
    assert (reply.status_code, reply.json()) == (200, {"model": "small", "received": 30, "new": 30})
    assert send(endpoint, "labels", body).json() == {"model": "small", "received": 30, "new": 0}
    other = {"labels": [{"id": answered["ids"][0], "label": False}]}
    for sent, new in ((other, 1), (body, 30), (body, 0)):
        assert send(endpoint, "labels", sent).json()["new"] == new, "A, B, A: what was received last holds"
    wait_until(lambda: captured(store, 40))
    found = join(spec, store)
    assert found.value == pytest.approx(measure("roc_auc", truth, answered["probabilities"][:30]))
    assert (found.predictions, found.labelled, found.unknown, found.doubled) == (40, 30, 0, 30)
    assert found.coverage == 0.75
    quality = served_quality(spec, store, 1, role="champion")
    assert quality is not None
    assert (quality.value, quality.labelled, quality.predictions) == (found.value, 30, 40)
    late = {"labels": [{"id": one, "label": True, "time": "2030-01-01T00:00:00+01:00"} for one in answered["ids"][30:]]}
    assert send(endpoint, "labels", late).json()["new"] == 10
    again = join(spec, store)
    assert (again.coverage, again.labelled) == (1.0, 40)


def test_many_senders_at_once_lose_nothing(spec: ModelSpec, store: Store, endpoint: Running) -> None:
    bodies = [{"labels": [{"id": f"{number:032x}", "label": True}]} for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda body: send(endpoint, "labels", body), bodies + bodies))
    assert {reply.status_code for reply in replies} == {200}
    assert sum(reply.json()["new"] for reply in replies) == 24
    assert sum(file.rows for file in store.tables.sound("small", TABLE).files) == 24


def test_a_store_in_trouble_is_told_and_the_labels_can_be_sent_again(
    spec: ModelSpec, store: Store, endpoint: Running, tmp_path: Path
) -> None:
    body = {"labels": [{"id": ID, "label": True}]}
    table = tmp_path / "store" / "tables" / "small" / TABLE
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text("a file stands where the table should be")
    reply = send(endpoint, "labels", body)
    assert reply.status_code == 503
    assert reply.json()["error"]["code"].startswith("storage_")
    assert reply.headers["retry-after"] == "1"
    assert str(tmp_path) not in reply.text
    table.unlink()
    shutil.rmtree(table, ignore_errors=True)
    assert send(endpoint, "labels", body).json()["new"] == 1


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ("", 400, "body_empty", None),
        ("{", 400, "json_invalid", None),
        ("[]", 400, "body_shape", None),
        ('{"rows": []}', 400, "body_shape", None),
        ('{"labels": [], "more": 1}', 400, "field_unknown", "more"),
        ('{"labels": [], "labels": []}', 400, "duplicate_key", "labels"),
        ('{"labels": {}}', 400, "type", "labels"),
        ('{"labels": []}', 400, "rows_empty", "labels"),
        ('{"labels": [1]}', 400, "type", "labels[0]"),
        ('{"labels": [{"label": "no"}]}', 400, "field_missing", "labels[0].id"),
        ('{"labels": [{"id": "ID"}]}', 400, "field_missing", "labels[0].label"),
        ('{"labels": [{"id": 7, "label": "no"}]}', 400, "type", "labels[0].id"),
        ('{"labels": [{"id": "../x", "label": "no"}]}', 400, "type", "labels[0].id"),
        ('{"labels": [{"id": "ID", "label": "no", "who": 1}]}', 400, "field_unknown", "labels[0].who"),
        ('{"labels": [{"id": "ID", "label": "perhaps"}]}', 400, "label_unknown", "labels[0].label"),
        ('{"labels": [{"id": "ID", "label": 1}]}', 400, "type", "labels[0].label"),
        ('{"labels": [{"id": "ID", "label": null}]}', 400, "null_not_allowed", "labels[0].label"),
        ('{"labels": [{"id": "ID", "label": "no", "time": 5}]}', 400, "type", "labels[0].time"),
        ('{"labels": [{"id": "ID", "label": "no", "time": null}]}', 400, "type", "labels[0].time"),
        ('{"labels": [{"id": "ID", "label": "no", "time": "soon"}]}', 400, "time_invalid", "labels[0].time"),
        ('{"labels": [X, X, X, X, X, X]}', 413, "too_many_rows", "labels"),
    ],
)
def test_what_is_refused(store: Store, body: str, status: int, code: str, field: str | None) -> None:
    models = Few(served("m", NUMBERS))
    models.labels = LabelKeeper(store)
    whole = body.replace("X", '{"id": "ID", "label": "no"}').replace("ID", ID)
    with asking(models) as ask:
        headers = {"content-type": "application/json"}
        reply = ask("POST", "/models/m/labels", content=whole, headers=headers)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["field"]) == (status, code, field)
    assert store.tables.sound("m", TABLE).files == ()


@pytest.mark.parametrize(
    ("models", "label"), [(Few(served("m")), 1.5), (Few(served("m", LETTERS)), "d"), (Few(served("m", NUMBERS)), "yes")]
)
def test_labels_of_every_task(store: Store, models: Few, label: Any) -> None:
    models.labels = LabelKeeper(store)
    with asking(models) as ask:
        assert ask("POST", "/models/m/labels", json={"labels": [{"id": ID, "label": label}]}).json()["new"] == 1
        assert ask("POST", "/models/x/labels", json={}).json()["error"]["code"] == "model_not_found"
        assert ask("POST", "/models/m/labels", content="{}", headers={"content-type": "text/csv"}).status_code == 415
        assert ask("GET", "/models/m/labels").status_code == 405


def test_a_number_that_is_none() -> None:
    with asking(Few(served("m"))) as ask:
        body = json.dumps({"labels": [{"id": ID, "label": float("nan")}]})
        reply = ask("POST", "/models/m/labels", content=body, headers={"content-type": "application/json"})
    assert reply.json()["error"]["code"] == "not_finite"


def test_a_server_that_keeps_none() -> None:
    with asking(Few(served("m"))) as ask:
        reply = ask("POST", "/models/m/labels", json={"labels": [{"id": ID, "label": 1}]})
    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "labels_not_kept")


@pytest.mark.server
def test_in_a_bucket(s3: str, make_spec: MakeSpec, tmp_path: Path) -> None:
    boto3.client("s3").create_bucket(Bucket="labels")
    there = Store.open("s3://labels/prefix", cache=tmp_path / "cache")
    keeper = LabelKeeper(there)
    labels = [Label(f"{number:032x}", "", "true", None) for number in range(3)]
    assert [keeper.keep("small", labels, "ann") for _ in range(2)] == [3, 0]
    found = join(make_spec(), there)
    assert (found.unknown, found.sentence) == (3, "there is no champion; 3 unknown ids")
    assert join(make_spec(), there).reused


@pytest.mark.parametrize(("scopes", "status"), [(("predict",), 403), (("label",), 200), (("admin",), 200)])
def test_the_scope(store: Store, scopes: tuple[str, ...], status: int) -> None:
    import hashlib

    key = "slipstream_0123456789ab_" + "k" * 43
    issued = IssuedKey("0123456789ab", hashlib.sha256(key.encode()).hexdigest(), "clinic", scopes)
    models = Few(served("m"))
    models.labels = LabelKeeper(store)
    with asking(models, guards(access=Access({issued.id: issued}, REQUIRED))) as ask:
        body = {"labels": [{"id": ID, "label": 1}]}
        reply = ask("POST", "/models/m/labels", json=body, headers={"x-api-key": key})
        assert ask("POST", "/models/m/labels", json=body).status_code == 401
    assert reply.status_code == status
    if status == 403:
        assert reply.json()["error"]["code"] == "scope_missing"
    else:
        import pyarrow.parquet as pq

        (path,) = store.tables.paths("m", TABLE)
        assert pq.read_table(path)["source"].to_pylist() == ["clinic"]
