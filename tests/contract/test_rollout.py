"""Canary, shadow, rollback and refusal at a running endpoint, driven by the events of the ledger alone."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from slipstream.bundle import skops_file
from slipstream.commands.history import history
from slipstream.errors import Conflict, DeployError, StageError, Superseded
from slipstream.serving.models.model_limits import ModelLimits
from slipstream.serving.models.preflight import Preflight, awaited
from slipstream.spec.model import ModelSpec
from slipstream.stages.deploy import deploy, roll_back
from slipstream.store import Store
from tests.contract.running_endpoint import (
    Client,
    Running,
    answer_of,
    append,
    bundle_of,
    forge,
    run_endpoint,
    shifted,
    traffic,
    wait_until,
)

Release = Callable[..., Any]
MakeSpec = Callable[..., ModelSpec]
Another = Callable[..., int]

BOUNDS = ModelLimits(size=2_000_000, latency=1.0)


@pytest.fixture
def spec(make_spec: MakeSpec) -> ModelSpec:
    return make_spec(deploy={"sticky": "header:x-user", "timeout": "1m"})


@pytest.fixture
def endpoint(store: Store) -> Iterator[Running]:
    running = run_endpoint(Store.open(store.url), BOUNDS)
    yield running
    running.stop()


@pytest.fixture
def another(spec: ModelSpec, store: Store, tmp_path: Path) -> Another:
    """``another(by)``: a version that answers otherwise, or one with some files changed."""

    def make(by: float = 1.0, **changed: bytes | None) -> int:
        files = changed or shifted(bundle_of(store, spec.name, 1), by)
        return forge(store, spec.name, tmp_path / "keys", dict(files))

    return make


@pytest.fixture
def first(spec: ModelSpec, store: Store, release: Release, endpoint: Running) -> int:
    """A champion in service."""
    return deploy(spec, store, release(spec).version, endpoint=endpoint.url).version


def known(endpoint: Running, spec: ModelSpec) -> dict[str, Any]:
    said: dict[str, Any] = httpx.get(f"{endpoint.url}/models/{spec.name}").json()
    return said


def users(client: Client, count: int) -> dict[str, int]:
    """Which version answers each user."""
    return {f"user {number}": client.ask(x_user=f"user {number}")["version"] for number in range(count)}


class TestCanary:
    @pytest.mark.usefixtures("first")
    def test_takes_its_share_and_keeps_whom_it_has(
        self, spec: ModelSpec, store: Store, endpoint: Running, another: Another
    ) -> None:
        two = another()
        open_ = deploy(spec, store, two, endpoint=endpoint.url, weight=0.2)
        assert (open_.version, open_.previous, open_.weight, open_.reused) == (2, 1, 0.2, False)
        assert deploy(spec, store, two, endpoint=endpoint.url, weight=0.2).reused
        said = known(endpoint, spec)
        assert (said["version"], said["state"], said["wanted"]) == (1, "serving", 2)
        assert {"version": 2, "weight": 0.2, "sticky": "header:x-user", "engine": "compiled"}.items() <= said[
            "challenger"
        ].items()
        with Client(endpoint.url, spec.name) as client:
            few = users(client, 600)
            assert users(client, 600) == few, "who is asked again is answered by the same version"
            assert 0.14 < sum(version == 2 for version in few.values()) / 600 < 0.26
            deploy(spec, store, two, endpoint=endpoint.url, weight=0.5)
            more = users(client, 600)
            assert 0.43 < sum(version == 2 for version in more.values()) / 600 < 0.57
            assert all(more[user] == 2 for user, version in few.items() if version == 2), "it keeps whom it has"
            whole = deploy(spec, store, two, endpoint=endpoint.url)
            assert (whole.previous, whole.weight, whole.reused) == (1, 1.0, False)
            assert set(users(client, 100).values()) == {2}
        kinds = [event.kind.partition(".")[2] for event in store.ledger.read() if event.kind.startswith("deployment.")]
        assert kinds == ["started", "finished", "started", "shifted", "shifted", "finished"]
        told = [entry.text for entry in history(spec, store)]
        assert "Version 2 is being rolled out to 20 % of the keys." in told
        assert "Version 2 is now rolled out to everybody." in told

    @pytest.mark.usefixtures("first")
    def test_is_taken_back(self, spec: ModelSpec, store: Store, endpoint: Running, another: Another) -> None:
        deploy(spec, store, another(), endpoint=endpoint.url, weight=0.5)
        back = roll_back(spec, store, endpoint=endpoint.url, reason="it is worse", actor="ann")
        assert (back.version, back.left) == (1, 2)
        with Client(endpoint.url, spec.name) as client:
            assert set(users(client, 50).values()) == {1}
        assert known(endpoint, spec)["challenger"] is None
        assert history(spec, store)[0].text == "Version 2 was rolled back: it is worse"
        assert store.ledger.state().model(spec.name).champion == 1

    @pytest.mark.usefixtures("first")
    def test_with_other_inputs_leaves_what_it_cannot_read_to_the_champion(
        self, make_spec: MakeSpec, store: Store, endpoint: Running, release: Release
    ) -> None:
        fewer = make_spec(inputs=["distance", "hour"], deploy={"timeout": "1m"})
        two = release(fewer, seed=1).version
        with pytest.raises(DeployError, match="input 'carrier' is gone") as caught:
            deploy(fewer, store, two, endpoint=endpoint.url, weight=1.0)
        assert caught.value.code == "version_refused"
        assert known(endpoint, fewer)["refused"]["code"] == "schema_incompatible"
        allowed = make_spec(inputs=["distance", "hour"], deploy={"timeout": "1m", "on_schema_change": "allow"})
        deploy(allowed, store, two, endpoint=endpoint.url, weight=1 - 1e-9)
        with Client(endpoint.url, fewer.name) as client:
            said = client.ask()  # its row has a carrier, which version 2 does not know
            assert (said["status"], said["version"]) == (200, 1)

    def test_needs_a_champion_to_stand_beside(self, spec: ModelSpec, store: Store, release: Release) -> None:
        release(spec)
        with pytest.raises(StageError, match="no version serves yet") as caught:
            deploy(spec, store, 1, endpoint="", weight=0.5)
        assert caught.value.code == "champion_missing"
        with pytest.raises(StageError, match="between 0 and 1") as caught:
            deploy(spec, store, 1, endpoint="", weight=1.5)
        assert caught.value.code == "weight_invalid"
        with pytest.raises(StageError) as caught:
            roll_back(spec, store, endpoint="")
        assert caught.value.code == "rollback_impossible"

    @pytest.mark.usefixtures("first")
    def test_of_another_version_waits_for_its_turn(
        self, spec: ModelSpec, store: Store, endpoint: Running, another: Another
    ) -> None:
        two, three = another(), another(2.0)
        deploy(spec, store, two, endpoint=endpoint.url, weight=0.1)
        with pytest.raises(Conflict, match="version 2 is being rolled out") as caught:
            deploy(spec, store, three, endpoint=endpoint.url, weight=0.1)
        assert caught.value.code == "deployment_in_flight"
        roll_back(spec, store, endpoint=endpoint.url)
        with pytest.raises(StageError) as refused:
            deploy(spec, store, 1, endpoint=endpoint.url, weight=0.1)
        assert refused.value.code == "already_champion"


class TestTwoAtOnce:
    @pytest.mark.usefixtures("first")
    @pytest.mark.parametrize(
        ("weight", "share"), [(0.3, {"how": "shadow"}), (0.3, {"weight": 0.6}), (None, {"weight": 0.5})]
    )
    def test_who_loses_is_told_within_a_second_and_takes_nothing_back(
        self, spec: ModelSpec, store: Store, endpoint: Running, another: Another, weight: float | None, share: Any
    ) -> None:
        two, told = another(), list[tuple[Exception, float]]()

        def lose() -> None:
            try:
                deploy(spec, Store.open(store.url), two, endpoint=endpoint.url, weight=weight)
            except Conflict as error:
                told.append((error, time.monotonic()))

        loser = threading.Thread(target=lose)
        loser.start()
        wait_until(lambda: store.ledger.state().model(spec.name).deployment == two)
        began = time.monotonic()
        won = deploy(spec, store, two, endpoint=endpoint.url, **share)
        loser.join(60)
        ((error, ended),) = told
        assert ended - began < 1.5
        assert isinstance(error, Superseded)
        assert str(error) == f"small: another deployment of version {two} is in flight; look at the history."
        model = store.ledger.state().model(spec.name)
        assert (model.deployment, model.weight, model.shadow) == (two, won.weight, won.shadow)
        said = known(endpoint, spec)
        assert (said["shadow" if won.shadow else "challenger"])["version"] == two


class TestShadow:
    def test_answers_to_nobody_and_is_compared(
        self, make_spec: MakeSpec, store: Store, release: Release, endpoint: Running, another: Another
    ) -> None:
        spec = make_spec(approval={"mode": "manual"}, deploy={"timeout": "1m"})
        append(store, spec.name, "approval.decided", version=release(spec).version, approved=True, comment="")
        deploy(spec, store, 1, endpoint=endpoint.url)
        two = another(-50.0)
        with pytest.raises(StageError) as caught:
            deploy(spec, store, two, endpoint=endpoint.url, weight=0.5)
        assert caught.value.code == "approval_missing"
        assert deploy(spec, store, two, endpoint=endpoint.url, how="shadow").shadow, "nobody needs to approve it"
        assert known(endpoint, spec)["shadow"]["version"] == two
        with Client(endpoint.url, spec.name) as client:
            assert {client.ask()["version"] for _ in range(50)} == {1}
        wait_until(lambda: count(endpoint, "slipstream_shadow_rows_total") == 50)
        assert count(endpoint, "slipstream_shadow_disagreements_total") == 50
        roll_back(spec, store, endpoint=endpoint.url)
        assert known(endpoint, spec)["shadow"] is None


def count(endpoint: Running, name: str) -> float:
    lines = [line for line in endpoint.metrics.text().decode().splitlines() if line.startswith(name + "{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


class TestRollback:
    @pytest.mark.usefixtures("first")
    def test_is_one_assignment_also_after_a_restart(
        self, spec: ModelSpec, store: Store, endpoint: Running, another: Another
    ) -> None:
        deploy(spec, store, another(), endpoint=endpoint.url)
        before = endpoint.follower.now(spec.name)
        assert before is not None
        assert before.split is not None
        with Client(endpoint.url, spec.name) as client:
            client.path = f"/models/{spec.name}/versions/1/predict"
            back = roll_back(spec, store, endpoint=endpoint.url)
        after = endpoint.follower.now(spec.name)
        assert (back.version, back.left) == (1, 2)
        assert after is not None
        assert after.split is not None
        assert after.split.champion is before.split.previous, "nothing was loaded"
        assert after.split.previous is before.split.champion
        assert back.seconds < 5
        endpoint.stop()
        again = run_endpoint(Store.open(store.url))
        wait_until(lambda: known(again, spec)["previous"] == 2)
        assert (known(again, spec)["version"], deploy(spec, store, 2, endpoint=again.url).version) == (1, 2)
        again.stop()

    @pytest.mark.usefixtures("first")
    def test_does_not_wait_for_a_version_that_is_being_proved(
        self, spec: ModelSpec, store: Store, endpoint: Running, another: Another
    ) -> None:
        two = another()
        append(store, spec.name, "deployment.started", version=two)
        wait_until(lambda: known(endpoint, spec)["state"] == "loading")
        append(store, spec.name, "deployment.rolled_back", version=two, previous=1, code="rolled_back", reason="")
        began = time.monotonic()
        wait_until(lambda: known(endpoint, spec)["state"] == "serving")
        assert time.monotonic() - began < 2
        assert known(endpoint, spec)["version"] == 1


def without_numbers(store: Store, spec: ModelSpec) -> bytes:
    """The champion's model, answering no numbers."""
    model = skops_file.load(bundle_of(store, spec.name, 1).files["model.skops"])
    model.steps[-1][1].coef_[:] = float("nan")
    return skops_file.dump(model)


