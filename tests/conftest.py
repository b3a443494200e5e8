"""A store in a temporary folder, a model project in another, and datasets made of small tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from slipstream.model_file import load_spec
from slipstream.spec import ModelSpec
from slipstream.store import Store
from slipstream.store.datasets import Dataset, save_dataset

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
Commit = Callable[[ModelSpec, pa.Table], Dataset]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store in a local folder."""
    return Store.open((tmp_path / "store").as_uri())


@pytest.fixture
def make_spec(tmp_path: Path) -> MakeSpec:
    """``make_spec(task="regression", evaluate={...})``: a model project with these top-level keys in place of the default ones.

    The default is a binary model called ``small`` with inputs distance, hour and carrier, event time day and key id.
    """

    def make(**overrides: Any) -> ModelSpec:
        model = _MODEL | overrides
        folder = tmp_path / "models" / model["name"]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.yaml").write_text(json.dumps({key: value for key, value in model.items() if value is not None}))
        return load_spec(folder)

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
        payload = {"dataset": dataset.id, "manifest": manifest, "watermark": key, "rows": dataset.rows, "added": table.num_rows}
        store.ledger.append("dataset.committed", spec.name, payload, key=key)
        return dataset

    return commit
