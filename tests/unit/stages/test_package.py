"""Packaging: the same candidate gives the same bundle anywhere, and everything in it is what it says."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from slipstream.bundle.bundle import FILES, OPTIONAL, open_bundle
from slipstream.bundle.scorer import load_scorer
from slipstream.errors import StageError
from slipstream.evaluation.record import load_evaluation
from slipstream.profiling.parquet import from_parquet
from slipstream.profiling.profile import ANSWER
from slipstream.spec.model import ModelSpec
from slipstream.stages.evaluate import evaluate
from slipstream.stages.explain import explain
from slipstream.stages.package import package
from slipstream.stages.train import train
from slipstream.store import Store

TASKS: dict[str, dict[str, Any]] = {
    "binary": {},
    "multiclass": {"task": "multiclass", "target": "carrier", "inputs": ["distance", "hour"]},
    "regression": {"task": "regression", "target": "delay"},
}
ESTIMATORS = {
    "binary": "sklearn.ensemble.HistGradientBoostingClassifier",
    "multiclass": "sklearn.linear_model.LogisticRegression",
    "regression": "sklearn.ensemble.RandomForestRegressor",
}
METRICS = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}


@pytest.fixture(params=list(TASKS))
def spec(request: pytest.FixtureRequest, make_spec: Callable[..., ModelSpec]) -> ModelSpec:
    task = request.param
    trainer = {"type": "sklearn", "estimator": ESTIMATORS[task]}
    evaluation = {"metric": METRICS[task], "bootstrap": 20, "min_slice": 20}
    return make_spec(**TASKS[task], train={"trainer": trainer}, evaluate=evaluation)


def evaluation_rows(store: Store, spec: ModelSpec, run: str) -> int:
    """How many rows were held out."""
    return load_evaluation(spec, store, run)[1].rows


def test_a_version_is_whole(spec: ModelSpec, store: Store, release: Callable[..., Any]) -> None:
    packaged = release(spec)
    assert packaged.version == 1
    bundle = open_bundle(store, packaged.bundle)
    linear = spec.task == "multiclass"
    assert set(bundle.files) == {*FILES, *(OPTIONAL[:1] if linear else OPTIONAL)}
    assert bundle.size == packaged.size_bytes
    assert 0 < packaged.latency_ms < 1000
    assert packaged.bento == f"small:{packaged.bundle[:12]}"

    scorer = load_scorer(bundle)
    assert scorer.check_golden() >= 24
    assert (scorer.engine_name, packaged.engine) == ("compiled", "compiled")
    assert scorer.schema.names == spec.inputs
    background = pq.read_table(io.BytesIO(bundle.files["background.parquet"]))
    assert {*spec.inputs, spec.target, ANSWER} == set(background.column_names)
    assert 0 < background.num_rows <= 2000
    assert set(spec.inputs) <= set(from_parquet(bundle.files["profile.parquet"]).columns)

    lineage, card = bundle.json("lineage.json"), bundle.json("card.json")
    assert lineage["dataset"] == packaged.dataset
    assert lineage["candidate"] == packaged.candidate
    assert card["scores"][spec.evaluate.metric]["low"] < card["scores"][spec.evaluate.metric]["high"]
    assert card["serving"]["engine"] == "compiled"
    assert card["serving"]["reason"] is None
    assert card["serving"]["parity"]["rows"] > evaluation_rows(store, spec, packaged.evaluation)
    assert (card["serving"]["parity"]["worst"], card["serving"]["parity"]["flips"]) == (0.0, 0)
    page = store.objects.get(packaged.card).decode()
    assert "Compiled: it answers" in page
    assert packaged.bundle[:12] in page
    assert "http" not in page.replace("http-equiv", "")


def test_packaging_again_is_reused_and_registers_nothing(
    make_spec: Callable[..., ModelSpec], store: Store, release: Callable[..., Any], tmp_path: Path
) -> None:
    spec = make_spec()
    first = release(spec)
    places = {"keys": tmp_path / "keys", "bentos": tmp_path / "bentos"}
    again = package(spec, store, first.candidate, first.evaluation, first.explanation, **places)
    assert again.reused
    assert (again.version, again.bundle, again.run) == (first.version, first.bundle, first.run)
    assert len(store.ledger.state().model(spec.name).versions) == 1
    assert list((tmp_path / "bentos" / "tmp").iterdir()) == [], "nothing is left of building"


PROGRAM = """
import sys
from pathlib import Path
from slipstream.spec.loader import load_spec
from slipstream.stages.package import package
from slipstream.store import Store
model, store, home, *runs = sys.argv[1:]
made = package(load_spec(Path(model)), Store.open(store), *runs, keys=Path(home) / "keys", bentos=Path(home) / "bentos")
print(made.bundle, made.version, made.bento)
"""


def _in_process(spec: ModelSpec, store: Store, home: Path, runs: list[str], **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(spec.folder), store.url, str(home), *runs],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.strip() or done.stderr[-500:]


def test_killed_anywhere_the_rerun_gives_the_same_version(
    make_spec: Callable[..., ModelSpec],
    make_rows: Callable[..., Any],
    committed: Callable[..., Any],
    store: Store,
    tmp_path: Path,
) -> None:
    spec = make_spec()
    trained = train(spec, store, committed(spec, make_rows()).id)
    runs = [
        trained.candidate,
        evaluate(spec, store, trained.candidate).run,
        explain(spec, store, trained.candidate).run,
    ]
    for point in ("package.bundled", "ledger.before_commit"):
        code, _ = _in_process(spec, store, tmp_path, runs, SLIPSTREAM_FAULTPOINT=point, PYTHONHASHSEED="1")
        assert code == -signal.SIGKILL, point
    code, said = _in_process(spec, store, tmp_path, runs, PYTHONHASHSEED="2")
    assert code == 0, said
    bundle, version, _ = said.split()
    assert version == "1"
    assert open_bundle(store, bundle).model == "small"
    elsewhere = tmp_path / "elsewhere"
    made = package(spec, store, *runs, keys=tmp_path / "keys", bentos=elsewhere / "bentos")
    assert made.bundle == bundle


def test_runs_of_two_candidates_are_refused(
    make_spec: Callable[..., ModelSpec], store: Store, release: Callable[..., Any], tmp_path: Path
) -> None:
    spec = make_spec()
    one, two = release(spec), release(spec, seed=1)
    assert (one.version, two.version) == (1, 2)
    with pytest.raises(StageError, match="give runs of one candidate"):
        package(
            spec, store, two.candidate, one.evaluation, two.explanation, keys=tmp_path / "keys", bentos=tmp_path / "b"
        )
    with pytest.raises(StageError) as caught:
        package(spec, store, "train-0", "evaluate-0", "explain-0", keys=tmp_path / "keys", bentos=tmp_path / "b")
    assert caught.value.code == "run_not_found"


def test_the_bento_holds_the_code_and_the_bundle(
    make_spec: Callable[..., ModelSpec], store: Store, release: Callable[..., Any], tmp_path: Path
) -> None:
    packaged = release(make_spec())
    source = tmp_path / "bentos" / "bentos" / "small" / packaged.bundle[:12] / "src"
    names = {str(file.relative_to(source)) for file in source.rglob("*")}
    assert {"slipstream/serving/http/app.py", "bundle/model.skops", "bundle/signer.pub"} <= names
    assert not any("__pycache__" in name or name.endswith((".pem", ".pyc")) for name in names)
    needs = (source.parent / "env" / "python" / "requirements.txt").read_text()
    assert "skops==" in needs
    assert json.loads((source / "bundle" / "card.json").read_text())["model"] == "small"