def lose(store: Store, spec: ModelSpec, version: int, name: str, data: bytes | None) -> None:
    """Change what the store holds of one file of a version; None: remove it."""
    digest = hashlib.sha256(bundle_of(store, spec.name, version).files[name]).hexdigest()
    place = store.objects.place(digest)  # type: ignore[attr-defined]
    place.unlink() if data is None else place.write_bytes(data)


def test_a_first_deployment_that_is_taken_back_leaves_nothing(
    spec: ModelSpec, store: Store, release: Release, endpoint: Running
) -> None:
    release(spec)
    append(store, spec.name, "deployment.started", version=1)
    wait_until(lambda: known(endpoint, spec).get("version") == 1)
    back = roll_back(spec, store, endpoint=endpoint.url)
    assert (back.version, back.left) == (None, 1)
    wait_until(lambda: httpx.get(f"{endpoint.url}/models/{spec.name}").status_code == 404)
    with Client(endpoint.url, spec.name) as client:
        assert client.ask()["status"] == 404
    assert httpx.get(f"{endpoint.url}/models").json() == {"models": []}
    assert deploy(spec, store, 1, endpoint=endpoint.url).version == 1


class TestBadVersions:
    @pytest.mark.usefixtures("first")
    def test_of_eight_kinds_never_serve(
        self, spec: ModelSpec, store: Store, endpoint: Running, another: Another, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        good = bundle_of(store, spec.name, 1)
        golden = good.files["golden.jsonl"]
        as_sklearn: dict[str, bytes | None] = {"scorer/plan.json": None}
        made = {
            "crashes on load": another(0.5),
            "wrong golden answers": another(
                **{"golden.jsonl": golden.replace(b'"probability": 0.', b'"probability": 0.9')}
            ),
            "answers no number": another(**as_sklearn, **{"model.skops": without_numbers(store, spec)}),
            "tampered byte": another(**{"golden.jsonl": golden + b" "}),
            "missing file": another(**{"golden.jsonl": golden + b"  "}),
            "other schema": another(**{"schema.json": good.files["schema.json"].replace(b'"hour"', b'"hours"')}),
            "slow": another(**as_sklearn, **{"golden.jsonl": golden}),
            "huge": another(**{"background.parquet": os.urandom(3_000_000)}),
        }
        lose(store, spec, made["tampered byte"], "golden.jsonl", golden + b"\n")
        lose(store, spec, made["missing file"], "golden.jsonl", None)
        versions = store.ledger.state().model(spec.name).versions
        digest = versions[made["crashes on load"]].data["result"]["bundle"]
        monkeypatch.setenv("SLIPSTREAM_FAULTPOINT", f"serving.load.{digest[:16]}")
        right = answer_of(store, spec.name, 1)
        seen: list[dict[str, Any]] = []
        codes = {}
        with traffic(endpoint.url, spec.name, seen):
            for kind, version in made.items():
                with pytest.raises(DeployError) as caught:
                    deploy(spec, store, version, endpoint=endpoint.url, weight=0.5 if version % 2 else None)
                assert caught.value.code == "version_refused", kind
                codes[kind] = known(endpoint, spec)["refused"]["code"]
        assert codes == {
            "crashes on load": "version_crashed",
            "wrong golden answers": "golden_mismatch",
            "answers no number": "answer_not_finite",
            "tampered byte": "data_checksum_mismatch",
            "missing file": "model_digest_mismatch",
            "other schema": "schema_incompatible",
            "slow": "version_too_slow",
            "huge": "version_too_large",
        }
        assert {(said["status"], said["version"], said["probabilities"][0]) for said in seen} == {(200, 1, right)}
        assert store.ledger.state().model(spec.name).champion == 1
        assert count(endpoint, "slipstream_refusals_total") == 8
        assert deploy(spec, store, another(3.0), endpoint=endpoint.url).version == 10, "the next good one is taken"

    @pytest.mark.usefixtures("first")
    def test_that_hang_or_eat_memory_are_ended(self, spec: ModelSpec, store: Store) -> None:
        bundle = bundle_of(store, spec.name, 1).digest
        for bounds, code in (
            (ModelLimits(seconds=0.05), {"version_too_slow"}),
            (ModelLimits(memory=40 << 20), {"version_too_large", "version_crashed", "version_unloadable"}),
            (ModelLimits(), {""}),
        ):
            prover = Preflight(store.url, bounds)
            while (verdict := prover.verdict(bundle, 1)) is None:
                time.sleep(0.01)
            assert verdict.code in code, verdict
            prover.close()

    @pytest.mark.parametrize(("busy", "ends"), [(0.03, True), (0.0, False)])
    def test_what_works_slowly_is_waited_for_and_what_stands_still_is_not(self, busy: float, ends: bool) -> None:
        program = (
            "import time\n"
            "for _ in range(20):\n"
            f"    until = time.process_time() + {busy}\n"
            "    while time.process_time() < until: pass\n"
            "    time.sleep(0.1)\n"
            "print('done')\n"
        )
        words = [sys.executable, "-S", "-c", program]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            if ends:
                assert awaited(child, b"", 1.5)[0] == b"done\n"
            else:
                with pytest.raises(subprocess.TimeoutExpired):
                    awaited(child, b"", 0.5)
                child.kill()

    @pytest.mark.usefixtures("first")
    def test_a_champion_that_cannot_be_loaded_after_a_restart_leaves_the_one_before_it(
        self, spec: ModelSpec, store: Store, endpoint: Running, another: Another
    ) -> None:
        deploy(spec, store, another(), endpoint=endpoint.url)
        endpoint.stop()
        lose(store, spec, 2, "golden.jsonl", b"{}\n")
        again = run_endpoint(Store.open(store.url))
        said = known(again, spec)
        assert (said["version"], said["state"], said["wanted"]) == (1, "refused", 2)
        with Client(again.url, spec.name) as client:
            assert client.ask()["version"] == 1
        assert httpx.get(f"{again.url}/readyz").status_code == 200
        again.stop()


class TestSeveralWorkers:
    def test_cut_over_together(
        self, spec: ModelSpec, store: Store, release: Release, another: Another, tmp_path: Path
    ) -> None:
        release(spec)
        two = another()
        append(store, spec.name, "deployment.finished", version=1)
        board = tmp_path / "board"
        ones = [run_endpoint(Store.open(store.url), barrier=board) for _ in range(2)]
        torn, stop = [], threading.Event()

        def watch() -> None:
            while not stop.is_set():
                early, late = (one.follower.now(spec.name) for one in ones)
                again = ones[0].follower.now(spec.name)
                told = [step.split.champion.version for step in (early, late, again) if step and step.split]
                if told[0] == told[2] != told[1]:
                    torn.append(told)

        watcher = threading.Thread(target=watch)
        watcher.start()
        for version in (two, 1) * 10:
            append(store, spec.name, "deployment.started", version=version)
            append(store, spec.name, "deployment.finished", version=version)
            for one in ones:
                wait_until(lambda asked=version, one=one: known(one, spec)["version"] == asked)  # type: ignore[misc]
        stop.set()
        watcher.join()
        assert torn == []
        assert sum(count(one, "slipstream_swaps_total") for one in ones) == 21, "each swap is counted once"
        assert len(list((tmp_path / "board.proofs").iterdir())) == 1, "one worker proves for all"
        for one in ones:
            one.stop()


def test_the_endpoint_needs_no_sklearn_for_compiled_models(spec: ModelSpec, store: Store, release: Release) -> None:
    release(spec)
    append(store, spec.name, "deployment.finished", version=1)
    program = (
        "import sys, time\n"
        "from slipstream.serving.models.follower import Follower\n"
        "from slipstream.serving.metrics.metrics import Metrics\n"
        "from slipstream.store import Store\n"
        "follower = Follower(Store.open(sys.argv[1]), Metrics(), max_rows=10)\n"
        "while follower.poll() or not follower.ready(): time.sleep(0.01)\n"
        "assert follower.now(sys.argv[2]).split.quick\n"
        "print(sorted({'pandas', 'sklearn', 'scipy', 'skops'} & set(sys.modules)))\n"
    )
    words = [sys.executable, "-c", program, store.url, spec.name]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_killed_canary_is_finished_by_the_next_try(
    spec: ModelSpec, store: Store, release: Release, another: Another
) -> None:
    local = spec.model_copy(update={"deploy": spec.deploy.model_copy(update={"target": {"type": "local"}})})
    deploy(local, store, release(local).version, endpoint="")
    two = another()
    program = (
        "import sys; from slipstream.spec.loader import load_spec; from slipstream.stages.deploy import deploy\n"
        "from pathlib import Path; from slipstream.store import Store\n"
        "spec = load_spec(Path(sys.argv[1]))\n"
        "spec = spec.model_copy(update={'deploy': spec.deploy.model_copy(update={'target': {'type': 'local'}})})\n"
        "deploy(spec, Store.open(sys.argv[2]), 2, endpoint='', weight=float(sys.argv[4]) if sys.argv[4] else None)\n"
    )
    for point, weight in (("deploy.started", "0.1"), ("deploy.shifted", "0.5"), ("deploy.shifted", "")):
        words = [sys.executable, "-c", program, str(spec.folder), store.url, "", weight]
        done = subprocess.run(words, env={**os.environ, "SLIPSTREAM_FAULTPOINT": point}, check=False)
        assert done.returncode == -signal.SIGKILL, point
    assert not deploy(local, store, two, endpoint="").reused
    kinds = [event.kind.partition(".")[2] for event in store.ledger.read() if event.kind.startswith("deployment.")]
    assert kinds == ["started", "finished", "started", "shifted", "shifted", "finished"]
