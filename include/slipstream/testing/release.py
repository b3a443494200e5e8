"""A small version in a store, made by the stages themselves: what a target is asked to put into service."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

from slipstream.store import Store

MODEL = "checked"


def released_store(folder: Path) -> tuple[Store, str]:
    """A new store in *folder* that holds version 1 of a binary model, and the id of its bundle."""
    template, bundle = _release()
    shutil.copytree(template, folder / "store")
    return Store.open((folder / "store").as_uri()), bundle


@cache
def _release() -> tuple[Path, str]:
    """A store that is made once in each process, because the stages take seconds; it goes when the process ends."""
    from slipstream.spec.loader import load_spec
    from slipstream.stages.evaluate import evaluate
    from slipstream.stages.explain import explain
    from slipstream.stages.gate import gate
    from slipstream.stages.ingest import ingest
    from slipstream.stages.package import package
    from slipstream.stages.train import train
    from slipstream.stages.validate import validate

    folder = Path(tempfile.mkdtemp(prefix="slipstream-check-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    spec, store = load_spec(_project(folder)), Store.open((folder / "store").as_uri())
    validated = validate(spec, store, ingest(spec, store).batch)
    candidate = train(spec, store, validated.dataset).candidate
    runs = evaluate(spec, store, candidate).run, explain(spec, store, candidate).run
    packaged = package(spec, store, candidate, *runs, keys=folder / "keys", bentos=folder / "bentos")
    gate(spec, store, packaged.version)
    return folder / "store", packaged.bundle


def _project(folder: Path) -> Path:
    """A model's folder: its model.yaml, and a CSV file of 240 rows."""
    from slipstream.testing.tables import TARGET, table

    project = folder / MODEL
    project.mkdir()
    frame = table("binary")
    frame.insert(0, "id", range(len(frame)))
    frame.to_csv(project / "rows.csv", index=False)
    model = {
        "name": MODEL,
        "task": "binary",
        "target": TARGET,
        "inputs": ["distance", "hour"],
        "data": {"source": {"type": "files", "path": "rows.csv"}, "key": ["id"]},
        "train": {"trainer": {"type": "sklearn", "estimator": "sklearn.linear_model.LogisticRegression"}},
        "evaluate": {"metric": "roc_auc", "bootstrap": 20, "min_slice": 20},
    }
    (project / "model.yaml").write_text(json.dumps(model), encoding="utf-8")
    return project
