"""What every target keeps, and how a deployment goes through each: the local proof, and a running endpoint."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from slipstream.errors import Conflict, DeployError, NotFound, StageError
from slipstream.spec.model import ModelSpec
from slipstream.stages.deploy import deploy
from slipstream.store import Store
from tests.contract.running_endpoint import ROW, Running, run_endpoint, traffic, wait_until

Release = Callable[..., Any]
MakeSpec = Callable[..., ModelSpec]


@pytest.fixture
def endpoint(store: Store) -> Iterator[Running]:
    # The endpoint has its own view of the store, as in another process.
    running = run_endpoint(Store.open(store.url))
    yield running
    running.stop()


@pytest.fixture(params=["local", "endpoint"])
def target(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A target's word, and the endpoint's URL where there is one."""
    if request.param == "local":
        return "local", "http://127.0.0.1:1"
    return "endpoint", request.getfixturevalue("endpoint").url


@pytest.fixture
def spec(make_spec: MakeSpec, target: tuple[str, str]) -> ModelSpec:
    return make_spec(deploy={"target": {"type": target[0]}, "timeout": "1m"})


def damage(store: Store, spec: ModelSpec, version: int) -> None:
    """Change one byte of the version's model in the store."""
    from slipstream.bundle.bundle import open_bundle

    bundle = open_bundle(store, store.ledger.state().model(spec.name).versions[version].data["result"]["bundle"])
    digest = hashlib.sha256(bundle.files["golden.jsonl"]).hexdigest()
    place = store.objects.place(digest)  # type: ignore[attr-defined]
    place.write_bytes(place.read_bytes()[:-2] + b" \n")


def kinds(store: Store) -> list[str]:
    return [event.kind for event in store.ledger.read() if event.kind.startswith("deployment.")]


class TestEveryTarget:
    def test_takes_a_version_and_the_next(self, spec: ModelSpec, store: Store, release: Release, target: Any) -> None:
        one = deploy(spec, store, release(spec).version, endpoint=target[1], actor="me")
        assert (one.version, one.previous, one.reused) == (1, None, False)
        again = deploy(spec, store, 1, endpoint=target[1])
        assert (again.run, again.reused) == (one.run, True)
        two = deploy(spec, store, release(spec, seed=1).version, endpoint=target[1])
        assert (two.version, two.previous) == (2, 1)
        state = store.ledger.state().model(spec.name)
        assert (state.champion, state.previous, state.deployment) == (2, 1, None)
        assert kinds(store) == ["deployment.started", "deployment.finished"] * 2

    def test_goes_back_to_a_version_that_served(
        self, spec: ModelSpec, store: Store, release: Release, target: Any
    ) -> None:
        for seed in (0, 1):
            deploy(spec, store, release(spec, seed=seed).version, endpoint=target[1])
        back = deploy(spec, store, 1, endpoint=target[1])
        assert (back.version, back.previous, back.reused) == (1, 2, False)
        assert store.ledger.state().model(spec.name).champion == 1

    def test_a_damaged_version_is_rolled_back_and_the_champion_serves_on(
        self, spec: ModelSpec, store: Store, release: Release, target: Any
    ) -> None:
        deploy(spec, store, release(spec).version, endpoint=target[1])
        bad = release(spec, seed=1).version
        damage(store, spec, bad)
        for _ in range(2):  # a retry is a new attempt, refused anew
            with pytest.raises(DeployError, match="checksum differs"):
                deploy(spec, store, bad, endpoint=target[1])
        state = store.ledger.state().model(spec.name)
        assert (state.champion, state.deployment) == (1, None)
        assert kinds(store)[2:] == ["deployment.started", "deployment.rolled_back"] * 2
        reason = store.ledger.read(kind="deployment.rolled_back")[0].data["reason"]
        assert "checksum differs" in reason

    def test_finishes_what_a_killed_deployment_began(
        self, spec: ModelSpec, store: Store, release: Release, target: Any
    ) -> None:
        release(spec)
        for point in ("deploy.started", "deploy.worked", "deploy.committed"):
            program = (
                "import sys; from pathlib import Path\n"
                "from slipstream.spec.loader import load_spec; from slipstream.stages.deploy import deploy\n"
                "from slipstream.store import Store\n"
                "deploy(load_spec(Path(sys.argv[1])), Store.open(sys.argv[2]), 1, endpoint=sys.argv[3])\n"
            )
            words = [sys.executable, "-c", program, str(spec.folder), store.url, target[1]]
            done = subprocess.run(words, env={**os.environ, "SLIPSTREAM_FAULTPOINT": point}, check=False)
            assert done.returncode == -signal.SIGKILL, point
        assert deploy(spec, store, 1, endpoint=target[1]).reused
        assert kinds(store) == ["deployment.started", "deployment.finished"]


