"""Evaluation: on rows never trained on, by slice, and against the champion on the same rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from slipstream.errors import SlipstreamError, StageError
from slipstream.evaluation.candidate_answers import load_candidate, truth_of
from slipstream.evaluation.record import Evaluated, load_evaluation
from slipstream.stages.evaluate import evaluate
from slipstream.stages.train import train
from slipstream.statistics.metrics import measure
from slipstream.store import Store
from slipstream.store.datasets import save_dataset
from slipstream.training.candidate import Trained
from slipstream.training.split import split

LINEAR = {"type": "sklearn", "estimator": "sklearn.linear_model.LogisticRegression"}
TREE = {"type": "sklearn", "estimator": "sklearn.tree.DecisionTreeClassifier", "parameters": {"max_depth": 3}}
EVALUATE = {"metric": "roc_auc", "metrics": ["log_loss", "f1"], "slices": ["carrier"], "min_slice": 30, "bootstrap": 50}


@pytest.fixture
def crown(store: Store) -> Callable[..., int]:
    """``crown(spec, trained)``: the candidate as the model's champion; returns its version."""

    def make(spec: Any, trained: Trained) -> int:
        figures = {"candidate": trained.candidate, "bundle": "0" * 64, "dataset": trained.dataset, "evaluation": ""}
        event = store.ledger.append(
            "version.registered", spec.name, {"stage": "package", "run": "package-0", "result": figures}
        )
        version = store.ledger.state().model(spec.name).number_of(event)
        store.ledger.append("deployment.finished", spec.name, {"version": version, "previous": None})
        return version

    return make


def test_a_first_candidate(store: Store, make_spec: Any, make_rows: Any, committed: Any) -> None:
    spec = make_spec(evaluate=EVALUATE, gates=[{"type": "metric", "metric": "brier", "bound": 0.3}])
    trained = train(spec, store, committed(spec, make_rows()).id)
    evaluated = evaluate(spec, store, trained.candidate)
    assert evaluate(spec, store, trained.candidate).reused
    assert (evaluated.rows, evaluated.champion, evaluated.gain) == (120, None, None)
    assert set(evaluated.scores) == {"roc_auc", "log_loss", "f1", "brier"}
    found = load_evaluation(spec, store, evaluated.run)[1]
    held = split(spec, store, trained.dataset).frame("holdout")
    candidate = load_candidate(spec, store, trained.candidate)
    truth, _ = truth_of(candidate.training, held["late"])
    for metric, score in found.scores.items():
        assert score.value == measure(metric, truth, candidate.answer(held))
        assert score.low < score.value < score.high
    assert found.lower_is_better == ("log_loss", "brier")
    assert found.baseline["roc_auc"] == 0.5
    assert found.scores["log_loss"].value < found.baseline["log_loss"]
    assert np.sum(found.plots["confusion"]) == 120
    assert found.plots["roc"][0] == [0, 0]
    assert found.plots["roc"][-1] == [1, 1]
    assert sum(bin_["rows"] for bin_ in found.plots["calibration"]) == 120


def test_slices(store: Store, make_spec: Any, make_rows: Any, committed: Any) -> None:
    spec = make_spec(evaluate=EVALUATE | {"slices": ["carrier", "hour", "distance"]})
    trained = train(spec, store, committed(spec, make_rows(2000)).id)
    found = load_evaluation(spec, store, evaluate(spec, store, trained.candidate).run)[1]
    by_column: dict[str, list[Any]] = {}
    for part in found.slices:
        by_column.setdefault(part.column, []).append(part)
    held = split(spec, store, trained.dataset).frame("holdout")
    carriers = {part.value: part for part in by_column["carrier"]}
    assert set(carriers) == {"A", "B", "C", "(missing)"}
    assert carriers["A"].rows == (held["carrier"] == "A").sum()
    # By construction nothing is known of carrier C; and too few rows have none.
    assert carriers["C"].figures["roc_auc"].value < 0.65 < carriers["A"].figures["roc_auc"].value
    assert carriers["(missing)"].figures == {}
    assert len(by_column["hour"]) == 24
    assert {part.value for part in by_column["hour"]} == {str(hour) for hour in range(24)}
    assert len(by_column["distance"]) == 6
    assert any(" to " in part.value for part in by_column["distance"])
    for parts in by_column.values():
        assert sum(part.rows for part in parts) == len(held)
        assert [part.rows for part in parts] == sorted((part.rows for part in parts), reverse=True)


