"""Two deployments of one version at once, one of them killed at each point and run again: one of them is what serves,
and whoever lost is told so and has taken nothing back.

Each pair runs once where the slow tests run, each third of them at each ``make test``; ``SLIPSTREAM_PAIRS=all`` runs
each pair with each point.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slipstream.spec.model import ModelSpec
from slipstream.stages.deploy import deploy
from slipstream.store import Store
from slipstream.store.state import ModelState
from tests.contract.deployer import VERSION, WAYS, work
from tests.contract.running_endpoint import forge
from tests.contract.test_promotion_races import check
from tests.forked import FORKED

CLOSED = {
    "full": ("", "ledger.before_commit", "deploy.started", "deploy.worked", "deploy.committed"),
    "steps": ("", "delivery.started", "delivery.shifted", "delivery.promoting", "deploy.worked"),
    "weight": ("", "ledger.before_commit", "deploy.started"),
    "shadow": ("", "ledger.after_commit", "deploy.started"),
    "rollback": ("", "deploy.started", "deploy.worked", "deploy.committed"),
}
"""Points at which the first call is killed, where no deployment is open; "": it is not."""
OPEN = {
    "full": ("", "deploy.shifted", "deploy.worked", "deploy.committed"),
    "steps": ("", "delivery.shifted", "delivery.promoting", "deploy.committed"),
    "weight": ("", "ledger.before_commit", "deploy.shifted"),
    "shadow": ("", "ledger.after_commit", "deploy.shifted"),
    "rollback": ("", "ledger.before_commit", "rollback.closed"),
}
"""The same where the version is a canary already, of half of the keys."""
ALL = os.environ.get("SLIPSTREAM_PAIRS") == "all"
TOLD = {"done", "deployment_in_flight", "already_champion", "rollback_impossible"}


def cases() -> Iterator[tuple[str, str, str, str]]:
    """How it was before, the first call, where that is killed, and the second call."""
    for before, points in (("closed", CLOSED), ("open", OPEN)):
        for first, second in itertools.product(WAYS, WAYS):
            turn = [*WAYS].index(second) % len(points[first])
            for point in points[first] if ALL else points[first][turn : turn + 1]:
                yield before, first, point, second


class Caller:
    """A process that deploys when it is told to."""

    def __init__(self, spec: ModelSpec) -> None:
        self.orders, theirs = FORKED.Pipe()
        self.process: Any = FORKED.Process(target=work, args=(str(spec.folder), theirs), daemon=True)
        self.process.start()
        theirs.close()
        assert self.orders.recv() == "ready"

    def ask(self, way: str, store: Store, point: str = "") -> None:
        self.orders.send((way, store.url, point))

    def said(self) -> str:
        """The code of what came of it; "" if it was killed."""
        assert self.orders.poll(30), "it hangs"
        try:
            return str(self.orders.recv())
        except (EOFError, ConnectionResetError):
            self.process.join(10)
            assert self.process.exitcode == -signal.SIGKILL
            return ""


def is_so(way: str, model: ModelState) -> bool:
    """Whether what serves is what that way of deploying asks for."""
    part = (model.weight, model.shadow) if model.deployment == VERSION else None
    if way == "rollback":  # of what is open, or of the champion, to the version that was it before
        return part is None
    return {"weight": part == (0.3, False), "shadow": part == (0.0, True)}.get(way, (model.champion, part) == (2, None))


@pytest.fixture
def before(make_spec: Callable[..., ModelSpec], store: Store, release: Any, tmp_path: Path) -> dict[str, Path]:
    """A store in which version 1 is champion and version 2 was once, and one in which 2 is a canary beside."""
    spec = make_spec(deploy={"target": {"type": "local"}})
    release(spec)
    deploy(spec, store, 1, endpoint="")
    forge(store, spec.name, tmp_path / "keys", {"card.json": b"{}"})
    for version in (2, 1):
        deploy(spec, store, version, endpoint="")
    folders = {name: tmp_path / name for name in ("closed", "open")}
    shutil.copytree(tmp_path / "store", folders["closed"])
    deploy(spec, store, VERSION, endpoint="", weight=0.5)
    shutil.copytree(tmp_path / "store", folders["open"])
    return folders


@pytest.mark.timeout(900)
@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_one_is_served_whoever_is_killed(
    make_spec: Callable[..., ModelSpec], before: dict[str, Path], tmp_path: Path, every: int
) -> None:
    spec = make_spec(
        allow_code=True,
        deploy={
            "target": {"type": "tests.contract.deployer:Behind"},
            "timeout": "3s",
            "rollout": {"steps": [0.5]},
        },
    )
    callers = [Caller(spec), Caller(spec)]
    killed, told = Counter[str](), Counter[str]()
    for number, case in enumerate(itertools.islice(cases(), 0, None, every)):
        how, first, point, second = case
        folder = shutil.copytree(before[how], tmp_path / f"round-{number}")
        store = Store.open(folder.as_uri())
        callers[0].ask(first, store, point)
        callers[1].ask(second, store)
        answers = [(first, callers[0].said())]
        if not answers[0][1]:
            killed[point] += 1
            callers[0] = Caller(spec)
            callers[0].ask(first, store)
            answers.append((first, callers[0].said()))
        answers.append((second, callers[1].said()))
        check(store, spec.name)
        told.update(code for _, code in answers)
        assert {code for _, code in answers} <= TOLD | {""}, (case, answers)
        model = store.ledger.state().model(spec.name)
        closed = {event.data["code"] for event in store.ledger.read(kind="deployment.rolled_back")}
        assert closed <= {"rolled_back"}, (case, "one has taken back what the other had been told of")
        # A call that was killed may have done all before.
        assert any(code in {"done", ""} and is_so(way, model) for way, code in answers), (case, answers, model)
        shutil.rmtree(folder)
    for caller in callers:
        caller.orders.send("")
        caller.process.join(10)
    assert told["deployment_in_flight"] > 10 / every, told
    assert len(killed) > 5 / every, killed
