"""Quality: by truth as far as it is known, by estimate before, and both side by side once it has come."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest

from slipstream.spec.model import ModelSpec
from slipstream.stages.deploy import deploy
from slipstream.stages.evaluate import evaluate
from slipstream.stages.explain import explain
from slipstream.stages.gate import gate
from slipstream.stages.join import join
from slipstream.stages.labels import labels
from slipstream.stages.monitor import monitor
from slipstream.stages.package import package
from slipstream.stages.train import train
from slipstream.store import Store

ROWS = 600
START = 1_700_000_000_000_000


@pytest.fixture
def watched(make_spec: Any, store: Store, release: Any) -> Callable[..., ModelSpec]:
    """``watched(quality={...}, source="predictions")``: the spec of a model whose first version serves."""

    def make(quality: dict[str, Any] | None = None, changed: dict[str, Any] | None = None, **watch: Any) -> ModelSpec:
        settings = {"min_rows": 100, "evidently": False, "quality": {"max_loss": 0.05, **(quality or {})}, **watch}
        spec: ModelSpec = make_spec(monitor=settings, deploy={"target": {"type": "local"}}, **(changed or {}))
        deploy(spec, store, release(spec).version, endpoint="")
        return spec

    return make


def upside_down(rows: pa.Table) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index("late"), "late", pa.array(~rows["late"].to_numpy()))


def without_truth(rows: pa.Table, since: int) -> pa.Table:
    late = rows["late"].to_pylist()[:since] + [None] * (rows.num_rows - since)
    return rows.set_column(rows.schema.get_field_index("late"), "late", pa.array(late, pa.bool_()))


def test_on_how_much_of_the_window(watched: Any, store: Store, committed: Any, make_rows: Any) -> None:
    spec = watched()
    committed(spec, without_truth(upside_down(make_rows(ROWS, seed=5, first=5000)), 378))
    found = monitor(spec, store)
    assert (found.coverage, found.quality_lost) == (0.63, True)
    assert f"to {found.quality:.3f} on 63 % labelled" in found.verdict
    assert found.quality_low <= found.quality <= found.quality_high


def test_too_little_is_labelled(watched: Any, store: Store, committed: Any, make_rows: Any) -> None:
    spec = watched({"min_coverage": 0.8})
    committed(spec, without_truth(upside_down(make_rows(ROWS, seed=5, first=5000)), 378))
    found = monitor(spec, store)
    assert (found.quality, found.coverage, found.quality_lost) == (None, 0.63, False)
    reasons = store.objects.get_json(found.details)["not_judged"]
    assert "quality (roc_auc): 63% are labelled, monitor.quality.min_coverage asks for 80%" in reasons


def test_only_what_is_old_enough_counts(watched: Any, store: Store, committed: Any, make_rows: Any) -> None:
    spec = watched({"maturity": "200h"})
    committed(spec, without_truth(make_rows(ROWS, seed=5, first=5000), 400))
    found = monitor(spec, store)
    assert found.coverage == 1.0
    assert " on 100 % labelled, matured 200h" in found.verdict
    assert not found.quality_lost


def test_a_loss_that_chance_explains_is_none(watched: Any, store: Store, committed: Any, make_rows: Any) -> None:
    spec = watched({"max_loss": 0.0001})
    rows = make_rows(ROWS, seed=5, first=5000)
    committed(spec, rows)
    found = monitor(spec, store)
    details = store.objects.get_json(found.details)["quality"]
    # The loss of one draw may be above so small a limit, but the reference lies inside the interval.
    assert found.quality_high >= found.quality_reference
    assert not found.quality_lost
    assert details["lost"] is False


def test_a_class_that_training_never_saw(
    make_spec: Any, store: Store, committed: Any, make_rows: Any, tmp_path: Path
) -> None:
    def rows(seed: int, strange: int) -> pa.Table:
        made = make_rows(ROWS, seed=seed, first=5000 * seed)
        words = ["late" if late else "on time" for late in made["late"].to_pylist()]
        return made.append_column("outcome", pa.array(["cancelled"] * strange + words[strange:]))

    spec = make_spec(
        target="outcome",
        positive="late",
        deploy={"target": {"type": "local"}},
        monitor={"min_rows": 100, "evidently": False},
    )
    trained = train(spec, store, committed(spec, rows(0, 0)).id).candidate
    runs = evaluate(spec, store, trained).run, explain(spec, store, trained).run
    version = package(spec, store, trained, *runs, keys=tmp_path / "keys", bentos=tmp_path / "bentos").version
    gate(spec, store, version)
    deploy(spec, store, version, endpoint="")
    committed(spec, rows(1, 60))
    found = monitor(spec, store)
    assert found.quality == pytest.approx(found.quality_reference, abs=0.08)
    details = store.objects.get_json(found.details)
    assert details["not_judged"] == ["quality (roc_auc): 60 rows hold a class that training never saw"]
    target = next(column for column in details["columns"] if column["role"] == "target")
    assert target["unknown"] == 0.1


def test_only_classifiers_are_estimated(watched: Any, store: Store, committed: Any, make_rows: Any) -> None:
    spec = watched(changed={"target": "delay", "task": "regression", "inputs": ["distance", "hour"], **RMSE})
    committed(spec, make_rows(ROWS, seed=5, first=5000))
    found = monitor(spec, store)
    assert found.quality is not None
    assert found.estimated is None
    reason = "estimated quality: only classifiers say how sure they are"
    assert reason in store.objects.get_json(found.details)["not_judged"]


RMSE = {
    "train": {"trainer": {"type": "sklearn", "estimator": "sklearn.linear_model.Ridge"}},
    "evaluate": {"metric": "rmse", "bootstrap": 20, "min_slice": 20},
}


def test_a_multiclass_truth_that_training_never_saw(watched: Any, store: Store, committed: Any, make_rows: Any) -> None:
    accuracy = {"metric": "accuracy", "bootstrap": 20, "min_slice": 20}
    spec = watched(
        changed={"task": "multiclass", "target": "carrier", "inputs": ["distance", "hour"], "evaluate": accuracy}
    )
    carriers = np.random.default_rng(4).choice(["A", "B", "C", "new"], ROWS)
    committed(spec, make_rows(ROWS, seed=5, first=5000, carrier=carriers))
    found = monitor(spec, store)
    assert found.quality is not None
    assert found.quality < 0.4
    assert found.estimated is not None
    signal = store.objects.get_json(found.details)["signals"]["target"]
    assert signal["fired"]


def test_estimated_before_the_truth_and_beside_it(watched: Any, store: Store, committed: Any, make_rows: Any) -> None:
    spec = watched({"estimated": True})
    # Distances near zero tell nothing, so the answers become unsure, and the probabilities say so.
    rows = make_rows(ROWS, seed=5, first=5000, distance=np.random.default_rng(4).normal(0, 0.3, ROWS))
    committed(spec, without_truth(rows, 0))
    found = monitor(spec, store)
    assert (found.quality, found.coverage) == (None, 0.0)
    assert found.estimated is not None
    assert found.estimated < found.quality_reference - 0.05
    assert (found.estimated_lost, found.quality_lost) == (True, True)
    assert "roc_auc, estimated without truth, fell from 0." in found.verdict
    basis = store.objects.get_json(found.details)["estimate"]["basis"]
    assert basis["calibration"]["curves"]

    quiet = watched_with(spec, estimated=False)
    assert not monitor(quiet, store).quality_lost
    # The same rows again with their truth: it decides, and both are kept.
    committed(spec, rows)
    both = monitor(spec, store)
    assert both.quality is not None
    assert both.estimated == pytest.approx(found.estimated, abs=0.02)
    details = store.objects.get_json(both.details)
    assert details["estimate"]["basis"] == basis
    assert [point["estimated"] for point in details["history"]][-1] == both.estimated
    assert b"estimated without truth" in store.objects.get(both.report)


def watched_with(spec: ModelSpec, **quality: Any) -> ModelSpec:
    assert spec.monitor.quality is not None
    changed = spec.monitor.quality.model_copy(update=quality)
    return spec.model_copy(update={"monitor": spec.monitor.model_copy(update={"quality": changed})})


class TestCaptured:
    """Predictions of the endpoint, whose labels come later."""

    def capture(self, store: Store, rows: int, *, seed: int = 0) -> tuple[list[str], Any]:
        """Captured predictions of version 1; returns their ids and probabilities."""
        random = np.random.default_rng(seed)
        columns = [random.normal(size=rows), random.integers(0, 24, rows) * 1.0, random.choice(["A", "B", "C"], rows)]
        inputs = pa.StructArray.from_arrays(list(map(pa.array, columns)), names=["distance", "hour", "carrier"])
        ids, probability = [uuid4().hex for _ in range(rows)], 1 / (1 + np.exp(-2 * columns[0]))
        table = pa.table(
            {
                "prediction_id": ids,
                "time": pa.array([START + number * 1000 for number in range(rows)], pa.timestamp("us", "UTC")),
                "version": pa.array([1] * rows, pa.int64()),
                "role": ["champion"] * rows,
                "request_id": ["r"] * rows,
                "inputs": inputs,
                "prediction": np.where(probability > 0.5, "true", "false"),
                "probability": probability,
            }
        )
        store.tables.append("small", "predictions", table, key=uuid4().hex)
        return ids, probability

    def label(self, spec: ModelSpec, store: Store, ids: list[str], late: Any, tmp_path: Any) -> None:
        file = tmp_path / f"{uuid4().hex}.csv"
        said = ["id,label", *(f"{one},{str(bool(value)).lower()}" for one, value in zip(ids, late, strict=True))]
        file.write_text("\n".join(said))
        labels(spec, store, file)
        join(spec, store)

    def test_by_labels_that_came(self, watched: Any, store: Store, tmp_path: Any) -> None:
        spec = watched(source="predictions")
        ids, probability = self.capture(store, ROWS)
        before = monitor(spec, store)
        assert (before.quality, before.coverage) == (None, None)
        assert before.estimated is not None
        self.label(spec, store, ids[:450], np.random.default_rng(1).random(450) > probability[:450], tmp_path)
        found = monitor(spec, store)
        assert not found.reused  # labels are news
        assert (found.rows, found.coverage, found.quality_lost) == (ROWS, 0.75, True)
        assert f"fell from {found.quality_reference:.3f} to {found.quality:.3f} on 75 % labelled" in found.verdict
        assert found.estimated == before.estimated
        (point,) = store.objects.get_json(found.details)["history"]
        assert (point["quality"], point["estimated"]) == (found.quality, found.estimated)
        assert monitor(spec, store).reused

    def test_a_few_labels_decide_nothing(self, watched: Any, store: Store, tmp_path: Any) -> None:
        spec = watched({"min_coverage": 0.5}, source="predictions")
        ids, probability = self.capture(store, ROWS)
        self.label(spec, store, ids[:200], np.random.default_rng(1).random(200) > probability[:200], tmp_path)
        found = monitor(spec, store)
        assert (found.quality, found.quality_lost) == (None, False)
        assert found.coverage == pytest.approx(1 / 3)

    def test_answers_to_many_classes(self, watched: Any, store: Store) -> None:
        accuracy = {"metric": "accuracy", "bootstrap": 20, "min_slice": 20}
        task = {"task": "multiclass", "target": "carrier", "inputs": ["distance", "hour"], "evaluate": accuracy}
        spec = watched(source="predictions", changed=task)
        random = np.random.default_rng(0)
        columns = [random.normal(size=ROWS), random.integers(0, 24, ROWS) * 1.0]
        table = pa.table(
            {
                "prediction_id": [uuid4().hex for _ in range(ROWS)],
                "time": pa.array([START + number for number in range(ROWS)], pa.timestamp("us", "UTC")),
                "version": pa.array([1] * ROWS, pa.int64()),
                "inputs": pa.StructArray.from_arrays(list(map(pa.array, columns)), names=["distance", "hour"]),
                "prediction": ["A"] * ROWS,
                "probabilities": pa.array([[0.98, 0.01, 0.01]] * ROWS, pa.list_(pa.float64())),
            }
        )
        store.tables.append("small", "predictions", table, key=uuid4().hex)
        found = monitor(spec, store)
        assert found.rows == ROWS
        assert found.estimated is not None
        answer = store.objects.get_json(found.details)["signals"]["prediction"]
        assert answer["fired"]