def test_champion_and_challenger_meet_on_the_same_rows(
    store: Store, make_spec: Any, make_rows: Any, committed: Any, crown: Any
) -> None:
    spec = make_spec(train={"trainer": TREE}, evaluate=EVALUATE)
    dataset = committed(spec, make_rows(1500)).id
    weak = train(spec, store, dataset)
    version = crown(spec, weak)
    spec = make_spec(train={"trainer": LINEAR}, evaluate=EVALUATE)
    strong = train(spec, store, dataset)
    evaluated = evaluate(spec, store, strong.candidate)
    against = load_evaluation(spec, store, evaluated.run)[1].comparison
    assert (evaluated.champion, against.version, against.rows, against.seen) == (version, version, 300, 0)
    held = split(spec, store, dataset).frame("holdout")
    candidates = [load_candidate(spec, store, run.candidate) for run in (strong, weak)]
    truth, _ = truth_of(candidates[0].training, held["late"])
    values = [measure("roc_auc", truth, candidate.answer(held)) for candidate in candidates]
    pair = against.figures["roc_auc"]
    assert [pair.candidate, pair.champion] == values
    assert pair.gain.value == evaluated.gain == values[0] - values[1]
    assert pair.gain.low < pair.gain.value < pair.gain.high
    assert set(against.roc) == {"candidate", "champion"}
    # Less is better: the gain still says how much better the candidate is.
    losses = against.figures["log_loss"]
    assert losses.gain.value == pytest.approx(losses.champion - losses.candidate)


def test_a_model_against_itself_gains_nothing(
    store: Store, make_spec: Any, make_rows: Any, committed: Any, crown: Any
) -> None:
    spec = make_spec(evaluate=EVALUATE)
    trained = train(spec, store, committed(spec, make_rows()).id)
    before = evaluate(spec, store, trained.candidate)
    crown(spec, trained)
    after = evaluate(spec, store, trained.candidate)
    assert before.run != after.run
    gain = load_evaluation(spec, store, after.run)[1].comparison.figures["roc_auc"].gain
    assert (gain.value, gain.low, gain.high) == (0, 0, 0)


@pytest.mark.parametrize(("min_slice", "rows", "excluded"), [(30, 150, True), (200, 300, False)])
def test_rows_that_the_champion_trained_on_are_left_out_or_named(
    min_slice: int, rows: int, excluded: bool, store: Store, make_spec: Any, make_rows: Any, committed: Any, crown: Any
) -> None:
    judged = EVALUATE | {"min_slice": min_slice}
    spec = make_spec(train={"trainer": LINEAR, "holdout": 0.1}, evaluate=judged)
    dataset = committed(spec, make_rows(1500)).id
    crown(spec, train(spec, store, dataset))
    spec = make_spec(train={"trainer": LINEAR, "holdout": 0.2}, evaluate=judged)
    evaluated = evaluate(spec, store, train(spec, store, dataset).candidate)
    against = load_evaluation(spec, store, evaluated.run)[1].comparison
    assert (against.rows, against.seen, against.excluded) == (rows, 150, excluded)
    assert ("left out" if excluded else "flatters it") in against.note
    assert against.note.encode() in store.objects.get(evaluated.report)
    assert evaluated.rows == 300


@pytest.mark.parametrize(
    ("champion", "refused"),
    [
        ({"target": "early"}, "it does binary of 'early', the candidate binary of 'late'"),
        ({"inputs": ["early"]}, "small: the dataset has no column 'early'; did you mean"),
    ],
)
def test_a_champion_that_cannot_be_asked_is_no_measure(
    champion: Any, refused: str, store: Store, make_spec: Any, make_rows: Any, committed: Any, crown: Any
) -> None:
    spec = make_spec(**champion)
    crown(spec, train(spec, store, committed(spec, make_rows(early=[True, False, False] * 200)).id))
    spec = make_spec()
    dataset = committed(spec, make_rows(first=600)).id
    evaluated = evaluate(spec, store, train(spec, store, dataset).candidate)
    against = load_evaluation(spec, store, evaluated.run)[1].comparison
    assert against.refused.startswith(refused)
    assert (evaluated.champion, evaluated.gain) == (1, None)
    assert b"cannot be compared with champion version 1" in store.objects.get(evaluated.report)


def test_regression(store: Store, make_spec: Any, make_rows: Any, committed: Any, crown: Any) -> None:
    spec = make_spec(
        task="regression",
        target="delay",
        train={"trainer": {"type": "sklearn", "estimator": "sklearn.linear_model.Ridge"}},
        evaluate={"metric": "rmse", "metrics": ["r2"], "bootstrap": 50, "slices": ["carrier"], "min_slice": 20},
    )
    dataset = committed(spec, make_rows()).id
    trained = train(spec, store, dataset)
    crown(spec, trained)
    evaluated = evaluate(spec, store, trained.candidate)
    found = load_evaluation(spec, store, evaluated.run)[1]
    assert found.scores["rmse"].value < found.baseline["rmse"]
    assert found.baseline["r2"] == pytest.approx(0, abs=0.1)
    assert sum(found.plots["residuals"]["counts"]) == 120
    assert found.classes == ()
    assert b"Residuals" in store.objects.get(evaluated.report)


