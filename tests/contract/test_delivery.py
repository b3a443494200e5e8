"""A version is delivered step by step under real requests: a good one takes over, a bad one is taken back at once."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from slipstream.commands.history import history
from slipstream.errors import Conflict, DeployError, StageError
from slipstream.serving.models.model_limits import ModelLimits
from slipstream.spec.model import ModelSpec
from slipstream.stages.deploy import deploy, roll_back
from slipstream.store import Store
from tests.contract import delivered_bundles as bad
from tests.contract.running_endpoint import (
    ROW,
    Client,
    Running,
    bundle_of,
    forge,
    run_endpoint,
    shifted,
    wait_until,
)

Release = Callable[..., Any]
MakeSpec = Callable[..., ModelSpec]
Another = Callable[..., int]

ROLLOUT: dict[str, Any] = {
    "steps": [0.1, 0.5],
    "bake": "2s",
    "alarms": {"errors": 0.01, "latency": 3.0, "missing": 0.1, "disagreement": 0.3},
}


@pytest.fixture
def rollout() -> dict[str, Any]:
    """What the model file says of the rollout."""
    return ROLLOUT


@pytest.fixture
def spec(make_spec: MakeSpec, rollout: dict[str, Any]) -> ModelSpec:
    return make_spec(deploy={"sticky": "header:x-user", "timeout": "2m", "rollout": rollout})


@pytest.fixture
def endpoint(store: Store) -> Iterator[Running]:
    running = run_endpoint(Store.open(store.url), ModelLimits(size=2_000_000, seconds=120.0))
    yield running
    running.stop()


@pytest.fixture
def another(spec: ModelSpec, store: Store, tmp_path: Path) -> Another:
    """``another(**files)``: a version like the first but for some files; without any it answers nearly the same."""

    def make(**files: Any) -> int:
        return forge(store, spec.name, tmp_path / "keys", files or shifted(bundle_of(store, spec.name, 1), 0.01))

    return make


@pytest.fixture
def first(spec: ModelSpec, store: Store, release: Release, endpoint: Running) -> int:
    """A champion in service."""
    return deploy(spec, store, release(spec).version, endpoint=endpoint.url, how="steps").version


@contextmanager
def asking(endpoint: Running, model: str, seen: list[dict[str, Any]]) -> Iterator[None]:
    """A client that asks all the time: 997 users in turn, each tenth time about an odd row."""
    stop = threading.Event()

    def send() -> None:
        with Client(endpoint.url, model) as client:
            number = 0
            while not stop.is_set():
                number += 1
                row = {**ROW, "distance": number * 0.7919 % 4 - 2}  # half of them a yes
                said = client.ask(bad.ODD if number % 10 == 0 else row, x_user=f"user {number % 997}")
                seen.append(said | {"at": time.monotonic()})
                time.sleep(0.002)  # the endpoint shares this process

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)


def closing(store: Store) -> list[str]:
    return [event.kind.partition(".")[2] for event in store.ledger.read() if event.kind.startswith("deployment.")]


def traffic_of(endpoint: Running, model: str) -> dict[int, dict[str, Any]]:
    said = httpx.get(f"{endpoint.url}/models/{model}").json()
    return {told["version"]: told for told in said["traffic"]}


@pytest.mark.usefixtures("first")
class TestGood:
    def test_goes_step_by_step_and_takes_over(
        self, spec: ModelSpec, store: Store, endpoint: Running, another: Another
    ) -> None:
        two, seen, lines = another(), list[dict[str, Any]](), list[str]()
        shares: dict[float, list[int]] = {}
        with asking(endpoint, spec.name, seen):
            made = deploy(spec, store, two, endpoint=endpoint.url, actor="ann", progress=lines.append, how="steps")
        assert (made.version, made.previous, made.weight) == (2, 1, 1.0)
        assert {said["status"] for said in seen} == {200}
        assert closing(store)[2:] == ["started", "shifted", "shifted", "shifted", "finished"]
        last = store.ledger.read(kind="deployment.finished")[-1].data
        steps = last["evidence"]["steps"]
        assert [round(step["weight"], 3) for step in steps] == [0.1, 0.5, 1.0]
        for step in steps[:2]:
            asked = Counter(said["version"] for said in seen)
            shares[step["weight"]] = [step["requests"], asked.total()]
        for step, wide in zip(steps, (0.1, 0.5, 1.0), strict=True):
            champion, challenger = step["champion"]["requests"], step["requests"]
            assert challenger > 20, step
            if wide < 0.5:  # the champion's figures count from the start of the rollout
                near = 4 * math.sqrt(wide * (1 - wide) / 997)  # users, not requests, are drawn
                assert abs(challenger / (champion + challenger) - wide) < near + 0.03
        reason = last["reason"]
        assert reason.startswith(
            "Version 2 took over from version 1 after 10 %, 50 % and 100 % of the keys for 2s each: "
        )
        assert reason.endswith(" requests, no alarm of errors, latency, missing, disagreement.")
        assert lines[-1] == reason
        assert deploy(spec, store, two, endpoint=endpoint.url, how="steps").reused
        told = traffic_of(endpoint, spec.name)
        assert set(told) == {2}
        assert told[2]["role"] == "champion"
        assert told[2]["compared"] > 50
        assert told[2]["failures"] == 0

    def test_without_a_request_it_says_so(
        self, make_spec: MakeSpec, store: Store, endpoint: Running, another: Another
    ) -> None:
        spec = make_spec(deploy={"timeout": "1m", "rollout": {"steps": [], "bake": "1s"}})
        deploy(spec, store, another(), endpoint=endpoint.url, how="steps")
        reason = store.ledger.read(kind="deployment.finished")[-1].data["reason"]
        assert reason == (
            "Version 2 took over from version 1 after 100 % of the keys for 1s: no request came, so nothing was judged."
        )

    def test_that_is_not_asked_often_enough_is_taken_back(
        self, make_spec: MakeSpec, store: Store, endpoint: Running, another: Another
    ) -> None:
        patient = {"steps": [0.5], "bake": "1s", "min_requests": 10, "patience": "1s"}
        spec = make_spec(deploy={"timeout": "1m", "rollout": patient})
        for _ in range(2):  # nothing was wrong with it: it may be tried again
            with pytest.raises(DeployError, match="was asked 0 times in 1 s, of 10 that its step needs") as caught:
                deploy(spec, store, 2 if _ else another(), endpoint=endpoint.url, how="steps")
            assert caught.value.code == "rolled_back"


@pytest.mark.parametrize("rollout", [{**ROLLOUT, "min_requests": 60}])  # a percentile needs 50
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
@pytest.mark.usefixtures("first")
def test_bad_ones_of_eight_kinds_are_never_promoted_and_fail_no_request(
    spec: ModelSpec, store: Store, endpoint: Running, another: Another, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = bundle_of(store, spec.name, 1)
    golden = good.files["golden.jsonl"]
    made = {
        "crashes on load": another(**{"golden.jsonl": golden.replace(b"\n", b"\n\n", 1)}),
        "wrong class set": another(
            **{
                "schema.json": json.dumps(
                    {**json.loads(good.files["schema.json"]), "classes": [0, 1], "positive": 1}
                ).encode()
            }
        ),
        "eats memory": another(**{"background.parquet": os.urandom(3_000_000)}),
        "crashes when it is asked": another(**bad.crashing(good)),
        "answers no number": another(**bad.not_a_number(good)),
        "slow": another(**{"scorer/plan.json": None}),
        "always one class": another(**bad.one_class(good)),
        "wrong answers": another(**bad.inverted(good)),
    }
    digest = store.ledger.state().model(spec.name).versions[made["crashes on load"]].data["result"]["bundle"]
    monkeypatch.setenv("SLIPSTREAM_FAULTPOINT", f"serving.load.{digest[:16]}")
    expected = {
        "crashes on load": "version_refused",
        "wrong class set": "version_refused",
        "eats memory": "version_refused",
        "crashes when it is asked": "errors",
        "answers no number": "errors",
        "slow": "latency",
        "always one class": "disagreement",
        "wrong answers": "disagreement",
    }
    seen: list[dict[str, Any]] = []
    late: dict[str, float] = {}
    with asking(endpoint, spec.name, seen):
        for kind, version in made.items():
            with pytest.raises(DeployError) as caught:
                deploy(spec, store, version, endpoint=endpoint.url, how="steps")
            returned = time.monotonic()
            closed = store.ledger.read(kind="deployment.rolled_back")[-1]
            assert closed.data["version"] == version
            assert closed.data.get("alarm", closed.data["code"]) == expected[kind], kind
            time.sleep(0.3)
            assert {said["version"] for said in seen if said["at"] > returned} <= {1}, kind
            late[kind] = time.time() - _unix(closed.time)
            if closed.data.get("alarm"):
                assert closed.data["evidence"]["challenger"]["requests"] + closed.data["evidence"]["requests"] > 0
                assert caught.value.code == "rolled_back"
                with pytest.raises(StageError, match="was taken back by an alarm on") as refused:
                    deploy(spec, store, version, endpoint=endpoint.url, how="steps")
                assert refused.value.code == "version_rolled_back"
    assert max(late.values()) < 10, late
    assert Counter(said["status"] for said in seen) == {200: len(seen)}
    assert store.ledger.state().model(spec.name).champion == 1
    told = [entry.text for entry in history(spec, store, newest=200)]
    assert any(text.startswith("Version 5 was rolled back: Version 5 could not answer ") for text in told)


def _unix(time_: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(time_).timestamp()


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
@pytest.mark.usefixtures("first")
def test_one_that_was_taken_back_can_be_asked_for_again(
    spec: ModelSpec, store: Store, endpoint: Running, another: Another
) -> None:
    two = another(**bad.not_a_number(bundle_of(store, spec.name, 1)))
    seen: list[dict[str, Any]] = []
    with asking(endpoint, spec.name, seen), pytest.raises(DeployError, match="could not answer"):
        deploy(spec, store, two, endpoint=endpoint.url, how="steps")
    short = spec.model_copy(
        update={
            "deploy": spec.deploy.model_copy(update={"rollout": spec.deploy.rollout.model_copy(update={"steps": ()})})
        }
    )
    assert deploy(short, store, two, endpoint=endpoint.url, again=True, how="steps").version == two, (
        "nobody asked it anything odd"
    )


PROGRAM = """
import sys
from pathlib import Path
from slipstream.spec.loader import load_spec
from slipstream.stages.deploy import deploy
from slipstream.store import Store
deploy(load_spec(Path(sys.argv[1])), Store.open(sys.argv[2]), int(sys.argv[3]), endpoint=sys.argv[4], how="steps")
"""


@dataclass
class Run:
    """A run of :data:`PROGRAM`, and what it said."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait(self) -> int:
        return self.process.wait(60)


