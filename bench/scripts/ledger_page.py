"""How long the page of one model takes when the ledger has many events of many models, and what an event costs.

``python bench/scripts/ledger_page.py [EVENTS] [MODELS]``, default 100,000 and 100. The ledger is written in one go into
a folder of its own, by the ledger's own rules, and read anew: nothing of the page comes from an earlier look.
"""

from __future__ import annotations

import gc
import hashlib
import json
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from slipstream.settings import Settings
from slipstream.store import Store
from slipstream.store.delta.heads import LogHead, write_head
from slipstream.store.events import Event
from slipstream.store.ledger import _COLUMNS, _hash, _schema
from slipstream.store.objects import canonical_json
from slipstream_airflow.ui.reading import StoreReader

LIFE = 50
"""Events of a model from one version to the next."""
BIRTH = 9
"""How many of them make the version and bring it into service."""
MODEL_FILE = {
    "task": "binary",
    "target": "late",
    "inputs": ["distance", "hour"],
    "data": {"source": {"type": "files", "path": "*.csv"}},
    "train": {"trainer": {"type": "sklearn", "estimator": "sklearn.linear_model.LogisticRegression"}},
    "evaluate": {"metric": "roc_auc"},
}


def digest(*words: object) -> str:
    """What looks like the digest of an object."""
    return hashlib.sha256(repr(words).encode()).hexdigest()


class Life:
    """What happens to one model: a version every :data:`LIFE` events, between them a day's work again and again."""

    def __init__(self, model: int, spec: str) -> None:
        self.model = model
        self.spec = spec

    def event(self, number: int) -> tuple[str, dict[str, Any]]:
        """Kind and payload of the model's event of that number, from 0."""
        life, step = divmod(number, LIFE)
        events = self._version(life) if step < BIRTH else self._day(life, number)
        return events[step if step < BIRTH else (step - BIRTH) % len(events)]

    def _run(self, stage: str, *about: object, **fields: Any) -> dict[str, Any]:
        run = f"{stage}-{digest(self.model, stage, *about)[:16]}"
        return {"stage": stage, "run": run, "seconds": 1.234, "spec": self.spec, **fields}

    def _version(self, life: int) -> list[tuple[str, dict[str, Any]]]:
        version, own = life + 1, digest(self.model, life)
        trained, evaluated, explained = (self._run(stage, life) for stage in ("train", "evaluate", "explain"))
        trained["result"] = {"candidate": trained["run"], "dataset": own, "rows_train": 9000}
        scores = {"roc_auc": 0.81, "log_loss": 0.4, "accuracy": 0.79, "brier": 0.13}
        evaluated["result"] = {"metric": "roc_auc", "scores": scores, "gain": 0.01, "report": own, "details": own}
        explained["result"] = {"importance": [["a", 0.1], ["b", 0.2]], "report": own}
        runs = {"candidate": trained["run"], "evaluation": evaluated["run"], "explanation": explained["run"]}
        packaged = {**runs, "bundle": own, "dataset": own, "card": own, "size_bytes": 10**6, "latency_ms": 0.2}
        verdicts = [{"gate": "metric", "passed": True, "sentence": "metric: roc_auc is 0.81; at least 0.7."}]
        gate = {"version": version, "passed": True, "verdicts": verdicts}
        about: dict[str, Any] = {"version": version, "reason": "Version passed.", "evidence": {"bundle": own}}
        return [
            ("run.finished", trained),
            ("run.finished", evaluated),
            ("run.finished", explained),
            ("version.registered", self._run("package", life, result=packaged)),
            ("run.finished", self._run("gate", life, **about, result=gate)),
            ("approval.requested", {"version": version, "requester": "ada"}),
            ("approval.decided", self._run("approve", life, **about, approved=True, by="ada")),
            ("deployment.started", {"version": version, "bundle": own}),
            ("deployment.finished", self._run("deploy", life, **about, previous=version - 1 or None)),
        ]

    def _day(self, life: int, day: int) -> list[tuple[str, dict[str, Any]]]:
        own, version = digest(self.model, day), life + 1
        checked = {"batch": own, "dataset": own, "rows": 1000, "good": 990, "quarantined": 10, "success": True}
        committed = {"dataset": own, "manifest": own, "watermark": "2026", "batch": own, "rows": 10**6}
        joined = {"metric": "roc_auc", "value": 0.8, "version": version, "report": own, "details": own}
        drift = {"champion": version, "window": "2026-01-01 to 2026-01-02", "rows": 1000, "verdict": "No drift."}
        drift |= {"drifted": False, "drifted_columns": [], "columns": 12, "report": own, "details": own}
        about: dict[str, Any] = {"version": version, "reason": "nothing is due.", "evidence": {"measured": own}}
        return [
            ("run.finished", self._run("ingest", day, result={"batch": own, "rows": 1000})),
            ("validation.finished", self._run("validate", day, result=checked)),
            ("dataset.committed", self._run("validate", day, **committed, result=checked)),
            ("labels.joined", self._run("join", day, version=version, sentence="roc_auc is 0.8.", result=joined)),
            ("drift.measured", self._run("monitor", day, version=version, verdict="No drift.", result=drift)),
            ("retrain.skipped", self._run("decide", day, **about, result={"why": "quiet", "action": "skip"})),
        ]


