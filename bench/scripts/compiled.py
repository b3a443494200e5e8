"""The compiled scorer against the pipeline that it was compiled from: one row and 1,000, one thread, CPU time.

``python bench/scripts/compiled.py``: a binary model of the size of the flights example, on made-up rows.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import threadpool_limits

from slipstream.bundle.scorer import Scorer
from slipstream.bundle.sklearn_engine import SklearnEngine
from slipstream.compiler.compile import compile_pipeline
from slipstream.compiler.engine import CompiledEngine
from slipstream.model_schema import Field, Schema

NUMBERS = [f"number {place}" for place in range(11)]
WORDS = {"carrier": 16, "origin": 3, "dest": 105, "manufacturer": 35}


def model(rows: int = 60_000) -> tuple[Any, Schema, pd.DataFrame]:
    """A fitted pipeline, its schema and the rows that it learnt from."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {name: rng.normal(size=rows).round(3) * 10 for name in NUMBERS}
        | {name: rng.choice([f"{name} {number}" for number in range(count)], rows) for name, count in WORDS.items()}
    )
    frame.loc[rng.random(rows) < 0.1, "number 3"] = np.nan
    frame.loc[rng.random(rows) < 0.1, "manufacturer"] = None
    signal = frame["number 0"] + frame["number 1"] * frame["number 2"] / 10
    target = signal + frame.dest.str[-1:].isin(["1", "2", "3"]) * 8 + rng.normal(size=rows) * 8 > 5
    words = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan)
    prepare = ColumnTransformer([("numbers", "passthrough", NUMBERS), ("words", words, list(WORDS))])
    trees = HistGradientBoostingClassifier(
        max_iter=120, learning_rate=0.08, min_samples_leaf=60, l2_regularization=1.0, random_state=7
    )
    pipeline = Pipeline([("prepare", prepare), ("model", trees)]).fit(frame, target)
    fields = tuple(Field(name, "string" if name in WORDS else "number", nullable=True) for name in frame)
    return pipeline, Schema("binary", "late", fields, (False, True), True), frame


def seconds(work: Callable[[], Any], times: int) -> float:
    """Median CPU seconds of one call over five rounds."""
    work()
    rounds = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(times):
            work()
        rounds.append((time.process_time() - began) / times)
    return statistics.median(rounds)


def main() -> None:
    """Measure and print."""
    pipeline, schema, frame = model()
    engine, peer = CompiledEngine(compile_pipeline(pipeline, schema).files), SklearnEngine(schema, pipeline)
    rows = frame.iloc[:20_000]
    columns = {name: [None if pd.isna(value) else value for value in rows[name]] for name in rows}
    singles = [{name: [values[row]] for name, values in columns.items()} for row in range(300)]
    thousand = {name: values[:1000] for name, values in columns.items()}
    with threadpool_limits(limits=1):
        worst = float(np.abs(engine.run(columns) - peer.run(columns)).max())
        one = [seconds(lambda run=run: [run(row) for row in singles], 3) / len(singles) * 1e6  # type: ignore[misc]
               for run in (engine.run, Scorer(schema, (), engine).predict)]  # fmt: skip
        one_peer = seconds(lambda: [peer.run(row) for row in singles[:30]], 1) / 30 * 1e6
        many, many_peer = seconds(lambda: engine.run(thousand), 10) * 1e3, seconds(lambda: peer.run(thousand), 3) * 1e3
    print(f"1 row: compiled {one[0]:.1f} us ({one[1]:.1f} us with labels), scikit-learn {one_peer:.0f} us")
    print(f"1000 rows: compiled {many:.2f} ms, scikit-learn {many_peer:.1f} ms")
    print(f"greatest difference on {len(rows):,} rows: {worst:.1e}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