def deliverer(spec: ModelSpec, store: Store, version: int, endpoint: Running, point: str = "") -> Run:
    words = [sys.executable, "-c", PROGRAM, str(spec.folder), store.url, str(version), endpoint.url]
    env = {**os.environ, "SLIPSTREAM_FAULTPOINT": point}
    log = Path(spec.folder).parent / f"{version}-{time.monotonic_ns()}.log"
    with log.open("w") as sink:
        run = subprocess.Popen(words, env=env, stderr=sink)
    return Run(run, log)


@pytest.mark.parametrize("rollout", [{**ROLLOUT, "bake": "1s"}])
@pytest.mark.usefixtures("first")
class TestKilled:
    def test_in_each_step_it_is_finished_once_by_the_next_run(
        self, spec: ModelSpec, store: Store, endpoint: Running, another: Another
    ) -> None:
        two, seen = another(), list[dict[str, Any]]()
        points = ("delivery.started", "delivery.shifted", "delivery.shifted:2", "delivery.promoting", "deploy.worked")
        with asking(endpoint, spec.name, seen):
            for point in (*points, "deploy.committed"):
                run = deliverer(spec, store, two, endpoint, point)
                assert run.wait() == -signal.SIGKILL, point
                if point == "delivery.shifted:2":  # and once in the middle of a bake
                    run = deliverer(spec, store, two, endpoint)
                    time.sleep(2.5)
                    run.process.kill()
                    run.wait()
        assert deploy(spec, store, two, endpoint=endpoint.url, how="steps").reused
        kinds = closing(store)[2:]
        assert (kinds.count("started"), kinds.count("finished"), kinds.count("rolled_back")) == (1, 1, 0)
        last = store.ledger.read(kind="deployment.finished")[-1].data
        assert [round(step["weight"], 3) for step in last["evidence"]["steps"]] == [0.1, 0.5, 1.0]
        assert last["reason"].startswith("Version 2 took over from version 1 after 10 %, 50 % and 100 % of the keys")
        assert {said["status"] for said in seen} == {200}
        store.ledger.verify()

    @pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
    def test_right_after_an_alarm_the_version_stays_out(
        self, spec: ModelSpec, store: Store, endpoint: Running, another: Another
    ) -> None:
        two, seen = another(**bad.not_a_number(bundle_of(store, spec.name, 1))), list[dict[str, Any]]()
        with asking(endpoint, spec.name, seen):
            assert deliverer(spec, store, two, endpoint, "delivery.rolled_back").wait() == -signal.SIGKILL
            wait_until(lambda: set(traffic_of(endpoint, spec.name)) == {1}, 10)
            with pytest.raises(StageError, match="could not answer"):
                deploy(spec, store, two, endpoint=endpoint.url, how="steps")
        assert closing(store)[-1] == "rolled_back"
        assert {said["status"] for said in seen} == {200}


