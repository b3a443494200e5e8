"""A model that is taken out of service, and one whose folder was removed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from slipstream.cli.main import app
from slipstream.commands.history import history
from slipstream.errors import NotFound, SlipstreamError, SpecError, StageError
from slipstream.rollout.production_periods import as_of, production_periods
from slipstream.spec.model import ModelSpec
from slipstream.stages.decide import decide
from slipstream.stages.deploy import deploy, roll_back
from slipstream.stages.retire import retire
from slipstream.store import Store
from tests.contract.running_endpoint import ROW, Running, bundle_of, forge, run_endpoint, shifted, wait_until

MakeSpec = Callable[..., ModelSpec]


@pytest.fixture
def spec(make_spec: MakeSpec) -> ModelSpec:
    return make_spec(deploy={"timeout": "1m"})


@pytest.fixture
def endpoint(store: Store) -> Iterator[Running]:
    running = run_endpoint(Store.open(store.url))
    yield running
    running.stop()


@pytest.fixture
def two(spec: ModelSpec, store: Store, endpoint: Running, release: Any, tmp_path: Any) -> int:
    """The second version; both were champion, and it is now."""
    deploy(spec, store, release(spec).version, endpoint=endpoint.url)
    number = forge(store, spec.name, tmp_path / "keys", shifted(bundle_of(store, spec.name, 1), 0.5))
    deploy(spec, store, number, endpoint=endpoint.url)
    return number


def asked(endpoint: Running) -> tuple[int, str]:
    """Status and code of what the endpoint answers to one row."""
    reply = httpx.post(f"{endpoint.url}/models/small/predict", json={"rows": [ROW]})
    return reply.status_code, reply.json().get("error", {}).get("code", "")


def test_it_serves_no_more_and_keeps_its_record(spec: ModelSpec, store: Store, endpoint: Running, two: int) -> None:
    gone = retire(spec, store, endpoint=endpoint.url, reason="the route was closed.", actor="ann")
    assert (gone.champion, gone.deployment, gone.reused) == (two, None, False)
    assert asked(endpoint) == (410, "model_retired")
    reply = httpx.get(f"{endpoint.url}/models/small")
    assert reply.status_code == 410
    assert "model 'small' was retired on 20" in reply.json()["error"]["message"]
    assert httpx.get(f"{endpoint.url}/models").json() == {"models": []}
    assert httpx.get(f"{endpoint.url}/readyz").status_code == 200
    assert history(spec, store)[0].text == "The model was retired: the route was closed."
    last = production_periods(spec, store)[-1]
    assert (last.version, last.left) == (two, "the model was retired: the route was closed.")
    assert as_of(spec, store, str(store.ledger.state().seq)).term is None
    assert retire(spec, store, endpoint=endpoint.url).reused
    assert len(store.ledger.read(kind="model.retired")) == 1
    later = run_endpoint(Store.open(store.url))
    wait_until(lambda: httpx.get(f"{later.url}/readyz").status_code == 200)
    assert asked(later) == (410, "model_retired")
    later.stop()


def test_nothing_brings_it_back_by_itself(spec: ModelSpec, store: Store, endpoint: Running, two: int) -> None:
    retire(spec, store, endpoint=endpoint.url, reason="the route was closed.")
    place = {"endpoint": endpoint.url}
    for bring in (
        lambda: deploy(spec, store, two, **place, how="steps"),
        lambda: deploy(spec, store, two, **place),
        lambda: deploy(spec, store, two, **place, how="shadow"),
        lambda: roll_back(spec, store, **place),
    ):
        with pytest.raises(StageError, match="retired") as caught:
            bring()
        assert caught.value.code == "model_retired"
        assert "--again" in str(caught.value)
    with pytest.raises(NotFound, match="is retired: nothing is decided"):
        decide(spec, store)
    back = deploy(spec, store, two, **place, again=True, how="steps")
    assert (back.version, back.previous) == (two, None)
    assert asked(endpoint) == (200, "")
    assert store.ledger.state().model(spec.name).retired is None
    assert [term.version for term in production_periods(spec, store)] == [1, two, two]
    assert (
        production_periods(spec, store)[-1].why
        == f"Version {two} serves in full at once: the model was retired, and nothing serves."
    )
    assert roll_back(spec, store, **place).version == 1


def test_a_deployment_that_is_under_way_is_closed(spec: ModelSpec, store: Store, endpoint: Running, two: int) -> None:
    deploy(spec, store, 1, endpoint=endpoint.url, weight=0.5)
    gone = retire(spec, store, endpoint=endpoint.url)
    assert (gone.champion, gone.deployment) == (two, 1)
    assert asked(endpoint) == (410, "model_retired")
    assert store.ledger.state().model(spec.name).deployment is None


def test_without_an_endpoint_it_is_retired_all_the_same(
    spec: ModelSpec, store: Store, endpoint: Running, two: int
) -> None:
    endpoint.stop()
    assert retire(spec, store, endpoint=endpoint.url).champion == two


class TestRemoved:
    """The folder of a model was removed."""

    @pytest.fixture
    def cli(
        self, spec: ModelSpec, store: Store, endpoint: Running, two: int, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[..., Result]:
        monkeypatch.setenv("SLIPSTREAM_STORE", store.url)
        monkeypatch.setenv("SLIPSTREAM_MODELS", str(spec.folder.parent))
        monkeypatch.setenv("SLIPSTREAM_ENDPOINT", endpoint.url)
        shutil.rmtree(spec.folder)
        return lambda *words: CliRunner().invoke(app, [*words, "--json"])

    def test_is_listed_as_removed_and_told_of(self, cli: Callable[..., Result], two: int) -> None:
        (row,) = json.loads(cli("models").stdout)
        assert (row["model"], row["champion"], row["state"]) == ("small", two, "removed, serving")
        assert json.loads(cli("history", "small").stdout)[0]["text"].startswith(f"Version {two} was put into service")
        refused = cli("train", "small").exception
        assert isinstance(refused, SpecError)
        assert (refused.code, "slipstream retire small" in str(refused)) == ("model_removed", True)
        unknown = cli("history", "smal").exception
        assert isinstance(unknown, SlipstreamError)
        assert unknown.code == "spec_not_found"

    def test_is_rolled_back_and_retired(self, cli: Callable[..., Result], endpoint: Running, two: int) -> None:
        assert json.loads(cli("rollback", "small").stdout)["version"] == 1
        assert httpx.get(f"{endpoint.url}/models/small").json()["version"] == 1
        assert json.loads(cli("retire", "small").stdout)["champion"] == 1
        assert asked(endpoint) == (410, "model_retired")
        assert json.loads(cli("models").stdout)[0]["state"] == "removed, retired"
