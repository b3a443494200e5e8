"""``make bench SUITE=models``: our compiled scorer and our trainers against the libraries that fit the models.

Each model is fitted by our trainer and by the bare library on the same prepared numbers. The compiled scorer and the
pipeline's own ``predict_proba`` on a frame have to give the same answers, and then are measured: CPU time of one
thread, medians of interleaved rounds.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from report import QUICK, Row, report, row
from threadpoolctl import threadpool_limits

from slipstream.bundle.scorer import Scorer
from slipstream.bundle.sklearn_engine import SklearnEngine
from slipstream.compiler.compile import compile_pipeline
from slipstream.compiler.engine import CompiledEngine
from slipstream.model_schema import Field, Schema
from slipstream.slots import TRAINER
from slipstream.spec.loader import parse_spec

ROWS = 2_000 if QUICK else 40_000
TREES = 10 if QUICK else 500
ROUNDS = 2 if QUICK else 5
SECONDS = 0.02 if QUICK else 0.3
"""How long one series of calls takes, about."""
CLOSE = 1e-6
NUMBERS = [f"number_{place}" for place in range(10)]
WORDS = {"carrier": 16, "origin": 3, "dest": 40}


@dataclass(frozen=True)
class Kind:
    """A model to measure: our trainer, and who fits it in there."""

    name: str
    trainer: dict[str, Any]


def kinds() -> list[Kind]:
    """Every model of the suite."""
    hist = "sklearn.ensemble.HistGradientBoostingClassifier"
    mlp = {"hidden_layer_sizes": [32], "max_iter": 20}
    ours: dict[str, dict[str, Any]] = {
        "lightgbm": {"type": "lightgbm", "parameters": {"n_estimators": TREES}},
        "xgboost": {"type": "xgboost", "parameters": {"n_estimators": TREES}},
        "catboost": {"type": "catboost", "parameters": {"iterations": TREES, "one_hot_max_size": 255}},
        "hist boosting": {"type": "sklearn", "estimator": hist, "parameters": {"max_iter": TREES}},
        "logistic": {"type": "sklearn", "estimator": "sklearn.linear_model.LogisticRegression"},
        "neural network": {"type": "sklearn", "estimator": "sklearn.neural_network.MLPClassifier", "parameters": mlp},
    }
    return [Kind(name, trainer) for name, trainer in ours.items()]


def table() -> pd.DataFrame:
    """Made-up rows of numbers and words, some missing, and a target that follows from some of them."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {name: rng.normal(size=ROWS).round(3) * 10 for name in NUMBERS}
        | {name: rng.choice([f"{name} {number}" for number in range(count)], ROWS) for name, count in WORDS.items()}
    )
    frame.loc[rng.random(ROWS) < 0.1, "number_3"] = np.nan
    signal = frame["number_0"] + frame["number_1"] * frame["number_2"] / 10
    late = signal + frame.dest.str[-1:].isin(["1", "2", "3"]) * 8 + rng.normal(size=ROWS) * 8 > 5
    return frame.assign(late=late.astype(np.int64))


def main() -> int:
    """Fit, compare the answers, measure and report."""
    warnings.simplefilter("ignore")
    frame = table()
    rows: list[Row] = []
    with threadpool_limits(limits=1):
        for kind in kinds():
            rows += measured(kind, frame)
    report("models", rows)
    return 0


def measured(kind: Kind, frame: pd.DataFrame) -> list[Row]:
    """The rows of one kind of model."""
    inputs = frame.drop(columns="late")
    spec = spec_of(kind, list(inputs))
    trainer = TRAINER.build(kind.trainer)
    trainer.fit(spec, frame.head(500), 7)  # imports the library
    began = time.process_time()
    pipeline = trainer.fit(spec, frame, 7)
    took = time.process_time() - began
    bare = bare_fit(pipeline, inputs, frame.late)
    fields = tuple(Field(name, "string" if name in WORDS else "number", nullable=True) for name in inputs)
    schema = Schema("binary", "late", fields, (False, True), True)
    ours = Scorer(schema, (), CompiledEngine(compile_pipeline(pipeline, schema).files))
    same_answers(kind, ours, Scorer(schema, (), SklearnEngine(schema, pipeline)), inputs)
    print(f"{kind.name}: fitted in {took:.1f} s of CPU, bare in {bare:.1f} s; the answers are the same", flush=True)
    compared = [row(f"fit, {kind.name}", "s CPU", [took], [bare], "bare fit")]
    for count in (1, 1000):
        few = inputs.head(count)
        columns = as_columns(few)
        own, peer = interleaved(lambda c=columns: ours.predict(c), lambda f=few: pipeline.predict_proba(f))
        word = "1 row" if count == 1 else f"{count} rows"
        compared.append(row(f"{word}, {kind.name}", "ms CPU", own, peer, "predict_proba"))
    return compared


def spec_of(kind: Kind, inputs: list[str]) -> Any:
    """A model file with that trainer."""
    import json

    model = {
        "name": "bench",
        "task": "binary",
        "target": "late",
        "inputs": inputs,
        "data": {"source": {"type": "files", "path": "*.csv"}, "key": ["id"]},
        "train": {"trainer": kind.trainer},
        "evaluate": {"metric": "roc_auc"},
    }
    return parse_spec(json.dumps(model), "bench/model.yaml")


def bare_fit(pipeline: Any, inputs: pd.DataFrame, target: Any) -> float:
    """CPU seconds of the library's own fit on what the preparation gives it, which is made in time that counts too."""
    from sklearn.base import clone

    prepare, fitted = clone(pipeline[:-1]), pipeline[-1]
    model = type(fitted)(**fitted.get_params())
    began = time.process_time()
    model.fit(prepare.fit_transform(inputs, target), target)
    return time.process_time() - began


def as_columns(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """The rows as requests have them."""
    return {
        name: [None if value is None or value != value else value for value in frame[name].tolist()] for name in frame
    }


def same_answers(kind: Kind, ours: Scorer, theirs: Scorer, inputs: pd.DataFrame) -> None:
    """Stop unless both give the same probabilities."""
    columns = as_columns(inputs.head(500))
    own, other = (np.array(scorer.predict(columns).probabilities) for scorer in (ours, theirs))
    apart = float(np.abs(own - other).max())
    if not apart <= CLOSE:
        raise SystemExit(f"{kind.name}: the compiled scorer answers otherwise, by up to {apart:.1e}")


def interleaved(first: Callable[[], Any], second: Callable[[], Any]) -> tuple[list[float], list[float]]:
    """Milliseconds of CPU of one call of each, a figure a round."""
    took: tuple[list[float], list[float]] = ([], [])
    times = [calls(work) for work in (first, second)]
    for _ in range(ROUNDS):
        for work, count, series in zip((first, second), times, took, strict=True):
            began = time.process_time()
            for _ in range(count):
                work()
            series.append((time.process_time() - began) / count * 1000)
    return took


def calls(work: Callable[[], Any]) -> int:
    """How many calls take about SECONDS."""
    work()
    began = time.perf_counter()
    work()
    return max(1, int(SECONDS / max(time.perf_counter() - began, 1e-6)))


if __name__ == "__main__":
    sys.exit(main())