@pytest.mark.usefixtures("first")
class TestAtOnce:
    def test_one_run_goes_on_and_the_other_is_told(
        self, spec: ModelSpec, store: Store, endpoint: Running, another: Another
    ) -> None:
        two = another()
        runs = [deliverer(spec, store, two, endpoint) for _ in range(2)]
        told = sorted((run.wait(), run.log.read_text()) for run in runs)
        assert [code for code, _ in told] == [0, 1]
        assert "delivery of version 2 is in the hands of another run" in told[1][1]
        kinds = closing(store)[2:]
        assert (kinds.count("started"), kinds.count("finished"), kinds.count("rolled_back")) == (1, 1, 0)

    def test_another_version_waits_for_its_turn(
        self, spec: ModelSpec, store: Store, endpoint: Running, another: Another
    ) -> None:
        two, three = another(), another()
        run = deliverer(spec, store, two, endpoint)
        wait_until(lambda: store.ledger.state().model(spec.name).deployment == two)
        with pytest.raises(Conflict, match="version 2 is being rolled out") as caught:
            deploy(spec, store, three, endpoint=endpoint.url, how="steps")
        assert caught.value.code == "deployment_in_flight"
        back = roll_back(spec, store, endpoint=endpoint.url, reason="not today.")
        assert (back.version, back.left) == (1, two)
        assert run.wait() == 1
        assert "the delivery of version 2 was closed" in run.log.read_text()
        assert closing(store)[2:] == ["started", "rolled_back"]


