"""Explanations by a running endpoint: of rows, and of past predictions by the version that made them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from slipstream.spec.model import ModelSpec
from slipstream.stages.deploy import deploy
from slipstream.store import Store
from tests.contract.running_endpoint import ROW, Running, bundle_of, run_endpoint, wait_until

MakeSpec = Callable[..., ModelSpec]
Release = Callable[..., Any]


@pytest.fixture
def endpoint(store: Store) -> Iterator[Running]:
    running = run_endpoint(Store.open(store.url))
    yield running
    running.stop()


@pytest.fixture
def post(endpoint: Running) -> Callable[..., httpx.Response]:
    def send(verb: str, body: Any, model: str = "small") -> httpx.Response:
        return httpx.post(f"{endpoint.url}/models/{model}/{verb}", json=body, timeout=30)

    return send


def serve(spec: ModelSpec, store: Store, release: Release, endpoint: Running, seed: int = 0) -> int:
    version: int = release(spec, seed=seed).version
    deploy(spec, store, version, endpoint=endpoint.url)
    return version


def added_up(one: dict[str, Any]) -> None:
    assert sum(one["contributions"].values()) == pytest.approx(one["answer"] - one["base"], abs=1e-9)


def code(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]["code"]


def test_rows(make_spec: MakeSpec, store: Store, release: Release, endpoint: Running, post: Any) -> None:
    serve(make_spec(), store, release, endpoint)
    rows = [ROW, ROW | {"distance": -2.0}, ROW | {"distance": None, "carrier": None}]
    answered = post("predict", {"rows": rows}).json()
    said = post("explain", {"rows": rows}).json()
    assert (said["model"], said["version"], said["unit"]) == ("small", 1, "probability of late = true")
    for one, label, probability in zip(
        said["explanations"], answered["predictions"], answered["probabilities"], strict=True
    ):
        added_up(one)
        assert one["prediction"] == label
        assert one["answer"] == pytest.approx(probability, abs=1e-9)
        assert one["base"] == said["base"]
        assert list(one["contributions"]) == ["distance", "hour", "carrier"]
        assert one["samples"] == 0, "so few inputs are explained exactly"
    first, second, _ = said["explanations"]
    assert first["contributions"]["distance"] > 0.1
    assert second["contributions"]["distance"] < -0.1
    columns = {name: [row[name] for row in rows] for name in ROW}
    assert post("explain", {"columns": columns}).json() == said


def test_past_predictions_by_the_version_that_made_them(
    make_spec: MakeSpec, store: Store, release: Release, endpoint: Running, post: Any
) -> None:
    spec = make_spec()
    serve(spec, store, release, endpoint)
    old = post("predict", {"rows": [ROW, ROW | {"hour": 23, "carrier": None}]}).json()
    for version in (2, 3):
        # Evaluated before the others served: put in service by the events alone.
        release(spec, seed=version)
        store.ledger.append("deployment.started", spec.name, {"version": version}, key=f"start {version}")
        store.ledger.append("deployment.finished", spec.name, {"version": version}, key=f"finish {version}")
    wait_for(endpoint, 3)
    new = post("predict", {"rows": [ROW] * 40}).json()
    assert (old["version"], new["version"]) == (1, 3)
    with damaged(store, 1):
        assert code(post("explain", {"ids": old["ids"]})) == (500, "data_checksum_mismatch")
    ids = [old["ids"][1], new["ids"][39], old["ids"][0]]
    said = post("explain", {"ids": ids}).json()
    assert said["version"] is None
    assert [one["id"] for one in said["explanations"]] == ids
    assert [one["version"] for one in said["explanations"]] == [1, 3, 1]
    expected = [old["probabilities"][1], new["probabilities"][39], old["probabilities"][0]]
    for one, probability in zip(said["explanations"], expected, strict=True):
        added_up(one)
        assert one["answer"] == pytest.approx(probability, abs=1e-9)
        assert one["answer_matches"] is True


@contextmanager
def damaged(store: Store, version: int) -> Iterator[None]:
    """One byte of the version's bundle is another."""
    digest = hashlib.sha256(bundle_of(store, "small", version).files["golden.jsonl"]).hexdigest()
    place = store.objects.place(digest)  # type: ignore[attr-defined]
    whole = place.read_bytes()
    place.write_bytes(whole[:-2] + b" \n")
    yield
    place.write_bytes(whole)