def test_multiclass_with_a_class_that_training_never_saw(
    store: Store, make_spec: Any, make_rows: Any, committed: Any, crown: Any
) -> None:
    spec = make_spec(
        task="multiclass",
        target="size",
        train={"trainer": {"type": "sklearn", "estimator": "sklearn.ensemble.RandomForestClassifier"}},
        evaluate={"metric": "f1_macro", "metrics": ["log_loss", "accuracy", "balanced_accuracy"], "bootstrap": 50},
    )
    rows = make_rows()
    distance = np.nan_to_num(rows["distance"].to_numpy())
    size = np.where(distance < -0.4, "small", np.where(distance < 0.4, "middle", "large")).astype(object)
    size[-10:] = "huge"
    trained = train(spec, store, committed(spec, make_rows(size=pa.array(size.tolist()))).id)
    crown(spec, trained)
    found = load_evaluation(spec, store, evaluate(spec, store, trained.candidate).run)[1]
    assert found.classes == ("large", "middle", "small", "huge")
    assert np.sum(found.plots["confusion"], axis=1).tolist()[3] == 10
    assert np.sum(found.plots["confusion"], axis=0).tolist()[3] == 0
    assert 0.6 < found.scores["accuracy"].value < 1
    assert found.comparison.figures["f1_macro"].gain.value == 0


def test_the_report_escapes_what_the_data_says(store: Store, make_spec: Any, make_rows: Any, committed: Any) -> None:
    spec = make_spec(evaluate=EVALUATE)
    evil = "</svg><script>alert(1)</script>"
    dataset = committed(spec, make_rows(carrier=pa.array([evil, "B"] * 300))).id
    evaluated = evaluate(spec, store, train(spec, store, dataset).candidate)
    report = store.objects.get(evaluated.report).decode()
    assert "<script" not in report
    assert "http://" not in report
    assert "&lt;/svg&gt;&lt;script&gt;" in report


class TestBadInput:
    def test_an_unknown_candidate(self, store: Store, make_spec: Any) -> None:
        with pytest.raises(SlipstreamError, match="no finished run 'train-1'") as caught:
            evaluate(make_spec(), store, "train-1")
        assert caught.value.code == "run_not_found"

    def test_a_model_file_that_changed_since(
        self, store: Store, make_spec: Any, make_rows: Any, committed: Any
    ) -> None:
        spec = make_spec()
        trained = train(spec, store, committed(spec, make_rows()).id)
        with pytest.raises(StageError, match="inputs of the model file have changed since train-") as caught:
            evaluate(make_spec(inputs=["distance", "hour"]), store, trained.candidate)
        assert caught.value.code == "stage_input_invalid"

    def test_a_held_out_window_of_one_class(self, store: Store, make_spec: Any, make_rows: Any, committed: Any) -> None:
        spec = make_spec(evaluate=EVALUATE)
        trained = train(spec, store, committed(spec, make_rows(late=[True, False] * 200 + [True] * 200)).id)
        evaluated = evaluate(spec, store, trained.candidate)
        assert set(evaluated.scores) == {"log_loss", "f1"}
        assert b"roc_auc is not defined" in store.objects.get(evaluated.report)

    def test_a_label_that_training_never_saw(
        self, store: Store, make_spec: Any, make_rows: Any, committed: Any
    ) -> None:
        spec = make_spec()
        trained = train(spec, store, committed(spec, make_rows(late=["no", "yes"] * 290 + ["maybe"] * 20)).id)
        with pytest.raises(StageError, match="target 'late' holds 'maybe', which the candidate never saw"):
            evaluate(spec, store, trained.candidate)


def test_ids_repeat_in_another_store(make_spec: Any, make_rows: Any, tmp_path: Path) -> None:
    """What a rerun after a crash writes is what the first run would have written."""
    spec, rows = make_spec(evaluate=EVALUATE), make_rows()
    kinds = [("id", "BIGINT"), ("day", "TIMESTAMP"), ("distance", "DOUBLE"), ("hour", "BIGINT"), ("carrier", "VARCHAR")]
    kinds += [("late", "BOOLEAN"), ("delay", "DOUBLE")]
    results: list[Evaluated] = []
    for name in ("one", "two"):
        store = Store.open((tmp_path / name).as_uri())
        files = store.tables.append(spec.name, "data", rows, "k")
        dataset, manifest = save_dataset(store.objects, spec.name, kinds, files)
        payload = {"dataset": dataset.id, "manifest": manifest, "watermark": ""}
        store.ledger.append("dataset.committed", spec.name, payload)
        results.append(evaluate(spec, store, train(spec, store, dataset.id).candidate))
    assert results[0] == results[1]