class TestWhatMayBeDeployed:
    @pytest.fixture
    def spec(self, make_spec: MakeSpec) -> ModelSpec:
        return make_spec(deploy={"target": {"type": "local"}})

    def test_an_unknown_version(self, spec: ModelSpec, store: Store) -> None:
        with pytest.raises(NotFound, match="no version 7") as caught:
            deploy(spec, store, 7, endpoint="")
        assert caught.value.code == "version_not_found"

    def test_a_version_that_did_not_pass(self, make_spec: MakeSpec, store: Store, release: Release) -> None:
        strict = make_spec(gates=[{"type": "metric", "bound": 0.9999}], deploy={"target": {"type": "local"}})
        release(strict)
        with pytest.raises(StageError, match="did not pass") as caught:
            deploy(strict, store, 1, endpoint="")
        assert caught.value.code == "gate_not_passed"
        assert kinds(store) == []

    def test_a_version_that_nobody_approved(self, make_spec: MakeSpec, store: Store, release: Release) -> None:
        from slipstream.rollout.approval import ApprovalAnswer
        from slipstream.stages.approve import approve

        spec = make_spec(approval={"mode": "manual"}, deploy={"target": {"type": "local"}})
        release(spec)
        with pytest.raises(StageError) as caught:
            deploy(spec, store, 1, endpoint="")
        assert caught.value.code == "approval_missing"
        approve(spec, store, 1, ApprovalAnswer(False, "eve", "", "q1"))
        with pytest.raises(StageError) as caught:
            deploy(spec, store, 1, endpoint="")
        assert caught.value.code == "approval_refused"
        approve(spec, store, 1, ApprovalAnswer(True, "adam", "", "q2"))
        assert deploy(spec, store, 1, endpoint="").version == 1

    def test_a_version_that_was_compared_with_another_champion(
        self, spec: ModelSpec, store: Store, release: Release
    ) -> None:
        release(spec)
        release(spec, seed=1)  # evaluated while there was no champion
        deploy(spec, store, 1, endpoint="")
        with pytest.raises(Conflict, match="champion is 1, you compared with none") as caught:
            deploy(spec, store, 2, endpoint="")
        assert caught.value.code == "promotion_stale"

    def test_beside_another_deployment(self, spec: ModelSpec, store: Store, release: Release) -> None:
        release(spec)
        release(spec, seed=1)
        store.ledger.append("deployment.started", spec.name, {"version": 1}, key="begun elsewhere")
        with pytest.raises(Conflict, match="version 1 is being rolled out") as caught:
            deploy(spec, store, 2, endpoint="")
        assert caught.value.code == "deployment_in_flight"
        assert deploy(spec, store, 1, endpoint="").version == 1

    def test_without_an_endpoint(self, make_spec: MakeSpec, store: Store, release: Release) -> None:
        spec = make_spec()
        release(spec)
        with pytest.raises(DeployError, match="make up") as caught:
            deploy(spec, store, 1, endpoint="http://127.0.0.1:9")
        assert caught.value.code == "endpoint_unreachable"
        assert kinds(store) == ["deployment.started", "deployment.rolled_back"]


