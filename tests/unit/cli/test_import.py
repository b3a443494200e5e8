"""`slipstream import`, and `slipstream run` that goes on from it, as docs/import.md shows them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import pyarrow.csv
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from typer.testing import CliRunner, Result

from slipstream.cli.main import app

Slipstream = Callable[..., Result]


@pytest.fixture
def slipstream(make_spec: Callable[..., Any], make_rows: Callable[..., Any], tmp_path: Path) -> Slipstream:
    """``slipstream("import", "small", ...)``: the command, with a model of 400 rows of a file and nothing else."""
    source = {"type": "files", "path": "*.csv"}
    spec = make_spec(inputs=["hour"], data={"source": source, "time": "day", "key": ["id"]})
    pyarrow.csv.write_csv(make_rows(400), spec.folder / "rows.csv")
    places = {
        "SLIPSTREAM_MODELS": str(spec.folder.parent),
        "SLIPSTREAM_STORE": (tmp_path / "store").as_uri(),
        "SLIPSTREAM_KEYS": str(tmp_path / "keys"),
        "SLIPSTREAM_BENTOS": str(tmp_path / "bentos"),
        "SLIPSTREAM_ENDPOINT": "http://127.0.0.1:25999",
    }
    return lambda *words: CliRunner().invoke(app, list(words), env=places)


def test_a_file_becomes_the_champion(slipstream: Slipstream, make_rows: Callable[..., Any], tmp_path: Path) -> None:
    elsewhere = make_rows(300, seed=4).to_pandas()
    model = LogisticRegression().fit(elsewhere[["hour"]].astype(float), elsewhere["late"])
    skops.io.dump(model, tmp_path / "model.skops")
    joblib.dump(model, tmp_path / "model.joblib")
    words = ("import", "small", "--from", str(tmp_path / "model.skops"))

    early = slipstream(*words)
    assert "small has no data yet; ingest and validate a batch first" in str(early.exception)
    for stage in ("ingest", "validate"):
        assert slipstream(stage, "small").exit_code == 0
    pickled = slipstream("import", "small", "--from", str(tmp_path / "model.joblib"))
    assert 'skops.io.dump(joblib.load("model.joblib"), "model.skops")' in str(pickled.exception)

    taken = slipstream(*words, "--reason", "it serves already")
    assert taken.exit_code == 0, taken.output
    imported = json.loads(slipstream(*words, "--json").stdout)
    assert imported["reused"]
    assert f"It goes on with: slipstream run small --candidate {imported['candidate']}" in taken.output

    ran = slipstream("run", "small", "--candidate", imported["candidate"], "--json")
    assert ran.exit_code == 0, ran.output
    steps = json.loads(ran.stdout)
    assert list(steps) == ["evaluate", "explain", "package", "gate", "deploy"]
    assert steps["package"]["candidate"] == imported["candidate"]
    (listed,) = json.loads(slipstream("models", "--json").stdout)
    assert listed["champion"] == 1
    lineage = json.loads(slipstream("bundle", "small", "--part", "lineage").stdout)
    assert lineage["imported"]["format"] == "skops"
    assert lineage["imported"]["library"].startswith("scikit-learn ")