class TestRollback:
    @pytest.mark.usefixtures("first")
    def test_goes_back_to_versions_that_served_one_further_each_time(
        self, spec: ModelSpec, store: Store, endpoint: Running, another: Another
    ) -> None:
        for _ in range(2):
            deploy(spec, store, another(), endpoint=endpoint.url)
        another()  # registered only
        canary = another()
        deploy(spec, store, canary, endpoint=endpoint.url, weight=0.2)
        with Client(endpoint.url, spec.name) as client:
            for left, back in ((canary, 3), (3, 2), (2, 1)):
                made = roll_back(spec, store, endpoint=endpoint.url, reason="it is worse.", request=f"run-{left}")
                assert (made.version, made.left) == (back, left)
                assert {client.ask(x_user=f"user {n}")["version"] for n in range(20)} == {back}
                again = roll_back(spec, store, endpoint=endpoint.url, request=f"run-{left}")
                assert (again.version, again.left, again.reused) == (back, left, True), "a retry goes no further"
        with pytest.raises(StageError) as caught:
            roll_back(spec, store, endpoint=endpoint.url)
        assert caught.value.code == "rollback_impossible"
        last = store.ledger.read(kind="deployment.finished")[-1].data
        assert (last["left"], last["reason"]) == (2, "it is worse.")
        deploy(spec, store, 3, endpoint=endpoint.url)
        assert store.ledger.state().model(spec.name).left == {2}

    @pytest.mark.usefixtures("first")
    def test_that_changes_nothing_is_an_error(
        self, spec: ModelSpec, make_spec: MakeSpec, store: Store, endpoint: Running, another: Another
    ) -> None:
        deploy(spec, store, another(), endpoint=endpoint.url)
        endpoint.follower.stop()  # it answers, and does not follow any more
        with pytest.raises(DeployError, match="serves version 2"):
            roll_back(make_spec(deploy={"timeout": "1s"}), store, endpoint=endpoint.url)
        state = store.ledger.state().model(spec.name)
        assert (state.champion, state.left) == (2, set()), "what was not done is not told"

    @pytest.mark.usefixtures("first")
    def test_that_was_killed_is_finished_by_the_next(
        self, spec: ModelSpec, store: Store, endpoint: Running, another: Another
    ) -> None:
        deploy(spec, store, another(), endpoint=endpoint.url)
        program = PROGRAM.replace("import deploy", "import roll_back").rpartition("deploy(")[0]
        program += "roll_back(load_spec(Path(sys.argv[1])), Store.open(sys.argv[2]), endpoint=sys.argv[3], request='r')"
        for point in ("deploy.started", "deploy.worked", "deploy.committed"):
            words = [sys.executable, "-c", program, str(spec.folder), store.url, endpoint.url]
            done = subprocess.run(words, env={**os.environ, "SLIPSTREAM_FAULTPOINT": point}, check=False)
            assert done.returncode == -signal.SIGKILL, point
        back = roll_back(spec, store, endpoint=endpoint.url, request="r")
        assert (back.version, back.left, back.reused) == (1, 2, True)
        assert closing(store)[4:] == ["started", "finished"]