def write_ledger(store: Store, events: int, models: int) -> int:
    """Write a whole ledger at once; returns the bytes of all payloads."""
    rows: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    lives = [Life(model, digest(model)) for model in range(models)]
    before, size, moment = "", 0, "2026-01-01T00:00:00.000+00:00"
    for seq in range(1, events + 1):
        number, model = divmod(seq - 1, models)
        kind, payload = lives[model].event(number)
        text, key = canonical_json(payload).decode(), digest(seq) if "run" in payload else ""
        event = Event(seq, digest(seq)[:32], moment, "cli", f"model{model:03}", kind, key, text, before, "")
        event = event.with_hash(_hash(event))
        before, size = event.hash, size + len(text)
        for name in _COLUMNS:
            rows[name].append(getattr(event, name))
    ledger = store.ledger
    write_deltalake(ledger.uri, pa.table(rows, schema=_schema()))
    write_head(ledger.location, ledger.uri, LogHead(events, before))
    return size


def write_projects(folder: Path, models: int) -> Settings:
    """Write a model file for each model; returns settings that find them."""
    for model in range(models):
        project = folder / f"model{model:03}"
        project.mkdir(parents=True)
        (project / "model.yaml").write_text(json.dumps({"name": project.name, **MODEL_FILE}), encoding="utf-8")
    return replace(Settings.from_environment(), models=folder)


def timed(look: Callable[[], object], times: int = 5) -> list[float]:
    """Milliseconds of each of so many looks."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        look()
        found.append(1000 * (time.perf_counter() - began))
    return found


def memory(url: str) -> int:
    """Bytes that a ledger takes which was read and folded."""
    gc.collect()
    tracemalloc.start()
    store = Store.open(url)
    store.ledger.state()
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def main(events: int = 100_000, models: int = 100) -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as name:
        url = f"file://{name}/store"
        size = write_ledger(Store.open(url), events, models)
        store = Store.open(url)
        reader = StoreReader(write_projects(Path(name) / "models", models), store)
        print(f"{events:,} events of {models} models are read and folded in {timed(store.ledger.state, 1)[0]:,.0f} ms")
        for page, look in (("page of one model", lambda: reader.model("model007")), ("list of models", reader.models)):
            first, *others = timed(look)
            print(f"{page}: {first:.0f} ms at first, then {sorted(others)[len(others) // 2]:.0f} ms")
        print(f"first look for a report: {timed(lambda: reader.report('0' * 64), 1)[0]:.0f} ms")
        print(f"an event takes {memory(url) / events:,.0f} bytes, {size / events:,.0f} of them its payload as text")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
