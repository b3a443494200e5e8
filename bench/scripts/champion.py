"""A champion of the flights model made by the library's stages, and the same pipeline as its peers would have it.

``python champion.py FOLDER`` puts into FOLDER ``pipeline.joblib``, ``rows.json`` (1,000 rows as requests bring them)
and ``champion.json`` (the bundle's id); the store, the model projects and the keys are those of the environment.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import duckdb
import joblib

from slipstream.bundle import skops_file
from slipstream.bundle.bundle import open_bundle
from slipstream.settings import Settings
from slipstream.spec.loader import find_spec
from slipstream.spec.model import ModelSpec
from slipstream.stages.deploy import deploy
from slipstream.stages.evaluate import evaluate
from slipstream.stages.explain import explain
from slipstream.stages.gate import gate
from slipstream.stages.ingest import ingest
from slipstream.stages.package import package
from slipstream.stages.replay import replay
from slipstream.stages.train import train
from slipstream.stages.validate import validate
from slipstream.store import Store

MODEL = "flights"
MONTHS = 3
ROWS = 1000


def main() -> None:
    """Make the champion and write what the peers need."""
    folder, settings = Path(sys.argv[1]), Settings.from_environment()
    store, spec = Store.open(settings.store), find_spec(settings.models, MODEL)
    for _ in range(MONTHS):
        batch = ingest(spec, store).batch
        assert batch is not None
        validate(spec, store, batch)
    bundle = open_bundle(store, champion(spec, store, settings))
    joblib.dump(skops_file.load(bundle.files["model.skops"]), folder / "pipeline.joblib")
    (folder / "rows.json").write_text(json.dumps(some_rows(spec, store)), encoding="utf-8")
    (folder / "champion.json").write_text(json.dumps({"bundle": bundle.digest}), encoding="utf-8")


def champion(spec: ModelSpec, store: Store, settings: Settings) -> str:
    """Train to deploy; returns the bundle's id."""
    candidate = train(spec, store, str(store.ledger.state().model(spec.name).dataset)).run
    evaluation, explanation = evaluate(spec, store, candidate).run, explain(spec, store, candidate).run
    places = {"keys": settings.keys, "bentos": settings.bentos}
    packaged = package(spec, store, candidate, evaluation, explanation, **places)
    replay(spec, store, packaged.version)
    judged = gate(spec, store, packaged.version)
    if not judged.passed:
        raise SystemExit(f"the gates have refused the version: {judged.figures()}")
    deploy(spec, store, packaged.version, endpoint=settings.endpoint)
    return packaged.bundle


def some_rows(spec: ModelSpec, store: Store) -> list[dict[str, object]]:
    """Inputs of 1,000 flights spread over all months; one without a missing value first, because it is sent alone."""
    files = store.tables.local_files(spec.name, "data", store.tables.sound(spec.name, "data").files)
    with duckdb.connect() as connection:
        flights = connection.read_parquet(files).order("hash(flight_id)").limit(ROWS)
        rows = flights.project(", ".join(f'"{name}"' for name in spec.inputs)).fetchall()
    rows.sort(key=lambda row: None in row)
    return [dict(zip(spec.inputs, row, strict=True)) for row in rows]


if __name__ == "__main__":
    main()