def test_a_target_that_cannot_be_watched_gets_it_in_full(make_spec: MakeSpec, store: Store, release: Release) -> None:
    spec = make_spec(deploy={"target": {"type": "local"}})
    deploy(spec, store, release(spec).version, endpoint="", how="steps")
    deploy(spec, store, release(spec, seed=1).version, endpoint="", how="steps")
    reasons = [event.data["reason"] for event in store.ledger.read(kind="deployment.finished")]
    assert reasons == [
        "Version 1 serves in full at once: it is the first.",
        "Version 2 serves in full at once: of a target of type local no answers can be watched.",
    ]


def test_quality_alone_needs_predictions_that_are_kept(make_spec: MakeSpec, store: Store, release: Release) -> None:
    local = make_spec(deploy={"target": {"type": "local"}})
    deploy(local, store, release(local).version, endpoint="")
    only = {"errors": None, "latency": None, "missing": None, "quality": 0.02}
    spec = make_spec(deploy={"capture": False, "rollout": {"alarms": only}})
    with pytest.raises(StageError, match="keeps no predictions for labels to join") as caught:
        deploy(spec, store, 1 + 1, endpoint="http://127.0.0.1:1", how="steps")
    assert caught.value.code == "alarm_without_labels"


@pytest.mark.parametrize("rollout", [{"steps": [0.5], "bake": "8s", "alarms": {"quality": 0.1}}])
@pytest.mark.usefixtures("first")
def test_one_whose_answers_turn_out_worse_is_taken_back(
    spec: ModelSpec, store: Store, endpoint: Running, another: Another
) -> None:
    two, stop = another(**bad.inverted(bundle_of(store, spec.name, 1))), threading.Event()

    def ask_and_tell_what_was_true() -> None:
        number = 0
        with Client(endpoint.url, spec.name) as client:
            while not stop.is_set():
                labels = []
                for _ in range(50):
                    number += 1
                    distance = (number * 0.7919) % 4 - 2
                    said = client.ask({**ROW, "distance": distance}, x_user=f"user {number}")
                    labels.append({"id": said["ids"][0], "label": distance > 0})
                httpx.post(f"{endpoint.url}/models/{spec.name}/labels", json={"labels": labels}).raise_for_status()

    client = threading.Thread(target=ask_and_tell_what_was_true)
    client.start()
    try:
        with pytest.raises(DeployError, match=r"Version 2 reaches roc_auc 0\S* on [\d,]+ labelled rows") as caught:
            deploy(spec, store, two, endpoint=endpoint.url, how="steps")
    finally:
        stop.set()
        client.join(30)
    assert caught.value.code == "rolled_back"
    closed = store.ledger.read(kind="deployment.rolled_back")[-1].data
    assert closed["alarm"] == "quality"
    evidence = closed["evidence"]
    assert min(evidence["quality"]["labelled"], evidence["champion_quality"]["labelled"]) >= 50
    assert evidence["champion_quality"]["value"] > 0.9 > 0.1 > evidence["quality"]["value"]
