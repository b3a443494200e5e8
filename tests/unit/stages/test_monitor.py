"""Monitoring through the front door: what is new is judged once, asks for retraining once, and says why."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest

from slipstream.errors import NotFound, SpecError, StageError
from slipstream.reports import drift as report
from slipstream.spec.model import ModelSpec
from slipstream.stages.deploy import deploy
from slipstream.stages.monitor import NOTHING_NEW, monitor
from slipstream.store import Store

NASTY = "</script><script>alert(1)</script>"
WATCH: dict[str, Any] = {"min_rows": 100, "evidently": False, "quality": {"max_loss": 0.05}}


@pytest.fixture
def watched(make_spec: Any, store: Store, release: Any) -> Callable[..., ModelSpec]:
    """``watched(monitor={...}, **spec)``: the spec of a model whose first version serves."""

    def make(monitor: dict[str, Any] | None = None, **overrides: Any) -> ModelSpec:
        changed = {"monitor": WATCH | (monitor or {}), "deploy": {"target": {"type": "local"}}, **overrides}
        spec: ModelSpec = make_spec(**changed)
        deploy(spec, store, release(spec).version, endpoint="")
        return spec

    return make


def moved(rows: int = 600) -> dict[str, Any]:
    random = np.random.default_rng(9)
    return {"distance": random.normal(3, 1, rows), "carrier": random.choice(["A", "Z"], rows)}


def kinds(store: Store) -> list[str]:
    return [event.kind for event in store.ledger.read(model="small") if event.kind.startswith(("drift.", "retrain."))]


def test_without_a_champion(make_spec: Any, store: Store) -> None:
    with pytest.raises(NotFound) as caught:
        monitor(make_spec(), store)
    assert caught.value.code == "champion_missing"


def test_nothing_new(watched: Any, store: Store) -> None:
    found = monitor(watched(), store)
    assert (found.rows, found.verdict, found.run) == (0, NOTHING_NEW, "")
    assert kinds(store) == []


def test_too_few_rows_are_no_alarm(watched: Any, store: Store, committed: Any, make_rows: Any) -> None:
    spec = watched()
    committed(spec, make_rows(50, first=5000, **moved(50)))
    found = monitor(spec, store)
    assert found.verdict == "Not enough data: 50 rows, monitor.min_rows asks for 100."
    assert not found.drifted
    assert kinds(store) == ["drift.measured"]


def test_the_same_again_is_stable(watched: Any, store: Store, committed: Any, make_rows: Any) -> None:
    spec = watched()
    committed(spec, make_rows(600, seed=5, first=5000))
    found = monitor(spec, store)
    assert (found.rows, found.columns, found.drifted, found.drifted_columns) == (600, 3, False, ())
    assert found.verdict.startswith("0 of 3 inputs drifted in 600 rows from 2024-")
    assert (found.signals, found.coverage) == ((), 1.0)
    assert found.quality == pytest.approx(found.quality_reference, abs=0.05)


def test_drift_is_found_once_and_says_why(watched: Any, store: Store, committed: Any, make_rows: Any) -> None:
    spec = watched()
    committed(spec, make_rows(600, seed=5, first=5000, **moved()))
    found = monitor(spec, store, actor="someone")
    assert (found.drifted, found.signals) == (True, ("inputs", "unknown"))
    assert found.drifted_columns == ("carrier", "distance")
    assert re.match(
        r"2 of 3 inputs drifted in 600 rows from \S+ to \S+ \(carrier psi \S+ > 0.2, distance psi \S+ > 0.2\); "
        r"words that training never saw: carrier in 5\S+% of the rows;.*\.",
        found.verdict,
    )
    assert (found.first[:10], found.last[:10]) == tuple(found.window.split(" to "))
    again = monitor(spec, store)
    assert again.reused
    assert again.run == found.run
    assert kinds(store) == ["drift.measured"]
    details = store.objects.get_json(found.details)
    by_name = {column["column"]: column for column in details["columns"]}
    assert by_name["distance"]["n_reference"] > 400
    assert "never seen: 0.0% -> " in by_name["carrier"]["effect"]
    assert by_name["slipstream_prediction"]["role"] == "answer"
    assert details["signals"]["inputs"] == {
        "fired": True,
        "value": pytest.approx(2 / 3),
        "limit": 0.3,
        "sentence": found.verdict.split("; ")[0],
    }


def test_lost_quality_comes_first(watched: Any, store: Store, committed: Any, make_rows: Any) -> None:
    spec = watched()
    rows = make_rows(600, seed=5, first=5000)
    committed(spec, rows.set_column(rows.schema.get_field_index("late"), "late", pa.array(~rows["late"].to_numpy())))
    found = monitor(spec, store)
    assert (found.drifted, found.quality_lost) == (False, True)
    assert found.verdict.startswith("roc_auc fell from 0.")
    assert "; 0 of 3 inputs drifted" in found.verdict


def test_only_the_last_window_counts(watched: Any, store: Store, committed: Any, make_rows: Any) -> None:
    spec = watched({"window": "200h"})
    committed(spec, make_rows(600, seed=5, first=5000))
    assert monitor(spec, store).rows == 200


def test_a_column_that_is_gone_has_drifted(watched: Any, store: Store, committed: Any, make_rows: Any) -> None:
    spec = watched()
    committed(spec, make_rows(600, seed=5, first=5000).drop_columns(["distance"]))
    found = monitor(spec, store)
    assert found.drifted_columns == ("distance",)


def test_rows_without_truth_have_no_quality(watched: Any, store: Store, committed: Any, make_rows: Any) -> None:
    spec = watched()
    committed(spec, make_rows(600, seed=5, first=5000, late=pa.nulls(600, pa.bool_())))
    found = monitor(spec, store)
    assert (found.rows, found.quality, found.quality_lost, found.drifted) == (600, None, False, False)


def test_a_watched_column_that_the_champion_does_not_read(
    watched: Any, make_spec: Any, store: Store, committed: Any, make_rows: Any
) -> None:
    inputs = list(watched().inputs)
    spec = make_spec(inputs=[*inputs, "delay"], monitor=WATCH | {"drift": {"columns": ["delay"]}})
    committed(spec, make_rows(600, seed=5, first=5000))
    with pytest.raises(SpecError, match=r"monitor\.drift\.columns: 'delay'") as caught:
        monitor(spec, store)
    assert caught.value.code == "spec_column_unknown"


def test_a_watched_column_that_is_no_input(watched: Any) -> None:
    with pytest.raises(SpecError, match=r"monitor\.drift\.columns\.0: no input is called 'delay'") as caught:
        watched({"drift": {"columns": ["delay"]}})
    assert caught.value.code == "spec_column_unknown"


@pytest.mark.parametrize(
    ("task", "target", "inputs", "metric", "estimator"),
    [
        ("regression", "delay", ["distance", "hour"], "rmse", "sklearn.linear_model.Ridge"),
        ("multiclass", "carrier", ["distance", "hour"], "log_loss", "sklearn.linear_model.LogisticRegression"),
    ],
)
def test_other_tasks(
    watched: Any,
    store: Store,
    committed: Any,
    make_rows: Any,
    task: str,
    target: str,
    inputs: list[str],
    metric: str,
    estimator: str,
) -> None:
    spec = watched(
        {"drift": {"numeric": "wasserstein", "categorical": "jensen_shannon"}},
        task=task,
        target=target,
        inputs=inputs,
        train={"trainer": {"type": "sklearn", "estimator": estimator}},
        evaluate={"metric": metric, "bootstrap": 20, "min_slice": 20},
    )
    committed(spec, make_rows(600, seed=5, first=5000))
    found = monitor(spec, store)
    assert found.quality is not None
    assert not found.drifted
    roles = {column["role"]: column["drifted"] for column in store.objects.get_json(found.details)["columns"]}
    assert roles == {"input": False, "target": False, "answer": False}


class TestCaptured:
    def capture(self, store: Store, version: int, distance: Any, **more: Any) -> None:
        """Captured rows; *more* are columns that files of older releases lack, or None for a column to leave out."""
        rows = len(distance)
        random = np.random.default_rng(1)
        inputs = pa.StructArray.from_arrays(
            [
                pa.array(distance),
                pa.array(random.integers(0, 24, rows) * 1.0),
                pa.array(random.choice(["A", "B", "C"], rows)),
            ],
            names=["distance", "hour", "carrier"],
        )
        columns = {
            "prediction_id": [f"{version}-{number}" for number in range(rows)],
            "time": pa.array([1_700_000_000_000_000 + number for number in range(rows)], pa.timestamp("us", "UTC")),
            "version": pa.array([version] * rows, pa.int64()),
            "request_id": ["r"] * rows,
            "inputs": inputs,
            "prediction": ["true"] * rows,
            "probability": random.random(rows),
        }
        columns |= {name: pa.array([value] * rows) for name, value in more.items() if value is not None}
        table = pa.table({name: column for name, column in columns.items() if more.get(name, 0) is not None})
        store.tables.append("small", "predictions", table, key=uuid4().hex)

    def test_captured_rows_of_the_champion_alone(self, watched: Any, store: Store) -> None:
        spec = watched({"source": "predictions", "drift": {"share": 0.3}})
        assert monitor(spec, store).rows == 0
        self.capture(store, 1, np.random.default_rng(0).normal(4, 1, 400))
        self.capture(store, 2, np.zeros(300))
        found = monitor(spec, store)
        assert (found.rows, found.drifted_columns, found.quality) == (400, ("distance",), None)
        assert found.window == "2023-11-14 to 2023-11-14"
        assert found.verdict.startswith("1 of 3 inputs drifted in 400 rows")

    def test_neither_a_shadows_answers_nor_a_challengers(self, watched: Any, store: Store) -> None:
        spec = watched({"source": "predictions"})
        self.capture(store, 1, np.random.default_rng(0).normal(0, 1, 300))  # before there were routes
        for role in ("champion", "shadow", "challenger"):
            self.capture(store, 1, np.random.default_rng(0).normal(0, 1, 200), role=role)
        assert monitor(spec, store).rows == 500

    def test_a_redacted_input_is_not_judged(self, watched: Any, store: Store) -> None:
        spec = watched({"source": "predictions"})
        self.capture(store, 1, np.random.default_rng(0).normal(4, 1, 400), role="champion", redacted='["distance"]')
        found = monitor(spec, store)
        assert (found.rows, found.columns, found.drifted_columns) == (400, 2, ())
        assert found.verdict.endswith("; not judged, because deploy.capture does not keep them: distance.")
        assert store.objects.get_json(found.details)["watched"] == ["hour", "carrier"]

    def test_rows_without_inputs_are_passed_over(self, watched: Any, store: Store) -> None:
        spec = watched({"source": "predictions"})
        self.capture(store, 1, np.random.default_rng(0).normal(4, 1, 400), role="champion", inputs=None)
        with pytest.raises(StageError, match="captured without inputs") as caught:
            monitor(spec, store)
        assert caught.value.code == "inputs_not_kept"
        self.capture(store, 1, np.random.default_rng(0).normal(4, 1, 300), role="champion")
        assert monitor(spec, store).rows == 300

    def test_nothing_that_is_watched_is_kept(self, watched: Any, store: Store) -> None:
        spec = watched({"source": "predictions", "drift": {"columns": ["distance"]}})
        self.capture(store, 1, np.random.default_rng(0).normal(4, 1, 400), role="champion", redacted='["distance"]')
        with pytest.raises(StageError, match="does not keep them: distance; name other columns"):
            monitor(spec, store)


def test_nothing_of_the_data_is_markup(watched: Any, store: Store, committed: Any, make_rows: Any) -> None:
    spec = watched()
    committed(spec, make_rows(600, seed=5, first=5000, carrier=[NASTY, "A"] * 300))
    page = store.objects.get(monitor(spec, store).report).decode()
    assert "<script" not in page
    details = store.objects.get_json(monitor(spec, store).details)
    for column in details["columns"]:
        column |= {"column": NASTY, "effect": NASTY, "cells": [NASTY for _ in column["cells"]]}
    nasty = report.page("small", details | {"watched": [NASTY], "verdict": NASTY})
    assert b"<script" not in nasty
    assert b"&lt;/script&gt;" in nasty
