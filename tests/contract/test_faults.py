"""kill -9 at every boundary of every stage and in mid-write: the rerun finishes with the same ids, nothing doubled.

A whole small pipeline runs once as the reference, with a copy of the store kept before each stage. Each test takes such
a copy, runs the stage in a process that is killed at one named point, runs it again, and compares.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from slipstream.spec.loader import load_spec
from slipstream.store import Store
from tests.forked import FORKED
from tests.sweeps import one_of

MODEL = {
    "name": "small",
    "task": "binary",
    "target": "late",
    "inputs": ["distance", "hour", "carrier"],
    "data": {"source": {"type": "files", "path": "*.csv"}, "time": "day", "key": ["id"]},
    "contract": {
        "on_failure": "quarantine",
        "expectations": [{"type": "expect_column_values_to_be_between", "column": "hour", "max_value": 23}],
    },
    "train": {"trainer": {"type": "sklearn", "estimator": "sklearn.linear_model.LogisticRegression"}},
    "evaluate": {"metric": "roc_auc", "bootstrap": 20},
    "gates": [{"type": "metric", "bound": 0.5}],
    "explain": {"type": "permutation", "rows": 100, "repeats": 1, "top": 1},
    "deploy": {"target": {"type": "local"}},
    "monitor": {"min_rows": 50, "evidently": False, "drift": {"threshold": 0.01, "share": 0.1}},
}
STAGES = ("ingest", "validate", "train", "evaluate", "explain", "package", "gate", "deploy", "score")
STAGES += ("monitor", "decide")
POINTS = {
    "ingest": ("begin", "worked", "committed", "files.rename", "ledger.before_commit", "ledger.after_commit"),
    "validate": (
        *("begin", "worked", "committed", "files.rename", "tables.before_commit", "tables.after_commit"),
        *("tables.before_commit:2", "tables.after_commit:2", "ledger.before_commit", "ledger.after_commit"),
        *("ledger.before_commit:2", "ledger.after_commit:2"),
    ),
    "train": ("begin", "worked", "committed", "files.rename", "ledger.before_commit", "ledger.after_commit"),
    "evaluate": ("begin", "worked", "committed", "files.rename", "ledger.after_commit"),
    "explain": ("begin", "worked", "committed", "files.rename", "ledger.after_commit"),
    "package": (
        *("begin", "worked", "committed", "files.rename", "files.rename:5"),
        *("ledger.before_commit", "ledger.after_commit"),
    ),
    "gate": ("begin", "worked", "committed", "ledger.before_commit", "ledger.after_commit"),
    "deploy": (
        *("begin", "deploy.started", "worked", "committed", "ledger.before_commit", "ledger.after_commit"),
        *("ledger.before_commit:2", "ledger.after_commit:2"),
    ),
    "score": (
        *("begin", "score.written", "worked", "committed", "files.rename", "ledger.before_commit"),
        *("tables.before_commit:2", "tables.after_commit:2", "ledger.after_commit"),
    ),
    "monitor": ("begin", "worked", "committed", "files.rename", "ledger.before_commit", "ledger.after_commit"),
    "decide": ("begin", "worked", "committed", "ledger.before_commit", "ledger.after_commit"),
}
# What may differ: how long it took, and in which folder the files lay.
_MEASURED = {"reused", "seconds", "latency_ms", "origin", "output"}


@dataclass(frozen=True)
class Reference:
    """One pipeline that nobody disturbed."""

    home: Path
    figures: dict[str, dict[str, Any]]
    events: dict[str, list[tuple[str, str]]]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    home = tmp_path_factory.mktemp("reference")
    _write_project(home / "small")
    figures, events = {}, {}
    for stage in STAGES:
        if stage == "monitor":
            (home / "small" / "more.csv").write_text(_rows(600, 400))
            _run(home, "ingest")
            _run(home, "validate")
        if (home / "store").exists():
            shutil.copytree(home / "store", home / f"before-{stage}")
        figures[stage] = _run(home, stage)
        events[stage] = _events(home)
    return Reference(home, figures, events)


@pytest.mark.parametrize(("stage", "point"), one_of(5, [(stage, point) for stage in STAGES for point in POINTS[stage]]))
def test_a_stage_that_is_killed_is_finished_by_its_rerun(
    reference: Reference, tmp_path: Path, stage: str, point: str
) -> None:
    home = _restored(reference, stage, tmp_path)
    name = point if "." in point else f"{stage}.{point}"
    assert _run_killed(home, stage, name) == -signal.SIGKILL
    again = _run(home, stage)
    _assert_same(reference, stage, again, home)


@pytest.mark.parametrize("seed", one_of(3, range(6)))
def test_kills_at_random_times(reference: Reference, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    stage = STAGES[seed % len(STAGES)]
    home = _restored(reference, stage, tmp_path)
    worker = FORKED.Process(target=_work, args=(home, stage, ""))
    worker.start()
    time.sleep(chance.uniform(0.02, 1.0))
    worker.kill()
    worker.join(30)
    _assert_same(reference, stage, _run(home, stage), home)


@pytest.mark.parametrize("stage", one_of(3, [stage for stage in STAGES if stage != "package"]))
def test_two_equal_triggers_at_once_commit_once(reference: Reference, tmp_path: Path, stage: str) -> None:
    home = _restored(reference, stage, tmp_path)
    workers = [FORKED.Process(target=_work, args=(home, stage, "")) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    _assert_same(reference, stage, json.loads((home / "figures.json").read_text()), home)


def _assert_same(reference: Reference, stage: str, got: dict[str, Any], home: Path) -> None:
    expected = reference.figures[stage]
    assert got.keys() == expected.keys()
    assert [key for key in got if key not in _MEASURED and got[key] != expected[key]] == []
    assert sorted(_events(home)) == sorted(reference.events[stage])
    from slipstream.commands.verify.check import verify

    assert not verify(Store.open((home / "store").as_uri())).findings


def _events(home: Path) -> list[tuple[str, str]]:
    return [(event.kind, event.key) for event in Store.open((home / "store").as_uri()).ledger.read()]


def _restored(reference: Reference, stage: str, home: Path) -> Path:
    shutil.copytree(reference.home / "small", home / "small")
    if stage not in {"monitor", "decide"}:
        (home / "small" / "more.csv").unlink(missing_ok=True)
    if (reference.home / f"before-{stage}").exists():
        shutil.copytree(reference.home / f"before-{stage}", home / "store")
    shutil.copytree(reference.home / "keys", home / "keys", dirs_exist_ok=True)
    return home


def _run(home: Path, stage: str) -> dict[str, Any]:
    assert _run_killed(home, stage, "") == 0
    figures: dict[str, Any] = json.loads((home / "figures.json").read_text())
    return figures


def _run_killed(home: Path, stage: str, point: str) -> int | None:
    worker = FORKED.Process(target=_work, args=(home, stage, point))
    worker.start()
    worker.join(120)
    return worker.exitcode


def _work(home: Path, stage: str, point: str) -> None:
    """In a process of its own: run the stage on what came before it, dying at *point* if there is one."""
    os.environ["SLIPSTREAM_FAULTPOINT"] = point
    import importlib

    spec, store = load_spec(home / "small"), Store.open((home / "store").as_uri())
    model = store.ledger.state().model("small")

    def made(name: str, field: str = "run") -> str:
        return str(model.latest[name].data["result"][field])

    more: dict[str, Any] = {}
    match stage:
        case "ingest" | "score" | "monitor" | "decide":
            ids: list[Any] = []
        case "validate":
            ids = [made("ingest", "batch")]
        case "train":
            ids = [model.dataset]
        case "evaluate" | "explain":
            ids = [made("train")]
        case "package":
            ids = [made("train"), made("evaluate"), made("explain")]
            more = {"keys": home / "keys", "bentos": home / "bentos"}
        case _:
            ids = [max(model.versions)]
            more = {"endpoint": "http://127.0.0.1:9"} if stage == "deploy" else {}
    result = getattr(importlib.import_module(f"slipstream.stages.{stage}"), stage)(spec, store, *ids, **more)
    draft = home / f"figures-{os.getpid()}.json"
    draft.write_text(json.dumps(result.figures()))
    draft.replace(home / "figures.json")


def _write_project(folder: Path) -> None:
    folder.mkdir()
    (folder / "model.yaml").write_text(json.dumps(MODEL))
    (folder / "first.csv").write_text(_rows(0, 600))


def _rows(first: int, count: int) -> str:
    return "id,day,distance,hour,carrier,late\n" + "".join(_lines(first, count))


def _lines(first: int, count: int) -> Iterator[str]:
    chance = random.Random(first)
    for number in range(first, first + count):
        distance = chance.gauss(0 if first == 0 else 3, 1)
        hour = 99 if number % 100 == 7 else number % 24
        late = int(distance + chance.gauss(0, 1) > 0)
        day = f"2024-{1 + number // 600:02d}-{1 + number // 24 % 25:02d} {number % 24:02d}:00:00"
        yield f"{number},{day},{distance:.4f},{hour},{'ABC'[number % 3]},{late}\n"