class TestEndpoint:
    @pytest.fixture
    def spec(self, make_spec: MakeSpec) -> ModelSpec:
        return make_spec()

    def test_swaps_under_traffic_without_a_failed_or_mixed_answer(
        self, spec: ModelSpec, store: Store, release: Release, endpoint: Running
    ) -> None:
        deploy(spec, store, release(spec).version, endpoint=endpoint.url)
        release(spec, seed=1)
        seen: list[dict[str, Any]] = []
        with traffic(endpoint.url, spec.name, seen):
            wait_until(lambda: len(seen) > 5)
            # The second version was evaluated before the first served, so it is put in service by the events alone.
            for number, version in enumerate((2, 1, 2)):
                store.ledger.append("deployment.started", spec.name, {"version": version}, key=f"start {number}")
                store.ledger.append("deployment.finished", spec.name, {"version": version}, key=f"finish {number}")
                wait_until(lambda asked=version: seen[-1]["version"] == asked)  # type: ignore[misc]
        assert {said["status"] for said in seen} == {200}
        assert len({(said["version"], said["probabilities"][0]) for said in seen}) == 2, "each gives its own answer"

    def test_captures_what_it_answers(self, spec: ModelSpec, store: Store, release: Release, endpoint: Running) -> None:
        deploy(spec, store, release(spec).version, endpoint=endpoint.url)
        url = f"{endpoint.url}/models/{spec.name}/predict"
        said = httpx.post(url, json={"rows": [ROW, ROW | {"carrier": None, "distance": None}]}).json()
        endpoint.stop()  # what waits is written before the end
        files = store.tables.local_files(spec.name, "predictions", store.tables.sound(spec.name, "predictions").files)
        with duckdb.connect() as connection:
            found = connection.read_parquet(files).order("inputs.carrier NULLS LAST")
            rows = found.project(
                "prediction_id, version, inputs.distance, inputs.hour, inputs.carrier, prediction, probability"
            )
            answered = rows.fetchall()
        assert [row[0] for row in answered] == said["ids"]
        assert [row[1:5] for row in answered] == [(1, 1.0, 3.0, "A"), (1, None, 3.0, None)]
        assert [row[5] for row in answered] == [str(label).lower() for label in said["predictions"]]
        assert [row[6] for row in answered] == said["probabilities"]

    def test_captures_nothing_where_the_model_file_says_so(
        self, make_spec: MakeSpec, store: Store, release: Release, endpoint: Running
    ) -> None:
        spec = make_spec(deploy={"capture": False})
        deploy(spec, store, release(spec).version, endpoint=endpoint.url)
        assert httpx.post(f"{endpoint.url}/models/{spec.name}/predict", json={"rows": [ROW]}).status_code == 200
        endpoint.stop()
        assert store.tables.sound(spec.name, "predictions").files == ()

    def test_says_what_it_refused_and_serves_on(
        self, spec: ModelSpec, store: Store, release: Release, endpoint: Running
    ) -> None:
        deploy(spec, store, release(spec).version, endpoint=endpoint.url)
        release(spec, seed=1)
        damage(store, spec, 2)
        store.ledger.append("deployment.started", spec.name, {"version": 2}, key="k")
        wait_until(lambda: httpx.get(f"{endpoint.url}/models/{spec.name}").json()["state"] == "refused")
        known = httpx.get(f"{endpoint.url}/models/{spec.name}").json()
        assert (known["version"], known["state"], known["wanted"]) == (1, "refused", 2)
        assert known["refused"]["code"] == "data_checksum_mismatch"
        assert httpx.post(f"{endpoint.url}/models/{spec.name}/predict", json={"rows": [ROW]}).json()["version"] == 1
        assert httpx.get(f"{endpoint.url}/readyz").status_code == 200

    def test_that_starts_later_serves_the_champion(self, spec: ModelSpec, store: Store, release: Release) -> None:
        local = spec.model_copy(update={"deploy": spec.deploy.model_copy(update={"target": {"type": "local"}})})
        deploy(local, store, release(local).version, endpoint="")
        running = run_endpoint(Store.open(store.url))
        assert httpx.get(f"{running.url}/models").json()["models"][0]["version"] == 1
        running.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.server
@pytest.mark.parametrize("alone", [False, True], ids=["slipstream serve", "bentoml serve"])
def test_bentoml_serves(make_spec: MakeSpec, store: Store, release: Release, tmp_path: Path, alone: bool) -> None:
    """The real thing: `slipstream serve` on the store, and `bentoml serve` on the Bento away from store and source."""
    spec, port = make_spec(), free_port()
    packaged = release(spec)
    words = [sys.executable, "-m", "slipstream.cli", "serve", "--port", str(port)]
    if alone:
        words = [sys.executable, "-m", "bentoml", "serve", packaged.bento, "--host", "127.0.0.1", "--port", str(port)]
    places = {"SLIPSTREAM_STORE": store.url, "BENTOML_HOME": str(tmp_path / "bentos")}
    log = (tmp_path / "log").open("wb")
    server = subprocess.Popen(
        words, cwd=tmp_path, env={**os.environ, **places, "BENTOML_DO_NOT_TRACK": "True"}, stdout=log, stderr=log
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _ready(url), seconds=90)
        if not alone:
            deploy(spec, store, 1, endpoint=url)
        reply = httpx.post(f"{url}/models/{spec.name}/predict", json={"rows": [ROW]})
        assert reply.status_code == 200, reply.text
        assert reply.json()["version"] == (packaged.bundle[:12] if alone else 1)
        assert httpx.get(f"{url}/docs.json").status_code == 404
        assert httpx.get(f"{url}/metrics").status_code == 200
    finally:
        server.terminate()
        server.wait(30)
        log.close()
    assert bool(store.tables.sound(spec.name, "predictions").files) == (not alone), (tmp_path / "log").read_text()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
