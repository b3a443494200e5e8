"""A store in a temporary folder, a model project in another, and datasets made of small tables."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from slipstream.spec.loader import load_spec
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.datasets import Dataset, save_dataset
from tests import databases

_MODEL: dict[str, Any] = {
    "name": "small",
    "task": "binary",
    "target": "late",
    "inputs": ["distance", "hour", "carrier"],
    "data": {"source": {"type": "files", "path": "*.csv"}, "time": "day", "key": ["id"]},
    "train": {"trainer": {"type": "sklearn", "estimator": "sklearn.linear_model.LogisticRegression"}},
    "evaluate": {"metric": "roc_auc", "bootstrap": 50, "min_slice": 20},
}

MakeSpec = Callable[..., ModelSpec]
MakeRows = Callable[..., pa.Table]
Commit = Callable[[ModelSpec, pa.Table], Dataset]
Release = Callable[..., Any]


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """URL of a real S3 server, in a process of its own: deltalake holds this one while it waits for an answer."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(Path(__file__).with_name("s3_server.py")), str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait(10)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[databases.Server]:
    """A real PostgreSQL; skipped where its programs are missing."""
    programs = databases.postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with databases.postgres(programs) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[databases.Server]:
    """A real MariaDB; skipped where its programs are missing."""
    programs = databases.mariadb_programs()
    if programs is None:
        pytest.skip("MariaDB is not installed: apt-get install mariadb-server")
    with databases.mariadb(programs) as server:
        yield server


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The server's URL, with an environment in which S3 means that server."""
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in {"AWS_ENDPOINT_URL": s3_server, **keys}.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store in a local folder."""
    return Store.open((tmp_path / "store").as_uri())


@pytest.fixture
def make_spec(tmp_path: Path) -> MakeSpec:
    """``make_spec(task="regression", evaluate={...})``: a model project with these keys in place of the default ones.

    The default is a binary model called ``small`` with inputs distance, hour and carrier, event time day and key id.
    """

    def make(*, allow_code: bool = False, **overrides: Any) -> ModelSpec:
        model = _MODEL | overrides
        folder = tmp_path / "models" / model["name"]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.yaml").write_text(json.dumps(model, ensure_ascii=False), encoding="utf-8")
        return load_spec(folder, allow_code=allow_code)

    return make


@pytest.fixture
def make_rows() -> MakeRows:
    """``make_rows(600, seed=0, **columns)``: an Arrow table that suits ``make_spec``; *columns* replace or add columns.

    One row an hour from 2024-01-01 on; ``late`` depends on distance and, for carrier C, on nothing. Distance and
    carrier have missing values.
    """

    def make(rows: int = 600, *, seed: int = 0, first: int = 0, **columns: Any) -> pa.Table:
        random = np.random.default_rng(seed)
        distance, carrier = random.normal(size=rows), random.choice(["A", "B", "C"], rows)
        signal = np.where(carrier == "C", 0, 2 * distance) + random.normal(size=rows)
        start = datetime(2024, 1, 1)  # noqa: DTZ001 - event times of the data have no zone
        table = {
            "id": np.arange(first, first + rows),
            "day": pa.array([start + timedelta(hours=first + number) for number in range(rows)], pa.timestamp("us")),
            "distance": pa.array(distance, mask=random.random(rows) < 0.05),
            "hour": random.integers(0, 24, rows),
            "carrier": pa.array(carrier, mask=random.random(rows) < 0.05),
            "late": signal > 0,
            "delay": signal * 10 + 20,
        }
        return pa.table(table | columns)

    return make


@pytest.fixture
def committed(store: Store) -> Commit:
    """``committed(spec, table)``: the table's rows added to the model's data, as its newest dataset version."""
    files: dict[str, tuple[Any, ...]] = {}

    def commit(spec: ModelSpec, table: pa.Table) -> Dataset:
        before = files.get(spec.name, ())
        key = f"batch-{len(before)}"
        files[spec.name] = before + store.tables.append(spec.name, "data", table, key)
        with duckdb.connect() as connection:
            rows = connection.from_arrow(table)
            columns = [(name, str(kind)) for name, kind in zip(rows.columns, rows.types, strict=True)]
        dataset, manifest = save_dataset(store.objects, spec.name, columns, files[spec.name])
        payload = {"dataset": dataset.id, "manifest": manifest, "watermark": key, "rows": dataset.rows}
        store.ledger.append("dataset.committed", spec.name, payload, key=key)
        return dataset

    return commit


@pytest.fixture
def release(store: Store, committed: Commit, make_rows: MakeRows, tmp_path: Path) -> Release:
    """``release(spec, seed=0)``: a version trained on 600 rows of that seed, and held against the gates.

    ``release(spec, dataset=id)`` trains on that dataset version.
    """
    from slipstream.stages.evaluate import evaluate
    from slipstream.stages.explain import explain
    from slipstream.stages.gate import gate
    from slipstream.stages.package import Packaged, package
    from slipstream.stages.train import train

    def make(spec: ModelSpec, seed: int = 0, dataset: str = "") -> Packaged:
        dataset = dataset or committed(spec, make_rows(600, seed=seed, first=600 * seed)).id
        trained = train(spec, store, dataset)
        runs = evaluate(spec, store, trained.candidate).run, explain(spec, store, trained.candidate).run
        places = {"keys": tmp_path / "keys", "bentos": tmp_path / "bentos"}
        packaged = package(spec, store, trained.candidate, *runs, **places)
        gate(spec, store, packaged.version)
        return packaged

    return make


@pytest.fixture
def champion(store: Store, make_spec: MakeSpec, release: Release) -> MakeSpec:
    """``champion(task="regression", ...)``: a model project as of ``make_spec``, with a version that serves."""

    def make(**model: Any) -> ModelSpec:
        spec = make_spec(**model)
        packaged = release(spec)
        store.ledger.append("deployment.finished", spec.name, {"version": packaged.version})
        return spec

    return make