def wait_for(endpoint: Running, version: int) -> None:
    def serves() -> bool:
        step = endpoint.follower.now("small")
        return step is not None and step.split is not None and step.split.champion.version == version

    wait_until(serves)


def test_what_is_refused(make_spec: MakeSpec, store: Store, release: Release, endpoint: Running, post: Any) -> None:
    serve(make_spec(), store, release, endpoint)
    one = post("predict", {"rows": [ROW]}).json()["ids"][0]
    assert code(post("explain", {"rows": [ROW], "ids": [one]})) == (400, "body_shape")
    assert code(post("explain", {"rows": [ROW] * 21})) == (413, "too_many_rows")
    assert code(post("explain", {"ids": [one] * 21})) == (413, "too_many_rows")
    assert code(post("explain", {"ids": []})) == (400, "rows_empty")
    assert code(post("explain", {"ids": [one, 7]})) == (400, "type")
    assert code(post("explain", {"ids": "../../x"})) == (400, "type")
    assert code(post("explain", {"ids": ["0" * 32]})) == (404, "prediction_not_found")
    assert code(post("explain", {"rows": [ROW | {"hour": "3"}]})) == (400, "type")
    assert code(post("explain", {"rows": [ROW]}, "other")) == (404, "model_not_found")
    assert post("explain", {"ids": [one, one]}).status_code == 200


@pytest.mark.parametrize(
    ("capture", "expected"),
    [
        ({"redact": ["carrier"]}, (409, "inputs_not_kept")),
        ({"inputs": "digest"}, (409, "inputs_not_kept")),
        ({"sample": 0}, (404, "prediction_not_found")),
    ],
)
def test_what_the_policy_did_not_keep(
    make_spec: MakeSpec, store: Store, release: Release, endpoint: Running, post: Any, capture: Any, expected: Any
) -> None:
    serve(make_spec(deploy={"capture": capture}), store, release, endpoint)
    ids = post("predict", {"rows": [ROW]}).json()["ids"]
    assert code(post("explain", {"ids": ids})) == expected


@pytest.mark.parametrize(
    ("task", "target", "metric", "estimator", "unit"),
    [
        ("regression", "delay", "rmse", "sklearn.linear_model.Ridge", "delay"),
        ("multiclass", "carrier", "log_loss", "sklearn.linear_model.LogisticRegression", "probability of carrier = "),
    ],
)
def test_other_tasks(
    make_spec: MakeSpec, store: Store, release: Release, endpoint: Running, post: Any,
    task: str, target: str, metric: str, estimator: str, unit: str,
) -> None:  # fmt: skip
    spec = make_spec(
        task=task,
        target=target,
        inputs=["distance", "hour"],
        train={"trainer": {"type": "sklearn", "estimator": estimator}},
        evaluate={"metric": metric, "bootstrap": 20, "min_slice": 20},
    )
    serve(spec, store, release, endpoint)
    row = {"distance": 1.5, "hour": 3}
    answered = post("predict", {"rows": [row]}).json()
    (one,) = post("explain", {"ids": answered["ids"]}).json()["explanations"]
    added_up(one)
    assert one["answer_matches"] is True
    assert one["unit"].startswith(unit)
    assert one["prediction"] == answered["predictions"][0]
    told = max(answered["probabilities"][0]) if task == "multiclass" else answered["predictions"][0]
    assert one["answer"] == pytest.approx(told, abs=1e-9)


def test_a_server_without_a_store_finds_no_prediction(make_spec: MakeSpec, store: Store, release: Release) -> None:
    from slipstream.errors import RequestError
    from slipstream.serving.models.explain import Explaining
    from slipstream.serving.models.traffic_split import TrafficSplit
    from slipstream.serving.version.capture_policy import NOTHING_KEPT
    from slipstream.serving.version.load import load_served

    spec = make_spec()
    release(spec)
    alone = Explaining(TrafficSplit(load_served(bundle_of(store, spec.name, 1), "abc", 1000, NOTHING_KEPT)), 20, None)
    said = json.loads(alone.answer(json.dumps({"rows": [ROW]}).encode()))
    added_up(said["explanations"][0])
    assert said["version"] == "abc"
    with pytest.raises(RequestError) as caught:
        alone.answer(b'{"ids": ["%s"]}' % (b"0" * 32))
    assert (caught.value.status, caught.value.code) == (409, "predictions_not_kept")
